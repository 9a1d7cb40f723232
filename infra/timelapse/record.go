package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"
)

// Decision is one thing that was decided about a domain.
type Decision struct {
	At     time.Time `json:"at"`
	Domain string    `json:"domain"`
	What   string    `json:"what"` // as the guard's log names it
	Phase  string    `json:"phase,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Why    string    `json:"-"` // in words, not part of the record: they may change
}

// Record collects the decisions from the guard's own log: it is a slog.Handler.
type Record struct {
	now       func() time.Time
	decisions []Decision
	Events    map[string]int // all events by name
	Looks     int64          // at domains between the daily runs
}

func newRecord(now func() time.Time) *Record { return &Record{now: now, Events: map[string]int{}} }

// decisive are the log's events that are decisions about a domain.
var decisive = []string{"unverified", "would unverify", "held", "hold_ended", "restored", "operator", "closed", "opened", "would close", "would open"}

// Enabled implements slog.Handler.
func (r *Record) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (r *Record) Handle(_ context.Context, e slog.Record) error {
	r.Events[e.Message]++
	e.Attrs(func(a slog.Attr) bool {
		if e.Message == "tick" && a.Key == "looks" {
			r.Looks += a.Value.Int64()
		}
		return true
	})
	if !slices.Contains(decisive, e.Message) {
		return nil
	}
	d := Decision{At: r.now(), What: e.Message}
	e.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "domain":
			d.Domain = a.Value.String()
		case "phase":
			d.Phase = a.Value.String()
		case "reason":
			d.Reason = a.Value.String()
		case "action":
			d.What += " " + a.Value.String()
		case "why":
			d.Why = a.Value.String()
		}
		return true
	})
	r.decisions = append(r.decisions, d)
	return nil
}

// WithAttrs implements slog.Handler; the guard's log has none of its own.
func (r *Record) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup implements slog.Handler.
func (r *Record) WithGroup(string) slog.Handler { return r }

// Decisions are all of them by time and domain.
func (r *Record) Decisions() []Decision {
	all := slices.Clone(r.decisions)
	slices.SortStableFunc(all, func(a, b Decision) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.What, b.What))
	})
	return all
}

// WriteDecisions writes the record, a line a decision.
func WriteDecisions(w io.Writer, decisions []Decision) error {
	for _, d := range decisions {
		if _, err := fmt.Fprintf(w, "%s %s %s [%s] %s\n", d.At.Format(time.RFC3339), d.Domain, d.What, d.Phase, d.Reason); err != nil {
			return fmt.Errorf("write the decisions: %w", err)
		}
	}
	return nil
}

// Digest tells one record from another: half a SHA-256 in hex.
func Digest(decisions []Decision) string {
	h := sha256.New()
	_ = WriteDecisions(h, decisions) // a hash never fails
	return hex.EncodeToString(h.Sum(nil)[:16])
}
