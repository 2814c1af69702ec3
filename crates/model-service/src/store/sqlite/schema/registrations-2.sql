-- Times are seconds since 1970-01-01T00:00:00Z.

-- Issued in the order of their ids, so that the oldest are deleted first.
CREATE TABLE nonces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    nonce TEXT NOT NULL UNIQUE,
    expires INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Which device a serial belongs to. `device` names a hardware identity's key or a device key.
CREATE TABLE serials (
    brand TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    device TEXT NOT NULL,
    PRIMARY KEY (brand, model, serial),
    UNIQUE (brand, model, device)
) STRICT, WITHOUT ROWID;

-- Every serial assertion that was signed.
CREATE TABLE issued (
    id INTEGER PRIMARY KEY,
    brand TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    revision INTEGER NOT NULL,
    device_key TEXT NOT NULL,
    sign_key TEXT NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (brand, model, serial, revision)
) STRICT;

-- Requests for a serial and their outcome, for people to read.
CREATE TABLE registrations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    address TEXT NOT NULL,
    brand TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    -- The key digest that the request names, or the id of the device key.
    device TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
