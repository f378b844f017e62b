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
use portcullis_domain::{Micros, SignIn, place::KnownPlace};

columns! {
    /// The last sign-in of a user. `placed_at` is empty for one without coordinates.
    LastSignIn { tenant_id, user_id, placed_at }
}

/// The last statements of a transaction that opened sessions at these times.
pub(super) fn statements(dialect: &Dialect, opened: &[(&SignIn, Micros)]) -> Vec<Statement> {
    if opened.is_empty() {
        return Vec::new();
    }
    let mut statements = vec![update_last_sign_ins(dialect, opened)];
    // Last in the transaction, like the update of users: rows that the sign-ins of one user share
    // are held only for the round trip of the commit.
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
    // In key order, like every transaction that locks several users.
    let mut last = BTreeMap::new();
    for (new, _) in opened {
        let placed_at = last.entry((&new.tenant_id, &new.user_id)).or_default();
        // Of two sign-ins of one user the last counts, and of their places the last one that is known.
        if let Some(known) = known_place(new) {
            *placed_at = json(&known);
        }
    }
    let rows = ValueRows::new(
        last.into_iter()
            .map(|((tenant, user), placed_at)| LastSignIn {
                tenant_id: Value::from(tenant),
                user_id: Value::from(user),
                placed_at: String::into(placed_at),
            }),
    );
    // After the sessions, and together with the COMMIT: the lock on the user is held for one round
    // trip.
    let sql = format!(
        "{with_v} UPDATE users AS u SET signed_in_us = {now}, \
             placed_us = CASE WHEN v.placed_at = '' THEN u.placed_us ELSE {now} END, \
             placed_at = CASE WHEN v.placed_at = '' THEN u.placed_at ELSE v.placed_at END FROM v \
         WHERE u.tenant_id = v.tenant_id AND u.user_id = v.user_id",
        with_v = rows.with_v(),
        now = dialect.now,
    );
    Statement::new(sql, rows.into_params())
}

/// The place of a sign-in, for later ones to be compared with. None: no distance from it can be told.
fn known_place(new: &SignIn) -> Option<KnownPlace> {
    let place = &new.sight.place;
    place.coordinates?;
    Some(KnownPlace {
        ip: new.client.ip.parse().ok(),
        place: place.clone(),
        network_beside: new.sight.network_beside.clone(),
    })
}
