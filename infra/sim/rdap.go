package sim

import (
	"net/http"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/idna"
)

const rdapType = "application/rdap+json"

// hugeBody is the size of Huge in bytes.
const hugeBody = 30 << 20

// rdap answers as the registry of a TLD.
func (n *Internet) rdap(w http.ResponseWriter, r *http.Request) {
	at, age := n.now()
	tld, name := r.PathValue("tld"), canonical(r.PathValue("name"))
	answer, g, said := n.rdapAnswer(tld, name, age)
	n.note(at, "rdap:"+tld, name, said)
	object := rdapObject{name: name, base: n.RDAPURL(tld), dialect: n.world.TLDs[tld].Dialect, stage: g}
	switch answer {
	case Object:
		writeRaw(w, http.StatusOK, rdapType, encode(object.body()))
	case Silence:
		n.silent(w, r)
	case Reset:
		hangUp(w)
	case Huge:
		n.huge(w)
	default:
		ugly(w, answer, object)
	}
}

// rdapAnswer finds what is to be said; said is the word for it that goes on record.
func (n *Internet) rdapAnswer(tld, name string, age time.Duration) (answer RDAPAnswer, g stage, said string) {
	if out, down := n.outage("rdap", tld, age); down {
		return RDAPAnswer(out), g, out
	}
	if t, known := n.world.TLDs[tld]; !known || t.RDAP == NoServer || lastLabel(name) != tld {
		return NotFoundHTML, g, "bad request"
	}
	registered, g, ok := n.find(name, age)
	if !ok || registered != name {
		return NotFound, g, "no such name"
	}
	return g.rdap, g, string(g.rdap)
}

// ugly writes the answers that are not the registration.
func ugly(w http.ResponseWriter, answer RDAPAnswer, o rdapObject) {
	page := []byte("<!DOCTYPE html><html><head><title>Request</title></head><body><p>This request cannot be served.</p></body></html>")
	head := w.Header()
	switch answer {
	case NotFound:
		rdapError(w, http.StatusNotFound, "Object not found")
	case NotFoundEmpty:
		writeRaw(w, http.StatusNotFound, "", nil)
	case NotFoundHTML:
		writeRaw(w, http.StatusNotFound, "text/html; charset=utf-8", page)
	case TooManyRetry:
		head.Set("Retry-After", "1800")
		rdapError(w, http.StatusTooManyRequests, "Too many requests")
	case TooMany:
		rdapError(w, http.StatusTooManyRequests, "Too many requests")
	case Forbidden:
		writeRaw(w, http.StatusForbidden, "text/html", page)
	case ServerError:
		rdapError(w, http.StatusInternalServerError, "Internal error")
	case Unavailable:
		writeRaw(w, http.StatusServiceUnavailable, "text/html", page)
	case WrongName:
		o.name = "another-" + o.name
		writeRaw(w, http.StatusOK, rdapType, encode(o.body()))
	case SearchResult:
		writeRaw(w, http.StatusOK, rdapType, encode(map[string]any{"rdapConformance": []string{"rdap_level_0"}, "domainSearchResults": []any{o.body()}}))
	case ErrorInside:
		rdapErrorAs(w, http.StatusOK, http.StatusNotFound, "Object not found")
	case Broken:
		body := encode(o.body())
		writeRaw(w, http.StatusOK, rdapType, body[:len(body)-len(body)/3])
	case HTML:
		writeRaw(w, http.StatusOK, "text/html; charset=utf-8", page)
	case RedirectLoopback:
		head.Set("Location", "https://127.0.0.1:9/domain/"+o.name)
		w.WriteHeader(http.StatusFound)
	case RedirectHTTP:
		head.Set("Location", "http://rdap.elsewhere.invalid/domain/"+o.name)
		w.WriteHeader(http.StatusMovedPermanently)
	default: // Object, Reset, Silence and Huge are not written here
	}
}

func rdapError(w http.ResponseWriter, code int, title string) { rdapErrorAs(w, code, code, title) }

func rdapErrorAs(w http.ResponseWriter, status, code int, title string) {
	writeRaw(w, status, rdapType, encode(map[string]any{"rdapConformance": []string{"rdap_level_0"}, "errorCode": code, "title": title}))
}

// huge streams a remark that never ends, without saying how long it is, until the asker has had enough.
func (n *Internet) huge(w http.ResponseWriter) {
	w.Header().Set("Content-Type", rdapType)
	_, err := w.Write([]byte(`{"objectClassName":"domain","remarks":[{"description":["`))
	chunk := []byte(strings.Repeat("this page intentionally left long. ", 1<<11))
	for sent := 0; err == nil && sent < hugeBody; sent += len(chunk) {
		select {
		case <-n.ended:
			return
		default:
			_, err = w.Write(chunk)
		}
	}
}

// rdapObject is a registration on its way into an answer.
type rdapObject struct {
	name    string
	base    string
	dialect Dialect
	stage
}

// body is the object of RFC 9083 section 5.3, spelled in the TLD's dialect.
func (o rdapObject) body() map[string]any {
	body := map[string]any{
		"rdapConformance": []string{"rdap_level_0", "icann_rdap_response_profile_1"},
		"objectClassName": "domain", "handle": "D" + strings.ToUpper(strings.ReplaceAll(o.name, ".", "-")),
		"ldhName": o.name, "events": o.events(), "nameservers": o.nameServers(), "entities": o.entities(),
		"secureDNS": map[string]any{"delegationSigned": o.reg.Signed},
		"links":     []any{map[string]string{"rel": "self", "href": o.base + "domain/" + o.name, "type": rdapType}},
		"notices":   []any{map[string]any{"title": "Terms of Use", "description": []string{"A simulated registry. Nothing here is real."}}},
	}
	if unicodeName, err := idna.ToUnicode(o.name); err == nil && unicodeName != o.name {
		body["unicodeName"] = unicodeName
	}
	if o.dialect == Upper {
		body["ldhName"] = strings.ToUpper(o.name) + "."
	}
	if o.dialect == NoStatus {
		return body
	}
	words := make([]string, len(o.reg.Statuses))
	for i, s := range o.reg.Statuses {
		words[i] = o.spelled(s)
	}
	body["status"] = words
	if o.dialect == OneWord {
		body["status"] = strings.Join(words, ", ")
	}
	return body
}

// spelled is a status in the dialect's spelling.
func (o rdapObject) spelled(status string) string {
	switch o.dialect {
	case EPP:
		return camel(status)
	case Upper:
		return strings.ToUpper(status)
	default:
		return status
	}
}

// camel is EPP's spelling: "pending delete" is pendingDelete. "active" is RDAP's word for EPP's ok (RFC 8056).
func camel(status string) string {
	if status == "active" {
		return "ok"
	}
	words := strings.Fields(status)
	for i, w := range words {
		if i > 0 {
			words[i] = string(unicode.ToUpper(rune(w[0]))) + w[1:]
		}
	}
	return strings.Join(words, "")
}

func (o rdapObject) events() []any {
	list := []any{}
	add := func(action string, at time.Time) {
		if !at.IsZero() {
			list = append(list, map[string]string{"eventAction": action, "eventDate": o.date(at)})
		}
	}
	add("last changed", o.reg.Registered)
	add("registration", o.reg.Registered)
	add("expiration", o.reg.Expires)
	add("registrar expiration", o.reg.RegistrarExpires)
	add("transfer", o.reg.Transferred)
	return list
}

func (o rdapObject) date(at time.Time) string {
	if o.dialect == Offset {
		return at.In(time.FixedZone("", 2*60*60)).Format("2006-01-02T15:04:05-0700")
	}
	return at.UTC().Format(time.RFC3339)
}

func (o rdapObject) nameServers() []any {
	hosts := o.reg.NS
	if hosts == nil {
		hosts = o.ns
	}
	list := []any{}
	for _, host := range hosts {
		if o.dialect == Upper {
			host = strings.ToUpper(host) + "."
		}
		list = append(list, map[string]string{"objectClassName": "nameserver", "ldhName": host})
	}
	return list
}

// entities is the sponsoring registrar: with its IANA id where that is a number, else by name.
func (o rdapObject) entities() []any {
	if o.reg.Registrar == "" {
		return []any{}
	}
	e := map[string]any{
		"objectClassName": "entity", "handle": o.reg.Registrar, "roles": []string{"registrar"},
		"vcardArray": []any{"vcard", []any{[]any{"version", map[string]any{}, "text", "4.0"}, []any{"fn", map[string]any{}, "text", "Registrar " + o.reg.Registrar}}},
	}
	if strings.Trim(o.reg.Registrar, "0123456789") == "" {
		e["publicIds"] = []any{map[string]string{"type": "IANA Registrar ID", "identifier": o.reg.Registrar}}
	}
	return []any{e}
}
