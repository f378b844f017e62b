//! A sign-in that repeats an earlier one.

use portcullis_contract::id::SessionId;

use super::{
    super::{
        columns::{ONLY, columns},
        db::Db,
        row::Row,
        sessions::{SessionKey, find_one, make_durable},
        value::Value,
    },
    limit, row,
};
use crate::{SignInError, StoreError};
use portcullis_domain::{Micros, Session, SignIn, SignInOutcome};

columns! {
    /// The session of an earlier sign-in, and the digest of its request.
    EarlierColumns { session_id, request_digest }
}

/// Finds the session of an earlier call with the same request id or session id. A call with the same request id and
/// other arguments is refused.
pub(super) async fn find_earlier(db: &mut Db, new: &SignIn) -> Result<SignInOutcome, SignInError> {
    let id = find_earlier_id(db, new).await?;
    let key: SessionKey = (new.tenant_id.clone(), id);
    let (session, now) = read_durable(db, &key).await?;

    // The earlier call may have lost its answer before it ended the sessions that its own left no room for.
    let opened = SignIn { id, ..new.clone() };
    let excess = limit::find_excess(db, &opened).await?;
    Ok(SignInOutcome {
        session,
        now,
        is_new: false,
        other_sessions: count_others(db, &key).await?,
        excess,
    })
}

async fn read_durable(db: &mut Db, key: &SessionKey) -> Result<(Session, Micros), StoreError> {
    let found = find_one(db, key).await?;
    // The earlier call may have lost its answer together with its wait for a standby.
    make_durable(db, key).await?;
    found.ok_or_else(|| StoreError::Conflict("the session went away".into()))
}

/// Finds the id of the session that the earlier call opened.
async fn find_earlier_id(db: &mut Db, new: &SignIn) -> Result<SessionId, SignInError> {
    let (request_id, request_digest) = row::request(new);
    let earlier = find_key(db, new, request_id).await?;

    let columns = EarlierColumns::AT;
    let earlier_digest = earlier.optional_blob(columns.request_digest)?;
    // The same id with other arguments is a mistake of the caller. The earlier session may be of
    // another user, and must not be handed out for it.
    if earlier_digest != request_digest.as_deref() {
        return Err(SignInError::RequestReused);
    }
    Ok(earlier.session_id(columns.session_id)?)
}

async fn count_others(db: &mut Db, (tenant, id): &SessionKey) -> Result<u32, StoreError> {
    let sql = format!(
        "SELECT {} FROM sessions WHERE tenant_id = $1 AND session_id = $2",
        limit::others(&db.dialect)
    );
    let rows = db.query(&sql, &[tenant.into(), (*id).into()]).await?;
    rows.first().map_or(Ok(0), |row| row.count(ONLY))
}

async fn find_key(
    db: &mut Db,
    new: &SignIn,
    request_id: Option<String>,
) -> Result<Row, StoreError> {
    // Without a request id, the session id itself tells a repetition: the authority draws it once
    // for all its attempts.
    let sql = format!(
        "SELECT {} FROM sessions WHERE tenant_id = $1 AND (session_id = $2 OR request_id = $3)",
        EarlierColumns::names()
    );
    let values = [
        Value::from(&new.tenant_id),
        Value::from(new.id),
        Value::Text(request_id),
    ];
    let mut rows = db.query(&sql, &values).await?;
    rows.truncate(1);
    rows.pop()
        .ok_or_else(|| StoreError::Conflict("the earlier sign-in went away".into()))
}
