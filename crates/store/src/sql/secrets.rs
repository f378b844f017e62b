//! Secrets as rows, and everything that master keys sealed.

use portcullis_contract::{id::EventId, key::KeyId};

use super::{
    columns::{ONLY, columns},
    db::Db,
    installation::now,
    row::{Row, only_row},
    value::Value,
};
use crate::{MASTER_KEY_ID_BYTES, StoreError};
use portcullis_domain::{
    Micros, NewSecret, RemovalPlace, Resealed, SealedPlace, SealedValue, SecretId, SecretKind,
    SecretRecord,
};

columns! {
    /// The columns of a [`SecretRecord`].
    SecretColumns { kind, number, sealed, created_us, makes_from_us, retired_us }
}

columns! {
    /// Sealed bytes with their place: the name, the number of the secret or revision, or the event.
    SealedColumns { name, number, event_id, sealed }
}

columns! {
    /// How many values a master key has sealed.
    CountColumns { master_key, sealed_count }
}

/// All secrets in the order of their names, and the time.
pub(super) async fn all(db: &mut Db) -> Result<(Vec<SecretRecord>, Micros), StoreError> {
    let now = now(db).await?;
    let sql = format!(
        "SELECT {} FROM secrets ORDER BY kind, number",
        SecretColumns::names()
    );
    let rows = db.query(&sql, &[]).await?;
    let secrets = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok((secrets, now))
}

fn read(row: &Row) -> Result<SecretRecord, StoreError> {
    let columns = SecretColumns::AT;
    Ok(SecretRecord {
        id: secret_id(&row.text(columns.kind)?, row.unsigned(columns.number)?)?,
        sealed: row.blob(columns.sealed)?.to_vec(),
        created: row.time(columns.created_us)?,
        makes_from: row.time(columns.makes_from_us)?,
        retired: row.optional_time(columns.retired_us)?,
    })
}

fn secret_id(kind: &str, number: u64) -> Result<SecretId, StoreError> {
    let kind = SecretKind::from_name(kind);
    match (kind, u8::try_from(number)) {
        (Some(kind), Ok(number)) => Ok(SecretId { kind, number }),
        _ => Err(StoreError::Internal(
            "the name of a secret is malformed".into(),
        )),
    }
}

/// Adds a secret in a statement of its own, unless there is one of its name.
pub(super) async fn keep(db: &mut Db, fresh: &NewSecret) -> Result<(), StoreError> {
    let now = now(db).await?;
    insert(db, fresh, now).await?;
    Ok(())
}

/// Adds a secret. Returns false when there is one of its name.
pub(super) async fn insert(
    db: &mut Db,
    fresh: &NewSecret,
    now: Micros,
) -> Result<bool, StoreError> {
    // The name decides: of two authorities that add one at the same time, both then use that of the first.
    let sql = "INSERT INTO secrets (kind, number, sealed, created_us, makes_from_us) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING number";
    let values: [Value; 5] = [
        fresh.id.kind.name().into(),
        i64::from(fresh.id.number).into(),
        fresh.sealed[..].into(),
        now.into(),
        now.after(fresh.activation_delay).into(),
    ];
    Ok(!db.query(sql, &values).await?.is_empty())
}

/// Retires a secret, and deletes its bytes: nobody can make its tokens any more, whatever keys they have.
pub(super) async fn retire(db: &mut Db, id: SecretId, now: Micros) -> Result<(), StoreError> {
    let sql = "UPDATE secrets SET retired_us = $3, sealed = $4 WHERE kind = $1 AND number = $2";
    let nothing: &[u8] = &[];
    let values: [Value; 4] = [
        id.kind.name().into(),
        i64::from(id.number).into(),
        now.into(),
        nothing.into(),
    ];
    db.query(sql, &values).await?;
    Ok(())
}

/// Values that another master key sealed. Few enough to be found without an index.
pub(super) async fn sealed_by_others(
    db: &mut Db,
    master_key: &[u8; MASTER_KEY_ID_BYTES],
    limit: u32,
) -> Result<Vec<SealedValue>, StoreError> {
    let mut found = Vec::new();
    for table in Table::ALL {
        let left = i64::from(limit) - i64::try_from(found.len()).unwrap_or(i64::MAX);
        if left <= 0 {
            break;
        }
        let sql = format!(
            // A retired secret has no bytes, and a trail from which nothing is gone has no code.
            "SELECT {} FROM {} WHERE substr({sealed}, 1, {MASTER_KEY_ID_BYTES}) <> $1 AND length({sealed}) > 0 \
             ORDER BY {} LIMIT $2",
            table.columns().select(),
            table.name(),
            table.order(),
            sealed = table.sealed(),
        );
        let rows = db
            .query(&sql, &[master_key[..].into(), left.into()])
            .await?;
        for row in &rows {
            found.push(table.read(row)?);
        }
    }
    Ok(found)
}

/// Counts values by the id of the master key that sealed them.
pub(super) async fn count_sealed(db: &mut Db) -> Result<Vec<(Vec<u8>, u64)>, StoreError> {
    let tables = Table::ALL.map(|table| {
        format!(
            "SELECT substr({sealed}, 1, {MASTER_KEY_ID_BYTES}) AS master_key FROM {} WHERE length({sealed}) > 0",
            table.name(),
            sealed = table.sealed(),
        )
    });
    let columns = CountColumns {
        master_key: "s.master_key",
        sealed_count: "count(*)",
    };
    let sql = format!(
        "SELECT {} FROM ({}) s GROUP BY s.master_key ORDER BY s.master_key",
        columns.select(),
        tables.join(" UNION ALL ")
    );
    let mut counts = Vec::new();
    for row in db.query(&sql, &[]).await? {
        let columns = CountColumns::AT;
        let master_key = row.blob(columns.master_key)?.to_vec();
        counts.push((master_key, row.unsigned(columns.sealed_count)?));
    }
    Ok(counts)
}

/// Puts a value into its place, unless it changed since it was read. Returns whether it did.
pub(super) async fn reseal(db: &mut Db, value: &Resealed) -> Result<bool, StoreError> {
    let (sql, name) = match &value.place {
        SealedPlace::Secret(id) => (
            "UPDATE secrets SET sealed = $1 WHERE sealed = $2 AND kind = $3 AND number = $4 RETURNING number",
            vec![id.kind.name().into(), i64::from(id.number).into()],
        ),
        SealedPlace::SigningKey(id) => (
            "UPDATE signing_keys SET sealed = $1 WHERE sealed = $2 AND key_id = $3 RETURNING key_id",
            vec![id.as_str().into()],
        ),
        SealedPlace::Checkpoint(revision) => (
            "UPDATE checkpoints SET code = $1 WHERE code = $2 AND revision = $3 RETURNING revision",
            vec![(*revision).into()],
        ),
        SealedPlace::Removal(RemovalPlace::Begin) => (
            "UPDATE audit_begin SET code = $1 WHERE code = $2 RETURNING id",
            vec![],
        ),
        SealedPlace::Removal(RemovalPlace::Gap(revision)) => (
            "UPDATE audit_gaps SET code = $1 WHERE code = $2 AND revision = $3 RETURNING revision",
            vec![(*revision).into()],
        ),
        SealedPlace::Removal(RemovalPlace::Erasure(event)) => (
            "UPDATE audit_gone_erasures SET code = $1 WHERE code = $2 AND event_id = $3 RETURNING has_begun",
            vec![(*event).into()],
        ),
    };
    // The old bytes are part of the condition. A secret that was retired since must not get its
    // bytes back.
    let mut values: Vec<Value> = vec![value.new[..].into(), value.old[..].into()];
    values.extend(name);
    Ok(!db.query(sql, &values).await?.is_empty())
}

/// Returns true if a session that was opened before a time may still be refreshed.
pub(super) async fn has_session_from_before(db: &mut Db, time: Micros) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM sessions WHERE created_us < $1 AND expires_us > {} AND end_event IS NULL \
         LIMIT 1) s",
        db.dialect.now
    );
    let rows = db.query(&sql, &[time.into()]).await?;
    Ok(only_row(&rows, "sessions")?.unsigned(ONLY)? > 0)
}

/// A table with sealed bytes.
#[derive(Clone, Copy)]
enum Table {
    Secrets,
    SigningKeys,
    Checkpoints,
    AuditBegin,
    AuditGaps,
    AuditErasures,
}

impl Table {
    const ALL: [Self; 6] = [
        Self::Secrets,
        Self::SigningKeys,
        Self::Checkpoints,
        Self::AuditBegin,
        Self::AuditGaps,
        Self::AuditErasures,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::SigningKeys => "signing_keys",
            Self::Checkpoints => "checkpoints",
            Self::AuditBegin => "audit_begin",
            Self::AuditGaps => "audit_gaps",
            Self::AuditErasures => "audit_gone_erasures",
        }
    }

    fn sealed(self) -> &'static str {
        match self {
            Self::Secrets | Self::SigningKeys => "sealed",
            Self::Checkpoints | Self::AuditBegin | Self::AuditGaps | Self::AuditErasures => "code",
        }
    }

    fn order(self) -> &'static str {
        match self {
            Self::Secrets => "kind, number",
            Self::SigningKeys => "key_id",
            Self::Checkpoints | Self::AuditBegin | Self::AuditGaps => "revision",
            Self::AuditErasures => "event_id",
        }
    }

    /// The columns of a place. Those that a table has not are filled with another of the same type, which nobody reads.
    fn columns(self) -> SealedColumns<&'static str> {
        let sealed = self.sealed();
        let unnamed = SealedColumns {
            name: "''",
            number: "CAST(0 AS BIGINT)",
            event_id: sealed,
            sealed,
        };
        match self {
            Self::Secrets => SealedColumns {
                name: "kind",
                number: "number",
                ..unnamed
            },
            Self::SigningKeys => SealedColumns {
                name: "key_id",
                ..unnamed
            },
            Self::Checkpoints | Self::AuditBegin | Self::AuditGaps => SealedColumns {
                number: "revision",
                ..unnamed
            },
            Self::AuditErasures => SealedColumns {
                event_id: "event_id",
                ..unnamed
            },
        }
    }

    fn read(self, row: &Row) -> Result<SealedValue, StoreError> {
        let columns = SealedColumns::AT;
        let name = row.text(columns.name)?;
        let place = match self {
            Self::Secrets => SealedPlace::Secret(secret_id(&name, row.unsigned(columns.number)?)?),
            Self::SigningKeys => SealedPlace::SigningKey(KeyId::parse(name).map_err(|_| {
                StoreError::Internal("the id of a signing key is malformed".into())
            })?),
            Self::Checkpoints => SealedPlace::Checkpoint(row.revision(columns.number)?),
            Self::AuditBegin => SealedPlace::Removal(RemovalPlace::Begin),
            Self::AuditGaps => {
                SealedPlace::Removal(RemovalPlace::Gap(row.revision(columns.number)?))
            }
            Self::AuditErasures => {
                let event = EventId::from_bytes(row.array(columns.event_id)?);
                SealedPlace::Removal(RemovalPlace::Erasure(event))
            }
        };
        Ok(SealedValue {
            place,
            sealed: row.blob(columns.sealed)?.to_vec(),
        })
    }
}
