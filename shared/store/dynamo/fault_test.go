package dynamo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
)

var errReset = errors.New("connection reset by peer")

// line is an HTTP client that loses requests or answers. Faults are taken one for each call, in order.
type line struct {
	next   aws.HTTPClient
	mu     sync.Mutex
	faults []fault
	calls  int
}

type fault struct {
	lostRequest, lostAnswer bool
	then                    func() // happens after the call, before the SDK tries again
}

func (l *line) Do(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.calls++
	var f fault
	if len(l.faults) > 0 {
		f, l.faults = l.faults[0], l.faults[1:]
	}
	l.mu.Unlock()
	if f.lostRequest {
		return nil, errReset
	}
	resp, err := l.next.Do(r)
	if f.lostAnswer && err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		resp, err = nil, errReset
	}
	if f.then != nil {
		f.then()
	}
	return resp, err
}

func quick() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
}

// faulty is a store behind a bad line, and the same tables by a good one.
func faulty(t *testing.T) (bad, good store.Store, l *line) {
	t.Helper()
	cfg := emulator.Config(t)
	domains, records, index := emulator.Tables(t, cfg)
	c := dynamo.Config{DomainsTable: domains, RecordsTable: records, IndexName: index}
	good = dynamo.New(dynamodb.NewFromConfig(cfg), c)
	l = &line{next: cfg.HTTPClient}
	cfg.HTTPClient, cfg.Retryer = l, quick
	return dynamo.New(dynamodb.NewFromConfig(cfg), c), good, l
}

func key(sk string) store.Key { return store.Key{Table: store.Records, PK: "p", SK: sk} }

func put(sk string, version int64, s string) store.Write {
	return store.Write{Item: store.Item{Key: key(sk), Version: version, Data: []byte(`{"x":"` + s + `"}`)}}
}

func del(sk string, version int64) store.Write {
	w := put(sk, version, "")
	w.Delete = true
	return w
}

// TestLostAnswers: the SDK repeats a call whose answer got lost. A write that had been done is no conflict; a
// write that really lost against another is.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	mine, theirs := "mine", "theirs"
	lost := []fault{{lostAnswer: true}}
	for name, test := range map[string]struct {
		before  []store.Write // done by another beforehand
		between []store.Write // done by another between the attempts
		writes  []store.Write
		faults  []fault
		want    error
		data    string // of "s" afterwards; "" absent
		version int64
	}{
		"create":                     {writes: []store.Write{put("s", 0, mine)}, faults: lost, data: mine, version: 1},
		"update":                     {before: []store.Write{put("s", 0, "old")}, writes: []store.Write{put("s", 1, mine)}, faults: lost, data: mine, version: 2},
		"create, request lost":       {writes: []store.Write{put("s", 0, mine)}, faults: []fault{{lostRequest: true}}, data: mine, version: 1},
		"create, twice":              {writes: []store.Write{put("s", 0, mine)}, faults: append(lost, lost...), data: mine, version: 1},
		"create, lost to another":    {before: []store.Write{put("s", 0, theirs)}, writes: []store.Write{put("s", 0, mine)}, faults: lost, want: store.ErrConflict, data: theirs, version: 1},
		"create, same, not lost":     {before: []store.Write{put("s", 0, mine)}, writes: []store.Write{put("s", 0, mine)}, want: store.ErrConflict, data: mine, version: 1},
		"update, then overwritten":   {before: []store.Write{put("s", 0, "old")}, writes: []store.Write{put("s", 1, mine)}, between: []store.Write{put("s", 2, theirs)}, faults: lost, want: store.ErrConflict, data: theirs, version: 3},
		"request lost, other faster": {writes: []store.Write{put("s", 0, mine)}, between: []store.Write{put("s", 0, theirs)}, faults: []fault{{lostRequest: true}}, want: store.ErrConflict, data: theirs, version: 1},
		"delete":                     {before: []store.Write{put("s", 0, "old")}, writes: []store.Write{del("s", 1)}, faults: lost},
		"delete, lost to another":    {before: []store.Write{put("s", 0, "old"), put("o", 0, "old")}, writes: []store.Write{del("s", 7)}, faults: lost, want: store.ErrConflict, data: "old", version: 1},
		"delete of nothing":          {writes: []store.Write{del("s", 1)}, want: store.ErrConflict},
		"transaction":                {before: []store.Write{put("s", 0, "old")}, writes: []store.Write{put("s", 1, mine), put("t", 0, mine)}, faults: lost, data: mine, version: 2},
		"transaction, lost to other": {before: []store.Write{put("s", 0, theirs)}, writes: []store.Write{put("s", 0, mine), put("t", 0, mine)}, faults: lost, want: store.ErrConflict, data: theirs, version: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good, l := faulty(t)
			mustWrite(t, good, test.before)
			l.faults = append([]fault{}, test.faults...)
			if len(l.faults) > 0 && len(test.between) > 0 {
				if l.faults[0].lostRequest { // nothing is called, so it happens now
					mustWrite(t, good, test.between)
				} else {
					l.faults[0].then = func() { mustWrite(t, good, test.between) }
				}
			}
			if err := bad.Write(t.Context(), test.writes...); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if want := 1 + len(test.faults); l.calls != want {
				t.Errorf("%d calls, want %d", l.calls, want)
			}
			it, err := good.Get(t.Context(), key("s"))
			if test.data == "" {
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("still there: %v, %v", it, err)
				}
				return
			}
			if want := put("s", test.version, test.data).Item; err != nil || !cmp.Equal(it, want) {
				t.Errorf("%v: %s", err, cmp.Diff(want, it))
			}
		})
	}
}

func mustWrite(t *testing.T, s store.Store, writes []store.Write) {
	t.Helper()
	for _, w := range writes {
		if err := s.Write(t.Context(), w); err != nil {
			t.Error(err)
		}
	}
}

// When no attempt is answered the outcome is unknown: that is neither a conflict nor success.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	bad, good, l := faulty(t)
	l.faults = []fault{{lostAnswer: true}, {lostAnswer: true}, {lostAnswer: true}}
	err := bad.Write(t.Context(), put("s", 0, "mine"))
	if !errors.Is(err, errReset) || errors.Is(err, store.ErrConflict) {
		t.Errorf("%v", err)
	}
	if it, err := good.Get(t.Context(), key("s")); err != nil || it.Version != 1 {
		t.Errorf("%v, %v: the test is to have it stored", it, err)
	}
}

// DynamoDB answers at most 16 MB and leaves the other keys unprocessed.
func TestGetManyLarge(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	const n = 50
	var keys []store.Key
	var groups [][]store.Write
	for i := range n {
		w := put(fmt.Sprint(i), 0, strings.Repeat("x", store.MaxData-20))
		groups = append(groups, []store.Write{w})
		keys = append(keys, w.Key)
	}
	for _, err := range s.WriteEach(t.Context(), groups) {
		if err != nil {
			t.Fatal(err)
		}
	}
	items, err := s.GetMany(t.Context(), keys)
	got := map[string]bool{}
	for _, it := range items {
		got[it.SK] = true
	}
	if err != nil || len(got) != n || len(items) != n {
		t.Errorf("%d items, %d different, %v", len(items), len(got), err)
	}
}

// transport answers without a network.
type transport func(r *http.Request, body []byte) (int, string)

func (f transport) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	status, text := f(r, body)
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(bytes.NewReader([]byte(text))),
	}, nil
}

func stub(f transport) *dynamo.Store {
	return dynamo.New(dynamodb.New(dynamodb.Options{
		Region: "us-east-1", HTTPClient: f, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), Retryer: quick(),
	}), dynamo.Config{DomainsTable: "domains", RecordsTable: "records", IndexName: "attention", Wait: atOnce})
}

// atOnce lets no time pass, but ends with ctx.
func atOnce(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func TestRefusals(t *testing.T) {
	t.Parallel()
	canceled := func(codes ...string) string {
		var reasons []string
		for _, c := range codes {
			reasons = append(reasons, fmt.Sprintf(`{"Code":%q}`, c))
		}
		return `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","CancellationReasons":[` + strings.Join(reasons, ",") + `]}`
	}
	kind := func(name string) string { return `{"__type":"com.amazonaws.dynamodb.v20120810#` + name + `"}` }
	for _, test := range []struct {
		answer   string
		conflict bool
	}{
		{kind("ConditionalCheckFailedException"), true},
		{kind("TransactionConflictException"), true},
		{canceled("None", "ConditionalCheckFailed"), true},
		{canceled("TransactionConflict", "None"), true},
		{canceled("ThrottlingError", "ConditionalCheckFailed"), true},
		{canceled("ValidationError", "None"), false},
		{canceled("None", "ItemCollectionSizeLimitExceeded"), false},
		{kind("ResourceNotFoundException"), false},
		{kind("ValidationException"), false},
		{kind("AccessDeniedException"), false},
	} {
		s := stub(func(r *http.Request, _ []byte) (int, string) {
			if _, ok := r.Context().Deadline(); !ok {
				t.Error("a call without a deadline")
			}
			return http.StatusBadRequest, test.answer
		})
		all := [][]store.Write{{put("s", 0, "x"), del("t", 1)}, {put("s", 0, "x")}, {del("s", 1)}}
		if strings.Contains(test.answer, "TransactionCanceled") {
			all = all[:1] // the answer to a transaction alone
		}
		for _, writes := range all {
			err := s.Write(t.Context(), writes...)
			if err == nil || errors.Is(err, store.ErrConflict) != test.conflict || errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s, %d writes: %v", test.answer, len(writes), err)
			}
		}
	}
}

// unprocessed answers a BatchGetItem with all its keys left over.
func unprocessed(body []byte) (int, string) {
	var in struct{ RequestItems json.RawMessage }
	if err := json.Unmarshal(body, &in); err != nil {
		return http.StatusInternalServerError, err.Error()
	}
	return http.StatusOK, `{"Responses":{},"UnprocessedKeys":` + string(in.RequestItems) + `}`
}

func TestGetManyGivesUpWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int32
	s := stub(func(_ *http.Request, body []byte) (int, string) {
		if calls.Add(1) == 2 {
			cancel()
		}
		return unprocessed(body)
	})
	if items, err := s.GetMany(ctx, []store.Key{key("s")}); !errors.Is(err, context.Canceled) || items != nil {
		t.Errorf("%v, %v", items, err)
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestGetManyAsksAgain(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := stub(func(_ *http.Request, body []byte) (int, string) {
		if calls.Add(1) == 1 {
			return unprocessed(body)
		}
		if !bytes.Contains(body, []byte(`"ConsistentRead":true`)) {
			t.Errorf("asked again not consistently: %s", body)
		}
		return http.StatusOK, `{"Responses":{"records":[{"pk":{"S":"p"},"sk":{"S":"s"},"v":{"N":"3"},"data":{"S":"{}"}}]},"UnprocessedKeys":{}}`
	})
	items, err := s.GetMany(t.Context(), []store.Key{key("s")})
	want := []store.Item{{Key: key("s"), Version: 3, Data: []byte("{}")}}
	if err != nil || !cmp.Equal(items, want) {
		t.Errorf("%v, %v", items, err)
	}
}

// Whatever else writes to the tables: a damaged item is an error, not absence and not a guess.
func TestDamagedItems(t *testing.T) {
	t.Parallel()
	for name, item := range map[string]string{
		"no data":        `{"pk":{"S":"p"},"sk":{"S":"s"},"v":{"N":"1"}}`,
		"data is binary": `{"pk":{"S":"p"},"sk":{"S":"s"},"v":{"N":"1"},"data":{"B":"e30="}}`,
		"no version":     `{"pk":{"S":"p"},"sk":{"S":"s"},"data":{"S":"{}"}}`,
		"version 1.5":    `{"pk":{"S":"p"},"sk":{"S":"s"},"v":{"N":"1.5"},"data":{"S":"{}"}}`,
		"version text":   `{"pk":{"S":"p"},"sk":{"S":"s"},"v":{"S":"1"},"data":{"S":"{}"}}`,
		"ttl text":       `{"pk":{"S":"p"},"sk":{"S":"s"},"v":{"N":"1"},"data":{"S":"{}"},"ttl":{"S":"soon"}}`,
		"no sk":          `{"pk":{"S":"p"},"v":{"N":"1"},"data":{"S":"{}"}}`,
	} {
		s := stub(func(r *http.Request, _ []byte) (int, string) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "GetItem") && !strings.Contains(r.Header.Get("X-Amz-Target"), "Batch") {
				return http.StatusOK, `{"Item":` + item + `}`
			}
			return http.StatusOK, `{"Items":[` + item + `],"Responses":{"records":[` + item + `]}}`
		})
		_, err := s.Get(t.Context(), key("s"))
		_, many := s.GetMany(t.Context(), []store.Key{key("s")})
		_, _, query := s.Query(t.Context(), store.Query{PK: "p", Limit: 1})
		for i, err := range []error{err, many, query} {
			if err == nil || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("%s, %d: %v", name, i, err)
			}
		}
	}
}

func TestWriteEachIsBounded(t *testing.T) {
	t.Parallel()
	var now, most, calls atomic.Int32
	full := make(chan struct{})
	s := stub(func(*http.Request, []byte) (int, string) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if calls.Add(1) == 16 { // all workers are inside
			close(full)
		}
		<-full
		return http.StatusOK, `{}`
	})
	groups := make([][]store.Write, 100)
	for i := range groups {
		groups[i] = []store.Write{put(fmt.Sprint(i), 0, "x")}
	}
	for _, err := range s.WriteEach(t.Context(), groups) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if most.Load() != 16 || calls.Load() != 100 {
		t.Errorf("at most %d at once, %d calls", most.Load(), calls.Load())
	}
}

// What the table holds, for those who look at it by other means.
func TestAttributes(t *testing.T) {
	t.Parallel()
	cfg := emulator.Config(t)
	domains, records, index := emulator.Tables(t, cfg)
	client := dynamodb.NewFromConfig(cfg)
	s := dynamo.New(client, dynamo.Config{DomainsTable: domains, RecordsTable: records, IndexName: index})
	due := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	w := store.Write{Item: store.Item{Key: store.Key{Table: store.Domains, PK: "a.example"}, Data: []byte(`{"x":1}`), Due: due, Expires: due.Add(time.Hour)}}
	if err := s.Write(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &domains, Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "a.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, v := range out.Item {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			got[name] = "S " + v.Value
		case *types.AttributeValueMemberN:
			got[name] = "N " + v.Value
		}
	}
	want := map[string]string{
		"pk": "S a.example", "data": `S {"x":1}`, "v": "N 1", "ps": fmt.Sprintf("S %d", store.Shard("a.example")),
		"pd": fmt.Sprintf("N %d", due.Unix()), "ttl": fmt.Sprintf("N %d", due.Add(time.Hour).Unix()),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
