//! The history of a user's sign-ins: the last one with a known place, and the footprints of all.

use std::{collections::BTreeMap, time::Duration};

use portcullis_contract::id::{TenantId, UserId};

use super::{
    columns::columns,
    connection::{Dialect, Statement},
    cursor,
    db::Db,
    json::json,
    row::Row,
    value::Value,
    values::{ROWS_MAX, ValueRows},
};
use crate::{Left, Removed, SignInHistory, StoreError};
use portcullis_domain::{
    Micros, PageCursor, SignIn,
    findings::{DeviceNetworks, Footprint, FootprintKind, History, LastPlace},
    place::KnownPlace,
};

/// The number of a kind in the rows.
fn code(kind: FootprintKind) -> i64 {
    match kind {
        FootprintKind::DeviceId => 1,
        FootprintKind::DeviceLook => 2,
        FootprintKind::Country => 3,
        FootprintKind::City => 4,
        FootprintKind::Network => 5,
        FootprintKind::PrivateNetwork => 6,
        FootprintKind::ModelledLook => 7,
    }
}

/// The kind of a row of a question that asks for the last known place. No footprint has it.
const LAST_PLACE: i64 = 0;

/// A sign-in to come: its user and its footprints.
pub(super) type Question = (TenantId, UserId, Vec<Footprint>);

columns! {
    /// One lookup of a question.
    LookupColumns { question, tenant_id, user_id, kind, value }
}

columns! {
    /// The answer to a lookup.
    AnswerColumns {
        question,
        now_us,
        kind,
        value,
        placed_us,
        placed_at,
        sign_ins,
        networks,
        any_value,
    }
}

columns! {
    /// The primary key of a row, and whether it was seen too long ago.
    SeenColumns { tenant_id, user_id, kind, value, is_old, age_us }
}

columns! {
    /// The primary key of a row to remove.
    OldColumns { tenant_id, user_id, kind, value }
}

columns! {
    /// The row of a footprint. `sign_ins` is the number to add. `networks` is empty where the row keeps those it has.
    FootprintColumns { tenant_id, user_id, kind, value, sign_ins, networks }
}

/// Finds the history that bears on sign-ins with these footprints, in the order of the questions: one lookup in the index for each
/// footprint, and one for each kind.
pub(super) async fn find(
    db: &mut Db,
    questions: &[Question],
) -> Result<Vec<SignInHistory>, StoreError> {
    let rows = ValueRows::new(lookups(questions));
    let sql = lookup_statement(&db.dialect, &rows);
    let mut known: Vec<_> = questions.iter().map(|_| nothing_known()).collect();
    for row in db.query(&sql, rows.params()).await? {
        // The padding of the statement repeats the last lookup. Its answer is taken twice, which
        // changes nothing.
        let question = row.unsigned(AnswerColumns::AT.question)?;
        let question = usize::try_from(question).unwrap_or(usize::MAX);
        if let (Some(known), Some((_, _, footprints))) =
            (known.get_mut(question), questions.get(question))
        {
            read_answer(&row, footprints, known)?;
        }
    }
    Ok(known)
}

fn nothing_known() -> SignInHistory {
    SignInHistory {
        history: History::default(),
        device_sign_ins: 0,
        now: Micros::default(),
    }
}

fn lookups(questions: &[Question]) -> Vec<LookupColumns<Value>> {
    let mut lookups = Vec::new();
    for (number, (tenant, user, footprints)) in (0_i64..).zip(questions) {
        let mut values = vec![(LAST_PLACE, "")];
        for footprint in footprints {
            values.push((code(footprint.kind), footprint.value.as_str()));
        }
        for (kind, value) in values {
            lookups.push(LookupColumns {
                question: number.into(),
                tenant_id: tenant.into(),
                user_id: user.into(),
                kind: kind.into(),
                value: value.into(),
            });
        }
    }
    lookups
}

/// Checks the `limit` rows after the cursor, in the order of the primary key, and removes those that no sign-in has seen
/// for `keep`.
pub(super) async fn remove_old(
    db: &mut Db,
    after: Option<&PageCursor>,
    keep: Duration,
    limit: u32,
) -> Result<Removed, StoreError> {
    let first = ["".into(), "".into(), i64::MIN.into(), "".into()];
    let mut values = Vec::from(cursor::read(after, first)?);
    values.extend([i64::from(limit).into(), keep.into()]);
    let rows = db.query(&select_seen(&db.dialect), &values).await?;

    let (old, oldest) = split_by_age(&rows)?;
    let next = cursor_after(&rows, limit)?;
    let rows = delete_old(db, old, keep).await?;
    Ok(Removed {
        rows,
        next,
        left: Left::default(),
        oldest,
    })
}

fn select_seen(dialect: &Dialect) -> String {
    format!(
        "SELECT h.tenant_id, h.user_id, h.kind, h.value, \
             CASE WHEN h.seen_us <= {now} - $6 THEN 1 ELSE 0 END AS is_old, {now} - h.seen_us AS age_us \
         FROM user_history h WHERE (h.tenant_id, h.user_id, h.kind, h.value) > ($1, $2, $3, $4) \
         ORDER BY h.tenant_id, h.user_id, h.kind, h.value LIMIT $5",
        now = dialect.now,
    )
}

/// The keys of the rows that are old, and the greatest age of the others.
fn split_by_age(rows: &[Row]) -> Result<(Vec<OldColumns<Value>>, Option<Duration>), StoreError> {
    let columns = SeenColumns::AT;
    let mut old = Vec::new();
    let mut oldest = None;
    for row in rows {
        if row.is_true(columns.is_old)? {
            old.push(key_of(row)?);
            continue;
        }
        // A negative age comes from a clock that was set back since. It says nothing, and counts as
        // no age at all.
        let age = u64::try_from(row.int(columns.age_us)?).ok();
        oldest = oldest.max(age.map(Duration::from_micros));
    }
    Ok((old, oldest))
}

fn cursor_after(rows: &[Row], limit: u32) -> Result<Option<PageCursor>, StoreError> {
    match rows.last() {
        // A full page may not be the last one.
        Some(last) if rows.len() == limit as usize => {
            let last = key_of(last)?;
            let key = [last.tenant_id, last.user_id, last.kind, last.value];
            Ok(Some(cursor::write(&key)))
        }
        _ => Ok(None),
    }
}

async fn delete_old(
    db: &mut Db,
    old: Vec<OldColumns<Value>>,
    keep: Duration,
) -> Result<u64, StoreError> {
    if old.is_empty() {
        return Ok(0);
    }
    let mut keys = ValueRows::new(old);
    let keep = keys.push(keep);
    // Compared again: a sign-in may have seen it since.
    let sql = format!(
        "DELETE FROM user_history WHERE (tenant_id, user_id, kind, value) IN {keys} AND seen_us <= {now} - {keep} \
         RETURNING kind",
        keys = keys.list(),
        now = db.dialect.now,
    );
    Ok(db.query(&sql, keys.params()).await?.len() as u64)
}

fn key_of(row: &Row) -> Result<OldColumns<Value>, StoreError> {
    let columns = SeenColumns::AT;
    Ok(OldColumns {
        tenant_id: row.value(columns.tenant_id)?.clone(),
        user_id: row.value(columns.user_id)?.clone(),
        kind: row.value(columns.kind)?.clone(),
        value: row.value(columns.value)?.clone(),
    })
}

/// Each lookup is a subquery of its own, so that it goes by the primary key whatever the planner expects of the tables.
fn lookup_statement(dialect: &Dialect, rows: &ValueRows) -> String {
    let user =
        "FROM users u WHERE v.kind = 0 AND u.tenant_id = v.tenant_id AND u.user_id = v.user_id";
    let footprint = "FROM user_history h WHERE h.tenant_id = v.tenant_id AND h.user_id = v.user_id AND h.kind = v.kind";
    let answer = AnswerColumns {
        question: "v.question",
        now_us: dialect.now,
        kind: "v.kind",
        value: "v.value",
        placed_us: &format!("(SELECT u.placed_us {user})"),
        placed_at: &format!("(SELECT u.placed_at {user})"),
        sign_ins: &format!("(SELECT h.sign_ins {footprint} AND h.value = v.value)"),
        // The kinds below 3 are devices, and only a device has networks.
        networks: &format!("(SELECT h.networks {footprint} AND h.value = v.value AND v.kind < 3)"),
        any_value: &format!("(SELECT h.value {footprint} LIMIT 1)"),
    };
    format!("{} SELECT {} FROM v", rows.with_v(), answer.select())
}

/// Reads the answer to one lookup: the last known place, or a footprint.
fn read_answer(
    row: &Row,
    footprints: &[Footprint],
    known: &mut SignInHistory,
) -> Result<(), StoreError> {
    let columns = AnswerColumns::AT;
    known.now = row.time(columns.now_us)?;
    let code_of_row = row.int(columns.kind)?;
    if code_of_row == LAST_PLACE {
        return read_last_place(row, known);
    }
    let mut kinds = footprints.iter().map(|footprint| footprint.kind);
    let Some(kind) = kinds.find(|kind| code(*kind) == code_of_row) else {
        return Ok(());
    };
    read_footprint(row, kind, known)?;
    if is_device(footprints, kind, &row.text(columns.value)?) {
        read_networks(row, known)?;
    }
    Ok(())
}

/// Whether a footprint is the one by which the device is told from others: its id, or else its whole look.
fn is_device(footprints: &[Footprint], kind: FootprintKind, value: &str) -> bool {
    // Footprints are in the order of their kinds, and the look without the model comes last.
    let mut devices = footprints.iter().filter(|footprint| {
        matches!(
            footprint.kind,
            FootprintKind::DeviceId | FootprintKind::DeviceLook
        )
    });
    devices
        .next()
        .is_some_and(|device| device.kind == kind && device.value == value)
}

fn read_networks(row: &Row, known: &mut SignInHistory) -> Result<(), StoreError> {
    let column = AnswerColumns::AT.networks;
    // Null reads as the empty text: the device is new, or it was never seen at an address.
    if !row.text(column)?.is_empty() {
        known.history.device_networks = row.json(column)?;
    }
    Ok(())
}

fn read_footprint(
    row: &Row,
    kind: FootprintKind,
    known: &mut SignInHistory,
) -> Result<(), StoreError> {
    let columns = AnswerColumns::AT;
    if row.optional_int(columns.sign_ins)?.is_some() {
        if kind == FootprintKind::DeviceId {
            known.device_sign_ins = row.count(columns.sign_ins)?;
        }
        let value = row.text(columns.value)?;
        known.history.footprints.insert(Footprint { kind, value });
    }
    // A user with any footprint of this kind is not new to it. Null reads as the empty text, which no footprint has.
    let value = row.text(columns.any_value)?;
    if !value.is_empty() {
        known.history.footprints.insert(Footprint { kind, value });
    }
    Ok(())
}

fn read_last_place(row: &Row, known: &mut SignInHistory) -> Result<(), StoreError> {
    let columns = AnswerColumns::AT;
    // A user without a sign-in whose place is known has the row and no time.
    if let Some(at) = row.optional_time(columns.placed_us)?
        && at > Micros::default()
    {
        let KnownPlace {
            ip,
            place,
            network_beside,
        } = row.json(columns.placed_at)?;
        known.history.last = Some(LastPlace {
            at,
            ip,
            place,
            network_beside,
        });
    }
    Ok(())
}

/// The statements that count the footprints of sign-ins.
pub(super) fn add_footprints<'a>(
    dialect: &Dialect,
    sign_ins: impl Iterator<Item = &'a SignIn>,
) -> Vec<Statement> {
    // Rows are touched in key order and once each, so that two groups of sign-ins cannot wait for
    // each other in a circle.
    let mut rows = count_footprints(sign_ins);
    let mut statements = Vec::new();
    while !rows.is_empty() {
        // Without the split a large group would pass the number of parameters that an engine takes.
        let rest = rows.split_off(rows.len().min(ROWS_MAX));
        statements.push(count_statement(dialect, ValueRows::new(rows)));
        rows = rest;
    }
    statements
}

fn count_footprints<'a>(
    sign_ins: impl Iterator<Item = &'a SignIn>,
) -> Vec<FootprintColumns<Value>> {
    let mut counts = FootprintCounts::new();
    for new in sign_ins {
        for footprint in &new.footprints {
            count_footprint(&mut counts, new, footprint);
        }
    }
    let mut rows = Vec::with_capacity(counts.len());
    for (key, counted) in counts {
        rows.push(footprint_values(key, counted));
    }
    rows
}

/// The primary key of a footprint.
type FootprintKey<'a> = (&'a TenantId, &'a UserId, i64, &'a str);

/// The number of sign-ins of each footprint, and the networks of the device, in the order of locks.
type FootprintCounts<'a> = BTreeMap<FootprintKey<'a>, (i64, String)>;

fn footprint_values(
    (tenant, user, kind, value): FootprintKey<'_>,
    (count, networks): (i64, String),
) -> FootprintColumns<Value> {
    FootprintColumns {
        tenant_id: tenant.into(),
        user_id: user.into(),
        kind: kind.into(),
        value: value.into(),
        sign_ins: count.into(),
        networks: networks.into(),
    }
}

fn count_footprint<'a>(
    counts: &mut FootprintCounts<'a>,
    new: &'a SignIn,
    footprint: &'a Footprint,
) {
    let kind = code(footprint.kind);
    let key = (&new.tenant_id, &new.user_id, kind, footprint.value.as_str());
    // ON CONFLICT may update a row only once in a statement, so equal footprints are counted here.
    let (count, networks) = counts.entry(key).or_default();
    *count += 1;
    if is_device(&new.footprints, footprint.kind, &footprint.value) {
        *networks = networks_text(&new.device_networks);
    }
}

fn networks_text(networks: &DeviceNetworks) -> String {
    if *networks == DeviceNetworks::default() {
        return String::new();
    }
    json(networks)
}

/// DISTINCT drops the repeated rows of [`ValueRows::new`], which must not count twice.
fn count_statement(dialect: &Dialect, rows: ValueRows) -> Statement {
    let sql = format!(
        "{with_v} INSERT INTO user_history ({columns}, seen_us) \
         SELECT DISTINCT {values}, {now} FROM v WHERE TRUE \
         ON CONFLICT (tenant_id, user_id, kind, value) DO UPDATE \
         SET sign_ins = user_history.sign_ins + excluded.sign_ins, seen_us = {now}, \
             networks = CASE WHEN excluded.networks = '' THEN user_history.networks ELSE excluded.networks END",
        with_v = rows.with_v(),
        columns = FootprintColumns::names(),
        values = FootprintColumns::of("v"),
        now = dialect.now,
    );
    Statement::new(sql, rows.into_params())
}
