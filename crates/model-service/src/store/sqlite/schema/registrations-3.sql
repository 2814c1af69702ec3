-- A nonce is valid in a window around its issue, by two clocks: that of the system, in seconds since
-- the epoch, and the uptime of one boot, which nobody can set. Older nonces are not valid.
ALTER TABLE nonces ADD COLUMN issued INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nonces ADD COLUMN boot TEXT NOT NULL DEFAULT '';
ALTER TABLE nonces ADD COLUMN uptime INTEGER NOT NULL DEFAULT 0;

-- Entries are numbered within their class, so that those of one class do not push out the others:
-- 0 issued, 1 repeated, 2 refused.
ALTER TABLE registrations ADD COLUMN class INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registrations ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE registrations SET class = CASE outcome WHEN 'issued' THEN 0 WHEN 'repeated' THEN 1 ELSE 2 END;
UPDATE registrations SET number = ranks.rank FROM (
    SELECT id, row_number() OVER (PARTITION BY class ORDER BY id) AS rank FROM registrations
) AS ranks WHERE ranks.id = registrations.id;
CREATE UNIQUE INDEX registrations_by_class ON registrations (class, number);

-- Hardware identities that get no serials, by the digest of the key's DER bytes.
CREATE TABLE blocked_identities (
    key_digest TEXT PRIMARY KEY,
    time INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The last line of the ledger that this database has.
CREATE TABLE ledger_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
INSERT INTO ledger_head VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- Written to find out whether the database can be written.
CREATE TABLE readiness (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    time INTEGER NOT NULL
) STRICT;
