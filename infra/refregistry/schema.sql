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
