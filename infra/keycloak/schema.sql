-- What Keycloak does not keep. Times are microseconds since 1970 (UTC); NULL is unknown. No address is in here:
-- an address is its hash with this file's salt.
CREATE TABLE IF NOT EXISTS meta (k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;
-- Keys. state: working, done, restoring, restored.
CREATE TABLE IF NOT EXISTS journal (
  key      TEXT PRIMARY KEY,
  domain   TEXT NOT NULL,
  request  TEXT NOT NULL,              -- domain and body, canonical
  before   INTEGER NOT NULL,           -- verified_before
  already  INTEGER NOT NULL,           -- counted when the work was planned
  kept     INTEGER NOT NULL,
  state    TEXT NOT NULL,
  answer   TEXT NOT NULL DEFAULT '',
  restored TEXT NOT NULL DEFAULT '',
  at       INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS journal_open ON journal (state) WHERE state IN ('working', 'restoring');
-- What a key does to each account. state: planned, then
--   marked     in quarantine and unverified, seen in Keycloak
--   missed     deleted, changed or unverified otherwise before it was reached; left alone
--   refused    Keycloak will not change it (an account of another directory): its recovery is open
-- and after marked: lifted (the holder proved another address, or the same one again), restored, kept (changed
-- since, so that a restore left it alone), gone (deleted).
CREATE TABLE IF NOT EXISTS marks (
  id      INTEGER PRIMARY KEY,
  key     TEXT NOT NULL REFERENCES journal (key),
  account TEXT NOT NULL,
  hash    TEXT NOT NULL,
  counts  INTEGER NOT NULL,            -- it was verified: it counts as changed, and a restore verifies it again
  added   INTEGER NOT NULL DEFAULT 0,  -- the required action was ours
  closed  INTEGER NOT NULL DEFAULT 0,  -- it was seen in the group; 0 while there was no group to put it into
  at      INTEGER NOT NULL,
  state   TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS marks_active ON marks (account) WHERE state IN ('planned', 'marked', 'refused');
CREATE INDEX IF NOT EXISTS marks_key ON marks (key);
-- When an account's address was last verified, from events: kept longer than Keycloak keeps them.
CREATE TABLE IF NOT EXISTS verified (
  account TEXT NOT NULL,
  hash    TEXT NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (account, hash)
) WITHOUT ROWID;
-- The list, as of the last whole count; hosts that left have 0 addresses.
CREATE TABLE IF NOT EXISTS hosts (
  host       TEXT PRIMARY KEY,
  addresses  INTEGER NOT NULL,
  known      INTEGER NOT NULL,         -- of them, verified at a known time
  oldest     INTEGER,
  newest     INTEGER,
  changed_at INTEGER NOT NULL
) WITHOUT ROWID;
-- Hosts as the realm spells them beyond ASCII, and the host that mail to them goes to. Found by any count so far.
CREATE TABLE IF NOT EXISTS spellings (spelling TEXT PRIMARY KEY, host TEXT NOT NULL) WITHOUT ROWID;
-- The count that is under way.
CREATE TABLE IF NOT EXISTS counting (
  host TEXT PRIMARY KEY, addresses INTEGER NOT NULL, known INTEGER NOT NULL, oldest INTEGER, newest INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (account TEXT PRIMARY KEY) WITHOUT ROWID;
