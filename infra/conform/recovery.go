package conform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/registry"
)

func recoveryPath(domain string) string { return listPath + "/" + domain + "/recovery" }

// closeBody is a sound request to close, of a gap that began with the walk.
func (w *walk) closeBody(change func(map[string]any)) map[string]any {
	b := map[string]any{
		"desired": "closed", "as_of": w.nextAsOf(), "since": w.before.Format(time.RFC3339Nano),
		"continuous_until": w.before.Add(-time.Minute).Format(time.RFC3339Nano), "max_addresses": 1000, "reason": "canary", "phase": "grace",
		"evidence": []string{"a rehearsal of the contract"}, "run": "conform", "advice": map[string]any{"code": "renew_domain", "text": "This is a rehearsal."},
	}
	if change != nil {
		change(b)
	}
	return b
}

// nextAsOf is later than every one before, also where the clock stands still.
func (w *walk) nextAsOf() string {
	w.asOf = w.asOf.Add(time.Millisecond)
	if now := w.cfg.Now().UTC().Truncate(time.Millisecond); now.After(w.asOf) {
		w.asOf = now
	}
	return w.asOf.Format(time.RFC3339Nano)
}

func (w *walk) put(domain string, body any) exchange {
	return exchange{method: http.MethodPut, path: recoveryPath(domain), body: body}
}

func (w *walk) openBody(dry bool) map[string]any {
	b := map[string]any{"desired": "open", "as_of": w.nextAsOf()}
	if dry {
		b["dry_run"] = true
	}
	return b
}

// recoveryForm is walked without a test domain: form, token, tolerance, public suffixes. Nothing changes.
func (w *walk) recoveryForm(ctx context.Context) error {
	dry := func(b map[string]any) { b["dry_run"] = true }
	set := func(k string, v any) map[string]any { return w.closeBody(func(b map[string]any) { dry(b); b[k] = v }) }
	bad := map[string]any{
		"no JSON": "{", "a member twice": `{"desired":"open","desired":"closed"}`, "another state": set("desired", "ajar"), "max_addresses 0": set("max_addresses", 0),
		"since after as_of": set("since", w.before.AddDate(1, 0, 0)), "continuous_until after since": set("continuous_until", w.before.Add(time.Second)),
		"an as_of far ahead of the clock": w.closeBody(func(b map[string]any) { dry(b); b["as_of"] = w.before.AddDate(1, 0, 0) }),
		"a time that is none":             set("since", "yesterday"), "no as_of, to open": map[string]any{"desired": "open", "dry_run": true},
	}
	for _, k := range []string{"desired", "as_of", "since", "continuous_until", "max_addresses", "reason", "phase", "evidence", "advice"} {
		bad["no "+k] = w.closeBody(func(b map[string]any) { dry(b); delete(b, k) })
	}
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		x, err := w.do(ctx, w.put(w.dry, bad[name]))
		if err != nil {
			return err
		}
		w.expect(x, http.StatusBadRequest, registry.TypeMalformed, "the request has "+name)
	}
	none := ""
	x := w.put(w.dry, w.closeBody(dry))
	x.token = &none
	x, err := w.do(ctx, x)
	if err != nil {
		return err
	}
	w.expect(x, http.StatusUnauthorized, registry.TypeUnauthorized, "it came with no token")
	if x, err = w.do(ctx, w.put("co.uk", w.closeBody(dry))); err != nil {
		return err
	}
	w.expect(x, http.StatusUnprocessableEntity, registry.TypePublicSuffix, "it is a public suffix: names of many owners lie below it")
	for name, body := range map[string]any{"a member, a reason and a phase that are not known": w.closeBody(func(b map[string]any) {
		dry(b)
		b["later_version"], b["reason"], b["phase"] = []int{1}, "some_new_reason", "some new phase"
	}), "nothing more than it needs to open": w.openBody(true)} {
		if x, err = w.do(ctx, w.put(w.dry, body)); err != nil {
			return err
		}
		if a, ok := w.answerOf(x); ok && *a.Changed != 0 {
			w.wrong("a dry run with %s at %s, where the list has no host, would change %d addresses", name, w.dry, *a.Changed)
		}
	}
	return nil
}

// closing is a walk over one closing of the test domain.
type closing struct {
	*walk
	f    fixture
	site site
	link string // mailed before the closing
	held int    // addresses that should be closed now
}

// recovery closes the test domain, and opens it whatever happens in between.
func (w *walk) recovery(ctx context.Context) (err error) {
	c := &closing{walk: w, f: w.fixture(), site: site{w.cfg.Site, w.http}}
	if c.f.all() == 0 {
		return nil // said already
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Timeout)
		defer cancel()
		if x, again := w.do(ctx, w.put(w.cfg.Domain, w.openBody(false))); again != nil || x.status >= http.StatusMultipleChoices {
			err = errors.Join(err, again, fmt.Errorf("open recovery at %s by hand", w.cfg.Domain))
		}
	}()
	for _, s := range []struct {
		check string
		do    func(ctx context.Context) error
	}{
		{"recovery-binds", c.binds}, {"recovery-verified-later", c.verifiedLater}, {"recovery-max-addresses", c.tooMany}, {"recovery-close", c.close},
		{"recovery-still-verified", c.stillVerified}, {"recovery-list", c.listed}, {"recovery-repeat", c.again}, {"recovery-outdated", c.outdated},
		{"recovery-mail", c.mail}, {"recovery-holder", c.holder}, {"recovery-open", c.open},
	} {
		w.begin(s.check)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.check, err)
		}
	}
	return nil
}

// tryClosing asks for a dry run of a closing.
func (c *closing) tryClosing(ctx context.Context, change func(map[string]any)) (answer, bool, error) {
	x, err := c.do(ctx, c.put(c.cfg.Domain, c.closeBody(func(b map[string]any) {
		b["dry_run"] = true
		if change != nil {
			change(b)
		}
	})))
	if err != nil {
		return answer{}, false, err
	}
	a, ok := c.answerOf(x)
	return a, ok, nil
}

// wantHeld asks by a dry run how many addresses an open would let go.
func (c *closing) wantHeld(ctx context.Context, why string) error {
	x, err := c.do(ctx, c.put(c.cfg.Domain, c.openBody(true)))
	if err != nil {
		return err
	}
	if a, ok := c.answerOf(x); ok && *a.Changed != c.held {
		c.wrong("%d addresses are closed, not %d: %s", *a.Changed, c.held, why)
	}
	return nil
}

func (c *closing) binds(ctx context.Context) error {
	a, ok, err := c.tryClosing(ctx, nil)
	if err != nil || !ok {
		return err
	}
	switch all := c.f.all(); {
	case *a.Changed == all:
	case c.f.lookalike > 0 && *a.Changed == all+c.f.lookalike:
		c.wrong("%d addresses would be closed, those at hosts that only end alike among them: a domain is the host itself and what lies below it by whole labels (example.org, mail.example.org, never notexample.org)", *a.Changed)
	default:
		c.wrong("%d addresses would be closed where the list counts %d at %s and below it, all verified before now or at an unknown time, which counts as before in every phase", *a.Changed, all, c.cfg.Domain)
	}
	return nil
}

// verifiedLater: of a gap in 1990 nothing is bound but what was verified at an unknown time.
func (c *closing) verifiedLater(ctx context.Context) error {
	least, most := 0, 0
	for host, n := range c.hosts {
		if name, _ := domain.Parse(host); c.unknown[host] && domain.Below(name.Host, c.cfg.Domain) {
			least, most = least+1, most+n
		}
	}
	if most == c.f.all() {
		c.say(NotChecked, "every host of the test domain has an address verified at an unknown time: make a host without")
		return nil
	}
	a, ok, err := c.tryClosing(ctx, func(b map[string]any) {
		b["since"], b["continuous_until"] = "1990-01-01T00:00:00Z", "1990-01-01T00:00:00Z"
	})
	if err != nil || !ok {
		return err
	}
	if *a.Changed < least || *a.Changed > most || *a.Changed+*a.Kept != c.f.all() {
		c.wrong("of a gap that began in 1990 %d addresses would be closed and %d kept: addresses verified at since or later are kept, those verified at an unknown time (%d to %d here) are closed", *a.Changed, *a.Kept, least, most)
	}
	return nil
}

func (c *closing) tooMany(ctx context.Context) error {
	if c.f.all() < 2 {
		c.say(NotChecked, "it takes two test addresses or more")
		return nil
	}
	x, err := c.do(ctx, c.put(c.cfg.Domain, c.closeBody(func(b map[string]any) { b["max_addresses"] = c.f.all() - 1 })))
	if err != nil {
		return err
	}
	c.expect(x, http.StatusUnprocessableEntity, registry.TypeTooMany, fmt.Sprintf("%d addresses would be closed and %d are allowed", c.f.all(), c.f.all()-1))
	return c.wantHeld(ctx, "a dry run, or a request that was refused, changed something")
}

func (c *closing) close(ctx context.Context) error {
	if c.site.base != "" {
		out, err := c.site.ask(ctx, "test")
		if err != nil {
			return err
		}
		if c.link = out.Link; c.link == "" {
			c.say(NotChecked, "the site mailed no link while recovery was open: what becomes of one cannot be tried")
		}
	}
	x, err := c.patiently(ctx, c.put(c.cfg.Domain, c.closeBody(nil)))
	if err != nil {
		return err
	}
	a, ok := c.answerOf(x)
	if !ok {
		return nil
	}
	c.held = c.f.all()
	switch *a.Recovery {
	case string(registry.RecoveryOpen):
		c.wrong("recovery is open after it was closed: mail still recovers the account")
	case string(registry.RecoveryUnknown):
		c.say(Doubtful, "recovery is unknown: show with a mail sink that no mail recovers the account, and answer closed")
	}
	return c.wantHeld(ctx, "all that the dry run counted should be closed now")
}

func (c *closing) stillVerified(ctx context.Context) error {
	a, ok, err := c.dry1(ctx, nil)
	if err == nil && ok && *a.Changed != c.f.all() {
		c.wrong("%d addresses are verified after recovery was closed, not %d: an address stays verified, sign-in goes on, and only the way back by mail is shut", *a.Changed, c.f.all())
	}
	return err
}

// listed waits for a list that is new enough, and compares what it says is closed.
func (c *closing) listed(ctx context.Context) error {
	changed := c.cfg.Now()
	for left := c.cfg.Patience; ; left -= maxWait / 5 {
		hosts, asOf, ok, err := c.all(ctx, registry.MaxPage, time.Time{})
		if err != nil || !ok {
			return err
		}
		n, wrongTimes := 0, false
		for _, h := range hosts {
			if name, _ := domain.Parse(*h.Host); h.Closed != nil && domain.Below(name.Host, c.cfg.Domain) {
				n += *h.Closed.Addresses
				wrongTimes = wrongTimes || !h.Closed.Since.Equal(c.before) || !h.Closed.Until.Equal(c.before.Add(-time.Minute))
			}
		}
		switch {
		case n >= c.held && wrongTimes && c.held > 0:
			c.wrong("the list names another since or continuous_until at the test domain than was sent")
			return nil
		case n >= c.held && (c.held > 0 || n == 0): // unverified addresses count as well
			return nil
		case !asOf.Before(changed):
			c.wrong("the list names %d closed addresses at %s, not %d: a guard that lost its memory has nothing else to learn from", n, c.cfg.Domain, c.held)
			return nil
		case left <= 0:
			c.say(NotChecked, "the counts are of before the change, and were not made anew within %s", c.cfg.Patience)
			return nil
		}
		if err := c.cfg.Wait(ctx, maxWait/5); err != nil {
			return err
		}
	}
}

func (c *closing) again(ctx context.Context) error {
	x, err := c.patiently(ctx, c.put(c.cfg.Domain, c.closeBody(nil)))
	if err != nil {
		return err
	}
	if a, ok := c.answerOf(x); ok && *a.Changed != 0 {
		c.wrong("closed again for the same gap %d addresses changed, not 0", *a.Changed)
	}
	return c.wantHeld(ctx, "closing again for the same gap changes nothing")
}

// outdated: what the guard knew a day earlier does not open.
func (c *closing) outdated(ctx context.Context) error {
	old := c.before.AddDate(0, 0, -1).Format(time.RFC3339Nano)
	x, err := c.do(ctx, c.put(c.cfg.Domain, map[string]any{"desired": "open", "as_of": old}))
	if err != nil {
		return err
	}
	c.expect(x, http.StatusConflict, registry.TypeOutdated, "its as_of is older than that of the last request accepted")
	return c.wantHeld(ctx, "a request with an older as_of changes nothing")
}

func (c *closing) mail(ctx context.Context) error {
	if c.site.base == "" {
		c.say(NotChecked, "what mail opens while recovery is closed: give the site's test hooks, or try it with a mail sink")
		return nil
	}
	test, err := c.site.ask(ctx, "test")
	if err != nil {
		return err
	}
	nobody, err := c.site.ask(ctx, "nobody")
	if err != nil {
		return err
	}
	if test.Link != "" {
		c.wrong("a link is mailed while recovery is closed")
	}
	if test.Answer != nobody.Answer {
		c.wrong("the answer to who asks differs from that for an address without an account: it tells strangers that recovery is closed")
	}
	return c.deadLink(ctx, "while recovery is closed: links and forms that are out die")
}

func (c *closing) deadLink(ctx context.Context, when string) error {
	if c.link == "" {
		return nil
	}
	followed, err := c.site.follow(ctx, c.link)
	if followed {
		c.wrong("a link mailed before the closing still works %s", when)
	}
	return err
}

func (c *closing) holder(ctx context.Context) error {
	if c.site.base == "" {
		c.say(NotChecked, "what a holder's own verification opens: give the site's test hooks, or try it by hand")
		return nil
	}
	switch ok, err := c.site.verify(ctx); {
	case err != nil:
		return err
	case !ok:
		c.wrong("a holder cannot verify the address again in a session begun with an older password or key")
		return nil
	}
	c.held--
	if err := c.wantHeld(ctx, "a holder's verification opens the one address, and never the domain"); err != nil {
		return err
	}
	return c.again(ctx) // what the holder let out stays out
}

func (c *closing) open(ctx context.Context) error {
	x, err := c.patiently(ctx, c.put(c.cfg.Domain, c.openBody(false)))
	if err != nil {
		return err
	}
	if a, ok := c.answerOf(x); ok && !strings.EqualFold(*a.Recovery, string(registry.RecoveryOpen)) {
		c.wrong("opened, recovery is %s", *a.Recovery)
	}
	c.held = 0
	if err := c.wantHeld(ctx, "all are open after open"); err != nil {
		return err
	}
	if err := c.listed(ctx); err != nil {
		return err
	}
	return c.deadLink(ctx, "after recovery opened again: it must not come alive")
}
