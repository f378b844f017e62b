//! What there is once in an installation: its first rows, keys, secrets, the longest token life, recovery.

use std::time::Duration;

use super::{
    Connection, Dialect, Row, Statement, append,
    audit::{self, AuditRow},
    log, transaction,
};
use crate::{
    domain::{Actor, Cause, Entry, KeyRecord, Micros, Mutation, time::span},
    store::{Checkpoint, Recovered, StoreError, TokenLife},
};
use portcullis_contract::{
    delta::{self, Change, Scope},
    id::EventId,
    key::{Algorithm, CredentialKind, KeyId},
    position::{Chain, Incarnation},
    view::Frame,
};

/// An authority that has beaten within this may be running: it beats once a second.
const BEAT_RECENT: Duration = Duration::from_secs(30);

/// How far a recovery moves the revision and the serials: more than the lost history can have used.
pub(super) const RECOVERY_STRIDE: u64 = 1 << 32;

pub(super) async fn initialize(
    connection: &mut dyn Connection,
    dialect: &Dialect,
) -> Result<(), StoreError> {
    let incarnation = portcullis_contract::random::<16>();
    let head = "INSERT INTO log_head VALUES (1, $1, 0, $2) ON CONFLICT DO NOTHING";
    connection
        .query(
            head,
            &[incarnation[..].into(), Chain::default().0[..].into()],
        )
        .await?;
    let installation = format!(
        "INSERT INTO installation (id, token_life_us, lowered_us, last_turn_us, keys_version) \
             VALUES (1, 0, NULL, {now}, 0) ON CONFLICT DO NOTHING",
        now = dialect.now
    );
    connection.query(&installation, &[]).await?;
    Ok(())
}

pub(super) async fn now(
    connection: &mut dyn Connection,
    dialect: &Dialect,
) -> Result<Micros, StoreError> {
    let rows = connection
        .query(&format!("SELECT {}", dialect.now), &[])
        .await?;
    Ok(Micros(
        rows.first()
            .ok_or_else(|| StoreError::Internal("no clock".into()))?
            .int(0)?,
    ))
}

pub(super) async fn keys(
    connection: &mut dyn Connection,
    dialect: &Dialect,
) -> Result<(Vec<KeyRecord>, Micros), StoreError> {
    let now = now(connection, dialect).await?;
    let sql = "SELECT key_id, algorithm, sealed, created_us, signs_from_us, retired_us, credential \
         FROM signing_keys ORDER BY created_us DESC, credential, key_id";
    let read = |row: &Row| {
        Ok::<_, StoreError>(KeyRecord {
            id: KeyId::parse(row.text(0)?)
                .map_err(|_| StoreError::Internal("a key id is malformed".into()))?,
            credential: credential(row.int(6)?)?,
            algorithm: algorithm(row.int(1)?)?,
            sealed: row.blob(2)?.to_vec(),
            created: Micros(row.int(3)?),
            signs_from: Micros(row.int(4)?),
            retired: row.optional_int(5)?.map(Micros),
        })
    };
    let rows = connection.query(sql, &[]).await?;
    Ok((rows.iter().map(read).collect::<Result<_, _>>()?, now))
}

/// Keeps whoever else would change keys out until this transaction ends: two retirements cannot each leave the other's
/// key as the last.
pub(super) async fn lock_keys(connection: &mut dyn Connection) -> Result<(), StoreError> {
    let sql = "UPDATE installation SET keys_version = keys_version + 1";
    connection.query(sql, &[]).await?;
    Ok(())
}

pub(super) async fn correct_future_keys(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tolerance: Duration,
) -> Result<Vec<String>, StoreError> {
    // Without a lock first: mostly there is nothing to correct.
    let (keys, now) = keys(connection, dialect).await?;
    if latest_after(&keys, now.after(tolerance)).is_none() {
        return Ok(Vec::new());
    }
    transaction!(connection, move_keys_back(connection, dialect, tolerance))
}

/// All of them by one distance, which keeps their order.
async fn move_keys_back(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tolerance: Duration,
) -> Result<Vec<String>, StoreError> {
    lock_keys(connection).await?;
    let (keys, now) = keys(connection, dialect).await?;
    let Some(latest) = latest_after(&keys, now.after(tolerance)) else {
        return Ok(Vec::new());
    };
    let distance = latest.0 - now.0;
    let sql = "UPDATE signing_keys SET created_us = created_us - $1, signs_from_us = signs_from_us - $1 \
         WHERE retired_us IS NULL AND created_us > $2 RETURNING key_id";
    let params = [distance.into(), now.after(tolerance).0.into()];
    let rows = connection.query(sql, &params).await?;
    rows.iter().map(|row| row.text(0)).collect()
}

fn latest_after(keys: &[KeyRecord], bound: Micros) -> Option<Micros> {
    let trusted = keys.iter().filter(|key| key.retired.is_none());
    let made = trusted.map(|key| key.created);
    made.filter(|created| *created > bound).max()
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

pub(super) async fn secret(
    connection: &mut dyn Connection,
    name: &str,
    fresh: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let insert = "INSERT INTO secrets VALUES ($1, $2) ON CONFLICT DO NOTHING";
    connection
        .query(insert, &[name.into(), fresh.into()])
        .await?;
    let rows = connection
        .query("SELECT sealed FROM secrets WHERE name = $1", &[name.into()])
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Internal("a secret went away".into()))?;
    Ok(row.blob(0)?.to_vec())
}

pub(super) async fn token_life(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    wish: Duration,
) -> Result<TokenLife, StoreError> {
    // A longer life at once; a shorter one noted, and in force when tokens of the longer one have run out.
    let steps = [
        "UPDATE installation SET token_life_us = $1, lowered_us = NULL WHERE token_life_us <= $1"
            .to_owned(),
        format!(
            "UPDATE installation SET lowered_us = {} WHERE token_life_us > $1 AND lowered_us IS NULL",
            dialect.now
        ),
        format!(
            "UPDATE installation SET token_life_us = $1, lowered_us = NULL \
             WHERE token_life_us > $1 AND lowered_us + token_life_us < {}",
            dialect.now
        ),
    ];
    for step in steps {
        connection.query(&step, &[span(wish).into()]).await?;
    }
    let rows = connection
        .query("SELECT token_life_us FROM installation", &[])
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Internal("no installation".into()))?;
    Ok(TokenLife {
        issue: wish,
        keep: Duration::from_micros(row.unsigned(0)?),
    })
}

pub(super) async fn keep_issuer(
    connection: &mut dyn Connection,
    issuer: &str,
) -> Result<String, StoreError> {
    let keep = "UPDATE installation SET issuer = $1 WHERE issuer IS NULL";
    connection.query(keep, &[issuer.into()]).await?;
    let rows = connection.query(ISSUER, &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Internal("no installation".into()))?;
    row.text(0)
}

pub(super) async fn change_issuer(
    connection: &mut dyn Connection,
    issuer: &str,
) -> Result<(), StoreError> {
    let change = "UPDATE installation SET issuer = $1";
    connection.query(change, &[issuer.into()]).await?;
    Ok(())
}

/// Reads the issuer of the installation.
pub(crate) const ISSUER: &str = "SELECT issuer FROM installation";

pub(super) async fn recover(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    incarnation: Incarnation,
    sign_out: bool,
    checkpoint: &Checkpoint<'_>,
) -> Result<Recovered, StoreError> {
    transaction!(connection, begin_history(connection, dialect, incarnation, sign_out, checkpoint), then last)
}

async fn begin_history(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    incarnation: Incarnation,
    sign_out: bool,
    checkpoint: &Checkpoint<'_>,
) -> Result<(Recovered, Vec<Statement>), StoreError> {
    let now = now(connection, dialect).await?;
    for statement in (dialect.advance_sequences)(RECOVERY_STRIDE) {
        connection.query(&statement, &[]).await?;
    }
    // The lock first: an authority that is still running must not append between the old head and the new.
    connection
        .query("UPDATE log_head SET revision = revision", &[])
        .await?;
    let old = log::head(connection).await?;
    refuse_beside_authority(connection, dialect).await?;
    let jump = "UPDATE log_head SET incarnation = $1, revision = revision + $2";
    connection
        .query(
            jump,
            &[incarnation.0[..].into(), (RECOVERY_STRIDE - 1).into()],
        )
        .await?;

    let everyone = |credential| Change::Cut {
        credential,
        scope: Scope::Everyone,
        exempt: None,
    };
    let kinds: &[_] = if sign_out {
        &[CredentialKind::Session, CredentialKind::ApiKey]
    } else {
        &[]
    };
    let changes: Vec<_> = kinds.iter().copied().map(everyone).collect();
    let entry = recovery_entry();
    let mut rows = AuditRow::of(&entry, now, "", &[], Some(Cause::Recovery), sign_out.into());
    let audit_digest = audit::seal(&mut rows);
    let delta = delta::encode(&changes, Vec::new());
    let [Statement { sql, params }, batch] =
        append::advance_head(dialect, now, &delta, &audit_digest);
    let head = log::position(&connection.query(&sql, &params).await?)?;
    let revision = head.revision;
    let mut last = vec![batch];
    last.extend(audit::inserts(&rows));
    if sign_out {
        let cutoffs = [
            "INSERT INTO cutoffs VALUES (3, 0, $1, 0, $2)",
            "INSERT INTO api_key_cutoffs VALUES (3, 0, $1, $2)",
        ];
        let params = vec![revision.0.into(), entry.event_id.to_bytes()[..].into()];
        last.extend(cutoffs.map(|sql| Statement {
            sql: sql.into(),
            params: params.clone(),
        }));
    }
    let recovered = Recovered {
        frame: Frame {
            revision,
            delta,
            audit_digest,
        },
        old,
        head,
    };
    let (view, code) = checkpoint(&recovered)?;
    log::insert_checkpoint(connection, revision, &view, &code).await?;
    Ok((recovered, last))
}

/// A recovery beside a running authority would begin its history without what that one goes on to acknowledge.
async fn refuse_beside_authority(
    connection: &mut dyn Connection,
    dialect: &Dialect,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT count(*) FROM authority_beat \
         WHERE authority_id <> $2 AND beat_us BETWEEN {now} - $1 AND {now} + $1",
        now = dialect.now
    );
    // The check of writes has a row of its own. SQLite has no other: there the directory's lock keeps authorities out.
    let params = [span(BEAT_RECENT).into(), log::WRITE_CHECK[..].into()];
    let rows = connection.query(&sql, &params).await?;
    let beating = rows.first().map_or(Ok(0), |row| row.int(0))?;
    if beating == 0 {
        return Ok(());
    }
    let seconds = BEAT_RECENT.as_secs();
    Err(StoreError::InUse(format!(
        "an authority has beaten within the last {seconds} s: stop every authority, wait {seconds} s and try again"
    )))
}

fn recovery_entry() -> Entry {
    Entry {
        event_id: EventId::generate(),
        actor: Actor::authority(),
        reason: "portcullis recover".into(),
        user_message: String::new(),
        trace_parent: None,
        mutation: Mutation::SignOutEveryone,
    }
}
