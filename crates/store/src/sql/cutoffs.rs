//! Cutoffs that cover a session, as expressions over the row `s` of `sessions`, and their removal.

use std::time::Duration;

use portcullis_contract::position::Revision;

use super::db::Db;
use crate::StoreError;
use portcullis_domain::time::span;

/// Removes at most `limit` cutoffs up to `through` that are older than `keep`.
pub(super) async fn remove_old(
    db: &mut Db,
    through: Revision,
    keep: Duration,
    limit: u32,
) -> Result<u64, StoreError> {
    let key = "scope, scope_serial, revision, exempt_serial";
    let sql = format!(
        // By its whole key, because several cutoffs may be of one scope and one revision, each with
        // another exempt session.
        "DELETE FROM cutoffs WHERE ({key}) IN (SELECT {key} FROM cutoffs \
             WHERE revision <= $1 AND at_us <= {now} - $2 LIMIT $3) RETURNING revision",
        now = db.dialect.now,
    );
    let values = [through.into(), span(keep).into(), i64::from(limit).into()];
    Ok(db.query(&sql, &values).await?.len() as u64)
}

/// True if a cutoff covers the session `s`: one lookup in the index for each scope. Most find nothing.
pub(super) const IS_CUT: &str = "((SELECT c.revision FROM cutoffs c WHERE c.scope = 1 \
         AND c.scope_serial = s.user_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         LIMIT 1) IS NOT NULL \
     OR (SELECT c.revision FROM cutoffs c WHERE c.scope = 2 \
         AND c.scope_serial = s.tenant_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         LIMIT 1) IS NOT NULL \
     OR (SELECT c.revision FROM cutoffs c WHERE c.scope = 3 \
         AND c.scope_serial = 0 AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         LIMIT 1) IS NOT NULL)";

/// The audit event of the first cutoff that covers the session `s`, or null.
///
/// The index has the cutoffs of a scope in order, so the first of each scope costs one lookup. The first of these three
/// is the answer.
pub(super) const CUT_EVENT: &str = "(SELECT c.event_id FROM (\
     SELECT * FROM (SELECT c.event_id, c.revision FROM cutoffs c WHERE c.scope = 1 \
         AND c.scope_serial = s.user_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         ORDER BY c.revision LIMIT 1) c1 UNION ALL \
     SELECT * FROM (SELECT c.event_id, c.revision FROM cutoffs c WHERE c.scope = 2 \
         AND c.scope_serial = s.tenant_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         ORDER BY c.revision LIMIT 1) c2 UNION ALL \
     SELECT * FROM (SELECT c.event_id, c.revision FROM cutoffs c WHERE c.scope = 3 \
         AND c.scope_serial = 0 AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         ORDER BY c.revision LIMIT 1) c3) c ORDER BY c.revision LIMIT 1)";
