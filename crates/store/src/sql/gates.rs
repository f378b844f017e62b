//! Gates as rows: until when each has reported everything, and when it was last there.

use std::time::Duration;

use super::{Connection, Dialect, Row, Value, connection::ValueRows};
use crate::{
    domain::{GateContact, GateRecord, Micros, time::span},
    store::StoreError,
};

/// Takes in what one authority knows. Each statement stands alone: whatever is lost between them is told again.
pub(super) async fn record(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    contacts: &[GateContact],
    keep: Duration,
) -> Result<(Vec<GateRecord>, Micros), StoreError> {
    let staying = contacts.iter().filter(|contact| !contact.left);
    let rows: Vec<[Value; 5]> = staying.map(row).collect();
    for rows in ValueRows::in_powers_of_two(&rows) {
        connection
            .query(&upsert(dialect, &rows.text), &rows.params)
            .await?;
    }

    let leaving = contacts.iter().filter(|contact| contact.left);
    for contact in leaving {
        let sql = "DELETE FROM gates WHERE gate_id = $1";
        connection.query(sql, &[contact.id[..].into()]).await?;
    }
    let sql = format!(
        "DELETE FROM gates WHERE alive_us + admits_us < {} - $1",
        dialect.now
    );
    connection.query(&sql, &[span(keep).into()]).await?;
    all(connection, dialect).await
}

/// The key, whether it has reported here, until how long ago that tells everything, how long ago it was there, how long
/// it admits. A gate that has not reported here had nothing to tell when it came, unless a row says otherwise.
fn row(contact: &GateContact) -> [Value; 5] {
    let heard_age = contact.heard_age.unwrap_or(contact.known_for);
    [
        contact.id[..].into(),
        i64::from(contact.heard_age.is_some()).into(),
        span(heard_age).into(),
        span(contact.alive_age).into(),
        span(contact.admits_for).into(),
    ]
}

/// Moves nothing back: another authority may know more.
fn upsert(dialect: &Dialect, rows: &str) -> String {
    let now = dialect.now;
    format!(
        "INSERT INTO gates (gate_id, reported, heard_us, alive_us, admits_us) \
         SELECT v.column1, v.column2, {now} - v.column3, {now} - v.column4, v.column5 \
         FROM (VALUES {rows}) AS v WHERE v.column3 >= 0 \
         ON CONFLICT (gate_id) DO UPDATE SET \
             heard_us = CASE WHEN excluded.reported = 1 AND excluded.heard_us > gates.heard_us \
                 THEN excluded.heard_us ELSE gates.heard_us END, \
             reported = CASE WHEN excluded.reported = 1 THEN 1 ELSE gates.reported END, \
             alive_us = CASE WHEN excluded.alive_us > gates.alive_us \
                 THEN excluded.alive_us ELSE gates.alive_us END, \
             admits_us = excluded.admits_us"
    )
}

async fn all(
    connection: &mut dyn Connection,
    dialect: &Dialect,
) -> Result<(Vec<GateRecord>, Micros), StoreError> {
    let sql = format!(
        "SELECT {}, g.heard_us, g.alive_us, g.admits_us FROM installation i LEFT JOIN gates g ON i.id = 1",
        dialect.now
    );
    let rows = connection.query(&sql, &[]).await?;
    let now = rows
        .first()
        .ok_or_else(|| StoreError::Internal("no installation".into()))?
        .int(0)?;
    let mut gates = Vec::new();
    for row in &rows {
        gates.extend(read(row)?);
    }
    Ok((gates, Micros(now)))
}

/// None: there is no gate.
fn read(row: &Row) -> Result<Option<GateRecord>, StoreError> {
    let Some(heard) = row.optional_int(1)? else {
        return Ok(None);
    };
    Ok(Some(GateRecord {
        heard: Micros(heard),
        alive: Micros(row.int(2)?),
        admits_for: Duration::from_micros(row.unsigned(3)?),
    }))
}
