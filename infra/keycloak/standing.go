package keycloak

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/source"
)

// Witnesses are asked about a domain's standing: the registry's RDAP server, and the zone above.
type Witnesses struct {
	Registration func(ctx context.Context, name, tld string) source.Observation
	Delegation   func(ctx context.Context, name, suffix string) source.Observation
}

// Standing is true only if the registry's own server knows the registration to be older than before, says nothing of
// an end, a hold or a transfer since, and the zone above delegates the domain. Whatever is not known is an error.
// A domain that changed hands inside one registrar passes: the second proof, the holder's session, is for that.
func (w Witnesses) Standing(ctx context.Context, name string, before time.Time) (bool, error) {
	parsed, reason := domain.Parse(name)
	if reason != domain.ReasonNone {
		return false, fmt.Errorf("standing of %s: %s", name, reason)
	}
	name = parsed.Registrable
	r := w.Registration(ctx, name, name[strings.LastIndexByte(name, '.')+1:])
	if r.Outcome != source.Observed || r.Registration == nil {
		return false, fmt.Errorf("standing of %s: RDAP: %s %s", name, r.Outcome, r.Cause)
	}
	d := w.Delegation(ctx, name, parsed.Suffix)
	if d.Outcome == source.Unknown {
		return false, fmt.Errorf("standing of %s: DNS: %s", name, d.Cause)
	}
	reg := r.Registration
	switch {
	case reg.Registered.IsZero():
		return false, fmt.Errorf("standing of %s: RDAP does not say when it was registered", name)
	case !inService(d):
		return false, nil
	case reg.Undecided(), slices.ContainsFunc(reg.Statuses, ending):
		return false, nil
	}
	return reg.Registered.Before(before) && reg.Transferred.Before(before), nil
}

// Delegated tells whether the zone above delegates a domain, and not to parking.
func (w Witnesses) Delegated(ctx context.Context, name string) (bool, error) {
	parsed, reason := domain.Parse(name)
	if reason != domain.ReasonNone {
		return false, fmt.Errorf("delegation of %s: %s", name, reason)
	}
	d := w.Delegation(ctx, parsed.Registrable, parsed.Suffix)
	if d.Outcome == source.Unknown {
		return false, fmt.Errorf("delegation of %s: DNS: %s", name, d.Cause)
	}
	return inService(d), nil
}

func inService(d source.Observation) bool {
	return d.Outcome == source.Observed && d.Delegation.Form != source.FormNoData && !lifecycle.Parking(d.Delegation.NS)
}

// ending is true of statuses of a registration that is not in regular service (RFC 8056).
func ending(status string) bool {
	return slices.Contains([]string{"auto renew period", "client hold", "inactive", "pending delete", "pending restore", "redemption period", "server hold"}, status)
}
