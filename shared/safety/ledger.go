package safety

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// LedgerSchema is the version of Ledger in storage. Under a ledger of a newer version nothing is acted on.
const LedgerSchema = 1

// MaxClasses bounds the classes that a ledger keeps apart, so that its item stays small. Automatic action in a
// class beyond them waits.
const MaxClasses = 300

// overflow is where acts that a person approved are counted once MaxClasses is reached.
const overflow = "other"

// MaxApproval is how long an approval of a class stands at most; what is left then is reviewed again.
const MaxApproval = 31 * 24 * time.Hour

// Ledger is what the breaker remembers: what was acted on within the last Window in each class, in hours, and
// which classes a person approved. The zero Ledger is empty. Its methods, and the functions that take one,
// return a changed copy and leave it as it is. The caller stores it by a conditional write.
//
// A class is what fails together: upstream and phase, such as "rdap.verisign.com/redemption".
type Ledger struct {
	Schema    int                 `json:"v"`
	Classes   map[string][]Hour   `json:"c,omitempty"`
	Approvals map[string]Approval `json:"a,omitempty"`
	Held      map[string]int      `json:"h,omitempty"` // decisions that the breaker holds: they count as pending
	// Days count by class and day what was acted on within the last FortnightDays by the guard's own judgement. They are days
	// and not hours, or the item would outgrow what a table takes.
	Days map[string]map[int64]int `json:"d,omitempty"`
	// Back counts by class and day those of them that came back to their holder; of a class in which more than a tenth did,
	// Doubted says since when it is doubtful. Only an operator ends that.
	Back    map[string]map[int64]int `json:"b,omitempty"`
	Doubted map[string]time.Time     `json:"q,omitempty"`
}

// Hour counts the domains of one class that were acted on in one hour.
type Hour struct {
	Hour     int64 `json:"h"`           // hours since 1970 UTC
	Acted    int   `json:"n,omitempty"` // by the guard's own judgement: within the limits
	Approved int   `json:"a,omitempty"` // by a person's: beside the limits
}

// Approval is a person's word that a class is right, as one reviewed list, to be applied at a daily rate.
type Approval struct {
	ID     int64     `json:"id"` // names it in the decisions that it covers
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until"`
	PerDay int       `json:"per_day"` // domains per Window
	Left   int       `json:"left"`    // domains still covered: the length of the reviewed lists at first
}

func (a Approval) stands(now time.Time) bool { return a.Left > 0 && now.Before(a.Until) }

func (a Approval) check(class string) error {
	var errs []error
	if class == "" {
		errs = append(errs, errors.New("no class: name one, as the hold does"))
	}
	if a.By == "" {
		errs = append(errs, errors.New("nobody's name is given: say who decided"))
	}
	if a.PerDay < 1 || a.PerDay > MaxCount {
		errs = append(errs, fmt.Errorf("daily rate is %d: set 1 to %d domains", a.PerDay, MaxCount))
	}
	if a.Left < 1 {
		errs = append(errs, fmt.Errorf("it covers %d domains: give the length of the reviewed list", a.Left))
	}
	if d := a.Until.Sub(a.At); d <= 0 || d > MaxApproval {
		errs = append(errs, fmt.Errorf("it ends %s after it begins: set at most %s", d, MaxApproval))
	}
	return errors.Join(errs...)
}

// Approve enters a person's approval of a class. One that stands goes on, with the new list, rate and end beside the
// old list: what it covers is named by the decisions. The error lists everything wrong.
func (l Ledger) Approve(class string, a Approval) (Ledger, error) {
	if err := a.check(class); err != nil {
		return l, fmt.Errorf("approve class %q: %w", class, err)
	}
	next := l.prune(a.At)
	a.ID, a.At, a.Until = a.At.Unix(), a.At.UTC(), a.Until.UTC()
	if old, ok := next.Approvals[class]; ok {
		a.ID, a.Left = old.ID, a.Left+old.Left
	}
	next.Approvals[class] = a
	return next, nil
}

// Stands tells whether the approval of a class that a decision names still covers it.
func (l Ledger) Stands(class string, id int64, now time.Time) bool {
	a, ok := l.Approvals[class]
	return ok && a.ID == id && a.stands(now)
}

// Standing are the approvals that stand, by class.
func (l Ledger) Standing(now time.Time) map[string]Approval { return l.prune(now).Approvals }

// Count is the ledger with n more decisions of a class that the breaker holds.
func (l Ledger) Count(class string, n int) Ledger {
	next := l.clone()
	if next.Held == nil {
		next.Held = map[string]int{}
	}
	if next.Held[class] += n; next.Held[class] <= 0 {
		delete(next.Held, class)
	}
	return next
}

// Revoke takes an approval back.
func (l Ledger) Revoke(class string) Ledger {
	next := l.clone()
	delete(next.Approvals, class)
	return next
}

// Acted counts n domains of the class acted on by the guard's own judgement.
func (l Ledger) Acted(now time.Time, class string, n int) Ledger {
	next := l.count(now, class, func(h *Hour) { h.Acted += max(n, 0) })
	inDay(&next.Days, class, dayOf(now), max(n, 0))
	return next
}

// minBack is how many domains of a class must have come back at least before it is doubtful: of few acted on, one renewal
// is more than a tenth.
const minBack = 3

// CameBack counts a domain that a unit was taken for and whose holder has it again, by the same registration. anew tells
// whether its class is doubtful from now on.
func (l Ledger) CameBack(now time.Time, u Unit) (next Ledger, anew bool) {
	next = l.prune(now)
	if u.Approved || dayOf(u.At) <= dayOf(now)-FortnightDays {
		return next, false // a person's word is no upstream's; what lies behind the window is not in the ledger
	}
	inDay(&next.Back, u.Class, dayOf(u.At), 1)
	back := summed(next.Back[u.Class])
	if _, known := next.Doubted[u.Class]; known || back < minBack || 10*back <= summed(next.Days[u.Class]) {
		return next, false
	}
	if next.Doubted == nil {
		next.Doubted = map[string]time.Time{}
	}
	next.Doubted[u.Class] = now.UTC()
	return next, true
}

// Trust ends the doubt about a class, on an operator's word.
func (l Ledger) Trust(class string) Ledger {
	next := l.clone()
	delete(next.Doubted, class)
	delete(next.Back, class)
	return next
}

// inDay counts n in a class's day.
func inDay(of *map[string]map[int64]int, class string, day int64, n int) {
	if *of == nil {
		*of = map[string]map[int64]int{}
	}
	days := *of
	if len(days) >= MaxClasses && days[class] == nil {
		class = overflow
	}
	if days[class] == nil {
		days[class] = map[int64]int{}
	}
	days[class][day] += n
}

// ActedApproved counts n domains of the class acted on because a person approved each of them. They count
// beside the limits: who approves one domain more must not stop the others.
func (l Ledger) ActedApproved(now time.Time, class string, n int) Ledger {
	return l.count(now, class, func(h *Hour) { h.Approved += max(n, 0) })
}

func (l Ledger) count(now time.Time, class string, change func(*Hour)) Ledger {
	next := l.prune(now)
	if !next.room(class) {
		class = overflow
	}
	hours, hour := next.Classes[class], hourOf(now)
	i := slices.IndexFunc(hours, func(h Hour) bool { return h.Hour == hour })
	if i < 0 {
		hours, i = append(hours, Hour{Hour: hour}), len(hours)
	}
	change(&hours[i])
	next.Classes[class] = hours
	return next
}

// room tells whether the class has, or can have, hours of its own.
func (l Ledger) room(class string) bool {
	return len(l.Classes) < MaxClasses || l.Classes[class] != nil
}

// prune is a copy without what lies behind the window. An hour counts until its last second is out.
func (l Ledger) prune(now time.Time) Ledger {
	next := l.clone()
	oldest := hourOf(now.Add(-Window))
	for class, hours := range next.Classes {
		hours = slices.DeleteFunc(hours, func(h Hour) bool { return h.Hour < oldest || h.Acted <= 0 && h.Approved <= 0 })
		if next.Classes[class] = hours; len(hours) == 0 {
			delete(next.Classes, class)
		}
	}
	for _, days := range []map[string]map[int64]int{next.Days, next.Back} {
		for class, counts := range days {
			maps.DeleteFunc(counts, func(day int64, n int) bool { return day <= dayOf(now)-FortnightDays || n <= 0 })
			if len(counts) == 0 {
				delete(days, class)
			}
		}
	}
	maps.DeleteFunc(next.Approvals, func(_ string, a Approval) bool { return !a.stands(now) })
	return next
}

func (l Ledger) clone() Ledger {
	next := Ledger{Schema: max(l.Schema, LedgerSchema), Classes: make(map[string][]Hour, len(l.Classes)), Approvals: make(map[string]Approval, len(l.Approvals)), Held: maps.Clone(l.Held)}
	for class, hours := range l.Classes {
		next.Classes[class] = slices.Clone(hours)
	}
	maps.Copy(next.Approvals, l.Approvals)
	next.Days, next.Back, next.Doubted = cloneDays(l.Days), cloneDays(l.Back), maps.Clone(l.Doubted)
	return next
}

func cloneDays(days map[string]map[int64]int) map[string]map[int64]int {
	if days == nil {
		return nil
	}
	next := make(map[string]map[int64]int, len(days))
	for class, counts := range days {
		next[class] = maps.Clone(counts)
	}
	return next
}

func dayOf(t time.Time) int64 { return t.Unix() / 86_400 }

// fortnight is what was acted on within FortnightDays in a class of a pruned ledger, and fortnightAll in all of them.
func (l Ledger) fortnight(class string) int { return summed(l.Days[class]) }

func (l Ledger) fortnightAll() (n int) {
	for _, days := range l.Days {
		n += summed(days)
	}
	return n
}

func summed(counts map[int64]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// acted and approved sum up a pruned ledger's hours of one class.
func (l Ledger) acted(class string) (n int) {
	for _, h := range l.Classes[class] {
		n += h.Acted
	}
	return n
}

func (l Ledger) approved(class string) (n int) {
	for _, h := range l.Classes[class] {
		n += h.Approved
	}
	return n
}

func (l Ledger) total() (n int) {
	for class := range l.Classes {
		n += l.acted(class)
	}
	return n
}

// all is what was acted on, by whoever's judgement, of a pruned ledger.
func (l Ledger) all() (n int) {
	for class := range l.Classes {
		n += l.acted(class) + l.approved(class)
	}
	return n
}

// Counted is how many domains were acted on within Window before now: by the guard's own judgement, and by a
// person's approval.
func (l Ledger) Counted(now time.Time) (acted, approved int) {
	p := l.prune(now)
	for class := range p.Classes {
		approved += p.approved(class)
	}
	return p.total(), approved
}
