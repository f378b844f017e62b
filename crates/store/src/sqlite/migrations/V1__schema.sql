-- The schema of Portcullis on SQLite.
--
-- Times (`…_us`) are microseconds since 1970 by the clock of the database. Ids of sessions, API keys and events are the
-- 16 bytes of a UUIDv7. Serials are small dense numbers: tokens and the log carry them in place of ids. Columns of JSON
-- are text, because no statement looks into them.
--
-- A partial index whose condition holds for every row (`serial > 0`) is meant. An index that has the columns of the
-- primary key with another between them looks as good for a lookup by key as the primary key itself, but that lookup
-- reads every entry of the tenant. Only a statement that repeats the condition may use a partial index, so lookups by
-- key cannot end there.

-- The installation ---------------------------------------------------------------------------------------------------

-- One row: settings and clocks of the whole installation.
CREATE TABLE installation (
    id                     INTEGER PRIMARY KEY CHECK (id = 1),
    issuer                 TEXT,                        -- of the first start; a start with another one is refused
    token_life_us          INTEGER NOT NULL,            -- the longest life of an access token that may still be in use
    lowered_us             INTEGER,                     -- when a shorter life was first asked for. Null: it was not
    keys_version           INTEGER NOT NULL,            -- updated to lock the row: changes of signing keys and secrets take turns
    -- The time since the view of gates last forgot old revocations (a "turn"). Authorities count it with clocks that
    -- only move forward, because the clock of the database may jump.
    last_turn_us           INTEGER NOT NULL,
    turn_counted_us        INTEGER NOT NULL DEFAULT 0,  -- time counted since the last turn
    turn_counter           BLOB,                        -- the id of the authority that counts
    turn_count             INTEGER NOT NULL DEFAULT 0,  -- grows with each count, so that none is added twice
    clock_latest_us        INTEGER NOT NULL DEFAULT 0,  -- the latest time that the clock of the database has shown
    clock_floor_us         INTEGER NOT NULL DEFAULT 0,  -- a clock below it may make forgotten tokens valid again
    checkpoint_claimed_us  INTEGER NOT NULL DEFAULT 0,  -- when an authority last took on a checkpoint
    -- Sessions do not become idle while no authority is up to record their use.
    heard_us               INTEGER NOT NULL DEFAULT 0,  -- when an authority was last up
    resumed_us             INTEGER NOT NULL DEFAULT 0   -- when one came up after the last time that all were down
);

-- Secrets that only authorities know. Sealed bytes, here and in signing keys, begin with the 8 bytes of the id of the
-- master key that sealed them.
CREATE TABLE secrets (
    kind           TEXT NOT NULL,     -- refresh: it derives refresh tokens. pages: it binds page tokens
    number         INTEGER NOT NULL,  -- counts those of a kind. Refresh tokens carry it
    sealed         BLOB NOT NULL,     -- the secret, encrypted. Empty: retired
    created_us     INTEGER NOT NULL,
    makes_from_us  INTEGER NOT NULL,  -- every authority must know it before the first token of it
    retired_us     INTEGER,
    PRIMARY KEY (kind, number)
) WITHOUT ROWID;

CREATE TABLE signing_keys (
    key_id         TEXT PRIMARY KEY,
    algorithm      INTEGER NOT NULL,           -- 1 Ed25519, 2 ES256, 3 RS256
    public_key     BLOB NOT NULL,
    sealed         BLOB NOT NULL,              -- the private key, encrypted
    created_us     INTEGER NOT NULL,
    signs_from_us  INTEGER NOT NULL,           -- gates must know a key before the first token of it
    retired_us     INTEGER,
    credential     INTEGER NOT NULL DEFAULT 1  -- it signs tokens of 1 sessions, 2 API keys
) WITHOUT ROWID;

-- When each authority last wrote. The write proves that it reaches the primary server; `recover` reads the time, to
-- refuse to run beside an authority.
CREATE TABLE authority_beat (
    authority_id  BLOB PRIMARY KEY,  -- 16 zero bytes: the row of the check that the disk takes writes
    beat          INTEGER NOT NULL,
    beat_us       INTEGER NOT NULL
) WITHOUT ROWID;

-- What each authority tells the others: its validators, for receipts. A beat reads back which roster is here.
CREATE TABLE authority_shares (
    authority_id    BLOB PRIMARY KEY,
    name            TEXT NOT NULL,     -- for operators
    version         INTEGER NOT NULL,  -- rises with each write of the roster or of the revision
    roster_version  INTEGER NOT NULL,  -- rises when a validator joins or leaves
    roster          BLOB NOT NULL,    -- the validators, and what they have applied
    wanted          INTEGER NOT NULL,  -- the revision for which callers wait; 0: nobody waits
    statuses        BLOB NOT NULL,    -- the streams, for operators
    statuses_us     INTEGER NOT NULL
) WITHOUT ROWID;

-- Gates that report the use of sessions. A session does not become idle while one of them has not reported.
CREATE TABLE gates (
    gate_id    BLOB PRIMARY KEY,  -- drawn at random by the process of the gate
    reported   INTEGER NOT NULL,  -- 1: heard_us is the time of a report; 0: the time at which the gate connected
    heard_us   INTEGER NOT NULL,  -- all use until then was reported
    alive_us   INTEGER NOT NULL,  -- the last message
    admits_us  INTEGER NOT NULL   -- how long the gate admits requests after it lost the authority
);

-- The log ------------------------------------------------------------------------------------------------------------

-- One row, updated by every batch.
CREATE TABLE log_head (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    incarnation  BLOB NOT NULL,  -- the id of this history; `recover` draws a new one
    revision     INTEGER NOT NULL,
    chain        BLOB NOT NULL
);

CREATE TABLE log_batches (
    revision      INTEGER PRIMARY KEY,
    delta         BLOB,           -- as gates receive it. Null: trimmed
    audit_digest  BLOB NOT NULL,  -- SHA-256 of the batch's audit rows
    chain         BLOB NOT NULL,  -- SHA-256 of the previous chain and both digests
    stamped_us    INTEGER NOT NULL,
    delta_digest  BLOB            -- SHA-256 of the delta, so that the chain can be verified after the delta is gone
);

-- The view of gates at a revision, so that an authority need not read the whole log to start.
CREATE TABLE checkpoints (
    revision  INTEGER PRIMARY KEY,
    view      BLOB NOT NULL,
    code      BLOB NOT NULL  -- the id of a master key, and its authentication code of the view
);

-- Sign-outs of everything in a scope. The first cutoff after the opening of a session says when, by whom and why it ended.
-- A cutoff goes when every session that is left was opened after it.
CREATE TABLE cutoffs (
    scope          INTEGER NOT NULL,  -- 1 user, 2 tenant, 3 everyone
    scope_serial   INTEGER NOT NULL,  -- 0 for everyone
    revision       INTEGER NOT NULL,
    exempt_serial  INTEGER NOT NULL,  -- the session that stays signed in. 0: none
    event_id       BLOB NOT NULL,
    at_us          INTEGER NOT NULL,
    PRIMARY KEY (scope, scope_serial, revision, exempt_serial)
) WITHOUT ROWID;

-- As cutoffs, of API keys. A sign-out does not end them; disabling their owner and a recovery do.
CREATE TABLE api_key_cutoffs (
    scope         INTEGER NOT NULL,  -- 1 user, 2 tenant, 3 everyone
    scope_serial  INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    event_id      BLOB NOT NULL,
    at_us         INTEGER NOT NULL,  -- the end of a key stands on its own, because audit rows go
    PRIMARY KEY (scope, scope_serial, revision)
) WITHOUT ROWID;

-- The audit trail ----------------------------------------------------------------------------------------------------

-- One row for each thing that an entry of the log touched.
CREATE TABLE audit_events (
    event_id      BLOB NOT NULL,
    ordinal       INTEGER NOT NULL,          -- numbers the rows of one event, from 0
    revision      INTEGER NOT NULL,
    at_us         INTEGER NOT NULL,
    tenant_id     TEXT NOT NULL,             -- empty: the whole installation
    action        TEXT NOT NULL,
    target        TEXT NOT NULL,             -- the user, session or key that was changed
    cause         INTEGER,
    actor         TEXT NOT NULL,
    via           TEXT NOT NULL,             -- the service that called for the actor
    actor_ip      TEXT NOT NULL,
    reason        TEXT NOT NULL,
    user_message  TEXT NOT NULL,
    changed       INTEGER NOT NULL,          -- the number of things that the whole entry changed
    user_id       TEXT NOT NULL DEFAULT '',  -- the user concerned
    details       TEXT NOT NULL DEFAULT '',  -- JSON object. Empty: none
    digest        BLOB,                      -- SHA-256 of the batch's rows up to this one: tells which row was changed
    -- The row's digest has a digest of its author (actor, actor_ip) and one of its subject (target, reason,
    -- user_message, user_id, details). 16 bytes: the salt of that digest. 32 bytes: the digest itself, and the texts are
    -- empty, because they were erased.
    actor_proof        BLOB NOT NULL DEFAULT x'',
    subject_proof      BLOB NOT NULL DEFAULT x'',
    actor_erased_by    BLOB,                 -- the event of the erasure
    subject_erased_by  BLOB,
    PRIMARY KEY (event_id, ordinal)
) WITHOUT ROWID;

-- One index for each filter of the list, in the order of the list. `audit verify` reads by revision.
CREATE INDEX audit_events_by_tenant ON audit_events (tenant_id, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_user ON audit_events (tenant_id, user_id, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_actor ON audit_events (tenant_id, actor, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_action ON audit_events (tenant_id, action, at_us, event_id, ordinal);
CREATE INDEX audit_events_by_revision ON audit_events (revision, event_id, ordinal);

-- Verification counts the parts that an erasure has erased.
CREATE INDEX audit_events_by_actor_erasure ON audit_events (actor_erased_by) WHERE actor_erased_by IS NOT NULL;
CREATE INDEX audit_events_by_subject_erasure ON audit_events (subject_erased_by) WHERE subject_erased_by IS NOT NULL;

-- Where the trail begins. Everything up to this revision was old enough and is gone.
CREATE TABLE audit_begin (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    revision  INTEGER NOT NULL,  -- 0: nothing is gone
    chain     BLOB NOT NULL,
    batches   INTEGER NOT NULL,  -- the number of batches that are gone
    rows_gone INTEGER NOT NULL,  -- the number of rows that are gone with them
    removals  INTEGER NOT NULL,  -- grows with each removal here and in `audit_gaps`: a reader notices one
    code      BLOB NOT NULL  -- the authentication code of all but `removals`
);

INSERT INTO audit_begin VALUES (1, 0, zeroblob(32), 0, 0, 0, x'');

-- Batches behind the beginning that lost rows, because the tenants of the others keep theirs for longer.
CREATE TABLE audit_gaps (
    revision  INTEGER PRIMARY KEY,
    removed   BLOB NOT NULL,  -- event id, ordinal and digest of each row that is gone
    code      BLOB NOT NULL   -- the authentication code of both
);

-- Erasures that a row names, or began, which is gone. So what is left can still be counted.
CREATE TABLE audit_gone_erasures (
    event_id  BLOB PRIMARY KEY,
    has_begun INTEGER NOT NULL,  -- 1: the event that began it is gone
    parts     INTEGER NOT NULL,  -- the parts of rows that it erased and that are gone
    code      BLOB NOT NULL  -- the authentication code of all three
);

-- Audit rows are never changed, but for the erasure of a part. A row goes only when a record of its removal stands.
CREATE TRIGGER audit_events_unchanged BEFORE UPDATE ON audit_events
WHEN NOT (
    (new.event_id, new.ordinal, new.revision, new.at_us, new.tenant_id, new.action, new.cause, new.via, new.changed, new.digest)
        IS (old.event_id, old.ordinal, old.revision, old.at_us, old.tenant_id, old.action, old.cause, old.via, old.changed, old.digest)
    AND ((new.actor, new.actor_ip, new.actor_proof, new.actor_erased_by)
            IS (old.actor, old.actor_ip, old.actor_proof, old.actor_erased_by)
        OR new.actor = '' AND new.actor_ip = '' AND length(old.actor_proof) = 16 AND length(new.actor_proof) = 32
            AND new.actor_erased_by IS NOT NULL)
    AND ((new.target, new.reason, new.user_message, new.user_id, new.details, new.subject_proof, new.subject_erased_by)
            IS (old.target, old.reason, old.user_message, old.user_id, old.details, old.subject_proof, old.subject_erased_by)
        OR new.target = '' AND new.reason = '' AND new.user_message = '' AND new.user_id = '' AND new.details = ''
            AND length(old.subject_proof) = 16 AND length(new.subject_proof) = 32
            AND new.subject_erased_by IS NOT NULL))
BEGIN SELECT RAISE(ABORT, 'audit rows stay as they are'); END;
CREATE TRIGGER audit_events_undeleted BEFORE DELETE ON audit_events
WHEN NOT EXISTS (SELECT 1 FROM audit_begin b WHERE b.revision >= old.revision)
    AND NOT EXISTS (SELECT 1 FROM audit_gaps g WHERE g.revision = old.revision)
BEGIN SELECT RAISE(ABORT, 'audit rows stay as they are'); END;

-- Events that wait for the next batch of the log. One row holds those of a whole group of calls, because it is written
-- once and removed once whatever its size.
CREATE TABLE audit_outbox (
    first_event  BLOB PRIMARY KEY,
    size         INTEGER NOT NULL,  -- the number of events
    events       TEXT NOT NULL      -- JSON: see `Waiting` and `Rest` in sql/audit/outbox.rs
) WITHOUT ROWID;

-- Erasures that are under way. A row is the last place that has the user's id.
CREATE TABLE erasures (
    event_id     BLOB NOT NULL UNIQUE,  -- the event that began it
    tenant_id    TEXT NOT NULL,
    user_id      TEXT NOT NULL,     -- empty: the whole tenant, and no sign-in is admitted
    serial       INTEGER NOT NULL,
    begun_us     INTEGER NOT NULL,
    sessions     INTEGER NOT NULL DEFAULT 0,  -- deleted so far
    audit_parts  INTEGER NOT NULL DEFAULT 0,  -- authors and subjects of audit rows that were erased so far
    other_rows   INTEGER NOT NULL DEFAULT 0,  -- deleted or cleared so far
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;

-- Exports of the trail. One authority at a time delivers each: the one with the claim.
CREATE TABLE audit_exports (
    name             TEXT PRIMARY KEY,
    revision         INTEGER NOT NULL,  -- of the place
    place            BLOB NOT NULL,     -- up to which all is delivered: revision, event id, ordinal
    marks            BLOB NOT NULL,     -- revisions that the place has passed, each with its chain
    fence            INTEGER NOT NULL,  -- grows with each claim: an authority that lost its claim has an old one
    authority_id     BLOB NOT NULL,     -- the last that claimed it
    leased_until_us  INTEGER NOT NULL,  -- the end of the claim, unless it is renewed
    stopped_us       INTEGER            -- since when the receiver wants no more. Null: it is delivered
) WITHOUT ROWID;

-- Events that an export has given up. The events themselves are in the trail.
CREATE TABLE audit_dead_letters (
    export    TEXT NOT NULL,
    event_id  BLOB NOT NULL,
    ordinal   INTEGER NOT NULL,
    died_us   INTEGER NOT NULL,
    problem   TEXT NOT NULL,
    due       INTEGER NOT NULL,  -- 1: deliver it once more. An operator sets it
    PRIMARY KEY (export, event_id, ordinal)
) WITHOUT ROWID;

-- Tenants and users --------------------------------------------------------------------------------------------------

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
    disabled_us    INTEGER,                     -- since when the user may not sign in
    roles          INTEGER NOT NULL DEFAULT 0,  -- bits: 1 support, 2 admin
    -- The keys by which lists search and sort (`NameKeys` of the domain).
    name_key       TEXT NOT NULL DEFAULT '',
    person_key     TEXT NOT NULL DEFAULT '',
    email_key      TEXT NOT NULL DEFAULT '',
    signed_in_us   INTEGER NOT NULL DEFAULT 0,  -- the newest sign-in. 0: none yet
    placed_us      INTEGER NOT NULL DEFAULT 0,  -- the newest sign-in with known coordinates. 0: none yet
    placed_at      TEXT NOT NULL DEFAULT '{}',  -- JSON: the address and the place of that sign-in
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;

-- It has all three names: a search by any of them reads nothing else.
CREATE INDEX users_by_name ON users (tenant_id, name_key, user_id, person_key, email_key) WHERE user_serial > 0;
CREATE INDEX users_by_person ON users (tenant_id, person_key, user_id) WHERE user_serial > 0;
CREATE INDEX users_by_sign_in ON users (tenant_id, signed_in_us, user_id) WHERE user_serial > 0;
-- The few users with a role.
CREATE INDEX users_by_role ON users (tenant_id, user_id) WHERE roles > 0;

-- The devices, countries, cities and networks of a user's earlier sign-ins: a new one is a finding.
CREATE TABLE user_history (
    tenant_id  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    kind       INTEGER NOT NULL,  -- 1 device id, 2 device, 3 country, 4 city, 5 network, 6 private network,
                                  -- 7 device whose model is known
    value      TEXT NOT NULL,
    sign_ins   INTEGER NOT NULL,
    seen_us    INTEGER NOT NULL,
    networks   TEXT NOT NULL,     -- JSON: the networks that a device was last seen in
    PRIMARY KEY (tenant_id, user_id, kind, value)
) WITHOUT ROWID;

CREATE TABLE policies (
    tenant_id       TEXT PRIMARY KEY,
    policy          TEXT NOT NULL,     -- JSON
    version         INTEGER NOT NULL,  -- grows with each change: an editor's change applies to the version that it saw
    changed_us      INTEGER NOT NULL,
    -- After a change, the sweep walks through the sessions of the tenant in the order of their ids. This is the last id
    -- that it has looked at; empty at the beginning, null when it is done.
    sweep_from      BLOB,
    -- A column of its own, so that a report of activity need not parse the policy.
    keep_last_page  INTEGER GENERATED ALWAYS AS (policy->>'keep_last_page') STORED
) WITHOUT ROWID;

CREATE INDEX policies_to_sweep ON policies (tenant_id) WHERE sweep_from IS NOT NULL;

-- Sessions -----------------------------------------------------------------------------------------------------------

CREATE TABLE sessions (
    tenant_id          TEXT NOT NULL,
    session_id         BLOB NOT NULL,
    serial             INTEGER NOT NULL,
    user_id            TEXT NOT NULL,
    user_serial        INTEGER NOT NULL,
    tenant_serial      INTEGER NOT NULL,
    opened_revision    INTEGER NOT NULL,            -- the head of the log that the sign-in read
    created_us         INTEGER NOT NULL,
    expires_us         INTEGER NOT NULL,
    remember_me        INTEGER NOT NULL,
    auth_time_us       INTEGER NOT NULL,
    facts              TEXT NOT NULL,               -- SignInFacts as JSON: what no statement compares
    acr                TEXT NOT NULL,
    ip                 TEXT NOT NULL,               -- of the sign-in, as the other three
    user_agent         TEXT NOT NULL,
    device_id          TEXT NOT NULL,
    app_name           TEXT NOT NULL,
    salt               BLOB NOT NULL,               -- of the refresh tokens
    request_id         TEXT,                        -- of the call that signed in: a repetition finds this session
    request_digest     BLOB,                        -- of that call: a different call with the same id is refused
    generation         INTEGER NOT NULL,            -- the number of refreshes: the newest refresh token carries it
    rotated_us         INTEGER,                     -- the last refresh
    end_event          BLOB,                        -- the audit event that ended this one session
    device             TEXT NOT NULL DEFAULT '{}',  -- JSON: the device as people name it
    device_type        INTEGER NOT NULL DEFAULT 0,  -- 0 unknown, 1 phone, 2 tablet, 3 desktop, 4 program, 5 television
    device_sign_ins    INTEGER NOT NULL DEFAULT 0,  -- sign-ins of the user on this device, this one included
    place              TEXT NOT NULL DEFAULT '{}',  -- JSON: the place of the address at sign-in
    network_beside     TEXT NOT NULL DEFAULT '',    -- the device's network of the other version of IP
    country            TEXT NOT NULL DEFAULT '',    -- of that place, ISO 3166-1 alpha-2
    network            BLOB,                        -- the address at sign-in as 16 bytes
    replaces           BLOB,                        -- the session that this one replaced
    findings           TEXT NOT NULL DEFAULT '[]',  -- JSON: what was unusual about the sign-in
    -- The use that gates report. No index has these columns, so that a report writes no index.
    active_us          INTEGER NOT NULL DEFAULT 0,
    actions            INTEGER NOT NULL DEFAULT 0,  -- requests
    active_ip          TEXT NOT NULL DEFAULT '',    -- the last address
    active_page        TEXT NOT NULL DEFAULT '',    -- the last page, if the policy keeps it
    due_us             INTEGER,                     -- when the sweep checks for idleness and policy. Null: never
    -- The client of the last refresh: the same refresh token from another client is a finding.
    rotated_by         TEXT NOT NULL DEFAULT '',    -- JSON: address, user agent, device id
    rotated_before_us  INTEGER,                     -- the refresh before rotated_us, or the sign-in
    shared_generation  INTEGER,                     -- the last generation of which that finding was recorded
    -- Digests of the issuer and an id of the identity provider by which the user signed in. Null: unknown. A logout token
    -- finds the sessions that it ends by them.
    provider_session   BLOB,
    provider_subject   BLOB,
    PRIMARY KEY (tenant_id, session_id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX sessions_by_request ON sessions (tenant_id, request_id) WHERE request_id IS NOT NULL;
-- One index for each filter of the list that a search may begin with, in the order of the list.
CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id, session_id) WHERE serial > 0;
CREATE INDEX sessions_by_network ON sessions (tenant_id, network, session_id) WHERE network IS NOT NULL;
CREATE INDEX sessions_by_country ON sessions (tenant_id, country, session_id) WHERE country <> '';
CREATE INDEX sessions_by_device_type ON sessions (tenant_id, device_type, session_id) WHERE device_type > 0;
-- The sweep takes sessions in the order in which they are due.
CREATE INDEX sessions_due ON sessions (due_us) WHERE due_us IS NOT NULL;
-- The few sessions of one session or one subject at an identity provider. The provider does not know tenants.
CREATE INDEX sessions_by_provider_session ON sessions (provider_session, session_id) WHERE provider_session IS NOT NULL;
CREATE INDEX sessions_by_provider_subject ON sessions (provider_subject, session_id) WHERE provider_subject IS NOT NULL;

-- Logout tokens of identity providers that ended sessions lately: each counts once.
CREATE TABLE logout_tokens (
    digest      BLOB PRIMARY KEY,  -- SHA-256 of the issuer and the token's id
    forget_us   INTEGER NOT NULL -- the token is too old from then on
) WITHOUT ROWID;

CREATE INDEX logout_tokens_to_forget ON logout_tokens (forget_us);

-- API keys -----------------------------------------------------------------------------------------------------------

CREATE TABLE api_keys (
    tenant_id        TEXT NOT NULL,
    key_id           BLOB NOT NULL,
    serial           INTEGER NOT NULL,  -- from the same sequence as the serials of sessions
    owner_id         TEXT NOT NULL,     -- a user
    owner_serial     INTEGER NOT NULL,
    tenant_serial    INTEGER NOT NULL,
    opened_revision  INTEGER NOT NULL,  -- the head of the log that the creation read
    name             TEXT NOT NULL,
    scopes           TEXT NOT NULL,     -- JSON array
    audiences        TEXT NOT NULL,     -- JSON array
    created_us       INTEGER NOT NULL,
    expires_us       INTEGER,
    active_us        INTEGER,           -- the last use
    end_event        BLOB,              -- the audit event that revoked this one key
    ended_us         INTEGER,           -- its time, because audit rows go
    forgotten_us     INTEGER,           -- since when gates no longer hold the revocation: the key has expired
    PRIMARY KEY (tenant_id, key_id)
) WITHOUT ROWID;

CREATE INDEX api_keys_by_owner ON api_keys (tenant_id, owner_id, key_id) WHERE serial > 0;
-- Revoked keys whose revocation gates may forget once they have expired.
CREATE INDEX api_keys_to_forget ON api_keys (expires_us) WHERE end_event IS NOT NULL AND forgotten_us IS NULL;
CREATE INDEX api_keys_forgotten ON api_keys (expires_us) WHERE forgotten_us IS NOT NULL;

-- Requests of the last day, by hour since 1970.
CREATE TABLE api_key_hours (
    tenant_id  TEXT NOT NULL,
    key_id     BLOB NOT NULL,
    hour       INTEGER NOT NULL,
    requests   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key_id, hour)
) WITHOUT ROWID;

-- Serials ------------------------------------------------------------------------------------------------------------

-- SQLite has no sequences. A statement takes the value after the last one, and the trigger of the insert records it: a
-- serial whose insert is rolled back is not lost.
CREATE TABLE sequences (
    name   TEXT PRIMARY KEY,
    value  INTEGER NOT NULL  -- the last serial taken
) WITHOUT ROWID;

INSERT INTO sequences VALUES ('credential', 0), ('user', 0), ('tenant', 0);

CREATE TRIGGER session_serial AFTER INSERT ON sessions
BEGIN UPDATE sequences SET value = new.serial WHERE name = 'credential' AND value < new.serial; END;
CREATE TRIGGER api_key_serial AFTER INSERT ON api_keys
BEGIN UPDATE sequences SET value = new.serial WHERE name = 'credential' AND value < new.serial; END;
CREATE TRIGGER user_serial AFTER INSERT ON users
BEGIN UPDATE sequences SET value = new.user_serial WHERE name = 'user' AND value < new.user_serial; END;
CREATE TRIGGER tenant_serial AFTER INSERT ON tenants
BEGIN UPDATE sequences SET value = new.tenant_serial WHERE name = 'tenant' AND value < new.tenant_serial; END;
