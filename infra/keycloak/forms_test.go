package keycloak

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

func (f *fake) mailReset(account string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.event(eventReset, account, at, map[string]string{"code_id": "r-" + account})
}

func (f *fake) newKeys() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.keys) - 1
}

// keyFault spoils what gives the realm a new key.
func keyFault(status int, after bool) func(r *http.Request) (int, bool) {
	return func(r *http.Request) (int, bool) {
		if !strings.HasSuffix(r.URL.Path, "/components") {
			return 0, false
		}
		return status, after
	}
}

// Forms end where a reset was mailed to a bound account since control was last known, or where nobody knows; each time once.
func TestFormsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(f *fake)
		keys    int
	}{
		"nothing was mailed":           {func(*fake) {}, 0},
		"a reset within the gap":       {func(f *fake) { f.mailReset("id-ann", day(15)) }, 1},
		"to all of them":               {func(f *fake) { f.mailReset("id-ann", day(15)); f.mailReset("id-ben", day(19)) }, 1},
		"to one that is not verified":  {func(f *fake) { f.mailReset("id-eli", day(15)) }, 1},
		"before all was well":          {func(f *fake) { f.mailReset("id-ann", day(14).Add(-time.Second)) }, 0},
		"to somebody else":             {func(f *fake) { f.mailReset("id-fay", day(15)) }, 0},
		"resets are not kept":          {func(f *fake) { f.resetsOff = true }, 1},
		"the answer is lost":           {func(f *fake) { f.mailReset("id-ann", day(15)); f.fault = keyFault(http.StatusBadGateway, true) }, 1},
		"a key above all others is on": {func(f *fake) { f.mailReset("id-ann", day(15)); f.keys = []int{100, 7000} }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := small()
			c.arrange(f)
			r := newRig(t, f, nil)
			dry := closeAt(16, 15)
			dry.DryRun = true
			r.wantRecovery(t, dry, 2, 1, 1, 2)
			if len(f.writes) > 0 {
				t.Fatal(f.writes)
			}
			r.wantRecovery(t, closeAt(16, 15), 2, 1, 1, 2)
			f.mailReset("id-ann", day(20).Add(time.Minute)) // its link is refused
			if err := r.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
			wantAnswer(t, a, err, 2, 1, 1)
			if a.Recovery != registry.RecoveryClosed || f.newKeys() != c.keys {
				t.Errorf("%s, %d keys: %v", a.Recovery, f.newKeys(), f.writes)
			}
			if last := f.writes[len(f.writes)-1]; c.keys > 0 && !strings.Contains(r.log.String(), `"msg":"forms_ended"`) {
				t.Error("nobody hears of it", last)
			}
		})
	}
}

// The new key comes last: a form opened while accounts are put into the group, one after another, ends too.
func TestFormsEndLast(t *testing.T) {
	f := small()
	f.mailReset("id-ann", day(15))
	r := newRig(t, f, nil)
	r.wantRecovery(t, closeAt(16, 15), 2, 1, 1, 2)
	joined := ""
	for _, w := range f.writes {
		if w == "POST /components" && joined != "annbeneli" {
			t.Fatal("too early", f.writes)
		}
		if id, ok := strings.CutSuffix(strings.TrimPrefix(w, "PUT /users/id-"), "/groups/g"); ok {
			joined += id
		}
	}
}

// What cannot be ended is open, and is tried again until it ended.
func TestFormsThatDoNotEnd(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		answer bool // the call is answered, and not failed
	}{"without the role": {http.StatusForbidden, true}, "Keycloak fails": {http.StatusServiceUnavailable, false}} {
		t.Run(name, func(t *testing.T) {
			f := small()
			f.mailReset("id-ann", day(15))
			r := newRig(t, f, nil)
			f.spoil(keyFault(c.status, false))
			probe := func() registry.Recovery {
				t.Helper()
				a, err := registry.NewObserver(r.client).Unverify(t.Context(), request("elsewhere.example", "p"))
				if err != nil {
					t.Fatal(err)
				}
				return a.Recovery
			}
			got, err := r.client.SetRecovery(t.Context(), closeAt(16, 15))
			if c.answer != (err == nil) || err == nil && got.Recovery != registry.RecoveryOpen {
				t.Fatalf("%+v %v", got, err)
			}
			if probe() != registry.RecoveryOpen {
				t.Error("said to be closed")
			}
			r.wantState(t, map[string]string{"ann": "VQ", "ben": "VQ", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"}) // all that can be done
			f.spoil(nil)
			if err := r.Sweep(t.Context()); err != nil || f.newKeys() != 1 || probe() != registry.RecoveryClosed {
				t.Error(err, f.newKeys(), r.log)
			}
			r.wantRecovery(t, closeAt(17, 15), 0, 1, 1, 2)
		})
	}
}

// Out of the group for a while, an account may have been sent a link that was followed: its forms end when it is put
// back, whatever else had it closed.
func TestFormsEndWhenPutBack(t *testing.T) {
	f := small()
	r := newRig(t, f, nil)
	r.wantRecovery(t, closeAt(16, 15), 2, 1, 1, 2)
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); err != nil {
		t.Fatal(err)
	}
	f.mailReset("id-ann", day(20).Add(time.Minute))
	for want, name := range []string{"ben", "ann"} { // nothing was mailed to ben
		f.edit(t, "id-"+name, func(u *fakeUser) { u.groups = nil })
		for range 2 {
			if err := r.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.newKeys(); got != want {
			t.Fatalf("%s: %d keys: %v", name, got, f.writes)
		}
	}
}

// A key that does not become the active one ends nothing, whatever is answered.
func TestKeyThatIsNotActive(t *testing.T) {
	f := small()
	f.mailReset("id-ann", day(15))
	r := newRig(t, f, nil)
	f.spoil(keyFault(http.StatusCreated, false))
	if got, err := r.client.SetRecovery(t.Context(), closeAt(16, 15)); registry.Kind(err) != registry.KindRetryable {
		t.Fatal(got, err)
	}
}
