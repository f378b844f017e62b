//! The sweep: which sessions to check for idleness and policy, and when to check them again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{
    columns::{ONLY, columns},
    connection::{Dialect, Statement},
    cutoffs::IS_CUT,
    db::Db,
    listing::{
        conditions::{NEWEST, active},
        surplus::surplus,
    },
    row::{Row, only_row},
    transaction::transaction,
    value::Value,
    values::{ROWS_MAX, ValueRows},
};
use crate::{DueSessions, PolicyWalk, Schedule, SessionsUnder, StoreError};
use portcullis_domain::{Micros, Policy, SweptSession, time::span};

columns! {
    /// A session as the sweep checks it, and the time.
    SweptColumns {
        tenant_id,
        session_id,
        serial,
        user_id,
        created_us,
        expires_us,
        remember_me,
        acr,
        active_us,
        due_us,
        is_over,
        now_us,
    }
}

columns! {
    /// A tenant to look up.
    TenantColumns { tenant_id }
}

columns! {
    /// The policy of a tenant.
    TenantPolicyColumns { tenant_id, policy }
}

columns! {
    /// A policy whose walk is not done.
    WalkColumns { tenant_id, version, policy, sweep_from }
}

columns! {
    /// When to check a session again, and the time that must still be set.
    ScheduleColumns { tenant_id, session_id, due_us, unless_us }
}

/// Records that an authority is up. Returns when one came up after the last time that none had been up for longer than
/// `absence`.
pub(super) async fn record_heartbeat(db: &mut Db, absence: Duration) -> Result<Micros, StoreError> {
    // One statement, so that the absence is measured against the last heartbeat of any authority.
    let sql = format!(
        "UPDATE installation SET resumed_us = CASE WHEN heard_us < {now} - $1 THEN {now} ELSE resumed_us END, \
             heard_us = {now} RETURNING resumed_us",
        now = db.dialect.now,
    );
    let rows = db.query(&sql, &[span(absence).into()]).await?;
    only_row(&rows, "installation")?.time(ONLY)
}

/// The sessions that are due, in the order in which they became so, with the policies of their tenants.
pub(super) async fn due(db: &mut Db, limit: u32) -> Result<DueSessions, StoreError> {
    let sql = format!(
        "{} WHERE s.due_us <= {} ORDER BY s.due_us LIMIT $1",
        select(&db.dialect),
        db.dialect.now
    );
    let rows = db.query(&sql, &[i64::from(limit).into()]).await?;
    let (sessions, now) = read_all(&rows)?;
    // Many sessions have the same tenant. Each policy is read and parsed once.
    let mut tenants = BTreeSet::new();
    for session in &sessions {
        tenants.insert(&session.tenant_id);
    }
    let policies = find_policies(db, &tenants).await?;
    Ok(DueSessions {
        sessions,
        policies,
        now,
    })
}

async fn find_policies(
    db: &mut Db,
    tenants: &BTreeSet<&TenantId>,
) -> Result<HashMap<TenantId, Option<Policy>>, StoreError> {
    let tenants: Vec<_> = tenants.iter().collect();
    let mut policies = HashMap::new();
    for tenants in tenants.chunks(ROWS_MAX) {
        let statement = policies_statement(tenants);
        for row in db.run(&statement).await? {
            let columns = TenantPolicyColumns::AT;
            let tenant = row.tenant_id(columns.tenant_id)?;
            policies.insert(tenant, decode(&row.text(columns.policy)?));
        }
    }
    Ok(policies)
}

fn policies_statement(tenants: &[&&TenantId]) -> Statement {
    let keys = ValueRows::new(tenants.iter().map(|tenant| TenantColumns {
        tenant_id: Value::from(**tenant),
    }));
    let sql = format!(
        "SELECT {} FROM policies WHERE tenant_id IN ({})",
        TenantPolicyColumns::names(),
        keys.tuples()
    );
    Statement::new(sql, keys.into_params())
}

/// A policy, unless this version cannot read it.
fn decode(policy: &str) -> Option<Policy> {
    match Policy::decode(policy) {
        Ok(policy) => Some(policy),
        Err(error) => {
            tracing::error!(
                line = error.line(),
                "a stored policy cannot be read: its sessions are not swept; set it again"
            );
            None
        }
    }
}

/// The next sessions of the first tenant after `after` whose policy has changed and whose walk is not done.
pub(super) async fn walk(
    db: &mut Db,
    after: Option<&TenantId>,
    limit: u32,
) -> Result<Option<PolicyWalk>, StoreError> {
    let Some(row) = find_walk(db, after).await? else {
        return Ok(None);
    };
    let columns = WalkColumns::AT;
    let tenant_id = row.tenant_id(columns.tenant_id)?;
    let policy = decode(&row.text(columns.policy)?);

    let from = row.blob(columns.sweep_from)?;
    let (mut sessions, now) = find_after(db, &tenant_id, from, limit).await?;
    // Without a policy that this version can read, no limit is known. Sessions then end by their
    // expiry alone.
    if let Some(policy) = &policy {
        mark_surplus(db, &tenant_id, policy, &mut sessions).await?;
    }
    Ok(Some(PolicyWalk {
        tenant_id,
        version: row.int(columns.version)?,
        policy,
        sessions,
        now,
    }))
}

/// The sessions of a tenant after an id, in the order of their ids.
async fn find_after(
    db: &mut Db,
    tenant: &TenantId,
    from: &[u8],
    limit: u32,
) -> Result<(Vec<SweptSession>, Micros), StoreError> {
    let sql = format!(
        "{} WHERE s.tenant_id = $1 AND s.session_id > $2 ORDER BY s.session_id LIMIT $3",
        select(&db.dialect)
    );
    let values = [tenant.into(), from.into(), i64::from(limit).into()];
    read_all(&db.query(&sql, &values).await?)
}

/// Active sessions of a tenant, newest first, as the sweep would check them under `policy`.
pub(super) async fn sessions_under(
    db: &mut Db,
    tenant: &TenantId,
    policy: &Policy,
    before: Option<SessionId>,
    limit: u32,
) -> Result<SessionsUnder, StoreError> {
    let sql = format!(
        "{} WHERE s.tenant_id = $1 AND s.session_id < $2 AND {} ORDER BY s.session_id DESC LIMIT $3",
        select(&db.dialect),
        active(&db.dialect, "$1"),
    );
    let before = before.map_or(NEWEST, SessionId::to_bytes);
    let values = [tenant.into(), before[..].into(), i64::from(limit).into()];
    let (mut sessions, now) = read_all(&db.query(&sql, &values).await?)?;
    mark_surplus(db, tenant, policy, &mut sessions).await?;
    Ok(SessionsUnder { sessions, now })
}

async fn find_walk(db: &mut Db, after: Option<&TenantId>) -> Result<Option<Row>, StoreError> {
    let sql = format!(
        "SELECT {} FROM policies WHERE sweep_from IS NOT NULL AND tenant_id > $1 ORDER BY tenant_id LIMIT 1",
        WalkColumns::names()
    );
    let after = after.map_or("", TenantId::as_str);
    Ok(db.query(&sql, &[after.into()]).await?.pop())
}

/// Marks the sessions of users that have more sessions than their policy allows.
async fn mark_surplus(
    db: &mut Db,
    tenant: &TenantId,
    policy: &Policy,
    sessions: &mut [SweptSession],
) -> Result<(), StoreError> {
    for (own, users) in group_by_limits(policy, sessions) {
        let limits = match own {
            Some(user) => policy.effective(user),
            None => policy.limits.clone(),
        };
        let surplus = surplus(db, tenant, &users, &limits).await?;
        let newest: HashMap<_, _> = surplus.into_iter().collect();
        for session in &mut *sessions {
            // That session and all older ones are too many.
            if let Some(newest) = newest.get(&session.user_id)
                && session.serial.0 <= newest.0
            {
                session.surplus = true;
            }
        }
    }
    Ok(())
}

/// The users of active sessions: those with the limits of the tenant together, and each with limits of its own alone.
fn group_by_limits<'a>(
    policy: &'a Policy,
    sessions: &[SweptSession],
) -> BTreeMap<Option<&'a UserId>, Vec<String>> {
    let mut users: BTreeMap<Option<&UserId>, BTreeSet<String>> = BTreeMap::new();
    for session in sessions.iter().filter(|session| !session.ended) {
        // The key of the policy, not of the session: the result outlives the sessions, which are
        // changed while it is used.
        let own = policy.user_overrides.get_key_value(&session.user_id);
        let group = users.entry(own.map(|(user, _)| user)).or_default();
        group.insert(session.user_id.to_string());
    }
    users
        .into_iter()
        .map(|(own, users)| (own, Vec::from_iter(users)))
        .collect()
}

/// Selects the sessions `s` as the sweep checks them, and the time.
fn select(dialect: &Dialect) -> String {
    let is_over = format!("CASE WHEN s.end_event IS NOT NULL OR {IS_CUT} THEN 1 ELSE 0 END");
    let columns = SweptColumns {
        tenant_id: "s.tenant_id",
        session_id: "s.session_id",
        serial: "s.serial",
        user_id: "s.user_id",
        created_us: "s.created_us",
        expires_us: "s.expires_us",
        remember_me: "s.remember_me",
        acr: "s.acr",
        active_us: "s.active_us",
        due_us: "s.due_us",
        is_over: &is_over,
        now_us: dialect.now,
    };
    format!("SELECT {} FROM sessions s", columns.select())
}

fn read_all(rows: &[Row]) -> Result<(Vec<SweptSession>, Micros), StoreError> {
    let now = match rows.first() {
        Some(row) => row.time(SweptColumns::AT.now_us)?,
        None => Micros::default(),
    };
    let sessions = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok((sessions, now))
}

fn read(row: &Row) -> Result<SweptSession, StoreError> {
    let columns = SweptColumns::AT;
    Ok(SweptSession {
        tenant_id: row.tenant_id(columns.tenant_id)?,
        id: row.session_id(columns.session_id)?,
        serial: row.serial(columns.serial)?,
        user_id: row.user_id(columns.user_id)?,
        created: row.time(columns.created_us)?,
        expires: row.time(columns.expires_us)?,
        remember_me: row.is_true(columns.remember_me)?,
        acr: row.text(columns.acr)?,
        last_active: row.time(columns.active_us)?,
        due: row.optional_time(columns.due_us)?,
        ended: row.is_true(columns.is_over)?,
        surplus: false,
    })
}

/// Sets when to check sessions again, unless another authority has set a new time.
pub(super) async fn reschedule(db: &mut Db, schedules: &[Schedule]) -> Result<(), StoreError> {
    let mut schedules: Vec<_> = schedules.iter().collect();
    // In key order, like every transaction that locks several sessions: none can wait for another in a circle.
    schedules.sort_by_key(|schedule| (&schedule.tenant_id, schedule.session_id.to_bytes()));
    for schedules in schedules.chunks(ROWS_MAX) {
        let rows = ValueRows::new(schedules.iter().map(|schedule| schedule_values(schedule)));
        // A report of use may have set a new time since the session was read. That one is right,
        // and stays.
        let sql = format!(
            "{with_v} UPDATE sessions SET due_us = v.due_us FROM v \
             WHERE sessions.tenant_id = v.tenant_id AND sessions.session_id = v.session_id \
                 AND (v.unless_us IS NULL OR sessions.due_us = v.unless_us)",
            with_v = rows.with_v(),
        );
        db.query(&sql, rows.params()).await?;
    }
    Ok(())
}

fn schedule_values(schedule: &Schedule) -> ScheduleColumns<Value> {
    ScheduleColumns {
        tenant_id: (&schedule.tenant_id).into(),
        session_id: schedule.session_id.into(),
        due_us: schedule.due.into(),
        unless_us: schedule.unless_changed.into(),
    }
}

/// Moves a walk on, and sets when to check its sessions again. Returns false, and does nothing, when the policy has
/// changed since or another authority has ended the walk.
pub(super) async fn advance(
    db: &mut Db,
    walk: &PolicyWalk,
    next: Option<SessionId>,
    schedules: &[Schedule],
) -> Result<bool, StoreError> {
    transaction!(db, async {
        // The lock on the policy comes first. It keeps a newer policy from being walked meanwhile, whose times must come
        // after these.
        let is_current = move_walk(db, walk, next).await?;
        if is_current {
            reschedule(db, schedules).await?;
        }
        Ok::<_, StoreError>(is_current)
    })
}

/// The age from which a policy is walked only once. Until then the walk begins again: a sign-in whose statement saw the
/// policy of before may commit after the walk came by.
const POLICY_SETTLED: Duration = Duration::from_secs(5);

async fn move_walk(
    db: &mut Db,
    walk: &PolicyWalk,
    next: Option<SessionId>,
) -> Result<bool, StoreError> {
    // The version is part of the condition: a walk under the old policy must not mark the new one
    // as done.
    let sql = format!(
        "UPDATE policies SET sweep_from = CASE WHEN $3 IS NULL AND changed_us > {} - $4 THEN $5 ELSE $3 END \
         WHERE tenant_id = $1 AND version = $2 AND sweep_from IS NOT NULL RETURNING version",
        db.dialect.now
    );
    let before_all: &[u8] = &[];
    let values = [
        Value::from(&walk.tenant_id),
        walk.version.into(),
        next.into(),
        span(POLICY_SETTLED).into(),
        before_all.into(),
    ];
    let moved = db.query(&sql, &values).await?;
    Ok(!moved.is_empty())
}
