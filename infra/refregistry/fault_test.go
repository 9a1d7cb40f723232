package refregistry

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// fault is what happens to one exchange on its way.
type fault int

const (
	passes      fault = iota
	notSent           // the request never arrives
	answerLost        // the work is done, the answer never arrives
	answerCut         // the work is done, the answer breaks off
	gateway502        // the work is done, something in between says 502
	gatewayHTML       // something in between answers 200 with a page of its own
	faults
)

// faulty spoils exchanges by a script; behind its end everything passes.
type faulty struct {
	script []fault
	sent   int // requests that arrived
}

func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	next := passes
	if len(f.script) > 0 {
		next, f.script = f.script[0], f.script[1:]
	}
	if next == notSent {
		return nil, errors.New("connection refused")
	}
	f.sent++
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	switch next {
	case passes, notSent, faults:
	case answerLost:
		return nil, errors.New("connection reset")
	case answerCut:
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(data[:len(data)/2]), failing{}))
	case gateway502:
		resp.StatusCode, resp.Header, resp.Body = 502, http.Header{"Content-Type": {"text/html"}}, io.NopCloser(strings.NewReader("<h1>bad gateway"))
	case gatewayHTML:
		resp.Header, resp.Body = http.Header{"Content-Type": {"text/html"}}, io.NopCloser(strings.NewReader("<h1>please sign in"))
	}
	return resp, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// plainClient speaks through next, without the contract's check: what faults leave of an answer breaks it.
func (r *rig) plainClient(t *testing.T, next http.RoundTripper) *registry.Client {
	t.Helper()
	c, err := registry.New(registry.Config{
		URL: r.url, Token: func(context.Context, bool) (string, error) { return token, nil }, Transport: next,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever happens on the way, asking again until there is an answer does the work once and gives its answer.
func TestEveryFaultIsHealedByAskingAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, nil)
		r.fill(t, map[string]int{"a@lapsed.example": 1, "b@lapsed.example": 2, "c@lapsed.example": 16, "d@other.example": 1})
		script := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, int(faults)-1), func(n int) fault { return fault(n) }), 0, 5).Draw(rt, "faults")
		way := &faulty{script: slices.Clone(script)}
		client := r.plainClient(t, way)
		in := request("lapsed.example", "k")
		var a registry.Answer
		var err error
		for range len(script) + 1 {
			if a, err = client.Unverify(t.Context(), in); err == nil {
				break
			}
			if registry.Kind(err) != registry.KindRetryable {
				rt.Fatalf("%s: %v", registry.Kind(err), err)
			}
		}
		wantAnswer(t, a, err, 2, 0, 1)
		r.wantOneUnverify(t, "k", 2, way.sent)
		way.script = slices.Clone(script)
		var back registry.Restored
		for range len(script) + 1 {
			if back, err = client.Restore(t.Context(), "k"); err == nil {
				break
			}
		}
		if err != nil || back != (registry.Restored{Restored: 2}) || r.unverified(t) != nil {
			rt.Fatal(back, err, r.unverified(t))
		}
	})
}

// A caller that hangs up does not undo or tear what was begun.
func TestCallerHangsUp(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1})
	ctx, cancel := context.WithCancel(t.Context())
	in := httptest.NewRequestWithContext(ctx, "POST", "/v1/email-domains/lapsed.example/unverify", strings.NewReader(encode(t, object())))
	in.Header = headers()
	cancel()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, in)
	if w.Code != http.StatusOK || len(r.unverified(t)) != 1 {
		t.Fatal(w.Code, r.unverified(t))
	}
}

const (
	killedPath = "REFREGISTRY_TEST_PATH"
	killedN    = 600
)

// TestMain is also the process that is killed: a registry over a file, which says its address on standard output.
func TestMain(m *testing.M) {
	path := os.Getenv(killedPath)
	if path == "" {
		os.Exit(m.Run())
	}
	s, err := Open(Config{Path: path, Token: token, Now: func() time.Time { return day(20) }})
	if err != nil {
		panic(err)
	}
	web := httptest.NewServer(s.Handler())
	fmt.Println(web.URL)
	select {}
}

// The registry is killed (SIGKILL) at points spread over the time that an unverify of 600 addresses takes, which
// the first, left alone, shows. Afterwards either all of it is there or nothing; asking again gives the same answer,
// and the log shows one unverify.
func TestKilledAtAnyPointItIsWholeOrNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	cfg := Config{Path: path, Token: token, Now: func() time.Time { return day(20) }}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	const kills = 6
	err = s.Load(t.Context(), func(yield func(Row) bool) {
		for i := range killedN * kills {
			if !yield(Row{Address: fmt.Sprintf("u%d@mail.lapsed%d.example", i, i%kills), VerifiedAt: day(1)}) {
				return
			}
		}
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	answered := 0
	var takes time.Duration
	for k := range kills {
		after := time.Hour
		if k > 0 {
			after = takes * time.Duration(k) / kills
		}
		took, err := killOne(t, path, k, after)
		if k == 0 {
			takes = took
		}
		if err == nil {
			answered++
		} else if registry.Kind(err) != registry.KindRetryable {
			t.Fatal(err)
		}
		if s, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
		audit(t, s, k)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if answered == kills {
		t.Fatal("no kill came before its answer: nothing was tried")
	}
}

// killOne starts the registry, sends it an unverify, and kills it after some time or the answer.
func killOne(t *testing.T, path string, k int, after time.Duration) (took time.Duration, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), killedPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{url: strings.TrimSpace(line)}
	client := r.plainClient(t, &http.Transport{})
	start := time.Now()
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	_, err = client.Unverify(t.Context(), killRequest(k))
	took = time.Since(start)
	if kill.Stop() {
		_ = cmd.Process.Kill()
	}
	_ = cmd.Wait() // killed, as it should be
	return took, err
}

func killRequest(k int) registry.Request {
	in := request(fmt.Sprintf("lapsed%d.example", k), fmt.Sprint("k", k))
	in.MaxAddresses = killedN
	return in
}

// audit asks again and checks every invariant.
func audit(t *testing.T, s *Server, k int) {
	t.Helper()
	before := counts(t, s, k)
	if before != 0 && before != killedN {
		t.Fatalf("kill %d: %d of %d addresses changed", k, before, killedN)
	}
	r := &rig{Server: s}
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	r.url = web.URL
	a, err := r.plainClient(t, http.DefaultTransport).Unverify(t.Context(), killRequest(k))
	wantAnswer(t, a, err, killedN, 0, 0)
	if n := counts(t, s, k); n != killedN {
		t.Fatal(n)
	}
	calls, err := s.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	notices, err := s.Notices(t.Context())
	if err != nil || len(notices) != killedN*(k+1) {
		t.Fatalf("%d notices, %v", len(notices), err)
	}
	first := 0
	for _, c := range calls {
		if c.Key == fmt.Sprint("k", k) && !c.Repeated {
			first++
		}
	}
	if first != 1 {
		t.Fatalf("kill %d: %d unverifies", k, first)
	}
}

// counts the addresses that the k-th key changed.
func counts(t *testing.T, s *Server, k int) (n int) {
	t.Helper()
	all, err := s.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Key == fmt.Sprint("k", k) && !a.Verified {
			n++
		}
	}
	return n
}
