package records

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// TestNothingDamagedReadsAsNothing: what stands there and cannot be read is an error to whoever asks for it, or a hold, an
// upstream's outage or a host of the list would be taken for one that never was.
func TestNothingDamagedReadsAsNothing(t *testing.T) {
	b := newBook(t)
	damaged := func(pk, sk, field string) store.Write {
		return Record(pk, sk, map[string]any{field: []string{"damaged"}}, time.Time{})
	}
	write(t, b, damaged(PKUpstreams, "rdap/x", "last_good"), damaged(PKHosts, "old.com", "n"), damaged(hostPK("new.com"), "new.com", "n"),
		damaged(HistoryPK("a.com"), HistorySK(now, 1), "at"), damaged(caseKey("a.com").PK, skRecovery, "since"), damaged(PKGuard, SKClosings, "h"),
		damaged(PKDigest+"/2026-03-02", "x", "changed"), damaged(PKRequest, "a.com:1", "domain"))
	for what, read := range map[string]func(ctx context.Context) error{
		"the upstreams":      func(ctx context.Context) error { _, err := b.Upstreams(ctx); return err },
		"an upstream":        func(ctx context.Context) error { _, err := b.LastGood(ctx, "rdap/x"); return err },
		"a host as it was":   func(ctx context.Context) error { _, err := b.Host(ctx, "old.com"); return err },
		"a host":             func(ctx context.Context) error { _, err := b.Host(ctx, "new.com"); return err },
		"named hosts":        func(ctx context.Context) error { _, err := b.HostsNamed(ctx, []string{"new.com"}); return err },
		"a history":          func(ctx context.Context) error { _, err := b.History(ctx, "a.com", 5); return err },
		"a recovery":         func(ctx context.Context) error { _, err := b.Recovery(ctx, "a.com"); return err },
		"a ledger":           func(ctx context.Context) error { _, err := b.Closings(ctx); return err },
		"a day's lines":      func(ctx context.Context) error { _, err := b.Lines(ctx, "2026-03-02"); return err },
		"a frozen request":   func(ctx context.Context) error { _, err := b.Request(ctx, "a.com:1"); return err },
		"a walk, of the end": func(ctx context.Context) error { return last(b.Hosts(ctx, "", "")) },
	} {
		if err := read(t.Context()); err == nil {
			t.Errorf("%s: read as if there were none", what)
		}
	}
}

// down is a table of which nothing can be read, or written.
type down struct{ store.Store }

func (down) Get(context.Context, store.Key) (store.Item, error) { return store.Item{}, errDown }

func (down) GetMany(context.Context, []store.Key) ([]store.Item, error) { return nil, errDown }

func (down) Query(context.Context, store.Query) ([]store.Item, bool, error) {
	return nil, false, errDown
}

// TestNothingThatCannotBeReadIsNothing: who asks while the table is down learns that, and not that there is none.
func TestNothingThatCannotBeReadIsNothing(t *testing.T) {
	b, ctx := In(down{newBook(t).Store}), t.Context()
	reads := map[string]func() error{
		"a walk through dependents": func() error {
			n := 0
			for _, err := range b.Dependents(ctx, "host.net") {
				if n++; !errors.Is(err, errDown) {
					t.Errorf("a dependent: %v", err)
				}
			}
			return errors.Join(errDown, fmt.Errorf("%d steps", n))
		},
		"dependencies": func() error { _, err := b.Dependencies(ctx, "a.com"); return err },
		"arrivals":     func() error { _, err := b.Arrivals(ctx, "a.com", DependsMail); return err },
		"a domain":     func() error { _, err := b.Domain(ctx, "a.com"); return err },
		"domains":      func() error { _, err := b.Domains(ctx, []string{"a.com"}); return err },
		"a matter":     func() error { _, err := b.Matter(ctx, "a.com"); return err },
		"an update":    func() error { _, err := b.Update(ctx, "a.com", nil); return err },
		"a run":        func() error { _, err := b.Run(ctx); return err },
		"its id":       func() error { _, err := b.Current(ctx); return err },
		"a balance":    func() error { _, err := b.Balance(ctx, "r"); return err },
		"a lease":      func() error { _, err := b.TakeLease(ctx, "job", now, time.Minute); return err },
		"a host":       func() error { _, err := b.Host(ctx, "a.com"); return err },
		"named hosts":  func() error { _, err := b.HostsNamed(ctx, []string{"a.com"}); return err },
		"hosts":        func() error { return last(b.Hosts(ctx, "", "")) },
		"a count":      func() error { _, err := b.Counts(ctx, []string{"a.com"}); return err },
		"a sum":        func() error { _, err := b.Listed(ctx, "a.com"); return err },
		"recoveries":   func() error { _, err := b.Recoveries(ctx, []string{"a.com"}); return err },
		"rates":        func() error { return b.Slow(ctx, map[string]First{"rdap.example.net": {PerMinute: 1}}, now) },
		"a budget":     func() error { return b.ChangeBudget(ctx, "rdap.example.net", nil) },
		"a doubt":      func() error { _, err := b.AddDoubt(ctx, "com", []string{"a.com"}, 5, now); return err },
		"a denial":     func() error { _, _, err := b.Deny(ctx, "rdap/x", "a.com", now); return err },
		"a denied one": func() error { _, err := b.Denied(ctx, "rdap/x", "a.com"); return err },
		"an admission": func() error { return b.Admitted(ctx, "rdap/x", "a.com") },
		"requests":     func() error { _, err := b.Requests(ctx, "a.com"); return err },
		"lines":        func() error { _, err := b.Lines(ctx, "2026-03-02"); return err },
		"a history":    func() error { _, err := b.History(ctx, "a.com", 5); return err },
		"upstreams":    func() error { _, err := b.Upstreams(ctx); return err },
	}
	for what, read := range reads {
		if err := read(); !errors.Is(err, errDown) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// readOnly is a table that takes no write.
type readOnly struct{ store.Store }

func (readOnly) Write(context.Context, ...store.Write) error { return errDown }

// TestNothingIsTakenThatWasNotWritten: a lease, a change or a note that was lost is none.
func TestNothingIsTakenThatWasNotWritten(t *testing.T) {
	whole := newBook(t)
	if _, _, err := whole.Deny(t.Context(), "rdap/x", "known.com", now); err != nil {
		t.Fatal(err)
	}
	b, ctx := In(readOnly(whole)), t.Context()
	for what, change := range map[string]func() error{
		"a lease": func() error {
			_, err := b.TakeLease(ctx, "job", now, time.Minute)
			if errors.Is(err, ErrLeased) {
				t.Error("nobody else has it")
			}
			return err
		},
		"an update": func() error {
			_, err := b.Update(ctx, "a.com", func(*Domain) ([]store.Write, bool, error) { return nil, true, nil })
			return err
		},
		"a budget":     func() error { return b.ChangeBudget(ctx, "rdap.example.net", func(b *Budget) { b.Slow++ }) },
		"a doubt":      func() error { _, err := b.AddDoubt(ctx, "com", []string{"a.com"}, 5, now); return err },
		"a denial":     func() error { _, _, err := b.Deny(ctx, "rdap/x", "a.com", now); return err },
		"an admission": func() error { return b.Admitted(ctx, "rdap/x", "known.com") },
	} {
		if err := change(); !errors.Is(err, errDown) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestAWalkEndsWithItsReader.
func TestAWalkEndsWithItsReader(t *testing.T) {
	b := newBook(t)
	for _, name := range []string{"a.com", "b.com", "c.com"} {
		write(t, b, Record(DependentsPK("host.net"), name+"/"+string(DependsServers), struct{}{}, time.Time{}), PutLeft("r", name, now))
	}
	for d, err := range b.Dependents(t.Context(), "host.net") {
		if err != nil || d != (Dependent{"a.com", DependsServers}) {
			t.Errorf("%+v %v", d, err)
		}
		break
	}
	for name, err := range b.Left(t.Context(), "r") {
		if err != nil || name != "a.com" {
			t.Errorf("%s %v", name, err)
		}
		break
	}
}

// TestADoubtKeepsEnoughNames of a day and a little, each once.
func TestADoubtKeepsEnoughNames(t *testing.T) {
	b := newBook(t)
	add := func(at time.Time, want int, names ...string) {
		t.Helper()
		d, err := b.AddDoubt(t.Context(), "com", names, 3, at)
		if err != nil || d.Lost(at) != want {
			t.Errorf("%+v %v, want %d", d, err, want)
		}
	}
	add(now, 2, "a.com", "b.com")
	add(now, 2, "b.com")
	add(now, 3, "c.com", "d.com", "e.com")
	add(now.Add(26*time.Hour-time.Second), 3, "f.com")
	add(now.Add(26*time.Hour), 1, "g.com")
}

// TestWhatAMailHostsLapseDidIsTakenBack, and nothing else.
func TestWhatAMailHostsLapseDidIsTakenBack(t *testing.T) {
	for reason, back := range map[lifecycle.Reason]bool{lifecycle.ReasonMailHost: true, lifecycle.ReasonDeleted: false} {
		d := lapsing("example-one.com")
		d.State.MailLapsed, d.Reason = "host.net", reason
		d.MailHostBack()
		if d.State.MailLapsed != "" || (d.Action == lifecycle.None) != back || (d.Reason == lifecycle.ReasonDelegated) != back {
			t.Errorf("%s: %+v", reason, d)
		}
	}
}

// TestWhatIsUnsentStaysSo: it stands in stored items, where another version must know it again.
func TestWhatIsUnsentStaysSo(t *testing.T) {
	d, err := ParseDomain(store.Item{Key: DomainKey("a.com"), Data: []byte(`{"v":1,"l":true,"cl":-1,"s":{"v":1}}`), Version: 1})
	if err != nil || d.Closed != Unsent || !d.Differs() {
		t.Errorf("%+v %v", d, err)
	}
}

// TestAMessageIsAnsweredOnce: of two answers the first counts.
func TestAMessageIsAnsweredOnce(t *testing.T) {
	b := newBook(t)
	write(t, b, Mark("r", "a", Marker{Checked: 3}, now))
	if err := b.Write(t.Context(), Mark("r", "a", Marker{Checked: 1}, now)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("answered twice: %v", err)
	}
}

// TestWhoDependsOnAHostIsTold of its lapse, of what is doubtful about it, again after twenty hours, and once it is fine.
func TestWhoDependsOnAHostIsTold(t *testing.T) {
	at := lifecycle.At(now)
	for what, c := range map[string]struct {
		edit           func(*Domain)
		untold, better bool
	}{
		"lapsed":                {func(*Domain) {}, true, false},
		"a host of nobody":      {func(d *Domain) { d.MailHost = false }, false, false},
		"told":                  {func(d *Domain) { d.Told, d.State.DelegAt = at, at.Add(toldFor-time.Second) }, false, false},
		"told twenty hours ago": {func(d *Domain) { d.Told, d.State.DelegAt = at, at.Add(toldFor) }, true, false},
		"doubtful":              {func(d *Domain) { d.State.Phase, d.Action = lifecycle.Grace, lifecycle.Hold }, true, false},
		"held, and active":      {func(d *Domain) { d.State.Phase, d.Action = lifecycle.Active, lifecycle.Hold }, false, false},
		"held, and unknown":     {func(d *Domain) { d.State.Phase, d.Action = lifecycle.PhaseUnknown, lifecycle.Hold }, false, false},
		"in a gap": {func(d *Domain) {
			d.State.Phase, d.Action, d.State.Control.Since = lifecycle.Active, lifecycle.Watch, at
		}, true, false},
		"fine":                     {func(d *Domain) { d.State.Phase, d.Action = lifecycle.Active, lifecycle.None }, false, false},
		"fine, and they were told": {func(d *Domain) { d.State.Phase, d.Action, d.Told = lifecycle.Active, lifecycle.None, at }, false, true},
		"told, and active, but in a gap": {func(d *Domain) {
			d.State.Phase, d.Action, d.Told, d.State.Control.Since = lifecycle.Active, lifecycle.None, at, at
		}, false, false},
		"told, and active, but held": {func(d *Domain) { d.State.Phase, d.Action, d.Told = lifecycle.Active, lifecycle.Hold, at }, false, false},
	} {
		d := lapsing("host.net")
		d.MailHost, d.State.DelegAt = true, at
		c.edit(&d)
		if d.Untold() != c.untold || d.Recovered() != c.better {
			t.Errorf("%s: to be told %t, to be told that it is fine %t", what, d.Untold(), d.Recovered())
		}
	}
}

// TestWhoIsWatched: whom the list has, others' mail depends on, the synthetic one, and what was unverified until its lapse ends.
func TestWhoIsWatched(t *testing.T) {
	for what, c := range map[string]struct {
		edit func(*Domain)
		want bool
	}{
		"nobody":                       {func(*Domain) {}, false},
		"listed":                       {func(d *Domain) { d.Listed = true }, true},
		"a mail host":                  {func(d *Domain) { d.MailHost = true }, true},
		"the synthetic one":            {func(d *Domain) { d.Synthetic = true }, true},
		"something is open":            {func(d *Domain) { d.Settled = again }, true},
		"unverified":                   {func(d *Domain) { d.Acted, d.State.LapseAt = true, 7 }, true},
		"by an earlier version":        {func(d *Domain) { d.OldDone, d.State.LapseAt = "x", 7 }, true},
		"unverified, and not lapsed":   {func(d *Domain) { d.Acted = true }, false},
		"lapsed, and not unverified":   {func(d *Domain) { d.State.LapseAt = 7 }, false},
		"unverified, and somebody's":   {func(d *Domain) { d.Acted, d.State.LapseAt, d.State.Phase = true, 7, lifecycle.ReRegistered }, false},
		"settled, of an earlier lapse": {func(d *Domain) { d.Settled = "x" }, false},
	} {
		d := NewDomain("a.com", 0)
		c.edit(&d)
		if d.Watched() != c.want || d.Verdict().Watched != c.want {
			t.Errorf("%s: watched %t", what, d.Watched())
		}
	}
}

// TestWhenADomainIsDue: at the first of what is to come, and since its phase began where something was not looked at yet.
func TestWhenADomainIsDue(t *testing.T) {
	at := lifecycle.At(now)
	for what, c := range map[string]struct {
		edit func(*Domain)
		want lifecycle.Instant
	}{
		"nothing":                     {func(*Domain) {}, 0},
		"a look":                      {func(d *Domain) { d.NextLook = at }, at},
		"a turn":                      {func(d *Domain) { d.Turns = at }, at},
		"a look, and a turn sooner":   {func(d *Domain) { d.NextLook, d.Turns = at, at.Add(-time.Hour) }, at.Add(-time.Hour)},
		"a look sooner than a turn":   {func(d *Domain) { d.NextLook, d.Turns = at.Add(-time.Hour), at }, at.Add(-time.Hour)},
		"a closing, when it was seen": {func(d *Domain) { d.State.Control.Since, d.State.DelegAt = 7, at }, at},
		"a closing, when it has room": {func(d *Domain) { d.State.Control.Since, d.State.DelegAt, d.CloseAt = 7, at, at.Add(time.Hour) }, at.Add(time.Hour)},
		"a closing, at once":          {func(d *Domain) { d.State.Control.Since = 7 }, 1},
		"a look at nobody's":          {func(d *Domain) { d.NextLook, d.Listed = at, false }, 0},
		"a verdict":                   {func(d *Domain) { d.Action, d.State.Since = lifecycle.Unverify, at }, at},
		"it came back":                {func(d *Domain) { d.Acted, d.State.Phase, d.State.Since = true, lifecycle.Active, at }, at},
		"it came back, as was told":   {func(d *Domain) { d.Acted, d.Returned, d.State.Phase, d.State.Since = true, true, lifecycle.Active, at }, 0},
		"its host is in a lapse":      {func(d *Domain) { d.MailHost, d.Action, d.State.Since, d.Settled = true, lifecycle.Unverify, at, "" }, at},
	} {
		d := NewDomain("a.com", 0)
		d.Listed = true
		c.edit(&d)
		if got := d.due(); !got.Equal(c.want.Time()) {
			t.Errorf("%s: due %s, want %s", what, got, c.want)
		}
	}
}

// TestHowLongThingsAreKept: history for two years, what a run left for two weeks.
func TestHowLongThingsAreKept(t *testing.T) {
	for what, c := range map[string]struct {
		w    store.Write
		days int
	}{
		"history": {PutEntry("a.com", Entry{At: now}, 0), 730}, "a first look": {PutEntry("a.com", Entry{At: now, First: true}, 0), 90}, "a line": {PutLine(now, "x", Line{}), 14}, "a host that left": {PutLeft("r", "a.com", now), 14},
		"what was sent": {PutSent("r", 0, 1, Sent{}, now), 14}, "what was answered": {Mark("r", "x", Marker{}, now), 14}, "a hold": {PutHold(safety.Hold{Domain: "a.com"}), 0},
	} {
		if want := now.AddDate(0, 0, c.days); c.days > 0 && !c.w.Expires.Equal(want) || c.days == 0 && !c.w.Expires.IsZero() {
			t.Errorf("%s until %s, want %d days", what, c.w.Expires, c.days)
		}
	}
	alone := NewDomain("host.net", 0)
	alone.Alone = lifecycle.At(now)
	if got := alone.Put().Expires; !got.Equal(now.AddDate(0, 0, 30)) {
		t.Errorf("a host that nobody depends on until %s", got)
	}
	if alone.Listed = true; !alone.Put().Expires.IsZero() {
		t.Error("a domain that is listed is forgotten")
	}
}

// TestASlowServersRateIsHalved for each refusal that still counts.
func TestASlowServersRateIsHalved(t *testing.T) {
	b := newBook(t)
	for range 2 {
		if err := b.ChangeBudget(t.Context(), "slow.example", func(b *Budget) { b.Refuse(now, 0, true) }); err != nil {
			t.Fatal(err)
		}
	}
	first := map[string]First{"slow.example": {PerMinute: 60}, "fine.example": {PerMinute: 60}}
	if err := b.Slow(t.Context(), first, now); err != nil || first["slow.example"].PerMinute != 15 || first["fine.example"].PerMinute != 60 {
		t.Errorf("%v %v", first, err)
	}
	if err := b.Slow(t.Context(), first, now.Add(72*time.Hour)); err != nil || first["slow.example"].PerMinute != 15 {
		t.Errorf("three days later: %v %v", first, err)
	}
}

// lame is a table of which single items cannot be read.
type lame struct{ store.Store }

func (lame) Get(context.Context, store.Key) (store.Item, error) { return store.Item{}, errDown }

// TestAnAbsentDomainsRecoveryMustBeRead: what is closed in the registry may be of a domain that is not watched.
func TestAnAbsentDomainsRecoveryMustBeRead(t *testing.T) {
	b := newBook(t)
	if _, err := In(lame(b)).Matter(t.Context(), "absent.com"); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
	r, err := b.Recovery(t.Context(), "absent.com")
	if err != nil {
		t.Fatal(err)
	}
	r.V.Since = 7
	write(t, b, r.Put())
	if m, err := b.Matter(t.Context(), "absent.com"); err != nil || m.Domain.Known() || m.Recovery.V.Since != 7 {
		t.Errorf("%+v %v", m, err)
	}
}

// TestWhatRecoveryShouldBe: by its operator's word while that stands, else by the domain's gap.
func TestWhatRecoveryShouldBe(t *testing.T) {
	for what, c := range map[string]struct {
		gap    lifecycle.Instant
		known  Recovery
		wanted lifecycle.Instant
		held   bool
	}{
		"open":                               {0, Recovery{}, 0, true},
		"a gap":                              {7, Recovery{}, 7, false},
		"a gap that is closed":               {7, Recovery{Since: 7, Sent: 7}, 7, true},
		"a gap that was told too early":      {7, Recovery{Since: 7, Sent: 6}, 7, false},
		"a gap, and an older one is closed":  {7, Recovery{Since: 5, Sent: 5}, 7, false},
		"over, and closed":                   {0, Recovery{Since: 7, Sent: 7}, 0, false},
		"an operator opened it":              {7, Recovery{Word: &Word{Gap: 7, At: 9}}, 0, true},
		"an operator opened another gap":     {7, Recovery{Word: &Word{Gap: 5, At: 6}}, 7, false},
		"an operator closed it":              {7, Recovery{Word: &Word{Closed: true, Gap: 7, At: 9}}, 7, false},
		"an operator closed what is in none": {0, Recovery{Word: &Word{Closed: true, At: 9}}, 9, false},
		"and it is closed":                   {0, Recovery{Since: 9, Sent: 9, Word: &Word{Closed: true, At: 9}}, 9, true},
		"an operator opened what was in one": {0, Recovery{Word: &Word{Gap: 7, At: 9}}, 0, true},
	} {
		d := NewDomain("a.com", 0)
		d.State.Control.Since = c.gap
		m := Matter{Domain: d, Recovery: Of[Recovery]{V: c.known}}
		if m.Wanted() != c.wanted || m.Held() != c.held {
			t.Errorf("%s: wanted %d, held %t", what, m.Wanted(), m.Held())
		}
	}
}

// TestADamagedCaseIsNoNewerOne: what a newer version wrote is left alone, what is damaged stops who would act on it.
func TestADamagedCaseIsNoNewerOne(t *testing.T) {
	for data, newer := range map[string]bool{`{"v":1,"st":["damaged"]}`: false, `{"v":99,"st":["otherwise"]}`: true, `{"v":99}`: true} {
		b := newBook(t)
		k := caseKey("a.com")
		write(t, b, lapsing("a.com").Put(), Record(k.PK, k.SK, json.RawMessage(data), time.Time{}))
		if _, err := b.Matter(t.Context(), "a.com"); err == nil || errors.As(err, new(*Newer)) != newer {
			t.Errorf("%s: %v", data, err)
		}
	}
}

// TestALineIsOfItsDayInUTC, wherever the clock is.
func TestALineIsOfItsDayInUTC(t *testing.T) {
	b := newBook(t)
	write(t, b, PutLine(time.Date(2026, 3, 3, 5, 0, 0, 0, time.FixedZone("", 10*60*60)), "x", Line{Domain: "a.com"}))
	if lines, err := b.Lines(t.Context(), "2026-03-02"); err != nil || len(lines) != 1 {
		t.Errorf("%+v %v", lines, err)
	}
}

func last(walk func(func(Of[Host], error) bool)) (last error) {
	for _, err := range walk {
		last = err
	}
	return last
}

func TestRequestsAreOfOneDomainAndBounded(t *testing.T) {
	b := newBook(t)
	var want []string
	for i := range maxRequests + 1 {
		key := fmt.Sprintf("example.com:%04d", i)
		want = append(want, key)
		write(t, b, Record(PKRequest, key, Request{Domain: "example.com"}, time.Time{}))
	}
	write(t, b, Record(PKRequest, "example.co:0", Request{}, time.Time{}), Record(PKRequest, "example.com.de:0", Request{}, time.Time{}))
	if keys, err := b.Requests(t.Context(), "example.com"); err != nil || !slices.Equal(keys, want[:maxRequests]) {
		t.Errorf("%d keys, want the first %d: %v", len(keys), maxRequests, err)
	}
	if keys, err := b.Requests(t.Context(), "example.co"); err != nil || len(keys) != 1 {
		t.Errorf("%v %v", keys, err)
	}
}

// TestWhoseRecoveryIsMended: the synthetic domain and one that the list does not have are no business of the registry's.
func TestWhoseRecoveryIsMended(t *testing.T) {
	for _, c := range []struct {
		since, closed     lifecycle.Instant
		listed, synthetic bool
		want              bool
	}{
		{7, 0, true, false, true}, {0, 7, true, false, true}, {7, 6, true, false, true},
		{7, 7, true, false, false}, {0, 0, true, false, false}, {7, 0, false, false, false}, {7, 0, true, true, false},
	} {
		d := NewDomain("example.com", 0)
		d.State.Control.Since, d.Closed, d.Listed, d.Synthetic = c.since, c.closed, c.listed, c.synthetic
		if d.Differs() != c.want {
			t.Errorf("%+v: differs %t", c, d.Differs())
		}
	}
}

// TestMattersNamesWhatIsNewer, and gives the others.
func TestMattersNamesWhatIsNewer(t *testing.T) {
	b := newBook(t)
	w := NewDomain("newer.com", 0).Put()
	w.Data = []byte(`{"v":99}`)
	write(t, b, w, lapsing("fine.com").Put())
	found, err := b.Matters(t.Context(), []string{"newer.com", "fine.com", "absent.com"})
	var newer *Newer
	if !errors.As(err, &newer) || !slices.Equal(newer.Names, []string{"newer.com"}) || len(found) != 1 || !found["fine.com"].Domain.Known() {
		t.Errorf("%v, %v", found, err)
	}
	absent, err := b.Matter(t.Context(), "absent.com")
	if want := NewDomain("absent.com", 0); err != nil || absent.Domain.State != want.State {
		t.Errorf("an absent domain is %+v, want %+v: %v", absent.Domain.State, want.State, err)
	}
}

// TestTheSyntheticDomainIsAboutToBeDeleted since its lapse began, and what is remembered of it is too old to judge by.
func TestTheSyntheticDomainIsAboutToBeDeleted(t *testing.T) {
	b := newBook(t)
	write(t, b, lapsing("lapseguard-x.com").Put())
	stored, err := b.Domain(t.Context(), "lapseguard-x.com")
	if err != nil {
		t.Fatal(err)
	}
	at, since := lifecycle.At(now), lifecycle.At(now.AddDate(0, 0, -70))
	write(t, b, stored.Lapsing(at, since).Put()) // on the condition that nobody wrote it meanwhile
	d, err := b.Domain(t.Context(), "lapseguard-x.com")
	if err != nil || !d.Synthetic || d.Listed || d.State.Phase != lifecycle.PendingDelete || d.State.Since != since || d.State.First != since || d.State.LapseAt != since {
		t.Errorf("%+v %v", d, err)
	}
	if s := d.State; at.Since(s.RegAt) <= lifecycle.Freshness || at.Since(s.DelegAt) <= lifecycle.Freshness || d.Action != "" || d.Arrived() {
		t.Errorf("it was judged before it was asked about: %+v", d)
	}
}
