//! Refresh tokens that rotate.

use std::collections::HashMap;

use super::{
    Connection, Dialect, SessionKey, Statement,
    connection::ValueRows,
    pending,
    sessions::{COLUMNS, IS_CUT, by_key, find, make_durable, read, rotating_client},
    transaction,
};
use crate::{
    domain::{ClientInfo, Micros, PendingEvent, Session},
    store::{Proof, RefreshOutcome, StoreError},
};

/// When the user of the session `s` was disabled. A subquery, not a join: PostgreSQL might join by the tenant alone, and
/// read all of its users.
const DISABLED: &str =
    "(SELECT u.disabled_us FROM users u WHERE u.tenant_id = s.tenant_id AND u.user_id = s.user_id)";

/// A refresh token as it was presented.
#[derive(Clone)]
pub(super) struct Presented {
    pub(super) session: SessionKey,
    pub(super) generation: u64,
    pub(super) proof: Proof,
    pub(super) client: ClientInfo,
}

/// Sessions by what names them, each with the time at which it was so.
type Found = HashMap<SessionKey, (Session, Micros)>;

/// Why a rotation was undone.
enum Undone<'a> {
    Store(StoreError),
    /// Some were presented without proof; the others.
    Forged(Vec<&'a Presented>),
}

impl<E: Into<StoreError>> From<E> for Undone<'_> {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// Advances the generations of sessions, each for the first who asks for it and proves that it may. The proof needs the
/// row: it is asked for before the commit, so that a rotation takes one statement, and a forged token changes nothing.
pub(super) async fn rotate(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    asked: &[Presented],
) -> Result<Vec<RefreshOutcome>, StoreError> {
    let mut genuine: Vec<_> = asked.iter().collect();
    // In key order: rows are locked in one order, which is also the appender's.
    genuine.sort_by_key(|presented| (&presented.session.0, presented.session.1.to_bytes()));
    let mut won = loop {
        match advance(connection, dialect, &genuine).await {
            Ok(won) => break won,
            Err(Undone::Forged(others)) => genuine = others,
            Err(Undone::Store(error)) => return Err(error),
        }
    };
    let mut rotated = Vec::with_capacity(asked.len());
    for Presented {
        session: key,
        generation,
        proof,
        ..
    } in asked
    {
        let is_it = |session: &Session| {
            session.generation.checked_sub(1) == Some(*generation) && proof(&session.salt)
        };
        if won.get(key).is_some_and(|(session, _)| is_it(session))
            && let Some((session, now)) = won.remove(key)
        {
            rotated.push(RefreshOutcome::Won(Box::new(session), now));
            continue;
        }
        let found = find(connection, dialect, std::slice::from_ref(key))
            .await?
            .pop()
            .flatten();
        rotated.push(match found.filter(|(session, _)| proof(&session.salt)) {
            Some((session, now)) => {
                make_durable(connection, dialect, key).await?;
                RefreshOutcome::Lost(Box::new(session), now)
            }
            None => RefreshOutcome::NotFound,
        });
    }
    Ok(rotated)
}

/// Advances all of them, or none when some have no proof.
async fn advance<'a>(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    presented: &[&'a Presented],
) -> Result<Found, Undone<'a>> {
    if presented.is_empty() {
        return Ok(Found::new());
    }
    transaction!(connection, async {
        let won = advance_generations(connection, dialect, presented).await?;
        let is_forged = |one: &&&Presented| won.get(&one.session).is_some_and(|(session, _)| !(one.proof)(&session.salt));
        let (forged, others): (Vec<&Presented>, Vec<_>) = presented.iter().partition(is_forged);
        if !forged.is_empty() {
            return Err(Undone::Forged(others));
        }
        let events: Vec<_> = won.values().map(|(session, now)| session.refreshed(*now)).collect();
        Ok((won, pending::defer(&events)))
    }, then last)
}

/// The sessions that were alive and of the generation that was asked for, as they are now.
async fn advance_generations(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    presented: &[&Presented],
) -> Result<Found, StoreError> {
    let rows = ValueRows::new(presented.iter().map(
        |Presented {
             session: (tenant, id),
             generation,
             client,
             ..
         }| {
            [
                tenant.as_str().into(),
                id.to_bytes()[..].into(),
                (*generation).into(),
                rotating_client(client).into(),
            ]
        },
    ));
    let sql = format!(
        "UPDATE sessions AS s SET generation = s.generation + 1, rotated_us = {now}, \
             rotated_before_us = COALESCE(s.rotated_us, s.created_us), rotated_by = v.column4 \
         FROM (VALUES {rows}) AS v \
         WHERE s.tenant_id = v.column1 AND s.session_id = v.column2 AND s.generation = v.column3 \
             AND s.expires_us > {now} AND s.end_event IS NULL AND NOT {IS_CUT} AND {DISABLED} IS NULL \
         RETURNING {columns}, {now}",
        now = dialect.now,
        rows = rows.text,
        columns = COLUMNS.join(", "),
    );
    let won = connection.query(&sql, &rows.params).await?;
    won.iter()
        .map(|row| by_key(read(row, None)?, Micros(row.int(COLUMNS.len())?)))
        .collect()
}

/// Notes a token that two clients presented, once for each generation.
pub(super) async fn note_shared(
    connection: &mut dyn Connection,
    (tenant, id): &SessionKey,
    generation: u64,
    event: &PendingEvent,
) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET shared_generation = $3 \
         WHERE tenant_id = $1 AND session_id = $2 AND generation = $3 \
             AND COALESCE(shared_generation, -1) < $3 RETURNING session_id";
    let params = [
        tenant.as_str().into(),
        id.to_bytes()[..].into(),
        generation.into(),
    ];
    transaction!(connection, async {
        let noted = connection.query(sql, &params).await?;
        let event: Option<Statement> = match noted.is_empty() {
            true => None,
            false => pending::defer(std::slice::from_ref(event)),
        };
        Ok::<_, StoreError>(((), event))
    }, then last)
}
