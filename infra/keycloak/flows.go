package keycloak

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the deny step consists of, and what it looks for.
const (
	// Group is the quarantine group: its members cannot recover their account by mail.
	Group = "lapseguard-quarantine"

	attribute      = "lapseguard" // of the group
	attributeValue = "quarantine"

	providerCondition = "conditional-user-attribute"
	providerDeny      = "deny-access-authenticator"
	providerResetMail = "reset-credential-email"
	providerLinkMail  = "idp-email-verification"
	providerLinkAuto  = "idp-auto-link"
	providerLinkAsk   = "idp-confirm-link"

	required    = "REQUIRED"
	conditional = "CONDITIONAL"
	alternative = "ALTERNATIVE"
	disabled    = "DISABLED"
)

// execution is one line of a flow, as Keycloak lists them: parents before children, Level telling them apart.
type execution struct {
	ID          string   `json:"id"`
	Requirement string   `json:"requirement"`
	Name        string   `json:"displayName"` // of a sub-flow: its alias
	Description string   `json:"description,omitempty"`
	Alias       string   `json:"alias,omitempty"` // of the configuration
	Choices     []string `json:"requirementChoices"`
	Provider    string   `json:"providerId,omitempty"`
	Config      string   `json:"authenticationConfig,omitempty"`
	SubFlow     bool     `json:"authenticationFlow"`
	Flow        string   `json:"flowId,omitempty"`
	Level       int      `json:"level"`
	Index       int      `json:"index"` // within its parent
	Priority    int      `json:"priority"`
}

// realm is what the adapter reads of one.
type realm struct {
	ResetFlow    string `json:"resetCredentialsFlow"`
	ResetAllowed bool   `json:"resetPasswordAllowed"`
	BrokerFlow   string `json:"firstBrokerLoginFlow"`
	BrowserFlow  string `json:"browserFlow"`
	VerifyEmail  bool   `json:"verifyEmail"` // whoever has no verified address is held at sign-in

	LinksLast  int64             `json:"actionTokenGeneratedByUserLifespan"` // seconds
	Attributes map[string]string `json:"attributes"`
}

// resetLinks is how long the link of a reset mail can be followed.
func (r realm) resetLinks() time.Duration {
	if own, err := strconv.ParseInt(r.Attributes["actionTokenGeneratedByUserLifespan.reset-credentials"], 10, 32); err == nil {
		return time.Duration(own) * time.Second
	}
	return time.Duration(r.LinksLast) * time.Second
}

func (a *Admin) realm(ctx context.Context) (realm, error) {
	var r realm
	return r, a.do(ctx, call{doing: "read the realm", method: http.MethodGet, out: &r})
}

type provider struct {
	Alias   string `json:"alias"`
	Enabled bool   `json:"enabled"`
	Flow    string `json:"firstBrokerLoginFlowAlias"`
}

func (a *Admin) providers(ctx context.Context) ([]provider, error) {
	var list []provider
	err := a.do(ctx, call{doing: "list identity providers", method: http.MethodGet, path: "/identity-provider/instances", out: &list})
	return list, err
}

type group struct {
	ID         string              `json:"id"`
	Attributes map[string][]string `json:"attributes"`
}

// sound: its members are recognised by the deny step.
func (g group) sound() bool { return slices.Contains(g.Attributes[attribute], attributeValue) }

// group reads the quarantine group; a 404 when there is none.
func (a *Admin) group(ctx context.Context) (group, error) {
	var g group
	return g, a.do(ctx, call{doing: "read the quarantine group", method: http.MethodGet, path: "/group-by-path/" + Group, out: &g})
}

func flowPath(alias string) string { return "/authentication/flows/" + url.PathEscape(alias) }

func (a *Admin) executions(ctx context.Context, flow string) ([]execution, error) {
	var list []execution
	err := a.do(ctx, call{doing: "read the flow " + flow, method: http.MethodGet, path: flowPath(flow) + "/executions", out: &list})
	return list, err
}

func (a *Admin) stepConfig(ctx context.Context, id string) (map[string]string, error) {
	var c struct {
		Config map[string]string `json:"config"`
	}
	err := a.do(ctx, call{doing: "read a step's configuration", method: http.MethodGet, path: "/authentication/config/" + url.PathEscape(id), out: &c})
	return c.Config, err
}

// stepWants is the condition's configuration.
func stepWants() map[string]string {
	return map[string]string{"attribute_name": attribute, "attribute_expected_value": attributeValue, "include_group_attributes": "true"}
}

// children of the line at i.
func children(list []execution, i int) []execution {
	end := i + 1
	for end < len(list) && list[end].Level > list[i].Level {
		end++
	}
	return slices.DeleteFunc(slices.Clone(list[i+1:end]), func(e execution) bool { return e.Level != list[i].Level+1 })
}

// parent of the line at i; -1 for the flow itself.
func parentOf(list []execution, i int) int {
	for p := i - 1; p >= 0; p-- {
		if list[p].Level < list[i].Level {
			return p
		}
	}
	return -1
}

// steps are the lines of a provider that are not switched off.
func steps(list []execution, providers ...string) []int {
	var found []int
	for i, e := range list {
		if slices.Contains(providers, e.Provider) && e.Requirement != disabled {
			found = append(found, i)
		}
	}
	return found
}

// denied tells whether everyone in quarantine who passes the line at i, or is below it, is refused later in its
// flow: by the condition and the refusal, with nothing else beside them, in a sub-flow of its parents'.
func (a *Admin) denied(ctx context.Context, list []execution, i int) (bool, error) {
	for ; i >= 0; i = parentOf(list, i) {
		for j := i + 1; j < len(list) && list[j].Level >= list[i].Level; j++ {
			if list[j].Level != list[i].Level || !list[j].SubFlow || list[j].Requirement != conditional {
				continue
			}
			if besideAlternatives(list, j) {
				continue // Keycloak ignores them, or it: nobody knows what is left
			}
			if ok, err := a.deniesQuarantined(ctx, children(list, j)); ok || err != nil {
				return ok, err
			}
		}
		if p := parentOf(list, i); p >= 0 && list[p].Requirement == disabled {
			return true, nil // never reached
		}
	}
	return false, nil
}

// besideAlternatives: among the lines of the same parent as the one at i there is an ALTERNATIVE. Keycloak ignores
// alternatives beside a step that is required or conditional.
func besideAlternatives(list []execution, i int) bool {
	return slices.ContainsFunc(siblings(list, parentOf(list, i)), func(e execution) bool { return e.Requirement == alternative })
}

// siblings are the lines below the one at parent; -1 is the flow itself.
func siblings(list []execution, parent int) []execution {
	if parent >= 0 {
		return children(list, parent)
	}
	return slices.DeleteFunc(slices.Clone(list), func(e execution) bool { return e.Level != 0 })
}

func (a *Admin) deniesQuarantined(ctx context.Context, in []execution) (bool, error) {
	if len(in) != 2 || in[0].Provider != providerCondition || in[1].Provider != providerDeny ||
		in[0].Requirement != required || in[1].Requirement != required || in[0].Config == "" {
		return false, nil
	}
	config, err := a.stepConfig(ctx, in[0].Config)
	if err != nil {
		return false, err
	}
	for k, v := range stepWants() {
		if config[k] != v {
			return false, nil
		}
	}
	return config["not"] != "true" && config["regex"] != "true", nil
}

// closed reads in Keycloak whether members of the quarantine group are kept from recovering an account by mail.
// The words say what is open, all of it; empty when nothing is.
func (a *Admin) closed(ctx context.Context) (open string, err error) {
	r, err := a.realm(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	switch g, err := a.group(ctx); {
	case gone(err):
		found = append(found, "there is no group "+Group)
	case err != nil:
		return "", err
	case !g.sound():
		found = append(found, "the group "+Group+" has lost its attribute "+attribute)
	}
	look := func(what, flow string, mails ...string) error {
		why, err := a.unguarded(ctx, flow, mails...)
		if why != "" {
			found = append(found, what+" "+why)
		}
		return err
	}
	if r.ResetAllowed {
		if err := look("the realm's reset flow", r.ResetFlow, providerResetMail); err != nil {
			return "", err
		}
	}
	providers, err := a.providers(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range providers {
		if !p.Enabled {
			continue
		}
		if err := look("the first login by identity provider "+p.Alias, cmp.Or(p.Flow, r.BrokerFlow), providerLinkMail, providerLinkAuto); err != nil {
			return "", err
		}
	}
	return strings.Join(found, "; "), nil
}

// unguarded says why a flow lets members of the quarantine group pass, and what keeps Install from closing it; empty
// when it is guarded.
func (a *Admin) unguarded(ctx context.Context, flow string, mails ...string) (why string, err error) {
	if ok, err := a.guarded(ctx, flow, mails...); ok || err != nil {
		return "", err
	}
	list, err := a.executions(ctx, flow)
	if err != nil {
		return "", err
	}
	why = "recovers accounts by mail and has no deny step"
	if _, never := denyBelow(list, flow, mails); never != nil {
		why += ", and none can be added: " + never.Error()
	}
	return why, nil
}

// guarded: every enabled step of these providers in a flow is followed by the refusal.
func (a *Admin) guarded(ctx context.Context, flow string, providers ...string) (bool, error) {
	list, err := a.executions(ctx, flow)
	if err != nil {
		return false, err
	}
	found := steps(list, providers...)
	if len(found) == 0 && slices.Contains(providers, providerResetMail) {
		return false, nil // a reset that is not Keycloak's own: nobody knows what it does
	}
	for _, i := range found {
		if ok, err := a.denied(ctx, list, i); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}
