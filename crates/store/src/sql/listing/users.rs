//! Lists of users.

use portcullis_contract::id::TenantId;

use super::{
    super::{Connection, Dialect, Row, Value, cursor, sessions::user_id},
    BY_USER, FENCE, NAMED_USERS_MAX, OF_USERS, Params, active, id_rows, names,
};
use crate::{
    domain::{
        Micros, Page, PageCursor, Profile, User, UserFilter, UserOrder, UserSummary,
        listing::{NameFilter, USER_SESSIONS_COUNTED_MAX},
    },
    store::StoreError,
};

/// The users of a tenant with these names, by sign-in name; at most one more than [`NAMED_USERS_MAX`]. The index
/// `users_by_name` has all names.
pub(super) async fn named(
    connection: &mut dyn Connection,
    tenant: &TenantId,
    filter: &NameFilter,
) -> Result<Vec<String>, StoreError> {
    let mut params = Params::default();
    let tenant = params.bind(tenant.as_str());
    let matching = names(&mut params, filter).join(" AND ");
    let sql = format!(
        "SELECT u.user_id FROM users u WHERE u.tenant_id = {tenant} AND {OF_USERS} AND {matching} ORDER BY u.name_key, u.user_id \
         LIMIT {}",
        NAMED_USERS_MAX + 1
    );
    connection
        .query(&sql, &params.0)
        .await?
        .iter()
        .map(|row| row.text(0))
        .collect()
}

/// One page, from just after the cursor on.
pub(in super::super) async fn list(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    filter: &UserFilter,
    order: UserOrder,
    after: Option<&PageCursor>,
    limit: u32,
) -> Result<Page<UserSummary>, StoreError> {
    let few = if filter.names.is_set() {
        let users = named(connection, &filter.tenant_id, &filter.names).await?;
        Some(users).filter(|users| users.len() <= NAMED_USERS_MAX)
    } else {
        None
    };
    let mut params = Params::default();
    let sql = sql(
        &mut params,
        dialect,
        filter,
        order,
        few.as_deref(),
        after,
        limit,
    )?;
    let mut rows = connection.query(&sql, &params.0).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let end =
        |row: &Row| Ok::<_, StoreError>(cursor::write(&[row.0[KEY].clone(), row.text(0)?.into()]));
    let next = rows.last().filter(|_| more).map(end).transpose()?;
    let now = rows
        .first()
        .map_or(Ok(Micros::default()), |row| row.int(NOW).map(Micros))?;
    let items = rows
        .iter()
        .map(|row| read(filter, row))
        .collect::<Result<_, _>>()?;
    Ok(Page { items, next, now })
}

/// The columns of what a list is ordered by, and of the time.
const KEY: usize = 10;
const NOW: usize = 11;

/// In the order of an index, or of few users, which are sorted.
fn sql(
    params: &mut Params,
    dialect: &Dialect,
    filter: &UserFilter,
    order: UserOrder,
    few: Option<&[String]>,
    after: Option<&PageCursor>,
    limit: u32,
) -> Result<String, StoreError> {
    let tenant = params.bind(filter.tenant_id.as_str());
    let (key, first, descending): (_, Value, _) = match order {
        UserOrder::SignIn => ("signed_in_us", i64::MAX.into(), true),
        UserOrder::UserName => ("name_key", "".into(), false),
        UserOrder::PersonName => ("person_key", "".into(), false),
    };
    let active = active(dialect, &tenant);
    let sessions = |what: &str, limit: u32| {
        format!(
            "SELECT {what} FROM sessions s WHERE s.tenant_id = {tenant} AND {BY_USER} AND s.user_id >= u.user_id \
             AND s.user_id <= u.user_id AND {active} ORDER BY s.user_id DESC, s.session_id DESC LIMIT {limit}"
        )
    };
    let (comparison, direction) = if descending {
        ("<", "DESC")
    } else {
        (">", "ASC")
    };
    let [at, id] = cursor::read(after, [first, "".into()])?.map(|value| params.bind(value));
    let mut of = vec![format!(
        "u.tenant_id = {tenant} AND {OF_USERS} AND (u.{key}, u.user_id) {comparison} ({at}, {id})"
    )];
    for (time, comparison) in [(filter.signed_in.from, ">="), (filter.signed_in.until, "<")] {
        if let Some(time) = time {
            of.push(format!(
                "u.signed_in_us {comparison} {}",
                params.bind(time.0)
            ));
        }
    }
    if !filter.signed_out {
        of.push(format!("({}) IS NOT NULL", sessions("s.serial", 1)));
    }
    let from = if let Some(few) = few {
        let rows = id_rows(params, few);
        format!(
            "(SELECT u.* FROM (VALUES {rows}) AS v CROSS JOIN users u \
             WHERE u.tenant_id = {tenant} AND u.user_id = v.column1 {FENCE}) u"
        )
    } else {
        of.extend(names(params, &filter.names));
        "users u".into()
    };
    let counted = sessions("s.active_us", USER_SESSIONS_COUNTED_MAX + 1);
    Ok(format!(
        "SELECT u.user_id, u.user_name, u.given_name, u.family_name, u.email, u.created_us, u.disabled_us, \
             (SELECT count(*) FROM ({counted}) c), u.signed_in_us, (SELECT max(c.active_us) FROM ({counted}) c), \
             u.{key}, {now} \
         FROM {from} WHERE {of} ORDER BY u.{key} {direction}, u.user_id {direction} LIMIT {limit}",
        now = super::now(dialect),
        of = of.join(" AND "),
        limit = params.bind(i64::from(limit) + 1),
    ))
}

fn read(filter: &UserFilter, row: &Row) -> Result<UserSummary, StoreError> {
    Ok(UserSummary {
        user: User {
            tenant_id: filter.tenant_id.clone(),
            user_id: user_id(row.text(0)?)?,
            profile: Profile {
                user_name: row.text(1)?,
                given_name: row.text(2)?,
                family_name: row.text(3)?,
                email: row.text(4)?,
            },
            created: Micros(row.int(5)?),
            disabled: row.optional_int(6)?.map(Micros),
        },
        sessions: u32::try_from(row.int(7)?).unwrap_or(u32::MAX),
        signed_in: Some(Micros(row.int(8)?)).filter(|at| *at > Micros::default()),
        last_active: row.optional_int(9)?.map(Micros),
    })
}
