//! The reason why the statement that opens sessions left one out.

use std::collections::HashMap;

use super::{
    super::{
        columns::columns,
        connection::{Dialect, Statement},
        erasure::OF_SIGN_IN_IS_ADMITTED,
        policies,
        row::Row,
        value::Value,
        values::ValueRows,
    },
    limit, row,
};
use crate::{SignInError, StoreError};
use portcullis_domain::SignIn;

/// The standing of a sign-in that has opened nothing.
#[derive(Debug)]
pub(super) enum Standing {
    /// An earlier call has opened its session.
    Repeats,
    /// It may not open one.
    Refused(SignInError),
    /// Nothing speaks against it by now. Its user is unknown, or has other names.
    Open,
}

/// Standings by session id.
pub(super) type Standings = HashMap<[u8; 16], Standing>;

columns! {
    /// A sign-in to judge.
    QuestionColumns {
        tenant_id,
        user_id,
        session_id,
        request_id,
        replaces,
        policy_version,
        refused_at,
    }
}

columns! {
    /// All that may speak against a sign-in.
    StandingColumns {
        session_id,
        is_known,
        is_disabled,
        is_repeated,
        is_policy_current,
        is_full,
    }
}

/// The statement that asks for the standings of sign-ins. None for none.
pub(super) fn find(dialect: &Dialect, group: &[&SignIn]) -> Option<Statement> {
    if group.is_empty() {
        return None;
    }
    let rows = ValueRows::new(group.iter().map(|new| question(new)));
    // Each reason is a subquery of its own, so that it goes by the primary key or the index of its table.
    let is_repeated = format!(
        "CASE WHEN {by_id} IS NOT NULL OR {by_request} IS NOT NULL THEN 1 ELSE 0 END",
        by_id = "(SELECT e.serial FROM sessions e \
             WHERE e.tenant_id = v.tenant_id AND e.session_id = v.session_id)",
        // A range, not an equality: so the order is that of the index by request, and no other index looks as good.
        by_request = "(SELECT e.serial FROM sessions e WHERE e.tenant_id = v.tenant_id \
             AND e.request_id >= v.request_id AND e.request_id <= v.request_id ORDER BY e.request_id LIMIT 1)",
    );
    let is_policy_current = format!(
        "CASE WHEN v.policy_version = {} THEN 1 ELSE 0 END",
        policies::version_of("v.tenant_id"),
    );
    let is_full = format!(
        "CASE WHEN v.refused_at IS NOT NULL AND {} >= v.refused_at THEN 1 ELSE 0 END",
        limit::count(dialect),
    );
    let is_disabled =
        format!("CASE WHEN u.disabled_us IS NULL AND {OF_SIGN_IN_IS_ADMITTED} THEN 0 ELSE 1 END");
    let standing = StandingColumns {
        session_id: "v.session_id",
        is_known: "CASE WHEN u.user_serial IS NULL THEN 0 ELSE 1 END",
        is_disabled: &is_disabled,
        is_repeated: &is_repeated,
        is_policy_current: &is_policy_current,
        is_full: &is_full,
    };
    let sql = format!(
        "{with_v} SELECT {standing} FROM v LEFT JOIN users u ON u.tenant_id = v.tenant_id AND u.user_id = v.user_id",
        with_v = rows.with_v(),
        standing = standing.select(),
    );
    Some(Statement::new(sql, rows.into_params()))
}

fn question(new: &SignIn) -> QuestionColumns<Value> {
    let (request_id, _) = row::request(new);
    QuestionColumns {
        tenant_id: (&new.tenant_id).into(),
        user_id: (&new.user_id).into(),
        session_id: new.id.into(),
        request_id: Value::Text(request_id),
        replaces: new.replaces.into(),
        policy_version: new.policy_version.into(),
        refused_at: Value::Int(new.refused_at().map(i64::from)),
    }
}

/// Reads the answer to [`find`].
pub(super) fn read(rows: &[Row]) -> Result<Standings, StoreError> {
    let mut standings = Standings::new();
    for row in rows {
        let id = row.array(StandingColumns::AT.session_id)?;
        standings.insert(id, judge(row)?);
    }
    Ok(standings)
}

fn judge(row: &Row) -> Result<Standing, StoreError> {
    let columns = StandingColumns::AT;
    // A repeated call comes first: its session is open, whatever has changed since.
    if row.is_true(columns.is_repeated)? {
        return Ok(Standing::Repeats);
    }
    if row.is_true(columns.is_disabled)? {
        return Ok(Standing::Refused(SignInError::UserDisabled));
    }
    // The other rules are those of a policy that is not in force.
    if !row.is_true(columns.is_policy_current)? {
        return Ok(Standing::Refused(SignInError::PolicyChanged));
    }
    if row.is_true(columns.is_known)? && row.is_true(columns.is_full)? {
        return Ok(Standing::Refused(SignInError::SessionLimit));
    }
    Ok(Standing::Open)
}
