//! Sign-ins: sessions that open.

pub(super) mod limit;
mod record;
mod repeat;
mod row;
mod standing;

use std::collections::HashMap;

use portcullis_contract::{
    id::{Serial, SessionId},
    seeded::{self, Mistake},
};

use self::standing::{Standing, Standings};
use super::{
    audit::outbox,
    columns::ONLY,
    connection::{DbError, Dialect, Statement},
    db::Db,
    row::Row,
    transaction::transaction,
    users::{ensure_tenant, set_stated_roles, upsert_user},
    values::ValueRows,
};
use crate::{SignInError, StoreError};
use portcullis_domain::{Micros, SignIn, SignInOutcome, UserRoles};

/// How often a sign-in is tried whose obstacle goes away each time before it is named.
const ATTEMPTS_MAX: usize = 3;

/// A session that was inserted: its row, and the sessions that it leaves no room for.
struct Inserted {
    row: Row,
    excess: Vec<SessionId>,
}

/// Sessions that were inserted, by id.
type InsertedById = HashMap<[u8; 16], Inserted>;

/// The reason why a transaction was rolled back.
enum NotOpened {
    Store(StoreError),
    Standing(Standing),
}

impl From<DbError> for NotOpened {
    fn from(error: DbError) -> Self {
        match error {
            // Another call has taken the request id or the session id just now.
            DbError::Unique(_) => Self::Standing(Standing::Repeats),
            error => Self::Store(error.into()),
        }
    }
}

impl From<StoreError> for NotOpened {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Opens sessions, in one transaction for all of known users whose number of sessions is not limited.
pub(super) async fn sign_in(
    db: &mut Db,
    group: &[SignIn],
) -> Result<Vec<Result<SignInOutcome, SignInError>>, StoreError> {
    // A session must be covered by each sign-out that commits after the sign-in has read the head
    // of the log. So the head is read no later than anything else: the statement for known users
    // has everything in one snapshot, and each other sign-in reads the head first.
    let (mut inserted, mut standings) = sign_in_all_known(db, group).await?;
    let rest = without_obstacle(group, &standings);
    inserted.extend(sign_in_together(db, &rest).await?);

    let mut outcomes = Vec::with_capacity(group.len());
    for new in group {
        let id = new.id.to_bytes();
        let inserted = inserted.remove(&id);
        outcomes.push(complete(db, new, inserted, standings.remove(&id)).await);
    }
    Ok(outcomes)
}

/// Opens the sessions of known users, one transaction after the other.
async fn sign_in_all_known(
    db: &mut Db,
    group: &[SignIn],
) -> Result<(InsertedById, Standings), StoreError> {
    let mut inserted = InsertedById::new();
    let mut standings = Standings::new();
    for transaction in split(&db.dialect, group) {
        let (opened, left_out) = sign_in_known_users(db, &transaction).await?;
        inserted.extend(opened);
        standings.extend(left_out);
    }
    Ok((inserted, standings))
}

/// The sign-ins that were left out though nothing speaks against them: their users are unknown, or have other names.
fn without_obstacle<'a>(group: &'a [SignIn], standings: &Standings) -> Vec<&'a SignIn> {
    let mut rest = Vec::new();
    for new in group {
        if let Some(Standing::Open) = standings.get(&new.id.to_bytes()) {
            rest.push(new);
        }
    }
    rest
}

/// The outcome of a sign-in of a group. One that was left out is answered alone.
async fn complete(
    db: &mut Db,
    new: &SignIn,
    inserted: Option<Inserted>,
    standing: Option<Standing>,
) -> Result<SignInOutcome, SignInError> {
    match (inserted, standing) {
        (Some(inserted), _) => outcome(new, inserted),
        (None, Some(Standing::Refused(error))) => Err(error),
        (None, Some(Standing::Repeats)) => repeat::find_earlier(db, new).await,
        // Without a standing the group has the same sign-in twice.
        (None, Some(Standing::Open) | None) => sign_in_alone(db, new).await,
    }
}

/// The outcome of a sign-in whose session is open.
fn outcome(new: &SignIn, inserted: Inserted) -> Result<SignInOutcome, SignInError> {
    let outcome = row::read(new, &inserted.row, inserted.excess)?;
    if seeded::has(Mistake::LimitAfterInsert)
        && let Some(limit) = new.refused_at()
        && outcome.other_sessions >= limit
    {
        return Err(SignInError::SessionLimit);
    }
    Ok(outcome)
}

/// Splits a group into transactions: one of sign-ins without a limit, and those of sign-ins with one.
fn split<'a>(dialect: &Dialect, group: &'a [SignIn]) -> Vec<Vec<&'a SignIn>> {
    let is_only_writer = dialect.lock_rows.is_empty();
    if is_only_writer {
        return vec![group.iter().collect()];
    }
    // A sign-in without a limit locks its user last, after it may have waited for another call with its request id. One
    // with a limit locks its user first. Both in one transaction could wait for others in a circle.
    let (limited, unlimited): (Vec<_>, Vec<_>) = group
        .iter()
        .partition(|new: &&SignIn| new.session_limit.is_some());
    let mut transactions = Vec::new();
    if !unlimited.is_empty() {
        transactions.push(unlimited);
    }
    // All users of a transaction are locked by one statement, in one order.
    transactions.extend(limited.chunks(dialect.group_max).map(<[_]>::to_vec));
    transactions
}

/// Opens the sessions of known users in one transaction, and tells the standing of each sign-in that it left out.
async fn sign_in_known_users(
    db: &mut Db,
    group: &[&SignIn],
) -> Result<(InsertedById, Standings), StoreError> {
    // Not the macro `transaction!`: the last statement has an answer.
    db.begin().await?;
    match insert_for_known_users(db, group).await {
        Ok(inserted) => {
            let standings = commit_known_users(db, group, &inserted).await?;
            Ok((inserted, standings))
        }
        Err(error) => {
            // The caller needs this error. A rollback that fails as well drops the db.
            let _ = db.rollback().await;
            Err(error)
        }
    }
}

/// Commits the sessions that were inserted, and asks for the standings of the other sign-ins.
async fn commit_known_users(
    db: &mut Db,
    group: &[&SignIn],
    inserted: &InsertedById,
) -> Result<Standings, StoreError> {
    let mut left_out = group.to_vec();
    left_out.retain(|new| !inserted.contains_key(&new.id.to_bytes()));

    let mut last = record_opened(&db.dialect, group, inserted)?;
    // It goes out with the COMMIT, and costs no round trip. Users with a limit are still locked.
    last.extend(standing::find(&db.dialect, &left_out));
    // A commit that fails may have happened all the same. Then a repetition finds the session by
    // its request id or its session id.
    let answers = db.finish(&last).await?;
    match answers.last() {
        Some(rows) if !left_out.is_empty() => standing::read(rows),
        _ => Ok(Standings::new()),
    }
}

fn record_opened(
    dialect: &Dialect,
    group: &[&SignIn],
    inserted: &InsertedById,
) -> Result<Vec<Statement>, StoreError> {
    let mut opened = Vec::with_capacity(inserted.len());
    for new in group {
        if let Some(Inserted { row, .. }) = inserted.get(&new.id.to_bytes()) {
            opened.push((*new, row::created(row)?));
        }
    }
    Ok(record::statements(dialect, &opened))
}

/// Inserts the sessions of users that are known with the names that the sign-ins state. A sign-in whose request or
/// session id is taken, or that its policy refuses, inserts nothing here.
async fn insert_for_known_users(
    db: &mut Db,
    group: &[&SignIn],
) -> Result<InsertedById, StoreError> {
    let mut group = group.to_vec();
    // Two transactions that insert the same request ids wait for each other. In one order they cannot wait in a circle.
    group.sort_by_key(|new| (&new.tenant_id, &new.request));

    let mut inserted = InsertedById::with_capacity(group.len());
    for chunk in group.chunks(db.dialect.group_max) {
        let chunk = limit::lock_users(db, chunk).await?;
        if !chunk.is_empty() {
            insert_locked(db, &chunk, &mut inserted).await?;
        }
    }
    Ok(inserted)
}

/// Inserts the sessions of users that are locked, where their number is limited.
async fn insert_locked(
    db: &mut Db,
    group: &[&SignIn],
    inserted: &mut InsertedById,
) -> Result<(), StoreError> {
    // Each statement has its own snapshot, so the insert sees all sessions that were opened under the lock before.
    let mut statements = vec![insert_statement(&db.dialect, group)];
    statements.extend(limit::find_surplus(&db.dialect, group));

    let mut answers = db.run_all(&statements).await?.into_iter();
    for row in answers.next().unwrap_or_default() {
        let excess = Vec::new();
        inserted.insert(row::id(&row)?, Inserted { row, excess });
    }
    let surplus = limit::read_surplus(&answers.next().unwrap_or_default())?;
    list_excess(db, group, &surplus, inserted).await
}

/// Lists the sessions that have to make room for sessions that were inserted.
async fn list_excess(
    db: &mut Db,
    group: &[&SignIn],
    surplus: &HashMap<[u8; 16], Serial>,
    inserted: &mut InsertedById,
) -> Result<(), StoreError> {
    let mut ids = Vec::new();
    let mut statements = Vec::new();
    for new in group {
        if let Some(newest) = surplus.get(&new.id.to_bytes()) {
            ids.push(new.id.to_bytes());
            statements.push(limit::list_excess(&db.dialect, new, *newest));
        }
    }
    // Mostly everybody has room, and nothing is asked.
    if statements.is_empty() {
        return Ok(());
    }
    let answers = db.run_all(&statements).await?;
    for (id, rows) in ids.iter().zip(&answers) {
        if let Some(inserted) = inserted.get_mut(id) {
            inserted.excess = limit::read_excess(rows)?;
        }
    }
    Ok(())
}

fn insert_statement(dialect: &Dialect, group: &[&SignIn]) -> Statement {
    let rest = "AND (v.user_name = '' OR u.user_name = v.user_name) \
         AND (v.given_name = '' OR u.given_name = v.given_name) \
         AND (v.family_name = '' OR u.family_name = v.family_name) \
         AND (v.email = '' OR u.email = v.email) \
         AND (v.roles IS NULL OR u.roles = v.roles) \
         ON CONFLICT DO NOTHING";
    // None of them sees the others, so each leaves a place to those of its user that come before it. One that is left
    // out for one before it that is left out too is tried again alone.
    let mut of_users: HashMap<_, u32> = HashMap::new();
    let rows = ValueRows::new(group.iter().map(|new| {
        let ahead = of_users.entry((&new.tenant_id, &new.user_id)).or_default();
        let values = row::values(new, *ahead);
        *ahead += 1;
        values
    }));
    let sql = row::insert(dialect, &rows, "(SELECT revision FROM log_head)", rest);
    Statement::new(sql, rows.into_params())
}

/// Opens sessions of users that are new or have other names, in one transaction. Opens none when one of them needs a
/// transaction of its own.
async fn sign_in_together(db: &mut Db, group: &[&SignIn]) -> Result<InsertedById, StoreError> {
    // Only for an engine with one writer at a time: with several, this transaction would lock users
    // in any order, and two of them could wait for each other.
    let is_only_writer = db.dialect.lock_rows.is_empty();
    if group.len() < 2 || !is_only_writer {
        return Ok(InsertedById::new());
    }
    match insert_together(db, group).await {
        // One of them repeats an earlier sign-in, or is refused. All are opened one by one then.
        Err(NotOpened::Standing(_)) => Ok(InsertedById::new()),
        Err(NotOpened::Store(error)) => Err(error),
        Ok(inserted) => Ok(inserted),
    }
}

async fn insert_together(db: &mut Db, group: &[&SignIn]) -> Result<InsertedById, NotOpened> {
    transaction!(db, async {
        let mut inserted = InsertedById::with_capacity(group.len());
        let mut last = Vec::new();
        for new in group {
            let (row, statements) = insert_for_any_user(db, new).await?;
            inserted.insert(new.id.to_bytes(), row);
            last.extend(statements);
        }
        Ok::<_, NotOpened>((inserted, last))
    }, then last)
}

async fn sign_in_alone(db: &mut Db, new: &SignIn) -> Result<SignInOutcome, SignInError> {
    // The statement that inserts and the one that asks why not have two snapshots. Between them the
    // obstacle may vanish, and then there is nothing to tell the caller but to try again.
    for _ in 0..ATTEMPTS_MAX {
        match insert_alone(db, new).await {
            Ok(inserted) => return outcome(new, inserted),
            Err(NotOpened::Standing(Standing::Repeats)) => {
                return repeat::find_earlier(db, new).await;
            }
            Err(NotOpened::Standing(Standing::Refused(error))) => return Err(error),
            // A session that was in the way ended between two statements.
            Err(NotOpened::Standing(Standing::Open)) => {}
            Err(NotOpened::Store(error)) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict("the sessions of the user change too often".into()).into())
}

async fn insert_alone(db: &mut Db, new: &SignIn) -> Result<Inserted, NotOpened> {
    transaction!(db, insert_for_any_user(db, new), then last)
}

/// Inserts a session, and its tenant and user if they are new. Returns it with the last statements of the transaction.
/// A sign-in that may not open a session fails, so that nothing of it stays.
async fn insert_for_any_user(
    db: &mut Db,
    new: &SignIn,
) -> Result<(Inserted, Vec<Statement>), NotOpened> {
    // The head first: every sign-out that commits from here on has a greater revision, and covers this session.
    let head = read_head(db).await?;
    ensure_tenant(db, &new.tenant_id).await?;
    // It locks the user, so that sign-ins of this user take turns from here on.
    upsert_user(db, new).await?;
    let new_roles = set_stated_roles(db, new).await?;

    let Some(row) = insert_one(db, new, head).await? else {
        return Err(NotOpened::Standing(find_standing(db, new).await?));
    };
    // After the insert, so that the new session has its serial and counts itself.
    let excess = limit::find_excess(db, new).await?;
    let last = last_statements(&db.dialect, new, row::created(&row)?, new_roles);
    Ok((Inserted { row, excess }, last))
}

fn last_statements(
    dialect: &Dialect,
    new: &SignIn,
    created: Micros,
    new_roles: Option<UserRoles>,
) -> Vec<Statement> {
    let mut last = record::statements(dialect, &[(new, created)]);
    if let Some(roles) = new_roles {
        last.extend(outbox::defer(&[new.roles_event(roles, created)]));
    }
    last
}

/// Inserts the session of a user that is there. Returns none when something speaks against it.
async fn insert_one(db: &mut Db, new: &SignIn, head: i64) -> Result<Option<Row>, DbError> {
    let mut rows = ValueRows::new([row::values(new, 0)]);
    let head = rows.push(head);
    let sql = row::insert(&db.dialect, &rows, &head, "");
    Ok(db.query(&sql, rows.params()).await?.pop())
}

async fn find_standing(db: &mut Db, new: &SignIn) -> Result<Standing, NotOpened> {
    let mut standings = Standings::new();
    if let Some(statement) = standing::find(&db.dialect, &[new]) {
        standings = standing::read(&db.run(&statement).await?)?;
    }
    Ok(standings
        .remove(&new.id.to_bytes())
        .unwrap_or(Standing::Open))
}

async fn read_head(db: &mut Db) -> Result<i64, DbError> {
    let rows = db.query("SELECT revision FROM log_head", &[]).await?;
    let head = rows.first().and_then(|row| row.int(ONLY).ok());
    head.ok_or_else(|| DbError::Other("log_head has no row".into()))
}
