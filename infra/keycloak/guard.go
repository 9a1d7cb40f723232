package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// copySuffix makes the name of a flow's guarded copy: built-in flows cannot be changed.
const copySuffix = " with lapseguard"

// Guard puts the deny step into a realm's flows and takes it out. It needs an administrator of the realm
// (manage-realm, manage-users, and view-identity-providers); the adapter's service account may not do this.
type Guard struct {
	Admin *Admin
	// Say is called once for each change that was made.
	Say func(change string)
	// Warn is called before anything is changed, with what people should know first.
	Warn func(what string)
}

// StaysOpen is what the deny step cannot close, for people to read.
func StaysOpen() string {
	return "Stays open: an administrator's own mail (Credential reset, or any other required actions by mail) lets whoever reads the address in; " +
		"do not send one to an account in the group " + Group + ". An identity provider that is added later needs `guard install` once more; " +
		"until then the adapter answers recovery: open."
}

// Install makes the quarantine group, lets holders give another address and read why recovery is closed, and puts the
// deny step behind the reset mail and behind the mail that links an identity provider. Run again it changes nothing.
func (g *Guard) Install(ctx context.Context) error {
	r, err := g.Admin.realm(ctx)
	if err != nil {
		return err
	}
	usesRealms, err := g.preflight(ctx, r)
	if err != nil {
		return err
	}
	if err := g.ensureGroup(ctx); err != nil {
		return err
	}
	if err := g.ensureAction(ctx, r); err != nil {
		return err
	}
	if err := g.ensureNotice(ctx); err != nil {
		return err
	}
	if err := g.guardFlow(ctx, r.ResetFlow, "resetCredentialsFlow", providerResetMail); err != nil {
		return err
	}
	if usesRealms {
		return g.guardFlow(ctx, r.BrokerFlow, "firstBrokerLoginFlow", providerLinkMail, providerLinkAuto)
	}
	return nil
}

// preflight refuses what cannot be guarded, and warns, before anything is changed. usesRealms: some identity provider
// uses the realm's first login flow.
func (g *Guard) preflight(ctx context.Context, r realm) (usesRealms bool, err error) {
	providers, err := g.Admin.providers(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range providers {
		if p.Flow != "" && p.Flow != r.BrokerFlow {
			if ok, err := g.Admin.guarded(ctx, p.Flow, providerLinkMail, providerLinkAuto); err != nil || !ok {
				return false, errors.Join(err, fmt.Errorf("identity provider %s has a first login flow of its own, %q, without the deny step: "+
					"let it use the realm's, or add the step by hand behind the one that verifies by mail", p.Alias, p.Flow))
			}
			continue
		}
		usesRealms = true
	}
	if err := g.canGuard(ctx, r.ResetFlow, providerResetMail); err != nil {
		return false, err
	}
	if usesRealms {
		if err := g.canGuard(ctx, r.BrokerFlow, providerLinkMail, providerLinkAuto); err != nil {
			return false, err
		}
	}
	if !r.VerifyEmail && g.Warn != nil {
		g.Warn("this realm does not verify e-mail addresses. A holder who moves to another address without confirming it stays locked out of recovery: " +
			"so from now on a change of address by its holder is confirmed by mail (Force Email Verification of the action " + actionUpdate + "), and nothing else; " +
			"whoever moved in another way is let out by keycloak-adapter release")
	}
	return usesRealms, nil
}

// canGuard tells why a flow cannot have the deny step; nil where it has it.
func (g *Guard) canGuard(ctx context.Context, flow string, mails ...string) error {
	if ok, err := g.Admin.guarded(ctx, flow, mails...); ok || err != nil {
		return err
	}
	list, err := g.Admin.executions(ctx, flow)
	if err != nil {
		return err
	}
	_, err = denyBelow(list, flow, mails)
	return err
}

// denyBelow is the line below which the deny step belongs; -1 is the flow itself.
func denyBelow(list []execution, flow string, mails []string) (parent int, err error) {
	anchors := steps(list, mails...)
	if ask := steps(list, providerLinkAsk); len(ask) > 0 { // the person is known at the end of the flow that asks to link
		anchors = ask
	}
	if len(anchors) == 0 {
		return -1, fmt.Errorf("the flow %q has no step that is known to mail", flow)
	}
	parent = parentOf(list, anchors[0])
	if besideAlternatives(list, anchors[0]) {
		into := flow
		if parent >= 0 {
			into = list[parent].Name
		}
		return parent, fmt.Errorf("in %q the step %q stands beside ALTERNATIVE steps, which Keycloak ignores once the deny step is beside them: nobody could sign in that way. "+
			"Put the alternatives into a sub-flow of their own, make it REQUIRED, and run this again", into, list[anchors[0]].Provider)
	}
	return parent, nil
}

func (g *Guard) ensureGroup(ctx context.Context) error {
	done, err := g.Admin.ensureGroup(ctx)
	if done == "" {
		return err
	}
	return g.said(err, "%s", done)
}

// ensureGroup makes the quarantine group, or gives it its attribute again. It says what it did; empty: nothing.
func (a *Admin) ensureGroup(ctx context.Context) (done string, err error) {
	have, err := a.group(ctx)
	wants := map[string]any{"name": Group, "attributes": map[string][]string{attribute: {attributeValue}}}
	switch {
	case gone(err):
		err = a.do(ctx, call{doing: "make the quarantine group", method: http.MethodPost, path: "/groups", in: wants})
		return "made the group " + Group, err
	case err != nil || have.sound():
		return "", err
	}
	err = a.do(ctx, call{doing: "mark the quarantine group", method: http.MethodPut, path: "/groups/" + url.PathEscape(have.ID), in: wants})
	return "set the attribute " + attribute + " of the group " + Group, err
}

// ensureAction lets a holder give another address in the account console, or when offered at sign-in, and has it
// confirmed by mail where the realm would not: a change that nobody confirmed lifts no quarantine.
func (g *Guard) ensureAction(ctx context.Context, r realm) error {
	path := "/authentication/required-actions/" + actionUpdate
	action := map[string]any{}
	if err := g.Admin.do(ctx, call{doing: "read the required action " + actionUpdate, method: http.MethodGet, path: path, out: &action}); err != nil {
		return err
	}
	config, _ := action["config"].(map[string]any)
	if action["enabled"] == true && (r.VerifyEmail || config["verifyEmail"] == "true") {
		return nil
	}
	action["enabled"] = true
	said := "switched on the required action " + actionUpdate
	if !r.VerifyEmail {
		if config == nil {
			config = map[string]any{}
		}
		config["verifyEmail"] = "true"
		action["config"], said = config, said+", with Force Email Verification"
	}
	err := g.Admin.do(ctx, call{doing: "switch on the required action " + actionUpdate, method: http.MethodPut, path: path, in: action})
	return g.said(err, "%s", said)
}

func (g *Guard) said(err error, format string, args ...any) error {
	if err == nil && g.Say != nil {
		g.Say(fmt.Sprintf(format, args...))
	}
	return err
}

// guardFlow binds a copy of a flow that has the deny step. The copy is whole before it is bound.
func (g *Guard) guardFlow(ctx context.Context, flow, binding string, mails ...string) error {
	if ok, err := g.Admin.guarded(ctx, flow, mails...); ok || err != nil {
		return err
	}
	guarded := strings.TrimSuffix(flow, copySuffix) + copySuffix
	_, err := g.Admin.executions(ctx, guarded)
	if gone(err) {
		err = g.Admin.do(ctx, call{doing: "copy the flow " + flow, method: http.MethodPost, path: flowPath(flow) + "/copy", in: map[string]string{"newName": guarded}})
		err = g.said(err, "copied the flow %q to %q", flow, guarded)
	}
	if err != nil {
		return err
	}
	if err := g.denyIn(ctx, guarded, mails); err != nil {
		return err
	}
	switch ok, err := g.Admin.guarded(ctx, guarded, mails...); {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("the flow %q cannot be guarded: it has no step that is known, or something stands in the way of the deny step; bind Keycloak's own flow, or add the step by hand", flow)
	}
	if guarded == flow {
		return nil
	}
	err = g.Admin.do(ctx, call{doing: "bind the flow " + guarded, method: http.MethodPut, in: map[string]string{binding: guarded}})
	return g.said(err, "bound %q as the realm's %s, in the place of %q", guarded, binding, flow)
}

// denyIn adds the sub-flow to a copy, or what is missing of it.
func (g *Guard) denyIn(ctx context.Context, flow string, mails []string) error {
	list, err := g.Admin.executions(ctx, flow)
	if err != nil {
		return err
	}
	into := flow
	p, err := denyBelow(list, flow, mails)
	if err != nil {
		return err
	}
	if p >= 0 {
		into = list[p].Name
	}
	deny := flow + " - quarantine"
	if find(list, deny) < 0 {
		err := g.Admin.do(ctx, call{doing: "add the deny step to " + flow, method: http.MethodPost, path: flowPath(into) + "/executions/flow", in: map[string]string{
			"alias": deny, "type": "basic-flow", "provider": "registration-page-form",
			"description": "Refuses accounts whose address is in a lapsed domain (group " + Group + ")"}})
		if err := g.said(err, "added the sub-flow %q to %q", deny, into); err != nil {
			return err
		}
	}
	for _, p := range []string{providerCondition, providerDeny} {
		if err := g.ensureStep(ctx, flow, deny, p); err != nil {
			return err
		}
	}
	if err := g.require(ctx, flow, deny, conditional); err != nil {
		return err
	}
	return g.raise(ctx, flow, deny, mails)
}

func find(list []execution, name string) int {
	for i, e := range list {
		if e.SubFlow && e.Name == name {
			return i
		}
	}
	return -1
}

// ensureStep adds a provider to the sub-flow, requires it, and configures the condition.
func (g *Guard) ensureStep(ctx context.Context, flow, deny, provider string) error {
	get := func() (execution, bool, error) {
		list, err := g.Admin.executions(ctx, flow)
		if err != nil {
			return execution{}, false, err
		}
		for _, e := range children(list, find(list, deny)) {
			if e.Provider == provider {
				return e, true, nil
			}
		}
		return execution{}, false, nil
	}
	e, ok, err := get()
	if err == nil && !ok {
		err = g.Admin.do(ctx, call{doing: "add " + provider, method: http.MethodPost, path: flowPath(deny) + "/executions/execution", in: map[string]string{"provider": provider}})
		if err == nil {
			e, _, err = get()
		}
	}
	if err != nil {
		return err
	}
	if e.Requirement != required {
		e.Requirement = required
		if err := g.Admin.do(ctx, call{doing: "require " + provider, method: http.MethodPut, path: flowPath(flow) + "/executions", in: e}); err != nil {
			return err
		}
	}
	if provider != providerCondition || e.Config != "" {
		return nil
	}
	return g.Admin.do(ctx, call{doing: "configure " + provider, method: http.MethodPost, path: "/authentication/executions/" + url.PathEscape(e.ID) + "/config",
		in: map[string]any{"alias": deny, "config": stepWants()}})
}

func (g *Guard) require(ctx context.Context, flow, deny, requirement string) error {
	list, err := g.Admin.executions(ctx, flow)
	if err != nil {
		return err
	}
	e := list[find(list, deny)]
	if e.Requirement == requirement {
		return nil
	}
	e.Requirement = requirement
	return g.Admin.do(ctx, call{doing: "switch on the deny step", method: http.MethodPut, path: flowPath(flow) + "/executions", in: e})
}

// raise moves the sub-flow up until it stands behind the mail. Before it, what is shown would tell addresses apart.
func (g *Guard) raise(ctx context.Context, flow, deny string, mails []string) error {
	for range 50 { // more lines than any flow has
		list, err := g.Admin.executions(ctx, flow)
		if err != nil {
			return err
		}
		at := find(list, deny)
		above := -1 // the sibling before it
		for i := at - 1; i >= 0 && list[i].Level >= list[at].Level; i-- {
			if list[i].Level == list[at].Level {
				above = i
				break
			}
		}
		if above < 0 || list[above].SubFlow && len(steps(list[above:at], mails...)) > 0 || !list[above].SubFlow && len(steps(list[above:above+1], mails...)) > 0 {
			return nil
		}
		err = g.Admin.do(ctx, call{doing: "move the deny step", method: http.MethodPost,
			path: "/authentication/executions/" + url.PathEscape(list[at].ID) + "/raise-priority", in: struct{}{}})
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("the deny step of %q does not move behind the mail", flow)
}

// Remove binds the flows again that were bound before, and deletes the copies. The group stays while it has members.
func (g *Guard) Remove(ctx context.Context) error {
	r, err := g.Admin.realm(ctx)
	if err != nil {
		return err
	}
	for binding, flow := range map[string]string{"resetCredentialsFlow": r.ResetFlow, "firstBrokerLoginFlow": r.BrokerFlow} {
		before, ours := strings.CutSuffix(flow, copySuffix)
		if !ours {
			continue
		}
		err := g.Admin.do(ctx, call{doing: "bind the flow " + before, method: http.MethodPut, in: map[string]string{binding: before}})
		if err := g.said(err, "bound %q as the realm's %s again", before, binding); err != nil {
			return err
		}
	}
	if err := g.deleteCopies(ctx); err != nil {
		return err
	}
	return g.deleteGroup(ctx)
}

func (g *Guard) deleteCopies(ctx context.Context) error {
	var flows []struct {
		ID    string `json:"id"`
		Alias string `json:"alias"`
	}
	if err := g.Admin.do(ctx, call{doing: "list flows", method: http.MethodGet, path: "/authentication/flows", out: &flows}); err != nil {
		return err
	}
	for _, f := range flows {
		if !strings.HasSuffix(f.Alias, copySuffix) {
			continue
		}
		err := g.Admin.do(ctx, call{doing: "delete the flow " + f.Alias, method: http.MethodDelete, path: flowPath(f.ID)})
		if err := g.said(err, "deleted the flow %q", f.Alias); err != nil {
			return err
		}
	}
	return nil
}

func (g *Guard) deleteGroup(ctx context.Context) error {
	have, err := g.Admin.group(ctx)
	if gone(err) {
		return nil
	}
	var members []account
	if err == nil {
		err = g.Admin.do(ctx, call{doing: "list the quarantine group", method: http.MethodGet, path: "/groups/" + url.PathEscape(have.ID) + "/members",
			query: url.Values{"max": {"1"}, "briefRepresentation": {"true"}}, out: &members})
	}
	if err != nil {
		return err
	}
	if len(members) > 0 {
		return g.said(nil, "left the group %s: it has members, whose addresses can recover their accounts from now on", Group)
	}
	err = g.Admin.do(ctx, call{doing: "delete the quarantine group", method: http.MethodDelete, path: "/groups/" + url.PathEscape(have.ID)})
	return g.said(err, "deleted the group %s", Group)
}

// Show says in words what stands, changing nothing: what is open, empty when nothing is.
func (g *Guard) Show(ctx context.Context) (open string, err error) {
	return g.Admin.closed(ctx)
}
