package lifecycle

// Transition is a change of phase that judgement can make: from one phase, or from any (From is empty), to another.
type Transition struct {
	From, To Phase
	When     string // what is seen, in a few words
}

// Transitions lists every change of phase that Visit can make. The first ones are the course of a lapse and what may
// follow it. The others hold from any phase, because looks are missed and answers are wrong: fresh evidence decides,
// whatever was believed before. There is no way back to unknown: what cannot be believed changes nothing.
func Transitions() []Transition {
	return []Transition{
		{PhaseUnknown, Active, "first credible look"},
		{Active, Grace, "expired, and parked or out of the zone"},
		{Grace, Active, "back on its name servers, renewed"},
		{Grace, Redemption, "deleted"},
		{Active, Redemption, "deleted before expiry"},
		{Redemption, Active, "restored"},
		{Redemption, PendingDelete, "nobody can restore it any more"},
		{PendingDelete, Released, "404 and out of the zone"},
		{Redemption, Released, "a TLD without pending delete"},
		{Grace, Released, "a TLD without redemption"},
		{Active, Released, "deleted in the add grace period"},
		{Released, ReRegistered, "registered anew"},
		{ReRegistered, Active, "every address verified since"},
		{Grace, ChangedHands, "other name servers after the interim"},
		{Active, ChangedHands, "other name servers and registrar, no interim"},
		{ChangedHands, Active, "watched for 45 days, or back"},

		{"", Active, "registered, and in the zone or on hold"},
		{"", Grace, "registered but expired, and parked or out of the zone"},
		{"", Redemption, "redemption period or pending restore"},
		{"", PendingDelete, "pending delete"},
		{"", Released, "404 and out of the zone"},
		{"", ReRegistered, "registration later than a verification"},
		{"", ChangedHands, "other name servers, after an interim or with another registrar"},
	}
}
