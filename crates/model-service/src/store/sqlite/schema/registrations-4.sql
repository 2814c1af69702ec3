-- The serials and the devices first: both are searched for without a model.
CREATE TABLE new_serials (
    brand TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    device TEXT NOT NULL,
    PRIMARY KEY (serial, brand, model),
    UNIQUE (device, brand, model)
) STRICT, WITHOUT ROWID;
INSERT INTO new_serials SELECT brand, model, serial, device FROM serials ORDER BY serial, brand, model;
DROP TABLE serials;
ALTER TABLE new_serials RENAME TO serials;

CREATE TABLE new_issued (
    id INTEGER PRIMARY KEY,
    brand TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    revision INTEGER NOT NULL,
    device_key TEXT NOT NULL,
    sign_key TEXT NOT NULL,
    text TEXT NOT NULL,
    time INTEGER NOT NULL,
    UNIQUE (serial, brand, model, revision)
) STRICT;
-- The time is in the header `timestamp` of the assertion.
INSERT INTO new_issued
    SELECT id, brand, model, serial, revision, device_key, sign_key, text,
        CASE instr(text, char(10) || 'timestamp: ') WHEN 0 THEN 0 ELSE
            coalesce(unixepoch(substr(text, instr(text, char(10) || 'timestamp: ') + 12, 20)), 0) END
    FROM issued ORDER BY id;
DROP TABLE issued;
ALTER TABLE new_issued RENAME TO issued;
-- Counts what is issued each day. Times increase, so that a new row only appends to it.
CREATE INDEX issued_by_time ON issued (time);

-- What administrators changed from this version on; the ledger has what they changed before.
CREATE TABLE changes (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    -- As in the ledger: identity-blocked, identity-unblocked or serial-released.
    kind TEXT NOT NULL,
    device TEXT NOT NULL,
    -- Of a serial that was released, otherwise empty.
    brand TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL
) STRICT;
CREATE INDEX changes_by_device ON changes (device);
CREATE INDEX changes_by_serial ON changes (serial, brand, model);
