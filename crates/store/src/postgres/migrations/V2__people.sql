-- Sessions as people see them: devices, places, activity, policies, API keys.

ALTER TABLE sessions
    ADD COLUMN device           TEXT NOT NULL DEFAULT '{}',   -- JSON: what people call the device
    ADD COLUMN device_type      BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN device_sign_ins  BIGINT NOT NULL DEFAULT 0,    -- of the user on this device, this one included
    ADD COLUMN place            TEXT NOT NULL DEFAULT '{}',   -- JSON: where the address at sign-in was
    ADD COLUMN country          TEXT NOT NULL DEFAULT '',     -- ISO 3166-1 alpha-2
    ADD COLUMN network          BYTEA,                        -- the address at sign-in, 16 bytes
    ADD COLUMN replaces         BYTEA,                        -- the session that this one replaced
    ADD COLUMN findings         TEXT NOT NULL DEFAULT '[]',   -- JSON
    -- What gates report, and nothing that an index has.
    ADD COLUMN active_us        BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN actions          BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN active_ip        TEXT NOT NULL DEFAULT '',
    ADD COLUMN active_page      TEXT NOT NULL DEFAULT '',
    -- When to look again whether the session is idle or past its policy. Null: never.
    ADD COLUMN due_us           BIGINT;

-- A report changes most of the sessions of a page at once, and no index as long as the page has room for both versions,
-- the first of which know no address yet.
ALTER TABLE sessions SET (fillfactor = 45);

UPDATE sessions SET active_us = created_us, due_us = created_us;

CREATE INDEX sessions_by_network ON sessions (tenant_id, network, session_id) WHERE network IS NOT NULL;
CREATE INDEX sessions_by_country ON sessions (tenant_id, country, session_id) WHERE country <> '';
CREATE INDEX sessions_due ON sessions (due_us) WHERE due_us IS NOT NULL;

ALTER TABLE users
    ADD COLUMN name_key      TEXT NOT NULL DEFAULT '',        -- the sign-in name, case folded
    ADD COLUMN person_key    TEXT NOT NULL DEFAULT '',        -- family name, a line feed, given name, case folded
    ADD COLUMN email_key     TEXT NOT NULL DEFAULT '',        -- the address, case folded
    ADD COLUMN signed_in_us  BIGINT NOT NULL DEFAULT 0,       -- the newest sign-in
    ADD COLUMN signed_in_at  TEXT NOT NULL DEFAULT '{}';      -- JSON: where that was

UPDATE users SET name_key = lower(user_name), person_key = lower(family_name || chr(10) || given_name),
    email_key = lower(email), signed_in_us = created_us;

-- The first has all names: a search by any of them reads nothing else.
CREATE INDEX users_by_name ON users (tenant_id, name_key, user_id, person_key, email_key);
CREATE INDEX users_by_person ON users (tenant_id, person_key, user_id);
CREATE INDEX users_by_sign_in ON users (tenant_id, signed_in_us, user_id);

-- What a user's sign-ins have been seen with.
CREATE TABLE user_history (
    tenant_id  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    kind       BIGINT NOT NULL,      -- 1 device id, 2 device, 3 country, 4 city, 5 network
    value      TEXT NOT NULL,
    sign_ins   BIGINT NOT NULL,
    seen_us    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, user_id, kind, value)
);

CREATE TABLE policies (
    tenant_id       TEXT PRIMARY KEY,
    policy          TEXT NOT NULL,    -- JSON
    version         BIGINT NOT NULL,
    changed_us      BIGINT NOT NULL,
    sweep_from      BYTEA,            -- the walk over existing sessions is after this id (empty: before all). Null: done
    keep_last_page  BOOLEAN GENERATED ALWAYS AS ((policy::jsonb->>'keep_last_page') = 'true') STORED
);

CREATE INDEX policies_to_sweep ON policies (tenant_id) WHERE sweep_from IS NOT NULL;

CREATE TABLE api_keys (
    tenant_id        TEXT NOT NULL,
    key_id           BYTEA NOT NULL,
    serial           BIGINT NOT NULL,
    owner_id         TEXT NOT NULL,
    owner_serial     BIGINT NOT NULL,
    tenant_serial    BIGINT NOT NULL,
    opened_revision  BIGINT NOT NULL,
    name             TEXT NOT NULL,
    scopes           TEXT NOT NULL,   -- JSON array
    audiences        TEXT NOT NULL,   -- JSON array
    created_us       BIGINT NOT NULL,
    expires_us       BIGINT,
    active_us        BIGINT,
    end_event        BYTEA,
    PRIMARY KEY (tenant_id, key_id)
);

CREATE INDEX api_keys_by_owner ON api_keys (tenant_id, owner_id, key_id);

-- What cuts API keys off, which no sign-out does: disabling their owner, and a recovery.
CREATE TABLE api_key_cutoffs (
    scope         BIGINT NOT NULL,   -- 1 user, 2 tenant, 3 everyone
    scope_serial  BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    event_id      BYTEA NOT NULL,
    PRIMARY KEY (scope, scope_serial, revision)
);

-- Requests of the last day, by hour since 1970.
CREATE TABLE api_key_hours (
    tenant_id  TEXT NOT NULL,
    key_id     BYTEA NOT NULL,
    hour       BIGINT NOT NULL,
    requests   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key_id, hour)
);

ALTER TABLE signing_keys
    ADD COLUMN credential  BIGINT NOT NULL DEFAULT 1;           -- what it signs: 1 sessions, 2 API keys

ALTER TABLE audit_events
    ADD COLUMN user_id  TEXT NOT NULL DEFAULT '',             -- whom it concerns
    ADD COLUMN details  TEXT NOT NULL DEFAULT '',             -- JSON object; empty: none
    ADD COLUMN digest   BYTEA;                                -- of the batch's rows up to this one. Null: not kept then

CREATE INDEX audit_events_by_tenant ON audit_events (tenant_id, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_user ON audit_events (tenant_id, user_id, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_actor ON audit_events (tenant_id, actor, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_action ON audit_events (tenant_id, action, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_revision ON audit_events (revision, event_id, ordinal);

-- Audit rows stay as they are. An owner may grant itself the rights again, and may drop the trigger: docs/audit.md says
-- how the service does without an owner's rights.
CREATE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'audit rows stay as they are' USING ERRCODE = 'insufficient_privilege'; END $$;
CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_stay();
REVOKE UPDATE, DELETE, TRUNCATE ON audit_events FROM CURRENT_USER;

-- SHA-256 of the delta, which is there when the delta is trimmed away.
ALTER TABLE log_batches ADD COLUMN delta_digest BYTEA;
UPDATE log_batches SET delta_digest = sha256(delta) WHERE delta IS NOT NULL;

-- Events of sign-ins and refreshes, until a batch of the log takes them.
CREATE TABLE audit_pending (
    event_id   BYTEA PRIMARY KEY,
    at_us      BIGINT NOT NULL,
    tenant_id  TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    actor      TEXT NOT NULL,
    via        TEXT NOT NULL,
    actor_ip   TEXT NOT NULL,
    details    TEXT NOT NULL
);

-- Time in which no authority was there to hear of activity is not idleness.
ALTER TABLE installation
    ADD COLUMN heard_us    BIGINT NOT NULL DEFAULT 0,         -- when an authority was last there
    ADD COLUMN resumed_us  BIGINT NOT NULL DEFAULT 0;         -- when one came back after the last absence

-- Last, after every other index of these tables: to the planner, a lookup by key costs the same by the key's own index
-- and by one that has the key's columns with another between them, until it has statistics; it then takes the newest.
ALTER TABLE sessions DROP CONSTRAINT sessions_pkey, ADD PRIMARY KEY (tenant_id, session_id);
ALTER TABLE users DROP CONSTRAINT users_pkey, ADD PRIMARY KEY (tenant_id, user_id);
ALTER TABLE api_keys DROP CONSTRAINT api_keys_pkey, ADD PRIMARY KEY (tenant_id, key_id);
