package adminapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// TypeBlank is the type of a problem that the contract has no word for (RFC 9457 section 4.2.1).
const TypeBlank = "about:blank"

// Reply is an answer not yet written: a status, a body, and with 202, 409 or 503 when to ask again.
type Reply struct {
	Status int
	Body   any           // nil: none
	After  time.Duration // Retry-After, in whole seconds rounded up; 0: none
	Header map[string]string
}

// OK is a 200 with a body.
func OK(body any) Reply { return Reply{Status: http.StatusOK, Body: body} }

// problemBody is RFC 9457's object.
type problemBody struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Problem is a refusal (application/problem+json); kind is one of the registry package's Type constants.
func Problem(status int, kind, title, detail string) Reply {
	return Reply{Status: status, Body: problemBody{Type: kind, Title: title, Status: status, Detail: detail}}
}

// Malformed is the refusal of a request that does not fit the contract.
func Malformed(detail string) Reply {
	return Problem(http.StatusBadRequest, registry.TypeMalformed, "malformed request", detail)
}

// ProblemType is the type of a refusal, empty for any other answer.
func (r Reply) ProblemType() string {
	if p, ok := r.Body.(problemBody); ok {
		return p.Type
	}
	return ""
}

// Write writes an answer.
func Write(w http.ResponseWriter, r Reply) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	for name, value := range r.Header {
		h.Set(name, value)
	}
	if r.After > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((r.After+time.Second-1)/time.Second), 10))
	}
	if r.Body == nil {
		w.WriteHeader(r.Status)
		return
	}
	kind := "application/json"
	if _, ok := r.Body.(problemBody); ok {
		kind = "application/problem+json"
	}
	data, err := json.Marshal(r.Body)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(r.Status)
	_, _ = w.Write(data) // whoever hung up asks again
}
