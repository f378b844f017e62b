-- Times are microseconds since 1970. Ids of sessions and events are the 16 bytes of a UUIDv7.

-- One row of settings and clocks of the whole installation.
CREATE TABLE installation (
    id             BIGINT PRIMARY KEY CHECK (id = 1),
    token_life_us  BIGINT NOT NULL,   -- the longest life of an access token that may be alive
    lowered_us     BIGINT,            -- since when a shorter one is wished
    last_turn_us   BIGINT NOT NULL,
    keys_version   BIGINT NOT NULL    -- its row lock orders changes of signing keys
);

CREATE SEQUENCE credential_serial;
CREATE SEQUENCE user_serial;
CREATE SEQUENCE tenant_serial;

CREATE TABLE log_head (
    id           BIGINT PRIMARY KEY CHECK (id = 1),
    incarnation  BYTEA NOT NULL,
    revision     BIGINT NOT NULL,
    chain        BYTEA NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE log_batches (
    revision      BIGINT PRIMARY KEY,
    delta         BYTEA,                -- null once trimmed
    audit_digest  BYTEA NOT NULL,
    chain         BYTEA NOT NULL,
    stamped_us    BIGINT NOT NULL
);

-- The audit trail: one row for each thing that an entry of the log touched.
CREATE TABLE audit_events (
    event_id      BYTEA NOT NULL,
    ordinal       BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    at_us         BIGINT NOT NULL,
    tenant_id     TEXT NOT NULL,       -- empty: the whole installation
    action        TEXT NOT NULL,
    target        TEXT NOT NULL,       -- the user, session or key it was done to
    cause         BIGINT,
    actor         TEXT NOT NULL,
    via           TEXT NOT NULL,
    actor_ip      TEXT NOT NULL,
    reason        TEXT NOT NULL,
    user_message  TEXT NOT NULL,
    changed       BIGINT NOT NULL,    -- of the whole entry
    PRIMARY KEY (event_id, ordinal)
);

CREATE TABLE cutoffs (
    scope          BIGINT NOT NULL,   -- 1 user, 2 tenant, 3 everyone
    scope_serial   BIGINT NOT NULL,
    revision       BIGINT NOT NULL,
    exempt_serial  BIGINT NOT NULL,   -- 0: none
    event_id       BYTEA NOT NULL,
    PRIMARY KEY (scope, scope_serial, revision, exempt_serial)
);

CREATE TABLE tenants (
    tenant_id      TEXT PRIMARY KEY,
    tenant_serial  BIGINT NOT NULL UNIQUE
);

CREATE TABLE users (
    tenant_id      TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    user_serial    BIGINT NOT NULL UNIQUE,
    tenant_serial  BIGINT NOT NULL,
    user_name      TEXT NOT NULL,
    given_name     TEXT NOT NULL,
    family_name    TEXT NOT NULL,
    email          TEXT NOT NULL,
    created_us     BIGINT NOT NULL,
    disabled_us    BIGINT,
    PRIMARY KEY (tenant_id, user_id)
);

CREATE TABLE sessions (
    tenant_id        TEXT NOT NULL,
    session_id       BYTEA NOT NULL,
    serial           BIGINT NOT NULL,
    user_id          TEXT NOT NULL,
    user_serial      BIGINT NOT NULL,
    tenant_serial    BIGINT NOT NULL,
    opened_revision  BIGINT NOT NULL,
    created_us       BIGINT NOT NULL,
    expires_us       BIGINT NOT NULL,
    remember_me      BIGINT NOT NULL,
    auth_time_us     BIGINT NOT NULL,
    amr              TEXT NOT NULL,    -- JSON array
    acr              TEXT NOT NULL,
    audiences        TEXT NOT NULL,    -- JSON array
    ip               TEXT NOT NULL,
    user_agent       TEXT NOT NULL,
    device_id        TEXT NOT NULL,
    app_name         TEXT NOT NULL,
    salt             BYTEA NOT NULL,
    request_id       TEXT,
    request_digest   BYTEA,
    generation       BIGINT NOT NULL,
    rotated_us       BIGINT,
    end_event        BYTEA,             -- the audit event that ended this very session
    PRIMARY KEY (tenant_id, session_id)
) WITH (fillfactor = 85);

CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id, session_id);
CREATE UNIQUE INDEX sessions_by_request ON sessions (tenant_id, request_id) WHERE request_id IS NOT NULL;

CREATE TABLE signing_keys (
    key_id         TEXT PRIMARY KEY,
    algorithm      BIGINT NOT NULL,   -- 1 Ed25519
    public_key     BYTEA NOT NULL,
    sealed         BYTEA NOT NULL,
    created_us     BIGINT NOT NULL,
    signs_from_us  BIGINT NOT NULL,
    retired_us     BIGINT
);

CREATE TABLE secrets (
    name    TEXT PRIMARY KEY,
    sealed  BYTEA NOT NULL
);

CREATE TABLE checkpoints (
    revision  BIGINT PRIMARY KEY,
    view      BYTEA NOT NULL,
    code      BYTEA NOT NULL
);

CREATE TABLE authority_beat (
    authority_id  BYTEA PRIMARY KEY,
    beat          BIGINT NOT NULL,
    beat_us       BIGINT NOT NULL
);
