package rdap

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/internal/upstream"
)

// Limits of what an answer may hold before it is no longer credible.
const (
	maxList     = 128 // distinct statuses, or name servers
	maxEntities = 8   // entities within entities; deeper ones are not looked at
	maxName     = 120 // bytes of a registrar's name
)

// futureMargin is how far ahead of us a registration may lie: a local time without its offset reads up to 14 hours
// late.
const futureMargin = 24 * time.Hour

var errTooMany = errors.New("more statuses or name servers than any domain has")

// reader is a body and the decoder over it, kept for reuse.
type reader struct {
	buf bytes.Buffer
	scanner
}

// scanner walks over JSON. Slices that it gives point into body, and are good as long as that is.
type scanner struct {
	dec  *jsontext.Decoder
	body []byte
}

// lenient: real answers repeat members and hold bytes that are no UTF-8, mostly in contacts that are skipped here.
// Every repetition is taken into account (lists are joined, all names must match), and no byte that is not ASCII
// gets out. The grammar is checked to the end, and jsontext refuses nesting beyond 10,000.
var lenient = jsontext.AllowInvalidUTF8(true)

var repetitive = jsontext.AllowDuplicateNames(true)

func newReader() *reader {
	r := &reader{}
	r.dec = jsontext.NewDecoder(&r.buf, lenient, repetitive)
	return r
}

func (r *reader) reset() {
	r.buf.Reset()
	r.body = nil
}

// fill reads the body, up to limit bytes.
func (r *reader) fill(resp *http.Response, limit int64) source.Cause {
	if resp.ContentLength > limit {
		return source.CauseTooLarge
	}
	n, err := r.buf.ReadFrom(io.LimitReader(resp.Body, limit+1))
	switch {
	case n > limit:
		return source.CauseTooLarge
	case err != nil:
		return causeOfError(err)
	}
	return source.CauseNone
}

// kind names a body that is no JSON: empty, a page, or text that the server itself calls so.
func (r *reader) kind(resp *http.Response) source.Cause {
	body := bytes.TrimLeft(bytes.TrimPrefix(r.buf.Bytes(), byteOrderMark), " \t\r\n")
	switch {
	case len(body) == 0:
		return source.CauseEmptyBody
	case body[0] == '<':
		return source.CauseHTML
	case body[0] != '{' && !strings.Contains(resp.Header.Get("Content-Type"), "json"):
		return source.CauseNotRDAP
	}
	return source.CauseNone
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// nameSeen is what the names of an object say, the strongest last.
type nameSeen int

const (
	nameAbsent nameSeen = iota
	nameUnreadable
	nameRight
	nameWrong
)

// answer is what an RDAP object says, before it is judged.
type answer struct {
	asked string    // the canonical name; matters to names only
	now   time.Time // dates of the past are not after it

	reg       source.Registration
	name      nameSeen
	domain    bool // objectClassName "domain"
	other     bool // another objectClassName
	search    bool // results of a search
	rdap      bool // rdapConformance is there
	slower    bool // a notice says that we ask too fast
	errorCode []byte
	title     []byte

	registrarRank int // of reg.Registrar: 0 for none
}

// cause judges an answer with status 200.
func (a *answer) cause() source.Cause {
	switch {
	case a.errorCode != nil:
		return source.CauseErrorInside
	case a.search:
		return source.CauseSearch
	case a.other, !a.domain && a.name == nameAbsent:
		return source.CauseWrongClass
	case a.name == nameWrong, a.name == nameUnreadable:
		return source.CauseWrongName
	}
	return source.CauseNone
}

// cause404 judges the JSON of a 404: an RDAP error, or something in between that speaks JSON too.
func (a *answer) cause404() source.Cause {
	switch {
	case a.domain || a.other || a.search || a.name != nameAbsent:
		return source.CauseMalformed // an object, and no such object
	case a.errorCode == nil && !a.rdap:
		return source.CauseNotRDAP
	case a.errorCode != nil && string(a.errorCode) != "404":
		return source.CauseErrorInside
	}
	return source.CauseNone
}

// decode reads the whole body into a. It refuses what is not one JSON object with nothing after it.
func (r *reader) decode(a *answer) source.Cause {
	if bytes.HasPrefix(r.buf.Bytes(), byteOrderMark) {
		r.buf.Next(len(byteOrderMark)) // RFC 8259 section 8.1 lets us
	}
	r.body = r.buf.Bytes()
	r.dec.Reset(&r.buf, lenient, repetitive)
	if r.dec.PeekKind() != '{' {
		return source.CauseMalformed
	}
	if err := r.object(func(name []byte) error { return r.member(a, name) }); err != nil {
		return causeOfJSON(err)
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return source.CauseMalformed
	}
	slices.Sort(a.reg.Statuses)
	slices.Sort(a.reg.NameServers)
	slices.Sort(a.reg.DS)
	return source.CauseNone
}

// maxDepth is the nesting that jsontext refuses to go beyond.
const maxDepth = 10_000

// causeOfJSON tells what is nested too deeply from what is wrong.
func causeOfJSON(err error) source.Cause {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) && strings.Count(string(syntax.JSONPointer), "/") >= maxDepth {
		return source.CauseTooDeep
	}
	return source.CauseMalformed
}

// member takes one member of the topmost object.
func (r *reader) member(a *answer, name []byte) error {
	switch string(name) {
	case "objectClassName":
		class, err := r.text()
		if string(class) == "domain" || strings.EqualFold(string(class), "domain") {
			a.domain = true
		} else {
			a.other = true
		}
		return err
	case "ldhName", "unicodeName":
		return r.ownName(a, string(name) == "ldhName")
	case "status":
		return r.each(func() error { return r.status(&a.reg) })
	case "events":
		return r.each(func() error { return r.event(a) })
	case "entities":
		return r.each(func() error { return r.entity(a, 1) })
	case "nameservers":
		return r.each(func() error { return r.nameServer(&a.reg) })
	case "secureDNS":
		return r.object(func(name []byte) error { return r.secure(&a.reg, name) })
	case "errorCode":
		return r.errorCode(a)
	case "title":
		title, err := r.text()
		a.title = title
		return err
	case "notices": // a list, or one object in its place
		return r.each(func() error { return r.notice(a) })
	case "rdapConformance":
		a.rdap = true
	case "domainSearchResults", "nameserverSearchResults", "entitySearchResults":
		a.search = true
	}
	return r.dec.SkipValue()
}

// notice looks for word of a used-up quota. Terms of use speak of limits too, at length: so only what is short counts,
// and says that it happened.
func (r *reader) notice(a *answer) error {
	if r.dec.PeekKind() != '{' {
		return r.dec.SkipValue()
	}
	take := func() error {
		line, err := r.text()
		if len(line) <= maxQuotaNotice {
			a.slower = a.slower || quota(string(bytes.ToLower(line)))
		}
		return err
	}
	return r.object(func(name []byte) error {
		switch string(name) {
		case "title":
			return take()
		case "description":
			return r.each(take)
		}
		return r.dec.SkipValue()
	})
}

// maxQuotaNotice is how long a line about a quota may be, in bytes.
const maxQuotaNotice = 200

// quota tells whether a notice's line, in lower case, says that more was asked than is allowed.
func quota(line string) bool {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) })
	}
	if has(" may ", " if ", " will ", "must not", "shall") { // terms of use
		return false
	}
	return has("too many requests", "too many queries") || has("exceeded", "reached", "exhausted", "throttled") && has("quota", "limit", "rate", "queries", "requests")
}

// errorCode takes any code but null: whatever it is, the answer calls itself an error.
func (r *reader) errorCode(a *answer) error {
	if r.dec.PeekKind() == 'n' {
		return r.dec.SkipValue()
	}
	code, err := r.text()
	if a.errorCode = code; code == nil {
		a.errorCode = []byte("?")
	}
	return err
}

// ownName compares a name of the object with the one that was asked. A unicodeName that IDNA refuses says nothing
// beside an ldhName; any that can be read must match.
func (r *reader) ownName(a *answer, ldh bool) error {
	name, err := r.text()
	if err != nil || len(name) == 0 {
		return err
	}
	seen := nameRight
	if !sameName(name, a.asked) {
		seen = nameWrong
		if _, readable := hostName(string(name)); !readable && !ldh {
			seen = nameUnreadable
		}
	}
	a.name = max(a.name, seen)
	return nil
}

// status takes a status, or several in one string with commas.
func (r *reader) status(reg *source.Registration) error {
	list, err := r.text()
	for err == nil && len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, []byte(","))
		if word := statusWord(one); word != "" {
			reg.Statuses, err = insert(reg.Statuses, word)
		}
	}
	return err
}

// insert adds what is not there yet.
func insert(list []string, s string) ([]string, error) {
	if slices.Contains(list, s) {
		return list, nil
	}
	if len(list) == maxList {
		return list, errTooMany
	}
	return append(list, s), nil
}

// event takes a date. Of several of one kind the latest counts: an earlier registration is the one of a former
// owner, and taking it would hide that the name changed hands; an earlier expiration was renewed. A registration,
// transfer or deletion that lies in the future is not one.
func (r *reader) event(a *answer) error {
	var action, date []byte
	err := r.object(func(name []byte) (err error) {
		switch string(name) {
		case "eventAction":
			action, err = r.text()
		case "eventDate":
			date, err = r.text()
		default:
			err = r.dec.SkipValue()
		}
		return err
	})
	if err != nil || len(action) > maxWord {
		return err
	}
	var scratch [maxWord]byte
	past := false
	var to *time.Time
	switch string(compact(scratch[:0], action)) {
	case "registration":
		to, past = &a.reg.Registered, true
	case "transfer":
		to, past = &a.reg.Transferred, true
	case "deletion":
		to, past = &a.reg.Deleted, true
	case "expiration":
		to = &a.reg.Expires
	case "registrarexpiration":
		to = &a.reg.RegistrarExpires
	default:
		return nil
	}
	t := parseDate(date)
	if t.After(*to) && !(past && t.After(a.now.Add(futureMargin))) {
		*to = t
	}
	return nil
}

// nameServer takes a name-server object, or a bare name.
func (r *reader) nameServer(reg *source.Registration) error {
	var ldh, unicode []byte
	var err error
	if r.dec.PeekKind() == '"' {
		ldh, err = r.text()
	} else {
		err = r.object(func(name []byte) (err error) {
			switch string(name) {
			case "ldhName":
				ldh, err = r.text()
			case "unicodeName":
				unicode, err = r.text()
			default:
				err = r.dec.SkipValue()
			}
			return err
		})
	}
	if len(ldh) == 0 {
		ldh = unicode
	}
	if err != nil || len(ldh) == 0 {
		return err
	}
	if name, ok := hostName(string(ldh)); ok {
		reg.NameServers, err = insert(reg.NameServers, name)
	}
	return err
}

// secure takes a member of secureDNS.
func (r *reader) secure(reg *source.Registration, name []byte) error {
	switch string(name) {
	case "delegationSigned":
		signed, err := r.text()
		reg.Signed = reg.Signed || strings.EqualFold(string(signed), "true")
		return err
	case "dsData":
		return r.each(func() error { return r.ds(reg) })
	}
	return r.dec.SkipValue()
}

// ds takes a DS record. One that cannot be is left out: it is no sign of anybody's control.
func (r *reader) ds(reg *source.Registration) error {
	var tag, algorithm, kind, digest []byte
	err := r.object(func(name []byte) (err error) {
		switch string(name) {
		case "keyTag":
			tag, err = r.text()
		case "algorithm":
			algorithm, err = r.text()
		case "digestType":
			kind, err = r.text()
		case "digest":
			digest, err = r.text()
		default:
			err = r.dec.SkipValue()
		}
		return err
	})
	if err != nil || !decimal(tag, 65535) || !decimal(algorithm, 255) || !decimal(kind, 255) {
		return err
	}
	line := make([]byte, 0, len("65535 255 255 ")+maxDigest)
	line = append(append(line, tag...), ' ')
	line = append(append(line, algorithm...), ' ')
	line = append(append(line, kind...), ' ')
	start := len(line)
	for _, c := range digest {
		switch {
		case c >= 'A' && c <= 'F':
			c += 'a' - 'A'
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c == ' ':
			continue // zone files break long digests
		default:
			return nil
		}
		if line = append(line, c); len(line)-start > maxDigest {
			return nil
		}
	}
	if len(line) > start {
		reg.DS, err = insert(reg.DS, string(line))
	}
	return err
}

// maxDigest bounds a DS digest, in hexadecimal digits: SHA-384 has 96, and there is room for longer ones.
const maxDigest = 128

// decimal says whether b is a number up to most, written as a number is.
func decimal(b []byte, most int) bool {
	n, err := strconv.Atoi(string(b))
	return err == nil && n >= 0 && n <= most && string(b) == strconv.Itoa(n)
}

// entity is what is kept of one until its end, when its role is known.
type entity struct {
	registrar         bool
	id, handle, vcard []byte
}

// entity looks for the registrar, also within other entities. One with an IANA id goes before one without, an
// outer one before an inner one, an earlier one before a later one.
func (r *reader) entity(a *answer, depth int) error {
	var e entity
	err := r.object(func(name []byte) (err error) {
		switch string(name) {
		case "roles":
			return r.each(func() error {
				role, err := r.text()
				e.registrar = e.registrar || strings.EqualFold(string(role), "registrar")
				return err
			})
		case "publicIds":
			return r.each(func() error { return r.publicID(&e) })
		case "handle":
			e.handle, err = r.text()
			return err
		case "vcardArray":
			e.vcard, err = r.raw()
			return err
		case "entities":
			if depth < maxEntities {
				return r.each(func() error { return r.entity(a, depth+1) })
			}
		}
		return r.dec.SkipValue()
	})
	if err != nil || !e.registrar {
		return err
	}
	rank := maxEntities + 1 - depth
	if len(e.id) > 0 {
		rank += maxEntities
	}
	if rank > a.registrarRank {
		if name := e.name(); name != "" {
			a.registrarRank, a.reg.Registrar = rank, name
		}
	}
	return nil
}

// publicID takes the id that IANA gave to a registrar.
func (r *reader) publicID(e *entity) error {
	var kind, id []byte
	err := r.object(func(name []byte) (err error) {
		switch string(name) {
		case "type":
			kind, err = r.text()
		case "identifier":
			id, err = r.text()
		default:
			err = r.dec.SkipValue()
		}
		return err
	})
	if len(e.id) == 0 && strings.EqualFold(string(bytes.TrimSpace(kind)), "IANA Registrar ID") {
		e.id = bytes.TrimSpace(id)
	}
	return err
}

// name is the IANA id, or the vCard's fn, or the handle.
func (e *entity) name() string {
	name := string(e.id)
	if name == "" {
		name = fullName(e.vcard)
	}
	if name == "" {
		name = string(e.handle)
	}
	return upstream.Printable(strings.TrimSpace(name), maxName)
}

// fullName gives the fn of a jCard (RFC 7095): ["vcard", [["fn", {}, "text", "Example"], …]]. The bytes were
// checked when they were read.
func fullName(jcard []byte) string {
	if len(jcard) == 0 {
		return ""
	}
	s := scanner{dec: jsontext.NewDecoder(bytes.NewBuffer(jcard), lenient, repetitive), body: jcard}
	var fn string
	_ = s.each(func() error { // "vcard", then the properties
		return s.each(func() error { // each property
			var parts [4][]byte
			n := 0
			err := s.each(func() (err error) {
				if n < len(parts) {
					parts[n], err = s.text()
				} else {
					err = s.dec.SkipValue()
				}
				n++
				return err
			})
			if fn == "" && strings.EqualFold(string(parts[0]), "fn") {
				fn = string(parts[3])
			}
			return err
		})
	})
	return fn
}

// object calls visit with the name of each member; visit must read exactly the value. What is no object is skipped.
func (s *scanner) object(visit func(name []byte) error) error {
	if s.dec.PeekKind() != '{' {
		return s.dec.SkipValue()
	}
	if _, err := s.dec.ReadToken(); err != nil {
		return err
	}
	for s.dec.PeekKind() != '}' {
		name, err := s.text()
		if err != nil {
			return err
		}
		if err := visit(name); err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken()
	return err
}

// each calls visit for each element of an array, or once for a value that should have been in one; visit must
// read exactly that value.
func (s *scanner) each(visit func() error) error {
	if s.dec.PeekKind() != '[' {
		return visit()
	}
	if _, err := s.dec.ReadToken(); err != nil {
		return err
	}
	for s.dec.PeekKind() != ']' {
		if s.dec.PeekKind() == 0 {
			return s.dec.SkipValue() // for its error
		}
		if err := visit(); err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken()
	return err
}

// text gives a string, or the digits of a number or the word of a boolean; nil for anything else.
func (s *scanner) text() ([]byte, error) {
	switch s.dec.PeekKind() {
	case '"', '0', 't', 'f':
	default:
		return nil, s.dec.SkipValue()
	}
	v, err := s.raw()
	if err != nil || v[0] != '"' {
		return v, err
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1], nil
	}
	v, _ = jsontext.AppendUnquote(nil, v) // its error is about UTF-8
	return v, nil
}

// raw gives a value as it stands in body, where it outlives the decoder's next step.
func (s *scanner) raw() ([]byte, error) {
	v, err := s.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(s.dec.InputOffset())
	return s.body[end-len(v) : end], nil
}
