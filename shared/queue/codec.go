package queue

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Errors of Encode and Decode. None of them goes away by trying again with the same program.
var (
	// ErrSchema: the message is of another version of the program.
	ErrSchema = errors.New("queue: message of an unknown schema")
	// ErrTooLarge: the encoded message exceeds MaxMessage, or has too many domains.
	ErrTooLarge = errors.New("queue: message is too large")
	// ErrMalformed: the message is not one that Pack makes.
	ErrMalformed = errors.New("queue: malformed message")
)

// Encode gives a message's body. It is what Decode takes.
func Encode(m Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	b, err := marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, m.ID, err)
	}
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %s has %d bytes, more than %d", ErrTooLarge, m.ID, len(b), MaxMessage)
	}
	return b, nil
}

// marshal encodes without escaping for HTML, which only costs bytes. SQS refuses two characters that JSON
// allows (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html); they can
// only be inside strings, where an escape means the same.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	b := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	b = bytes.ReplaceAll(b, []byte("\ufffe"), []byte(`\ufffe`))
	return bytes.ReplaceAll(b, []byte("\uffff"), []byte(`\uffff`)), nil
}

// Decode reads a message's body, strictly: what this version does not know it refuses with ErrSchema,
// ErrTooLarge or ErrMalformed rather than guess.
func Decode(body []byte) (Message, error) {
	if len(body) > MaxMessage {
		return Message{}, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, len(body), MaxMessage)
	}
	if !utf8.Valid(body) { // the decoder would mend names, and hand raw items on as they are
		return Message{}, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	var version struct {
		Schema int `json:"v"`
	}
	if err := json.Unmarshal(body, &version); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if version.Schema != Schema {
		return Message{}, fmt.Errorf("%w: %d, this version knows %d", ErrSchema, version.Schema, Schema)
	}
	var m Message
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Message{}, fmt.Errorf("%w: more than one value", ErrMalformed)
	}
	if err := m.check(); err != nil {
		return Message{}, err
	}
	return m, nil
}

// check tells what is wrong with a message.
func (m Message) check() error {
	if m.Schema != Schema {
		return fmt.Errorf("%w: %d, this version knows %d", ErrSchema, m.Schema, Schema)
	}
	limit := MaxDomains(m.Kind)
	bad := ""
	switch {
	case limit == 0:
		bad = fmt.Sprintf("kind %q", m.Kind)
	case m.ID == "" || m.ID != identifier(m.ID):
		bad = fmt.Sprintf("id %q", m.ID)
	case m.Upstream == "":
		bad = "no upstream"
	case m.Group == "" || m.Group != identifier(m.Group):
		bad = fmt.Sprintf("group %q", m.Group)
	case !(m.Share >= 0 && m.Share <= 1):
		bad = fmt.Sprintf("share %v", m.Share)
	case m.Sent.IsZero():
		bad = "no time of sending"
	case len(m.Domains) == 0:
		bad = "no domains"
	case len(m.Domains) > limit:
		return fmt.Errorf("%w: %d domains, more than %d", ErrTooLarge, len(m.Domains), limit)
	}
	if bad != "" {
		return fmt.Errorf("%w: %s", ErrMalformed, bad)
	}
	for i, e := range m.Domains {
		item := bytes.TrimSpace(e.Item)
		if e.Name == "" || e.Version < 0 || len(item) > 0 && item[0] != '{' {
			return fmt.Errorf("%w: domain %d (%q)", ErrMalformed, i, e.Name)
		}
	}
	return nil
}

// MaxDomains is the most domains in one message of a kind; 0 for an unknown kind.
func MaxDomains(k Kind) int {
	switch k {
	case KindDelegation, KindServers, KindMail:
		return MaxDelegation
	case KindRDAP, KindStatus:
		return MaxSlow
	default:
		return 0
	}
}

// ContentID is a message's ID: a hash of its kind, upstream, run, look and names, and of how often it was parked: a
// message that was parked whole is not the one that was answered by parking it. Not of when it was sent and what is
// known of the domains, so that a run that is resumed gives its messages the same IDs.
func ContentID(m Message) string {
	parts := []string{string(m.Kind), m.Upstream, m.Run, strconv.FormatBool(m.Look)}
	if m.Tries > 0 {
		parts = append(parts, strconv.Itoa(m.Tries))
	}
	for _, e := range m.Domains {
		parts = append(parts, e.Name)
	}
	return digest(parts...)
}

// DedupID is the id by which a queue knows a message that is sent again within five minutes. It includes the
// time of sending: the same question asked again later on purpose (a second look, a parked message) is another
// message, though its ID is the same.
func DedupID(m Message) string {
	return m.ID + "-" + digest(m.Sent.UTC().Format(time.RFC3339Nano))[:16]
}

// digest is half a SHA-256 in hex. Lengths go in front of the parts, so that no two lists give one text.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Group is the group of a message of a kind to an upstream. part tells apart the groups of a large upstream;
// leave it out where there is one.
func Group(k Kind, upstream string, part ...string) string {
	return identifier(strings.Join(append([]string{string(k), upstream}, part...), "/"))
}

// identifier makes s a group id that SQS takes: printable ASCII without blanks, at most MaxID characters. What
// does not fit keeps its beginning and ends in a hash of the whole.
func identifier(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r
		}
		return '_'
	}, s)
	if clean == s && len(s) <= MaxID {
		return s
	}
	tail := "~" + digest(s)[:16]
	return clean[:min(len(clean), MaxID-len(tail))] + tail
}

// Pack makes messages of entries, in their order, as few as the limits allow. m gives everything but Schema,
// ID and Domains; an empty Group is Group(Kind, Upstream). The same arguments give the same messages. An entry
// whose item alone fills a message goes without it: the checker reads it.
func Pack(m Message, entries []Entry) []Message {
	m.Schema = Schema
	if m.Group == "" {
		m.Group = Group(m.Kind, m.Upstream)
	}
	m.Group = identifier(m.Group)
	room := MaxMessage - envelope(m)
	limit := max(MaxDomains(m.Kind), 1) // an unknown kind is refused by Encode
	var messages []Message
	var batch []Entry
	used := 0
	flush := func() {
		if len(batch) > 0 {
			m.Domains = batch
			m.ID = ContentID(m)
			messages = append(messages, m)
		}
		batch, used = nil, 0
	}
	for _, e := range entries {
		size := entrySize(e)
		if size > room {
			e.Item = nil
			size = entrySize(e)
		}
		if len(batch) == limit || used+size > room {
			flush()
		}
		batch = append(batch, e)
		used += size
	}
	flush()
	return messages
}

// envelope is the encoded size of a message without domains.
func envelope(m Message) int {
	m.ID, m.Domains = digest(), []Entry{}
	b, err := marshal(m)
	if err != nil {
		return 0 // Encode will say it again
	}
	return len(b)
}

// entrySize is at least the encoded size of an entry and a comma, and no more where all is as usual.
func entrySize(e Entry) int {
	usual := !bytes.Contains(e.Item, []byte{0xef}) // no character that marshal escapes
	for i := range len(e.Name) {
		c := e.Name[i]
		usual = usual && c >= ' ' && c <= '~' && c != '"' && c != '\\'
	}
	if usual {
		size := len(`{"d":"","n":},`) + len(e.Name) + len(strconv.FormatInt(e.Version, 10))
		if len(e.Item) > 0 {
			size += len(`,"i":`) + len(e.Item)
		}
		return size
	}
	b, err := marshal(e)
	if err != nil {
		return len(e.Name) + len(e.Item) // Encode will say what is wrong
	}
	return len(b) + 1
}
