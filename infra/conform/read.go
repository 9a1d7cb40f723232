package conform

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

const listPath = "/v1/email-domains"

func unverifyPath(domain string) string { return listPath + "/" + domain + "/unverify" }

// taken asks whether the registry takes the token at all: without that nothing else can be told.
func (w *walk) taken(ctx context.Context) (bool, error) {
	w.check = "token"
	x, err := w.do(ctx, exchange{method: http.MethodGet, path: listPath + "?limit=1"})
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: %w", w.check, err)
	case x.status == http.StatusUnauthorized || x.status == http.StatusForbidden:
		w.report.Checks, w.report.Refused = []string{w.check}, true
		w.wrong("the registry refuses the token that you gave (%d), so nothing else was checked", x.status)
		return false, nil
	}
	return true, nil
}

// token: the API opens to the right one alone.
func (w *walk) token(ctx context.Context) error {
	for name, token := range map[string]string{"no token": "", "a wrong token": "not-" + w.cfg.Token} {
		for _, x := range []exchange{{method: http.MethodGet, path: listPath}, {method: http.MethodPost, path: unverifyPath(w.dry), body: w.body(nil)}} {
			x.token = &token
			x, err := w.do(ctx, x)
			if err != nil {
				return err
			}
			if w.expect(x, http.StatusUnauthorized, registry.TypeUnauthorized, "it came with "+name) && !strings.HasPrefix(x.header.Get("WWW-Authenticate"), "Bearer") {
				w.wrong("401 without WWW-Authenticate: Bearer")
			}
		}
	}
	return nil
}

// all reads every page of a list.
func (w *walk) all(ctx context.Context, limit int, since time.Time) (hosts []hostLine, asOf time.Time, ok bool, err error) {
	for after := ""; ; {
		q := url.Values{"limit": {fmt.Sprint(limit)}}
		if after != "" {
			q.Set("after", after)
		}
		if !since.IsZero() {
			q.Set("changed_since", since.Format(time.RFC3339Nano))
		}
		x, err := w.do(ctx, exchange{method: http.MethodGet, path: listPath + "?" + q.Encode()})
		if err != nil {
			return nil, asOf, false, err
		}
		if x.status == http.StatusServiceUnavailable && x.header.Get("Retry-After") != "" && after == "" {
			if err := w.cfg.Wait(ctx, maxWait/5); err != nil {
				return nil, asOf, false, err
			}
			if x, err = w.do(ctx, exchange{method: http.MethodGet, path: listPath + "?" + q.Encode()}); err != nil {
				return nil, asOf, false, err
			}
		}
		p, ok := w.pageOf(x, after, limit, !since.IsZero())
		if !ok {
			return nil, asOf, false, nil
		}
		if asOf.IsZero() {
			asOf = *p.AsOf
			w.lever = p.Recovery != nil && *p.Recovery
		}
		hosts = append(hosts, p.Hosts...)
		if p.Next == nil || *p.Next == "" {
			if !*p.Complete {
				w.wrong("the last page is not marked complete: the guard then takes no host for gone")
			}
			return hosts, asOf, true, nil
		}
		if *p.Next <= after {
			w.wrong("the cursor does not advance: the list has no end")
			return nil, asOf, false, nil
		}
		after = *p.Next
	}
}

func (w *walk) list(ctx context.Context) error {
	hosts, asOf, ok, err := w.all(ctx, registry.MaxPage, time.Time{})
	if err != nil || !ok {
		return err
	}
	for _, h := range hosts {
		w.hosts[*h.Host] = *h.Addresses
		w.unknown[*h.Host] = h.Oldest == nil
	}
	if now := w.cfg.Now(); asOf.After(now.Add(5 * time.Minute)) {
		w.say(Doubtful, "as_of is %s ahead of this machine's clock", asOf.Sub(now).Round(time.Second))
	} else if asOf.Before(now.Add(-48 * time.Hour)) {
		w.say(Doubtful, "the counts are %s old: the guard reads them daily", now.Sub(asOf).Round(time.Hour))
	}
	if len(hosts) == 0 {
		w.say(NotChecked, "the list is empty: paging and counts were not tried")
	}
	return nil
}

// pages: the list is the same in pages of any size.
func (w *walk) pages(ctx context.Context) error {
	if len(w.hosts) < 2 {
		w.say(NotChecked, "there are fewer than two hosts")
		return nil
	}
	limit := max(1, len(w.hosts)/5)
	small, _, ok, err := w.all(ctx, limit, time.Time{})
	if err != nil || !ok {
		return err
	}
	whole, _, ok, err := w.all(ctx, registry.MaxPage, time.Time{})
	if err != nil || !ok {
		return err
	}
	got, now := map[string]bool{}, map[string]bool{}
	for _, h := range small {
		got[*h.Host] = true
	}
	for _, h := range whole {
		now[*h.Host] = true
	}
	missing := 0
	for h := range w.hosts { // those that were there before and after
		if now[h] && !got[h] {
			missing++
		}
	}
	if missing > 0 {
		w.wrong("%d hosts are missing where the list is read in pages of %d", missing, limit)
	}
	return nil
}

func (w *walk) parameters(ctx context.Context) error {
	for _, q := range []string{"limit=0", "limit=10001", "limit=many", "limit=-1", "after=", "after=a%40b.example", "after=a%20b", "changed_since=yesterday"} {
		x, err := w.do(ctx, exchange{method: http.MethodGet, path: listPath + "?" + q})
		if err != nil {
			return err
		}
		w.expect(x, http.StatusBadRequest, registry.TypeMalformed, "the parameter does not fit the contract")
	}
	return nil
}

// changes: whatever changed since a time of long ago is everything in use, and hosts that left.
func (w *walk) changes(ctx context.Context) error {
	hosts, _, ok, err := w.all(ctx, registry.MaxPage, w.before.AddDate(-100, 0, 0))
	if err != nil || !ok {
		return err
	}
	listed := map[string]bool{}
	for _, h := range hosts {
		listed[*h.Host] = true
	}
	missing := 0
	for h := range w.hosts {
		if !listed[h] {
			missing++
		}
	}
	if missing > 0 {
		w.wrong("%d hosts in use are missing from the list of what changed within a hundred years", missing)
	}
	return nil
}

// malformed requests are told apart from sound ones, before anything is done.
func (w *walk) malformed(ctx context.Context) error {
	set := func(k string, v any) func(map[string]any) { return func(b map[string]any) { b[k] = v } }
	bad := map[string]any{
		"no JSON": "{", "an array": "[]", "a member twice": `{"run":"a","run":"b"}`,
		"max_addresses 0": w.body(set("max_addresses", 0)), "max_addresses as text": w.body(set("max_addresses", "3")),
		"a time that is none": w.body(set("verified_before", "yesterday")), "an unlisted reason": w.body(set("reason", "because")),
		"a phase in capitals": w.body(set("phase", "Redemption!")), "an empty run": w.body(set("run", "")),
		"a dry run with a key": w.body(set("key", "conform")), "neither key nor dry run": w.body(func(b map[string]any) { delete(b, "dry_run") }),
		"advice without text": w.body(set("advice", map[string]any{"code": "add_other_address"})), "evidence as text": w.body(set("evidence", "seen")),
	}
	for _, k := range []string{"verified_before", "max_addresses", "reason", "phase", "evidence", "run", "advice"} {
		bad["no "+k] = w.body(func(b map[string]any) { delete(b, k) })
	}
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		x, err := w.do(ctx, exchange{method: http.MethodPost, path: unverifyPath(w.dry), body: bad[name]})
		if err != nil {
			return err
		}
		w.expect(x, http.StatusBadRequest, registry.TypeMalformed, "the request has "+name)
	}
	x, err := w.do(ctx, exchange{method: http.MethodPost, path: unverifyPath(w.dry), kind: "text/plain", body: w.body(nil)})
	if err == nil && (x.status != http.StatusUnsupportedMediaType && x.status != http.StatusBadRequest || x.problemType() != registry.TypeMalformed) {
		w.wrong("a body of the type text/plain is answered %d, not 415", x.status)
	}
	for _, d := range []string{"UPPER.example", "trailing.example.", "a..example", "-"} {
		if err != nil {
			return err
		}
		x, err = w.do(ctx, exchange{method: http.MethodPost, path: unverifyPath(d), body: w.body(nil)})
		if err == nil && x.status != http.StatusBadRequest && x.status != http.StatusUnprocessableEntity {
			w.wrong("the domain %q is answered %d, not 400: a domain is in lower case and A-labels, without a trailing dot", d, x.status)
		}
	}
	return err
}

// tolerance: what a later guard may send is taken.
func (w *walk) tolerance(ctx context.Context) error {
	for name, change := range map[string]func(map[string]any){
		"a member that is not known": func(b map[string]any) { b["later_version"] = map[string]any{"a": 1} },
		"a phase that is not known":  func(b map[string]any) { b["phase"] = "some new phase" },
		"no evidence":                func(b map[string]any) { b["evidence"] = []string{} },
		"an advice's unknown code":   func(b map[string]any) { b["advice"] = map[string]any{"code": "some_new_code", "text": "t"} },
		"exposed_since":              func(b map[string]any) { b["exposed_since"] = "2026-01-02T03:04:05.678+02:00" },
	} {
		x, err := w.do(ctx, exchange{method: http.MethodPost, path: unverifyPath(w.dry), body: w.body(change)})
		if err != nil {
			return err
		}
		if x.status != http.StatusOK {
			w.wrong("a dry run with %s is answered %d, not 200", name, x.status)
		}
	}
	return nil
}

func (w *walk) publicSuffix(ctx context.Context) error {
	for _, d := range []string{"co.uk", "com.au"} {
		x, err := w.do(ctx, exchange{method: http.MethodPost, path: unverifyPath(d), body: w.body(nil)})
		if err != nil {
			return err
		}
		w.expect(x, http.StatusUnprocessableEntity, registry.TypePublicSuffix, "it is a public suffix: names of many owners lie below it")
	}
	return nil
}

func (w *walk) unknownKey(ctx context.Context) error {
	x, err := w.do(ctx, exchange{method: http.MethodPost, path: restorePath("conform:never-used")})
	if err == nil {
		w.expect(x, http.StatusNotFound, registry.TypeUnknownKey, "nothing was ever done under this key")
		x, err = w.do(ctx, exchange{method: http.MethodPost, path: restorePath("not%20a%20key")})
	}
	if err == nil {
		w.expect(x, http.StatusBadRequest, registry.TypeMalformed, "the key does not fit the contract")
	}
	return err
}

func restorePath(key string) string { return "/v1/unverifications/" + key + "/restore" }

// dryRun at a domain that nobody uses.
func (w *walk) dryRun(ctx context.Context) error {
	x, err := w.do(ctx, exchange{method: http.MethodPost, path: unverifyPath(w.dry), body: w.body(nil)})
	if err != nil {
		return err
	}
	if a, ok := w.answerOf(x); ok && *a.Changed+*a.Kept != 0 {
		w.wrong("a dry run at %s, where the list has no host, would change %d addresses and keep %d", w.dry, *a.Changed, *a.Kept)
	}
	return nil
}
