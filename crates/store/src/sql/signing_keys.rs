//! Signing keys as rows.

use std::time::Duration;

use portcullis_contract::key::{Algorithm, CredentialKind, KeyId};

use super::{
    columns::{ONLY, columns},
    db::Db,
    installation::now,
    row::Row,
    transaction::transaction,
};
use crate::StoreError;
use portcullis_domain::{KeyRecord, Micros};

columns! {
    /// The columns of a [`KeyRecord`].
    KeyColumns { key_id, credential, algorithm, sealed, created_us, signs_from_us, retired_us }
}

/// All signing keys, newest first, and the time.
pub(super) async fn all(db: &mut Db) -> Result<(Vec<KeyRecord>, Micros), StoreError> {
    let now = now(db).await?;
    let sql = format!(
        "SELECT {} FROM signing_keys ORDER BY created_us DESC, credential, key_id",
        KeyColumns::names()
    );
    let rows = db.query(&sql, &[]).await?;
    let keys = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok((keys, now))
}

fn read(row: &Row) -> Result<KeyRecord, StoreError> {
    let columns = KeyColumns::AT;
    let id = KeyId::parse(row.text(columns.key_id)?)
        .map_err(|_| StoreError::Internal("the id of a signing key is malformed".into()))?;
    Ok(KeyRecord {
        id,
        credential: credential(row.int(columns.credential)?)?,
        algorithm: algorithm(row.int(columns.algorithm)?)?,
        sealed: row.blob(columns.sealed)?.to_vec(),
        created: row.time(columns.created_us)?,
        signs_from: row.time(columns.signs_from_us)?,
        retired: row.optional_time(columns.retired_us)?,
    })
}

/// Keeps other transactions from changing keys until this one ends.
pub(super) async fn lock(db: &mut Db) -> Result<(), StoreError> {
    // Without it, two retirements could each leave the other's key as the last one.
    let sql = "UPDATE installation SET keys_version = keys_version + 1";
    db.query(sql, &[]).await?;
    Ok(())
}

/// Moves keys that were created later than `tolerance` from now back in time, and returns their ids: the clock was ahead
/// when they were created.
pub(super) async fn correct_future_keys(
    db: &mut Db,
    tolerance: Duration,
) -> Result<Vec<String>, StoreError> {
    // Without the lock first, because mostly there is nothing to correct.
    let (keys, now) = all(db).await?;
    if latest_after(&keys, now.after(tolerance)).is_none() {
        return Ok(Vec::new());
    }
    transaction!(db, move_keys_back(db, tolerance))
}

/// Moves all of them by the same distance, which keeps their order.
async fn move_keys_back(db: &mut Db, tolerance: Duration) -> Result<Vec<String>, StoreError> {
    lock(db).await?;
    // Again, under the lock: another authority may have moved the keys since the first look.
    let (keys, now) = all(db).await?;
    let bound = now.after(tolerance);
    let Some(latest) = latest_after(&keys, bound) else {
        return Ok(Vec::new());
    };
    let distance = latest.0 - now.0;
    let sql = "UPDATE signing_keys SET created_us = created_us - $1, signs_from_us = signs_from_us - $1 \
         WHERE retired_us IS NULL AND created_us > $2 RETURNING key_id";
    let rows = db.query(sql, &[distance.into(), bound.into()]).await?;
    rows.iter().map(|row| row.text(ONLY)).collect()
}

/// When the newest trusted key was created, if that is after `bound`.
fn latest_after(keys: &[KeyRecord], bound: Micros) -> Option<Micros> {
    let trusted = keys.iter().filter(|key| key.retired.is_none());
    let created = trusted.map(|key| key.created);
    created.filter(|created| *created > bound).max()
}

pub(super) fn credential_code(credential: CredentialKind) -> i64 {
    match credential {
        CredentialKind::Session => 1,
        CredentialKind::ApiKey => 2,
    }
}

fn credential(code: i64) -> Result<CredentialKind, StoreError> {
    match code {
        1 => Ok(CredentialKind::Session),
        2 => Ok(CredentialKind::ApiKey),
        _ => Err(StoreError::Internal(
            "a key signs an unknown kind of credential".into(),
        )),
    }
}

pub(super) fn algorithm_code(algorithm: Algorithm) -> i64 {
    match algorithm {
        Algorithm::Ed25519 => 1,
        Algorithm::Es256 => 2,
        Algorithm::Rs256 => 3,
    }
}

fn algorithm(code: i64) -> Result<Algorithm, StoreError> {
    match code {
        1 => Ok(Algorithm::Ed25519),
        2 => Ok(Algorithm::Es256),
        3 => Ok(Algorithm::Rs256),
        _ => Err(StoreError::Internal(
            "a key has an unknown algorithm".into(),
        )),
    }
}
