//! `portcullis backup` and `portcullis restore`: the database of an authority on SQLite.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use portcullis_authority::{
    config::{Config, ConfigError},
    installation::recover::recover as begin_history,
    open_store, read_master_keys,
    store::sqlite,
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
    let kept = sqlite::restore(&options.file, directory).await?;
    if let Some(kept) = kept {
        println!("the database before is in {}", kept.display());
    }
    // Opening migrates the database, so this version can restore the backup of an older one.
    let store = open_store(&config.store).await?;
    // Gates have seen revisions that the backup lacks. By the new history they know that this one does not continue
    // it.
    let recovered = begin_history(&*store, &master, !options.keep_sessions).await?;
    println!(
        "restored: a new history begins at revision {}",
        recovered.head.revision
    );
    Ok(())
}

fn data_directory(config: &Config) -> Result<&Path, ConfigError> {
    let directory = config.store.url.strip_prefix("sqlite:").ok_or_else(|| {
        let problem = "is not SQLite: PostgreSQL has pg_basebackup, see docs/operating/backup.md";
        ConfigError::new("store.url", problem)
    })?;
    Ok(Path::new(directory))
}
