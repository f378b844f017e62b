//! The installation: its first rows, secrets, issuer, and the longest life of an access token.

use std::time::Duration;

use portcullis_contract::position::Chain;

use super::{columns::ONLY, db::Db, row::only_row, value::Value};
use crate::{StoreError, TokenLife};
use portcullis_domain::{Micros, time::span};

/// Inserts the rows of a new installation, unless they are there.
pub(super) async fn initialize(db: &mut Db) -> Result<(), StoreError> {
    // Drawn before anyone looks whether there is a history: the statement does nothing if there is
    // one.
    let incarnation = portcullis_contract::random::<16>();
    let head = "INSERT INTO log_head (id, incarnation, revision, chain) VALUES (1, $1, 0, $2) ON CONFLICT DO NOTHING";
    let values: [Value; 2] = [incarnation[..].into(), Chain::default().0[..].into()];
    db.query(head, &values).await?;
    let installation = format!(
        "INSERT INTO installation (id, token_life_us, lowered_us, last_turn_us, keys_version) \
         VALUES (1, 0, NULL, {now}, 0) ON CONFLICT DO NOTHING",
        now = db.dialect.now
    );
    db.query(&installation, &[]).await?;
    Ok(())
}

/// The current time by the clock of the database.
pub(super) async fn now(db: &mut Db) -> Result<Micros, StoreError> {
    let sql = format!("SELECT {}", db.dialect.now);
    let rows = db.query(&sql, &[]).await?;
    only_row(&rows, "the clock")?.time(ONLY)
}

/// Applies a wish for the longest life of an access token.
pub(super) async fn token_life(
    db: &mut Db,
    wish: Duration,
    margin: Duration,
) -> Result<TokenLife, StoreError> {
    // A longer life is in force at once. A shorter one is only noted: gates must keep revocations
    // for as long as tokens of the longer life may be in use, so it comes into force when those
    // have run out.
    let raise =
        "UPDATE installation SET token_life_us = $1, lowered_us = NULL WHERE token_life_us <= $1"
            .to_owned();
    let note_lower = format!(
        "UPDATE installation SET lowered_us = {} WHERE token_life_us > $1 AND lowered_us IS NULL",
        db.dialect.now
    );
    // From then on turns reckon with the shorter life. A clock that goes back to when tokens of the longer one were
    // valid is below its floor, whatever the turns say.
    let lower = format!(
        "UPDATE installation SET token_life_us = $1, lowered_us = NULL, clock_floor_us = \
         CASE WHEN clock_floor_us > lowered_us + token_life_us THEN clock_floor_us \
         ELSE lowered_us + token_life_us END \
         WHERE token_life_us > $1 AND lowered_us + token_life_us + $2 < {}",
        db.dialect.now
    );
    // The raise comes first: a wish that returns to the life in force takes back a shorter one that
    // was noted.
    for step in [raise, note_lower] {
        db.query(&step, &[span(wish).into()]).await?;
    }
    let values = [span(wish).into(), span(margin).into()];
    db.query(&lower, &values).await?;

    let select = "SELECT token_life_us FROM installation";
    let rows = db.query(select, &[]).await?;
    let longest = only_row(&rows, "installation")?.unsigned(ONLY)?;
    Ok(TokenLife {
        issue: wish,
        keep: Duration::from_micros(longest),
    })
}

/// The statement that reads the issuer of the installation.
pub(crate) const ISSUER: &str = "SELECT issuer FROM installation";

/// The issuer of the installation. `issuer` becomes it when there is none.
pub(super) async fn keep_issuer(db: &mut Db, issuer: &str) -> Result<String, StoreError> {
    // Of two authorities that start together, the issuer of the first one stays. The second one
    // reads it and sees that its own is another.
    let keep = "UPDATE installation SET issuer = $1 WHERE issuer IS NULL";
    db.query(keep, &[issuer.into()]).await?;
    let rows = db.query(ISSUER, &[]).await?;
    only_row(&rows, "installation")?.text(ONLY)
}

pub(super) async fn change_issuer(db: &mut Db, issuer: &str) -> Result<(), StoreError> {
    let change = "UPDATE installation SET issuer = $1";
    db.query(change, &[issuer.into()]).await?;
    Ok(())
}
