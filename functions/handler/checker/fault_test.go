package checker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
)

var errThrottled = errors.New("throttled")

// shaky is a store whose at-th call fails, once; meet is called before each group of writes with its domain.
type shaky struct {
	store.Store
	n, at int
	what  string // the call that failed
	meet  func(name string)
}

func (f *shaky) fails(what string) bool {
	if f.n++; f.n == f.at {
		f.what = what
		return true
	}
	return false
}

func (f *shaky) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if f.fails("Get " + k.PK + " " + k.SK) {
		return store.Item{}, errThrottled
	}
	return f.Store.Get(ctx, k)
}

func (f *shaky) Query(ctx context.Context, q store.Query) ([]store.Item, bool, error) {
	if f.fails("Query " + q.PK) {
		return nil, false, errThrottled
	}
	return f.Store.Query(ctx, q)
}

func (f *shaky) Write(ctx context.Context, w ...store.Write) error {
	if f.fails("Write " + w[0].PK + " " + w[0].SK) {
		return errThrottled
	}
	return f.Store.Write(ctx, w...)
}

// WriteEach fails for the last group: the others are written.
func (f *shaky) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	for _, g := range groups {
		if f.meet != nil {
			f.meet(g[0].PK)
		}
	}
	if len(groups) > 0 && f.fails("WriteEach") {
		last := len(groups) - 1
		return append(f.Store.WriteEach(ctx, groups[:last]), errThrottled)
	}
	return f.Store.WriteEach(ctx, groups)
}

// sender is an outbox whose at-th send fails, once.
type sender struct {
	outbox
	n, at int
}

func (s *sender) Send(ctx context.Context, m []queue.Message) ([]queue.Message, error) {
	if s.n++; s.n == s.at {
		return m, errThrottled
	}
	return s.outbox.Send(ctx, m)
}

const faultyRun = "20260303T030000Z"

// faultyWorld has domains on their second day, of which one is gone, one has other name servers, one is parked for its
// zone's silence, and one moved its mail.
func faultyWorld(t *testing.T) (*world, *shaky, *sender, []queue.Message) {
	t.Helper()
	w, resolver := mailWorld(t)
	names := []string{"a-one.com", "b-two.com", "c-three.com", "d-four.com", "e-five.com"}
	var entries []queue.Entry
	for _, name := range names {
		w.dns.by[name], w.rdap.by[name] = delegated("ns.old-host.net"), registered("active")
		resolver.by[name] = mx("mx.mail-host.net")
		entries = append(entries, w.add(name))
	}
	w.ask(queue.Message{}, entries...)
	w.askMail(names...)
	w.at = w.at.Add(24 * time.Hour)
	w.dns.by["a-one.com"], w.rdap.by["a-one.com"] = gone(), registered("redemption period")
	w.dns.by["b-two.com"] = delegated("ns.new-host.net")
	w.dns.by["c-three.com"] = source.Observation{Outcome: source.Unknown, Cause: source.CauseNotAsked, Said: "not asked"}
	resolver.by["d-four.com"] = mx("mx.fresh-host.net")
	entries = nil
	for _, name := range names[:4] {
		w.putOff(name)
		entries = append(entries, w.entry(name))
	}
	entries = append(entries, queue.Entry{Name: "e-five.com"}) // carries nothing, as a parked one
	m := queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Run: faultyRun, Share: 1, Sent: w.at}, entries)
	m = append(m, queue.Pack(queue.Message{Kind: queue.KindMail, Upstream: ResolverUpstream, Run: faultyRun, Share: 1, Sent: w.at}, []queue.Entry{w.entry("d-four.com")})...)
	f := &shaky{Store: w.Store}
	out := &sender{}
	w.Store, w.Queue = f, out
	return w, f, out, m
}

// settle handles messages, and what they raise, as the queue would: what failed comes again.
func (w *world) settle(out *sender, messages []queue.Message) (failures int) {
	w.t.Helper()
	for range 20 {
		if len(messages) == 0 {
			return failures
		}
		var e []queue.Message
		for _, m := range messages {
			body, err := queue.Encode(m)
			if err != nil {
				w.t.Fatal(err)
			}
			res, err := w.Handle(w.t.Context(), events.SQSEvent{Records: []events.SQSMessage{record(0, m.Group, string(body))}})
			if err != nil || len(res.BatchItemFailures) > 0 {
				failures++
				e = append(e, m)
			}
		}
		messages = append(e, out.messages...)
		out.messages = nil
	}
	w.t.Fatal("the messages never end")
	return failures
}

// table is what a run made of the table.
func (w *world) table() map[string]string {
	w.t.Helper()
	got := map[string]string{}
	items, _, err := w.Store.Scan(w.t.Context(), 0, 1, "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, it := range items {
		got[it.PK] = string(it.Data)
		entries, err := w.book().History(w.t.Context(), it.PK, 100)
		if err != nil {
			w.t.Fatal(err)
		}
		for i, e := range entries {
			said := fmt.Sprint(e.Evidence)
			if len(e.Evidence) > 0 && e.Evidence[0].Source != source.SourceDelegation {
				said = "" // new name servers are its own once registry and resolver were heard, whichever is last
			}
			got[fmt.Sprint(it.PK, " history ", i)] = fmt.Sprint(e.Before, e.After, e.Action, e.Reason, said)
		}
	}
	for _, host := range []string{"old-host.net", "new-host.net", "mail-host.net", "fresh-host.net"} {
		got["who depends on "+host] = fmt.Sprint(w.dependents(host))
	}
	for _, m := range w.parked() {
		got["parked "+m.ID] = fmt.Sprint(m.Kind, m.Upstream, m.Tries, len(m.Domains))
	}
	tally, err := w.book().Balance(w.t.Context(), faultyRun)
	if err != nil {
		w.t.Fatal(err)
	}
	got["run"] = fmt.Sprint(tally)
	return got
}

// TestWhateverCallFailsTheMessageComesAgain, and leads where it would have led undisturbed.
func TestWhateverCallFailsTheMessageComesAgain(t *testing.T) {
	w, f, out, m := faultyWorld(t)
	if n := w.settle(out, m); n != 0 {
		t.Fatalf("%d failures undisturbed", n)
	}
	calls, sends := f.n, out.n
	want := w.table()
	if calls < 15 || sends < 1 || len(want) < 15 {
		t.Fatalf("%d calls, %d sends, %d rows: %v", calls, sends, len(want), slices.Sorted(maps.Keys(want)))
	}
	for at := 1; at <= calls+sends; at++ {
		w, f, out, m := faultyWorld(t)
		if f.at = at; at > calls {
			f.at, out.at, f.what = 0, at-calls, "Send"
		}
		if n := w.settle(out, m); n != 1 {
			t.Errorf("%s (%d) fails: %d messages came again, want one", f.what, at, n)
		}
		if diff := cmp.Diff(want, w.table()); diff != "" {
			t.Errorf("%s (%d) fails: %s", f.what, at, diff)
		}
	}
}

// TestWhoeverWritesMeanwhileTheAnswerCounts: it is judged again on what is stored, and what it raises is asked.
func TestWhoeverWritesMeanwhileTheAnswerCounts(t *testing.T) {
	w, _, out, m := faultyWorld(t)
	w.settle(out, m)
	asked := len(w.rdap.asked)
	w, f, out, m := faultyWorld(t)
	met := map[string]int{}
	f.meet = func(name string) {
		if met[name]++; met[name] > 3 {
			return
		}
		d, err := records.In(f.Store).Domain(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		d.Addresses += 100
		if err := f.Store.Write(t.Context(), d.Put()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.settle(out, m); n != 0 {
		t.Errorf("%d messages came again", n)
	}
	d := w.get("a-one.com")
	if d.State.Phase != lifecycle.Redemption || d.Action != lifecycle.Unverify || d.Addresses != 301 || d.State.Deleg != lifecycle.DelegationGone {
		t.Errorf("%+v", d)
	}
	if d := w.get("d-four.com"); d.Addresses != 301 || !slices.Equal(w.dependents("fresh-host.net"), []string{"d-four.com/mx"}) {
		t.Errorf("%+v, who depends on the new mail host: %v", d, w.dependents("fresh-host.net"))
	}
	if len(w.rdap.asked) != asked {
		t.Errorf("the registry was asked %d times, undisturbed %d", len(w.rdap.asked), asked)
	}
}

// TestAConflictThatDoesNotEndGivesTheMessageBack.
func TestAConflictThatDoesNotEndGivesTheMessageBack(t *testing.T) {
	w, f, out, m := faultyWorld(t)
	tries := 0
	f.meet = func(name string) {
		if name == "a-one.com" {
			tries++
		}
		d, err := records.In(f.Store).Domain(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Store.Write(t.Context(), d.Put())
	}
	w.Queue = out
	if res := w.handle(m[0]); len(res.BatchItemFailures) != 1 || tries != 5 {
		t.Errorf("%+v after %d tries, want it back after five", res, tries)
	}
}

// TestARedeliveredMessageKeepsItsMarker: the first answer counts.
func TestARedeliveredMessageKeepsItsMarker(t *testing.T) {
	w, _, out, m := faultyWorld(t)
	w.settle(out, m)
	before, err := w.book().Balance(t.Context(), faultyRun)
	if err != nil {
		t.Fatal(err)
	}
	for name := range w.dns.by {
		w.dns.by[name] = source.Observation{Outcome: source.Unknown, Cause: source.CauseMalformed, Said: "noise"}
	}
	for i := range m[0].Domains {
		m[0].Domains[i].Item = json.RawMessage(nil)
	}
	w.handle(m[0])
	after, err := w.book().Balance(t.Context(), faultyRun)
	if err != nil || after.Checked != before.Checked || after.Good["delegation/com"] != before.Good["delegation/com"] || len(after.Missing) != len(before.Missing) {
		t.Errorf("before %+v, after the redelivery %+v %v", before, after, err)
	}
}

func (w *world) logged() *bytes.Buffer {
	var log bytes.Buffer
	w.Log = slog.New(slog.NewJSONHandler(&log, nil))
	return &log
}
