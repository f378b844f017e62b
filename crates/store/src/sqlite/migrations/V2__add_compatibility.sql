-- What may run on this database. One row.
CREATE TABLE compatibility (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    schema_from  INTEGER NOT NULL,  -- the least schema that a version must know. A contraction raises it
    log_version  INTEGER NOT NULL   -- entries of kinds up to this version may be written. An operator raises it
);
INSERT INTO compatibility (id, schema_from, log_version) VALUES (1, 1, 1);

-- The versions of the log that an authority understands, and all gates at it. An authority of schema 1 does not write them.
ALTER TABLE authority_shares ADD COLUMN log_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE authority_shares ADD COLUMN gates_log_version INTEGER NOT NULL DEFAULT 1;
