package refregistry

import (
	"context"
	"database/sql"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// answerBody is the contract's Answer.
type answerBody struct {
	Changed  int               `json:"changed"`
	Already  int               `json:"already_unverified"`
	Kept     int               `json:"kept_verified_later"`
	Recovery registry.Recovery `json:"recovery"`
}

// strict refuses duplicate names and invalid UTF-8; unknown members are ignored, as the contract wants.
func strict(data []byte, v any) error {
	return json.Unmarshal(data, v) //nolint:wrapcheck // the caller discards the text, which quotes the body
}

// parseUnverify reads a request. The client's own check is the contract's; what a decoder cannot tell from
// an empty value, a missing member, is asked here.
func parseUnverify(r *http.Request) (registry.Request, reply, bool) {
	var in registry.Request
	if out, ok := readJSON(r, &in); !ok {
		return in, out, false
	}
	in.Domain = r.PathValue("domain")
	if in.Evidence == nil || len(in.Evidence) > 32 || slices.ContainsFunc(in.Evidence, func(s string) bool { return len([]rune(s)) > 2000 }) {
		return in, malformed("evidence must be at most 32 texts of at most 2000 characters"), false
	}
	if err := in.Check(); err != nil {
		return in, malformed(err.Error()), false
	}
	in.VerifiedBefore, in.ExposedSince = in.VerifiedBefore.UTC(), in.ExposedSince.UTC()
	return in, reply{}, true
}

func (s *Server) unverify(ctx context.Context, r *http.Request) (reply, error) {
	in, out, ok := parseUnverify(r)
	if !ok {
		return out, nil
	}
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		w := work{s: s, tx: tx, now: s.cfg.Now().UTC(), in: in}
		var err error
		if out, err = w.run(ctx); err != nil {
			return fmt.Errorf("unverify %s: %w", in.Domain, err)
		}
		return w.log(ctx, "unverify", out)
	})
	return out, err
}

// work is one unverify within its transaction.
type work struct {
	s        *Server
	tx       *sql.Tx
	now      time.Time
	in       registry.Request
	repeated bool
	changed  int // by this very call
}

func (w *work) run(ctx context.Context) (reply, error) {
	if w.s.cfg.IsPublicSuffix(w.in.Domain) {
		return problem(http.StatusUnprocessableEntity, registry.TypePublicSuffix, "public suffix", "names of many owners lie below it"), nil
	}
	request, err := canonicalRequest(w.in)
	if err != nil {
		return reply{}, err
	}
	if !w.in.DryRun {
		if out, done, err := w.before(ctx, request); done || err != nil {
			return out, err
		}
	}
	answer, err := w.count(ctx)
	if err != nil {
		return reply{}, err
	}
	if answer.Changed > w.in.MaxAddresses {
		return problem(http.StatusUnprocessableEntity, registry.TypeTooMany, "too many addresses",
			fmt.Sprintf("%d addresses would change, %d are allowed", answer.Changed, w.in.MaxAddresses)), nil
	}
	if w.in.DryRun {
		return reply{status: http.StatusOK, body: answer}, nil
	}
	return w.carryOut(ctx, request, answer)
}

// before answers a key that is known already.
func (w *work) before(ctx context.Context, request string) (out reply, done bool, err error) {
	j, err := readJournal(ctx, w.tx, w.in.Key)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return reply{}, false, nil
	case err != nil:
		return reply{}, false, err
	}
	w.repeated = true
	switch {
	case j.request != request:
		return problem(http.StatusConflict, registry.TypeKeyReused, "the key belongs to another request", ""), true, nil
	case j.restored != "":
		return problem(http.StatusConflict, registry.TypeRestored, "what was done under this key was taken back", "doing it again needs a new key"), true, nil
	case w.now.Before(j.readyAt):
		return reply{status: http.StatusAccepted, after: j.readyAt.Sub(w.now)}, true, nil
	}
	return reply{status: http.StatusOK, body: stdjson.RawMessage(j.answer)}, true, nil
}

// older is true of an address verified before ?3; ?4 says whether an unknown time counts as that.
const older = `coalesce(verified_at < ?3, ?4)`

// args are the domain's span and the two arguments of older.
func (w *work) args() []any {
	from, to := span(w.in.Domain)
	return []any{from, to, w.in.VerifiedBefore.UnixMicro(), unknownIsOlder(w.in.Phase)}
}

// unknownIsOlder: in these phases nobody can have verified an address since, so an unknown time is an old one.
func unknownIsOlder(phase string) bool {
	return phase == "redemption" || phase == "pending delete" || phase == "released"
}

func (w *work) count(ctx context.Context) (answerBody, error) {
	a := answerBody{Recovery: w.s.cfg.RecoveryMode}
	row := w.tx.QueryRowContext(ctx, `
SELECT count(*) FILTER (WHERE verified AND `+older+`), count(*) FILTER (WHERE NOT verified), count(*) FILTER (WHERE verified AND NOT `+older+`)
FROM addresses WHERE rev >= ?1 AND rev < ?2`, w.args()...)
	if err := row.Scan(&a.Changed, &a.Already, &a.Kept); err != nil {
		return a, fmt.Errorf("count addresses: %w", err)
	}
	return a, nil
}

// carryOut changes the addresses, and writes down the key, the answer and what the holders are told.
func (w *work) carryOut(ctx context.Context, request string, answer answerBody) (reply, error) {
	_, err := w.tx.ExecContext(ctx, `
UPDATE addresses SET verified = 0, why = ?5, key = ?6
WHERE rev >= ?1 AND rev < ?2 AND verified AND `+older, append(w.args(), string(w.in.Reason), w.in.Key)...)
	if err != nil {
		return reply{}, fmt.Errorf("mark addresses: %w", err)
	}
	w.changed = answer.Changed
	if err := touch(ctx, w.tx, w.now, `key = ?`, w.in.Key); err != nil {
		return reply{}, err
	}
	if err := w.tell(ctx); err != nil {
		return reply{}, err
	}
	body, err := stdjson.Marshal(answer)
	if err != nil {
		return reply{}, fmt.Errorf("encode the answer: %w", err)
	}
	ready, out := w.now, reply{status: http.StatusOK, body: answer}
	if w.s.cfg.SlowOver > 0 && answer.Changed > w.s.cfg.SlowOver {
		ready = w.now.Add(w.s.cfg.SlowFor)
		out = reply{status: http.StatusAccepted, after: w.s.cfg.SlowFor}
	}
	_, err = w.tx.ExecContext(ctx, `INSERT INTO journal (key, request, answer, at, ready_at) VALUES (?, ?, ?, ?, ?)`,
		w.in.Key, request, string(body), w.now.UnixMicro(), ready.UnixMicro())
	if err != nil {
		return reply{}, fmt.Errorf("write the key down: %w", err)
	}
	return out, nil
}

// tell mails each account concerned at another verified address, or leaves a notice for its next sign-in. An
// address at the domain, even one verified later, is never told: its mail may be somebody else's.
func (w *work) tell(ctx context.Context) error {
	from, to := span(w.in.Domain)
	other := `(SELECT b.address FROM addresses b WHERE b.account = a.account AND b.verified
	AND NOT (b.rev >= ?1 AND b.rev < ?2) ORDER BY b.id LIMIT 1)`
	concerned := `(SELECT DISTINCT account FROM addresses WHERE key = ?3) a`
	_, err := w.tx.ExecContext(ctx, `INSERT INTO mails (at, account, address, kind, text)
SELECT ?4, a.account, `+other+` AS other, 'notice', ?5 FROM `+concerned+` WHERE other IS NOT NULL`,
		from, to, w.in.Key, w.now.UnixMicro(), w.in.Advice.Text)
	if err != nil {
		return fmt.Errorf("tell by mail: %w", err)
	}
	_, err = w.tx.ExecContext(ctx, `INSERT INTO notices (at, account, key, code, text)
SELECT ?4, a.account, ?3, ?6, ?5 FROM `+concerned+` WHERE `+other+` IS NULL`,
		from, to, w.in.Key, w.now.UnixMicro(), w.in.Advice.Text, w.in.Advice.Code)
	if err != nil {
		return fmt.Errorf("tell in the site: %w", err)
	}
	return nil
}

// log adds the call to the registry's own log.
func (w *work) log(ctx context.Context, op string, out reply) error {
	_, err := w.tx.ExecContext(ctx, `
INSERT INTO calls (at, op, domain, key, run, dry_run, status, problem, repeated, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.now.UnixMicro(), op, w.in.Domain, w.in.Key, w.in.Run, w.in.DryRun, out.status, out.problemType(), w.repeated, w.changed)
	if err != nil {
		return fmt.Errorf("log the call: %w", err)
	}
	return nil
}

// canonicalRequest is domain and body in one form, for comparison.
func canonicalRequest(in registry.Request) (string, error) {
	data, err := stdjson.Marshal(struct {
		Domain string
		registry.Request
	}{in.Domain, in})
	if err != nil {
		return "", fmt.Errorf("encode the request: %w", err)
	}
	return string(data), nil
}

type journal struct {
	request, answer, restored string
	readyAt                   time.Time
}

func readJournal(ctx context.Context, tx *sql.Tx, key string) (journal, error) {
	var j journal
	var ready int64
	err := tx.QueryRowContext(ctx, `SELECT request, answer, restored, ready_at FROM journal WHERE key = ?`, key).
		Scan(&j.request, &j.answer, &j.restored, &ready)
	if err != nil {
		return j, fmt.Errorf("read the journal: %w", err)
	}
	j.readyAt = time.UnixMicro(ready)
	return j, nil
}
