-- Events that wait for the trail, a row for each group of calls: written once and taken out once, whatever its size.

CREATE TABLE audit_outbox (
    first_event  BLOB PRIMARY KEY,
    size         INTEGER NOT NULL,
    events       TEXT NOT NULL      -- JSON: an array for each event; see store/sql/pending.rs
) WITHOUT ROWID;

INSERT INTO audit_outbox
    SELECT event_id, 1, json_array(json_array(lower(hex(event_id)), at_us, tenant_id, action, target,
        user_id, actor, via, actor_ip, json(CASE details WHEN '' THEN '{}' ELSE details END)))
    FROM audit_pending;

DROP TABLE audit_pending;
