//! Sign-ins: sessions that open.

mod record;
mod repeat;
mod row;

use std::collections::HashMap;

use super::{
    columns::ONLY,
    connection::{DbError, Statement},
    db::Db,
    row::Row,
    transaction::transaction,
    users::{ensure_tenant, upsert_user},
    values::ValueRows,
};
use crate::{SignInError, StoreError};
use portcullis_domain::{SignIn, SignInOutcome};

/// Rows of `sessions` that were inserted, by session id.
type Inserted = HashMap<[u8; 16], Row>;

/// Opens sessions, in one transaction for all of known users.
pub(super) async fn sign_in(
    db: &mut Db,
    group: &[SignIn],
) -> Result<Vec<Result<SignInOutcome, SignInError>>, StoreError> {
    // A session must be covered by each sign-out that commits after the sign-in has read the head
    // of the log. So the head is read no later than anything else: the statement for known users
    // has everything in one snapshot, and each other sign-in reads the head first.
    let mut inserted = sign_in_known_users(db, group).await?;
    let rest: Vec<_> = group
        .iter()
        .filter(|new| !inserted.contains_key(&new.id.to_bytes()))
        .collect();
    inserted.extend(sign_in_together(db, &rest).await?);

    let mut opened = Vec::with_capacity(group.len());
    for new in group {
        opened.push(match inserted.remove(&new.id.to_bytes()) {
            Some(row) => Ok(row::read(new, &row)?),
            None => sign_in_alone(db, new).await,
        });
    }
    Ok(opened)
}

async fn sign_in_known_users(db: &mut Db, group: &[SignIn]) -> Result<Inserted, StoreError> {
    transaction!(db, async {
        let inserted = insert_for_known_users(db, group).await?;
        let mut opened = Vec::with_capacity(inserted.len());
        for new in group {
            if let Some(row) = inserted.get(&new.id.to_bytes()) {
                opened.push((new, row::created(row)?));
            }
        }
        let last = record::statements(&db.dialect, &opened);
        Ok::<_, StoreError>((inserted, last))
    }, then last)
}

/// Inserts the sessions of users that are known with the names that the sign-ins state. A sign-in whose request or
/// session id is taken inserts nothing here.
async fn insert_for_known_users(db: &mut Db, group: &[SignIn]) -> Result<Inserted, StoreError> {
    let mut group: Vec<_> = group.iter().collect();
    // Two transactions that insert the same request ids wait for each other. In one order they cannot wait in a circle.
    group.sort_by_key(|new| (&new.tenant_id, &new.request));

    let rest = "AND (v.user_name = '' OR u.user_name = v.user_name) \
         AND (v.given_name = '' OR u.given_name = v.given_name) \
         AND (v.family_name = '' OR u.family_name = v.family_name) \
         AND (v.email = '' OR u.email = v.email) \
         ON CONFLICT DO NOTHING";
    let mut inserted = HashMap::with_capacity(group.len());
    for group in group.chunks(db.dialect.group_max) {
        let rows = ValueRows::new(group.iter().map(|new| row::values(new)));
        let sql = row::insert(&db.dialect, &rows, "(SELECT revision FROM log_head)", rest);
        for row in db.query(&sql, rows.params()).await? {
            inserted.insert(row::id(&row)?, row);
        }
    }
    Ok(inserted)
}

/// Opens sessions of users that are new or have other names, in one transaction. Opens none when one of them needs a
/// transaction of its own.
async fn sign_in_together(db: &mut Db, group: &[&SignIn]) -> Result<Inserted, StoreError> {
    // Only for an engine with one writer at a time: with several, this transaction would lock users
    // in any order, and two of them could wait for each other.
    let is_only_writer = db.dialect.lock_rows.is_empty();
    if group.len() < 2 || !is_only_writer {
        return Ok(Inserted::new());
    }
    match insert_together(db, group).await {
        // One of them repeats an earlier sign-in. All are opened one by one then.
        Err(DbError::Unique(_)) => Ok(Inserted::new()),
        inserted => Ok(inserted?),
    }
}

async fn insert_together(db: &mut Db, group: &[&SignIn]) -> Result<Inserted, DbError> {
    transaction!(db, async {
        let mut inserted = HashMap::with_capacity(group.len());
        let mut last = Vec::new();
        for new in group {
            let (row, statements) = insert_for_any_user(db, new).await?;
            inserted.extend(row.map(|row| (new.id.to_bytes(), row)));
            last.extend(statements);
        }
        Ok::<_, DbError>((inserted, last))
    }, then last)
}

async fn sign_in_alone(db: &mut Db, new: &SignIn) -> Result<SignInOutcome, SignInError> {
    match insert_alone(db, new).await {
        Ok(Some(row)) => Ok(row::read(new, &row)?),
        // The user was inserted or found just before, so only a disabled user is left out.
        Ok(None) => Err(SignInError::UserDisabled),
        Err(DbError::Unique(_)) => repeat::find_earlier(db, new).await,
        Err(error) => Err(StoreError::from(error).into()),
    }
}

async fn insert_alone(db: &mut Db, new: &SignIn) -> Result<Option<Row>, DbError> {
    transaction!(db, insert_for_any_user(db, new), then last)
}

/// Inserts a session, and its tenant and user if they are new. Returns the row, and the last statements of the
/// transaction. There is no row when the user is disabled.
async fn insert_for_any_user(
    db: &mut Db,
    new: &SignIn,
) -> Result<(Option<Row>, Vec<Statement>), DbError> {
    // The head first: every sign-out that commits from here on has a greater revision, and covers this session.
    let head = read_head(db).await?;
    ensure_tenant(db, &new.tenant_id).await?;
    upsert_user(db, new).await?;

    let mut rows = ValueRows::new([row::values(new)]);
    let head = rows.push(head);
    let sql = row::insert(&db.dialect, &rows, &head, "");
    let inserted = db.query(&sql, rows.params()).await?.pop();
    let last = match &inserted {
        Some(row) => {
            let created = row::created(row).map_err(|error| DbError::Other(error.to_string()))?;
            record::statements(&db.dialect, &[(new, created)])
        }
        None => Vec::new(),
    };
    Ok((inserted, last))
}

async fn read_head(db: &mut Db) -> Result<i64, DbError> {
    let rows = db.query("SELECT revision FROM log_head", &[]).await?;
    let head = rows.first().and_then(|row| row.int(ONLY).ok());
    head.ok_or_else(|| DbError::Other("log_head has no row".into()))
}
