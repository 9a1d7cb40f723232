package lifecycle

// evidence is what a verdict rests on: which witnesses say so, and how. The confidence follows from it alone.
type evidence struct {
	registry bool // the registry itself states it, by RDAP
	other    bool // another witness says so too: the zone above, the status API, or what was seen before
	sign     bool // it is only a sign, which the holder may have caused: expiry passed, a hold, no delegation, other name servers
	again    bool // it was seen twice, as far apart as the row of the table demands
	against  bool // another witness says what cannot be true at the same time
}

// confidence is the rule, whole:
//
//   - Witnesses who cannot both be right make a contradiction, however sure each of them is.
//   - Without a witness who can be believed there is no confidence.
//   - What the registry states and another witness confirms is high.
//   - What the registry states alone is medium: databases and deployments fail.
//   - Signs, and what is said without the registry, are medium when seen twice, else low.
func (e evidence) confidence() Confidence {
	switch {
	case e.against:
		return Contradiction
	case !e.registry && !e.other:
		return NoConfidence
	case e.registry && e.other && !e.sign:
		return High
	case e.registry && !e.sign, e.again:
		return Medium
	default:
		return Low
	}
}
