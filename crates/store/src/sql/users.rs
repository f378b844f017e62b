//! Tenants and users as rows.

use std::collections::{BTreeSet, HashMap};

use portcullis_contract::id::{TenantId, TenantSerial, UserId};

use super::{
    Connection, DbError, Dialect, Row, UserKey, Value,
    connection::{ROWS_MAX, ValueRows},
    sessions::{tenant_id, user_id},
    transaction,
};
use crate::{
    domain::{Micros, Profile, SignIn, User, listing::fold},
    store::StoreError,
};

pub(super) async fn ensure_tenant(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
) -> Result<TenantSerial, DbError> {
    let select = "SELECT tenant_serial FROM tenants WHERE tenant_id = $1";
    let key = [tenant.as_str().into()];
    let mut rows = connection.query(select, &key).await?;
    if rows.is_empty() {
        let insert = format!(
            "INSERT INTO tenants VALUES ($1, {}) ON CONFLICT DO NOTHING",
            dialect.next_tenant
        );
        connection.query(&insert, &key).await?;
        rows = connection.query(select, &key).await?;
    }
    let serial = rows.first().and_then(|row| row.unsigned(0).ok());
    serial
        .map(TenantSerial)
        .ok_or_else(|| DbError::Conflict("the tenant went away".into()))
}

pub(super) async fn upsert_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &SignIn,
) -> Result<(), DbError> {
    ensure_user(connection, dialect, &new.tenant_id, &new.user_id).await?;
    let sql = "UPDATE users SET user_name = CASE WHEN $3 = '' THEN user_name ELSE $3 END, \
         given_name = CASE WHEN $4 = '' THEN given_name ELSE $4 END, \
         family_name = CASE WHEN $5 = '' THEN family_name ELSE $5 END, \
         email = CASE WHEN $6 = '' THEN email ELSE $6 END \
         WHERE tenant_id = $1 AND user_id = $2 RETURNING user_name, given_name, family_name, email";
    let Profile {
        user_name,
        given_name,
        family_name,
        email,
    } = &new.profile;
    let texts = [
        new.tenant_id.as_str(),
        new.user_id.as_str(),
        user_name,
        given_name,
        family_name,
        email,
    ];
    let rows = connection.query(sql, &texts.map(Value::from)).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let key = |column| {
        row.text(column)
            .map(|text| fold(&text))
            .map_err(|error| DbError::Other(error.to_string()))
    };
    // Of the names as they are now: the sign-in may have said some of them only. The row is locked.
    let sql = "UPDATE users SET name_key = $3, person_key = $4, email_key = $5 WHERE tenant_id = $1 AND user_id = $2";
    let person = format!("{}\n{}", key(2)?, key(1)?);
    let keys = [key(0)?, person, key(3)?].map(Value::from);
    let user = [new.tenant_id.as_str(), new.user_id.as_str()].map(Value::from);
    connection.query(sql, &[&user[..], &keys].concat()).await?;
    Ok(())
}

/// Makes the row of a user of a known tenant, unless it is there.
pub(super) async fn ensure_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    user: &UserId,
) -> Result<(), DbError> {
    let key = [tenant.as_str().into(), user.as_str().into()];
    let known = "SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2";
    if !connection.query(known, &key).await?.is_empty() {
        return Ok(());
    }
    insert_users(connection, dialect, &[(tenant, user)]).await
}

/// Makes the rows of users of known tenants, in this order, unless they are there.
pub(super) async fn insert_users(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    users: &[(&TenantId, &UserId)],
) -> Result<(), DbError> {
    // Where one statement sees one value of a sequence, its rows are numbered from there.
    let serial = if dialect.serial_per_row {
        dialect.next_user.to_owned()
    } else {
        format!("{} + v.column3", dialect.next_user)
    };
    for chunk in users.chunks(ROWS_MAX) {
        let numbered = (0_i64..).zip(chunk);
        let rows = ValueRows::new(numbered.map(|(number, (tenant, user))| {
            [tenant.as_str().into(), user.as_str().into(), number.into()]
        }));
        let sql = format!(
            "INSERT INTO users (tenant_id, user_id, user_serial, tenant_serial, user_name, given_name, family_name, \
                 email, created_us, disabled_us) \
             SELECT t.tenant_id, v.column2, {serial}, t.tenant_serial, '', '', '', '', {now}, NULL \
             FROM (VALUES {rows}) AS v JOIN tenants t ON t.tenant_id = v.column1 \
             WHERE TRUE ORDER BY v.column3 ON CONFLICT DO NOTHING",
            now = dialect.now,
            rows = rows.text,
        );
        connection.query(&sql, &rows.params).await?;
    }
    Ok(())
}

/// Makes the rows of users of one tenant, and of the tenant, unless they are there.
pub(super) async fn add(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    users: &[UserId],
) -> Result<(), DbError> {
    // In key order, as all who make several users.
    let users: BTreeSet<_> = users.iter().map(|user| (tenant, user)).collect();
    let users: Vec<_> = users.into_iter().collect();
    transaction!(connection, async {
        ensure_tenant(connection, dialect, tenant).await?;
        insert_users(connection, dialect, &users).await
    })
}

/// The users of a tenant, counted up to `max`.
pub(super) async fn count(
    connection: &mut dyn Connection,
    tenant: &TenantId,
    max: u32,
) -> Result<u32, StoreError> {
    // By the key: no other index has all users.
    let sql = "SELECT count(*) FROM (SELECT 1 FROM users u WHERE u.tenant_id = $1 \
         ORDER BY u.user_id LIMIT $2) c";
    let values = [tenant.as_str().into(), i64::from(max).into()];
    let rows = connection.query(sql, &values).await?;
    let count = rows.first().map_or(Ok(0), |row| row.int(0))?;
    Ok(u32::try_from(count).unwrap_or(max))
}

/// Users, in the order of `keys`.
pub(super) async fn users(
    connection: &mut dyn Connection,
    _: &Dialect,
    keys: &[UserKey],
) -> Result<Vec<Option<User>>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = ValueRows::new(
        keys.iter()
            .map(|(tenant, id)| [tenant.as_str().into(), id.as_str().into()]),
    );
    let sql = format!(
        "SELECT tenant_id, user_id, user_name, given_name, family_name, email, created_us, disabled_us FROM users \
         WHERE (tenant_id, user_id) IN (VALUES {})",
        rows.text,
    );
    let found = connection.query(&sql, &rows.params).await?;
    let by_key = |user: User| ((user.tenant_id.clone(), user.user_id.clone()), user);
    let found = found
        .iter()
        .map(|row| read_user(row).map(by_key))
        .collect::<Result<HashMap<_, _>, _>>()?;
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

fn read_user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        tenant_id: tenant_id(row.text(0)?)?,
        user_id: user_id(row.text(1)?)?,
        profile: Profile {
            user_name: row.text(2)?,
            given_name: row.text(3)?,
            family_name: row.text(4)?,
            email: row.text(5)?,
        },
        created: Micros(row.int(6)?),
        disabled: row.optional_int(7)?.map(Micros),
    })
}
