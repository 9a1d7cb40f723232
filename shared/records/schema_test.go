package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// TestReadsWhatTheVersionBeforeWrote: testdata/schema-1.json has every record with every field, as the first version
// wrote it. A field that is taken away or renamed without being read any more is a decision that is forgotten.
func TestReadsWhatTheVersionBeforeWrote(t *testing.T) {
	data, err := os.ReadFile("testdata/schema-1.json")
	if err != nil {
		t.Fatal(err)
	}
	var written map[string]json.RawMessage
	if err := json.Unmarshal(data, &written); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]any{
		"run": &Run{}, "synced": &Synced{}, "segment": &Segment{}, "sent": &Sent{}, "marker": &Marker{}, "upstream": &Upstream{}, "lease": &Lease{},
		"host": &Host{}, "entry": &Entry{}, "canary": &Canary{}, "hold": &safety.Hold{}, "ledger": &safety.Ledger{}, "domain": &Domain{},
	}
	if a, b := slices.Sorted(maps.Keys(kinds)), slices.Sorted(maps.Keys(written)); !slices.Equal(a, b) {
		t.Fatalf("kinds %v, written %v", a, b)
	}
	written["domain"] = without(t, written["domain"], "wd", "hd", "ap", "rt")
	for kind, v := range kinds {
		d := json.NewDecoder(bytes.NewReader(written[kind]))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if again := mustJSON(v); !sameJSON(t, again, written[kind]) {
			t.Errorf("%s: was\n%s\nis\n%s", kind, written[kind], again)
		}
	}
	d, err := ParseDomain(store.Item{Key: DomainKey("example-one.com"), Data: written["domain"], Version: 7})
	if err != nil || d.Name != "example-one.com" || d.Version() != 7 {
		t.Errorf("%+v %v", d, err)
	}
}

// sameJSON tells whether all that was written is there again; what this version adds is its own.
func sameJSON(t *testing.T, now, was []byte) bool {
	t.Helper()
	var a, b map[string]any
	if err := errors.Join(json.Unmarshal(now, &a), json.Unmarshal(was, &b)); err != nil {
		t.Fatal(err)
	}
	return holds(a, b)
}

func holds(now, was any) bool {
	a, okA := now.(map[string]any)
	b, okB := was.(map[string]any)
	if !okA || !okB {
		return fmt.Sprint(now) == fmt.Sprint(was)
	}
	for k := range b {
		if !holds(a[k], b[k]) {
			return false
		}
	}
	return true
}

// without takes away what is dropped on purpose: that observe mode reported a decision and that a hold was recorded, which
// come again, and what an operator approved or had repeated, which the function that parses the internet could write there.
func without(t *testing.T, data json.RawMessage, fields ...string) json.RawMessage {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if _, ok := all[f]; !ok {
			t.Errorf("%s was never written", f)
		}
		delete(all, f)
	}
	return mustJSON(all)
}

// TestItemsOfANewerSchemaAreLeftOut, by name, and the others are read; what is damaged is an error.
func TestItemsOfANewerSchemaAreLeftOut(t *testing.T) {
	b := newBook(t)
	names := []string{"number.com", "state.com", "types.com", "fine.com"}
	for i, data := range []string{
		`{"v":2,"s":{"v":1}}`, fmt.Sprintf(`{"v":1,"s":{"v":%d}}`, lifecycle.StateSchema+1), `{"v":2,"s":"otherwise","a":[]}`, "",
	} {
		w := NewDomain(names[i], 0).Put()
		if data != "" {
			w.Data = []byte(data)
		}
		write(t, b, w)
	}
	domains, err := b.Domains(t.Context(), append(names, "absent.com"))
	var newer *Newer
	if !errors.As(err, &newer) || len(domains) != 1 || !domains["fine.com"].Known() {
		t.Fatalf("%v, %v", domains, err)
	}
	slices.Sort(newer.Names)
	if !slices.Equal(newer.Names, []string{"number.com", "state.com", "types.com"}) {
		t.Errorf("newer: %v", newer.Names)
	}
	for _, name := range newer.Names {
		if _, err := b.Domain(t.Context(), name); !errors.As(err, &newer) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.Update(t.Context(), name, func(*Domain) ([]store.Write, bool, error) { return nil, true, nil }); !errors.As(err, &newer) {
			t.Errorf("%s was written over: %v", name, err)
		}
	}
	for _, data := range []string{`{"v":1,"s":"damaged"}`, `{"v":0,"s":{"v":1}}`, `{"v":1,"s":{"v":0}}`, `{`} {
		if _, err := ParseDomain(store.Item{Data: []byte(data)}); err == nil || errors.As(err, &newer) {
			t.Errorf("%s: %v, want an error that is no Newer", data, err)
		}
	}
}

// TestABlindRun has skipped more than it asked about.
func TestABlindRun(t *testing.T) {
	for _, r := range []struct {
		watched, skipped int
		blind            bool
	}{{0, 0, false}, {0, 1, true}, {5, 5, false}, {5, 6, true}} {
		if got := (Run{Watched: r.watched, Skipped: r.skipped}).Blind(); got != r.blind {
			t.Errorf("%+v: %t", r, got)
		}
	}
}
