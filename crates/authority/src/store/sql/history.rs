//! What is known of a user from earlier sign-ins.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_contract::id::{TenantId, UserId};

use super::{Connection, DbError, Dialect, Row, Value, connection::ValueRows};
use crate::{
    domain::{
        Micros, NewSession,
        findings::{Footprint, FootprintKind, History},
        place::Place,
    },
    store::{Known, StoreError},
};

/// The number of a kind in the rows.
fn code(kind: FootprintKind) -> i64 {
    match kind {
        FootprintKind::DeviceId => 1,
        FootprintKind::DeviceLook => 2,
        FootprintKind::Country => 3,
        FootprintKind::City => 4,
        FootprintKind::Network => 5,
    }
}

/// Of the time.
const NOW: i64 = -1;
/// Of the last sign-in.
const LAST: i64 = 0;

/// What is known of a user that bears on a sign-in with these footprints: one look-up in an index for each, and one
/// for each of their kinds.
pub(super) async fn known(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    user: &UserId,
    footprints: &[Footprint],
) -> Result<Known, StoreError> {
    let mut sql = format!(
        "SELECT {NOW} AS kind, '' AS value, {now} AS number \
         UNION ALL SELECT {LAST}, signed_in_at, signed_in_us FROM users WHERE tenant_id = $1 AND user_id = $2",
        now = dialect.now
    );
    let mut values: Vec<Value> = vec![tenant.as_str().into(), user.as_str().into()];
    for footprint in footprints {
        values.push(footprint.value.as_str().into());
        let (kind, value) = (code(footprint.kind), values.len());
        let of = format!("FROM user_history WHERE tenant_id = $1 AND user_id = $2 AND kind = {kind}");
        sql += &format!(
            " UNION ALL SELECT kind, value, sign_ins {of} AND value = ${value} \
             UNION ALL SELECT * FROM (SELECT kind, value, 0 {of} LIMIT 1) some_{kind}"
        );
    }
    read(&connection.query(&sql, &values).await?, footprints)
}

fn read(rows: &[Row], footprints: &[Footprint]) -> Result<Known, StoreError> {
    let mut known = Known { history: History::default(), device_sign_ins: 0, now: Micros::default() };
    let mut seen = BTreeSet::new();
    for row in rows {
        let (kind, value, number) = (row.int(0)?, row.text(1)?, row.int(2)?);
        match kind {
            NOW => known.now = Micros(number),
            // A user whom nobody has signed in yet, only signed out.
            LAST if number == 0 => {}
            LAST => known.history.last = Some((Micros(number), place(&value)?)),
            _ => {
                let of_kind = footprints.iter().find(|footprint| code(footprint.kind) == kind);
                let Some(Footprint { kind, .. }) = of_kind else { continue };
                if *kind == FootprintKind::DeviceId && number > 0 {
                    known.device_sign_ins = u32::try_from(number).unwrap_or(u32::MAX);
                }
                seen.insert(Footprint { kind: *kind, value });
            }
        }
    }
    known.history.footprints = seen;
    Ok(known)
}

fn place(json: &str) -> Result<Place, StoreError> {
    serde_json::from_str(json).map_err(|_| StoreError::Internal("a place is not JSON".into()))
}

/// Keeps the footprints of sign-ins. Rows are touched in key order, each once.
pub(super) async fn keep<'a>(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    opened: impl Iterator<Item = &'a NewSession>,
) -> Result<(), DbError> {
    let mut counts = BTreeMap::new();
    for new in opened {
        let (tenant, user) = (new.tenant_id.as_str(), new.user_id.as_str());
        for footprint in &new.footprints {
            *counts.entry((tenant, user, code(footprint.kind), footprint.value.as_str())).or_insert(0_i64) += 1;
        }
    }
    let counts: Vec<_> = counts.into_iter().collect();
    for counts in counts.chunks(1_024) {
        let rows = ValueRows::new(counts.iter().map(|((tenant, user, kind, value), count)| {
            [(*tenant).into(), (*user).into(), (*kind).into(), (*value).into(), (*count).into()]
        }));
        let sql = format!(
            "INSERT INTO user_history (tenant_id, user_id, kind, value, sign_ins, seen_us) \
             SELECT DISTINCT column1, column2, column3, column4, column5, {now} FROM (VALUES {rows}) AS v WHERE TRUE \
             ON CONFLICT (tenant_id, user_id, kind, value) DO UPDATE \
             SET sign_ins = user_history.sign_ins + excluded.sign_ins, seen_us = {now}",
            rows = rows.text,
            now = dialect.now,
        );
        connection.query(&sql, &rows.params).await?;
    }
    Ok(())
}
