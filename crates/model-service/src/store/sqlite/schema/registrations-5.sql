-- The nonces of device-session-requests.
CREATE TABLE session_nonces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    nonce TEXT NOT NULL UNIQUE,
    expires INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    issued INTEGER NOT NULL,
    boot TEXT NOT NULL,
    uptime INTEGER NOT NULL
) STRICT;

-- Authenticates the sessions of devices, in base64url.
CREATE TABLE session_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    key TEXT NOT NULL
) STRICT;
