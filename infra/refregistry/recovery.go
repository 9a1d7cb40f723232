package refregistry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// maxAhead is how far an as_of may lie ahead of this clock: accepted, it locks every later request out until then.
const maxAhead = time.Hour

// closed is true of an address a that is bound by a closing that has not ended.
const closed = `EXISTS (SELECT 1 FROM closings c WHERE c.address = a.id AND c.ended_at IS NULL)`

// lever is the backend of a registry that closes recovery too.
type lever struct{ backend }

// SetRecovery closes or opens recovery, in one transaction.
func (b lever) SetRecovery(ctx context.Context, in registry.RecoveryRequest) (out adminapi.Reply, err error) {
	err = b.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		c := closing{s: b.Server, tx: tx, now: b.cfg.Now().UTC(), in: in}
		var err error
		if out, err = c.run(ctx); err != nil {
			return fmt.Errorf("set recovery at %s: %w", in.Domain, err)
		}
		line := work{tx: tx, now: c.now, changed: c.changed, repeated: c.repeated,
			in: registry.Request{Domain: in.Domain, Run: in.Run, DryRun: in.DryRun}}
		return line.log(ctx, "recovery "+string(in.Desired), out)
	})
	return out, err
}

// closing is one recovery request within its transaction.
type closing struct {
	s        *Server
	tx       *sql.Tx
	now      time.Time
	in       registry.RecoveryRequest
	last     recoveryState
	repeated bool // the state stood already
	changed  int  // verified addresses bound or let go by this very call
}

// recoveryState is what was last accepted for a domain; desired is empty where nothing was.
type recoveryState struct {
	desired       registry.Recovery
	asOf, readyAt int64 // microseconds since 1970
	since         sql.NullInt64
}

func (c *closing) run(ctx context.Context) (adminapi.Reply, error) {
	if c.s.cfg.IsPublicSuffix(c.in.Domain) {
		return adminapi.Problem(http.StatusUnprocessableEntity, registry.TypePublicSuffix, "public suffix", "names of many owners lie below it"), nil
	}
	if c.in.AsOf.After(c.now.Add(maxAhead)) {
		return adminapi.Malformed("as_of is more than an hour ahead of this registry's clock: set yours, or every later request would be refused"), nil
	}
	row := c.tx.QueryRowContext(ctx, `SELECT desired, as_of, since, ready_at FROM recovery WHERE domain = ?`, c.in.Domain)
	if err := row.Scan(&c.last.desired, &c.last.asOf, &c.last.since, &c.last.readyAt); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return adminapi.Reply{}, fmt.Errorf("read the state: %w", err)
	}
	if c.last.desired != "" && c.in.AsOf.UnixMicro() < c.last.asOf {
		return adminapi.Outdated(time.UnixMicro(c.last.asOf)), nil
	}
	c.repeated = c.last.desired == c.in.Desired && !c.newGap()
	answer, err := c.count(ctx)
	switch {
	case err != nil:
		return adminapi.Reply{}, err
	case c.in.Desired == registry.RecoveryClosed && answer.Changed > c.in.MaxAddresses:
		return adminapi.Problem(http.StatusUnprocessableEntity, registry.TypeTooMany, "too many addresses",
			fmt.Sprintf("%d addresses would change, %d are allowed", answer.Changed, c.in.MaxAddresses)), nil
	case c.in.DryRun:
		return adminapi.OK(answer), nil
	}
	c.changed = answer.Changed
	return c.accept(ctx, answer)
}

// newGap: the request closes, and not for the gap that is closed already, nor for an earlier one.
func (c *closing) newGap() bool {
	return c.in.Desired == registry.RecoveryClosed && (c.last.desired != registry.RecoveryClosed || c.in.Since.UnixMicro() > c.last.since.Int64)
}

// affected is true of the addresses that the request binds, or lets go; ?1 and ?2 are the domain's span, ?3 the domain,
// ?4 since. Who was let out of this gap is not bound for it again.
func (c *closing) affected() string {
	switch {
	case c.newGap():
		return `(coalesce(a.verified_at < ?4, 1) AND NOT EXISTS (SELECT 1 FROM closings c WHERE c.domain = ?3 AND c.address = a.id
	AND (c.ended_at IS NULL OR c.how IN ('holder', 'staff') AND c.gap >= ?4)))`
	case c.in.Desired == registry.RecoveryOpen:
		return `EXISTS (SELECT 1 FROM closings c WHERE c.domain = ?3 AND c.address = a.id AND c.ended_at IS NULL)`
	default:
		return `0`
	}
}

func (c *closing) args() []any {
	from, to := span(c.in.Domain)
	return []any{from, to, c.in.Domain, c.in.Since.UnixMicro()}
}

func (c *closing) count(ctx context.Context) (adminapi.RecoveryAnswer, error) {
	a := adminapi.RecoveryAnswer{Answer: adminapi.Answer{Recovery: registry.RecoveryOpen}}
	after := closed + ` OR ` + c.affected()
	if c.in.Desired == registry.RecoveryClosed {
		a.Recovery = c.s.cfg.RecoveryMode
	} else { // what another domain bound stays closed
		after = `EXISTS (SELECT 1 FROM closings c WHERE c.address = a.id AND c.ended_at IS NULL AND c.domain <> ?3)`
	}
	//nolint:gosec // the conditions are constants of this package
	row := c.tx.QueryRowContext(ctx, `
SELECT count(*) FILTER (WHERE verified AND `+c.affected()+`), count(*) FILTER (WHERE NOT verified),
	count(*) FILTER (WHERE verified AND NOT (`+after+`)), count(*) FILTER (WHERE verified AND (`+after+`))
FROM addresses a WHERE rev >= ?1 AND rev < ?2 AND ?3 <> '' AND ?4 IS NOT NULL`, c.args()...)
	if err := row.Scan(&a.Changed, &a.Already, &a.Kept, &a.Closed); err != nil {
		return a, fmt.Errorf("count addresses: %w", err)
	}
	return a, nil
}

// accept writes the state down and carries it out.
func (c *closing) accept(ctx context.Context, answer adminapi.RecoveryAnswer) (adminapi.Reply, error) {
	since, ready := c.last.since, c.last.readyAt
	if c.newGap() {
		since = micro(c.in.Since)
	}
	if !c.repeated {
		ready = c.now.UnixMicro()
		if c.s.cfg.SlowOver > 0 && answer.Changed > c.s.cfg.SlowOver {
			ready = c.now.Add(c.s.cfg.SlowFor).UnixMicro()
		}
	}
	_, err := c.tx.ExecContext(ctx, `INSERT INTO recovery (domain, desired, as_of, since, ready_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (domain) DO UPDATE SET desired = excluded.desired, as_of = excluded.as_of, since = excluded.since, ready_at = excluded.ready_at`,
		c.in.Domain, c.in.Desired, c.in.AsOf.UnixMicro(), since, ready)
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("write the state down: %w", err)
	}
	switch {
	case c.newGap():
		err = c.bind(ctx)
	case c.in.Desired == registry.RecoveryOpen:
		err = c.open(ctx)
	}
	if err != nil {
		return adminapi.Reply{}, err
	}
	if wait := time.Duration(ready-c.now.UnixMicro()) * time.Microsecond; wait > 0 {
		return adminapi.Reply{Status: http.StatusAccepted, After: wait}, nil
	}
	return adminapi.OK(answer), nil
}

// bind closes: it binds the addresses, unverified ones too, lets what is out die, tells the holders, and reports the
// accounts that may have been taken.
func (c *closing) bind(ctx context.Context) error {
	var before int64
	if err := c.tx.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM closings`).Scan(&before); err != nil {
		return fmt.Errorf("bind addresses: %w", err)
	}
	//nolint:gosec // the condition is a constant of this package
	_, err := c.tx.ExecContext(ctx, `INSERT INTO closings (address, domain, since, continuous_until, at)
SELECT a.id, ?3, ?4, ?5, ?6 FROM addresses a WHERE rev >= ?1 AND rev < ?2 AND `+c.affected()+` ORDER BY a.id`,
		append(c.args(), c.in.ContinuousUntil.UnixMicro(), c.now.UnixMicro())...)
	if err != nil {
		return fmt.Errorf("bind addresses: %w", err)
	}
	const bound = `id IN (SELECT address FROM closings WHERE id > ?)`
	if err := touch(ctx, c.tx, c.now, bound, before); err != nil {
		return err
	}
	// Used up, not merely suspended: what was mailed into a gap must not come alive when recovery opens again.
	_, err = c.tx.ExecContext(ctx, `UPDATE mails SET used = 1
WHERE token <> '' AND kind <> 'second_factor' AND address IN (SELECT address FROM addresses WHERE `+bound+`)`, before)
	if err != nil {
		return fmt.Errorf("let the links that are out die: %w", err)
	}
	if err := c.tell(ctx, before); err != nil {
		return err
	}
	return c.report(ctx, before)
}

// open ends what this domain bound, and takes back what was said of it.
func (c *closing) open(ctx context.Context) error {
	const bound = `id IN (SELECT address FROM closings WHERE domain = ? AND ended_at IS NULL)`
	if err := touch(ctx, c.tx, c.now, bound, c.in.Domain); err != nil {
		return err
	}
	_, err := c.tx.ExecContext(ctx, `UPDATE closings SET ended_at = ?, how = 'open' WHERE domain = ? AND ended_at IS NULL`, c.now.UnixMicro(), c.in.Domain)
	if err == nil {
		_, err = c.tx.ExecContext(ctx, `DELETE FROM notices WHERE key = ?`, noticeKey(c.in.Domain))
	}
	if err != nil {
		return fmt.Errorf("open recovery: %w", err)
	}
	return nil
}

func noticeKey(domain string) string { return "recovery:" + domain }

// tell leaves a notice in the site for each account concerned, and mails it to another address where there is one: a
// verified one, not at the domain, and not closed itself.
func (c *closing) tell(ctx context.Context, before int64) error {
	_, err := c.tx.ExecContext(ctx, `INSERT INTO notices (at, account, key, code, text)
SELECT DISTINCT ?, a.account, ?, ?, ? FROM closings c JOIN addresses a ON a.id = c.address WHERE c.id > ?`,
		c.now.UnixMicro(), noticeKey(c.in.Domain), c.in.Advice.Code, adminapi.Words(c.in.Domain, c.in.Evidence, c.in.RenewableUntil, c.in.Advice), before)
	if err != nil {
		return fmt.Errorf("tell in the site: %w", err)
	}
	from, to := span(c.in.Domain)
	_, err = c.tx.ExecContext(ctx, `INSERT INTO mails (at, account, address, kind, text)
SELECT ?3, b.account, (SELECT a.address FROM addresses a WHERE a.account = b.account AND a.verified
	AND NOT (a.rev >= ?1 AND a.rev < ?2) AND NOT `+closed+` ORDER BY a.id LIMIT 1) AS other, 'notice', ?4
FROM (SELECT DISTINCT account FROM addresses WHERE id IN (SELECT address FROM closings WHERE id > ?5)) b WHERE other IS NOT NULL`,
		from, to, c.now.UnixMicro(), adminapi.Words(c.in.Domain, c.in.Evidence, c.in.RenewableUntil, c.in.Advice), before)
	if err != nil {
		return fmt.Errorf("tell by mail: %w", err)
	}
	return nil
}

// report lists for the staff the accounts that may have been taken, and where mail is the sign-in those that have no
// other way in.
func (c *closing) report(ctx context.Context, before int64) error {
	if err := reportSetByMail(ctx, c.tx, c.now, `c.id > ?`, before); err != nil {
		return err
	}
	if !c.s.cfg.MailIsSignIn {
		return nil
	}
	_, err := c.tx.ExecContext(ctx, `INSERT OR IGNORE INTO reports (at, account, address, why, since)
SELECT ?, a.account, a.id, ?, c.since FROM closings c JOIN addresses a ON a.id = c.address WHERE c.id > ?
AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.account = a.account AND s.set_at < c.continuous_until)
AND NOT EXISTS (SELECT 1 FROM credentials k WHERE k.account = a.account AND k.set_at < c.continuous_until)`,
		c.now.UnixMicro(), NoWayIn, before)
	if err != nil {
		return fmt.Errorf("list the accounts without a way in: %w", err)
	}
	return nil
}

// reportSetByMail reports accounts with a credential that was set by mail through an address bound by the closings c of
// where, at its continuous_until or later.
func reportSetByMail(ctx context.Context, tx *sql.Tx, now time.Time, where string, arg any) error {
	//nolint:gosec // where is one of this package's constants
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO reports (at, account, address, why, since)
SELECT ?, a.account, a.id, ?, c.since FROM closings c JOIN addresses a ON a.id = c.address
JOIN credentials k ON k.account = a.account AND k.via = a.id AND k.set_at >= c.continuous_until
WHERE c.ended_at IS NULL AND `+where, now.UnixMicro(), SetByMail, arg)
	if err != nil {
		return fmt.Errorf("report accounts: %w", err)
	}
	return nil
}
