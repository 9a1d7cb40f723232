package rdap

import (
	"bytes"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/internal/upstream"
)

// rdapWords gives the RDAP spelling (RFC 9083 section 10.2.2, RFC 8056) of a status whose letters are lowered and
// whose separators are dropped, which makes EPP's spelling and RDAP's the same.
var rdapWords = map[string]string{
	"ok":                       "active", // RFC 8056 section 2
	"linked":                   "associated",
	"active":                   "active",
	"inactive":                 "inactive",
	"associated":               "associated",
	"validated":                "validated",
	"locked":                   "locked",
	"proxy":                    "proxy",
	"private":                  "private",
	"removed":                  "removed",
	"obscured":                 "obscured",
	"administrative":           "administrative",
	"reserved":                 "reserved",
	"renewprohibited":          "renew prohibited",
	"updateprohibited":         "update prohibited",
	"transferprohibited":       "transfer prohibited",
	"deleteprohibited":         "delete prohibited",
	"pendingcreate":            "pending create",
	"pendingrenew":             "pending renew",
	"pendingtransfer":          "pending transfer",
	"pendingupdate":            "pending update",
	"pendingdelete":            "pending delete",
	"pendingrestore":           "pending restore",
	"redemptionperiod":         "redemption period",
	"addperiod":                "add period",
	"autorenewperiod":          "auto renew period",
	"renewperiod":              "renew period",
	"transferperiod":           "transfer period",
	"clienthold":               "client hold",
	"clientdeleteprohibited":   "client delete prohibited",
	"clientrenewprohibited":    "client renew prohibited",
	"clienttransferprohibited": "client transfer prohibited",
	"clientupdateprohibited":   "client update prohibited",
	"serverhold":               "server hold",
	"serverdeleteprohibited":   "server delete prohibited",
	"serverrenewprohibited":    "server renew prohibited",
	"servertransferprohibited": "server transfer prohibited",
	"serverupdateprohibited":   "server update prohibited",
}

// maxWord bounds a status that no list knows, in bytes.
const maxWord = 64

// statusWord brings a status into RDAP's spelling; one that no list knows is kept, in lower-case words. Some
// servers append or prepend the link that explains an EPP status.
func statusWord(b []byte) string {
	b = bytes.TrimSpace(b)
	if i := bytes.Index(b, []byte("http")); i >= 0 {
		if i > 0 {
			b = bytes.TrimSpace(b[:i])
		} else if j := bytes.LastIndexByte(b, '#'); j >= 0 {
			b = b[j+1:]
		}
	}
	var scratch [maxWord]byte
	if known, ok := rdapWords[string(compact(scratch[:0], b))]; ok {
		return known
	}
	var words strings.Builder
	for i, c := range b {
		switch {
		case c == '_' || c == '-':
			c = ' '
		case c >= 'A' && c <= 'Z':
			if i > 0 && b[i-1] >= 'a' && b[i-1] <= 'z' {
				words.WriteByte(' ')
			}
			c += 'a' - 'A'
		}
		words.WriteByte(c)
	}
	return upstream.Printable(strings.Join(strings.Fields(words.String()), " "), maxWord)
}

// compact lowers ASCII letters and drops separators.
func compact(dst, b []byte) []byte {
	for _, c := range b {
		switch {
		case c == ' ' || c == '_' || c == '-':
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// maxSaidStatus leaves room for four dates within source.MaxSaid.
const maxSaidStatus = 140

// saidRegistration puts a registration into one line. The prohibitions come last: they are many and say least.
func saidRegistration(r *source.Registration) string {
	line := make([]byte, 0, source.MaxSaid)
	line = append(line, "status: "...)
	start := len(line)
	for _, prohibitions := range [...]bool{false, true} {
		for _, s := range r.Statuses {
			if strings.HasSuffix(s, "prohibited") != prohibitions {
				continue
			}
			if len(line)+len(s) > maxSaidStatus {
				line = append(line, ", ..."...)
				break
			}
			if len(line) > start {
				line = append(line, ", "...)
			}
			line = append(line, s...)
		}
	}
	if len(line) == start {
		line = append(line, "none"...)
	}
	line = appendDate(line, "; registration ", r.Registered)
	line = appendDate(line, "; expiration ", r.Expires)
	line = appendDate(line, "; registrar expiration ", r.RegistrarExpires)
	line = appendDate(line, "; deletion ", r.Deleted)
	return string(line)
}

func appendDate(line []byte, label string, t time.Time) []byte {
	if t.IsZero() {
		return line
	}
	return t.AppendFormat(append(line, label...), time.DateOnly)
}
