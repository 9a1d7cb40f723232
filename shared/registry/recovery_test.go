package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

func closing() RecoveryRequest {
	at := time.Date(2026, 1, 3, 1, 0, 0, 0, time.FixedZone("", 3600))
	return RecoveryRequest{
		Domain: "lapsed.example", Desired: RecoveryClosed, AsOf: at, Since: at, ContinuousUntil: at.AddDate(0, 0, -1), MaxAddresses: 5,
		Reason: ReasonInterrupted, Phase: "grace", Advice: Advice{Code: "renew_domain", Text: "t"},
	}
}

func TestWhatIsSentToSetRecovery(t *testing.T) {
	var path, method string
	var body map[string]any
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path, method, body = r.URL.Path, r.Method, nil
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		says(200, "application/json", `{"changed":1,"already_unverified":2,"kept_verified_later":3,"closed":4,"recovery":"closed","later":{}}`)(w, r)
	}, nil)
	in := closing()
	in.Evidence = append([]string{"mail to who@ever.example", strings.Repeat("x", 3000)}, make([]string, 50)...)
	a, err := c.SetRecovery(t.Context(), in)
	if err != nil || a != (RecoveryAnswer{Answer: Answer{Changed: 1, AlreadyUnset: 2, KeptLater: 3, Recovery: RecoveryClosed}, Closed: 4}) {
		t.Fatal(a, err)
	}
	evidence, _ := body["evidence"].([]any)
	if method != http.MethodPut || path != "/admin/v1/email-domains/lapsed.example/recovery" || body["desired"] != "closed" || body["as_of"] != "2026-01-03T00:00:00Z" ||
		body["continuous_until"] != "2026-01-02T00:00:00Z" || body["renewable_until"] != nil || body["dry_run"] != nil || body["run"] != nil ||
		len(evidence) != 32 || evidence[0] != "mail to [masked]" || len(evidence[1].(string)) != 2000 {
		t.Fatal(method, path, body)
	}
	in = closing()
	if _, err := c.SetRecovery(t.Context(), in); err != nil || body["evidence"] == nil {
		t.Fatal("no evidence must be sent as an empty list", body, err)
	}
	if _, err := c.SetRecovery(t.Context(), RecoveryRequest{Domain: "lapsed.example", Desired: RecoveryOpen, AsOf: in.AsOf}); err != nil || len(body) != 2 {
		t.Fatal(body, err)
	}
}

func TestSetRecoveryThatDoesNotFitIsNotSent(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") }, nil)
	for name, change := range map[string]func(*RecoveryRequest){
		"domain": func(r *RecoveryRequest) { r.Domain = "a.example/../b.example" }, "long domain": func(r *RecoveryRequest) { r.Domain = strings.Repeat("a.", 200) + "example" },
		"desired": func(r *RecoveryRequest) { r.Desired = RecoveryUnknown }, "no desired": func(r *RecoveryRequest) { r.Desired = "" },
		"no as_of": func(r *RecoveryRequest) { r.AsOf = time.Time{} }, "since after as_of": func(r *RecoveryRequest) { r.Since = r.AsOf.Add(1) },
		"year 10000": func(r *RecoveryRequest) { r.AsOf = r.AsOf.AddDate(9000, 0, 0) }, "1969": func(r *RecoveryRequest) { r.ContinuousUntil = time.Unix(-1, 0) },
		"no since": func(r *RecoveryRequest) { r.Since = time.Time{} }, "no until": func(r *RecoveryRequest) { r.ContinuousUntil = time.Time{} },
		"until after since": func(r *RecoveryRequest) { r.ContinuousUntil = r.Since.Add(1) }, "no bound": func(r *RecoveryRequest) { r.MaxAddresses = 0 },
		"reason": func(r *RecoveryRequest) { r.Reason = "Because!" }, "no reason": func(r *RecoveryRequest) { r.Reason = "" }, "phase": func(r *RecoveryRequest) { r.Phase = "" },
		"run": func(r *RecoveryRequest) { r.Run = strings.Repeat("r", 101) }, "no advice": func(r *RecoveryRequest) { r.Advice = Advice{} },
		"advice": func(r *RecoveryRequest) { r.Advice.Text = "write to alice@lapsed.example" }, "long advice": func(r *RecoveryRequest) { r.Advice.Text = strings.Repeat("t", 1001) },
	} {
		in := closing()
		change(&in)
		if _, err := c.SetRecovery(t.Context(), in); Kind(err) != KindRefused || strings.Contains(err.Error(), "alice") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswersToSetRecovery(t *testing.T) {
	const sound = `{"changed":6,"already_unverified":0,"kept_verified_later":0,"recovery":"closed"`
	for body, want := range map[string]bool{
		sound + `}`: true, sound + `,"closed":0}`: true, sound + `,"closed":-1}`: false, sound + `,"closed":"many"}`: false, sound + `,"closed":1,"closed":1}`: false,
		`{"closed":1,"recovery":"closed"}`: false, ``: false, `[]`: false, sound + `,"pad":"` + strings.Repeat("x", maxBody) + `"}`: false,
	} {
		var log bytes.Buffer
		c := serve(t, says(200, "application/json", body), func(cfg *Config) { cfg.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
		a, err := c.SetRecovery(t.Context(), closing())
		if (err == nil) != want || err != nil && Kind(err) != KindRetryable {
			t.Errorf("%.200s: %v", body, err)
		}
		if want && (a.Closed == -1) == strings.Contains(body, "closed\":0") {
			t.Errorf("%s: %+v", body, a)
		}
		if want && !strings.Contains(log.String(), "registry_exceeded_bound") {
			t.Error("nobody hears that the bound does not hold")
		}
	}
}

func TestSetRecoveryErrorsAreToldApart(t *testing.T) {
	for _, c := range []struct {
		status            int
		kind              string
		want              ErrorKind
		outdated, tooMany bool
	}{
		{409, TypeOutdated, KindConflict, true, false}, {409, TypeKeyReused, KindConflict, false, false}, {422, TypeTooMany, KindRefused, false, true},
		{422, TypePublicSuffix, KindRefused, false, false}, {404, "about:blank", KindRetryable, false, false}, {503, "about:blank", KindRetryable, false, false},
	} {
		_, err := serve(t, says(c.status, "application/problem+json", `{"type":"`+c.kind+`","title":"t","status":1}`), nil).SetRecovery(t.Context(), closing())
		if Kind(err) != c.want || IsOutdated(err) != c.outdated || IsTooMany(err) != c.tooMany {
			t.Errorf("%d %s: %v %v", c.status, c.kind, Kind(err), err)
		}
	}
	if IsOutdated(nil) || IsTooMany(nil) {
		t.Error("no error is one")
	}
}

func TestSetRecoveryAcceptedAndObserved(t *testing.T) {
	var body RecoveryRequest
	status := 202
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body = RecoveryRequest{}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Retry-After", "7")
		says(status, "application/json", `{"changed":4,"already_unverified":0,"kept_verified_later":1,"recovery":"open"}`)(w, r)
	}, nil)
	if a, err := c.SetRecovery(t.Context(), closing()); err != nil || !a.Pending || a.RetryAfter != 7*time.Second {
		t.Fatal(a, err)
	}
	o := NewObserver(c)
	for _, status = range []int{202, 404, 409, 422, 500} {
		a, err := o.SetRecovery(t.Context(), closing())
		if err != nil || !a.CountsUnknown || a.Closed != -1 || !body.DryRun {
			t.Fatalf("%d: %+v %v", status, a, err)
		}
	}
	status = 200
	if a, err := o.SetRecovery(t.Context(), closing()); err != nil || a.Changed != 4 || !body.DryRun {
		t.Fatal(a, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.SetRecovery(ctx, closing()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// Whatever is taken has counts, and no error quotes what was sent.
func FuzzParseRecoveryAnswer(f *testing.F) {
	f.Add([]byte(`{"changed":1,"already_unverified":2,"kept_verified_later":3,"closed":4,"recovery":"closed"}`))
	f.Add([]byte(`{"changed":1,"already_unverified":2,"kept_verified_later":3,"closed":"a@b.example","recovery":"open"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseRecoveryAnswer(data)
		if err != nil {
			if strings.Contains(err.Error(), "@") {
				t.Fatal("an @ got out")
			}
			return
		}
		if a.Changed < 0 || a.KeptLater < 0 || a.AlreadyUnset < 0 || a.Closed < -1 ||
			a.Recovery != RecoveryClosed && a.Recovery != RecoveryOpen && a.Recovery != RecoveryUnknown {
			t.Fatalf("%+v", a)
		}
	})
}
