package keycloak

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is somebody at a browser. Its cookie jar is a plain one: the standard library's does not send Keycloak's
// secure cookies to loopback without TLS, as browsers do.
type browser struct {
	t    *testing.T
	base string
	http *http.Client
	at   string // the present page's address
	page string
}

type jar struct {
	mu sync.Mutex
	m  map[[2]string]string // by path and name
}

func (j *jar) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range cookies {
		key := [2]string{c.Path, c.Name}
		j.m[key] = c.Value
		if c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now()) || c.Value == "" {
			delete(j.m, key)
		}
	}
}

func (j *jar) Cookies(u *url.URL) (list []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, value := range j.m {
		if strings.HasPrefix(u.Path, key[0]) {
			list = append(list, &http.Cookie{Name: key[1], Value: value})
		}
	}
	return list
}

func (k *running) browser(t *testing.T) *browser {
	return &browser{t: t, base: k.url + "/realms/" + realmName, http: &http.Client{Jar: &jar{m: map[[2]string]string{}}, Timeout: 20 * time.Second}}
}

func (b *browser) open(target string, form url.Values) {
	b.t.Helper()
	var resp *http.Response
	var err error
	if form == nil {
		resp, err = b.http.Get(target)
	} else {
		resp, err = b.http.PostForm(target, form)
	}
	if err != nil {
		b.t.Fatal(plain(err))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		b.t.Fatal(err)
	}
	b.at, b.page = resp.Request.URL.String(), string(data)
}

var (
	formTag   = regexp.MustCompile(`<form[^>]*>`)
	actionOf  = regexp.MustCompile(`action="([^"]*)"`)
	hidden    = regexp.MustCompile(`(?is)<script\b.*?</script>|<style\b.*?</style>`)
	tag       = regexp.MustCompile(`<[^>]*>`)
	spaces    = regexp.MustCompile(`\s+`)
	proceedTo = regexp.MustCompile(`<a href="([^"]*action-token[^"]*)"`)
)

// submit sends the page's form with an id in it.
func (b *browser) submit(id string, form url.Values) {
	b.t.Helper()
	for _, f := range formTag.FindAllString(b.page, -1) {
		if m := actionOf.FindStringSubmatch(f); m != nil && strings.Contains(f, id) {
			b.open(html.UnescapeString(m[1]), form)
			return
		}
	}
	b.t.Fatalf("there is no form %s on the page: %s", id, b.text())
}

// text is what a person sees, without addresses.
func (b *browser) text() string {
	text := html.UnescapeString(tag.ReplaceAllString(hidden.ReplaceAllString(b.page, " "), " "))
	words := strings.Fields(spaces.ReplaceAllString(text, " "))
	for i, w := range words {
		if strings.Contains(w, "@") {
			words[i] = "[address]"
		}
	}
	return strings.Join(words, " ")
}

func (b *browser) want(words string) {
	b.t.Helper()
	if !strings.Contains(b.text(), words) {
		b.t.Fatalf("the page does not say %q: %s", words, b.text())
	}
}

// console is where a sign-in leads.
func (b *browser) console() url.Values {
	return url.Values{"client_id": {"account-console"}, "redirect_uri": {b.base + "/account/"}, "response_type": {"code"}, "scope": {"openid"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
}

// signIn gives name and password; what follows is the present page.
func (b *browser) signIn(name, password string) {
	b.t.Helper()
	b.open(b.base+"/protocol/openid-connect/auth?"+b.console().Encode(), nil)
	if !strings.Contains(b.page, `name="password"`) { // a realm with organisations asks for the name first
		b.submit("kc-form-login", url.Values{"username": {name}})
	}
	b.submit("kc-form-login", url.Values{"username": {name}, "password": {password}})
}

// holds tells whether Keycloak knows this browser as somebody signed in, whatever page it is at.
func (b *browser) holds() bool {
	b.t.Helper()
	q := b.console()
	q.Set("prompt", "none")
	b.open(b.base+"/protocol/openid-connect/auth?"+q.Encode(), nil)
	return strings.Contains(b.at, "code=")
}

func (b *browser) signedIn() bool { return strings.HasPrefix(b.at, b.base+"/account/") }

// shown is what the account console gets of an account.
type shown struct {
	Attributes map[string][]string `json:"attributes"`
	Metadata   struct {
		Attributes []shownAs `json:"attributes"`
	} `json:"userProfileMetadata"`
}

type shownAs struct {
	Name     string `json:"name"`
	ReadOnly bool   `json:"readOnly"`
}

// account reads the account of whoever is signed in, with the token that the account console gets; what is given is
// written first, as the console does, and wrote is the answer's status.
func (b *browser) account(write map[string]any) (out shown, wrote int) {
	b.t.Helper()
	if !b.holds() {
		b.t.Fatal("nobody is signed in")
	}
	_, code, _ := strings.Cut(b.at, "code=")
	code, _, _ = strings.Cut(code, "&")
	b.open(b.base+"/protocol/openid-connect/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"account-console"}, "code": {code},
		"redirect_uri": {b.base + "/account/"}, "code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}})
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(b.page), &token); err != nil || token.Access == "" {
		b.t.Fatal("no token", err)
	}
	call := func(method string, in any) (status int) {
		body, err := json.Marshal(in)
		if err != nil {
			b.t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(b.t.Context(), method, b.base+"/account/", bytes.NewReader(body))
		if err != nil {
			b.t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer " + token.Access}, "Accept": {"application/json"}, "Content-Type": {"application/json"}}
		resp, err := b.http.Do(req)
		if err != nil {
			b.t.Fatal(plain(err))
		}
		defer resp.Body.Close()
		if method == http.MethodGet {
			if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
				b.t.Fatal(err)
			}
		}
		return resp.StatusCode
	}
	if write != nil {
		wrote = call(http.MethodPost, write)
	}
	if status := call(http.MethodGet, nil); status != http.StatusOK {
		b.t.Fatalf("the account: %d", status)
	}
	return out, wrote
}

// forgot asks for a reset mail, and gives what the page says.
func (b *browser) forgot(address string) string {
	b.t.Helper()
	q := url.Values{"client_id": {"account-console"}, "redirect_uri": {b.base + "/account/"}}
	b.open(b.base+"/login-actions/reset-credentials?"+q.Encode(), nil)
	b.submit("kc-reset-password-form", url.Values{"username": {address}})
	return b.text()
}

// action asks for a required action as the account console does for who is signed in.
func (b *browser) action(name string) {
	b.t.Helper()
	q := b.console()
	q.Set("kc_action", name)
	b.open(b.base+"/protocol/openid-connect/auth?"+q.Encode(), nil)
}

// opens tells whether a reset link leads to the form for a password.
func (b *browser) opens(link string) bool {
	b.t.Helper()
	b.follow(link)
	return strings.Contains(b.page, "kc-passwd-update-form")
}

// follow opens a link of a mail, and says yes where Keycloak asks whether that is meant.
func (b *browser) follow(link string) {
	b.t.Helper()
	b.open(link, nil)
	if m := proceedTo.FindStringSubmatch(b.page); m != nil {
		b.open(html.UnescapeString(m[1]), nil)
	}
}

// setPassword follows a reset link and sets a password; false where that is refused.
func (b *browser) setPassword(link, password string) bool {
	b.t.Helper()
	b.follow(link)
	if !strings.Contains(b.page, "kc-passwd-update-form") {
		b.want("Access denied")
		return false
	}
	b.submit("kc-passwd-update-form", url.Values{"password-new": {password}, "password-confirm": {password}})
	return true
}
