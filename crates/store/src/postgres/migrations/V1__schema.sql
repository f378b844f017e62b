-- The schema of Portcullis on PostgreSQL.
--
-- Times (`…_us`) are microseconds since 1970 by the clock of the database. Ids of sessions, API keys and events are the
-- 16 bytes of a UUIDv7. Serials are small dense numbers: tokens and the log carry them in place of ids. Columns of JSON
-- are text, because no statement looks into them.
--
-- A partial index whose condition holds for every row (`serial > 0`) is meant. To a planner without statistics, an index
-- that has the columns of the primary key with another between them looks as good for a lookup by key as the primary
-- key itself, but that lookup reads every entry of the tenant. Only a statement that repeats the condition may use a
-- partial index, so lookups by key cannot end there.

-- The installation ---------------------------------------------------------------------------------------------------

-- One row: settings and clocks of the whole installation.
CREATE TABLE installation (
    id                     BIGINT PRIMARY KEY CHECK (id = 1),
    issuer                 TEXT,                       -- of the first start; a start with another one is refused
    token_life_us          BIGINT NOT NULL,            -- the longest life of an access token that may still be in use
    lowered_us             BIGINT,                     -- when a shorter life was first asked for. Null: it was not
    keys_version           BIGINT NOT NULL,            -- updated to lock the row: changes of signing keys and secrets take turns
    -- The time since the view of gates last forgot old revocations (a "turn"). Authorities count it with clocks that
    -- only move forward, because the clock of the database may jump.
    last_turn_us           BIGINT NOT NULL,
    turn_counted_us        BIGINT NOT NULL DEFAULT 0,  -- time counted since the last turn
    turn_counter           BYTEA,                      -- the id of the authority that counts
    turn_count             BIGINT NOT NULL DEFAULT 0,  -- grows with each count, so that none is added twice
    clock_latest_us        BIGINT NOT NULL DEFAULT 0,  -- the latest time that the clock of the database has shown
    clock_floor_us         BIGINT NOT NULL DEFAULT 0,  -- a clock below it may make forgotten tokens valid again
    checkpoint_claimed_us  BIGINT NOT NULL DEFAULT 0,  -- when an authority last took on a checkpoint
    -- Sessions do not become idle while no authority is up to record their use.
    heard_us               BIGINT NOT NULL DEFAULT 0,  -- when an authority was last up
    resumed_us             BIGINT NOT NULL DEFAULT 0   -- when one came up after the last time that all were down
);

-- Secrets that only authorities know. Sealed bytes, here and in signing keys, begin with the 8 bytes of the id of the
-- master key that sealed them.
CREATE TABLE secrets (
    kind           TEXT NOT NULL,    -- refresh: it derives refresh tokens. pages: it binds page tokens
    number         BIGINT NOT NULL,  -- counts those of a kind. Refresh tokens carry it
    sealed         BYTEA NOT NULL,   -- the secret, encrypted. Empty: retired
    created_us     BIGINT NOT NULL,
    makes_from_us  BIGINT NOT NULL,  -- every authority must know it before the first token of it
    retired_us     BIGINT,
    PRIMARY KEY (kind, number)
);

CREATE TABLE signing_keys (
    key_id         TEXT PRIMARY KEY,
    algorithm      BIGINT NOT NULL,           -- 1 Ed25519, 2 ES256, 3 RS256
    public_key     BYTEA NOT NULL,
    sealed         BYTEA NOT NULL,            -- the private key, encrypted
    created_us     BIGINT NOT NULL,
    signs_from_us  BIGINT NOT NULL,           -- gates must know a key before the first token of it
    retired_us     BIGINT,
    credential     BIGINT NOT NULL DEFAULT 1  -- it signs tokens of 1 sessions, 2 API keys
);

-- When each authority last wrote. The write proves that it reaches the primary server; `recover` reads the time, to
-- refuse to run beside an authority.
CREATE TABLE authority_beat (
    authority_id  BYTEA PRIMARY KEY,  -- 16 zero bytes: the row of the check that the disk takes writes
    beat          BIGINT NOT NULL,
    beat_us       BIGINT NOT NULL
);

-- What each authority tells the others: its validators, for receipts. A beat reads back which roster is here.
CREATE TABLE authority_shares (
    authority_id    BYTEA PRIMARY KEY,
    name            TEXT NOT NULL,     -- for operators
    version         BIGINT NOT NULL,  -- rises with each write of the roster or of the revision
    roster_version  BIGINT NOT NULL,  -- rises when a validator joins or leaves
    roster          BYTEA NOT NULL,    -- the validators, and what they have applied
    wanted          BIGINT NOT NULL,  -- the revision for which callers wait; 0: nobody waits
    statuses        BYTEA NOT NULL,    -- the streams, for operators
    statuses_us     BIGINT NOT NULL
);

-- Gates that report the use of sessions. A session does not become idle while one of them has not reported.
CREATE TABLE gates (
    gate_id    BYTEA PRIMARY KEY,  -- drawn at random by the process of the gate
    reported   BIGINT NOT NULL,    -- 1: heard_us is the time of a report; 0: the time at which the gate connected
    heard_us   BIGINT NOT NULL,    -- all use until then was reported
    alive_us   BIGINT NOT NULL,    -- the last message
    admits_us  BIGINT NOT NULL     -- how long the gate admits requests after it lost the authority
);

-- The log ------------------------------------------------------------------------------------------------------------

-- One row, updated by every batch. Most of its page stays free, so that an update is in place and no index grows.
CREATE TABLE log_head (
    id           BIGINT PRIMARY KEY CHECK (id = 1),
    incarnation  BYTEA NOT NULL,  -- the id of this history; `recover` draws a new one
    revision     BIGINT NOT NULL,
    chain        BYTEA NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE log_batches (
    revision      BIGINT PRIMARY KEY,
    delta         BYTEA,           -- as gates receive it. Null: trimmed
    audit_digest  BYTEA NOT NULL,  -- SHA-256 of the batch's audit rows
    chain         BYTEA NOT NULL,  -- SHA-256 of the previous chain and both digests
    stamped_us    BIGINT NOT NULL,
    delta_digest  BYTEA            -- SHA-256 of the delta, so that the chain can be verified after the delta is gone
);

-- The view of gates at a revision, so that an authority need not read the whole log to start.
CREATE TABLE checkpoints (
    revision  BIGINT PRIMARY KEY,
    view      BYTEA NOT NULL,
    code      BYTEA NOT NULL  -- the id of a master key, and its authentication code of the view
);

-- Sign-outs of everything in a scope. The first cutoff after the opening of a session says when, by whom and why it ended.
-- A cutoff goes when every session that is left was opened after it.
CREATE TABLE cutoffs (
    scope          BIGINT NOT NULL,  -- 1 user, 2 tenant, 3 everyone
    scope_serial   BIGINT NOT NULL,  -- 0 for everyone
    revision       BIGINT NOT NULL,
    exempt_serial  BIGINT NOT NULL,  -- the session that stays signed in. 0: none
    event_id       BYTEA NOT NULL,
    at_us          BIGINT NOT NULL,
    PRIMARY KEY (scope, scope_serial, revision, exempt_serial)
);

-- As cutoffs, of API keys. A sign-out does not end them; disabling their owner and a recovery do.
CREATE TABLE api_key_cutoffs (
    scope         BIGINT NOT NULL,  -- 1 user, 2 tenant, 3 everyone
    scope_serial  BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    event_id      BYTEA NOT NULL,
    at_us         BIGINT NOT NULL,  -- the end of a key stands on its own, because audit rows go
    PRIMARY KEY (scope, scope_serial, revision)
);

-- The audit trail ----------------------------------------------------------------------------------------------------

-- One row for each thing that an entry of the log touched.
CREATE TABLE audit_events (
    event_id      BYTEA NOT NULL,
    ordinal       BIGINT NOT NULL,           -- numbers the rows of one event, from 0
    revision      BIGINT NOT NULL,
    at_us         BIGINT NOT NULL,
    tenant_id     TEXT NOT NULL,             -- empty: the whole installation
    action        TEXT NOT NULL,
    target        TEXT NOT NULL,             -- the user, session or key that was changed
    cause         BIGINT,
    actor         TEXT NOT NULL,
    via           TEXT NOT NULL,             -- the service that called for the actor
    actor_ip      TEXT NOT NULL,
    reason        TEXT NOT NULL,
    user_message  TEXT NOT NULL,
    changed       BIGINT NOT NULL,           -- the number of things that the whole entry changed
    user_id       TEXT COLLATE "C" NOT NULL DEFAULT '',  -- the user concerned
    details       TEXT NOT NULL DEFAULT '',  -- JSON object. Empty: none
    digest        BYTEA,                     -- SHA-256 of the batch's rows up to this one: tells which row was changed
    -- The row's digest has a digest of its author (actor, actor_ip) and one of its subject (target, reason,
    -- user_message, user_id, details). 16 bytes: the salt of that digest. 32 bytes: the digest itself, and the texts are
    -- empty, because they were erased.
    actor_proof        BYTEA NOT NULL DEFAULT '',
    subject_proof      BYTEA NOT NULL DEFAULT '',
    actor_erased_by    BYTEA,                -- the event of the erasure
    subject_erased_by  BYTEA,
    PRIMARY KEY (event_id, ordinal)
);

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
    id        BIGINT PRIMARY KEY CHECK (id = 1),
    revision  BIGINT NOT NULL,  -- 0: nothing is gone
    chain     BYTEA NOT NULL,
    batches   BIGINT NOT NULL,  -- the number of batches that are gone
    rows_gone BIGINT NOT NULL,  -- the number of rows that are gone with them
    removals  BIGINT NOT NULL,  -- grows with each removal here and in `audit_gaps`: a reader notices one
    code      BYTEA NOT NULL  -- the authentication code of all but `removals`
);

INSERT INTO audit_begin VALUES (1, 0, decode(repeat('00', 32), 'hex'), 0, 0, 0, '');

-- Batches behind the beginning that lost rows, because the tenants of the others keep theirs for longer.
CREATE TABLE audit_gaps (
    revision  BIGINT PRIMARY KEY,
    removed   BYTEA NOT NULL,  -- event id, ordinal and digest of each row that is gone
    code      BYTEA NOT NULL   -- the authentication code of both
);

-- Erasures that a row names, or began, which is gone. So what is left can still be counted.
CREATE TABLE audit_gone_erasures (
    event_id  BYTEA PRIMARY KEY,
    has_begun BIGINT NOT NULL,  -- 1: the event that began it is gone
    parts     BIGINT NOT NULL,  -- the parts of rows that it erased and that are gone
    code      BYTEA NOT NULL  -- the authentication code of all three
);

-- Audit rows are never changed, but for the erasure of a part. A row goes only when a record of its removal stands. The owner of the table could drop the trigger and grant itself the rights again:
-- docs/operating/audit.md says how to run the service without the rights of an owner.
CREATE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'audit rows stay as they are' USING ERRCODE = 'insufficient_privilege'; END $$;
CREATE FUNCTION audit_events_go() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT 1 FROM audit_begin b WHERE b.revision >= old.revision)
        OR EXISTS (SELECT 1 FROM audit_gaps g WHERE g.revision = old.revision) THEN
        RETURN old;
    END IF;
    RAISE EXCEPTION 'audit rows stay as they are' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_events_stay BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_stay();
CREATE TRIGGER audit_events_undeleted BEFORE DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_go();
CREATE TRIGGER audit_events_unchanged BEFORE UPDATE ON audit_events FOR EACH ROW
    WHEN (NOT (
        (new.event_id, new.ordinal, new.revision, new.at_us, new.tenant_id, new.action, new.cause, new.via, new.changed, new.digest)
            IS NOT DISTINCT FROM
        (old.event_id, old.ordinal, old.revision, old.at_us, old.tenant_id, old.action, old.cause, old.via, old.changed, old.digest)
        AND ((new.actor, new.actor_ip, new.actor_proof, new.actor_erased_by)
                IS NOT DISTINCT FROM (old.actor, old.actor_ip, old.actor_proof, old.actor_erased_by)
            OR new.actor = '' AND new.actor_ip = '' AND length(old.actor_proof) = 16 AND length(new.actor_proof) = 32
                AND new.actor_erased_by IS NOT NULL)
        AND ((new.target, new.reason, new.user_message, new.user_id, new.details, new.subject_proof, new.subject_erased_by)
                IS NOT DISTINCT FROM
             (old.target, old.reason, old.user_message, old.user_id, old.details, old.subject_proof, old.subject_erased_by)
            OR new.target = '' AND new.reason = '' AND new.user_message = '' AND new.user_id = '' AND new.details = ''
                AND length(old.subject_proof) = 16 AND length(new.subject_proof) = 32
                AND new.subject_erased_by IS NOT NULL)))
    EXECUTE FUNCTION audit_events_stay();
REVOKE UPDATE, TRUNCATE ON audit_events FROM CURRENT_USER;
GRANT UPDATE (actor, actor_ip, actor_proof, actor_erased_by, target, reason, user_message, user_id, details, subject_proof,
    subject_erased_by) ON audit_events TO CURRENT_USER;

-- Events that wait for the next batch of the log. One row holds those of a whole group of calls, because it is written
-- once and removed once whatever its size.
CREATE TABLE audit_outbox (
    first_event  BYTEA PRIMARY KEY,
    size         BIGINT NOT NULL,  -- the number of events
    events       TEXT NOT NULL     -- JSON: see `Waiting` and `Rest` in sql/audit/outbox.rs
);

-- Erasures that are under way. A row is the last place that has the user's id.
CREATE TABLE erasures (
    event_id     BYTEA NOT NULL UNIQUE,  -- the event that began it
    tenant_id    TEXT NOT NULL,
    user_id      TEXT COLLATE "C" NOT NULL,  -- empty: the whole tenant, and no sign-in is admitted
    serial       BIGINT NOT NULL,
    begun_us     BIGINT NOT NULL,
    sessions     BIGINT NOT NULL DEFAULT 0,  -- deleted so far
    audit_parts  BIGINT NOT NULL DEFAULT 0,  -- authors and subjects of audit rows that were erased so far
    other_rows   BIGINT NOT NULL DEFAULT 0,  -- deleted or cleared so far
    PRIMARY KEY (tenant_id, user_id)
);

-- Exports of the trail. One authority at a time delivers each: the one with the claim.
CREATE TABLE audit_exports (
    name             TEXT PRIMARY KEY,
    revision         BIGINT NOT NULL,  -- of the place
    place            BYTEA NOT NULL,   -- up to which all is delivered: revision, event id, ordinal
    marks            BYTEA NOT NULL,   -- revisions that the place has passed, each with its chain
    fence            BIGINT NOT NULL,  -- grows with each claim: an authority that lost its claim has an old one
    authority_id     BYTEA NOT NULL,   -- the last that claimed it
    leased_until_us  BIGINT NOT NULL,  -- the end of the claim, unless it is renewed
    stopped_us       BIGINT            -- since when the receiver wants no more. Null: it is delivered
);

-- Events that an export has given up. The events themselves are in the trail.
CREATE TABLE audit_dead_letters (
    export    TEXT NOT NULL,
    event_id  BYTEA NOT NULL,
    ordinal   BIGINT NOT NULL,
    died_us   BIGINT NOT NULL,
    problem   TEXT NOT NULL,
    due       BIGINT NOT NULL,  -- 1: deliver it once more. An operator sets it
    PRIMARY KEY (export, event_id, ordinal)
);

-- Tenants and users --------------------------------------------------------------------------------------------------

CREATE TABLE tenants (
    tenant_id      TEXT PRIMARY KEY,
    tenant_serial  BIGINT NOT NULL UNIQUE
);

CREATE TABLE users (
    tenant_id      TEXT NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    user_serial    BIGINT NOT NULL UNIQUE,
    tenant_serial  BIGINT NOT NULL,
    user_name      TEXT NOT NULL,
    given_name     TEXT NOT NULL,
    family_name    TEXT NOT NULL,
    email          TEXT NOT NULL,
    created_us     BIGINT NOT NULL,
    disabled_us    BIGINT,                      -- since when the user may not sign in
    roles          BIGINT  NOT NULL DEFAULT 0,  -- bits: 1 support, 2 admin
    -- The keys by which lists search and sort (`NameKeys` of the domain). Compared byte for byte, whatever the locale.
    name_key       TEXT COLLATE "C" NOT NULL DEFAULT '',
    person_key     TEXT COLLATE "C" NOT NULL DEFAULT '',
    email_key      TEXT COLLATE "C" NOT NULL DEFAULT '',
    signed_in_us   BIGINT NOT NULL DEFAULT 0,   -- the newest sign-in. 0: none yet
    placed_us      BIGINT NOT NULL DEFAULT 0,   -- the newest sign-in with known coordinates. 0: none yet
    placed_at      TEXT NOT NULL DEFAULT '{}',  -- JSON: the address and the place of that sign-in
    PRIMARY KEY (tenant_id, user_id)
);

-- It has all three names: a search by any of them reads nothing else.
CREATE INDEX users_by_name ON users (tenant_id, name_key, user_id, person_key, email_key) WHERE user_serial > 0;
CREATE INDEX users_by_person ON users (tenant_id, person_key, user_id) WHERE user_serial > 0;
CREATE INDEX users_by_sign_in ON users (tenant_id, signed_in_us, user_id) WHERE user_serial > 0;
-- The few users with a role.
CREATE INDEX users_by_role ON users (tenant_id, user_id) WHERE roles > 0;

-- The devices, countries, cities and networks of a user's earlier sign-ins: a new one is a finding.
CREATE TABLE user_history (
    tenant_id  TEXT NOT NULL,
    user_id    TEXT COLLATE "C" NOT NULL,
    kind       BIGINT NOT NULL,  -- 1 device id, 2 device, 3 country, 4 city, 5 network, 6 private network,
                                 -- 7 device whose model is known
    value      TEXT NOT NULL,
    sign_ins   BIGINT NOT NULL,
    seen_us    BIGINT NOT NULL,
    networks   TEXT NOT NULL,     -- JSON: the networks that a device was last seen in
    PRIMARY KEY (tenant_id, user_id, kind, value)
);

CREATE TABLE policies (
    tenant_id       TEXT PRIMARY KEY,
    policy          TEXT NOT NULL,    -- JSON
    version         BIGINT NOT NULL,  -- grows with each change: an editor's change applies to the version that it saw
    changed_us      BIGINT NOT NULL,
    -- After a change, the sweep walks through the sessions of the tenant in the order of their ids. This is the last id
    -- that it has looked at; empty at the beginning, null when it is done.
    sweep_from      BYTEA,
    -- A column of its own, so that a report of activity need not parse the policy.
    keep_last_page  BOOLEAN GENERATED ALWAYS AS ((policy::jsonb->>'keep_last_page') = 'true') STORED
);

CREATE INDEX policies_to_sweep ON policies (tenant_id) WHERE sweep_from IS NOT NULL;

-- Sessions -----------------------------------------------------------------------------------------------------------

-- A report of gates updates most sessions of a page at once, and changes no column of an index. As long as the page has
-- room for both versions of each row, no index is written. New rows are short (no last address yet), hence 45 %.
CREATE TABLE sessions (
    tenant_id          TEXT NOT NULL,
    session_id         BYTEA NOT NULL,
    serial             BIGINT NOT NULL,
    user_id            TEXT COLLATE "C" NOT NULL,
    user_serial        BIGINT NOT NULL,
    tenant_serial      BIGINT NOT NULL,
    opened_revision    BIGINT NOT NULL,             -- the head of the log that the sign-in read
    created_us         BIGINT NOT NULL,
    expires_us         BIGINT NOT NULL,
    remember_me        BIGINT NOT NULL,
    auth_time_us       BIGINT NOT NULL,
    facts              TEXT NOT NULL,               -- SignInFacts as JSON: what no statement compares
    acr                TEXT NOT NULL,
    ip                 TEXT NOT NULL,               -- of the sign-in, as the other three
    user_agent         TEXT NOT NULL,
    device_id          TEXT NOT NULL,
    app_name           TEXT NOT NULL,
    salt               BYTEA NOT NULL,              -- of the refresh tokens
    request_id         TEXT,                        -- of the call that signed in: a repetition finds this session
    request_digest     BYTEA,                       -- of that call: a different call with the same id is refused
    generation         BIGINT NOT NULL,             -- the number of refreshes: the newest refresh token carries it
    rotated_us         BIGINT,                      -- the last refresh
    end_event          BYTEA,                       -- the audit event that ended this one session
    device             TEXT NOT NULL DEFAULT '{}',  -- JSON: the device as people name it
    device_type        BIGINT NOT NULL DEFAULT 0,   -- 0 unknown, 1 phone, 2 tablet, 3 desktop, 4 program, 5 television
    device_sign_ins    BIGINT NOT NULL DEFAULT 0,   -- sign-ins of the user on this device, this one included
    place              TEXT NOT NULL DEFAULT '{}',  -- JSON: the place of the address at sign-in
    network_beside     TEXT NOT NULL DEFAULT '',    -- the device's network of the other version of IP
    country            TEXT NOT NULL DEFAULT '',    -- of that place, ISO 3166-1 alpha-2
    network            BYTEA,                       -- the address at sign-in as 16 bytes
    replaces           BYTEA,                       -- the session that this one replaced
    findings           TEXT NOT NULL DEFAULT '[]',  -- JSON: what was unusual about the sign-in
    -- The use that gates report. No index has these columns, so that a report writes no index.
    active_us          BIGINT NOT NULL DEFAULT 0,
    actions            BIGINT NOT NULL DEFAULT 0,   -- requests
    active_ip          TEXT NOT NULL DEFAULT '',    -- the last address
    active_page        TEXT NOT NULL DEFAULT '',    -- the last page, if the policy keeps it
    due_us             BIGINT,                      -- when the sweep checks for idleness and policy. Null: never
    -- The client of the last refresh: the same refresh token from another client is a finding.
    rotated_by         TEXT NOT NULL DEFAULT '',    -- JSON: address, user agent, device id
    rotated_before_us  BIGINT,                      -- the refresh before rotated_us, or the sign-in
    shared_generation  BIGINT,                      -- the last generation of which that finding was recorded
    -- Digests of the issuer and an id of the identity provider by which the user signed in. Null: unknown. A logout token
    -- finds the sessions that it ends by them.
    provider_session   BYTEA,
    provider_subject   BYTEA,
    PRIMARY KEY (tenant_id, session_id)
) WITH (fillfactor = 45);

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
    digest      BYTEA PRIMARY KEY,  -- SHA-256 of the issuer and the token's id
    forget_us   BIGINT NOT NULL  -- the token is too old from then on
);

CREATE INDEX logout_tokens_to_forget ON logout_tokens (forget_us);

-- API keys -----------------------------------------------------------------------------------------------------------

CREATE TABLE api_keys (
    tenant_id        TEXT NOT NULL,
    key_id           BYTEA NOT NULL,
    serial           BIGINT NOT NULL,  -- from the same sequence as the serials of sessions
    owner_id         TEXT COLLATE "C" NOT NULL,  -- a user
    owner_serial     BIGINT NOT NULL,
    tenant_serial    BIGINT NOT NULL,
    opened_revision  BIGINT NOT NULL,  -- the head of the log that the creation read
    name             TEXT NOT NULL,
    scopes           TEXT NOT NULL,    -- JSON array
    audiences        TEXT NOT NULL,    -- JSON array
    created_us       BIGINT NOT NULL,
    expires_us       BIGINT,
    active_us        BIGINT,           -- the last use
    end_event        BYTEA,            -- the audit event that revoked this one key
    ended_us         BIGINT,           -- its time, because audit rows go
    forgotten_us     BIGINT,           -- since when gates no longer hold the revocation: the key has expired
    PRIMARY KEY (tenant_id, key_id)
);

CREATE INDEX api_keys_by_owner ON api_keys (tenant_id, owner_id, key_id) WHERE serial > 0;
-- Revoked keys whose revocation gates may forget once they have expired.
CREATE INDEX api_keys_to_forget ON api_keys (expires_us) WHERE end_event IS NOT NULL AND forgotten_us IS NULL;
CREATE INDEX api_keys_forgotten ON api_keys (expires_us) WHERE forgotten_us IS NOT NULL;

-- Requests of the last day, by hour since 1970.
CREATE TABLE api_key_hours (
    tenant_id  TEXT NOT NULL,
    key_id     BYTEA NOT NULL,
    hour       BIGINT NOT NULL,
    requests   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key_id, hour)
);

-- Serials ------------------------------------------------------------------------------------------------------------

CREATE SEQUENCE credential_serial;  -- of sessions and API keys
CREATE SEQUENCE user_serial;
CREATE SEQUENCE tenant_serial;
