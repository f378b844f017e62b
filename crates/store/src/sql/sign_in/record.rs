//! Rows that a sign-in leaves beside its session: the user's last sign-in, footprints, audit events.

use std::collections::BTreeMap;

use super::super::{
    audit::outbox,
    columns::columns,
    connection::{Dialect, Statement},
    history,
    json::json,
    value::Value,
    values::ValueRows,
};
use portcullis_domain::{Micros, SignIn};

columns! {
    /// The last sign-in of a user.
    LastSignIn { tenant_id, user_id, place }
}

/// The last statements of a transaction that opened sessions at these times.
pub(super) fn statements(dialect: &Dialect, opened: &[(&SignIn, Micros)]) -> Vec<Statement> {
    if opened.is_empty() {
        return Vec::new();
    }
    let mut statements = vec![update_last_sign_ins(dialect, opened)];
    let sign_ins = opened.iter().map(|(new, _)| *new);
    statements.extend(history::add_footprints(dialect, sign_ins));

    let mut events = Vec::new();
    for (new, at) in opened {
        events.extend(new.events(*at));
    }
    statements.extend(outbox::defer(&events));
    statements
}

fn update_last_sign_ins(dialect: &Dialect, opened: &[(&SignIn, Micros)]) -> Statement {
    // In key order, like every transaction that locks several users. Of two sign-ins of one user the last counts.
    let mut last = BTreeMap::new();
    for (new, _) in opened {
        last.insert((&new.tenant_id, &new.user_id), &new.sight.place);
    }
    let rows = ValueRows::new(last.into_iter().map(|((tenant, user), place)| LastSignIn {
        tenant_id: Value::from(tenant),
        user_id: Value::from(user),
        place: json(place).into(),
    }));
    // After the sessions, and together with the COMMIT: the lock on the user is held for one round
    // trip.
    let sql = format!(
        "{with_v} UPDATE users AS u SET signed_in_us = {now}, signed_in_at = v.place FROM v \
         WHERE u.tenant_id = v.tenant_id AND u.user_id = v.user_id",
        with_v = rows.with_v(),
        now = dialect.now,
    );
    Statement::new(sql, rows.into_params())
}
