package sim

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	fastlyPath  = "/domain-management/v1/tools/status"
	domainrPath = "/v2/status"
)

func (n *Internet) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bootstrap/dns.json", n.bootstrap)
	mux.HandleFunc("GET /rdap/{tld}/domain/{name}", n.rdap)
	mux.HandleFunc("GET "+fastlyPath, func(w http.ResponseWriter, r *http.Request) { n.status(w, r, Fastly) })
	mux.HandleFunc("GET "+domainrPath, func(w http.ResponseWriter, r *http.Request) { n.status(w, r, Domainr) })
	return mux
}

func (n *Internet) bootstrap(w http.ResponseWriter, _ *http.Request) {
	at, _ := n.now()
	n.note(at, "bootstrap", "", string(Object))
	writeRaw(w, http.StatusOK, "application/json", n.BootstrapJSON())
}

// BootstrapJSON is the file of RFC 9224 that names the server of every Listed TLD, one service each.
func (n *Internet) BootstrapJSON() []byte {
	services := [][][]string{}
	for _, tld := range n.listed(Listed) {
		services = append(services, [][]string{{tld}, {n.RDAPURL(tld)}})
	}
	return encode(map[string]any{
		"description": "RDAP bootstrap file of a simulated internet", "publication": n.world.Start.UTC().Format(time.RFC3339),
		"version": "1.0", "services": services,
	})
}

// SupplementalJSON names the servers of Supplemental TLDs, in the form of the list of country TLDs' servers that
// IANA's bootstrap file leaves out.
func (n *Internet) SupplementalJSON() []byte {
	type server struct {
		TLD  string `json:"tld"`
		Base string `json:"rdapServer"`
	}
	servers := []server{}
	for _, tld := range n.listed(Supplemental) {
		servers = append(servers, server{tld, n.RDAPURL(tld)})
	}
	return encode(map[string]any{"ccTldRdapServers": servers})
}

func (n *Internet) listed(as Listing) []string {
	var list []string
	for tld, t := range n.world.TLDs {
		if t.RDAP == as {
			list = append(list, tld)
		}
	}
	slices.Sort(list)
	return list
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sim: an answer that cannot be encoded: " + err.Error()) // maps of strings and lists
	}
	return b
}

func writeRaw(w http.ResponseWriter, status int, kind string, body []byte) {
	if kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // who does not wait for the answer does not get it
}

// silent says nothing until the asker goes away, the internet ends, or Config.Silence has passed; then it hangs up.
func (n *Internet) silent(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), n.cfg.Silence)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-n.ended:
	}
	hangUp(w)
}

// hangUp resets the connection.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // closes with RST
	}
	_ = conn.Close()
}

// status answers as one of the status APIs.
func (n *Internet) status(w http.ResponseWriter, r *http.Request, api string) {
	at, age := n.now()
	name := canonical(r.URL.Query().Get("domain"))
	token := r.Header.Get("Fastly-Key")
	if api == Domainr {
		token = r.URL.Query().Get("client_id")
	}
	answer, s := n.statusAnswer(name, age)
	said := string(answer)
	switch {
	case n.world.StatusToken != "" && token != n.world.StatusToken:
		answer, said = StatusDenied, "unauthorized"
	case name == "":
		answer, said = StatusBad, "bad request"
	}
	n.note(at, "status:"+api, name, said)
	switch answer {
	case StatusSilenced:
		n.silent(w, r)
	case Tokens:
		writeRaw(w, http.StatusOK, "application/json", statusBody(api, name, s))
	default:
		statusError(w, api, name, answer)
	}
}

func (n *Internet) statusAnswer(name string, age time.Duration) (StatusAnswer, Status) {
	if out, down := n.outage("status", "", age); down {
		return StatusAnswer(out), Status{}
	}
	registered, g, ok := n.find(name, age)
	if !ok || registered != name {
		return Tokens, Status{Words: "undelegated inactive"}
	}
	return g.status.Answer, g.status
}

// statusBody is a success: Fastly's object, or Domainr's list with one.
func statusBody(api, name string, s Status) []byte {
	zone := parent(name)
	if api == Domainr {
		summary := s.Words[strings.LastIndexByte(s.Words, ' ')+1:]
		return encode(map[string]any{"status": []any{map[string]string{"domain": name, "zone": zone, "status": s.Words, "summary": summary}}})
	}
	body := map[string]any{"domain": name, "zone": zone, "status": s.Words, "tags": ""}
	if s.Estimate {
		body["scope"] = "estimate"
	}
	return encode(body)
}

func statusError(w http.ResponseWriter, api, name string, answer StatusAnswer) {
	code := map[StatusAnswer]int{
		StatusBad: http.StatusBadRequest, StatusDenied: http.StatusUnauthorized, StatusTooMany: http.StatusTooManyRequests,
		StatusFailed: http.StatusInternalServerError,
	}[answer]
	switch {
	case answer == StatusInside:
		writeRaw(w, http.StatusOK, "application/json", encode(map[string]any{"errors": []any{map[string]any{"code": 503, "message": "Registry unavailable"}}}))
	case answer == StatusBroken:
		body := statusBody(api, name, Status{Words: "active"})
		writeRaw(w, http.StatusOK, "application/json", body[:len(body)/2])
	case answer == StatusOther:
		writeRaw(w, http.StatusOK, "application/json", statusBody(api, "another-"+name, Status{Words: "undelegated inactive"}))
	case api == Domainr:
		writeRaw(w, code, "application/json", encode(map[string]string{"message": http.StatusText(code)}))
	default:
		if answer == StatusTooMany {
			w.Header().Set("Retry-After", "60")
		}
		writeRaw(w, code, "application/problem+json", encode(map[string]any{"title": http.StatusText(code), "status": code, "detail": "The request failed."}))
	}
}

// canonical is a name in lower case without its trailing dot.
func canonical(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }
