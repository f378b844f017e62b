//! Gates as rows: until when each has reported all use, and when it was last connected.

use std::time::Duration;

use super::{
    columns::columns,
    connection::Dialect,
    db::Db,
    row::{Row, only_row},
    value::Value,
    values::ValueRows,
};
use crate::StoreError;
use portcullis_domain::{GateContact, GateRecord, Micros, time::span};

columns! {
    /// A gate as an authority knows it. Ages count back from the time of the statement.
    ContactColumns { gate_id, reported, heard_age_us, alive_age_us, admits_us }
}

columns! {
    /// A gate, and the time. The columns of the gate are null when there is none.
    GateColumns { now_us, heard_us, alive_us, admits_us }
}

/// Records the contacts of one authority with gates, and returns all gates.
pub(super) async fn record(
    db: &mut Db,
    contacts: &[GateContact],
    keep: Duration,
) -> Result<(Vec<GateRecord>, Micros), StoreError> {
    // Each statement stands alone: what is lost between them comes again with the next contact.
    let connected = contacts.iter().filter(|contact| !contact.left);
    for rows in ValueRows::in_powers_of_two(connected.map(values)) {
        let sql = upsert(&db.dialect, &rows);
        db.query(&sql, rows.params()).await?;
    }

    remove(db, contacts, keep).await?;
    all(db).await
}

/// Removes the gates that said that they end, and those that have been lost for longer than `keep`.
async fn remove(db: &mut Db, contacts: &[GateContact], keep: Duration) -> Result<(), StoreError> {
    let left = contacts.iter().filter(|contact| contact.left);
    for contact in left {
        let sql = "DELETE FROM gates WHERE gate_id = $1";
        db.query(sql, &[contact.id[..].into()]).await?;
    }
    // A gate that can admit nothing any more holds no session back from becoming idle, so its row
    // may go after a while.
    let delete_lost = format!(
        "DELETE FROM gates WHERE alive_us + admits_us < {} - $1",
        db.dialect.now
    );
    db.query(&delete_lost, &[span(keep).into()]).await?;
    Ok(())
}

/// A gate that has not reported to this authority had nothing to report when it connected, unless its row says
/// otherwise.
fn values(contact: &GateContact) -> ContactColumns<Value> {
    let heard_age = contact.heard_age.unwrap_or(contact.known_for);
    ContactColumns {
        gate_id: contact.id[..].into(),
        reported: contact.heard_age.is_some().into(),
        heard_age_us: span(heard_age).into(),
        alive_age_us: span(contact.alive_age).into(),
        admits_us: span(contact.admits_for).into(),
    }
}

/// Times only move forward: another authority may know more. A time that is no report replaces none.
fn upsert(dialect: &Dialect, rows: &ValueRows) -> String {
    // The condition holds for every row. SQLite needs one before ON CONFLICT.
    format!(
        "{with_v} INSERT INTO gates (gate_id, reported, heard_us, alive_us, admits_us) \
         SELECT v.gate_id, v.reported, {now} - v.heard_age_us, {now} - v.alive_age_us, v.admits_us \
         FROM v WHERE v.heard_age_us >= 0 \
         ON CONFLICT (gate_id) DO UPDATE SET \
             heard_us = CASE WHEN excluded.reported = 1 AND excluded.heard_us > gates.heard_us \
                 THEN excluded.heard_us ELSE gates.heard_us END, \
             reported = CASE WHEN excluded.reported = 1 THEN 1 ELSE gates.reported END, \
             alive_us = CASE WHEN excluded.alive_us > gates.alive_us \
                 THEN excluded.alive_us ELSE gates.alive_us END, \
             admits_us = excluded.admits_us",
        with_v = rows.with_v(),
        now = dialect.now,
    )
}

/// All gates, and the time.
async fn all(db: &mut Db) -> Result<(Vec<GateRecord>, Micros), StoreError> {
    // The outer join answers with the time also when there is no gate.
    let gate = GateColumns {
        now_us: db.dialect.now,
        heard_us: "g.heard_us",
        alive_us: "g.alive_us",
        admits_us: "g.admits_us",
    };
    let sql = format!(
        "SELECT {} FROM installation i LEFT JOIN gates g ON i.id = 1",
        gate.select()
    );
    let rows = db.query(&sql, &[]).await?;
    let now = only_row(&rows, "installation")?.time(GateColumns::AT.now_us)?;
    let mut gates = Vec::new();
    for row in &rows {
        gates.extend(read(row)?);
    }
    Ok((gates, now))
}

fn read(row: &Row) -> Result<Option<GateRecord>, StoreError> {
    let columns = GateColumns::AT;
    let Some(heard) = row.optional_time(columns.heard_us)? else {
        return Ok(None);
    };
    Ok(Some(GateRecord {
        heard,
        alive: row.time(columns.alive_us)?,
        admits_for: Duration::from_micros(row.unsigned(columns.admits_us)?),
    }))
}
