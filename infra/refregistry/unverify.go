package refregistry

import (
	"context"
	"database/sql"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/registry"
)

func (b backend) Unverify(ctx context.Context, in registry.Request) (out adminapi.Reply, err error) {
	err = b.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		w := work{s: b.Server, tx: tx, now: b.cfg.Now().UTC(), in: in}
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

func (w *work) run(ctx context.Context) (adminapi.Reply, error) {
	request, err := adminapi.Fingerprint(w.in)
	if err != nil {
		return adminapi.Reply{}, err
	}
	if !w.in.DryRun {
		if out, done, err := w.before(ctx, request); done || err != nil {
			return out, err
		}
	}
	if w.s.cfg.IsPublicSuffix(w.in.Domain) { // after the key: the list may have changed since the work was done
		return adminapi.Problem(http.StatusUnprocessableEntity, registry.TypePublicSuffix, "public suffix", "names of many owners lie below it"), nil
	}
	answer, err := w.count(ctx)
	if err != nil {
		return adminapi.Reply{}, err
	}
	if answer.Changed > w.in.MaxAddresses {
		return adminapi.Problem(http.StatusUnprocessableEntity, registry.TypeTooMany, "too many addresses",
			fmt.Sprintf("%d addresses would change, %d are allowed", answer.Changed, w.in.MaxAddresses)), nil
	}
	if w.in.DryRun {
		return adminapi.OK(answer), nil
	}
	return w.carryOut(ctx, request, answer)
}

// before answers a key that is known already.
func (w *work) before(ctx context.Context, request string) (out adminapi.Reply, done bool, err error) {
	j, err := readJournal(ctx, w.tx, w.in.Key)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return adminapi.Reply{}, false, nil
	case err != nil:
		return adminapi.Reply{}, false, err
	}
	w.repeated = true
	switch {
	case j.request != request:
		return adminapi.Problem(http.StatusConflict, registry.TypeKeyReused, "the key belongs to another request", ""), true, nil
	case j.restored != "":
		return adminapi.Problem(http.StatusConflict, registry.TypeRestored, "what was done under this key was taken back", "doing it again needs a new key"), true, nil
	case w.now.Before(j.readyAt):
		return adminapi.Reply{Status: http.StatusAccepted, After: j.readyAt.Sub(w.now)}, true, nil
	}
	return adminapi.OK(stdjson.RawMessage(j.answer)), true, nil
}

// older is true of an address verified before ?3; ?4 says whether an unknown time counts as that.
const older = `coalesce(verified_at < ?3, ?4)`

// args are the domain's span and the two arguments of older.
func (w *work) args() []any {
	from, to := span(w.in.Domain)
	return []any{from, to, w.in.VerifiedBefore.UnixMicro(), adminapi.UnknownIsOlder(w.in.Phase)}
}

func (w *work) count(ctx context.Context) (adminapi.Answer, error) {
	a := adminapi.Answer{Recovery: w.s.cfg.RecoveryMode}
	row := w.tx.QueryRowContext(ctx, `
SELECT count(*) FILTER (WHERE verified AND `+older+`), count(*) FILTER (WHERE NOT verified), count(*) FILTER (WHERE verified AND NOT `+older+`)
FROM addresses WHERE rev >= ?1 AND rev < ?2`, w.args()...)
	if err := row.Scan(&a.Changed, &a.Already, &a.Kept); err != nil {
		return a, fmt.Errorf("count addresses: %w", err)
	}
	return a, nil
}

// carryOut changes the addresses, and writes down the key, the answer and what the holders are told.
func (w *work) carryOut(ctx context.Context, request string, answer adminapi.Answer) (adminapi.Reply, error) {
	_, err := w.tx.ExecContext(ctx, `
UPDATE addresses SET verified = 0, why = ?5, key = ?6
WHERE rev >= ?1 AND rev < ?2 AND verified AND `+older, append(w.args(), string(w.in.Reason), w.in.Key)...)
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("mark addresses: %w", err)
	}
	w.changed = answer.Changed
	if err := touch(ctx, w.tx, w.now, `key = ?`, w.in.Key); err != nil {
		return adminapi.Reply{}, err
	}
	if err := w.tell(ctx); err != nil {
		return adminapi.Reply{}, err
	}
	body, err := stdjson.Marshal(answer)
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("encode the answer: %w", err)
	}
	ready, out := w.now, adminapi.OK(answer)
	if w.s.cfg.SlowOver > 0 && answer.Changed > w.s.cfg.SlowOver {
		ready = w.now.Add(w.s.cfg.SlowFor)
		out = adminapi.Reply{Status: http.StatusAccepted, After: w.s.cfg.SlowFor}
	}
	_, err = w.tx.ExecContext(ctx, `INSERT INTO journal (key, request, answer, at, ready_at) VALUES (?, ?, ?, ?, ?)`,
		w.in.Key, request, string(body), w.now.UnixMicro(), ready.UnixMicro())
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("write the key down: %w", err)
	}
	return out, nil
}

// tell mails each account concerned at another verified address, or leaves a notice for its next sign-in. An
// address at the domain, even one verified later, is never told: its mail may be somebody else's.
func (w *work) tell(ctx context.Context) error {
	from, to := span(w.in.Domain)
	other := `(SELECT b.address FROM addresses b WHERE b.account = a.account AND b.verified
	AND NOT (b.rev >= ?1 AND b.rev < ?2) AND NOT EXISTS (SELECT 1 FROM closings c WHERE c.address = b.id AND c.ended_at IS NULL)
	ORDER BY b.id LIMIT 1)`
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
func (w *work) log(ctx context.Context, op string, out adminapi.Reply) error {
	_, err := w.tx.ExecContext(ctx, `
INSERT INTO calls (at, op, domain, key, run, dry_run, status, problem, repeated, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.now.UnixMicro(), op, w.in.Domain, w.in.Key, w.in.Run, w.in.DryRun, out.Status, out.ProblemType(), w.repeated, w.changed)
	if err != nil {
		return fmt.Errorf("log the call: %w", err)
	}
	return nil
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
