package checker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// grave is the dead letters.
type grave struct {
	fail   error
	bodies []string
}

func (g *grave) Bury(_ context.Context, m events.SQSMessage) error {
	if g.fail == nil {
		g.bodies = append(g.bodies, m.Body)
	}
	return g.fail
}

// newerItem is a stored domain as a later version may write it: of another number, and of other types.
const newerItem = `{"v":99,"s":"otherwise"}`

// upgrade makes a stored domain one that a newer version wrote.
func (w *world) upgrade(name string) {
	w.t.Helper()
	it, err := w.Store.Get(w.t.Context(), records.DomainKey(name))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.t.Fatal(err)
	}
	it.Key, it.Data = records.DomainKey(name), []byte(newerItem)
	if err := w.Store.Write(w.t.Context(), store.Write{Item: it}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stats() *bytes.Buffer {
	var out bytes.Buffer
	w.Metrics = telemetry.NewMetrics(&out, w.Now, w.Log)
	return &out
}

func (w *world) untouched(name string) {
	w.t.Helper()
	it, err := w.Store.Get(w.t.Context(), records.DomainKey(name))
	if err != nil || string(it.Data) != newerItem {
		w.t.Errorf("%s was written over: %s %v", name, it.Data, err)
	}
}

// TestAMessageThatNobodyCanReadIsADeadLetterAtOnce: it keeps nobody waiting, and can be redriven after an upgrade.
func TestAMessageThatNobodyCanReadIsADeadLetterAtOnce(t *testing.T) {
	w := newWorld(t)
	dead := &grave{}
	w.DeadLetters = dead
	w.dns.by["a-one.com"] = delegated("ns1.host.example")
	body, err := queue.Encode(queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Share: 1, Sent: w.at}, []queue.Entry{w.add("a-one.com")})[0])
	if err != nil {
		t.Fatal(err)
	}
	newer := `{"v":2,"what":"nobody here knows"}`
	bad := []string{newer, `{"v":1}`, `{"v":1,"kind":"whois"}`, "", "\x00", `{"v":1,"kind":"mail","upstream":"resolver"`}
	records := make([]events.SQSMessage, len(bad))
	for i, body := range bad {
		records[i] = record(i, "g", body)
	}
	if res := w.handleRecords(append(records, record(len(bad), "g", string(body)))...); len(res.BatchItemFailures) != 0 {
		t.Errorf("given back: %+v", res.BatchItemFailures)
	}
	if !slices.Equal(dead.bodies, bad) {
		t.Errorf("dead letters %q", dead.bodies)
	}
	if w.get("a-one.com").State.DelegAt == 0 {
		t.Error("the message behind it was not answered")
	}
	dead.fail = errors.New("throttled")
	if res := w.handleRecords(record(0, "g", newer)); len(res.BatchItemFailures) != 1 {
		t.Errorf("it could not be buried, and is lost: %+v", res.BatchItemFailures)
	}
}

// TestANewerItemIsSkippedAndCounted: carried, read, or met in a conflict, it is left alone, and the others go on.
func TestANewerItemIsSkippedAndCounted(t *testing.T) {
	tests := map[string]func(w *world, e *queue.Entry){
		"carried": func(w *world, e *queue.Entry) { w.upgrade(e.Name); e.Item = json.RawMessage(newerItem) },
		"read":    func(w *world, e *queue.Entry) { w.upgrade(e.Name); e.Item = nil },
		"written while the message was under way": func(w *world, e *queue.Entry) { w.upgrade(e.Name) },
	}
	for name, upgrade := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			stats := w.stats()
			var log bytes.Buffer
			w.Log = telemetry.NewLogger(&log, 0)
			w.dns.by["a-one.com"], w.dns.by["b-two.com"] = delegated("ns1.host.example"), delegated("ns1.host.example")
			w.rdap.by["b-two.com"] = registered("active")
			first, second := w.add("a-one.com"), w.add("b-two.com")
			upgrade(w, &first)
			w.ask(queue.Message{Run: "20260302T030000Z"}, first, second)
			if d := w.get("b-two.com"); d.State.Phase != lifecycle.Active {
				t.Errorf("the other domain was not judged: %+v", d)
			}
			w.untouched("a-one.com")
			if len(w.rdap.asked) != 1 || strings.Contains(log.String(), "domain_broke_the_program") {
				t.Errorf("RDAP asked about %v; the log says\n%s", w.rdap.asked, &log)
			}
			if !strings.Contains(stats.String(), `"ItemsSkipped":1`) || !strings.Contains(log.String(), "items_skipped") {
				t.Errorf("not counted: %s", stats)
			}
			tally, err := w.book().Balance(t.Context(), "20260302T030000Z")
			if err != nil || len(tally.Missing) != 0 {
				t.Errorf("%+v %v: the message was answered", tally, err)
			}
		})
	}
}

// TestANewerMailHostStopsNobodyWhoDependsOnIt.
func TestANewerMailHostStopsNobodyWhoDependsOnIt(t *testing.T) {
	w, resolver := mailWorld(t)
	w.quiet("customer.com")
	w.upgrade("mail-host.net")
	resolver.by["customer.com"] = mx("mx.mail-host.net", "mx.other-host.net")
	w.askMail("customer.com")
	w.untouched("mail-host.net")
	if !w.get("other-host.net").MailHost || len(w.dependents("mail-host.net")) != 1 {
		t.Error("what else the domain depends on is not watched, or not noted")
	}
}

// TestADomainThatLeftWhileItWasAskedAbout raises no question, and stops no other.
func TestADomainThatLeftWhileItWasAskedAbout(t *testing.T) {
	w := newWorld(t)
	w.dns.by["a-one.com"], w.dns.by["b-two.com"] = delegated("ns1.host.example"), delegated("ns1.host.example")
	w.rdap.by["b-two.com"] = registered("active")
	first, second := w.add("a-one.com"), w.add("b-two.com")
	it, err := w.Store.Get(t.Context(), records.DomainKey("a-one.com"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Store.Write(t.Context(), store.Write{Item: it, Delete: true}); err != nil {
		t.Fatal(err)
	}
	w.ask(queue.Message{}, first, second)
	if len(w.rdap.asked) != 1 || w.get("b-two.com").State.Phase != lifecycle.Active {
		t.Errorf("asked %v; the other is %+v", w.rdap.asked, w.get("b-two.com"))
	}
}
