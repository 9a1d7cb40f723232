package keycloak

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
)

// askAgain is Retry-After where nobody knows better.
const askAgain = 30 * time.Second

// failed is the answer to a failure: all of them pass, or are mended on this side, and the caller asks again.
func failed(err error) adminapi.Reply {
	out := adminapi.Problem(http.StatusServiceUnavailable, adminapi.TypeBlank, "not done, or not to its end", "ask again with the same key")
	var k *Error
	switch {
	case errors.Is(err, errBusy):
		out = adminapi.Problem(http.StatusServiceUnavailable, adminapi.TypeBlank, "busy with another change", "")
	case errors.As(err, &k):
		out = adminapi.Problem(http.StatusBadGateway, adminapi.TypeBlank, "Keycloak fails", cut(k.Error()))
	}
	out.After = askAgain
	return out
}

// cut keeps a problem's detail within the contract's length.
func cut(s string) string {
	const most = 400
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return strings.ReplaceAll(s, "@", " at ")
}
