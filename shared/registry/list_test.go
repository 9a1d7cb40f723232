package registry

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"
)

func host(name string, n int) string {
	return fmt.Sprintf(`{"host":%q,"addresses":%d,"oldest":"2026-01-01T00:00:00Z","newest":"2026-01-02T00:00:00+01:00"}`, name, n)
}

func page(rest string, hosts ...string) string {
	return `{"as_of":"2026-02-01T00:00:00Z","hosts":[` + strings.Join(hosts, ",") + `]` + rest + `}`
}

func TestPage(t *testing.T) {
	p, _, err := parsePage([]byte(page(`,"next":"b.example","more":true`, `{"host":"B.example","addresses":1,"oldest":null,"newest":null}`, host("b.example", 2))), "A.example", 2, false)
	if err != nil || len(p.Hosts) != 2 || p.Next != "b.example" || p.Complete || !p.AsOf.Equal(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("%+v %v", p, err)
	}
	want := HostCount{Host: "b.example", Addresses: 2, Oldest: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Newest: time.Date(2026, 1, 1, 23, 0, 0, 0, time.UTC)}
	if p.Hosts[1] != want || p.Hosts[0] != (HostCount{Host: "B.example", Addresses: 1}) {
		t.Fatalf("%+v", p.Hosts)
	}
	for _, last := range []string{page(`,"complete":true`), page(`,"complete":true,"next":null`, host("b.example", 1)), page(`,"complete":false`)} {
		if p, _, err := parsePage([]byte(last), "", 2, false); err != nil || p.Next != "" || p.Complete != strings.Contains(last, "true") {
			t.Errorf("%s: %+v %v", last, p, err)
		}
	}
	if p, _, err := parsePage([]byte(page(`,"complete":true`, host("b.example", 0))), "", 2, true); err != nil || p.Hosts[0].Addresses != 0 {
		t.Errorf("%+v %v", p, err)
	}
}

func TestPageThatDoesNotFitIsRefusedWhole(t *testing.T) {
	for name, body := range map[string]string{
		"empty":                 ``,
		"no page":               `[]`,
		"no hosts":              `{"as_of":"2026-02-01T00:00:00Z","complete":true}`,
		"null hosts":            `{"as_of":"2026-02-01T00:00:00Z","complete":true,"hosts":null}`,
		"no as_of":              `{"complete":true,"hosts":[]}`,
		"as_of no time":         `{"as_of":"today","complete":true,"hosts":[]}`,
		"too many":              page(``, host("b.example", 1), host("c.example", 1), host("d.example", 1)),
		"descending":            page(``, host("c.example", 1), host("b.example", 1)),
		"twice":                 page(``, host("b.example", 1), host("b.example", 1)),
		"the cursor":            page(``, host("a.example", 1)),
		"before the cursor":     page(``, host("Z.example", 1)),
		"negative":              page(``, host("b.example", -1)),
		"none":                  page(``, host("b.example", 0)),
		"no count":              page(``, `{"host":"b.example","oldest":null,"newest":null}`),
		"fraction":              page(``, `{"host":"b.example","addresses":1.5}`),
		"an address":            page(``, host("alice@b.example", 1)),
		"a space":               page(``, host("b example", 1)),
		"control":               page(``, `{"host":"b\u0000.example","addresses":1}`),
		"long":                  page(``, host(strings.Repeat("b", 256), 1)),
		"no host":               page(``, `{"addresses":1}`),
		"oldest after newest":   page(``, `{"host":"b.example","addresses":1,"oldest":"2026-01-02T00:00:00Z","newest":"2026-01-01T00:00:00Z"}`),
		"closed, not an object": page(``, closed(`3`)),
		"closed, no count":      page(``, closed(`{"since":"2026-01-02T00:00:00Z","continuous_until":"2026-01-01T00:00:00Z"}`)),
		"closed, none":          page(``, closed(`{"addresses":0,"since":"2026-01-02T00:00:00Z","continuous_until":"2026-01-01T00:00:00Z"}`)),
		"closed, negative":      page(``, closed(`{"addresses":1,"since":"2026-01-02T00:00:00Z","continuous_until":"2026-01-01T00:00:00Z","reported":-1}`)),
		"closed, huge":          page(``, closed(`{"addresses":99999999999999999999,"since":"2026-01-02T00:00:00Z","continuous_until":"2026-01-01T00:00:00Z"}`)),
		"closed, no since":      page(``, closed(`{"addresses":1,"continuous_until":"2026-01-01T00:00:00Z"}`)),
		"closed, no until":      page(``, closed(`{"addresses":1,"since":"2026-01-02T00:00:00Z","continuous_until":null}`)),
		"closed, until later":   page(``, closed(`{"addresses":1,"since":"2026-01-02T00:00:00Z","continuous_until":"2026-01-03T00:00:00Z"}`)),
		"closed, before 1970":   page(``, closed(`{"addresses":1,"since":"2026-01-02T00:00:00Z","continuous_until":"1969-01-01T00:00:00Z"}`)),
		"recovery no truth":     page(`,"recovery":"closed"`),
		"next of nothing":       page(`,"next":"b.example"`),
		"next else":             page(`,"next":"c.example"`, host("b.example", 1)),
		"next and complete":     page(`,"next":"b.example","complete":true`, host("b.example", 1)),
		"twice the member":      page(`,"complete":false,"complete":true`),
		"trailing":              page(`,"complete":true`) + `{}`,
		"cut":                   page(`,"complete":true`, host("b.example", 1))[:60],
		"2^63-1":                page(``, host("b.example", math.MaxInt64)),
		"2^63":                  page(``, `{"host":"b.example","addresses":9223372036854775808,"oldest":null,"newest":null}`),
		"an exponent":           page(``, `{"host":"b.example","addresses":1e300,"oldest":null,"newest":null}`),
		"one too many":          page(``, host("b.example", MaxAddresses+1)),
	} {
		p, _, err := parsePage([]byte(body), "a.example", 2, false)
		if err == nil || Kind(err) != KindRetryable || p.Hosts != nil || strings.Contains(err.Error(), "alice") {
			t.Errorf("%s: %+v %v", name, p, err)
		}
	}
}

// TestTimesThatCannotBe count as unknown: an oldest verification that lies in the future would hide every lapse.
func TestTimesThatCannotBe(t *testing.T) {
	const asOf = "2026-02-01T00:00:00Z"
	for _, c := range []struct {
		oldest, newest string
		believed       bool
	}{
		{`"2026-01-01T00:00:00Z"`, `"2026-02-01T23:59:59Z"`, true}, // the other clock may be ahead
		{`"1970-01-01T00:00:01Z"`, `"1970-01-01T00:00:01Z"`, true},
		{`null`, `"2026-01-01T00:00:00Z"`, true},
		{`"2126-01-01T00:00:00Z"`, `"2126-01-01T00:00:00Z"`, false},
		{`"9999-12-31T23:59:59Z"`, `"9999-12-31T23:59:59Z"`, false},
		{`"2026-01-01T00:00:00Z"`, `"2026-02-02T00:00:01Z"`, false}, // whose time that is nobody knows: the oldest is unknown too
		{`"1969-12-31T23:59:59Z"`, `"2026-01-01T00:00:00Z"`, false},
		{`"0000-01-01T00:00:00Z"`, `"2026-01-01T00:00:00Z"`, false},
	} {
		var log bytes.Buffer
		client := serve(t, says(200, "application/json", fmt.Sprintf(`{"as_of":%q,"complete":true,"hosts":[{"host":"b.example","addresses":1,"oldest":%s,"newest":%s}]}`, asOf, c.oldest, c.newest)),
			func(cfg *Config) { cfg.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
		p, err := client.List(t.Context(), "", 10, time.Time{})
		if err != nil || len(p.Hosts) != 1 {
			t.Errorf("%s to %s: %v", c.oldest, c.newest, err)
			continue
		}
		if known := !p.Hosts[0].Newest.IsZero(); known != c.believed || !c.believed && !p.Hosts[0].Oldest.IsZero() {
			t.Errorf("%s to %s: %+v", c.oldest, c.newest, p.Hosts[0])
		}
		if warned := strings.Contains(log.String(), "registry_times_not_believed"); warned == c.believed {
			t.Errorf("%s to %s: log %s", c.oldest, c.newest, log.String())
		}
	}
}

func TestCountsInAnswersAreBounded(t *testing.T) {
	a, err := parseAnswer([]byte(`{"changed":9223372036854775807,"already_unverified":9223372036854775807,"kept_verified_later":9223372036854775807,"recovery":"closed"}`))
	if err != nil || a != (Answer{Changed: MaxAddresses, AlreadyUnset: MaxAddresses, KeptLater: MaxAddresses, Recovery: RecoveryClosed}) {
		t.Errorf("%+v %v", a, err)
	}
	c := serve(t, says(200, "application/json", `{"restored":9223372036854775807,"kept":9223372036854775807}`), nil)
	if r, err := c.Restore(t.Context(), "k"); err != nil || r != (Restored{MaxAddresses, MaxAddresses}) {
		t.Errorf("%+v %v", r, err)
	}
}

// closed is a host all of whose addresses are unverified, with what is closed there.
func closed(object string) string {
	return `{"host":"b.example","addresses":0,"oldest":null,"newest":null,"closed":` + object + `}`
}

func TestPageOfARegistryThatClosesRecovery(t *testing.T) {
	const full = `{"addresses":2,"since":"2026-01-02T01:00:00+01:00","continuous_until":"2026-01-01T00:00:00Z","reported":1,"later":[]}`
	p, _, err := parsePage([]byte(page(`,"complete":true,"recovery":true,"mail_is_sign_in":true`, closed(full), host("c.example", 1))), "", 2, false)
	if err != nil || !p.Recovery || !p.MailIsSignIn {
		t.Fatalf("%+v %v", p, err)
	}
	want := Closed{Addresses: 2, Since: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), ContinuousUntil: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Reported: 1}
	if p.Hosts[0] != (HostCount{Host: "b.example", Closed: want}) || p.Hosts[1].Closed != (Closed{}) {
		t.Fatalf("%+v", p.Hosts)
	}
	p, _, err = parsePage([]byte(page(`,"complete":true`, `{"host":"b.example","addresses":1,"oldest":null,"newest":null,"closed":null}`)), "", 2, false)
	if err != nil || p.Recovery || p.MailIsSignIn || p.Hosts[0].Closed != (Closed{}) {
		t.Fatalf("%+v %v", p, err)
	}
}

func TestListBoundsThePage(t *testing.T) {
	c := serve(t, says(200, "application/json", page(`,"complete":true,"pad":"`+strings.Repeat("x", maxPageBody)+`"`)), nil)
	if _, err := c.List(t.Context(), "", MaxPage, time.Time{}); Kind(err) != KindRetryable || err == nil || !strings.Contains(err.Error(), "longer") {
		t.Fatal(err)
	}
}

// Whatever is taken fits the contract, and no error quotes what was sent.
func FuzzParsePage(f *testing.F) {
	f.Add([]byte(page(`,"complete":true`, host("b.example", 1), host("c.example", 2))), "a.example", 10, false)
	f.Add([]byte(page(`,"next":"b.example"`, host("b.example", 0))), "", 1, true)
	f.Add([]byte(page(``, host("alice@b.example", 1))), "", 1, true)
	f.Add([]byte(page(`,"recovery":true`, closed(`{"addresses":2,"since":"2026-01-02T00:00:00Z","continuous_until":"2026-01-01T00:00:00Z"}`))), "", 1, false)
	f.Fuzz(func(t *testing.T, data []byte, after string, limit int, changes bool) {
		p, _, err := parsePage(data, after, limit, changes)
		if err != nil {
			if strings.Contains(err.Error(), "@") {
				t.Fatal("an @ got out")
			}
			return
		}
		before := after
		for _, h := range p.Hosts {
			if h.Host <= before || strings.Contains(h.Host, "@") || h.Addresses < 0 || h.Addresses > MaxAddresses || h.Addresses == 0 && !changes && h.Closed.Addresses == 0 ||
				h.Closed.Addresses < 0 || h.Closed.ContinuousUntil.After(h.Closed.Since) || (h.Closed.Addresses == 0) != h.Closed.Since.IsZero() {
				t.Fatalf("%+v after %q", h, before)
			}
			before = h.Host
		}
		if len(p.Hosts) > limit || p.AsOf.IsZero() || p.Next != "" && (p.Complete || p.Next != before) {
			t.Fatalf("%+v", p)
		}
	})
}

func FuzzCleanLeavesNoAddress(f *testing.F) {
	for _, s := range []string{"alice@mail.example said", `"al ice"@mail.example`, "a%40b", "\uff20", strings.Repeat("\u00e9", 300), "\xff\xfe", "a\n@"} {
		f.Add(s, 100)
	}
	f.Add("cut behind a space", 4)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 1000)
		got := clean(s, limit)
		if hasAt(got) || len(got) > limit || strings.ContainsAny(got, "\n\r\x00\x1b") || strings.ToValidUTF8(got, "") != got {
			t.Fatalf("%q", got)
		}
		if clean(got, limit) != got {
			t.Fatalf("%q becomes %q", got, clean(got, limit))
		}
	})
}

func BenchmarkParsePage(b *testing.B) {
	hosts := make([]string, MaxPage)
	for i := range hosts {
		hosts[i] = host(fmt.Sprintf("h%06d.example", i), 3)
	}
	data := []byte(page(`,"complete":true`, hosts...))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parsePage(data, "", MaxPage, false); err != nil {
			b.Fatal(err)
		}
	}
}
