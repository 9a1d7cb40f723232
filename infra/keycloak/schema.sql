-- What Keycloak does not keep. Times are microseconds since 1970 (UTC); NULL is unknown. No address is in here:
-- an address is its hash with this file's salt.
CREATE TABLE IF NOT EXISTS meta (k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;
-- Keys. state: working, done, restoring, restored. A closing of recovery is a line too, under a key that no caller can
-- give; restored is then: opened again.
CREATE TABLE IF NOT EXISTS journal (
  key      TEXT PRIMARY KEY,
  domain   TEXT NOT NULL,
  request  TEXT NOT NULL,              -- domain and body, canonical
  before   INTEGER NOT NULL,           -- verified_before; of a closing since
  closing  INTEGER NOT NULL DEFAULT 0,
  until    INTEGER NOT NULL DEFAULT 0, -- of a closing continuous_until, else not used
  exposed  INTEGER NOT NULL DEFAULT 0, -- exposed_since; 0: none
  words    TEXT NOT NULL DEFAULT '',   -- what the holders read
  already  INTEGER NOT NULL,           -- counted when the work was planned
  kept     INTEGER NOT NULL,
  state    TEXT NOT NULL,
  answer   TEXT NOT NULL DEFAULT '',
  restored TEXT NOT NULL DEFAULT '',
  at       INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS journal_open ON journal (state) WHERE state IN ('working', 'restoring');
-- What a key does to each account. state: planned, then
--   marked     in quarantine, and what else the key asks, seen in Keycloak
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
  added   INTEGER NOT NULL DEFAULT 0,  -- the required action was ours: the holder is offered to verify again
  report  INTEGER NOT NULL DEFAULT 0,  -- a person should look: 1 reset by mail, or linked, in the gap; 2 after the mark
  closed  INTEGER NOT NULL DEFAULT 0,  -- it was seen in the group; 0 while there was no group to put it into
  forms   INTEGER NOT NULL DEFAULT 0,  -- forms that were open when it came into the group have not been seen to
  at      INTEGER NOT NULL,
  state   TEXT NOT NULL
);
DROP INDEX IF EXISTS marks_active;
CREATE UNIQUE INDEX IF NOT EXISTS marks_active2 ON marks (account, key) WHERE state IN ('planned', 'marked', 'refused');
CREATE INDEX IF NOT EXISTS marks_account ON marks (account);
CREATE INDEX IF NOT EXISTS marks_key ON marks (key);
-- When an account's address was last verified, from events: kept longer than Keycloak keeps them.
CREATE TABLE IF NOT EXISTS verified (
  account TEXT NOT NULL,
  hash    TEXT NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (account, hash)
) WITHOUT ROWID;
-- What was last asked of a domain's recovery.
CREATE TABLE IF NOT EXISTS recovery (
  domain  TEXT PRIMARY KEY,
  desired TEXT NOT NULL,               -- closed or open
  as_of   INTEGER NOT NULL,
  since   INTEGER NOT NULL DEFAULT 0,  -- of the newest gap closed
  key     TEXT NOT NULL DEFAULT ''     -- the journal's, of that gap
) WITHOUT ROWID;
-- Sessions in which a reset was mailed, or a credential set. own: somebody had signed in to it before, so that no mail
-- opened it. A mail's link opens a session of its own, if it is followed in another browser.
CREATE TABLE IF NOT EXISTS resets (
  session TEXT PRIMARY KEY, account TEXT NOT NULL, sent INTEGER, done INTEGER, own INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS resets_account ON resets (account);
-- The list, as of the last whole count; hosts that left have 0 addresses.
CREATE TABLE IF NOT EXISTS hosts (
  host       TEXT PRIMARY KEY,
  addresses  INTEGER NOT NULL,
  known      INTEGER NOT NULL,         -- of them, verified at a known time
  oldest     INTEGER,
  newest     INTEGER,
  changed_at INTEGER NOT NULL,
  closed     INTEGER NOT NULL DEFAULT 0, -- addresses, unverified ones too
  since      INTEGER,
  until      INTEGER,
  reported   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
-- Hosts as the realm spells them beyond ASCII, and the host that mail to them goes to. Found by any count so far.
CREATE TABLE IF NOT EXISTS spellings (spelling TEXT PRIMARY KEY, host TEXT NOT NULL) WITHOUT ROWID;
-- The count that is under way.
CREATE TABLE IF NOT EXISTS counting (
  host TEXT PRIMARY KEY, addresses INTEGER NOT NULL, known INTEGER NOT NULL, oldest INTEGER, newest INTEGER,
  closed INTEGER NOT NULL DEFAULT 0, since INTEGER, until INTEGER, reported INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (account TEXT PRIMARY KEY) WITHOUT ROWID;
