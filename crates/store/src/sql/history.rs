//! The history of a user's sign-ins: the last one, and the footprints of all.

use std::collections::BTreeMap;

use portcullis_contract::id::{TenantId, UserId};

use super::{
    columns::columns,
    connection::{Dialect, Statement},
    db::Db,
    row::Row,
    value::Value,
    values::{ROWS_MAX, ValueRows},
};
use crate::{SignInHistory, StoreError};
use portcullis_domain::{
    Micros, SignIn,
    findings::{Footprint, FootprintKind, History},
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

/// The kind of a row of a question that asks for the last sign-in. No footprint has it.
const LAST_SIGN_IN: i64 = 0;

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
        signed_in_us,
        signed_in_at,
        sign_ins,
        any_value,
    }
}

columns! {
    /// The row of a footprint. `sign_ins` is the number to add.
    FootprintColumns { tenant_id, user_id, kind, value, sign_ins }
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
        let mut values = vec![(LAST_SIGN_IN, "")];
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
        signed_in_us: &format!("(SELECT u.signed_in_us {user})"),
        signed_in_at: &format!("(SELECT u.signed_in_at {user})"),
        sign_ins: &format!("(SELECT h.sign_ins {footprint} AND h.value = v.value)"),
        any_value: &format!("(SELECT h.value {footprint} LIMIT 1)"),
    };
    format!("{} SELECT {} FROM v", rows.with_v(), answer.select())
}

/// Reads the answer to one lookup: the last sign-in, or a footprint.
fn read_answer(
    row: &Row,
    footprints: &[Footprint],
    known: &mut SignInHistory,
) -> Result<(), StoreError> {
    let columns = AnswerColumns::AT;
    known.now = row.time(columns.now_us)?;
    let code_of_row = row.int(columns.kind)?;
    if code_of_row == LAST_SIGN_IN {
        return read_last_sign_in(row, known);
    }
    let mut kinds = footprints.iter().map(|footprint| footprint.kind);
    let Some(kind) = kinds.find(|kind| code(*kind) == code_of_row) else {
        return Ok(());
    };
    read_footprint(row, kind, known)
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

fn read_last_sign_in(row: &Row, known: &mut SignInHistory) -> Result<(), StoreError> {
    let columns = AnswerColumns::AT;
    // A user who was only signed out so far has the row and no sign-in.
    if let Some(at) = row.optional_time(columns.signed_in_us)?
        && at > Micros::default()
    {
        known.history.last = Some((at, row.json(columns.signed_in_at)?));
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
        let rest = rows.split_off(rows.len().min(ROWS_MAX));
        statements.push(count_statement(dialect, ValueRows::new(rows)));
        rows = rest;
    }
    statements
}

fn count_footprints<'a>(
    sign_ins: impl Iterator<Item = &'a SignIn>,
) -> Vec<FootprintColumns<Value>> {
    let mut counts = BTreeMap::new();
    for new in sign_ins {
        for footprint in &new.footprints {
            let kind = code(footprint.kind);
            let key = (&new.tenant_id, &new.user_id, kind, footprint.value.as_str());
            // ON CONFLICT may update a row only once in a statement, so equal footprints are counted
            // here.
            *counts.entry(key).or_insert(0_i64) += 1;
        }
    }
    let mut rows = Vec::with_capacity(counts.len());
    for ((tenant, user, kind, value), count) in counts {
        rows.push(FootprintColumns {
            tenant_id: tenant.into(),
            user_id: user.into(),
            kind: kind.into(),
            value: value.into(),
            sign_ins: count.into(),
        });
    }
    rows
}

/// DISTINCT drops the repeated rows of [`ValueRows::new`], which must not count twice.
fn count_statement(dialect: &Dialect, rows: ValueRows) -> Statement {
    let sql = format!(
        "{with_v} INSERT INTO user_history ({columns}, seen_us) \
         SELECT DISTINCT {values}, {now} FROM v WHERE TRUE \
         ON CONFLICT (tenant_id, user_id, kind, value) DO UPDATE \
         SET sign_ins = user_history.sign_ins + excluded.sign_ins, seen_us = {now}",
        with_v = rows.with_v(),
        columns = FootprintColumns::names(),
        values = FootprintColumns::of("v"),
        now = dialect.now,
    );
    Statement::new(sql, rows.into_params())
}
