-- Times are seconds since 1970-01-01T00:00:00Z. Tables and columns have the names that they have in
-- SQLite.

-- Issued in the order of their ids, so that the oldest are deleted first.
CREATE TABLE nonces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    nonce text COLLATE "C" NOT NULL UNIQUE,
    issued bigint NOT NULL,
    expires bigint NOT NULL,
    -- The attempt that used it: one that is repeated after a lost connection finds its own use.
    used_by bigint
) WITH (fillfactor = 70);

-- The assertions stay in their rows without compression, which would cost more time than it saves.
CREATE TABLE identities (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer text COLLATE "C" NOT NULL,
    -- The header hardware-id-key-sha3-384, in the form that it has.
    digest text COLLATE "C" NOT NULL,
    -- The digest of the key's DER bytes, whatever form the header has.
    key_digest text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    hardware_id text COLLATE "C" NOT NULL,
    hardware_name text COLLATE "C" NOT NULL,
    manufacturer text COLLATE "C" NOT NULL,
    imported bigint NOT NULL,
    -- The import that brought the assertion that is stored now.
    import bigint NOT NULL,
    UNIQUE (digest, issuer)
);
-- Lots are listed by it.
CREATE INDEX identities_by_import ON identities (import);
-- Finds other keys under an imported hardware-id.
CREATE INDEX identities_by_hardware_id ON identities (hardware_id, issuer);
-- Finds the identity of a device that has a serial or is blocked, also by the other form of the digest.
CREATE INDEX identities_by_key ON identities (key_digest);

-- The imports. The number of one is the lot of the identities that it brought.
CREATE TABLE imports (
    number bigint PRIMARY KEY,
    time bigint NOT NULL,
    -- Who imported, as in the ledger.
    author text NOT NULL,
    -- The name of the file or files; may be empty.
    name text NOT NULL,
    added bigint NOT NULL,
    replaced bigint NOT NULL,
    present bigint NOT NULL,
    older bigint NOT NULL
);
CREATE INDEX imports_by_time ON imports (time);

CREATE TABLE identity_texts (
    id bigint PRIMARY KEY,
    text text NOT NULL
) WITH (toast_tuple_target = 8160);

-- Hardware identities that get no serials, by the digest of the key's DER bytes.
CREATE TABLE blocked_identities (
    key_digest text COLLATE "C" PRIMARY KEY,
    time bigint NOT NULL,
    reason text NOT NULL
);

-- Which device a serial belongs to. `device` names a hardware identity's key or a device key.
CREATE TABLE serials (
    brand text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    serial text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    -- The serials and the devices first: both are searched for without a model.
    PRIMARY KEY (serial, brand, model),
    UNIQUE (device, brand, model)
);

-- Every serial assertion that was signed.
CREATE TABLE issued (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    brand text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    serial text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    device_key text COLLATE "C" NOT NULL,
    sign_key text COLLATE "C" NOT NULL,
    text text NOT NULL,
    time bigint NOT NULL,
    UNIQUE (serial, brand, model, revision)
) WITH (toast_tuple_target = 8160);
-- Counts what is issued each day.
CREATE INDEX issued_by_time ON issued (time);

-- Requests for a serial and their outcome, for people to read. Entries are numbered within their
-- class, so that those of one class do not push out the others: 0 issued, 1 repeated, 2 refused.
CREATE TABLE registrations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time bigint NOT NULL,
    address text NOT NULL,
    brand text NOT NULL,
    model text NOT NULL,
    serial text NOT NULL,
    -- The key digest that the request names, or the id of the device key.
    device text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    class bigint NOT NULL,
    number bigint NOT NULL
);
CREATE UNIQUE INDEX registrations_by_class ON registrations (class, number);
CREATE SEQUENCE registrations_0;
CREATE SEQUENCE registrations_1;
CREATE SEQUENCE registrations_2;

-- Issued serials and the changes of administrators, in the transaction of the change.
CREATE TABLE ledger (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time timestamptz NOT NULL DEFAULT clock_timestamp(),
    event json NOT NULL
) WITH (toast_tuple_target = 8160);

-- What administrators changed; the ledger has it too.
CREATE TABLE changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time bigint NOT NULL,
    -- As in the ledger: identity-blocked, identity-unblocked or serial-released.
    kind text NOT NULL,
    device text COLLATE "C" NOT NULL,
    -- Of a serial that was released, otherwise empty.
    brand text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    serial text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    author text NOT NULL
);
CREATE INDEX changes_by_device ON changes (device);
CREATE INDEX changes_by_serial ON changes (serial, brand, model);

-- Written to find out whether the database can be written.
CREATE TABLE readiness (
    id bigint PRIMARY KEY CHECK (id = 1),
    time bigint NOT NULL
);

-- People who are logged in to the page.
CREATE TABLE sessions (
    -- The SHA-256 of the cookie: who reads the database cannot use it.
    cookie text COLLATE "C" PRIMARY KEY,
    csrf text NOT NULL,
    used timestamptz NOT NULL
);
CREATE INDEX sessions_by_use ON sessions (used);

-- The key for cookies of known browsers, the same in all replicas.
CREATE TABLE page_key (
    id bigint PRIMARY KEY CHECK (id = 1),
    key bytea NOT NULL
);

-- The attempts to log in that each source had left at a time.
CREATE TABLE login_attempts (
    source text COLLATE "C" PRIMARY KEY,
    attempts double precision NOT NULL,
    time timestamptz NOT NULL
);

CREATE FUNCTION epoch_seconds() RETURNS bigint LANGUAGE sql VOLATILE
    RETURN floor(extract(epoch FROM clock_timestamp()))::bigint;

-- Adds entries to the log, and deletes all but the newest `kept` of each class.
CREATE FUNCTION log_registrations(
    times bigint[], addresses text[], brands text[], models text[], log_serials text[], devices text[],
    outcomes text[], reasons text[], classes bigint[], kept bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH added AS (
        INSERT INTO registrations
            (time, address, brand, model, serial, device, outcome, reason, class, number)
        SELECT e.time, e.address, e.brand, e.model, e.serial, e.device, e.outcome, e.reason, e.class,
            CASE e.class
                WHEN 0 THEN nextval('registrations_0')
                WHEN 1 THEN nextval('registrations_1')
                ELSE nextval('registrations_2')
            END
        FROM unnest(times, addresses, brands, models, log_serials, devices, outcomes, reasons, classes)
            AS e (time, address, brand, model, serial, device, outcome, reason, class)
        RETURNING class, number
    ), last AS (
        SELECT added.class, max(added.number) - kept AS number FROM added GROUP BY added.class
    )
    -- An array is made once, whatever the planner thinks of the size of the table.
    DELETE FROM registrations WHERE id = ANY (ARRAY(
        SELECT r.id FROM registrations r JOIN last ON r.class = last.class AND r.number <= last.number
        FOR UPDATE OF r SKIP LOCKED
    ));
END
$$;

-- Records issued serials with their log entries and events: those that are neither blocked nor in
-- conflict with what others recorded. The caller sees to it that no two have the same serial or the
-- same device. Returns the outcome of each, by its place from 1.
CREATE FUNCTION record_issues(
    brands text[], models text[], issued_serials text[], devices text[], revisions bigint[],
    identity_digests text[], device_keys text[], sign_keys text[], texts text[], events text[],
    times bigint[], addresses text[], log_brands text[], log_models text[], log_serials text[],
    log_devices text[], kept bigint
) RETURNS TABLE (place bigint, outcome text) LANGUAGE plpgsql AS $$
DECLARE
    outcomes text[];
    recorded bigint[];
BEGIN
    -- Waits for a block that is being committed, so that the next statement sees it.
    LOCK TABLE blocked_identities IN ROW SHARE MODE;
    WITH wanted AS MATERIALIZED (
        SELECT * FROM unnest(brands, models, issued_serials, devices, revisions, identity_digests,
                device_keys, sign_keys, texts, events, times)
            WITH ORDINALITY AS w (brand, model, serial, device, revision, identity, device_key, sign_key,
                text, event, time, place)
    ), blocked AS MATERIALIZED (
        SELECT w.place FROM wanted w JOIN blocked_identities b ON b.key_digest = w.identity
    ), free AS MATERIALIZED (
        SELECT w.* FROM wanted w
        WHERE NOT EXISTS (SELECT FROM blocked b WHERE b.place = w.place)
        AND NOT EXISTS (
            SELECT FROM issued i
            WHERE (i.brand, i.model, i.serial, i.revision) = (w.brand, w.model, w.serial, w.revision)
        )
    ), held AS MATERIALIZED (
        SELECT f.place FROM free f JOIN serials s
            ON (s.brand, s.model, s.serial, s.device) = (f.brand, f.model, f.serial, f.device)
        FOR SHARE OF s
    ), assigned AS (
        INSERT INTO serials (brand, model, serial, device)
        SELECT f.brand, f.model, f.serial, f.device FROM free f
        WHERE NOT EXISTS (SELECT FROM held h WHERE h.place = f.place)
        ORDER BY f.brand, f.model, f.serial
        ON CONFLICT DO NOTHING
        RETURNING brand, model, serial
    ), granted AS MATERIALIZED (
        SELECT f.* FROM free f
        WHERE EXISTS (SELECT FROM held h WHERE h.place = f.place)
        OR EXISTS (
            SELECT FROM assigned a WHERE (a.brand, a.model, a.serial) = (f.brand, f.model, f.serial)
        )
    ), added AS (
        INSERT INTO issued (brand, model, serial, revision, device_key, sign_key, text, time)
        SELECT g.brand, g.model, g.serial, g.revision, g.device_key, g.sign_key, g.text, g.time
        FROM granted g
        ORDER BY g.brand, g.model, g.serial
        ON CONFLICT DO NOTHING
        RETURNING brand, model, serial
    ), done AS MATERIALIZED (
        SELECT g.* FROM granted g
        WHERE EXISTS (SELECT FROM added a WHERE (a.brand, a.model, a.serial) = (g.brand, g.model, g.serial))
    ), noted AS (
        INSERT INTO ledger (event) SELECT d.event::json FROM done d ORDER BY d.place
    )
    SELECT array_agg(
            CASE
                WHEN EXISTS (SELECT FROM done d WHERE d.place = w.place) THEN 'recorded'
                WHEN EXISTS (SELECT FROM blocked b WHERE b.place = w.place) THEN 'blocked'
                -- The serial was assigned, and a concurrent issue has the revision: keep nothing.
                WHEN EXISTS (SELECT FROM granted g WHERE g.place = w.place) THEN 'undo'
                ELSE 'conflict'
            END ORDER BY w.place)
        INTO outcomes FROM wanted w;
    IF 'undo' = ANY (outcomes) THEN
        RAISE EXCEPTION 'a concurrent issue has the revision' USING ERRCODE = 'serialization_failure';
    END IF;
    SELECT array_agg(o.place ORDER BY o.place) INTO recorded
        FROM unnest(outcomes) WITH ORDINALITY AS o (outcome, place) WHERE o.outcome = 'recorded';
    IF recorded IS NOT NULL THEN
        PERFORM log_registrations(
            array_agg(times[p]), array_agg(addresses[p]), array_agg(log_brands[p]),
            array_agg(log_models[p]), array_agg(log_serials[p]), array_agg(log_devices[p]),
            array_agg('issued'::text), array_agg(''::text), array_agg(0::bigint), kept
        ) FROM unnest(recorded) AS p;
    END IF;
    RETURN QUERY SELECT o.place, o.outcome FROM unnest(outcomes) WITH ORDINALITY AS o (outcome, place);
END
$$;
