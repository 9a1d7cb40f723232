-- Times are microseconds since 1970 (UTC); NULL is unknown.
CREATE TABLE IF NOT EXISTS accounts (
  id     INTEGER PRIMARY KEY,
  name   TEXT NOT NULL,
  resets INTEGER NOT NULL DEFAULT 0      -- passwords set by a reset link
);
CREATE TABLE IF NOT EXISTS addresses (
  id          INTEGER PRIMARY KEY,
  account     INTEGER NOT NULL REFERENCES accounts (id),
  address     TEXT NOT NULL UNIQUE,
  host        TEXT NOT NULL,             -- as stored
  rev         TEXT NOT NULL,             -- canonical, labels reversed, a dot after each
  verified    INTEGER NOT NULL,
  verified_at INTEGER,
  why         TEXT NOT NULL DEFAULT '',  -- reason of the unverify
  key         TEXT NOT NULL DEFAULT ''   -- and its key
);
CREATE INDEX IF NOT EXISTS addresses_listed ON addresses (host, verified_at) WHERE verified;
CREATE INDEX IF NOT EXISTS addresses_rev ON addresses (rev, verified, verified_at);
CREATE INDEX IF NOT EXISTS addresses_key ON addresses (key) WHERE key <> '';
CREATE INDEX IF NOT EXISTS addresses_account ON addresses (account);
-- When a host's count or times last changed, hosts that left included.
CREATE TABLE IF NOT EXISTS hosts (
  host       TEXT PRIMARY KEY,
  changed_at INTEGER NOT NULL
) WITHOUT ROWID;
-- Keys, written in the same transaction as the work.
CREATE TABLE IF NOT EXISTS journal (
  key      TEXT PRIMARY KEY,
  request  TEXT NOT NULL,                -- domain and body, canonical
  answer   TEXT NOT NULL,
  at       INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,             -- slow work is answered with 202 before
  restored TEXT NOT NULL DEFAULT ''      -- answer of the restore
);
-- The registry's own log of calls that were understood; it only grows.
CREATE TABLE IF NOT EXISTS calls (
  id       INTEGER PRIMARY KEY,
  at       INTEGER NOT NULL,
  op       TEXT NOT NULL,
  domain   TEXT NOT NULL,
  key      TEXT NOT NULL,
  run      TEXT NOT NULL,
  dry_run  INTEGER NOT NULL,
  status   INTEGER NOT NULL,
  problem  TEXT NOT NULL,
  repeated INTEGER NOT NULL,
  changed  INTEGER NOT NULL
);
-- What was mailed: the sink.
CREATE TABLE IF NOT EXISTS mails (
  id      INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  account INTEGER NOT NULL,
  address TEXT NOT NULL,
  kind    TEXT NOT NULL,                 -- reset, notice
  token   TEXT NOT NULL DEFAULT '',
  used    INTEGER NOT NULL DEFAULT 0,
  text    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS mails_token ON mails (token) WHERE token <> '';
-- What an account sees at its next sign-in, where no other verified address could be told.
CREATE TABLE IF NOT EXISTS notices (
  id      INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  account INTEGER NOT NULL,
  key     TEXT NOT NULL,
  code    TEXT NOT NULL,
  text    TEXT NOT NULL
);
-- The state of recovery that was last accepted for a domain.
CREATE TABLE IF NOT EXISTS recovery (
  domain   TEXT PRIMARY KEY,
  desired  TEXT NOT NULL,                -- closed, open
  as_of    INTEGER NOT NULL,
  since    INTEGER,                      -- of the newest closing
  ready_at INTEGER NOT NULL              -- slow work is answered with 202 before
) WITHOUT ROWID;
-- Addresses bound by a closing. Through an address with one that has not ended, no mail recovers the account.
CREATE TABLE IF NOT EXISTS closings (
  id               INTEGER PRIMARY KEY,
  address          INTEGER NOT NULL REFERENCES addresses (id),
  domain           TEXT NOT NULL,        -- that bound it
  since            INTEGER NOT NULL,
  continuous_until INTEGER NOT NULL,
  at               INTEGER NOT NULL,
  ended_at         INTEGER,
  how              TEXT NOT NULL DEFAULT '', -- open, holder, staff
  who              TEXT NOT NULL DEFAULT '', -- of the staff, with the reason
  gap              INTEGER               -- the domain's since when holder or staff let it out
);
CREATE INDEX IF NOT EXISTS closings_active ON closings (address) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS closings_domain ON closings (domain, address);
-- What an account signs in with, one of each kind.
CREATE TABLE IF NOT EXISTS credentials (
  account INTEGER NOT NULL REFERENCES accounts (id),
  kind    TEXT NOT NULL,                 -- password, key, second_factor
  set_at  INTEGER NOT NULL,
  via     INTEGER REFERENCES addresses (id), -- set by a mail to it, or in a session that a mail began
  PRIMARY KEY (account, kind)
) WITHOUT ROWID;
-- Sessions, with what they were begun with as it was then.
CREATE TABLE IF NOT EXISTS sessions (
  id      TEXT PRIMARY KEY,
  account INTEGER NOT NULL REFERENCES accounts (id),
  kind    TEXT NOT NULL,                 -- a credential's, or mail
  set_at  INTEGER NOT NULL,              -- of the credential; of a mail, when it began
  via     INTEGER REFERENCES addresses (id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_account ON sessions (account);
-- Accounts that the registry's staff should look at.
CREATE TABLE IF NOT EXISTS reports (
  id      INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  account INTEGER NOT NULL,
  address INTEGER NOT NULL REFERENCES addresses (id),
  why     TEXT NOT NULL,                 -- set_by_mail, no_way_in
  since   INTEGER NOT NULL,
  UNIQUE (account, address, why, since)
);
