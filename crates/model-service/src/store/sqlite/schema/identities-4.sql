-- The imports. The number of one is the lot of the identities that it brought.
CREATE TABLE imports (
    number INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    -- Who imported, as in the ledger.
    author TEXT NOT NULL,
    -- The name of the file or files; may be empty.
    name TEXT NOT NULL,
    added INTEGER NOT NULL,
    replaced INTEGER NOT NULL,
    present INTEGER NOT NULL,
    older INTEGER NOT NULL
) STRICT;

-- The import that brought the assertion that is stored now.
ALTER TABLE identities ADD COLUMN import INTEGER NOT NULL DEFAULT 0;

-- Identities that were imported at the same time came with one import.
INSERT INTO imports (time, author, name, added, replaced, present, older)
    SELECT imported, '', '', count(*), 0, 0, 0 FROM identities GROUP BY imported ORDER BY imported;
CREATE INDEX imports_by_time ON imports (time);
UPDATE identities SET import = (SELECT number FROM imports WHERE time = imported);

-- Lots are listed by it. Numbers increase, so that an import only appends to it.
CREATE INDEX identities_by_import ON identities (import);
-- Finds the identity of a device that has a serial or is blocked.
CREATE INDEX identities_by_key ON identities (key_digest);
