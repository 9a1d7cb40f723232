package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

type explainCommand struct {
	tables
	Domain string `arg:"" help:"Domain, or an e-mail host below one."`
	Format string `enum:"words,json" default:"words" help:"words, or json (one object; says has the words)."`
	Limit  int    `default:"100" help:"How much of the history to tell, in entries."`
	Now    string `help:"Tell as of this time (RFC 3339) instead of the store's present."`
}

// Run tells what is known of a domain, from the stored state alone.
func (c *explainCommand) Run(ctx context.Context, s streams) (err error) {
	st, now, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if now, err = given(c.Now, now); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cloudTime)
	defer cancel()
	name, reason := domain.Parse(hostOf(c.Domain))
	if reason != "" {
		return c.unknown(s, fmt.Sprintf("%s is not watched and cannot be: %s.", cmp.Or(masked(hostOf(c.Domain)), "That"), unwatchable(reason)))
	}
	a, err := collect(ctx, st, name, max(c.Limit, 1))
	if errors.Is(err, store.ErrNotFound) {
		return c.unknown(s, stranger(name))
	}
	if err != nil {
		return err
	}
	a.now = now
	if c.Format == "json" {
		return writeObject(s.out, a.object())
	}
	return a.tell(screenOf(s.out))
}

// unknown tells of a domain about which nothing is stored.
func (c *explainCommand) unknown(s streams, says string) error {
	if c.Format == "json" {
		return writeObject(s.out, explained{Domain: hostOf(c.Domain), Says: []string{says}})
	}
	screenOf(s.out).words(masked(says))
	return nil
}

// explained is an account as one JSON object.
type explained struct {
	Domain         string               `json:"domain"`
	Known          bool                 `json:"known"`
	Phase          lifecycle.Phase      `json:"phase,omitempty"`
	Since          time.Time            `json:"since,omitzero"`
	Action         lifecycle.Action     `json:"action,omitempty"`
	Reason         lifecycle.Reason     `json:"reason,omitempty"`
	Confidence     lifecycle.Confidence `json:"confidence,omitempty"`
	VerifiedBefore time.Time            `json:"verified_before,omitzero"` // addresses that it concerns
	ExposedSince   time.Time            `json:"exposed_since,omitzero"`
	Addresses      int                  `json:"addresses"`
	Hosts          int                  `json:"hosts"`
	Reported       int                  `json:"accounts_perhaps_taken"`
	Interrupted    time.Time            `json:"control_interrupted_since,omitzero"`
	Closed         bool                 `json:"recovery_closed"`
	Status         string               `json:"decision"`
	Hold           *safety.Hold         `json:"hold,omitempty"`
	Requests       []records.Request    `json:"requests,omitempty"` // to the registry, newest first
	MailOf         []string             `json:"mail_of,omitempty"`  // whose mail or name servers depend on it
	Says           []string             `json:"says"`               // what explain tells, by paragraph
	History        []records.Entry      `json:"history,omitempty"`  // newest first
	More           bool                 `json:"more_history"`
}

func (a account) object() explained {
	at := func(i lifecycle.Instant) (t time.Time) {
		if i > 0 {
			t = i.Time().UTC()
		}
		return t
	}
	d := a.d
	return explained{
		Domain: d.Name, Known: true, Phase: d.State.Phase, Since: at(d.State.Since), Action: d.Action, Reason: d.Reason, Confidence: d.Confidence, VerifiedBefore: at(d.VerifiedBefore), ExposedSince: at(d.ExposedSince),
		Addresses: d.Addresses, Hosts: d.Hosts, Reported: a.reported, Interrupted: at(d.State.Control.Since), Closed: a.recovery.Since > 0, Status: cmp.Or(string(a.c.Status), "none"), Hold: a.hold, Requests: a.sent,
		MailOf: a.dependents, Says: a.paragraphs(), History: a.history, More: a.more,
	}
}

// paragraphs are what is told before the history.
func (a account) paragraphs() (all []string) {
	if a.name.Host != a.d.Name {
		all = append(all, fmt.Sprintf("%s lies below %s: that is the domain somebody could register, so it is the one that is watched.", a.name.Host, a.d.Name))
	}
	for _, part := range []string{a.standing(), a.watching(), a.lever(), a.decision(), a.requests(), a.next()} {
		if part != "" {
			all = append(all, part)
		}
	}
	return all
}

// unwatchable says in a sentence why a host has no domain to watch.
func unwatchable(r domain.Reason) string {
	switch r {
	case domain.ReasonNotCovered:
		return "it lies below a name that somebody owns and lets (see README, What it cannot do); neither RDAP nor the zone above knows it"
	case domain.ReasonSpecialUse:
		return "the name is reserved, nobody can register it"
	case domain.ReasonPublicSuffix:
		return "it is a suffix under which domains are registered, not a registered domain"
	case domain.ReasonIPLiteral:
		return "it is an IP address"
	case domain.ReasonUnknownTLD:
		return "no such top-level domain is known"
	default:
		return "it is not a domain (" + string(r) + ")"
	}
}

// stranger says of a domain without an item how it would get one.
func stranger(n domain.Name) string {
	s := n.Registrable + " is not known: nothing is stored about it."
	if n.Host != n.Registrable {
		s = fmt.Sprintf("%s lies below %s, which is not known: nothing is stored about it.", n.Host, n.Registrable)
	}
	return s + " It gets here with the first daily run after the registry's list names a verified address at " + n.Registrable +
		" or at a host below it, or after a watched domain is seen to receive its mail through it."
}

// account is what the store holds about one domain, read to tell it.
type account struct {
	name       domain.Name
	d          records.Domain
	c          decision.Case
	hold       *safety.Hold
	class      *safety.Approval  // of the hold's whole class
	sent       []records.Request // newest first: an operator can have a decision sent again
	history    []records.Entry   // newest first
	more       bool
	recovery   records.Recovery
	reported   int
	dependents []string // domains that it is watched for, with what ties them to it
	moreDeps   bool
	now        time.Time
}

// dependentsShown bounds the domains that a mail host's account names.
const dependentsShown = 20

func collect(ctx context.Context, s store.Store, name domain.Name, limit int) (account, error) {
	a := account{name: name}
	var err error
	m, err := records.In(s).Matter(ctx, name.Registrable)
	if err != nil {
		return a, err
	}
	a.d, a.recovery = m.Domain, m.Recovery.V
	v := m.Domain.Verdict()
	v.Closed, v.Final = a.recovery.Since != 0, m.Case.V.Open() // what was decided stands in the case
	a.c = m.Case.V.Judge(v)
	if !a.d.Known() {
		return a, store.ErrNotFound
	}
	book := records.In(s)
	listed, err := book.Listed(ctx, a.d.Name)
	if err != nil {
		return a, err
	}
	a.reported = listed.Reported
	hold, err := book.Hold(ctx, a.d.Name)
	if err != nil {
		return a, err
	}
	if hold.Found() {
		a.hold = &hold.V
		ledger, err := book.Ledger(ctx)
		if err != nil {
			return a, err
		}
		if ap, ok := ledger.V.Approvals[hold.V.Class]; ok {
			a.class = &ap
		}
	}
	for _, key := range slices.Backward(a.keys()) {
		r, err := book.Request(ctx, key)
		if err != nil {
			return a, err
		}
		if r.Found() {
			a.sent = append(a.sent, r.V)
		}
	}
	if a.history, err = records.In(s).History(ctx, a.d.Name, limit+1); err != nil {
		return a, err
	}
	if a.more = len(a.history) > limit; a.more {
		a.history = a.history[:limit]
	}
	if !a.d.MailHost {
		return a, nil
	}
	items, more, err := s.Query(ctx, store.Query{PK: records.DependentsPK(a.d.Name), Limit: dependentsShown})
	if err != nil {
		return a, fmt.Errorf("who depends on %s: %w", a.d.Name, err)
	}
	for _, it := range items {
		a.dependents = append(a.dependents, tie(it.SK))
	}
	a.moreDeps = more
	return a, nil
}

// keys are those of every request about the domain's last decisions, oldest first.
func (a account) keys() (keys []string) {
	for _, d := range slices.Backward(append([]decision.Decision{a.c.Decision}, a.c.Past...)) {
		keys = append(keys, d.Keys()...)
	}
	return keys
}

// tie reads a dependent's name, and by which kind of record it depends ("example.org/mx").
func tie(sk string) string {
	name, kind, _ := strings.Cut(sk, "/")
	switch kind {
	case "":
		return name
	case "ns":
		return name + " (by its name servers)"
	default:
		return name + " (by its MX)"
	}
}

// tell writes the account: what is, what was done, when the next look is due, and the history.
func (a account) tell(to screen) error {
	width := reading
	if to.width > 0 {
		width = min(to.width, reading)
	}
	item := func(s string) string {
		return "- " + strings.ReplaceAll(wrap(masked(s), width-2), "\n", "\n  ") + "\n"
	}
	var b strings.Builder
	for i, part := range a.paragraphs() {
		if i > 0 {
			b.WriteByte('\n')
		}
		text := wrap(masked(part), width)
		if strings.HasPrefix(part, a.d.Name+" is ") { // where it stands, in the colour of what it asks for
			text = to.paintAs(string(a.d.Action), a.d.Name) + strings.TrimPrefix(text, a.d.Name)
		}
		b.WriteString(text + "\n")
	}
	b.WriteString("\nHistory, newest first:\n")
	if len(a.history) == 0 {
		b.WriteString("  nothing yet\n")
	}
	for _, e := range a.history {
		b.WriteString(item(tellEntry(e)))
	}
	if a.more {
		b.WriteString(item("Older entries are left out; --limit shows more."))
	}
	if _, err := io.WriteString(to.Writer, b.String()); err != nil {
		return fmt.Errorf("write the account of %s: %w", a.d.Name, err)
	}
	return nil
}

// reading is how wide prose is at most, in columns: in a pipe too.
const reading = 100

// wrap breaks lines at spaces; a word longer than a line stays whole, to be copied.
func wrap(s string, width int) string {
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		now := ""
		for word := range strings.FieldsSeq(line) {
			if now != "" && len(now)+1+len(word) > width {
				lines, now = append(lines, now), ""
			}
			now = strings.TrimPrefix(now+" "+word, " ")
		}
		lines = append(lines, now)
	}
	return strings.Join(lines, "\n")
}

// standing says where the domain stands and by whose word.
func (a account) standing() string {
	s := a.d.State
	text := fmt.Sprintf("%s is %s", a.d.Name, phaseWords(s.Phase))
	if s.Since != 0 {
		text += fmt.Sprintf(" (first seen so on %s)", s.Since)
	}
	v := lifecycle.Verdict{Phase: s.Phase, Action: a.d.Action, Confidence: a.d.Confidence, Reason: a.d.Reason}
	text += ". " + strings.TrimSpace(lifecycle.Sentence(s, v)+" "+lifecycle.Meaning(v))
	if a.d.Reason != "" {
		text += fmt.Sprintf(" The verdict: %s. It asks to %s; confidence %s.", a.d.Reason, actionWords(a.d.Action), a.d.Confidence)
	}
	if a.d.VerifiedBefore != 0 && a.d.Action.Weight() >= lifecycle.Hold.Weight() {
		text += fmt.Sprintf(" It concerns addresses verified before %s.", a.d.VerifiedBefore)
	}
	if a.d.ExposedSince != 0 {
		text += fmt.Sprintf(" Somebody else may have been able to read its mail since %s.", a.d.ExposedSince)
	}
	return text
}

// lever says whether control of the domain is continuous, and what the registry holds to about account recovery.
func (a account) lever() string {
	c, r := a.d.State.Control, a.recovery
	var parts []string
	if c.Since != 0 {
		parts = append(parts, fmt.Sprintf("Control of it has not been continuous since %s (%s; all was well on %s).", c.Since, c.Gap, c.Until))
	}
	switch {
	case r.Since != 0:
		parts = append(parts, fmt.Sprintf("The registry holds account recovery through %s closed since then; sign-in works as ever. %s", count(r.Bound, "address", "addresses"), a.opens()))
	case c.Since != 0 && r.Refused == c.Since:
		parts = append(parts, "The registry refused to close account recovery: "+strings.TrimSuffix(r.Why, ".")+".")
	case c.Since != 0 && r.Would == c.Since:
		parts = append(parts, "Observe mode has reported that it would close account recovery.")
	case c.Since != 0:
		parts = append(parts, "Account recovery through its addresses is not closed.")
	}
	if w := r.Word; w != nil && r.Stands(c.Since) {
		parts = append(parts, fmt.Sprintf("%s said on %s that it should be %s (%s); that stands until a new gap.", w.By, w.At, map[bool]string{true: "closed", false: "open"}[w.Closed], strings.TrimSuffix(w.Why, ".")))
	}
	if a.reported > 0 {
		parts = append(parts, fmt.Sprintf("The registry reports %s that may have been taken: a credential was set by mail after control was interrupted. Review them there.", count(a.reported, "account", "accounts")))
	}
	return strings.Join(parts, " ")
}

// opens says what opens recovery again.
func (a account) opens() string {
	c := a.d.State.Control
	switch {
	case a.recovery.Word != nil && a.recovery.Word.Closed && a.recovery.Stands(c.Since):
		return "An operator opens it."
	case c.Gap == lifecycle.GapFound, c.Lost:
		return "Its holder opens it by verifying an address again, in a session begun with an older password, key or second factor; or the registry's staff, or an operator."
	case c.Gap == lifecycle.GapMailHost:
		return "It opens when its mail does not depend on the lapsed host any more, or that one is back."
	default:
		return "It opens by itself when name servers, MX and registration are as they were."
	}
}

// phaseWords is a phase as one says it to an account holder.
func phaseWords(p lifecycle.Phase) string {
	switch p {
	case lifecycle.Active:
		return "registered"
	case lifecycle.Grace:
		return "in its grace period: expired, and out of service or parked"
	case lifecycle.Redemption:
		return "in redemption: deleted, and not released yet"
	case lifecycle.PendingDelete:
		return "about to be released (pending delete)"
	case lifecycle.Released:
		return "released: nobody holds it"
	case lifecycle.ReRegistered:
		return "registered again, by somebody who need not be its former holder"
	case lifecycle.ChangedHands:
		return "under new control, without having been released"
	default:
		return "not judged yet: no source gave an answer that can be believed"
	}
}

// actionWords is an action as the end of "it asks to".
func actionWords(a lifecycle.Action) string {
	switch a {
	case lifecycle.Watch:
		return "look at it daily"
	case lifecycle.Confirm:
		return "look again before anything is believed"
	case lifecycle.Hold:
		return "have a person decide"
	case lifecycle.Unverify:
		return "mark its addresses unverified"
	default:
		return "do nothing"
	}
}

// watching says why the domain is watched.
func (a account) watching() string {
	var parts []string
	switch {
	case a.d.Listed:
		p := fmt.Sprintf("It is watched for %s at %s", count(a.d.Addresses, "verified address", "verified addresses"), count(a.d.Hosts, "host", "hosts"))
		if a.d.Oldest != 0 {
			p += fmt.Sprintf(", the oldest verified %s", a.d.Oldest)
		}
		parts = append(parts, p+".")
	case a.d.Watched() && !a.d.MailHost:
		parts = append(parts, "The registry lists no verified address there any more; it is followed until its lapse has come to an end.")
	case !a.d.MailHost:
		parts = append(parts, "The registry lists no verified address there any more, so it is not looked at.")
	}
	if a.d.MailHost {
		others := "others"
		if len(a.dependents) > 0 {
			others = strings.Join(a.dependents, ", ")
		}
		if a.moreDeps {
			others += " and more"
		}
		parts = append(parts, fmt.Sprintf("It is watched as a mail host: whoever owns it can read the mail of %s.", others))
	}
	if host := a.d.State.MailLapsed; host != "" {
		parts = append(parts, fmt.Sprintf("Its own mail, or its name servers, depend on %s, which lapsed: whoever registers that one can read its mail.", host))
	}
	return strings.Join(parts, " ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// decision says whether it is pending, held or approved.
func (a account) decision() string {
	var parts []string
	d, c := a.d, a.c
	open := c.Status != decision.Done && c.Status != decision.Restored
	switch {
	case !open:
		parts = append(parts, "The decision was put to the registry; nothing is pending.")
	case c.Open() || c.Counts():
		parts = append(parts, "A decision is pending: the registry has not been told to mark the addresses.")
	}
	if open && c.Told != "" && c.Told == c.Key() {
		parts = append(parts, "Observe mode has reported what it would do.")
	}
	switch c.Status {
	case decision.Approved:
		parts = append(parts, "A person approved it; it is judged again on fresh evidence first.")
	case decision.Pinned:
		parts = append(parts, fmt.Sprintf("%s holds it: nothing is done about it until a person decides.", c.By))
	case decision.Declined:
		parts = append(parts, "A person looked at an earlier or the present verdict and declined to act on it.")
	default:
	}
	if a.hold != nil && open && c.Status != decision.Pinned {
		parts = append(parts, holdWords(*a.hold, d, a.now))
	}
	if a.class != nil && c.ClassApproved != 0 {
		parts = append(parts, fmt.Sprintf("Its class (%s) was approved by %s as one reviewed list, %d a day; %d are left.", a.hold.Class, a.class.By, a.class.PerDay, a.class.Left))
	}
	return strings.Join(parts, " ")
}

func holdWords(h safety.Hold, d records.Domain, now time.Time) string {
	p := fmt.Sprintf("It has been held for a person since %s: %s.", lifecycle.At(h.Since), strings.TrimSuffix(h.Why, "."))
	if h.DecisionID != string(d.Decision()) {
		p = fmt.Sprintf("A hold of an earlier lapse is on record, since %s: %s.", lifecycle.At(h.Since), strings.TrimSuffix(h.Why, "."))
	}
	if h.Stale(now) {
		p += " It has waited longer than three days."
	}
	return p
}

// requests says what was sent to the registry, what it answered, and whether it was taken back.
func (a account) requests() string {
	if len(a.sent) == 0 && len(a.c.Done()) == 0 {
		return "Nothing about it was sent to the registry."
	}
	if len(a.sent) == 0 {
		return fmt.Sprintf("The registry was told to mark its addresses (decision %s).", a.c.Done()[0].Key())
	}
	var parts []string
	for _, r := range a.sent {
		parts = append(parts, requestWords(r, a.d.Name))
	}
	return strings.Join(parts, " ")
}

func requestWords(r records.Request, name string) string {
	text := fmt.Sprintf("On %s the registry was asked to mark addresses at %s and below that were verified before %s (%s, at most %d of them; decision %s)",
		lifecycle.At(r.At), name, lifecycle.At(r.Request.VerifiedBefore), r.Request.Reason, r.Request.MaxAddresses, r.Request.Key)
	if r.Answer == nil {
		return text + "; it has not answered yet."
	}
	text += ". " + answerWords(*r.Answer)
	if r.Restored != nil {
		text += fmt.Sprintf(" That was taken back: %s verified again, %d changed meanwhile and left alone.", count(r.Restored.Restored, "address is", "addresses are"), r.Restored.Kept)
	}
	return text
}

// answerWords is the registry's answer in a sentence or two.
func answerWords(a registry.Answer) string {
	s := fmt.Sprintf("It marked %s", count(a.Changed, "address", "addresses"))
	if a.CountsUnknown {
		s = "How many addresses it concerns is unknown"
	}
	if a.AlreadyUnset > 0 {
		s += fmt.Sprintf("; %d were unverified already", a.AlreadyUnset)
	}
	if a.KeptLater > 0 {
		s += fmt.Sprintf("; %d verified later were left alone", a.KeptLater)
	}
	switch a.Recovery {
	case registry.RecoveryClosed:
		s += "; they cannot be used to recover an account any more"
	case registry.RecoveryOpen:
		s += "; but a reset mail still goes out to them: recovery is open"
	case registry.RecoveryUnknown:
		s += "; whether they can still be used to recover an account the registry did not say"
	}
	return s + "."
}

// next says when and why the domain is looked at next.
func (a account) next() string {
	if !a.d.Watched() {
		return "It is not looked at any more."
	}
	now := lifecycle.At(a.now)
	at, why := lifecycle.Next(a.d.State, a.facts(), now)
	// The stored look may be another than the state's rules give: an operator asked, or the question is on its way.
	if stored := a.d.NextLook; stored != 0 && (at == 0 || stored < at) {
		reason := "a second look has to agree, or an answer could not be believed"
		if len(a.history) > 0 && a.history[0].By != "" {
			reason = a.history[0].By + " asked for it"
		}
		when := "Due on"
		if stored <= now {
			when = "Due since"
		}
		why = fmt.Sprintf("%s %s: %s. The zone is asked daily besides.", when, stored, reason)
	}
	return "Next look. " + why
}

// facts are those of the checker as far as the stored state has them.
func (a account) facts() lifecycle.Facts {
	name, _ := domain.Parse(a.d.Name)
	f := lifecycle.Facts{TLD: lifecycle.TLDOf(name.Suffix), Oldest: a.d.Oldest, Authority: lifecycle.AuthorityNone}
	switch {
	case a.d.State.RegAuth:
		f.Authority = lifecycle.AuthorityIANA
	case a.d.State.Reg != lifecycle.WordNone:
		f.Authority = lifecycle.AuthoritySupplemental
	}
	return f
}

// tellEntry is one entry of the history in words.
func tellEntry(e records.Entry) string {
	s := lifecycle.At(e.At).String() + ": "
	switch e.What {
	case "look":
		s += lookWords(e)
	case "unverified":
		s += "the registry was told to mark the addresses unverified. " + e.Sentence
	case "would unverify":
		s += "observe mode: the addresses would have been marked unverified. " + e.Sentence
	case "closed", "would close", "opened", "would open":
		s += leverWords(e)
	case "close", "open":
		s += fmt.Sprintf("an operator had account recovery %s: %s.", map[string]string{"close": "closed", "open": "opened"}[e.What], strings.TrimSuffix(e.Sentence, "."))
	case "held":
		s += "held for a person to decide: " + strings.TrimSuffix(e.Sentence, ".") + "."
	default:
		s += cmp.Or(e.Sentence, e.What)
		if host, ok := strings.CutPrefix(e.What, "mail host "); ok {
			s = lifecycle.At(e.At).String() + ": " + mailWords(host, e)
		}
	}
	if e.Answer != nil && e.What != "closed" && e.What != "would close" && e.What != "opened" && e.What != "would open" {
		s += " " + answerWords(*e.Answer)
	}
	s = strings.TrimSuffix(s, ".") + "."
	if e.By != "" {
		s += " By " + e.By
		if e.Request != "" {
			s += " (request " + e.Request + ")"
		}
		s += "."
	}
	for _, w := range e.Evidence {
		s += fmt.Sprintf("\n%s (%s) said: %s", w.Source, cmp.Or(w.Server, "its server"), cmp.Or(words(w), "nothing"))
	}
	return s
}

// leverWords tells of a closing or an opening, and of how many addresses.
func leverWords(e records.Entry) string {
	n := "addresses"
	if e.Answer != nil && !e.Answer.CountsUnknown {
		n = count(e.Answer.Changed, "address", "addresses")
	}
	return fmt.Sprintf(map[string]string{
		"closed":      "the registry closed account recovery through %s. %s",
		"would close": "observe mode: account recovery through %s would have been closed. %s",
		"opened":      "the registry opened account recovery through %s again. %s",
		"would open":  "observe mode: account recovery through %s would have been opened again. %s",
	}[e.What], n, e.Sentence)
}

func lookWords(e records.Entry) string {
	s := "still " + string(e.After)
	if e.Before != e.After {
		s = fmt.Sprintf("from %s to %s", cmp.Or(e.Before, lifecycle.PhaseUnknown), e.After)
	}
	return fmt.Sprintf("%s; %s: %s (confidence %s). %s", s, e.Reason, actionWords(e.Action), e.Confidence, e.Sentence)
}

func mailWords(host string, e records.Entry) string {
	if e.Reason == lifecycle.ReasonMailHost {
		return fmt.Sprintf("its mail or its name servers depend on %s, which lapsed; a person decides.", host)
	}
	return fmt.Sprintf("%s, which its mail or its name servers depend on, is in order again.", host)
}
