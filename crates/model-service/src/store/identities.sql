-- Times are seconds since 1970-01-01T00:00:00Z.

CREATE TABLE identities (
    id INTEGER PRIMARY KEY,
    issuer TEXT NOT NULL,
    -- The header hardware-id-key-sha3-384, in whichever form it has.
    digest TEXT NOT NULL,
    -- The digest of the key's DER bytes, the same whatever form the header has.
    key_digest TEXT NOT NULL,
    revision INTEGER NOT NULL,
    hardware_id TEXT NOT NULL,
    hardware_name TEXT NOT NULL,
    manufacturer TEXT NOT NULL,
    imported INTEGER NOT NULL,
    UNIQUE (digest, issuer)
) STRICT;

-- The assertion of each identity, apart from the columns that the page searches, which are then a tenth of the bytes to go through.
CREATE TABLE identity_texts (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
