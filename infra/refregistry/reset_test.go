package refregistry

import (
	"net/http"
	"testing"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// forgot asks for a reset as anybody can, and gives the answer and the number of reset mails so far.
func (r *rig) forgot(t *testing.T, address string) (answer string, mails []Mail) {
	t.Helper()
	resp, data, _ := r.send(t, "POST", "/reset", http.Header{"Content-Type": {"application/json"}}, encode(t, map[string]string{"email": address}))
	if resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.StatusCode)
	}
	all, err := r.Mails(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Kind == "reset" {
			mails = append(mails, m)
		}
	}
	return string(data), mails
}

func (r *rig) followLink(t *testing.T, token string) int {
	t.Helper()
	resp, _, _ := r.send(t, "POST", "/reset/confirm", http.Header{"Content-Type": {"application/json"}}, encode(t, map[string]string{"token": token}))
	return resp.StatusCode
}

// The new holder of a lapsed domain tries to take the account over.
func TestTakeover(t *testing.T) {
	const victim = "victim@lapsed.example"
	for mode, taken := range map[registry.Recovery]bool{registry.RecoveryClosed: false, registry.RecoveryUnknown: false, registry.RecoveryOpen: true} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.RecoveryMode = mode })
			account, err := r.AddAccount(t.Context(), "victim")
			if err != nil {
				t.Fatal(err)
			}
			if err := r.AddAddressTo(t.Context(), account, victim, ptr(day(1))); err != nil {
				t.Fatal(err)
			}
			atVerified, mails := r.forgot(t, victim)
			if len(mails) != 1 || mails[0].Token == "" {
				t.Fatal("a verified address gets no mail: the attack below would prove nothing")
			}
			early := mails[0].Token
			a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
			if err != nil || a.Changed != 1 || a.Recovery != mode {
				t.Fatalf("%+v %v", a, err)
			}
			atUnverified, mails := r.forgot(t, victim)
			atUnknown, _ := r.forgot(t, "nobody@lapsed.example")
			if atUnverified != atUnknown || atUnverified != atVerified {
				t.Error("the answers tell addresses apart")
			}
			if got := len(mails) == 2; got != taken {
				t.Errorf("%d reset mails", len(mails))
			}
			links := []string{early, "", "guess"}
			for _, m := range mails {
				links = append(links, m.Token)
			}
			for _, link := range links {
				r.followLink(t, link)
			}
			n, err := r.Resets(t.Context(), account)
			if err != nil || n > 0 != taken {
				t.Errorf("%d resets, %v", n, err)
			}
			verified, why, err := r.IsVerified(t.Context(), victim)
			if err != nil || verified != taken || !taken && why != string(registry.ReasonLapsed) {
				t.Error(verified, why, err)
			}
		})
	}
}

func TestResetLinkWorksOnceAndAgainAfterARestore(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1})
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Restore(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	_, mails := r.forgot(t, "a@lapsed.example")
	if len(mails) != 1 {
		t.Fatal(len(mails))
	}
	for i, want := range []int{http.StatusNoContent, http.StatusBadRequest} {
		if got := r.followLink(t, mails[0].Token); got != want {
			t.Fatal(i, got)
		}
	}
}
