-- Sessions as people see them: devices, places, activity, policies, API keys.

ALTER TABLE sessions ADD COLUMN device TEXT NOT NULL DEFAULT '{}';  -- JSON: what people call the device
ALTER TABLE sessions ADD COLUMN device_type INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN device_sign_ins INTEGER NOT NULL DEFAULT 0;  -- of the user on this device, this one included
ALTER TABLE sessions ADD COLUMN place TEXT NOT NULL DEFAULT '{}';  -- JSON: where the address at sign-in was
ALTER TABLE sessions ADD COLUMN country TEXT NOT NULL DEFAULT '';  -- ISO 3166-1 alpha-2
ALTER TABLE sessions ADD COLUMN network BLOB;  -- the address at sign-in, 16 bytes
ALTER TABLE sessions ADD COLUMN replaces BLOB;  -- the session that this one replaced
ALTER TABLE sessions ADD COLUMN findings TEXT NOT NULL DEFAULT '[]';  -- JSON
-- What gates report, and nothing that an index has.
ALTER TABLE sessions ADD COLUMN active_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN actions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN active_ip TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN active_page TEXT NOT NULL DEFAULT '';
-- When to look again whether the session is idle or past its policy. Null: never.
ALTER TABLE sessions ADD COLUMN due_us INTEGER;

UPDATE sessions SET active_us = created_us, due_us = created_us;

CREATE INDEX sessions_by_network ON sessions (tenant_id, network, session_id) WHERE network IS NOT NULL;
CREATE INDEX sessions_by_country ON sessions (tenant_id, country, session_id) WHERE country <> '';
CREATE INDEX sessions_due ON sessions (due_us) WHERE due_us IS NOT NULL;

ALTER TABLE users ADD COLUMN name_key TEXT NOT NULL DEFAULT '';  -- the sign-in name, case folded
ALTER TABLE users ADD COLUMN person_key TEXT NOT NULL DEFAULT '';  -- family name, a line feed, given name, case folded
ALTER TABLE users ADD COLUMN email_key TEXT NOT NULL DEFAULT '';  -- the address, case folded
ALTER TABLE users ADD COLUMN signed_in_us INTEGER NOT NULL DEFAULT 0;  -- the newest sign-in
ALTER TABLE users ADD COLUMN signed_in_at TEXT NOT NULL DEFAULT '{}';  -- JSON: where that was

UPDATE users SET name_key = lower(user_name), person_key = lower(family_name || char(10) || given_name),
    email_key = lower(email), signed_in_us = created_us;

-- The first has all names: a search by any of them reads nothing else.
CREATE INDEX users_by_name ON users (tenant_id, name_key, user_id, person_key, email_key);
CREATE INDEX users_by_person ON users (tenant_id, person_key, user_id);
CREATE INDEX users_by_sign_in ON users (tenant_id, signed_in_us, user_id);

-- What a user's sign-ins have been seen with.
CREATE TABLE user_history (
    tenant_id  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    kind       INTEGER NOT NULL,      -- 1 device id, 2 device, 3 country, 4 city, 5 network
    value      TEXT NOT NULL,
    sign_ins   INTEGER NOT NULL,
    seen_us    INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, user_id, kind, value)
) WITHOUT ROWID;

CREATE TABLE policies (
    tenant_id       TEXT PRIMARY KEY,
    policy          TEXT NOT NULL,    -- JSON
    version         INTEGER NOT NULL,
    changed_us      INTEGER NOT NULL,
    sweep_from      BLOB,             -- the walk over existing sessions is after this id (empty: before all). Null: done
    keep_last_page  INTEGER GENERATED ALWAYS AS (policy->>'keep_last_page') STORED
) WITHOUT ROWID;

CREATE INDEX policies_to_sweep ON policies (tenant_id) WHERE sweep_from IS NOT NULL;

CREATE TABLE api_keys (
    tenant_id        TEXT NOT NULL,
    key_id           BLOB NOT NULL,
    serial           INTEGER NOT NULL,
    owner_id         TEXT NOT NULL,
    owner_serial     INTEGER NOT NULL,
    tenant_serial    INTEGER NOT NULL,
    opened_revision  INTEGER NOT NULL,
    name             TEXT NOT NULL,
    scopes           TEXT NOT NULL,   -- JSON array
    audiences        TEXT NOT NULL,   -- JSON array
    created_us       INTEGER NOT NULL,
    expires_us       INTEGER,
    active_us        INTEGER,
    end_event        BLOB,
    PRIMARY KEY (tenant_id, key_id)
) WITHOUT ROWID;

CREATE INDEX api_keys_by_owner ON api_keys (tenant_id, owner_id, key_id);

-- What cuts API keys off, which no sign-out does: disabling their owner, and a recovery.
CREATE TABLE api_key_cutoffs (
    scope         INTEGER NOT NULL,   -- 1 user, 2 tenant, 3 everyone
    scope_serial  INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    event_id      BLOB NOT NULL,
    PRIMARY KEY (scope, scope_serial, revision)
) WITHOUT ROWID;

-- Requests of the last day, by hour since 1970.
CREATE TABLE api_key_hours (
    tenant_id  TEXT NOT NULL,
    key_id     BLOB NOT NULL,
    hour       INTEGER NOT NULL,
    requests   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key_id, hour)
) WITHOUT ROWID;

ALTER TABLE signing_keys ADD COLUMN credential INTEGER NOT NULL DEFAULT 1;  -- what it signs: 1 sessions, 2 API keys

ALTER TABLE audit_events ADD COLUMN user_id TEXT NOT NULL DEFAULT '';  -- whom it concerns
ALTER TABLE audit_events ADD COLUMN details TEXT NOT NULL DEFAULT '';  -- JSON object; empty: none
ALTER TABLE audit_events ADD COLUMN digest BLOB;  -- of the batch's rows up to this one. Null: not kept then

CREATE INDEX audit_events_by_tenant ON audit_events (tenant_id, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_user ON audit_events (tenant_id, user_id, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_actor ON audit_events (tenant_id, actor, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_action ON audit_events (tenant_id, action, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_revision ON audit_events (revision, event_id, ordinal);

-- Audit rows stay as they are.
CREATE TRIGGER audit_events_unchanged BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit rows stay as they are'); END;
CREATE TRIGGER audit_events_undeleted BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit rows stay as they are'); END;

-- SHA-256 of the delta, which is there when the delta is trimmed away.
ALTER TABLE log_batches ADD COLUMN delta_digest BLOB;
UPDATE log_batches SET delta_digest = next_chain(x'', delta) WHERE delta IS NOT NULL;

-- Events of sign-ins and refreshes, until a batch of the log takes them.
CREATE TABLE audit_pending (
    event_id   BLOB PRIMARY KEY,
    at_us      INTEGER NOT NULL,
    tenant_id  TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    actor      TEXT NOT NULL,
    via        TEXT NOT NULL,
    actor_ip   TEXT NOT NULL,
    details    TEXT NOT NULL
) WITHOUT ROWID;

-- Time in which no authority was there to hear of activity is not idleness.
ALTER TABLE installation ADD COLUMN heard_us INTEGER NOT NULL DEFAULT 0;  -- when an authority was last there
ALTER TABLE installation ADD COLUMN resumed_us INTEGER NOT NULL DEFAULT 0;  -- when one came back after the last absence


CREATE TRIGGER api_key_serial AFTER INSERT ON api_keys
BEGIN UPDATE sequences SET value = new.serial WHERE name = 'credential' AND value < new.serial; END;
