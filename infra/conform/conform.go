// Package conform walks the registry admin API's contract (infra/registry-admin.openapi.yaml) on somebody's own
// implementation, and says in words what is wrong. It judges by answers alone: whether an unverified address can
// still recover its account is shown only by a test with a mail sink.
package conform

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
)

const (
	// defaultTimeout bounds one exchange, defaultPatience the wait for work that takes long or for new counts.
	defaultTimeout  = 30 * time.Second
	defaultPatience = 2 * time.Minute
	// maxBody bounds an answer in bytes: a page of 10,000 of the longest hosts is half of it.
	maxBody = 8 << 20
	// maxWait is the longest single pause, whatever Retry-After says.
	maxWait = 10 * time.Second
)

// Config of a walk.
type Config struct {
	URL   string // the API's base, as the guard is given it
	Token string
	// Domain is one of the registry's own, with verified test addresses at it, below it and at a host whose name
	// only ends alike. They are unverified and restored. Empty: only what changes nothing is walked.
	Domain string
	// Site is the base of the three test hooks that show what mail opens while recovery is closed; see site. Empty: that
	// is not tried. Used with Domain, and with a registry that closes recovery.
	Site      string
	Transport http.RoundTripper // nil: the standard library's
	Timeout   time.Duration     // of one exchange
	Patience  time.Duration
	Now       func() time.Time                                 // required
	Wait      func(ctx context.Context, d time.Duration) error // nil: really
	Key       func() string                                    // gives new keys; required with Domain
	Progress  func(check string)                               // nil: nobody is told
}

// Level is how bad a finding is.
type Level string

// The levels.
const (
	Wrong      Level = "WRONG"       // breaks the contract
	Doubtful   Level = "DOUBTFUL"    // within the contract, and somebody should know
	NotChecked Level = "NOT CHECKED" // could not be tried
)

// Finding is one thing to tell. Check names it for good; Says is for people.
type Finding struct {
	Level Level
	Check string
	Says  string
}

// Report is what a walk found.
type Report struct {
	Checks   []string // everything that was tried, in order
	Findings []Finding
	Refused  bool // the registry does not take the token: nothing else was checked
}

// OK tells that nothing is wrong.
func (r Report) OK() bool {
	for _, f := range r.Findings {
		if f.Level == Wrong {
			return false
		}
	}
	return true
}

// walk is one in progress.
type walk struct {
	cfg    Config
	base   string
	http   *http.Client
	check  string // the current one
	report Report
	said   map[Finding]bool
	before time.Time // verified_before of all requests
	dry    string    // a domain that nobody has an address at
	hosts  map[string]int
	// unknown tells of a host that the verification time of an address there is not known.
	unknown map[string]bool
	lever   bool // the registry says that it closes recovery
	asOf    time.Time
}

// Walk walks. Its error is a failure to reach the registry, or of the configuration; what is found stands all the same.
func Walk(ctx context.Context, cfg Config) (Report, error) {
	w, err := begin(cfg)
	if err != nil {
		return Report{}, err
	}
	steps := []struct {
		check string
		do    func(ctx context.Context) error
	}{
		{"token", w.token}, {"list", w.list}, {"list-pages", w.pages}, {"list-parameters", w.parameters}, {"list-changes", w.changes},
		{"malformed", w.malformed}, {"tolerance", w.tolerance}, {"public-suffix", w.publicSuffix}, {"unknown-key", w.unknownKey}, {"dry-run", w.dryRun},
	}
	if taken, err := w.taken(ctx); err != nil || !taken {
		return w.report, err
	}
	for _, s := range steps {
		w.begin(s.check)
		if err := s.do(ctx); err != nil {
			return w.report, fmt.Errorf("%s: %w", s.check, err)
		}
	}
	if w.lever {
		w.begin("recovery-form")
		if err := w.recoveryForm(ctx); err != nil {
			return w.report, fmt.Errorf("%s: %w", w.check, err)
		}
	}
	if cfg.Domain == "" {
		w.begin("unverify")
		w.say(NotChecked, "nothing was unverified: name a domain of your own with test addresses")
		return w.report, nil
	}
	if err := w.change(ctx); err != nil || !w.lever {
		return w.report, err
	}
	return w.report, w.recovery(ctx)
}

func begin(cfg Config) (*walk, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "":
		return nil, errors.New("the URL cannot be read: give the admin API's base, such as https://registry.example/admin")
	case cfg.Token == "":
		return nil, errors.New("no token")
	case cfg.Now == nil || cfg.Domain != "" && cfg.Key == nil:
		return nil, errors.New("no clock, or no keys")
	case cfg.Domain != "" && !domain.ValidRegistrable(cfg.Domain) && !strings.HasSuffix(cfg.Domain, ".example") && !strings.HasSuffix(cfg.Domain, ".test"):
		return nil, errors.New("the domain is not a registrable one in lower case and A-labels")
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	cfg.Patience = cmp.Or(cfg.Patience, defaultPatience)
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	return &walk{cfg: cfg, base: strings.TrimRight(u.String(), "/"), said: map[Finding]bool{}, before: cfg.Now().UTC().Truncate(time.Millisecond),
		dry: "lapseguard-conform.example", hosts: map[string]int{}, unknown: map[string]bool{},
		http: &http.Client{Transport: cfg.Transport, Timeout: cfg.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	case <-t.C:
		return nil
	}
}

func (w *walk) begin(check string) {
	w.check = check
	w.report.Checks = append(w.report.Checks, check)
	if w.cfg.Progress != nil {
		w.cfg.Progress(check)
	}
}

// say notes a finding, once.
func (w *walk) say(l Level, format string, args ...any) {
	f := Finding{Level: l, Check: w.check, Says: fmt.Sprintf(format, args...)}
	if !w.said[f] {
		w.said[f] = true
		w.report.Findings = append(w.report.Findings, f)
	}
}

func (w *walk) wrong(format string, args ...any) { w.say(Wrong, format, args...) }

// exchange is a request and what came back.
type exchange struct {
	method, path string
	kind         string  // of the body; empty: application/json
	token        *string // nil: the right one
	body         any     // nil: none; a string is sent as it is
	status       int
	header       http.Header
	data         []byte
}

// do sends a request, and judges what is true of every answer.
func (w *walk) do(ctx context.Context, x exchange) (exchange, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	req, err := w.request(ctx, x)
	if err != nil {
		return x, err
	}
	resp, err := w.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return x, fmt.Errorf("%s %s: %w", x.method, x.path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	x.status, x.header = resp.StatusCode, resp.Header
	if x.data, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1)); err != nil {
		return x, fmt.Errorf("%s %s: the answer breaks off: %w", x.method, x.path, err)
	}
	if len(x.data) > maxBody {
		w.wrong("the answer to %s is longer than %d bytes", x.what(), maxBody)
	}
	if bytes.ContainsRune(x.data, '@') {
		w.wrong("the answer to %s holds an @: no e-mail address may cross this API, in no field and no error", x.what())
	}
	w.judgeProblem(x)
	return x, nil
}

func (w *walk) request(ctx context.Context, x exchange) (*http.Request, error) {
	var body io.Reader
	switch b := x.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	default:
		data, err := encode(b)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, x.method, w.base+x.path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", x.method, x.path, err)
	}
	token := w.cfg.Token
	if x.token != nil {
		token = *x.token
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", "lapseguard-conform")
	if body != nil {
		req.Header.Set("Content-Type", cmp.Or(x.kind, "application/json"))
	}
	return req, nil
}

// what names an exchange for people.
func (x exchange) what() string { return x.method + " " + x.path }
