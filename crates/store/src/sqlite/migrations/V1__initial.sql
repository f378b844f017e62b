-- Times are microseconds since 1970. Ids of sessions and events are the 16 bytes of a UUIDv7.

-- One row of settings and clocks of the whole installation.
CREATE TABLE installation (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    token_life_us  INTEGER NOT NULL,   -- the longest life of an access token that may be alive
    lowered_us     INTEGER,            -- since when a shorter one is wished
    last_turn_us   INTEGER NOT NULL,
    keys_version   INTEGER NOT NULL    -- its row lock orders changes of signing keys
);

CREATE TABLE sequences (
    name   TEXT PRIMARY KEY,
    value  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE log_head (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    incarnation  BLOB NOT NULL,
    revision     INTEGER NOT NULL,
    chain        BLOB NOT NULL
);

CREATE TABLE log_batches (
    revision      INTEGER PRIMARY KEY,
    delta         BLOB,                -- null once trimmed
    audit_digest  BLOB NOT NULL,
    chain         BLOB NOT NULL,
    stamped_us    INTEGER NOT NULL
);

-- The audit trail: one row for each thing that an entry of the log touched.
CREATE TABLE audit_events (
    event_id      BLOB NOT NULL,
    ordinal       INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    at_us         INTEGER NOT NULL,
    tenant_id     TEXT NOT NULL,       -- empty: the whole installation
    action        TEXT NOT NULL,
    target        TEXT NOT NULL,       -- the user, session or key it was done to
    cause         INTEGER,
    actor         TEXT NOT NULL,
    via           TEXT NOT NULL,
    actor_ip      TEXT NOT NULL,
    reason        TEXT NOT NULL,
    user_message  TEXT NOT NULL,
    changed       INTEGER NOT NULL,    -- of the whole entry
    PRIMARY KEY (event_id, ordinal)
) WITHOUT ROWID;

CREATE TABLE cutoffs (
    scope          INTEGER NOT NULL,   -- 1 user, 2 tenant, 3 everyone
    scope_serial   INTEGER NOT NULL,
    revision       INTEGER NOT NULL,
    exempt_serial  INTEGER NOT NULL,   -- 0: none
    event_id       BLOB NOT NULL,
    PRIMARY KEY (scope, scope_serial, revision, exempt_serial)
) WITHOUT ROWID;

CREATE TABLE tenants (
    tenant_id      TEXT PRIMARY KEY,
    tenant_serial  INTEGER NOT NULL UNIQUE
) WITHOUT ROWID;

CREATE TABLE users (
    tenant_id      TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    user_serial    INTEGER NOT NULL UNIQUE,
    tenant_serial  INTEGER NOT NULL,
    user_name      TEXT NOT NULL,
    given_name     TEXT NOT NULL,
    family_name    TEXT NOT NULL,
    email          TEXT NOT NULL,
    created_us     INTEGER NOT NULL,
    disabled_us    INTEGER,
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;

CREATE TABLE sessions (
    tenant_id        TEXT NOT NULL,
    session_id       BLOB NOT NULL,
    serial           INTEGER NOT NULL,
    user_id          TEXT NOT NULL,
    user_serial      INTEGER NOT NULL,
    tenant_serial    INTEGER NOT NULL,
    opened_revision  INTEGER NOT NULL,
    created_us       INTEGER NOT NULL,
    expires_us       INTEGER NOT NULL,
    remember_me      INTEGER NOT NULL,
    auth_time_us     INTEGER NOT NULL,
    amr              TEXT NOT NULL,    -- JSON array
    acr              TEXT NOT NULL,
    audiences        TEXT NOT NULL,    -- JSON array
    ip               TEXT NOT NULL,
    user_agent       TEXT NOT NULL,
    device_id        TEXT NOT NULL,
    app_name         TEXT NOT NULL,
    salt             BLOB NOT NULL,
    request_id       TEXT,
    request_digest   BLOB,
    generation       INTEGER NOT NULL,
    rotated_us       INTEGER,
    end_event        BLOB,             -- the audit event that ended this very session
    PRIMARY KEY (tenant_id, session_id)
) WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id, session_id);
CREATE UNIQUE INDEX sessions_by_request ON sessions (tenant_id, request_id) WHERE request_id IS NOT NULL;

CREATE TABLE signing_keys (
    key_id         TEXT PRIMARY KEY,
    algorithm      INTEGER NOT NULL,   -- 1 Ed25519
    public_key     BLOB NOT NULL,
    sealed         BLOB NOT NULL,
    created_us     INTEGER NOT NULL,
    signs_from_us  INTEGER NOT NULL,
    retired_us     INTEGER
) WITHOUT ROWID;

CREATE TABLE secrets (
    name    TEXT PRIMARY KEY,
    sealed  BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE checkpoints (
    revision  INTEGER PRIMARY KEY,
    view      BLOB NOT NULL,
    code      BLOB NOT NULL
);

CREATE TABLE authority_beat (
    authority_id  BLOB PRIMARY KEY,
    beat          INTEGER NOT NULL,
    beat_us       INTEGER NOT NULL
) WITHOUT ROWID;

-- A serial is taken by the insert that uses it.
INSERT INTO sequences VALUES ('credential', 0), ('user', 0), ('tenant', 0);

CREATE TRIGGER session_serial AFTER INSERT ON sessions
BEGIN UPDATE sequences SET value = new.serial WHERE name = 'credential' AND value < new.serial; END;
CREATE TRIGGER user_serial AFTER INSERT ON users
BEGIN UPDATE sequences SET value = new.user_serial WHERE name = 'user' AND value < new.user_serial; END;
CREATE TRIGGER tenant_serial AFTER INSERT ON tenants
BEGIN UPDATE sequences SET value = new.tenant_serial WHERE name = 'tenant' AND value < new.tenant_serial; END;
