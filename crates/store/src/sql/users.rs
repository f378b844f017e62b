//! Tenants and users as rows.

use std::collections::{BTreeSet, HashMap};

use portcullis_contract::id::{TenantId, TenantSerial, UserId};

use super::{
    columns::{ONLY, columns},
    connection::{DbError, Dialect},
    db::Db,
    row::Row,
    transaction::transaction,
    value::Value,
    values::{ROWS_MAX, ValueRows},
};
use crate::StoreError;
use portcullis_domain::{Profile, SignIn, User, UserRoles, names::NameKeys};

/// The primary key of a user.
pub(super) type UserKey = (TenantId, UserId);

columns! {
    /// The primary key.
    UserKeyColumns { tenant_id, user_id }
}

columns! {
    /// A tenant.
    TenantColumns { tenant_id, tenant_serial }
}

columns! {
    /// The columns of a [`User`].
    UserColumns {
        tenant_id,
        user_id,
        user_name,
        given_name,
        family_name,
        email,
        created_us,
        disabled_us,
        roles,
    }
}

columns! {
    /// The names of a user.
    ProfileColumns { user_name, given_name, family_name, email }
}

columns! {
    /// A user to insert, with its place in the statement.
    NewUser { tenant_id, user_id, number }
}

/// Inserts a tenant unless it is there, and returns its serial.
pub(super) async fn ensure_tenant(db: &mut Db, tenant: &TenantId) -> Result<TenantSerial, DbError> {
    if let Some(serial) = find_tenant(db, tenant).await? {
        return Ok(serial);
    }
    let insert = format!(
        "INSERT INTO tenants (tenant_id, tenant_serial) VALUES ($1, {}) ON CONFLICT DO NOTHING",
        db.dialect.next_tenant
    );
    // Read again instead of RETURNING: another sign-in may have inserted the tenant meanwhile, and
    // then this statement returns nothing.
    db.query(&insert, &[tenant.into()]).await?;
    find_tenant(db, tenant)
        .await?
        .ok_or_else(|| DbError::Conflict("the tenant went away".into()))
}

async fn find_tenant(db: &mut Db, tenant: &TenantId) -> Result<Option<TenantSerial>, DbError> {
    let sql = "SELECT tenant_serial FROM tenants WHERE tenant_id = $1";
    let rows = db.query(sql, &[tenant.into()]).await?;
    let serial = rows.first().and_then(|row| row.unsigned(ONLY).ok());
    Ok(serial.map(TenantSerial))
}

/// The tenants above a serial, lowest first.
pub(super) async fn list_tenants(
    db: &mut Db,
    after: TenantSerial,
    limit: u32,
) -> Result<Vec<(TenantSerial, TenantId)>, StoreError> {
    let sql = format!(
        "SELECT {} FROM tenants WHERE tenant_serial > $1 ORDER BY tenant_serial LIMIT $2",
        TenantColumns::names()
    );
    let values = [after.0.into(), i64::from(limit).into()];
    let rows = db.query(&sql, &values).await?;
    rows.iter().map(read_tenant).collect()
}

fn read_tenant(row: &Row) -> Result<(TenantSerial, TenantId), StoreError> {
    let columns = TenantColumns::AT;
    let serial = TenantSerial(row.unsigned(columns.tenant_serial)?);
    Ok((serial, row.tenant_id(columns.tenant_id)?))
}

/// Inserts the user of a sign-in unless it is there, and takes over the names that the sign-in states.
pub(super) async fn upsert_user(db: &mut Db, new: &SignIn) -> Result<(), DbError> {
    ensure_user(db, &new.tenant_id, &new.user_id).await?;
    // An empty name in a sign-in says nothing about the name. It must not erase the one that is
    // known.
    let sql = format!(
        "UPDATE users SET user_name = CASE WHEN $3 = '' THEN user_name ELSE $3 END, \
             given_name = CASE WHEN $4 = '' THEN given_name ELSE $4 END, \
             family_name = CASE WHEN $5 = '' THEN family_name ELSE $5 END, \
             email = CASE WHEN $6 = '' THEN email ELSE $6 END \
         WHERE tenant_id = $1 AND user_id = $2 RETURNING {}",
        ProfileColumns::names()
    );
    let values = profile_values(new);
    let rows = db.query(&sql, &values).await?;
    match rows.first() {
        Some(row) => update_name_keys(db, new, row).await,
        None => Ok(()),
    }
}

/// Sets the roles that a sign-in states, and returns them if they are new. The user is locked by now.
pub(super) async fn set_stated_roles(
    db: &mut Db,
    new: &SignIn,
) -> Result<Option<UserRoles>, DbError> {
    let Some(roles) = new.roles else {
        return Ok(None);
    };
    let is_new = set_roles(db, &new.tenant_id, &new.user_id, roles).await?;
    Ok(is_new.then_some(roles))
}

/// Sets the roles of a user. Returns false when they were the same.
pub(super) async fn set_roles(
    db: &mut Db,
    tenant: &TenantId,
    user: &UserId,
    roles: UserRoles,
) -> Result<bool, DbError> {
    let sql = "UPDATE users SET roles = $3 \
         WHERE tenant_id = $1 AND user_id = $2 AND roles <> $3 RETURNING user_serial";
    let values: [Value; 3] = [tenant.into(), user.into(), roles.code().into()];
    Ok(!db.query(sql, &values).await?.is_empty())
}

fn profile_values(new: &SignIn) -> [Value; 6] {
    let profile = &new.profile;
    [
        (&new.tenant_id).into(),
        (&new.user_id).into(),
        profile.user_name.as_str().into(),
        profile.given_name.as_str().into(),
        profile.family_name.as_str().into(),
        profile.email.as_str().into(),
    ]
}

/// Computes the keys of the names as they are now, because the sign-in may have stated only some of them. The row is
/// locked by now, so no other sign-in changes a name in between.
async fn update_name_keys(db: &mut Db, new: &SignIn, names: &Row) -> Result<(), DbError> {
    let keys = NameKeys::of(&read_profile(names)?);
    let sql = "UPDATE users SET name_key = $3, person_key = $4, email_key = $5 WHERE tenant_id = $1 AND user_id = $2";
    let values = [
        Value::from(&new.tenant_id),
        Value::from(&new.user_id),
        keys.user_name.into(),
        keys.person.into(),
        keys.email.into(),
    ];
    db.query(sql, &values).await?;
    Ok(())
}

/// Reads [`ProfileColumns`].
fn read_profile(row: &Row) -> Result<Profile, DbError> {
    let columns = ProfileColumns::AT;
    let text = |column| {
        let text = row.text(column);
        text.map_err(|error| DbError::Other(error.to_string()))
    };
    Ok(Profile {
        user_name: text(columns.user_name)?,
        given_name: text(columns.given_name)?,
        family_name: text(columns.family_name)?,
        email: text(columns.email)?,
    })
}

/// Inserts a user of a known tenant, unless it is there.
async fn ensure_user(db: &mut Db, tenant: &TenantId, user: &UserId) -> Result<(), DbError> {
    // Mostly the user is there. A read locks nothing, and takes no serial.
    let known = "SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2";
    let rows = db.query(known, &[tenant.into(), user.into()]).await?;
    if !rows.is_empty() {
        return Ok(());
    }
    insert_users(db, &[(tenant, user)]).await
}

/// Inserts users of known tenants, in this order, unless they are there.
pub(super) async fn insert_users(
    db: &mut Db,
    users: &[(&TenantId, &UserId)],
) -> Result<(), DbError> {
    // Where one statement sees one value of a sequence, its rows are numbered from there.
    let serial = if db.dialect.serial_per_row {
        db.dialect.next_user.to_owned()
    } else {
        format!("{} + v.number", db.dialect.next_user)
    };
    for chunk in users.chunks(ROWS_MAX) {
        let rows = ValueRows::new(
            (0_i64..)
                .zip(chunk)
                .map(|(number, (tenant, user))| NewUser {
                    tenant_id: Value::from(*tenant),
                    user_id: Value::from(*user),
                    number: number.into(),
                }),
        );
        let sql = insert_statement(&db.dialect, &rows, &serial);
        db.query(&sql, rows.params()).await?;
    }
    Ok(())
}

fn insert_statement(dialect: &Dialect, rows: &ValueRows, serial: &str) -> String {
    // WHERE TRUE: without a condition, SQLite takes ON CONFLICT for the condition of the join.
    format!(
        "{with_v} \
         INSERT INTO users (tenant_id, user_id, user_serial, tenant_serial, user_name, given_name, family_name, \
             email, created_us, disabled_us) \
         SELECT t.tenant_id, v.user_id, {serial}, t.tenant_serial, '', '', '', '', {now}, NULL \
         FROM v JOIN tenants t ON t.tenant_id = v.tenant_id \
         WHERE TRUE ORDER BY v.number ON CONFLICT DO NOTHING",
        with_v = rows.with_v(),
        now = dialect.now,
    )
}

/// Inserts users of one tenant, and the tenant, unless they are there.
pub(super) async fn add(db: &mut Db, tenant: &TenantId, users: &[UserId]) -> Result<(), DbError> {
    // In key order, like every transaction that locks several users: none can wait for another in a circle.
    let users: BTreeSet<_> = users.iter().map(|user| (tenant, user)).collect();
    let users: Vec<_> = users.into_iter().collect();
    transaction!(db, async {
        ensure_tenant(db, tenant).await?;
        insert_users(db, &users).await
    })
}

/// Counts the users of a tenant, up to `max`.
pub(super) async fn count(db: &mut Db, tenant: &TenantId, max: u32) -> Result<u32, StoreError> {
    // In the order of the primary key: no other index has all users.
    let sql = "SELECT count(*) FROM (SELECT 1 FROM users u WHERE u.tenant_id = $1 \
         ORDER BY u.user_id LIMIT $2) c";
    let rows = db
        .query(sql, &[tenant.into(), i64::from(max).into()])
        .await?;
    rows.first().map_or(Ok(0), |row| row.count(ONLY))
}

/// Keys for a statement, in their order.
pub(super) fn key_rows<'a>(
    keys: impl IntoIterator<Item = (&'a TenantId, &'a UserId)>,
) -> ValueRows {
    ValueRows::new(keys.into_iter().map(|(tenant, user)| UserKeyColumns {
        tenant_id: Value::from(tenant),
        user_id: Value::from(user),
    }))
}

/// Finds users, in the order of `keys`.
pub(super) async fn find(db: &mut Db, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = key_rows(keys.iter().map(|(tenant, user)| (tenant, user)));
    let sql = format!(
        "SELECT {} FROM users WHERE (tenant_id, user_id) IN {}",
        UserColumns::names(),
        rows.list(),
    );
    // By key, because the answer has no order, and a key that is asked for twice comes once.
    let mut found = HashMap::with_capacity(keys.len());
    for row in db.query(&sql, rows.params()).await? {
        let user = read(&row)?;
        found.insert((user.tenant_id.clone(), user.user_id.clone()), user);
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// Reads [`UserColumns`].
pub(super) fn read(row: &Row) -> Result<User, StoreError> {
    let columns = UserColumns::AT;
    Ok(User {
        tenant_id: row.tenant_id(columns.tenant_id)?,
        user_id: row.user_id(columns.user_id)?,
        profile: Profile {
            user_name: row.text(columns.user_name)?,
            given_name: row.text(columns.given_name)?,
            family_name: row.text(columns.family_name)?,
            email: row.text(columns.email)?,
        },
        created: row.time(columns.created_us)?,
        disabled: row.optional_time(columns.disabled_us)?,
        roles: UserRoles::from_code(row.int(columns.roles)?),
    })
}
