package conform

import (
	stdjson "encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// decode refuses duplicate names, and ignores members that it does not know.
func decode(data []byte, v any) error {
	return json.Unmarshal(data, v) //nolint:wrapcheck // the caller discards the text, which quotes the body
}

func encode(v any) ([]byte, error) {
	data, err := stdjson.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return data, nil
}

func (x exchange) mediaType() string {
	kind, _, err := mime.ParseMediaType(x.header.Get("Content-Type"))
	if err != nil {
		return "none"
	}
	return kind
}

// problem is RFC 9457's object.
type problem struct {
	Type   *string `json:"type"`
	Title  *string `json:"title"`
	Status *int    `json:"status"`
}

// judgeProblem: every answer from 400 on is a problem that names itself.
func (w *walk) judgeProblem(x exchange) {
	if x.status < 400 {
		return
	}
	var p problem
	err := decode(x.data, &p)
	switch {
	case x.mediaType() != "application/problem+json":
		w.wrong("the answer %d to %s is of the type %s: errors are application/problem+json (RFC 9457)", x.status, x.what(), x.mediaType())
	case err != nil:
		w.wrong("the answer %d to %s is not a JSON object, or has a member twice", x.status, x.what())
	case p.Type == nil || p.Title == nil || p.Status == nil || *p.Title == "":
		w.wrong("the answer %d to %s lacks type, title or status", x.status, x.what())
	case *p.Status != x.status:
		w.wrong("the answer %d to %s says status %d in its body", x.status, x.what(), *p.Status)
	}
}

func (x exchange) problemType() string {
	var p problem
	if decode(x.data, &p) != nil || p.Type == nil {
		return ""
	}
	return *p.Type
}

// expect judges status and type of an answer that must be an error; why is the contract's reason.
func (w *walk) expect(x exchange, status int, kind, why string) bool {
	switch {
	case x.status != status:
		w.wrong("%s is answered %d, not %d: %s", x.what(), x.status, status, why)
	case x.problemType() != kind:
		w.wrong("%s is answered %d with the type %q, not %q: %s", x.what(), x.status, x.problemType(), kind, why)
	default:
		return true
	}
	return false
}

type hostLine struct {
	Host      *string     `json:"host"`
	Addresses *int        `json:"addresses"`
	Oldest    *time.Time  `json:"oldest"`
	Newest    *time.Time  `json:"newest"`
	Closed    *closedLine `json:"closed"`
}

// closedLine is what is closed at a host.
type closedLine struct {
	Addresses *int       `json:"addresses"`
	Since     *time.Time `json:"since"`
	Until     *time.Time `json:"continuous_until"`
	Reported  *int       `json:"reported"`
}

type page struct {
	Hosts    []hostLine `json:"hosts"`
	Next     *string    `json:"next"`
	Complete *bool      `json:"complete"`
	AsOf     *time.Time `json:"as_of"`
	Recovery *bool      `json:"recovery"`
}

// pageOf reads and judges a page; after and limit are what was asked for.
func (w *walk) pageOf(x exchange, after string, limit int, changes bool) (page, bool) {
	var p page
	if x.status != 200 {
		w.wrong("%s is answered %d, not 200", x.what(), x.status)
		return p, false
	}
	if x.mediaType() != "application/json" {
		w.wrong("the answer to %s is of the type %s, not application/json", x.what(), x.mediaType())
	}
	if err := decode(x.data, &p); err != nil {
		w.wrong("the answer to %s is not the JSON that the contract describes: a member twice, a wrong type, a time not as in RFC 3339, or a fraction where an integer belongs", x.what())
		return p, false
	}
	if p.Hosts == nil || p.Complete == nil || p.AsOf == nil {
		w.wrong("the answer to %s lacks hosts, complete or as_of", x.what())
		return p, false
	}
	n := len(p.Hosts)
	if n > limit {
		w.wrong("%s brings %d hosts where %d were asked for", x.what(), n, limit)
	}
	more := p.Next != nil && *p.Next != ""
	switch {
	case more && *p.Complete:
		w.wrong("a page that has a next one says complete: only the last page may, or a list that is cut off passes for whole")
	case more && (n == 0 || p.Hosts[n-1].Host == nil || *p.Next != *p.Hosts[n-1].Host):
		w.wrong("next is not the page's last host")
	}
	return p, w.linesOf(p, after, changes)
}

func (w *walk) linesOf(p page, after string, changes bool) bool {
	for i, h := range p.Hosts {
		switch {
		case h.Host == nil || h.Addresses == nil:
			w.wrong("host %d of a page lacks host or addresses", i+1)
			return false
		case *h.Host == "" || len(*h.Host) > 255 || strings.ContainsAny(*h.Host, "@ \t\r\n"):
			w.wrong("host %d of a page is no host: it must be what follows the last @ of an address, and nothing else", i+1)
			return false
		case *h.Host <= after:
			w.wrong("host %d of a page is not after the one before it, or not after the cursor: hosts ascend by the bytes of their UTF-8 form, without duplicates", i+1)
			return false
		case *h.Addresses < 0 || *h.Addresses == 0 && !changes && h.Closed == nil:
			w.wrong("host %d of a page has %d addresses: a host in use has one or more; 0 belongs into a list of changes", i+1, *h.Addresses)
		case h.Closed != nil && (h.Closed.Addresses == nil || *h.Closed.Addresses < 1 || h.Closed.Since == nil || h.Closed.Until == nil):
			w.wrong("host %d of a page has closed without one address or more, since and continuous_until", i+1)
			return false
		case h.Closed != nil && (h.Closed.Until.After(*h.Closed.Since) || h.Closed.Reported != nil && *h.Closed.Reported < 0):
			w.wrong("host %d of a page has closed with a continuous_until after since, or a negative count", i+1)
		case h.Oldest != nil && h.Newest != nil && h.Oldest.After(*h.Newest):
			w.wrong("host %d of a page has an oldest verification that is newer than the newest", i+1)
		}
		after = *h.Host
	}
	return true
}

type answer struct {
	Changed  *int    `json:"changed"`
	Already  *int    `json:"already_unverified"`
	Kept     *int    `json:"kept_verified_later"`
	Recovery *string `json:"recovery"`
	Closed   *int    `json:"closed"` // of the recovery call, and optional
}

func (a answer) String() string {
	return fmt.Sprintf("changed %d, already unverified %d, kept %d, recovery %s", *a.Changed, *a.Already, *a.Kept, *a.Recovery)
}

// answerOf reads and judges an answer to unverify.
func (w *walk) answerOf(x exchange) (answer, bool) {
	var a answer
	if x.status != 200 {
		w.wrong("%s is answered %d (%s), not 200", x.what(), x.status, x.problemType())
		return a, false
	}
	if err := decode(x.data, &a); err != nil {
		w.wrong("the answer to %s is not the JSON that the contract describes", x.what())
		return a, false
	}
	if a.Changed == nil || a.Already == nil || a.Kept == nil || a.Recovery == nil {
		w.wrong("the answer to %s lacks changed, already_unverified, kept_verified_later or recovery", x.what())
		return a, false
	}
	if *a.Changed < 0 || *a.Already < 0 || *a.Kept < 0 {
		w.wrong("the answer to %s has a negative count", x.what())
	}
	switch registry.Recovery(*a.Recovery) {
	case registry.RecoveryClosed, registry.RecoveryOpen, registry.RecoveryUnknown:
	default:
		w.wrong("the answer to %s says recovery %q: closed, open or unknown", x.what(), *a.Recovery)
	}
	return a, true
}

// body is a sound unverify request, to be spoiled.
func (w *walk) body(change func(map[string]any)) map[string]any {
	b := map[string]any{
		"verified_before": w.before.Format(time.RFC3339Nano), "max_addresses": 1000, "reason": "canary", "phase": "redemption",
		"evidence": []string{"a rehearsal of the contract"}, "run": "conform", "dry_run": true,
		"advice": map[string]any{"code": "add_other_address", "text": "This is a rehearsal."},
	}
	if change != nil {
		change(b)
	}
	return b
}

// keyed turns a body into one that changes something.
func (w *walk) keyed(key string, limit int) map[string]any {
	return w.body(func(b map[string]any) {
		delete(b, "dry_run")
		b["key"], b["max_addresses"] = key, limit
	})
}
