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
