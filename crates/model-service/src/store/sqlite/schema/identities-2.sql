-- Times are seconds since 1970-01-01T00:00:00Z.

CREATE TABLE identities (
    id INTEGER PRIMARY KEY,
    issuer TEXT NOT NULL,
    -- The header hardware-id-key-sha3-384, in the form that it has.
    digest TEXT NOT NULL,
    -- The digest of the key's DER bytes, whatever form the header has.
    key_digest TEXT NOT NULL,
    revision INTEGER NOT NULL,
    hardware_id TEXT NOT NULL,
    hardware_name TEXT NOT NULL,
    manufacturer TEXT NOT NULL,
    imported INTEGER NOT NULL,
    UNIQUE (digest, issuer)
) STRICT;

-- The assertions are in a table of their own: a search of the page then reads a tenth of the bytes.
CREATE TABLE identity_texts (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
