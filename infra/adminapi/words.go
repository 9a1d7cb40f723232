package adminapi

import (
	"fmt"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// Words are what a holder is told whose recovery is closed: what was seen, until when they can renew (zero: not known),
// and what to do now.
func Words(domain string, evidence []string, renewable time.Time, advice registry.Advice) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Your account cannot be recovered by mail to an address at %s until further notice; signing in works as before.", domain)
	for _, e := range evidence {
		fmt.Fprintf(&b, " Seen: %s.", e)
	}
	if !renewable.IsZero() {
		fmt.Fprintf(&b, " The domain can be renewed until %s.", renewable.Format(time.DateOnly))
	}
	return b.String() + " " + advice.Text
}
