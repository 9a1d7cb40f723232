package decision

// Event is what moves a decision.
type Event string

// The events.
const (
	// The verdict's, see Case.Judge.
	AsksNothing Event = "the verdict asks for nothing"
	AsksHold    Event = "the verdict asks a person"
	AsksUnset   Event = "the verdict is unverify"
	Another     Event = "another stage or lapse"

	// The breaker's and the guard's own.
	Tripped      Event = "the breaker holds its class"
	Fits         Event = "its class fits the limits again"
	Protected    Event = "the domain is protected"
	ApprovalOver Event = "the approval of its class is over"

	// Observe mode's, and the registry's.
	Reports Event = "observe mode reports it"
	Answers Event = "the registry did it"
	Refuses Event = "the registry refuses"

	// The operator's.
	Approves Event = "approved"
	Declines Event = "released"
	Pins     Event = "held by an operator"
	Restores Event = "taken back"
	Retries  Event = "retried"
)

// Transition is one change of status.
type Transition struct {
	From Status // empty: from any
	On   Event
	To   Status
}

// Transitions is the table: what is not in it does not happen. A hold ends in the rows from
// Held and, with an operator's own hold or another decision, in those from any status.
func Transitions() []Transition {
	return []Transition{
		{Idle, AsksUnset, Pending},
		{Idle, AsksHold, Held},
		{Idle, Approves, Approved},

		{Pending, AsksNothing, Idle},
		{Pending, AsksHold, Held},
		{Pending, Tripped, Held},
		{Pending, Protected, Held},
		{Pending, Refuses, Held},
		{Pending, Reports, Reported},
		{Pending, Answers, Done},
		{Pending, Approves, Approved},
		{Pending, Declines, Declined},

		{Reported, AsksNothing, Idle},
		{Reported, AsksHold, Held},
		{Reported, Tripped, Held},
		{Reported, Protected, Held},
		{Reported, Refuses, Held},
		{Reported, Answers, Done},
		{Reported, Approves, Approved},
		{Reported, Declines, Declined},

		{Held, AsksNothing, Idle},
		{Held, AsksUnset, Pending},
		{Held, Fits, Pending},
		{Held, Approves, Approved},
		{Held, Declines, Declined},

		{Approved, AsksNothing, Idle},
		{Approved, ApprovalOver, Pending},
		{Approved, Protected, Held},
		{Approved, Refuses, Held},
		{Approved, Answers, Done},
		{Approved, Declines, Declined},

		{Declined, AsksUnset, Pending},
		{Declined, AsksHold, Held},
		{Declined, Approves, Approved},

		{Pinned, Declines, Idle},
		{Pinned, Approves, Approved},

		{Done, Restores, Restored},
		{Done, Retries, Approved},
		{Restored, Retries, Approved},

		{"", Another, Idle},
		{"", Pins, Pinned},
	}
}

// next is where an event leads; false where it changes nothing.
func next(from Status, on Event) (Status, bool) {
	for _, t := range Transitions() {
		if t.On == on && (t.From == from || t.From == "") {
			return t.To, true
		}
	}
	return from, false
}

// on moves the decision; false, and nothing changes, where the table has no such row.
func (d Decision) on(e Event) (Decision, bool) {
	to, ok := next(d.At(), e)
	if ok {
		d.Status = to
	}
	return d, ok
}
