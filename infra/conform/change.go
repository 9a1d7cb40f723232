package conform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// fixture is what the list says of the test domain.
type fixture struct {
	below, equal int // addresses
	lookalike    int // at hosts that only end alike
}

func (f fixture) all() int { return f.below + f.equal }

func (w *walk) fixture() fixture {
	var f fixture
	for host, n := range w.hosts {
		name, _ := domain.Parse(host)
		canonical := name.Host
		if canonical == "" {
			canonical = strings.TrimSuffix(strings.ToLower(host), ".")
		}
		switch {
		case canonical == w.cfg.Domain:
			f.equal += n
		case domain.Below(canonical, w.cfg.Domain):
			f.below += n
		case strings.HasSuffix(canonical, w.cfg.Domain):
			f.lookalike += n
		}
	}
	return f
}

// change unverifies the test domain, and restores it whatever happens in between.
func (w *walk) change(ctx context.Context) (err error) {
	w.begin("fixture")
	f := w.fixture()
	if f.all() == 0 {
		w.say(NotChecked, "the list has no verified address at %s: nothing was unverified", w.cfg.Domain)
		return nil
	}
	for name, n := range map[string]int{"at the domain itself": f.equal, "below the domain": f.below, "at a host that only ends alike": f.lookalike} {
		if n == 0 {
			w.say(NotChecked, "there is no test address %s", name)
		}
	}
	key := w.cfg.Key()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Timeout)
		defer cancel()
		if _, again := w.do(ctx, exchange{method: http.MethodPost, path: restorePath(key)}); again != nil {
			err = errors.Join(err, fmt.Errorf("restore the test addresses with the key %s by hand: %w", key, again))
		}
	}()
	for _, s := range []struct {
		check string
		do    func(ctx context.Context, f fixture, key string) error
	}{
		{"whole-labels", w.wholeLabels}, {"verified-before", w.verifiedBefore}, {"max-addresses", w.maxAddresses}, {"unverify", w.unverify},
		{"repeat", w.repeat}, {"key-reused", w.keyReused}, {"already", w.already}, {"list-left", w.listLeft}, {"restore", w.restore}, {"after-restore", w.afterRestore},
	} {
		w.begin(s.check)
		if err := s.do(ctx, f, key); err != nil {
			return fmt.Errorf("%s: %w", s.check, err)
		}
	}
	return nil
}

func (w *walk) dry1(ctx context.Context, change func(map[string]any)) (answer, bool, error) {
	x, err := w.do(ctx, exchange{method: http.MethodPost, path: unverifyPath(w.cfg.Domain), body: w.body(change)})
	if err != nil {
		return answer{}, false, err
	}
	a, ok := w.answerOf(x)
	return a, ok, nil
}

func (w *walk) wholeLabels(ctx context.Context, f fixture, _ string) error {
	a, ok, err := w.dry1(ctx, nil)
	if err != nil || !ok {
		return err
	}
	switch {
	case *a.Changed == f.all():
	case f.lookalike > 0 && *a.Changed == f.all()+f.lookalike:
		w.wrong("%d addresses would change, those at hosts that only end alike among them: a domain is the host itself and what lies below it by whole labels (example.org, mail.example.org, never notexample.org)", *a.Changed)
	case f.below > 0 && *a.Changed == f.equal:
		w.wrong("%d addresses would change, and those below the domain would not: mail.example.org belongs to example.org", *a.Changed)
	default:
		w.wrong("%d addresses would change where the list counts %d at %s and below it, all verified before now (or at an unknown time, which in redemption counts as before)", *a.Changed, f.all(), w.cfg.Domain)
	}
	return nil
}

func (w *walk) verifiedBefore(ctx context.Context, f fixture, _ string) error {
	a, ok, err := w.dry1(ctx, func(b map[string]any) { b["verified_before"], b["phase"] = "1990-01-01T00:00:00Z", "active" })
	if err != nil || !ok {
		return err
	}
	if *a.Changed != 0 || *a.Kept != f.all() {
		w.wrong("with verified_before in 1990 and the domain active, %d addresses would change and %d be kept, not 0 and %d: an address verified later is kept, and so is one verified at an unknown time", *a.Changed, *a.Kept, f.all())
	}
	return nil
}

// maxAddresses: one more than allowed, and nothing changes; the key is still free.
func (w *walk) maxAddresses(ctx context.Context, f fixture, key string) error {
	if f.all() < 2 {
		w.say(NotChecked, "it takes two test addresses or more")
		return nil
	}
	x, err := w.do(ctx, exchange{method: http.MethodPost, path: unverifyPath(w.cfg.Domain), body: w.keyed(key, f.all()-1)})
	if err != nil {
		return err
	}
	w.expect(x, http.StatusUnprocessableEntity, registry.TypeTooMany, fmt.Sprintf("%d addresses would change and %d are allowed; this bound is all that stands between a mistake of the guard's and your accounts", f.all(), f.all()-1))
	a, ok, err := w.dry1(ctx, nil)
	if err == nil && ok && *a.Changed != f.all() {
		w.wrong("a refused request changed something: %d addresses would change now, before it were %d", *a.Changed, f.all())
	}
	return err
}

// patiently sends a request until it is not answered 202.
func (w *walk) patiently(ctx context.Context, x exchange) (exchange, error) {
	left := w.cfg.Patience
	for {
		y, err := w.do(ctx, x)
		if err != nil || y.status != http.StatusAccepted {
			return y, err
		}
		pause := maxWait / 5
		if n, err := strconv.Atoi(y.header.Get("Retry-After")); err == nil {
			pause = min(time.Duration(n)*time.Second, maxWait)
		} else if y.header.Get("Retry-After") == "" {
			w.wrong("202 to %s without Retry-After", x.what())
		}
		if left -= pause; left < 0 {
			return y, fmt.Errorf("%s is not finished after %s", x.what(), w.cfg.Patience)
		}
		if err := w.cfg.Wait(ctx, pause); err != nil {
			return y, err
		}
	}
}

func (w *walk) real(key string, limit int) exchange {
	return exchange{method: http.MethodPost, path: unverifyPath(w.cfg.Domain), body: w.keyed(key, limit)}
}

func (w *walk) unverify(ctx context.Context, f fixture, key string) error {
	x, err := w.patiently(ctx, w.real(key, f.all()))
	if err != nil {
		return err
	}
	a, ok := w.answerOf(x)
	if !ok {
		return nil
	}
	switch {
	case *a.Changed == 0:
		w.wrong("the unverify changed nothing, where %d addresses would have changed: a dry run or a refused request did it already, or this one did not", f.all())
	case *a.Changed != f.all():
		w.wrong("the unverify changed %d addresses, not %d", *a.Changed, f.all())
	}
	switch registry.Recovery(*a.Recovery) {
	case registry.RecoveryOpen:
		w.wrong("recovery is open: an unverified address still recovers its account, so the mark protects nobody; close recovery as well")
	case registry.RecoveryUnknown:
		w.say(Doubtful, "recovery is unknown: show with a mail sink that an unverified address cannot recover its account, and answer closed")
	case registry.RecoveryClosed:
	}
	return nil
}

// repeat: the same request, twice at once, gives the same answer and changes nothing.
func (w *walk) repeat(ctx context.Context, f fixture, key string) error {
	var all sync.WaitGroup
	var x [2]exchange
	var errs [2]error
	for i := range x {
		all.Go(func() { x[i], errs[i] = w.quiet(ctx, w.real(key, f.all())) })
	}
	all.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	for _, x := range x {
		w.judgeProblem(x)
		a, ok := w.answerOf(x)
		if ok && *a.Changed != f.all() {
			w.wrong("the same request with the same key is answered %s: it must get the answer of the first time, changed %d, and change nothing", a, f.all())
		}
	}
	return nil
}

// quiet is a do that notes nothing, for use in parallel.
func (w *walk) quiet(ctx context.Context, x exchange) (exchange, error) {
	return (&walk{cfg: w.cfg, base: w.base, http: w.http, said: map[Finding]bool{}}).patiently(ctx, x)
}

func (w *walk) keyReused(ctx context.Context, f fixture, key string) error {
	for name, change := range map[string]func(map[string]any){
		"another verified_before": func(b map[string]any) { b["verified_before"] = "2001-01-01T00:00:00Z" },
		"another max_addresses":   func(b map[string]any) { b["max_addresses"] = f.all() + 1 },
		"another run":             func(b map[string]any) { b["run"] = "another" },
	} {
		x := w.real(key, f.all())
		b := w.keyed(key, f.all())
		change(b)
		x.body = b
		x, err := w.do(ctx, x)
		if err != nil {
			return err
		}
		w.expect(x, http.StatusConflict, registry.TypeKeyReused, "the key came again with "+name)
	}
	return nil
}

// already: what is unverified is counted as that.
func (w *walk) already(ctx context.Context, f fixture, _ string) error {
	a, ok, err := w.dry1(ctx, nil)
	if err != nil || !ok {
		return err
	}
	if *a.Changed != 0 || *a.Already < f.all() {
		w.wrong("after the unverify a dry run is answered %s: nothing is left to change, and %d addresses are unverified", a, f.all())
	}
	return nil
}

// listLeft: unverified addresses leave the list, in counts that are new enough.
func (w *walk) listLeft(ctx context.Context, _ fixture, _ string) error {
	changed := w.cfg.Now()
	for left := w.cfg.Patience; ; left -= maxWait / 5 {
		hosts, asOf, ok, err := w.all(ctx, registry.MaxPage, time.Time{})
		if err != nil || !ok {
			return err
		}
		still := 0
		for _, h := range hosts {
			if name, _ := domain.Parse(*h.Host); domain.Below(name.Host, w.cfg.Domain) {
				still += *h.Addresses
			}
		}
		if still == 0 {
			return nil
		}
		if !asOf.Before(changed) {
			w.wrong("the list still counts %d addresses at %s, as of a time after they were unverified: addresses that are not verified do not count", still, w.cfg.Domain)
			return nil
		}
		if left <= 0 {
			w.say(NotChecked, "the counts are of before the unverify, and were not made anew within %s", w.cfg.Patience)
			return nil
		}
		if err := w.cfg.Wait(ctx, maxWait/5); err != nil {
			return err
		}
	}
}

func (w *walk) restore(ctx context.Context, f fixture, key string) error {
	for i := range 2 {
		x, err := w.patiently(ctx, exchange{method: http.MethodPost, path: restorePath(key)})
		if err != nil {
			return err
		}
		var r struct {
			Restored *int `json:"restored"`
			Kept     *int `json:"kept"`
		}
		if x.status != http.StatusOK {
			w.wrong("the restore is answered %d (%s), not 200", x.status, x.problemType())
			return nil
		}
		if err := decode(x.data, &r); err != nil || r.Restored == nil || r.Kept == nil {
			w.wrong("the answer to the restore lacks restored or kept")
			return nil
		}
		switch {
		case *r.Restored == f.all() && *r.Kept == 0:
		case i == 0:
			w.wrong("the restore brought back %d addresses and kept %d, not %d and 0", *r.Restored, *r.Kept, f.all())
		default:
			w.wrong("the restore, asked for again, is answered restored %d, kept %d: it must get the answer of the first time", *r.Restored, *r.Kept)
		}
	}
	return nil
}

// afterRestore: everything is as it was, and the key is used up.
func (w *walk) afterRestore(ctx context.Context, f fixture, key string) error {
	a, ok, err := w.dry1(ctx, nil)
	if err != nil {
		return err
	}
	if ok && *a.Changed != f.all() {
		w.wrong("after the restore %d addresses would change, not %d: restored addresses are verified again, with their old verification time", *a.Changed, f.all())
	}
	x, err := w.do(ctx, w.real(key, f.all()))
	if err == nil {
		w.expect(x, http.StatusConflict, registry.TypeRestored, "what was done under this key was taken back; doing it again needs a new key")
	}
	return err
}
