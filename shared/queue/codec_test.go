package queue_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/queue/queuetest"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want := queue.Pack(queuetest.Base(queue.KindRDAP), queuetest.Entries(3, 10))[0]
	want.Domains[1].Item = nil
	b, err := queue.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := queue.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good, err := queue.Encode(queue.Pack(queuetest.Base(queue.KindRDAP), queuetest.Entries(2, 10))[0])
	if err != nil {
		t.Fatal(err)
	}
	with := func(key string, v any) []byte {
		var m map[string]any
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		if m[key] = v; v == nil {
			delete(m, key)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	long, err := json.Marshal(queuetest.Entries(queue.MaxSlow+1, 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		body []byte
		want error
	}{
		"good":              {good, nil},
		"same again":        {with("kind", "rdap"), nil},
		"newer":             {with("v", 2), queue.ErrSchema},
		"newer, new field":  {[]byte(`{"v":2,"new":true}`), queue.ErrSchema},
		"no schema":         {with("v", nil), queue.ErrSchema},
		"empty":             {nil, queue.ErrMalformed},
		"not JSON":          {[]byte("hello"), queue.ErrMalformed},
		"list":              {[]byte("[1]"), queue.ErrMalformed},
		"cut":               {good[:len(good)-2], queue.ErrMalformed},
		"two":               {append(bytes.Clone(good), good...), queue.ErrMalformed},
		"unknown field":     {with("new", true), queue.ErrMalformed},
		"unknown kind":      {with("kind", "whois"), queue.ErrMalformed},
		"no id":             {with("id", ""), queue.ErrMalformed},
		"no upstream":       {with("upstream", nil), queue.ErrMalformed},
		"no group":          {with("group", nil), queue.ErrMalformed},
		"group with blank":  {with("group", "a b"), queue.ErrMalformed},
		"long group":        {with("group", strings.Repeat("g", queue.MaxID+1)), queue.ErrMalformed},
		"share over 1":      {with("share", 1.5), queue.ErrMalformed},
		"negative share":    {with("share", -1), queue.ErrMalformed},
		"no time":           {with("sent", nil), queue.ErrMalformed},
		"bad time":          {with("sent", "yesterday"), queue.ErrMalformed},
		"no domains":        {with("domains", []any{}), queue.ErrMalformed},
		"domain of no name": {with("domains", []any{map[string]any{"n": 1}}), queue.ErrMalformed},
		"item is text":      {with("domains", []any{map[string]any{"d": "a.example", "i": "text"}}), queue.ErrMalformed},
		"version text":      {with("domains", []any{map[string]any{"d": "a.example", "n": "1"}}), queue.ErrMalformed},
		"too many domains":  {with("domains", json.RawMessage(long)), queue.ErrTooLarge},
		"too many bytes":    {append(bytes.Clone(good), bytes.Repeat([]byte(" "), queue.MaxMessage)...), queue.ErrTooLarge},
	} {
		if _, err := queue.Decode(test.body); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// A registrar's name may hold characters that JSON allows and SQS refuses.
func TestEncodeEscapesWhatSQSRefuses(t *testing.T) {
	t.Parallel()
	m := queue.Pack(queuetest.Base(queue.KindRDAP), queuetest.Entries(1, 1))[0]
	m.Domains[0].Item = json.RawMessage("{\"r\":\"a\ufffe\uffff<b>\"}")
	b, err := queue.Encode(m)
	if err != nil || bytes.ContainsAny(b, "\ufffe\uffff") || !bytes.Contains(b, []byte("<b>")) {
		t.Fatalf("%s, %v", b, err)
	}
	got, err := queue.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	var item struct{ R string }
	if err := json.Unmarshal(got.Domains[0].Item, &item); err != nil || item.R != "a\ufffe\uffff<b>" {
		t.Errorf("%q, %v", item.R, err)
	}
	m.Domains[0].Item = json.RawMessage("{\"r\":\"\xff\"}")
	if _, err := queue.Encode(m); !errors.Is(err, queue.ErrMalformed) {
		t.Errorf("invalid UTF-8: %v", err)
	}
}

func TestContentID(t *testing.T) {
	t.Parallel()
	one := queue.Pack(queuetest.Base(queue.KindRDAP), queuetest.Entries(2, 1))[0]
	same := one
	same.Sent, same.Share, same.Group = queuetest.Begin.Add(time.Hour), 1, "other"
	same.Domains = []queue.Entry{{Name: one.Domains[0].Name}, {Name: one.Domains[1].Name, Version: 9}}
	if queue.ContentID(same) != one.ID {
		t.Error("the id depends on more than the question")
	}
	if queue.DedupID(same) == queue.DedupID(one) {
		t.Error("a message sent anew later has the same id for deduplication")
	}
	if again := one; queue.DedupID(again) != queue.DedupID(one) || len(queue.DedupID(one)) > queue.MaxID {
		t.Errorf("the same message has two ids, or one that is too long: %s", queue.DedupID(one))
	}
	seen := map[string]string{one.ID: "one"}
	for name, change := range map[string]func(*queue.Message){
		"kind":     func(m *queue.Message) { m.Kind = queue.KindMail },
		"upstream": func(m *queue.Message) { m.Upstream = "net" },
		"run":      func(m *queue.Message) { m.Run = "r2" },
		"look":     func(m *queue.Message) { m.Look = true },
		"fewer":    func(m *queue.Message) { m.Domains = m.Domains[:1] },
		"order":    func(m *queue.Message) { m.Domains = []queue.Entry{m.Domains[1], m.Domains[0]} },
		"joined":   func(m *queue.Message) { m.Domains = []queue.Entry{{Name: "d0.example" + "9:d1.example"}} },
		"shifted":  func(m *queue.Message) { m.Upstream, m.Run = "comr", "1" },
	} {
		m := one
		change(&m)
		id := queue.ContentID(m)
		if other, taken := seen[id]; taken {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[id] = name
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	long := "https://rdap.example/" + strings.Repeat("path/", 40)
	for _, test := range []struct{ got, want string }{
		{queue.Group(queue.KindDelegation, "com"), "delegation/com"},
		{queue.Group(queue.KindDelegation, "com", "3"), "delegation/com/3"},
		{queue.Group(queue.KindRDAP, "https://rdap.example/com/v1/"), "rdap/https://rdap.example/com/v1/"},
	} {
		if test.got != test.want {
			t.Errorf("%s, want %s", test.got, test.want)
		}
	}
	all := map[string]bool{}
	odd := []string{long, long + "x", "ü", "ö", "a b", "a\tb", "a_b", strings.Repeat("x", queue.MaxID)}
	for _, upstream := range odd {
		g := queue.Group(queue.KindRDAP, upstream)
		if len(g) > queue.MaxID || !strings.HasPrefix(g, "rdap/") || strings.ContainsFunc(g, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("group %q", g)
		}
		all[g] = true
	}
	if len(all) != len(odd) {
		t.Errorf("%d groups of %d upstreams: %v", len(all), len(odd), all)
	}
}

func TestPackLimits(t *testing.T) {
	t.Parallel()
	for kind, limit := range map[queue.Kind]int{
		queue.KindDelegation: queue.MaxDelegation, queue.KindRDAP: queue.MaxSlow, queue.KindStatus: queue.MaxSlow, queue.KindMail: queue.MaxDelegation, queue.KindServers: queue.MaxDelegation,
	} {
		if got := queue.Pack(queuetest.Base(kind), queuetest.Entries(limit, 1)); len(got) != 1 {
			t.Errorf("%s: %d domains in %d messages", kind, limit, len(got))
		}
		got := queue.Pack(queuetest.Base(kind), queuetest.Entries(limit+1, 1))
		if len(got) != 2 || len(got[0].Domains) != limit || len(got[1].Domains) != 1 {
			t.Errorf("%s: %d domains in %d messages", kind, limit+1, len(got))
		}
	}
	if got := queue.Pack(queuetest.Base(queue.KindRDAP), nil); got != nil {
		t.Errorf("nothing gives %v", got)
	}
	got := queue.Pack(queuetest.Base(queue.KindRDAP), queuetest.Entries(1, queue.MaxMessage))
	if len(got) != 1 || len(got[0].Domains[0].Item) != 0 || got[0].Domains[0].Name != "d0.example" {
		t.Errorf("an item that fills a message: %d messages", len(got))
	}
}

// Whatever is packed can be sent, is complete and in order, and wastes no message.
func TestPackModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		m := queuetest.Base(rapid.SampledFrom([]queue.Kind{queue.KindDelegation, queue.KindRDAP}).Draw(r, "kind"))
		m.Upstream = rapid.StringN(1, 200, 400).Draw(r, "upstream")
		var in []queue.Entry
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 500), rapid.IntRange(0, 9000)), 0, 100).Draw(r, "sizes")
		for i, size := range sizes {
			name := fmt.Sprintf("d%d.example", i)
			if size%10 == 0 {
				name += rapid.StringN(0, 20, 60).Draw(r, "odd")
			}
			in = append(in, queue.Entry{Name: strings.ToValidUTF8(name, ""), Version: int64(size), Item: json.RawMessage(
				`{"x":"` + strings.Repeat("<", size) + `"}`)})
		}
		packed := queue.Pack(m, in)
		var out []queue.Entry
		var bytes []int
		for _, p := range packed {
			b, err := queue.Encode(p)
			if err != nil {
				r.Fatal(err)
			}
			bytes = append(bytes, len(b))
			out = append(out, p.Domains...)
			if p.ID != queue.ContentID(p) || p.Group != packed[0].Group {
				r.Fatalf("id %s, group %s", p.ID, p.Group)
			}
		}
		if !reflect.DeepEqual(in, out) {
			r.Fatalf("%d entries in, %d out, or not the same", len(in), len(out))
		}
		for i := 1; i < len(packed); i++ {
			if len(packed[i-1].Domains) < queue.MaxDomains(m.Kind) && bytes[i-1]+9200 < queue.MaxMessage {
				r.Fatalf("message %d has %d bytes and %d domains, and another follows", i-1, bytes[i-1], len(packed[i-1].Domains))
			}
		}
		if !reflect.DeepEqual(packed, queue.Pack(m, in)) {
			r.Fatal("not the same twice")
		}
	})
}

func FuzzDecode(f *testing.F) {
	good, err := queue.Encode(queue.Pack(queuetest.Base(queue.KindRDAP), queuetest.Entries(2, 10))[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":1,"id":"x","kind":"rdap","upstream":"u","group":"g","sent":"2026-01-01T00:00:00Z","domains":[{"d":"a","n":1,"i":null}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := queue.Decode(body)
		if err != nil {
			if !errors.Is(err, queue.ErrMalformed) && !errors.Is(err, queue.ErrSchema) && !errors.Is(err, queue.ErrTooLarge) {
				t.Fatalf("an error without a name: %v", err)
			}
			return
		}
		again, err := queue.Encode(m)
		if errors.Is(err, queue.ErrTooLarge) {
			return // our spelling of it is longer
		}
		if err != nil {
			t.Fatalf("decoded and not encodable: %v", err)
		}
		if _, err := queue.Decode(again); err != nil {
			t.Fatalf("not readable again: %v", err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	m := queue.Pack(queuetest.Base(queue.KindDelegation), queuetest.Entries(queue.MaxDelegation, 300))[0]
	for b.Loop() {
		if _, err := queue.Encode(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	body, err := queue.Encode(queue.Pack(queuetest.Base(queue.KindDelegation), queuetest.Entries(queue.MaxDelegation, 300))[0])
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := queue.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

func TestEncodeLimit(t *testing.T) {
	t.Parallel()
	m := queue.Pack(queuetest.Base(queue.KindRDAP), queuetest.Entries(1, 0))[0]
	b, err := queue.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	for over, want := range []error{nil, queue.ErrTooLarge} {
		m.Domains = queuetest.Entries(1, queue.MaxMessage-len(b)+over)
		if body, err := queue.Encode(m); !errors.Is(err, want) || err == nil && len(body) != queue.MaxMessage {
			t.Errorf("%d over: %d bytes, %v, want %v", over, len(body), err, want)
		}
	}
	m.Domains = queuetest.Entries(queue.MaxSlow+1, 0)
	if _, err := queue.Encode(m); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("%d domains: %v", len(m.Domains), err)
	}
}
