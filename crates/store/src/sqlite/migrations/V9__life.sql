-- The issuer that the first start kept: a start with another one is refused.
ALTER TABLE installation ADD COLUMN issuer TEXT;

-- Gates that report the use of sessions. Time of which one has not reported is not idleness.
CREATE TABLE gates (
    gate_id    BLOB PRIMARY KEY,      -- chosen at random by the gate's process
    reported   INTEGER NOT NULL,     -- 1: heard_us is of a report; 0: of when the gate came
    heard_us   INTEGER NOT NULL,     -- all use up to then was reported
    alive_us   INTEGER NOT NULL,     -- the last sign of life
    admits_us  INTEGER NOT NULL      -- how long it admits after it lost its authority
);
