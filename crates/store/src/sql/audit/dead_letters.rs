//! Dead letters of exports, as operators see them and answer them.

use portcullis_contract::id::EventId;
use portcullis_domain::{DeadLetter, DeadLetterAnswer, DeadLetterId};

use super::super::{
    columns::{ONLY, columns},
    connection::Statement,
    db::Db,
    row::{Row, only_row},
    value::Value,
};
use crate::{DEAD_LETTERS_COUNTED_MAX, StoreError};

columns! {
    /// A dead letter, with the tenant of its event.
    LetterColumns { export, event_id, ordinal, died_us, problem, due, tenant_id, has_event }
}

columns! {
    /// The name of a dead letter.
    NameColumns { event_id, ordinal }
}

pub(in crate::sql) async fn list(
    db: &mut Db,
    export: Option<&str>,
    after: Option<(&str, DeadLetterId)>,
    limit: u32,
) -> Result<Vec<DeadLetter>, StoreError> {
    let statement = list_statement(export, after, limit);
    let rows = db.run(&statement).await?;
    rows.iter().map(read).collect()
}

fn list_statement(
    export: Option<&str>,
    after: Option<(&str, DeadLetterId)>,
    limit: u32,
) -> Statement {
    let mut values: Vec<Value> = vec![i64::from(limit).into()];
    let mut conditions = Vec::new();
    if let Some(export) = export {
        values.push(export.into());
        conditions.push(format!("d.export = ${}", values.len()));
    }
    if let Some((export, letter)) = after {
        conditions.push(behind(&mut values, export, letter));
    }
    let filter = match conditions.is_empty() {
        true => String::new(),
        false => format!("WHERE {}", conditions.join(" AND ")),
    };
    // An outer join: the event of a letter may have gone from the trail by age, and the letter
    // must still be shown, so that it can be dropped.
    let sql = format!(
        "SELECT {letter} FROM audit_dead_letters d \
         LEFT JOIN audit_events e ON e.event_id = d.event_id AND e.ordinal = d.ordinal \
         {filter} ORDER BY d.export, d.event_id, d.ordinal LIMIT $1",
        letter = select_letter(),
    );
    Statement::new(sql, values)
}

/// The condition of the letters behind one. Adds its values.
fn behind(values: &mut Vec<Value>, export: &str, letter: DeadLetterId) -> String {
    values.push(export.into());
    values.push(letter.event.into());
    values.push(i64::from(letter.ordinal).into());
    let last = values.len();
    format!(
        "(d.export, d.event_id, d.ordinal) > (${}, ${}, ${last})",
        last - 2,
        last - 1
    )
}

fn select_letter() -> String {
    let columns = LetterColumns {
        export: "d.export",
        event_id: "d.event_id",
        ordinal: "d.ordinal",
        died_us: "d.died_us",
        problem: "d.problem",
        due: "d.due",
        tenant_id: "COALESCE(e.tenant_id, '')",
        has_event: "CASE WHEN e.event_id IS NULL THEN 0 ELSE 1 END",
    };
    columns.select()
}

fn read(row: &Row) -> Result<DeadLetter, StoreError> {
    let columns = LetterColumns::AT;
    Ok(DeadLetter {
        export: row.text(columns.export)?,
        id: DeadLetterId {
            event: EventId::from_bytes(row.array(columns.event_id)?),
            ordinal: ordinal(row.unsigned(columns.ordinal)?)?,
        },
        died: row.time(columns.died_us)?,
        problem: row.text(columns.problem)?,
        is_due: row.is_true(columns.due)?,
        tenant_id: row.text(columns.tenant_id)?,
        is_event_gone: !row.is_true(columns.has_event)?,
    })
}

fn ordinal(number: u64) -> Result<u32, StoreError> {
    number
        .try_into()
        .map_err(|_| StoreError::Internal("the number of an event is malformed".into()))
}

fn idle_condition(only_idle: bool) -> &'static str {
    if only_idle { "AND due = 0" } else { "" }
}

pub(in crate::sql) async fn count(
    db: &mut Db,
    export: &str,
    only_idle: bool,
) -> Result<u64, StoreError> {
    let sql = format!(
        // Counted up to a bound: a destination that refuses everything leaves letters without end.
        "SELECT count(*) FROM (SELECT 1 AS one FROM audit_dead_letters WHERE export = $1 {} \
             LIMIT {DEAD_LETTERS_COUNTED_MAX}) AS counted",
        idle_condition(only_idle)
    );
    let rows = db.query(&sql, &[export.into()]).await?;
    only_row(&rows, "dead letters")?.unsigned(ONLY)
}

pub(in crate::sql) async fn next(
    db: &mut Db,
    export: &str,
    only_idle: bool,
    limit: u32,
) -> Result<Vec<DeadLetterId>, StoreError> {
    let sql = format!(
        "SELECT {} FROM audit_dead_letters WHERE export = $1 {} ORDER BY event_id, ordinal LIMIT $2",
        NameColumns::names(),
        idle_condition(only_idle)
    );
    let rows = db
        .query(&sql, &[export.into(), i64::from(limit).into()])
        .await?;
    let mut letters = Vec::with_capacity(rows.len());
    for row in &rows {
        let columns = NameColumns::AT;
        letters.push(DeadLetterId {
            event: EventId::from_bytes(row.array(columns.event_id)?),
            ordinal: ordinal(row.unsigned(columns.ordinal)?)?,
        });
    }
    Ok(letters)
}

/// Answers one letter. Returns whether it was there.
pub(in crate::sql) async fn answer(
    db: &mut Db,
    export: &str,
    letter: DeadLetterId,
    answer: DeadLetterAnswer,
) -> Result<bool, StoreError> {
    let sql = match answer {
        DeadLetterAnswer::Retry => {
            "UPDATE audit_dead_letters SET due = 1 WHERE export = $1 AND event_id = $2 AND ordinal = $3 RETURNING due"
        }
        DeadLetterAnswer::Drop => {
            "DELETE FROM audit_dead_letters WHERE export = $1 AND event_id = $2 AND ordinal = $3 RETURNING due"
        }
    };
    let values: [Value; 3] = [
        export.into(),
        letter.event.into(),
        i64::from(letter.ordinal).into(),
    ];
    Ok(!db.query(sql, &values).await?.is_empty())
}
