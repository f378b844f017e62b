//! `portcullis backup` and `portcullis restore`: the database of an authority on SQLite.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use portcullis_authority::{
    config::{Config, ConfigError},
    installation::recover::recover as begin_history,
    keys::MasterKeys,
    open_store, read_master_keys,
    store::{Recovered, sqlite},
};

use crate::configuration::Source;

/// Options of `backup`.
#[derive(Args)]
pub(crate) struct BackupOptions {
    #[command(flatten)]
    source: Source,
    /// The file to write. It must not exist.
    file: PathBuf,
}

/// Options of `restore`.
#[derive(Args)]
pub(crate) struct RestoreOptions {
    #[command(flatten)]
    source: Source,
    /// The file that `backup` wrote.
    file: PathBuf,
    /// Replace a database that is there. It is kept in a directory beside the new one.
    #[arg(long)]
    replace: bool,
    /// Leave everybody signed in. Only when nothing was revoked since the backup.
    #[arg(long)]
    keep_sessions: bool,
}

/// Copies the database into a file, beside an authority that may be running.
pub(crate) async fn back_up(options: BackupOptions) -> Result<()> {
    let config = options.source.read()?;
    let directory = data_directory(&config)?;
    // The store is not opened: opening migrates, and takes the lock that a running authority holds.
    let copied = sqlite::back_up(directory, &options.file).await?;
    println!(
        "{}: {} bytes, up to revision {}",
        options.file.display(),
        copied.bytes,
        copied.head
    );
    println!("It is of no use without the master key, which is not in it.");
    Ok(())
}

/// Puts a backup in the place of the database, and begins a new history: the backup lacks the revocations after it.
pub(crate) async fn restore(options: RestoreOptions) -> Result<()> {
    let config = options.source.read()?;
    // Before anything is touched: without the right key the restored database is of no use.
    let master = read_master_keys(&config.keys).await?;
    let directory = data_directory(&config)?;
    // A restore over a live database would lose every revocation since the backup.
    if !options.replace && sqlite::has_database(directory) {
        let problem = "has a database already: give --replace to keep that one aside";
        return Err(ConfigError::new("store.url", problem).into());
    }
    let restoration = sqlite::Restoration::begin(&options.file, directory).await?;
    // Before it is in place: a backup without a new history would have sessions that were ended since.
    let recovered = begin_history_in(
        restoration.staging(),
        &config,
        &master,
        !options.keep_sessions,
    )
    .await?;
    let kept = restoration.finish().await?;
    if let Some(kept) = kept {
        println!("the database before is in {}", kept.display());
    }
    println!(
        "restored: a new history begins at revision {}",
        recovered.head.revision
    );
    Ok(())
}

/// Begins a new history in a data directory, and closes it.
async fn begin_history_in(
    directory: &Path,
    config: &Config,
    master: &MasterKeys,
    sign_out: bool,
) -> Result<Recovered> {
    let mut config = config.store.clone();
    config.url = format!("sqlite:{}", directory.display());
    // Opening migrates the database, so this version can restore the backup of an older one.
    let store = open_store(&config).await?;
    // Gates have seen revisions that the backup lacks. By the new history they know that this one does not continue
    // it.
    Ok(begin_history(&*store, master, sign_out).await?)
}

/// Fails if there is no database yet: to open one would make it.
pub(crate) fn check_database(config: &Config) -> Result<(), ConfigError> {
    match data_directory(config) {
        Ok(directory) if !sqlite::has_database(directory) => {
            let problem = format!("there is no database in {}", directory.display());
            Err(ConfigError::new("store.url", problem))
        }
        // PostgreSQL says so itself.
        _ => Ok(()),
    }
}

fn data_directory(config: &Config) -> Result<&Path, ConfigError> {
    let directory = config.store.url.strip_prefix("sqlite:").ok_or_else(|| {
        let problem = "is not SQLite: PostgreSQL has pg_basebackup, see docs/operating/backup.md";
        ConfigError::new("store.url", problem)
    })?;
    Ok(Path::new(directory))
}
