package lifecycle

import "testing"

// A domain that was found closed has no baseline: whatever the zone and the registry show of it, it stays closed.
func TestFoundClosedIsOpenedByNothingSeen(t *testing.T) {
	s := FoundClosed(known(t, com), instant(-day), instant(-2*day))
	for h := 0.0; h < 10*day; h += day {
		var v Verdict
		if s, v = walk(s, com, visit(h, home(), rdap())); s.Control.Since != instant(-day) || v.Action != None {
			t.Fatalf("after %v hours: %+v %+v", h, s.Control, v)
		}
	}
	if c := FoundClosed(State{}, 5, 0).Control; c.Until != 5 {
		t.Errorf("%+v", c)
	}
}
