package lifecycle

import "cmp"

// GapFound is that of a domain at which the registry holds recovery closed and of which nothing is remembered.
const GapFound Gap = "found closed"

// FoundClosed is the state of a domain at which recovery was found closed since a time. It has no baseline: what is seen
// of it does not open it.
func FoundClosed(s State, since, until Instant) State {
	s.Control = Continuity{Since: since, Gap: GapFound, Until: min(cmp.Or(until, since), since), NowMX: s.Control.NowMX, MXAt: s.Control.MXAt}
	return s
}
