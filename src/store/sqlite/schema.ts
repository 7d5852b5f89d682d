/** `PRAGMA application_id` of our files: "Ara1". */
export const APPLICATION_ID = 0x41726131

/** Bytes that count for an entry without its body, and for a log without entries. Includes their share of the indexes. */
export const ENTRY_BYTES = 300
export const LOG_BYTES = 200

/**
 * Each step migrates a file to the next version. Its index is the version before it. A released step never changes.
 *
 * `entries` is in the order of acceptance, so that age removes rows from the front. An entry that leaves its log loses its
 * body and its place in `entries_of_log`. That index answers queries without a body. The delivery state stays known until
 * the entry is as old as the retention. `entries_by_id` finds repeated appends and the recipients of a notification.
 *
 * `logs` counts the retained entries by priority, so that overflow searches only priorities with entries.
 *
 * `bodies` holds each body that several entries share, with the number of those entries. Any other body is in its entry.
 */
export const STEPS: readonly string[] = [
  `
  CREATE TABLE service (
    life INTEGER NOT NULL,
    epoch TEXT NOT NULL,
    device TEXT NOT NULL,
    inode TEXT NOT NULL,
    born TEXT NOT NULL,
    boot TEXT NOT NULL,
    sync TEXT NOT NULL,
    probe BLOB
  );
  CREATE TABLE lives (number INTEGER PRIMARY KEY, name TEXT NOT NULL);
  CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL UNIQUE,
    life INTEGER NOT NULL,
    epoch TEXT NOT NULL,
    bases TEXT NOT NULL,
    seq INTEGER NOT NULL,
    received INTEGER NOT NULL,
    removed_through INTEGER NOT NULL,
    appended_at INTEGER NOT NULL,
    low INTEGER NOT NULL,
    normal INTEGER NOT NULL,
    high INTEGER NOT NULL,
    critical INTEGER NOT NULL
  );
  CREATE TABLE entries (
    n INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    rank INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    expires_at INTEGER,
    ages_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    is_kept INTEGER NOT NULL DEFAULT 1,
    state INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    redelivered INTEGER NOT NULL DEFAULT 0,
    first_at INTEGER NOT NULL DEFAULT 0,
    is_acked INTEGER NOT NULL DEFAULT 0,
    event_type TEXT NOT NULL,
    trace TEXT,
    body TEXT
  );
  CREATE UNIQUE INDEX entries_by_id ON entries (id, log);
  CREATE INDEX entries_of_log ON entries (log, seq, rank, ages_at, expires_at, is_kept) WHERE is_kept = 1;
  CREATE INDEX entries_by_ttl ON entries (expires_at) WHERE is_kept = 1 AND expires_at IS NOT NULL;
  CREATE INDEX entries_settled ON entries (log, seq) WHERE is_kept = 1 AND is_acked = 1 AND rank < 3;
  CREATE TABLE keys (
    n INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    id TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    reserved_until INTEGER NOT NULL,
    answer TEXT
  );
  CREATE TABLE templates (
    n INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    json TEXT NOT NULL
  );
  CREATE UNIQUE INDEX templates_by_id ON templates (tenant, id);
  CREATE TABLE revocations (owner TEXT PRIMARY KEY, before REAL NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
  `,
  `
  ALTER TABLE service ADD COLUMN jumped INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE service ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE service ADD COLUMN ahead INTEGER;
  ALTER TABLE logs ADD COLUMN lost_through INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE logs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE entries ADD COLUMN jumped INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE entries ADD COLUMN shared INTEGER;
  CREATE TABLE bodies (
    n INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    text TEXT NOT NULL
  );
  DROP INDEX entries_settled;
  CREATE INDEX entries_settled ON entries (log, seq) WHERE is_kept = 1 AND is_acked = 1;
  CREATE INDEX revocations_by_end ON revocations (until);
  UPDATE entries SET state = 5
    WHERE is_kept = 1 AND state < 2 AND seq <= (SELECT received FROM logs WHERE logs.id = log);
  UPDATE logs SET
    lost_through = iif(removed_through > received, removed_through, 0),
    bytes = ${LOG_BYTES};
  UPDATE logs SET bytes = logs.bytes + held.bytes
    FROM (SELECT log, sum(${ENTRY_BYTES} + coalesce(octet_length(body), 0)) AS bytes FROM entries GROUP BY log) AS held
    WHERE held.log = logs.id;
  `,
]
