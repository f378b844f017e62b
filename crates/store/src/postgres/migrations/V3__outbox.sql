-- Events that wait for the trail, a row for each group of calls: written once and taken out once, whatever its size.

CREATE TABLE audit_outbox (
    first_event  BYTEA PRIMARY KEY,
    size         BIGINT NOT NULL,
    events       TEXT NOT NULL      -- JSON: an array for each event; see store/sql/pending.rs
);

INSERT INTO audit_outbox
    SELECT event_id, 1, json_build_array(json_build_array(encode(event_id, 'hex'), at_us, tenant_id, action, target,
        user_id, actor, via, actor_ip, CASE details WHEN '' THEN '{}' ELSE details END::json))::text
    FROM audit_pending;

DROP TABLE audit_pending;

-- An index that has the columns of a table's key, with another between them, is as cheap to look a key up in as the key's
-- own, as long as nothing is known of the table; but it reads all of the tenant's entries. A partial index is used only by
-- who says what all of its rows have.

DROP INDEX sessions_by_user;
DROP INDEX users_by_name;
DROP INDEX users_by_person;
DROP INDEX users_by_sign_in;
DROP INDEX api_keys_by_owner;

CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id, session_id) WHERE serial > 0;
-- It has all names: a search by any of them reads nothing else.
CREATE INDEX users_by_name ON users (tenant_id, name_key, user_id, person_key, email_key) WHERE user_serial > 0;
CREATE INDEX users_by_person ON users (tenant_id, person_key, user_id) WHERE user_serial > 0;
CREATE INDEX users_by_sign_in ON users (tenant_id, signed_in_us, user_id) WHERE user_serial > 0;
CREATE INDEX api_keys_by_owner ON api_keys (tenant_id, owner_id, key_id) WHERE serial > 0;

CREATE INDEX sessions_by_device_type ON sessions (tenant_id, device_type, session_id) WHERE device_type > 0;
