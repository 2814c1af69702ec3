-- The nonces of device-session-requests.
CREATE TABLE session_nonces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    nonce text COLLATE "C" NOT NULL UNIQUE,
    issued bigint NOT NULL,
    expires bigint NOT NULL,
    -- The attempt that used it: one that is repeated after a lost connection finds its own use.
    used_by bigint
) WITH (fillfactor = 70);

-- Authenticates the sessions of devices, in base64url.
CREATE TABLE session_key (
    id bigint PRIMARY KEY CHECK (id = 1),
    key text NOT NULL
);
