package keycloak

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// EnsureClient makes the adapter's service account, a confidential client that may do nothing but ask for tokens,
// and gives it Roles. Run again it adds what is missing. It returns the client's secret.
func (g *Guard) EnsureClient(ctx context.Context, id string) (secret string, err error) {
	client, err := g.client(ctx, id)
	if err != nil {
		return "", err
	}
	if client == "" {
		err := g.Admin.do(ctx, call{doing: "make the client " + id, method: http.MethodPost, path: "/clients", in: map[string]any{
			"clientId": id, "description": "lapseguard's adapter", "serviceAccountsEnabled": true, "publicClient": false,
			"standardFlowEnabled": false, "directAccessGrantsEnabled": false, "fullScopeAllowed": true}})
		if err := g.said(err, "made the client %s", id); err != nil {
			return "", err
		}
		if client, err = g.client(ctx, id); err != nil {
			return "", err
		}
	}
	if err := g.ensureRoles(ctx, id, client); err != nil {
		return "", err
	}
	var out struct {
		Value string `json:"value"`
	}
	err = g.Admin.do(ctx, call{doing: "read the client's secret", method: http.MethodGet, path: "/clients/" + url.PathEscape(client) + "/client-secret", out: &out})
	return out.Value, err
}

// client is the internal id of a client; empty when there is none.
func (g *Guard) client(ctx context.Context, id string) (string, error) {
	var list []struct {
		ID string `json:"id"`
	}
	err := g.Admin.do(ctx, call{doing: "look for the client " + id, method: http.MethodGet, path: "/clients", query: url.Values{"clientId": {id}}, out: &list})
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0].ID, nil
}

type role struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (g *Guard) ensureRoles(ctx context.Context, id, client string) error {
	var user account
	if err := g.Admin.do(ctx, call{doing: "read the service account", method: http.MethodGet, path: "/clients/" + url.PathEscape(client) + "/service-account-user", out: &user}); err != nil {
		return err
	}
	management, err := g.client(ctx, "realm-management")
	if err != nil {
		return err
	}
	path := "/users/" + url.PathEscape(user.ID) + "/role-mappings/clients/" + url.PathEscape(management)
	var free []role // not given yet
	if err := g.Admin.do(ctx, call{doing: "list roles", method: http.MethodGet, path: path + "/available", out: &free}); err != nil {
		return err
	}
	give := slices.DeleteFunc(free, func(r role) bool { return !slices.Contains(Roles(), r.Name) })
	if len(give) == 0 {
		return nil
	}
	names := make([]string, len(give))
	for i, r := range give {
		names[i] = r.Name
	}
	err = g.Admin.do(ctx, call{doing: "give roles to " + id, method: http.MethodPost, path: path, in: give})
	return g.said(err, "gave %s the roles %s of realm-management", id, fmt.Sprint(names))
}
