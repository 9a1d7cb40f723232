package cloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fault is what happens to a call on its way.
type fault string

// The faults. Of the last three, two leave a call done whose caller does not know it.
const (
	passes    fault = ""
	throttled fault = "throttled"
	cutBefore fault = "cut before it was done"
	cutAfter  fault = "cut after it was done"
	cutWithin fault = "cut within the answer"
)

// faults spoils one call in so many, chosen by the call's number and the seed. The nil one spoils none.
type faults struct {
	seed  uint64
	oneIn int

	mu   sync.Mutex
	n    uint64
	done map[fault]map[string]int // by service
}

func (f *faults) next(service string) fault {
	if f == nil {
		return passes
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	r := rand.New(rand.NewPCG(f.seed, f.n)) // #nosec G404 -- a sample, not a secret
	if r.IntN(f.oneIn) > 0 {
		return passes
	}
	what := []fault{throttled, cutBefore, cutAfter, cutWithin}[r.IntN(4)]
	if f.done[what] == nil {
		f.done[what] = map[string]int{}
	}
	f.done[what][service]++
	return what
}

// tell says what was done, and fails where a kind of fault was never met.
func (f *faults) tell(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	all := 0
	for _, what := range []fault{throttled, cutBefore, cutAfter, cutWithin} {
		if len(f.done[what]) == 0 {
			t.Errorf("no call was %s", what)
		}
		for _, n := range f.done[what] {
			all += n
		}
	}
	t.Logf("seed %d: %d of %d calls were throttled or cut: %v", f.seed, all, f.n, f.done)
}

// spoil does a call in the way of a fault. pass does it as it is.
func (f *faults) spoil(w http.ResponseWriter, service, operation string, body []byte, pass func(http.ResponseWriter) error) error {
	switch what := f.next(service); what {
	case throttled:
		throttle(w, service, operation, body)
		return nil
	case cutBefore:
		panic(http.ErrAbortHandler)
	case cutAfter, cutWithin:
		answer := httptest.NewRecorder()
		if err := pass(answer); err != nil {
			return err
		}
		if what == cutWithin {
			maps.Copy(w.Header(), answer.Header())
			w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2]) // it breaks off in any case
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	default:
		return pass(w)
	}
}

// throttle answers as the service does that is asked too much.
func throttle(w http.ResponseWriter, service, operation string, body []byte) {
	kind, more := "ThrottlingException", ""
	switch {
	case service == "sns":
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`)
		return
	case service == "registry":
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case service == "sqs":
		kind = "com.amazonaws.sqs#RequestThrottled"
	case operation == "TransactWriteItems":
		kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
		more = `,"CancellationReasons":[` + strings.Repeat(`{"Code":"None"},`, transacts(body)-1) + `{"Code":"ThrottlingError"}]`
	case operation == "BatchGetItem": // which says what it left
		var asked struct{ RequestItems json.RawMessage }
		_ = json.Unmarshal(body, &asked) // it is the SDK's
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		fmt.Fprintf(w, `{"Responses":{},"UnprocessedKeys":%s}`, asked.RequestItems)
		return
	case service == "dynamodb":
		kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":%q,"message":"Rate exceeded"%s}`, kind, more)
}

func transacts(body []byte) int {
	var asked struct{ TransactItems []json.RawMessage }
	_ = json.Unmarshal(body, &asked) // it is the SDK's
	return len(asked.TransactItems)
}

// before puts the faults before a registry.
func (f *faults) before(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = f.spoil(w, "registry", r.URL.Path, nil, func(w http.ResponseWriter) error {
			registry.ServeHTTP(w, r)
			return nil
		})
	})
}

// TestFaultsAreTheSame: the call's number and the seed decide, and one call in so many is spoilt.
func TestFaultsAreTheSame(t *testing.T) {
	seen := func(seed uint64) (all []fault) {
		f := &faults{seed: seed, oneIn: 50, done: map[fault]map[string]int{}}
		for range 5000 {
			all = append(all, f.next("x"))
		}
		return all
	}
	one := seen(1)
	spoilt := len(one) - len(slices.DeleteFunc(slices.Clone(one), func(f fault) bool { return f != passes }))
	if !slices.Equal(one, seen(1)) || slices.Equal(one, seen(2)) || spoilt < 70 || spoilt > 130 {
		t.Errorf("%d of 5000 calls are spoilt, want 2 %% of them, the same for one seed and others for another", spoilt)
	}
	w := httptest.NewRecorder()
	throttle(w, "dynamodb", "TransactWriteItems", []byte(`{"TransactItems":[{},{}]}`))
	if want := `"CancellationReasons":[{"Code":"None"},{"Code":"ThrottlingError"}]`; !bytes.Contains(w.Body.Bytes(), []byte(want)) {
		t.Errorf("a throttled transaction says %s, want %s in it", w.Body, want)
	}
}
