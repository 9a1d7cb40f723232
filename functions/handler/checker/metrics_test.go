package checker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// TestAQuietMXLookCostsNoWrite: a domain's MX set is asked once a week, and a failed look again the next day.
func TestAQuietMXLookCostsNoWrite(t *testing.T) {
	w := newWorld(t)
	w.BaselineDays = 14
	mx := &answers{w: w, source: source.SourceMail, by: map[string]source.Observation{}}
	w.Ask[queue.KindMail] = mx
	w.dns.by["example-one.com"] = delegated("ns1.host.example")
	w.rdap.by["example-one.com"] = registered("active")
	mx.by["example-one.com"] = source.Observation{Outcome: source.Observed, Mail: &source.Mail{Hosts: []string{"mx.example-one.com"}}}
	w.quiet("example-one.com")
	week := func() (writes int) {
		mx.asked = nil
		for range 7 {
			w.count.writes = 0
			w.ask(queue.Message{}, w.entry("example-one.com"))
			writes += w.count.writes
			w.at = w.at.Add(24 * time.Hour)
		}
		return writes
	}
	if week(); len(mx.asked) != 1 {
		t.Fatalf("asked %d times in the first week, want once", len(mx.asked))
	}
	w.putOff("example-one.com")
	if writes := week(); len(mx.asked) != 1 || writes != 0 {
		t.Errorf("asked %d times in a quiet week, want once; %d writes, want none", len(mx.asked), writes)
	}
	mx.by["example-one.com"] = source.Observation{Outcome: source.Unknown, Cause: source.CauseMalformed}
	w.putOff("example-one.com")
	if week(); len(mx.asked) < 2 {
		t.Errorf("asked %d times in a week of answers that cannot be read: a failed look is made again the next day", len(mx.asked))
	}
}

// putOff puts off the registry's turn of a stored domain.
func (w *world) putOff(name string) {
	w.t.Helper()
	d := w.get(name)
	d.State.NextRDAP = lifecycle.At(w.at.Add(2 * lifecycle.Weekly))
	if err := w.Store.Write(w.t.Context(), d.Put()); err != nil {
		w.t.Fatal(err)
	}
}

func TestUpstreamNamesAreFew(t *testing.T) {
	if n := len(Upstreams()); n > 6 {
		t.Errorf("%d upstreams are told apart, want at most six", n)
	}
	for _, c := range []struct {
		kind           queue.Kind
		upstream, want string
	}{
		{queue.KindDelegation, "com", "delegation/com"},
		{queue.KindDelegation, "co.uk", "delegation/other"},
		{queue.KindDelegation, "net", "delegation/other"},
		{queue.KindRDAP, "https://rdap.verisign.com/com/v1/", "rdap/rdap.verisign.com"},
		{queue.KindRDAP, "https://rdap.example.net/", "rdap/other"},
		{queue.KindMail, ResolverUpstream, "mail/resolver"},
		{queue.KindStatus, "fastly", "status"},
	} {
		if got := upstreamName(queue.Message{Kind: c.kind, Upstream: c.upstream}); got != c.want {
			t.Errorf("%s %s is %q, want %q", c.kind, c.upstream, got, c.want)
		}
	}
}

// TestWhatAnUpstreamFailedToAnswerIsMeasured also where the message is parked, so that no answer is folded.
func TestWhatAnUpstreamFailedToAnswerIsMeasured(t *testing.T) {
	w := newWorld(t)
	var stats bytes.Buffer
	w.Metrics = telemetry.NewMetrics(&stats, w.Now, w.Log)
	w.Published = func() time.Time { return w.at.AddDate(0, 0, -61) }
	w.dns.by["example-one.com"] = delegated("ns1.host.example")
	w.rdap.by["example-one.com"] = source.Observation{Outcome: source.Unknown, Cause: source.CauseRateLimited, Said: "429"}
	w.ask(queue.Message{Run: "20260302T030000Z"}, w.add("example-one.com"))
	for _, want := range []string{
		`"Dimensions":[["Upstream"]],"Metrics":[{"Name":"UpstreamErrors","Unit":"Count"}]`,
		`"Upstream":"rdap/other","UpstreamErrors":1`, `{"ListAge":61,"UpstreamThrottled":1,"_aws"`,
	} {
		if !strings.Contains(stats.String(), want) {
			t.Errorf("metrics lack %s:\n%s", want, &stats)
		}
	}
	stats.Reset()
	w.dns.by["example-three.com"] = delegated("ns1.host.example")
	w.ask(queue.Message{Kind: queue.KindDelegation, Upstream: "com"}, w.quiet("example-two.com"), w.quiet("example-three.com"))
	if strings.Contains(stats.String(), "UpstreamThrottled") || !strings.Contains(stats.String(), `"Upstream":"delegation/com","UpstreamErrors":1`) {
		t.Errorf("one of two names was not answered by its zone:\n%s", &stats)
	}
	if !strings.Contains(stats.String(), `{"UpstreamFailing":1,`) {
		t.Errorf("half of what com was asked:\n%s", &stats)
	}
	var many []queue.Entry
	for i := range manyDomains {
		many = append(many, w.quiet(fmt.Sprintf("example-%d.de", i)))
	}
	for _, c := range []struct {
		zone    string
		entries []queue.Entry
		want    int
	}{{"de", many, 1}, {"de", many[1:], 0}, {"net", []queue.Entry{w.quiet("example-one.net")}, 1}} {
		stats.Reset()
		w.ask(queue.Message{Kind: queue.KindDelegation, Upstream: c.zone}, c.entries...)
		if n := strings.Count(stats.String(), `"UpstreamFailing":1`); n != c.want {
			t.Errorf("%s failed for %d domains: told %d times, want %d", c.zone, len(c.entries), n, c.want)
		}
	}
}
