//! The archive of the audit trail: a file for each month, written when the month is over.
//!
//! One authority at a time writes, under the claim of an export (`audit_export`). The place in the store moves when a whole
//! file is on the disk under its name. After a crash the same file is written again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use portcullis_contract::position::{Chain, Revision};
use time::{Date, Month, OffsetDateTime};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, audit::RecordCodes},
    config::{AuditConfig, ConfigError},
    domain::{ExportPlace, TrailMark, TrailPosition},
    keys::{MasterKeys, random},
    store::{
        ARCHIVE_FORMAT, ArchiveEnd, ArchiveHead, ArchiveLine, ArchivePiece, ArchivedBatch, Codes,
        ExportClaim, Store, StoreError,
    },
};

/// The name of the archive among the exports. No configured export can have it.
pub(crate) const ARCHIVE_EXPORT: &str = "(archive)";

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// The pause while another authority has the claim. It may have died.
const CLAIM_PAUSE: Duration = Duration::from_secs(2);
/// How long a claim counts without a renewal.
const LEASE: Duration = Duration::from_secs(5);
/// The time after which a claim is renewed.
const RENEW: Duration = Duration::from_millis(1_500);
/// The pause between two reads, so that the archive competes with nobody.
const PIECE_PAUSE: Duration = Duration::from_millis(20);
/// The time after the end of a month in which its last batches may still come.
const SETTLE_US: i64 = 60 * 60 * 1_000_000;
/// The age of a file that a crash left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);
/// Only its owner reads it: events have names and addresses.
const MODE: u32 = 0o600;

/// The archive of this authority.
pub(crate) struct Archiver {
    directory: PathBuf,
    store: Arc<dyn Store>,
    master: Arc<MasterKeys>,
    /// The id of this authority.
    authority: [u8; 16],
    /// Notified when a month was archived, and so may be removed.
    pub(crate) archived: Arc<Notify>,
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
enum ArchiveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the file: {0}")]
    File(#[from] io::Error),
    #[error("revision {0}: {1}")]
    Fault(Revision, &'static str),
    #[error("another authority archives")]
    Claimed,
    #[error("the claim was lost")]
    Lost,
}

/// Fails if the archive is configured and its directory is not there.
pub(crate) fn check_directory(config: &AuditConfig) -> Result<(), ConfigError> {
    let Some(directory) = &config.archive_directory else {
        return Ok(());
    };
    match fs::metadata(directory).is_ok_and(|found| found.is_dir()) {
        true => Ok(()),
        false => {
            let problem = "must be a directory that there is";
            Err(ConfigError::new("audit.archive_directory", problem))
        }
    }
}

impl Archiver {
    /// Opens the archive that is configured.
    pub(crate) fn open(app: &App) -> Result<Option<Self>, ConfigError> {
        let Some(directory) = &app.config.audit.archive_directory else {
            return Ok(None);
        };
        check_directory(&app.config.audit)?;
        Ok(Some(Self {
            directory: directory.clone(),
            store: Arc::clone(&app.store),
            master: Arc::clone(app.secrets.master()),
            authority: app.watch.beats.authority(),
            archived: Arc::default(),
        }))
    }

    /// Archives whole months, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            // A file that is not finished has another name, and its claim ends by itself.
            if stop.run_until_cancelled(self.step()).await.is_none() {
                return;
            }
        }
    }

    /// Archives a month, or waits before the next look.
    async fn step(&self) {
        match self.archive_month().await {
            Ok(Some(file)) => {
                tracing::info!(file = %file.display(), "audit events archived");
                self.archived.notify_one();
            }
            Ok(None) => sleep(LOOK).await,
            Err(ArchiveError::Claimed) => sleep(CLAIM_PAUSE).await,
            Err(ArchiveError::Store(error)) => {
                error.log("audit events were not archived; the next try is in a minute");
                sleep(LOOK).await;
            }
            Err(error) => {
                tracing::error!(%error, "audit events were not archived; the next try is in a minute");
                sleep(LOOK).await;
            }
        }
    }

    /// Archives the oldest month that is over and not archived. None: there is none.
    async fn archive_month(&self) -> Result<Option<PathBuf>, ArchiveError> {
        let (begin, _) = self.store.trail_begin().await?;
        let begin = ExportPlace::behind(TrailMark {
            revision: begin.revision,
            chain: begin.chain,
        });
        let claimed = self
            .store
            .claim_export(ARCHIVE_EXPORT, &self.authority, &begin, LEASE)
            .await?;
        let claim = claimed.ok_or(ArchiveError::Claimed)?;
        let written = self.write_next(&claim, &begin).await;
        // After an error too: another authority need not wait until the lease has ended.
        self.store
            .release_export(ARCHIVE_EXPORT, claim.fence)
            .await?;
        written
    }

    async fn write_next(
        &self,
        claim: &ExportClaim,
        begin: &ExportPlace,
    ) -> Result<Option<PathBuf>, ArchiveError> {
        let place = self.find_place(&claim.place, begin).await?;
        let piece = self.read(place.mark().revision).await?;
        let Some(first) = piece.batches.first() else {
            return Ok(None);
        };
        let month = Period::of(first.stamped_us).ok_or(ArchiveError::Fault(
            Revision(first.revision),
            "the time is out of range",
        ))?;
        // By the store's clock, which has stamped the batches.
        if piece.now.0 < month.end_us + SETTLE_US {
            return Ok(None);
        }

        let (path, end) = self
            .write_month(claim.fence, &month, place.mark(), piece)
            .await?;
        self.advance(claim.fence, &place, end).await?;
        Ok(Some(path))
    }

    /// Moves the place behind a file.
    async fn advance(
        &self,
        fence: u64,
        place: &ExportPlace,
        end: ArchiveEnd,
    ) -> Result<(), ArchiveError> {
        let position = TrailPosition::behind_revision(Revision(end.through_revision));
        let place = place.advanced(position, Chain(end.through_chain));
        let advancing = self.store.advance_export(ARCHIVE_EXPORT, fence, &place);
        match advancing.await? {
            true => Ok(()),
            // The next holder writes the same file again.
            false => Err(ArchiveError::Lost),
        }
    }

    /// The place from which to go on.
    async fn find_place(
        &self,
        place: &ExportPlace,
        begin: &ExportPlace,
    ) -> Result<ExportPlace, StoreError> {
        let first = begin.mark();
        let mark = place.mark();
        if mark.revision < first.revision {
            tracing::warn!(
                archived = mark.revision.0,
                begin = first.revision.0,
                "audit events were removed that no archive has: it goes on where the trail begins"
            );
            return Ok(begin.clone());
        }
        // After a failover that lost batches, or a restore, the log has others in their places.
        let passed = std::iter::once(&mark).chain(place.passed());
        for mark in passed {
            let chain = self.store.chain(mark.revision).await?;
            if chain == Some(mark.chain) {
                return Ok(match *mark == place.mark() {
                    true => place.clone(),
                    false => place.returned_to(*mark),
                });
            }
        }
        Ok(begin.clone())
    }

    /// Reads batches that match the chain.
    async fn read(&self, after: Revision) -> Result<ArchivePiece, ArchiveError> {
        let piece = self.store.batches_to_archive(after).await?;
        if let Some(fault) = &piece.fault {
            return Err(ArchiveError::Fault(fault.revision, fault.problem));
        }
        let codes = RecordCodes(&self.master);
        if let Some(forged) = piece
            .records
            .iter()
            .find(|record| !codes.is_genuine(record))
        {
            let problem = "no authority has made the record of a removal";
            return Err(ArchiveError::Fault(forged.revision, problem));
        }
        Ok(piece)
    }

    /// Writes a month under its name.
    async fn write_month(
        &self,
        fence: u64,
        month: &Period,
        after: TrailMark,
        piece: ArchivePiece,
    ) -> Result<(PathBuf, ArchiveEnd), ArchiveError> {
        // A month has a second file if the archive goes on in its middle, as after a lost history. The
        // revision tells the two apart.
        let name = format!("audit-{}-{:012}.jsonl", month.name, after.revision.0);
        let mut file = Writing::begin(&self.directory, &name, month, after).await?;
        self.fill(&mut file, fence, month, piece).await?;
        let end = file.end;
        let path = self.directory.join(name);
        file.finish(path.clone()).await?;
        Ok((path, end))
    }

    /// Writes the batches of a month into its file.
    async fn fill(
        &self,
        file: &mut Writing,
        fence: u64,
        month: &Period,
        mut piece: ArchivePiece,
    ) -> Result<(), ArchiveError> {
        let mut renewed = Instant::now();
        loop {
            let length = piece.batches.len();
            piece
                .batches
                .retain(|batch| batch.stamped_us < month.end_us);
            // The first batch of the next month ends the file, also if the clock was set back behind it.
            let is_last = length == 0 || piece.batches.len() < length;
            file.add(piece.batches).await?;
            if is_last {
                return Ok(());
            }
            if renewed.elapsed() >= RENEW {
                self.renew(fence).await?;
                renewed = Instant::now();
            }
            sleep(PIECE_PAUSE).await;
            piece = self.read(Revision(file.end.through_revision)).await?;
        }
    }

    async fn renew(&self, fence: u64) -> Result<(), ArchiveError> {
        let renewing = self.store.renew_export(ARCHIVE_EXPORT, fence, LEASE);
        match renewing.await? {
            true => Ok(()),
            false => Err(ArchiveError::Lost),
        }
    }
}

/// A month, in UTC.
struct Period {
    /// As `2026-11`.
    name: String,
    /// The first microsecond behind it.
    end_us: i64,
}

impl Period {
    fn of(at_us: i64) -> Option<Self> {
        let at = OffsetDateTime::from_unix_timestamp(at_us.div_euclid(1_000_000)).ok()?;
        let (year, month) = (at.year(), at.month());
        let next = match month {
            Month::December => (year + 1, Month::January),
            _ => (year, month.next()),
        };
        let end = Date::from_calendar_date(next.0, next.1, 1).ok()?;
        let end = end.midnight().assume_utc().unix_timestamp();
        Some(Self {
            name: format!("{year:04}-{:02}", u8::from(month)),
            end_us: end * 1_000_000,
        })
    }
}

/// A file that is not finished.
struct Writing {
    // None while a write has it, and for good after one that failed: a file with a gap must never
    // get its name.
    file: Option<File>,
    path: PathBuf,
    end: ArchiveEnd,
}

impl Writing {
    async fn begin(
        directory: &Path,
        name: &str,
        month: &Period,
        after: TrailMark,
    ) -> io::Result<Self> {
        // A name that no other authority takes: one that was paused may go on writing after it has lost the claim.
        let [a, b, c, d] = random::<4>();
        let path = directory.join(format!(".{name}.{a:02x}{b:02x}{c:02x}{d:02x}.tmp"));
        let file = open_new(directory.to_owned(), path.clone()).await?;
        let mut writing = Self {
            file: Some(file),
            path,
            end: nothing_behind(after),
        };
        let head = head_of(month, after);
        writing.write(&[ArchiveLine::Archive(head)]).await?;
        Ok(writing)
    }

    async fn add(&mut self, batches: Vec<ArchivedBatch>) -> io::Result<()> {
        let Some(last) = batches.last() else {
            return Ok(());
        };
        self.end.through_revision = last.revision;
        self.end.through_chain = last.chain;
        self.end.batches += batches.len() as u64;
        for batch in &batches {
            self.end.rows += batch.rows.len() as u64;
        }
        let lines = batches.into_iter().map(Box::new).map(ArchiveLine::Batch);
        self.write(&lines.collect::<Vec<_>>()).await
    }

    async fn write(&mut self, lines: &[ArchiveLine]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        let mut file = self.take()?;
        // A disk may take its time, and no other task of this thread shall wait for it.
        let file = run_blocking(move || file.write_all(&bytes).map(|()| file)).await?;
        self.file = Some(file);
        Ok(())
    }

    fn take(&mut self) -> io::Result<File> {
        let file = self.file.take();
        file.ok_or_else(|| io::Error::other("an earlier write has failed"))
    }

    /// Gives the file its name when all of it is on the disk.
    async fn finish(mut self, path: PathBuf) -> io::Result<()> {
        let end = self.end;
        self.write(&[ArchiveLine::End(end)]).await?;
        let file = self.take()?;
        let written = self.path.clone();
        run_blocking(move || {
            file.sync_all()?;
            fs::rename(&written, &path)?;
            // So that the name survives a crash as well.
            File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
        })
        .await
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // After `finish` there is no such file.
        let _ = fs::remove_file(&self.path);
    }
}

fn head_of(month: &Period, after: TrailMark) -> ArchiveHead {
    ArchiveHead {
        format: ARCHIVE_FORMAT.to_owned(),
        month: month.name.clone(),
        after_revision: after.revision.0,
        after_chain: after.chain.0,
    }
}

/// The end of a file without batches.
fn nothing_behind(after: TrailMark) -> ArchiveEnd {
    ArchiveEnd {
        batches: 0,
        rows: 0,
        through_revision: after.revision.0,
        through_chain: after.chain.0,
    }
}

async fn open_new(directory: PathBuf, path: PathBuf) -> io::Result<File> {
    run_blocking(move || {
        remove_left_behind(&directory)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(path)
    })
    .await
}

/// Removes files that a crash left behind long ago.
fn remove_left_behind(directory: &Path) -> io::Result<()> {
    let oldest = SystemTime::now() - LEFT_BEHIND;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(".audit-") && name.ends_with(".tmp");
        // A younger one may be in use by an authority that shares the directory.
        if is_ours && entry.metadata()?.modified()? < oldest {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    // Disks block, and a blocked worker thread would hold up calls.
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(at_us: i64) -> (String, i64) {
        let period = Period::of(at_us).expect("a month");
        (period.name, period.end_us)
    }

    #[test]
    fn a_month_ends_where_the_next_one_begins() {
        const NOVEMBER: i64 = 1_793_491_200_000_000;
        const DECEMBER: i64 = NOVEMBER + 30 * 86_400_000_000;
        const JANUARY: i64 = DECEMBER + 31 * 86_400_000_000;
        assert_eq!(period(NOVEMBER), ("2026-11".into(), DECEMBER));
        assert_eq!(period(DECEMBER - 1), ("2026-11".into(), DECEMBER));
        assert_eq!(period(DECEMBER), ("2026-12".into(), JANUARY));
        assert!(Period::of(i64::MAX).is_none());
    }
}
