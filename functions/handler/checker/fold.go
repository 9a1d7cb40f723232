package checker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// visit is one domain's answer, folded.
type visit struct {
	name    domain.Name
	before  records.Domain
	after   records.Domain
	obs     source.Observation
	verdict lifecycle.Verdict
	ask     []source.Source
	deps    *dependency // what its mail depends on, when that changed
	changed bool
}

// fold judges every answer. A domain that breaks the program is recorded alone; the others go on.
func (h *Handler) fold(ctx context.Context, m queue.Message, known *subjects, answers []answer, r *report) (visits []visit, err error) {
	r.causes = map[source.Cause]int{}
	for _, a := range answers {
		r.checked++
		if a.obs.Outcome == source.Unknown {
			r.unknown++
			r.causes[a.obs.Cause]++
		}
		d, err := known.domain(ctx, a.place)
		var v visit
		if err == nil {
			v, err = h.visit(ctx, m, d, a.obs)
		}
		if errors.Is(err, store.ErrNotFound) {
			continue // it left the table since the message was sent
		}
		if newer := (*records.Newer)(nil); errors.As(err, &newer) {
			r.skipped++
			h.skip(ctx, newer)
			continue
		}
		if errors.Is(err, errRead) {
			return nil, err // the table's failure, not the domain's: the message is answered again
		}
		if err != nil {
			r.broken++
			h.broken(ctx, m.Domains[a.place].Name, a.obs, err)
			continue
		}
		if v.changed {
			r.changed++
		}
		visits = append(visits, v)
	}
	return visits, nil
}

// skip leaves alone what a newer version wrote.
func (h *Handler) skip(ctx context.Context, newer *records.Newer) {
	h.Log.ErrorContext(ctx, "items_skipped", "error", newer)
	h.Metrics.Emit(map[string]float64{telemetry.ItemsSkipped: float64(len(newer.Names))})
}

func (h *Handler) broken(ctx context.Context, name string, o source.Observation, err error) {
	h.Log.ErrorContext(ctx, "domain_broke_the_program", "domain", name, "said", o.Said, "error", err)
	w := records.Record(records.PKBroken, name, map[string]any{"at": h.Now().UTC(), "error": err.Error(), "said": o.Said}, h.Now().Add(records.RunTTL))
	if err := h.Store.Write(ctx, w); err != nil {
		h.Log.ErrorContext(ctx, "record_of_broken_domain_failed", "domain", name, "error", err)
	}
}

func (h *Handler) visit(ctx context.Context, m queue.Message, d records.Domain, o source.Observation) (v visit, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("judge %s: panic: %v", d.Name, p)
		}
	}()
	name, reason := domain.Parse(d.Name)
	if reason != "" {
		return v, fmt.Errorf("judge %s: %s", d.Name, reason)
	}
	v = visit{name: name, before: d, after: d, obs: o}
	if o.Source == source.SourceMail {
		return v, h.foldMail(ctx, &v)
	}
	now := lifecycle.At(h.Now())
	f := h.facts(name, d)
	if o.Source == source.SourceServers {
		h.foldService(ctx, &v, f, now)
		return v, nil
	}
	state, verdict := lifecycle.Visit(d.State, []source.Observation{o}, f, now)
	v.verdict = verdict
	v.ask = lifecycle.Questions(d.State, state, f, verdict, now, o.Source, m.Look)
	if slices.Contains(v.ask, source.SourceRDAP) {
		state.NextRDAP = min(state.NextRDAP, now) // stays due until the registry answers
	}
	v.after.State = state
	if o.Source == source.SourceDelegation && h.mailDue(&v.after, d.State, now, lifecycle.At(m.Sent)) {
		v.ask = append(v.ask, source.SourceMail)
		if moved(d.State, state) {
			v.after.State.NextMail = now // stays due until the resolver answers: judged again, nothing has moved
		}
	}
	if o.Source == source.SourceDelegation && h.serversDue(&v.after, m, now) {
		v.ask = append(v.ask, source.SourceServers)
	}
	h.carryVerdict(&v, now)
	v.changed = lifecycle.Changed(d.State, v.after.State) || !sameVerdict(d, v.after)
	if err := h.foldAlone(ctx, &v, now, lifecycle.At(m.Sent)); err != nil {
		return v, err
	}
	return v, h.foldServers(ctx, &v)
}

// carryVerdict stores the verdict beside the state. A look in which nothing was learned asks for another look;
// it takes back nothing that was decided on evidence.
func (h *Handler) carryVerdict(v *visit, now lifecycle.Instant) {
	d, verdict := &v.after, v.verdict
	if v.obs.Outcome == source.Unknown {
		verdict.Next = d.State.RetryAt // 0: the registry's turn comes with the daily round
	}
	if d.NextLook = verdict.Next; verdict.Next != 0 && v.before.NextLook > now {
		d.NextLook = min(verdict.Next, v.before.NextLook)
	}
	lookBy(d, v.before.NextLook, now)
	fresh := v.before.State.RegAt != 0 && now.Since(v.before.State.RegAt) <= lifecycle.Freshness
	decided := v.before.Action == lifecycle.Unverify || v.before.Action == lifecycle.Hold ||
		fresh && (v.before.Confidence == lifecycle.Medium || v.before.Confidence == lifecycle.High)
	nothing := v.obs.Outcome == source.Unknown && v.before.Action != ""
	if verdict.Confidence == lifecycle.NoConfidence && (decided || nothing) {
		return
	}
	if v.after.MailHost && !v.after.Listed && verdict.Action == lifecycle.Unverify {
		verdict.Action, verdict.Reason = lifecycle.Hold, lifecycle.ReasonMailHost
	}
	d.Action, d.Confidence, d.Reason = verdict.Action, verdict.Confidence, verdict.Reason
	d.VerifiedBefore, d.ExposedSince = verdict.VerifiedBefore, verdict.ExposedSince
}

// lookBy has a domain looked at again when its continuity asks for it, if nothing else does so sooner.
func lookBy(d *records.Domain, noted, now lifecycle.Instant) {
	if look := d.State.NextLook(noted, now); look != 0 && (d.NextLook == 0 || look < d.NextLook) {
		d.NextLook = look
	}
}

func sameVerdict(a, b records.Domain) bool {
	return a.Action == b.Action && a.Confidence == b.Confidence && a.Reason == b.Reason && a.NextLook == b.NextLook
}

func (h *Handler) facts(name domain.Name, d records.Domain) lifecycle.Facts {
	tld := lastLabel(name.Registrable)
	f := lifecycle.Facts{TLD: lifecycle.TLDOf(name.Suffix), Oldest: d.Oldest, GraceUnverify: h.GraceUnverify, Authority: lifecycle.AuthorityNone}
	if set := h.Known[queue.KindDelegation]; set != nil {
		f.Control = len(set.Zone(name.Suffix)) > 0
	}
	if !d.Listed {
		f.Oldest = d.State.First // a mail host has no addresses of its own: what is registered after our first look is new
	}
	switch _, authoritative, ok := h.Servers.Server(tld); {
	case ok && authoritative:
		f.Authority = lifecycle.AuthorityIANA
	case ok:
		f.Authority = lifecycle.AuthoritySupplemental
	}
	return f
}

// write stores what changed: a domain and its history entry are one transaction. A domain that somebody else
// changed meanwhile is read and judged again with the same answer.
func (h *Handler) write(ctx context.Context, m queue.Message, visits []visit) error {
	var todo []int
	for i := range visits {
		if visits[i].changed {
			todo = append(todo, i)
		}
	}
	for try := 0; len(todo) > 0; try++ {
		groups := make([][]store.Write, len(todo))
		for g, i := range todo {
			groups[g] = h.writes(visits[i])
		}
		var again []int
		for g, err := range h.Store.WriteEach(ctx, groups) {
			i := todo[g]
			name := visits[i].before.Name
			switch {
			case errors.Is(err, store.ErrConflict) && try < 4:
				if visits[i], err = h.judgeAgain(ctx, m, name, visits[i].obs); err != nil {
					return err
				}
				if visits[i].changed {
					again = append(again, i)
				}
			case err != nil:
				return fmt.Errorf("store %s: %w", name, err)
			default:
				visits[i].after = visits[i].after.Stored()
			}
		}
		todo = again
	}
	return nil
}

// judgeAgain judges an answer on what is stored now. A domain that left the table meanwhile, or that a newer version
// wrote, has nothing to be stored and raises no question.
func (h *Handler) judgeAgain(ctx context.Context, m queue.Message, name string, o source.Observation) (visit, error) {
	d, err := h.book().Domain(ctx, name)
	if newer := (*records.Newer)(nil); errors.As(err, &newer) {
		h.skip(ctx, newer)
		return visit{}, nil
	}
	if err != nil || !d.Known() {
		return visit{}, err
	}
	return h.visit(ctx, m, d, o)
}

func (h *Handler) writes(v visit) []store.Write {
	writes := []store.Write{v.after.Put()}
	b, a := v.before, v.after
	if lifecycle.News(b.State, a.State) || b.Action != a.Action || b.Reason != a.Reason {
		writes = append(writes, records.PutEntry(a.Name, records.Entry{
			At: h.Now().UTC(), What: "look", Before: b.State.Phase, After: a.State.Phase, Action: a.Action, Confidence: a.Confidence,
			Reason: a.Reason, Sentence: lifecycle.Sentence(a.State, v.verdict), Evidence: []records.Witness{witness(v.obs)}, First: firstAndWell(b, a),
		}, entryOrder(v.obs.Source)))
	}
	return append(writes, h.dependWrites(v)...)
}

// firstAndWell tells whether the zone or the registry was heard for the first time, and nothing is wrong.
func firstAndWell(before, after records.Domain) bool {
	first := before.State.DelegAt == 0 || before.State.RegAt == 0 && after.State.RegAt != 0
	return first && after.State.Phase == lifecycle.Active && after.Action == lifecycle.None && after.State.Control.Since == 0
}

// entryOrder keeps entries of one simulated moment apart and in the order in which sources are asked.
func entryOrder(s source.Source) int {
	return slices.Index([]source.Source{source.SourceDelegation, source.SourceRDAP, source.SourceStatus, source.SourceMail, source.SourceServers}, s)
}

func witness(o source.Observation) records.Witness {
	return records.Witness{Source: o.Source, Server: o.Server, At: o.At.UTC(), Said: o.Said, Cause: o.Cause, Result: o.Outcome}
}
