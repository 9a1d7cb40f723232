package keycloak

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// noticeName is the attribute in which a holder reads, in the account console, why recovery is closed and what to do.
// A group's attribute of another name is what the deny step looks for.
const noticeName = "lapseguard-notice"

// maxNotice bounds the words in bytes.
const maxNotice = 1900

func (u account) notice() string { return strings.Join(u.Attributes[noticeName], " ") }

// profile reads what attributes the realm's accounts have, as JSON that is written back whole.
func (a *Admin) profile(ctx context.Context) (map[string]any, error) {
	var p map[string]any
	return p, a.do(ctx, call{doing: "read the user profile", method: http.MethodGet, path: "/users/profile", out: &p})
}

// hasNotice tells whether the realm's accounts have the attribute: Keycloak drops one that they do not have.
func hasNotice(profile map[string]any) bool {
	list, _ := profile["attributes"].([]any)
	return slices.ContainsFunc(list, func(v any) bool {
		attribute, _ := v.(map[string]any)
		return attribute["name"] == noticeName
	})
}

// ensureNotice gives accounts the attribute: their holders read it, and administrators alone write it.
func (g *Guard) ensureNotice(ctx context.Context) error {
	p, err := g.Admin.profile(ctx)
	if err != nil || hasNotice(p) {
		return err
	}
	list, _ := p["attributes"].([]any)
	p["attributes"] = append(list, map[string]any{"name": noticeName, "displayName": "Recovery by e-mail", "multivalued": false,
		"permissions": map[string][]string{"view": {"admin", "user"}, "edit": {"admin"}}})
	err = g.Admin.do(ctx, call{doing: "add an attribute to the user profile", method: http.MethodPut, path: "/users/profile", in: p})
	return g.said(err, "added the read-only attribute %s to the user profile, in which holders read why recovery is closed", noticeName)
}

// setNotice writes the words into an account that was just read; none: it takes them out. Keycloak empties what is not
// sent beside attributes, so that all that it holds for an attribute is sent.
func (a *Admin) setNotice(ctx context.Context, u account, words string) error {
	attributes := map[string][]string{}
	for k, v := range u.Attributes {
		if k != noticeName {
			attributes[k] = v
		}
	}
	if words != "" {
		attributes[noticeName] = []string{words}
	}
	in := map[string]any{"username": u.Username, "email": u.Email, "attributes": attributes}
	for k, v := range map[string]string{"firstName": u.First, "lastName": u.Last} {
		if v != "" {
			in[k] = v
		}
	}
	return a.do(ctx, call{doing: "tell an account's holder", method: http.MethodPut, path: "/users/" + url.PathEscape(u.ID), in: in})
}

// tell lets an account's holder read the words of the newest of its marks. An account that Keycloak will not change,
// because something else in it is not as the realm wants it, is closed all the same.
func (s *Server) tell(ctx context.Context, account string, marks ...mark) error {
	words := ""
	for _, m := range marks {
		if m.words != "" {
			words = m.words
		}
	}
	u, err := s.cfg.Admin.account(ctx, account)
	if err == nil && u.notice() != words {
		err = s.cfg.Admin.setNotice(ctx, u, words)
	}
	if refused(err) {
		s.cfg.Log.WarnContext(ctx, "holder_not_told", "account", account, "error", err, "next", "tell its holder by another way; the quarantine is as it should be")
		return nil
	}
	if gone(err) {
		return nil
	}
	return err
}

// shorten keeps the words within the attribute.
func shorten(words string) string {
	if len(words) > maxNotice {
		words = strings.ToValidUTF8(words[:maxNotice], "")
	}
	return words
}
