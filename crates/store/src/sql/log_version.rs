//! The version of the log: which kinds of entries may be written, and who understands them.

use std::time::Duration;

use portcullis_contract::delta::{Change, LOG_VERSION};

use super::{
    columns::{ONLY, columns},
    db::Db,
    log,
    row::{Row, only_row},
    transaction::transaction,
    value::Value,
};
use crate::{AuthorityLogVersion, LogVersions, StoreError};
use portcullis_domain::time::span;

/// An authority that has not beaten for this long does not run. It is far longer than the time between two beats.
const BEAT_RECENT: Duration = Duration::from_secs(60);

columns! {
    /// An authority that runs. Everything but its id is null if it tells nothing of itself.
    RunningColumns { authority_id, name, log_version, gates_log_version }
}

/// Refuses changes of a kind that the log may not have yet, within the transaction that would write them.
pub(super) async fn refuse_later_kinds(
    db: &mut Db,
    changes: &[Change],
    since: fn(&Change) -> u32,
) -> Result<(), StoreError> {
    let needed = changes.iter().map(since).max().unwrap_or(1);
    // Every log has the first version, so most batches read nothing here.
    if needed <= 1 {
        return Ok(());
    }
    let log_version = current(db).await?;
    if log_version < needed {
        return Err(StoreError::LogTooOld {
            log_version,
            needed,
        });
    }
    Ok(())
}

/// The version of the log, and those of all authorities that run.
pub(super) async fn read(db: &mut Db) -> Result<LogVersions, StoreError> {
    Ok(LogVersions {
        log_version: current(db).await?,
        authorities: running(db).await?,
    })
}

/// Raises the version of the log, if everyone who runs understands it.
pub(super) async fn raise(db: &mut Db, to: u32) -> Result<(), StoreError> {
    transaction!(db, raise_in_transaction(db, to))
}

async fn raise_in_transaction(db: &mut Db, to: u32) -> Result<(), StoreError> {
    let lock = "UPDATE compatibility SET log_version = log_version WHERE id = 1";
    db.query(lock, &[]).await?;
    let versions = read(db).await?;
    check_raise(&versions, to)?;
    let raise = "UPDATE compatibility SET log_version = $1 WHERE id = 1";
    db.query(raise, &[i64::from(to).into()]).await?;
    Ok(())
}

/// Refuses a version that somebody does not understand, and one that is lower.
fn check_raise(versions: &LogVersions, to: u32) -> Result<(), StoreError> {
    let log_version = versions.log_version;
    if to < log_version {
        return Err(StoreError::LogNotLowered { log_version });
    }
    if to > LOG_VERSION {
        return Err(StoreError::LogTooNew {
            log_version: to,
            known: LOG_VERSION,
        });
    }
    for authority in &versions.authorities {
        let name = &authority.name;
        if authority.log_version < to {
            return Err(not_understood(name, authority.log_version));
        }
        if authority.gates_log_version < to {
            let gate = format!("a gate at {name}");
            return Err(not_understood(&gate, authority.gates_log_version));
        }
    }
    Ok(())
}

fn not_understood(who: &str, understands: u32) -> StoreError {
    StoreError::LogNotUnderstood {
        who: who.to_owned(),
        understands,
    }
}

async fn current(db: &mut Db) -> Result<u32, StoreError> {
    let sql = "SELECT log_version FROM compatibility WHERE id = 1";
    let rows = db.query(sql, &[]).await?;
    version(only_row(&rows, "compatibility")?.unsigned(ONLY)?)
}

/// The authorities that run. On SQLite there is at most the one that ran last, because nothing tells when it ended.
async fn running(db: &mut Db) -> Result<Vec<AuthorityLogVersion>, StoreError> {
    let columns = RunningColumns {
        authority_id: "a.authority_id",
        name: "s.name",
        log_version: "s.log_version",
        gates_log_version: "s.gates_log_version",
    };
    let from = match db.dialect.beat_writes {
        true => "authority_beat a LEFT JOIN authority_shares s ON s.authority_id = a.authority_id",
        false => "authority_shares a JOIN authority_shares s ON s.authority_id = a.authority_id",
    };
    let recent = match db.dialect.beat_writes {
        true => format!("a.beat_us > {} - $2", db.dialect.now),
        // SQLite has no beats. The condition always holds, and gives `$2` a place as in the other
        // one.
        false => "$2 > 0".to_owned(),
    };
    let sql = format!(
        "SELECT {} FROM {from} WHERE a.authority_id <> $1 AND {recent} LIMIT {}",
        columns.select(),
        crate::PEERS_MAX + 1,
    );
    let values: [Value; 2] = [log::WRITE_CHECK[..].into(), span(BEAT_RECENT).into()];
    let rows = db.query(&sql, &values).await?;
    // A part of them would look like all, and one that is left out may not understand the version.
    if rows.len() > crate::PEERS_MAX as usize {
        return Err(StoreError::Overloaded("authorities that run".into()));
    }
    rows.iter().map(read_running).collect()
}

fn read_running(row: &Row) -> Result<AuthorityLogVersion, StoreError> {
    let columns = RunningColumns::AT;
    let name = row.text(columns.name)?;
    // An authority that tells nothing of itself may be of any version: it counts as the oldest.
    let of = |column| -> Result<u32, StoreError> {
        let told = row.optional_int(column)?.unwrap_or(1);
        version(u64::try_from(told).unwrap_or_default())
    };
    Ok(AuthorityLogVersion {
        name: if name.is_empty() {
            "an authority without a name".into()
        } else {
            name
        },
        log_version: of(columns.log_version)?,
        gates_log_version: of(columns.gates_log_version)?,
    })
}

fn version(stored: u64) -> Result<u32, StoreError> {
    u32::try_from(stored)
        .map_err(|_| StoreError::Internal("a version of the log has an invalid value".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(log_version: u32, authorities: &[(u32, u32)]) -> LogVersions {
        let mut running = Vec::new();
        for (index, (own, gates)) in authorities.iter().enumerate() {
            running.push(AuthorityLogVersion {
                name: format!("authority {index}"),
                log_version: *own,
                gates_log_version: *gates,
            });
        }
        LogVersions {
            log_version,
            authorities: running,
        }
    }

    #[test]
    fn a_raise_needs_the_understanding_of_all_who_run() {
        let everyone = versions(0, &[(LOG_VERSION, LOG_VERSION), (LOG_VERSION, LOG_VERSION)]);
        assert!(check_raise(&everyone, LOG_VERSION).is_ok());
        assert!(check_raise(&versions(0, &[]), LOG_VERSION).is_ok());

        let older = LOG_VERSION - 1;
        for one in [(older, LOG_VERSION), (LOG_VERSION, older)] {
            let refused = check_raise(
                &versions(0, &[(LOG_VERSION, LOG_VERSION), one]),
                LOG_VERSION,
            );
            let Err(StoreError::LogNotUnderstood { who, understands }) = refused else {
                panic!("{refused:?}");
            };
            assert!(who.ends_with("authority 1"), "{who}");
            assert_eq!(understands, older);
        }
    }

    #[test]
    fn a_version_is_neither_lowered_nor_raised_beyond_this_build() {
        let lowered = check_raise(&versions(LOG_VERSION, &[]), LOG_VERSION - 1);
        assert!(matches!(lowered, Err(StoreError::LogNotLowered { .. })));
        let unknown = check_raise(&versions(1, &[]), LOG_VERSION + 1);
        assert!(matches!(unknown, Err(StoreError::LogTooNew { .. })));
    }
}
