//! Refreshes: each exchanges a refresh token, and moves its session to the next generation.

use std::collections::HashMap;

use portcullis_contract::seeded::{self, Mistake};

use super::{
    audit::outbox,
    columns::columns,
    connection::{Dialect, Statement},
    cutoffs::IS_CUT,
    db::Db,
    sessions::{
        SessionColumns, SessionKey, TimeColumns, find_one, make_durable, read, refreshing_client,
        select_time,
    },
    transaction::transaction,
    value::Value,
    values::ValueRows,
};
use crate::{Proof, RefreshOutcome, StoreError};
use portcullis_domain::{ClientInfo, Micros, PendingEvent, Session};

/// When the user of the session `s` was disabled. A subquery, not a join: PostgreSQL could join by the tenant alone, and
/// read all of its users.
const DISABLED: &str =
    "(SELECT u.disabled_us FROM users u WHERE u.tenant_id = s.tenant_id AND u.user_id = s.user_id)";

columns! {
    /// A refresh as a statement takes it. No name is that of a column of `sessions`: RETURNING names those without their
    /// table, because SQLite does not know an alias there.
    RefreshColumns { of_tenant, of_session, presented_generation, client }
}

/// A refresh token that a caller presents.
#[derive(Clone)]
pub(super) struct Refresh {
    pub(super) session: SessionKey,
    pub(super) generation: u64,
    pub(super) proof: Proof,
    pub(super) client: ClientInfo,
}

/// Sessions that moved to the next generation, each with the time at which it was so.
type Advanced = HashMap<SessionKey, (Session, Micros)>;

/// Why a transaction of refreshes was rolled back.
enum RolledBack<'a> {
    Store(StoreError),
    /// Some tokens were forged. These are the others.
    Forged {
        others: Vec<&'a Refresh>,
    },
}

impl<E: Into<StoreError>> From<E> for RolledBack<'_> {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// Moves sessions to the next generation. Of several calls with the same token, the first that proves it wins.
pub(super) async fn refresh(
    db: &mut Db,
    group: &[Refresh],
) -> Result<Vec<RefreshOutcome>, StoreError> {
    let mut refreshed = advance_genuine(db, group).await?;
    let mut answers = Vec::with_capacity(group.len());
    for refresh in group {
        answers.push(match take_won(&mut refreshed, refresh) {
            Some((session, now)) => RefreshOutcome::Won(Box::new(session), now),
            // After the commit of the others: its answer may speak for one of them.
            None => answer_other(db, refresh).await?,
        });
    }
    Ok(answers)
}

/// Moves the sessions on whose tokens are genuine.
async fn advance_genuine(db: &mut Db, group: &[Refresh]) -> Result<Advanced, StoreError> {
    // The proof needs the row of the session. To take only one statement for each refresh, the
    // statement changes the row first, and the proof is checked before the commit. A forged token
    // rolls the transaction back, and the others go again without it.
    let mut genuine: Vec<_> = group.iter().collect();
    // In key order, like the appender: transactions that lock several sessions cannot wait for each other in a circle.
    genuine.sort_by_key(|refresh| (&refresh.session.0, refresh.session.1.to_bytes()));
    // Each round drops at least one forged token, so the loop ends.
    loop {
        match advance(db, &genuine).await {
            Ok(refreshed) => return Ok(refreshed),
            Err(RolledBack::Forged { others }) => genuine = others,
            Err(RolledBack::Store(error)) => return Err(error),
        }
    }
}

/// Takes the session that this refresh moved on.
fn take_won(refreshed: &mut Advanced, refresh: &Refresh) -> Option<(Session, Micros)> {
    // Another one of the same session may have done that, with another generation or without proof.
    let (session, _) = refreshed.get(&refresh.session)?;
    let is_next = session.generation.checked_sub(1) == Some(refresh.generation);
    if is_next && (refresh.proof)(&session.salt) {
        refreshed.remove(&refresh.session)
    } else {
        None
    }
}

/// Answers a refresh that changed nothing with the session as it is.
async fn answer_other(db: &mut Db, refresh: &Refresh) -> Result<RefreshOutcome, StoreError> {
    // Without proof the caller learns nothing about it.
    let found = find_one(db, &refresh.session).await?;
    match found {
        Some((session, now)) if (refresh.proof)(&session.salt) => {
            // The answer speaks for the refresh of another call, whose commit may not be durable yet.
            make_durable(db, &refresh.session).await?;
            Ok(RefreshOutcome::Lost(Box::new(session), now))
        }
        _ => Ok(RefreshOutcome::NotFound),
    }
}

/// Moves all sessions on, or none when some tokens are forged.
async fn advance<'a>(db: &mut Db, group: &[&'a Refresh]) -> Result<Advanced, RolledBack<'a>> {
    if group.is_empty() {
        return Ok(Advanced::new());
    }
    transaction!(db, async {
        let refreshed = advance_generations(db, group).await?;
        // Checked for the sessions that moved only. A token of another generation is answered
        // later, from the row.
        let (forged, others): (Vec<&Refresh>, Vec<_>) =
            group.iter().partition(|refresh| is_forged(refresh, &refreshed));
        if !forged.is_empty() {
            return Err(RolledBack::Forged { others });
        }
        let mut events = Vec::with_capacity(refreshed.len());
        for (session, now) in refreshed.values() {
            events.push(session.refreshed(*now));
        }
        Ok((refreshed, outbox::defer(&events)))
    }, then last)
}

fn is_forged(refresh: &Refresh, refreshed: &Advanced) -> bool {
    match refreshed.get(&refresh.session) {
        Some((session, _)) => !(refresh.proof)(&session.salt),
        None => false,
    }
}

/// Moves the sessions on that are active and of the generation that their token has. Returns them as they are now.
async fn advance_generations(db: &mut Db, group: &[&Refresh]) -> Result<Advanced, StoreError> {
    let rows = ValueRows::new(group.iter().map(|refresh| values(refresh)));
    let sql = advance_statement(&db.dialect, &rows);
    let mut refreshed = HashMap::with_capacity(group.len());
    for row in db.query(&sql, rows.params()).await? {
        let session = read(&row, None)?;
        let now = row.time(TimeColumns::AT.now_us)?;
        refreshed.insert((session.tenant_id.clone(), session.id), (session, now));
    }
    Ok(refreshed)
}

fn advance_statement(dialect: &Dialect, rows: &ValueRows) -> String {
    let is_cut = match seeded::has(Mistake::RefreshIgnoresCutoff) {
        true => "FALSE",
        false => IS_CUT,
    };
    // The condition on the generation makes one call win. The statement waits for the row lock of
    // another refresh, finds the generation gone, and changes nothing.
    format!(
        "{with_v} UPDATE sessions AS s SET generation = s.generation + 1, rotated_us = {now}, \
             rotated_before_us = COALESCE(s.rotated_us, s.created_us), rotated_by = v.client \
         FROM v \
         WHERE s.tenant_id = v.of_tenant AND s.session_id = v.of_session AND s.generation = v.presented_generation \
             AND s.expires_us > {now} AND s.end_event IS NULL AND NOT {is_cut} AND {DISABLED} IS NULL \
         RETURNING {session}, {time}",
        with_v = rows.with_v(),
        now = dialect.now,
        session = SessionColumns::names(),
        time = select_time(dialect.now),
    )
}

fn values(refresh: &Refresh) -> RefreshColumns<Value> {
    let (tenant, session) = &refresh.session;
    RefreshColumns {
        of_tenant: tenant.into(),
        of_session: (*session).into(),
        presented_generation: refresh.generation.into(),
        client: refreshing_client(&refresh.client).into(),
    }
}

/// Records that two clients presented the same token, once for each generation.
pub(super) async fn record_shared_token(
    db: &mut Db,
    (tenant, id): &SessionKey,
    generation: u64,
    event: &PendingEvent,
) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET shared_generation = $3 \
         WHERE tenant_id = $1 AND session_id = $2 AND generation = $3 \
             AND COALESCE(shared_generation, -1) < $3 RETURNING session_id";
    let values = [tenant.into(), (*id).into(), generation.into()];
    transaction!(db, async {
        // No row: the finding is recorded already, or a newer refresh has made it worthless. Either
        // way there is no second event.
        let recorded = db.query(sql, &values).await?;
        let event: Option<Statement> = if recorded.is_empty() {
            None
        } else {
            outbox::defer(std::slice::from_ref(event))
        };
        Ok::<_, StoreError>(((), event))
    }, then last)
}
