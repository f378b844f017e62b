//! What the sweep reads and writes: which sessions to look at, and when to look again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{
    Connection, Dialect, Row, Value,
    connection::ValueRows,
    listing,
    sessions::{IS_CUT, tenant_id, user_id},
    transaction,
};
use crate::{
    domain::{Micros, Policy, SweptSession, time::span},
    store::{DueSessions, PolicyWalk, Schedule, StoreError},
};

pub(super) async fn hear(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    absence: Duration,
) -> Result<Micros, StoreError> {
    let sql = format!(
        "UPDATE installation SET resumed_us = CASE WHEN heard_us < {now} - $1 THEN {now} ELSE resumed_us END, \
             heard_us = {now} RETURNING resumed_us",
        now = dialect.now,
    );
    let rows = connection.query(&sql, &[span(absence).into()]).await?;
    Ok(Micros(
        rows.first()
            .ok_or_else(|| StoreError::Internal("no installation".into()))?
            .int(0)?,
    ))
}

pub(super) async fn due(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    limit: u32,
) -> Result<DueSessions, StoreError> {
    let sql = format!(
        "{} WHERE s.due_us <= {} ORDER BY s.due_us LIMIT $1",
        select(dialect),
        dialect.now
    );
    let (sessions, now) = read(&connection.query(&sql, &[i64::from(limit).into()]).await?)?;
    let tenants: BTreeSet<_> = sessions
        .iter()
        .map(|session| session.tenant_id.as_str())
        .collect();
    let policies = policies(connection, &tenants).await?;
    Ok(DueSessions {
        sessions,
        policies,
        now,
    })
}

async fn policies(
    connection: &mut dyn Connection,
    tenants: &BTreeSet<&str>,
) -> Result<HashMap<TenantId, Option<Policy>>, StoreError> {
    let mut policies = HashMap::new();
    for tenants in tenants.iter().collect::<Vec<_>>().chunks(1_024) {
        let keys = ValueRows::new(tenants.iter().map(|tenant| [(**tenant).into()]));
        let sql = format!(
            "SELECT tenant_id, policy FROM policies WHERE tenant_id IN ({})",
            keys.text
        );
        for row in connection.query(&sql, &keys.params).await? {
            policies.insert(tenant_id(row.text(0)?)?, decode(&row.text(1)?));
        }
    }
    Ok(policies)
}

fn decode(policy: &str) -> Option<Policy> {
    Policy::decode(policy)
        .inspect_err(|error| tracing::error!(line = error.line(), "a policy cannot be read"))
        .ok()
}

pub(super) async fn walk(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    after: Option<&TenantId>,
    limit: u32,
) -> Result<Option<PolicyWalk>, StoreError> {
    let sql = "SELECT tenant_id, version, policy, sweep_from FROM policies \
         WHERE sweep_from IS NOT NULL AND tenant_id > $1 ORDER BY tenant_id LIMIT 1";
    let rows = connection
        .query(sql, &[after.map_or("", TenantId::as_str).into()])
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let (tenant, from) = (row.text(0)?, row.blob(3)?);
    let sql = format!(
        "{} WHERE s.tenant_id = $1 AND s.session_id > $2 ORDER BY s.session_id LIMIT $3",
        select(dialect)
    );
    let values = [tenant.as_str().into(), from.into(), i64::from(limit).into()];
    let (mut sessions, now) = read(&connection.query(&sql, &values).await?)?;
    let (tenant_id, policy) = (tenant_id(tenant)?, decode(&row.text(2)?));
    if let Some(policy) = &policy {
        mark_surplus(connection, dialect, &tenant_id, policy, &mut sessions).await?;
    }
    Ok(Some(PolicyWalk {
        tenant_id,
        version: row.int(1)?,
        policy,
        sessions,
        now,
    }))
}

/// Marks the sessions of users who have more than they may.
async fn mark_surplus(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    policy: &Policy,
    sessions: &mut [SweptSession],
) -> Result<(), StoreError> {
    // Those whose limits are the tenant's together, and each of the others alone.
    let mut users: BTreeMap<Option<&UserId>, BTreeSet<String>> = BTreeMap::new();
    for session in sessions.iter().filter(|session| !session.ended) {
        let own = policy
            .user_overrides
            .get_key_value(&session.user_id)
            .map(|(user, _)| user);
        users
            .entry(own)
            .or_default()
            .insert(session.user_id.to_string());
    }
    for (own, users) in users {
        let limits = own.map_or_else(|| policy.limits.clone(), |user| policy.effective(user));
        let Some(most) = limits.sessions_max else {
            continue;
        };
        let users = Vec::from_iter(users);
        let surplus = listing::surplus(connection, dialect, tenant, &users, &limits, most).await?;
        let newest: HashMap<_, _> = surplus.into_iter().collect();
        for session in &mut *sessions {
            let newest = newest.get(&session.user_id);
            session.surplus |=
                newest.is_some_and(|newest| session.id.to_bytes() <= newest.to_bytes());
        }
    }
    Ok(())
}

/// Sessions as the sweep looks at them, in the order in which [`read`] takes them, and the time.
fn select(dialect: &Dialect) -> String {
    format!(
        "SELECT s.tenant_id, s.session_id, s.user_id, s.created_us, s.expires_us, s.remember_me, s.acr, s.active_us, \
             s.due_us, CASE WHEN s.end_event IS NOT NULL OR {IS_CUT} THEN 1 ELSE 0 END, {} \
         FROM sessions s",
        dialect.now
    )
}

fn read(rows: &[Row]) -> Result<(Vec<SweptSession>, Micros), StoreError> {
    let session = |row: &Row| {
        Ok::<_, StoreError>(SweptSession {
            tenant_id: tenant_id(row.text(0)?)?,
            id: SessionId::from_bytes(row.array(1)?),
            user_id: user_id(row.text(2)?)?,
            created: Micros(row.int(3)?),
            expires: Micros(row.int(4)?),
            remember_me: row.int(5)? != 0,
            acr: row.text(6)?,
            last_active: Micros(row.int(7)?),
            due: row.optional_int(8)?.map(Micros),
            ended: row.int(9)? != 0,
            surplus: false,
        })
    };
    let now = rows
        .first()
        .map_or(Ok(Micros::default()), |row| row.int(10).map(Micros))?;
    Ok((rows.iter().map(session).collect::<Result<_, _>>()?, now))
}

/// When to look again at sessions that nobody else has set a new time for.
pub(super) async fn reschedule(
    connection: &mut dyn Connection,
    schedules: &[Schedule],
) -> Result<(), StoreError> {
    let mut schedules: Vec<_> = schedules.iter().collect();
    // In key order, as all who lock several sessions.
    schedules.sort_by_key(|schedule| (&schedule.tenant_id, schedule.session_id.to_bytes()));
    for schedules in schedules.chunks(1_024) {
        let rows = ValueRows::new(schedules.iter().map(|schedule| {
            let time = |time: Option<Micros>| Value::Int(time.map(|time| time.0));
            let id = schedule.session_id.to_bytes();
            [
                schedule.tenant_id.as_str().into(),
                id[..].into(),
                time(schedule.due),
                time(schedule.unless_changed),
            ]
        }));
        let sql = format!(
            "UPDATE sessions SET due_us = v.column3 FROM (VALUES {}) AS v \
             WHERE sessions.tenant_id = v.column1 AND sessions.session_id = v.column2 \
                 AND (v.column4 IS NULL OR sessions.due_us = v.column4)",
            rows.text
        );
        connection.query(&sql, &rows.params).await?;
    }
    Ok(())
}

pub(super) async fn advance(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    walk: &PolicyWalk,
    next: Option<SessionId>,
    schedules: &[Schedule],
) -> Result<bool, StoreError> {
    transaction!(
        connection,
        advance_locked(connection, dialect, walk, next, schedules)
    )
}

/// Sign-ins may go by a policy of a moment ago ([`POLICY_AGE_MAX`](crate::domain::policy::POLICY_AGE_MAX)), and open after the
/// walk came by: until a policy is older than this, its walk begins again.
const POLICY_SETTLED: Duration = Duration::from_secs(5);

/// The lock on the policy keeps a newer one from being walked meanwhile: what it says comes after what this says.
async fn advance_locked(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    walk: &PolicyWalk,
    next: Option<SessionId>,
    schedules: &[Schedule],
) -> Result<bool, StoreError> {
    let sql = format!(
        "UPDATE policies SET sweep_from = CASE WHEN $3 IS NULL AND changed_us > {} - $4 THEN $5 ELSE $3 END \
         WHERE tenant_id = $1 AND version = $2 AND sweep_from IS NOT NULL RETURNING version",
        dialect.now
    );
    let next = Value::Blob(next.map(|id| id.to_bytes().to_vec()));
    let (tenant, start): (_, &[u8]) = (walk.tenant_id.as_str(), &[]);
    let values = [
        tenant.into(),
        walk.version.into(),
        next,
        span(POLICY_SETTLED).into(),
        start.into(),
    ];
    let current = connection.query(&sql, &values).await?;
    if current.is_empty() {
        return Ok(false);
    }
    reschedule(connection, schedules).await?;
    Ok(true)
}
