package domain

import (
	"bufio"
	"os"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	long63 := strings.Repeat("a", 63)
	name253 := strings.Repeat(long63+".", 3) + strings.Repeat("b", 57) + ".com"
	tests := []struct {
		host, registrable, suffix string
		reason                    Reason
	}{
		// Ordinary names.
		{"example.com", "example.com", "com", ReasonNone},
		{"Mail.Example.CO.UK", "example.co.uk", "co.uk", ReasonNone},
		{"example.com.", "example.com", "com", ReasonNone},
		{"a.b.c.foo.ac.uk", "foo.ac.uk", "ac.uk", ReasonNone},
		{"foo.blogspot.com", "blogspot.com", "com", ReasonNone},
		{"octo.github.io", "github.io", "io", ReasonNone},
		{"foo.global.ssl.fastly.net", "fastly.net", "net", ReasonNone},
		{"1and1.com", "1and1.com", "com", ReasonNone},
		{"ab--cd.com", "ab--cd.com", "com", ReasonNone},
		{"AB--CD.com", "ab--cd.com", "com", ReasonNone},
		{"r3---sn-x.example.com", "example.com", "com", ReasonNone},
		{long63 + ".com", long63 + ".com", "com", ReasonNone},
		{name253, strings.Repeat("b", 57) + ".com", "com", ReasonNone},
		{name253 + ".", strings.Repeat("b", 57) + ".com", "com", ReasonNone},
		// Wildcards and exceptions.
		{"a.b.test.ck", "b.test.ck", "test.ck", ReasonNone},
		{"x.www.ck", "www.ck", "ck", ReasonNone},
		{"x.city.kobe.jp", "city.kobe.jp", "kobe.jp", ReasonNone},
		{"a.b.c.kobe.jp", "b.c.kobe.jp", "c.kobe.jp", ReasonNone},
		{"ck", "", "", ReasonPublicSuffix},
		{"foo.ck", "", "", ReasonPublicSuffix},
		{"kobe.jp", "", "", ReasonPublicSuffix},
		{"c.kobe.jp", "", "", ReasonPublicSuffix},
		{"sch.uk", "", "", ReasonPublicSuffix},
		// Internationalised names.
		{"Bücher.example.de", "example.de", "de", ReasonNone},
		{"BÜCHER.de", "xn--bcher-kva.de", "de", ReasonNone},
		{"bu\u0308cher.de", "xn--bcher-kva.de", "de", ReasonNone},
		{"XN--BCHER-KVA.DE", "xn--bcher-kva.de", "de", ReasonNone},
		{"straße.de", "xn--strae-oqa.de", "de", ReasonNone},
		{"食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn", "xn--55qx5d.cn", ReasonNone},
		{"example。com", "example.com", "com", ReasonNone},
		{"example.com。", "example.com", "com", ReasonNone},
		{"ｅｘａｍｐｌｅ．com", "example.com", "com", ReasonNone},
		{"i❤.ws", "xn--i-7iq.ws", "ws", ReasonNone},
		{"xn--i-7iq.ws", "xn--i-7iq.ws", "ws", ReasonNone},
		// Nothing there.
		{"", "", "", ReasonEmpty},
		{".", "", "", ReasonEmpty},
		// Addresses.
		{"[192.0.2.1]", "", "", ReasonIPLiteral},
		{"[IPv6:2001:db8::1]", "", "", ReasonIPLiteral},
		{"[ipv6:2001:db8::1]", "", "", ReasonIPLiteral},
		{"192.0.2.1", "", "", ReasonIPLiteral},
		{"192.0.2.1.", "", "", ReasonIPLiteral},
		{"2001:db8::1", "", "", ReasonIPLiteral},
		{"１９２.0.2.1", "", "", ReasonIPLiteral},
		{"[192.0.2.1", "", "", ReasonMalformed},
		{"192.0.2.1]", "", "", ReasonMalformed},
		{"[example.com]", "", "", ReasonMalformed},
		// Rubbish.
		{" example.com", "", "", ReasonMalformed},
		{"0\u2135.com", "", "", ReasonMalformed}, // a symbol that maps to a Hebrew letter, behind a digit (RFC 5893)
		{"example.com ", "", "", ReasonMalformed},
		{"example.com\n", "", "", ReasonMalformed},
		{"exa mple.com", "", "", ReasonMalformed},
		{"example\x00.com", "", "", ReasonMalformed},
		{"exa\u200bmple..com", "", "", ReasonMalformed},
		{"ex\u202eample.com", "", "", ReasonMalformed},
		{".example.com", "", "", ReasonMalformed},
		{"a..example.com", "", "", ReasonMalformed},
		{"example.com..", "", "", ReasonMalformed},
		{"..", "", "", ReasonMalformed},
		{"-example.com", "", "", ReasonMalformed},
		{"example-.com", "", "", ReasonMalformed},
		{"_dmarc.example.com", "", "", ReasonMalformed},
		{"under_score.com", "", "", ReasonMalformed},
		{"user@example.com", "", "", ReasonMalformed},
		{"example.com>", "", "", ReasonMalformed},
		{"example,com", "", "", ReasonMalformed},
		{"example.com:25", "", "", ReasonMalformed},
		{"http://example.com/", "", "", ReasonMalformed},
		{"xn--a.com", "", "", ReasonMalformed},
		{"xn--.com", "", "", ReasonMalformed},
		{"xn--bcher-kva\u00fc.com", "", "", ReasonMalformed},
		{"אa.com", "", "", ReasonMalformed}, // RFC 5893: both directions in one label
		{"a\ufffd.com", "", "", ReasonMalformed},
		{"\xff\xfe.com", "", "", ReasonMalformed},
		{long63 + "a.com", "", "", ReasonMalformed},
		{"a" + name253, "", "", ReasonMalformed},
		{strings.Repeat("a.", 200_000) + "com", "", "", ReasonMalformed},
		// Reserved.
		{"localhost", "", "", ReasonSpecialUse},
		{"printer.local", "", "", ReasonSpecialUse},
		{"foo.test", "", "", ReasonSpecialUse},
		{"foo.Invalid.", "", "", ReasonSpecialUse},
		{"foo.example", "", "", ReasonSpecialUse},
		{"expyuzz4wqqyqhjn.onion", "", "", ReasonSpecialUse},
		{"1.2.0.192.in-addr.arpa", "", "", ReasonSpecialUse},
		{"arpa", "", "", ReasonSpecialUse},
		{"nas.home.arpa", "", "", ReasonSpecialUse},
		{"foo.alt", "", "", ReasonSpecialUse},
		{"ec2.internal", "", "", ReasonSpecialUse},
		// Suffixes and unknown ones.
		{"com", "", "", ReasonPublicSuffix},
		{"COM.", "", "", ReasonPublicSuffix},
		{"co.uk", "", "", ReasonPublicSuffix},
		{"公司.cn", "", "", ReasonPublicSuffix},
		{"intranet", "", "", ReasonSingleLabel},
		{"mail.lan", "", "", ReasonUnknownTLD},
		{"example.notatld", "", "", ReasonUnknownTLD},
		{"999.999.999.999", "", "", ReasonUnknownTLD},
		// Let names.
		{"foo.uk.com", "", "", ReasonNotCovered},
		{"mail.foo.de.com", "", "", ReasonNotCovered},
		{"foo.br.com", "", "", ReasonNotCovered},
		{"foo.us.com", "", "", ReasonNotCovered},
		{"foo.co.com", "", "", ReasonNotCovered},
		{"foo.eu.org", "", "", ReasonNotCovered},
		{"foo.de.eu.org", "", "", ReasonNotCovered},
		{"foo.мск.рус", "", "", ReasonNotCovered},
		{"foo.dyndns.org", "", "", ReasonNotCovered},
		{"uk.com", "uk.com", "com", ReasonNone},
		{"eu.org", "eu.org", "org", ReasonNone},
		{"notuk.com", "notuk.com", "com", ReasonNone},
	}
	for _, tt := range tests {
		name, reason := Parse(tt.host)
		if reason != tt.reason || name.Registrable != tt.registrable || name.Suffix != tt.suffix {
			t.Errorf("Parse(%.80q) = %+v, %q; want %q below %q, %q",
				tt.host, name, reason, tt.registrable, tt.suffix, tt.reason)
		}
	}
}

func TestParseHost(t *testing.T) {
	for host, want := range map[string]string{
		"Mail.EXAMPLE.com.": "mail.example.com",
		"MAIL.Bücher.de":    "mail.xn--bcher-kva.de",
		"Foo.Uk.Com":        "foo.uk.com",
		"CO.UK":             "co.uk",
		"foo..com":          "",
		"[192.0.2.1]":       "",
	} {
		if name, _ := Parse(host); name.Host != want {
			t.Errorf("Parse(%q).Host = %q, want %q", host, name.Host, want)
		}
	}
}

// icannOnly lists every vector of the Public Suffix List's own tests whose answer differs here, with the
// answer that is right for lifecycle: private rules decide nothing, and nothing is registered below a
// top-level domain that does not exist.
var icannOnly = map[string]Reason{
	"uk.com":              ReasonNone,       // private rule: the name that CentralNic holds below com
	"example.uk.com":      ReasonNotCovered, // let by CentralNic
	"b.example.uk.com":    ReasonNotCovered,
	"a.b.example.uk.com":  ReasonNotCovered,
	"example.example":     ReasonSpecialUse, // the vectors apply the default rule "*" to unlisted ones
	"b.example.example":   ReasonSpecialUse,
	"a.b.example.example": ReasonSpecialUse,
}

func TestPublicSuffixVectors(t *testing.T) {
	file, err := os.Open("testdata/psl-tests.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ran, deviations := 0, 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 2 || strings.HasPrefix(fields[0], "//") {
			continue
		}
		ran++
		host, want := strings.ReplaceAll(fields[0], "null", ""), fields[1]
		name, reason := Parse(host)
		if deviation, ok := icannOnly[host]; ok {
			deviations++
			if reason != deviation {
				t.Errorf("Parse(%q) = %q, want the stated deviation %q", host, reason, deviation)
			}
			continue
		}
		if want == "null" {
			if reason == ReasonNone {
				t.Errorf("Parse(%q) = %q, want a reason", host, name.Registrable)
			}
			continue
		}
		if want, _ := canonical(want); name.Registrable != want || reason != ReasonNone {
			t.Errorf("Parse(%q) = %q, %q; want %q", host, name.Registrable, reason, want)
		}
	}
	if err := lines.Err(); err != nil || ran != 78 || deviations != len(icannOnly) {
		t.Errorf("ran %d vectors with %d of %d deviations, error %v", ran, deviations, len(icannOnly), err)
	}
}

func TestHostOf(t *testing.T) {
	tests := []struct {
		address, host string
		ok            bool
	}{
		{"a@example.com", "example.com", true},
		{`"a@b"@Example.com.`, "Example.com.", true},
		{"a@b@c", "c", true},
		{"a@[192.0.2.1]", "[192.0.2.1]", true},
		{"", "", false}, {"a", "", false}, {"@", "", false}, {"@example.com", "", false}, {"a@", "", false},
	}
	for _, tt := range tests {
		if host, ok := HostOf(tt.address); host != tt.host || ok != tt.ok {
			t.Errorf("HostOf(%q) = %q, %v", tt.address, host, ok)
		}
	}
}

func TestValidRegistrable(t *testing.T) {
	for name, want := range map[string]bool{
		"example.com": true, "foo.ac.uk": true, "xn--bcher-kva.de": true, "uk.com": true,
		"Example.com": false, "example.com.": false, "bücher.de": false, "www.example.com": false,
		"ac.uk": false, "com": false, "": false, "foo.uk.com": false, "foo.test": false, "foo.nosuchtld": false,
	} {
		if got := ValidRegistrable(name); got != want {
			t.Errorf("ValidRegistrable(%q) = %v", name, got)
		}
	}
}

func TestBelow(t *testing.T) {
	tests := []struct {
		host, domain string
		want         bool
	}{
		{"example.com", "example.com", true},
		{"mx.example.com", "example.com", true},
		{"notexample.com", "example.com", false},
		{"example.com", "mx.example.com", false},
		{".example.com", "example.com", false},
		{"example.com", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		if got := Below(tt.host, tt.domain); got != tt.want {
			t.Errorf("Below(%q, %q) = %v", tt.host, tt.domain, got)
		}
	}
}

func TestParseConcurrently(t *testing.T) {
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for _, host := range []string{"mail.bücher.de", "foo.uk.com", "x.y.city.kobe.jp"} {
				Parse(host)
			}
		})
	}
	group.Wait()
}

// checkParse states what holds for every input, hostile or not.
func checkParse(t interface{ Fatalf(string, ...any) }, host string) {
	name, reason := Parse(host)
	if reason != ReasonNone {
		if name.Registrable != "" || name.Suffix != "" {
			t.Fatalf("Parse(%q) = %+v with reason %q", host, name, reason)
		}
		if name.Host == "" {
			return
		}
	} else {
		if !Below(name.Host, name.Registrable) || !Below(name.Registrable, name.Suffix) ||
			strings.Count(name.Registrable, ".") != strings.Count(name.Suffix, ".")+1 {
			t.Fatalf("Parse(%q) = %+v", host, name)
		}
		if !ValidRegistrable(name.Registrable) {
			t.Fatalf("ValidRegistrable(%q) = false, from %q", name.Registrable, host)
		}
	}
	if !wellFormed(name.Host) {
		t.Fatalf("Parse(%q).Host = %q", host, name.Host)
	}
	if again, why := Parse(name.Host); again != name || why != reason {
		t.Fatalf("Parse(%q) = %+v, %q; of its own host: %+v, %q", host, name, reason, again, why)
	}
}

func TestParseProperties(t *testing.T) {
	label := rapid.OneOf(
		rapid.StringMatching(`[a-zA-Z0-9-]{1,12}`),
		rapid.StringN(0, 8, 80),
		rapid.SampledFrom([]string{"xn--bcher-kva", "XN--55QX5D", "ß", "公司", "city", "kobe", "www", "ck", "uk", "eu"}),
	)
	end := rapid.SampledFrom([]string{"", "com", "org", "jp", "CK", "co.uk", "cn", "рус", "test", "uk.com", "com.", "com。"})
	rapid.Check(t, func(t *rapid.T) {
		labels := append(rapid.SliceOfN(label, 0, 6).Draw(t, "labels"), end.Draw(t, "end"))
		checkParse(t, strings.Join(labels, "."))
	})
}

// TestSubdomainProperty: labels in front of a registrable domain do not change what is watched.
func TestSubdomainProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		registrable := rapid.SampledFrom([]string{"example.com", "foo.ac.uk", "www.ck", "b.c.kobe.jp"}).Draw(t, "name")
		front := rapid.SliceOfN(rapid.StringMatching(`[a-z0-9]{1,9}`), 1, 5).Draw(t, "labels")
		name, reason := Parse(strings.Join(front, ".") + "." + strings.ToUpper(registrable) + ".")
		if reason != ReasonNone || name.Registrable != registrable {
			t.Fatalf("got %+v, %q", name, reason)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"example.com", "WWW.Bücher.de.", "[192.0.2.1]", "a.b.city.kobe.jp", "foo.uk.com", "xn--a.com", "１.２.３.４",
		"a。b｡com", "\u200d.com", "ß.ck", "-", "..",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) { checkParse(t, host) })
}

func BenchmarkParse(b *testing.B) {
	for name, host := range map[string]string{
		"ascii": "mail.example.co.uk", "unicode": "Mail.Bücher.example.de", "private": "foo.eu.org",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Parse(host)
			}
		})
	}
}

// BenchmarkColdStart is what the first Parse of a process pays for the lists.
func BenchmarkColdStart(b *testing.B) {
	for b.Loop() {
		readLists()
	}
}
