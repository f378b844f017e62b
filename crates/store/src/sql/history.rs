//! What is known of a user from earlier sign-ins.

use std::collections::BTreeMap;

use portcullis_contract::id::{TenantId, UserId};

use super::{
    Connection, Dialect, Row, Statement,
    connection::{ROWS_MAX, ValueRows},
};
use crate::{
    domain::{
        Micros, SignIn,
        findings::{Footprint, FootprintKind, History},
        place::Place,
    },
    store::{SignInHistory, StoreError},
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

/// Of the user itself: the last sign-in.
const LAST: i64 = 0;

/// A sign-in to come: of whom, and what it leaves.
pub(super) type Question = (TenantId, UserId, Vec<Footprint>);

/// What is known of users that bears on sign-ins with these footprints, in the order of the questions: one look-up in an
/// index for each footprint and one for each kind.
pub(super) async fn known(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    questions: &[Question],
) -> Result<Vec<SignInHistory>, StoreError> {
    let asked = (0_i64..)
        .zip(questions)
        .flat_map(|(at, (tenant, user, footprints))| {
            let looks = footprints
                .iter()
                .map(|footprint| (code(footprint.kind), footprint.value.as_str()));
            std::iter::once((LAST, ""))
                .chain(looks)
                .map(move |(kind, value)| {
                    [
                        at.into(),
                        tenant.as_str().into(),
                        user.as_str().into(),
                        kind.into(),
                        value.into(),
                    ]
                })
        });
    let rows = ValueRows::new(asked);
    let of = "FROM user_history h WHERE h.tenant_id = v.column2 AND h.user_id = v.column3 AND h.kind = v.column4";
    let user =
        "FROM users u WHERE v.column4 = 0 AND u.tenant_id = v.column2 AND u.user_id = v.column3";
    let sql = format!(
        "SELECT v.column1, {now}, v.column4, v.column5, (SELECT u.signed_in_us {user}), (SELECT u.signed_in_at {user}), \
             (SELECT h.sign_ins {of} AND h.value = v.column5), (SELECT h.value {of} LIMIT 1) \
         FROM (VALUES {rows}) AS v",
        now = dialect.now,
        rows = rows.text,
    );
    let empty = || SignInHistory {
        history: History::default(),
        device_sign_ins: 0,
        now: Micros::default(),
    };
    let mut known: Vec<_> = questions.iter().map(|_| empty()).collect();
    for row in connection.query(&sql, &rows.params).await? {
        let at = usize::try_from(row.int(0)?).unwrap_or(usize::MAX);
        if let (Some(known), Some((_, _, footprints))) = (known.get_mut(at), questions.get(at)) {
            read(&row, footprints, known)?;
        }
    }
    Ok(known)
}

/// One row of the answer: the user itself, or a footprint.
fn read(row: &Row, footprints: &[Footprint], known: &mut SignInHistory) -> Result<(), StoreError> {
    known.now = Micros(row.int(1)?);
    let code_of_row = row.int(2)?;
    if code_of_row == LAST {
        // Not of a user whom nobody has signed in yet, only signed out.
        if let Some(at) = row.optional_int(4)?.filter(|at| *at > 0) {
            known.history.last = Some((Micros(at), place(&row.text(5)?)?));
        }
        return Ok(());
    }
    let Some(kind) = footprints
        .iter()
        .map(|footprint| footprint.kind)
        .find(|kind| code(*kind) == code_of_row)
    else {
        return Ok(());
    };
    if let Some(sign_ins) = row.optional_int(6)? {
        if kind == FootprintKind::DeviceId {
            known.device_sign_ins = u32::try_from(sign_ins).unwrap_or(u32::MAX);
        }
        known.history.footprints.insert(Footprint {
            kind,
            value: row.text(3)?,
        });
    }
    // A null reads as an empty text, which no footprint has.
    let some = row.text(7)?;
    if !some.is_empty() {
        known
            .history
            .footprints
            .insert(Footprint { kind, value: some });
    }
    Ok(())
}

fn place(json: &str) -> Result<Place, StoreError> {
    serde_json::from_str(json).map_err(|_| StoreError::Internal("a place is not JSON".into()))
}

/// A footprint as a row's key: tenant, user, kind, value.
type Left<'a> = (&'a str, &'a str, i64, &'a str);

/// What keeps the footprints of sign-ins. Rows are touched in key order, each once.
pub(super) fn keep<'a>(
    dialect: &Dialect,
    opened: impl Iterator<Item = &'a SignIn>,
) -> Vec<Statement> {
    let mut counts = BTreeMap::new();
    for new in opened {
        let (tenant, user) = (new.tenant_id.as_str(), new.user_id.as_str());
        for footprint in &new.footprints {
            *counts
                .entry((tenant, user, code(footprint.kind), footprint.value.as_str()))
                .or_insert(0_i64) += 1;
        }
    }
    let counts: Vec<_> = counts.into_iter().collect();
    let statement = |counts: &[(Left<'_>, i64)]| {
        let rows = ValueRows::new(counts.iter().map(|((tenant, user, kind, value), count)| {
            [
                (*tenant).into(),
                (*user).into(),
                (*kind).into(),
                (*value).into(),
                (*count).into(),
            ]
        }));
        let sql = format!(
            "INSERT INTO user_history (tenant_id, user_id, kind, value, sign_ins, seen_us) \
             SELECT DISTINCT column1, column2, column3, column4, column5, {now} FROM (VALUES {rows}) AS v WHERE TRUE \
             ON CONFLICT (tenant_id, user_id, kind, value) DO UPDATE \
             SET sign_ins = user_history.sign_ins + excluded.sign_ins, seen_us = {now}",
            rows = rows.text,
            now = dialect.now,
        );
        Statement {
            sql,
            params: rows.params,
        }
    };
    counts.chunks(ROWS_MAX).map(statement).collect()
}
