package keycloak

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver
)

//go:embed schema.sql
var schema string

// States of a journal entry and of a mark; schema.sql says what they mean.
const (
	working   = "working"
	done      = "done"
	restoring = "restoring"
	restored  = "restored"

	planned = "planned"
	marked  = "marked"
	missed  = "missed"
	barred  = "refused"
	lifted  = "lifted"
	kept    = "kept"
	deleted = "gone"
)

// journal is the adapter's file. One connection serialises everything.
type journal struct {
	db   *sql.DB
	salt string
}

func openJournal(path string) (*journal, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(1)"}}
	u := url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}
	if path == ":memory:" {
		u.Opaque = path
	}
	if path != ":memory:" {
		if err := private(path); err != nil {
			return nil, fmt.Errorf("open the journal %s: %w", path, err)
		}
	}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", path, err)
	}
	db.SetMaxOpenConns(1) // and never closed when idle: a database in memory lives as long as its connection
	db.SetMaxIdleConns(1)
	j := &journal{db: db}
	if err := j.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the journal %s: %w", path, err), db.Close())
	}
	return j, nil
}

// private makes the file its owner's alone, before anything is in it: it tells which accounts are quarantined. SQLite
// gives its other files the same permissions.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// later are the columns that journals of before do not have.
var later = [][2]string{
	{"journal", "closing INTEGER NOT NULL DEFAULT 0"}, {"journal", "until INTEGER NOT NULL DEFAULT 0"}, {"journal", "exposed INTEGER NOT NULL DEFAULT 0"},
	{"journal", "words TEXT NOT NULL DEFAULT ''"},
	{"marks", "report INTEGER NOT NULL DEFAULT 0"}, {"marks", "forms INTEGER NOT NULL DEFAULT 0"},
	{"hosts", "closed INTEGER NOT NULL DEFAULT 0"}, {"hosts", "since INTEGER"}, {"hosts", "until INTEGER"}, {"hosts", "reported INTEGER NOT NULL DEFAULT 0"},
	{"counting", "closed INTEGER NOT NULL DEFAULT 0"}, {"counting", "since INTEGER"}, {"counting", "until INTEGER"}, {"counting", "reported INTEGER NOT NULL DEFAULT 0"},
}

// addColumns brings a journal of before to today's form.
func (j *journal) addColumns(ctx context.Context) error {
	for _, c := range later {
		name, _, _ := strings.Cut(c[1], " ")
		var tables, columns int
		row := j.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM pragma_table_info(?1)), (SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2)`, c[0], name)
		if err := row.Scan(&tables, &columns); err != nil {
			return fmt.Errorf("read the columns of %s: %w", c[0], err)
		}
		if tables == 0 || columns > 0 {
			continue
		}
		if _, err := j.db.ExecContext(ctx, `ALTER TABLE `+c[0]+` ADD COLUMN `+c[1]); err != nil {
			return fmt.Errorf("add %s to %s: %w", name, c[0], err)
		}
	}
	return nil
}

func (j *journal) prepare() error {
	ctx := context.Background() // opening takes no context
	if err := j.addColumns(ctx); err != nil {
		return err
	}
	if _, err := j.db.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("create the tables: %w", err)
	}
	if _, err := j.db.ExecContext(ctx, `INSERT INTO meta VALUES ('salt', ?) ON CONFLICT DO NOTHING`, rand.Text()); err != nil {
		return fmt.Errorf("make a salt: %w", err)
	}
	if err := j.db.QueryRowContext(ctx, `SELECT v FROM meta WHERE k = 'salt'`).Scan(&j.salt); err != nil {
		return fmt.Errorf("read the salt: %w", err)
	}
	return nil
}

// tx runs f in a transaction. What was begun is finished: a caller that hangs up does not undo it.
func (j *journal) tx(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	ctx = context.WithoutCancel(ctx)
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("journal: begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := f(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("journal: commit: %w", err)
	}
	return nil
}

func (j *journal) exec(ctx context.Context, what, query string, args ...any) error {
	return j.tx(ctx, func(ctx context.Context, tx *sql.Tx) error { return exec(ctx, tx, what, query, args...) })
}

func exec(ctx context.Context, tx *sql.Tx, what, query string, args ...any) error {
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("journal: %s: %w", what, err)
	}
	return nil
}

// hash stands for an address; Keycloak stores addresses in lower case, and so the hash does.
func (j *journal) hash(address string) string {
	sum := sha256.Sum256([]byte(j.salt + "\x00" + strings.ToLower(address)))
	return hex.EncodeToString(sum[:16])
}

// meta reads a time from meta; zero when it is not there.
func (j *journal) time(ctx context.Context, k string) (time.Time, error) {
	var text string
	err := j.db.QueryRowContext(ctx, `SELECT v FROM meta WHERE k = ?`, k).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("journal: read %s: %w", k, err)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("journal: read %s: %w", k, err)
	}
	return at, nil
}

func setTime(ctx context.Context, tx *sql.Tx, k string, at time.Time) error {
	return exec(ctx, tx, "note "+k, `INSERT INTO meta VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v`, k, at.UTC().Format(time.RFC3339Nano))
}

// entry is a key's line.
type entry struct {
	key, domain, request, state, answer, restored string
	closing                                       bool
	already, kept                                 int
}

func (j *journal) entry(ctx context.Context, key string) (entry, bool, error) {
	e := entry{key: key}
	err := j.db.QueryRowContext(ctx, `SELECT domain, request, closing, already, kept, state, answer, restored FROM journal WHERE key = ?`, key).
		Scan(&e.domain, &e.request, &e.closing, &e.already, &e.kept, &e.state, &e.answer, &e.restored)
	if errors.Is(err, sql.ErrNoRows) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("journal: read the key: %w", err)
	}
	return e, true, nil
}

// mark is a line of what a key does.
type mark struct {
	id            int64
	key           string
	account, hash string
	counts, added bool
	closed, forms bool
	report        int
	at            time.Time
	state         string
	// Of its key:
	domain  string
	words   string // what the holder reads
	closing bool
	before  time.Time
	until   time.Time // credentials set before it prove a holder
	exposed time.Time // zero: not known to have been
	keyAt   time.Time // when the key's work was asked for, of a closing that is opened the opening
}

const selectMarks = `SELECT m.id, m.key, m.account, m.hash, m.counts, m.added, m.closed, m.forms, m.report, m.at, m.state, j.domain, j.words, j.closing, j.before, j.until, j.exposed, j.at
FROM marks m JOIN journal j ON j.key = m.key `

func (j *journal) marks(ctx context.Context, where string, args ...any) ([]mark, error) {
	rows, err := j.db.QueryContext(ctx, selectMarks+where+` ORDER BY m.id`, args...)
	if err != nil {
		return nil, fmt.Errorf("journal: read marks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []mark
	for rows.Next() {
		var m mark
		var at, before, until, exposed, keyAt int64
		err := rows.Scan(&m.id, &m.key, &m.account, &m.hash, &m.counts, &m.added, &m.closed, &m.forms, &m.report, &at, &m.state, &m.domain, &m.words, &m.closing, &before, &until, &exposed, &keyAt)
		if err != nil {
			return nil, fmt.Errorf("journal: read a mark: %w", err)
		}
		m.at, m.before, m.until = time.UnixMicro(at).UTC(), time.UnixMicro(before).UTC(), time.UnixMicro(before).UTC()
		m.keyAt = time.UnixMicro(keyAt).UTC()
		if m.closing {
			m.until = time.UnixMicro(until).UTC()
		}
		if exposed != 0 {
			m.exposed = time.UnixMicro(exposed).UTC()
		}
		list = append(list, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("journal: read marks: %w", err)
	}
	return list, nil
}

// count is the number of a key's marks in a state, counting ones only.
func (j *journal) count(ctx context.Context, key, state string) (n int, err error) {
	if err := j.db.QueryRowContext(ctx, `SELECT count(*) FROM marks WHERE key = ? AND state = ? AND counts`, key, state).Scan(&n); err != nil {
		return 0, fmt.Errorf("journal: count marks: %w", err)
	}
	return n, nil
}

func (j *journal) setMark(ctx context.Context, id int64, state string) error {
	return j.exec(ctx, "note a mark", `UPDATE marks SET state = ? WHERE id = ?`, state, id)
}

// inForce are the marks that an account is under: the reasons for which it is in quarantine.
func (j *journal) inForce(ctx context.Context, account string) ([]mark, error) {
	return j.marks(ctx, `WHERE m.account = ? AND m.state = ?`, account, marked)
}
