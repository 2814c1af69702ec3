-- Adds entries to the log, and deletes all but the newest `kept` of each class. Finds them by the
-- index, class by class: a join could read the whole log for each entry.
CREATE OR REPLACE FUNCTION log_registrations(
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
    DELETE FROM registrations WHERE id = ANY (ARRAY(
        SELECT beyond.id FROM last CROSS JOIN LATERAL (
            SELECT r.id FROM registrations r
            WHERE r.class = last.class AND r.number <= last.number
            -- Keeps the planner from making a join of it.
            OFFSET 0
            FOR UPDATE SKIP LOCKED
        ) AS beyond
    ));
END
$$;
