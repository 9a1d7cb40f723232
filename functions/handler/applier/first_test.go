package applier

import (
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
)

// TestTheFirstScanIsToldWhileItLasts: by status and by the digest, in observe mode as in any; then not a word.
func TestTheFirstScanIsToldWhileItLasts(t *testing.T) {
	w := newWorld(t)
	w.mode = Observe
	run, err := w.book().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run.V.FirstAt = lifecycle.At(w.at)
	run.V.First = map[string]records.First{"rdap.publicinterestregistry.org": {Due: 100_000, PerMinute: 10}}
	if err := w.Store.Write(t.Context(), run.Put()); err != nil {
		t.Fatal(err)
	}
	status := func() Result {
		res, err := w.Handle(t.Context(), Event{Action: "status"})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := status()
	if first := res.Status.First; len(first) != 1 || first[0].Questions != 100_000 || first[0].PerMinute != 10 || first[0].Whole.Sub(w.at).Round(24*time.Hour) != 7*24*time.Hour {
		t.Errorf("%+v", first)
	}
	if !strings.Contains(res.Text, "the first scan has 100000 questions to registries left, and is whole by 9 March") {
		t.Error(res.Text)
	}
	w.lapsed("example-one.com", nil)
	w.tick()
	w.at = w.at.AddDate(0, 0, 1)
	w.tick()
	stored, err := w.book().Digest(t.Context(), "2026-03-02")
	if err != nil || !strings.Contains(stored.V.Text, " The first scan has 85600 questions to registries left, and is whole by 9 March") {
		t.Errorf("%q, %v", stored.V.Text, err)
	}
	w.at = w.at.AddDate(0, 0, 7)
	if res := status(); strings.Contains(res.Text, "first scan") || len(res.Status.First) > 0 {
		t.Error(res.Text)
	}
}
