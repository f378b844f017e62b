//! Files of the archive: a month of the log each, as lines of JSON.
//!
//! The first line says where the file begins, the last one where it ends, and each line between them is a batch. So a file
//! is verified by itself, a torn one is noticed, and two files in a row are linked by the chain.

use std::io::{BufRead, Read};

use portcullis_contract::position::{Chain, Digest, Revision};
use serde::{Deserialize, Serialize};

/// The name and version of the format.
pub const ARCHIVE_FORMAT: &str = "portcullis-audit-1";

/// The longest line, in bytes. A batch has some thousand rows of some kilobytes at most.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveLine {
    /// The first.
    Archive(ArchiveHead),
    /// A batch.
    Batch(Box<ArchivedBatch>),
    /// The last.
    End(ArchiveEnd),
}

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveHead {
    /// [`ARCHIVE_FORMAT`].
    pub format: String,
    /// The month, as `2026-11`.
    pub month: String,
    /// The last revision before the file, and the chain there.
    pub after_revision: u64,
    /// The chain at that revision.
    #[serde(with = "hex::serde")]
    pub after_chain: Digest,
}

/// The last line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveEnd {
    /// The number of batches.
    pub batches: u64,
    /// The number of rows.
    pub rows: u64,
    /// The last revision.
    pub through_revision: u64,
    /// The chain at that revision.
    #[serde(with = "hex::serde")]
    pub through_chain: Digest,
}

/// A batch of the log with its audit rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedBatch {
    /// The revision of the batch.
    pub revision: u64,
    /// The time of the batch, in microseconds since 1970.
    pub stamped_us: i64,
    /// SHA-256 of the delta.
    #[serde(with = "hex::serde")]
    pub delta_digest: Digest,
    /// The digest of the audit rows.
    #[serde(with = "hex::serde")]
    pub audit_digest: Digest,
    /// The chain behind the batch.
    #[serde(with = "hex::serde")]
    pub chain: Digest,
    /// The rows that there were.
    pub rows: Vec<ArchivedRow>,
    /// The rows that were gone by then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<ArchivedGap>,
}

/// A row that was gone when its batch was archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedGap {
    /// The event.
    pub id: String,
    /// The number of the row in its event.
    pub ordinal: i64,
    /// The digest of the row.
    #[serde(with = "hex::serde")]
    pub digest: Digest,
}

/// An audit row. The names are those of the columns of `audit_events`, but for `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // docs/operating/audit.md has the columns.
pub struct ArchivedRow {
    /// `event_id`, as events are named everywhere.
    pub id: String,
    pub ordinal: i64,
    pub at_us: i64,
    pub tenant_id: String,
    pub action: String,
    pub target: String,
    pub cause: Option<i64>,
    pub actor: String,
    pub via: String,
    pub actor_ip: String,
    pub reason: String,
    pub user_message: String,
    pub changed: i64,
    pub user_id: String,
    /// JSON.
    pub details: String,
    #[serde(with = "hex::serde")]
    pub actor_proof: Vec<u8>,
    #[serde(with = "hex::serde")]
    pub subject_proof: Vec<u8>,
    /// The event of the erasure of the author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_erased_by: Option<String>,
    /// The event of the erasure of the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_erased_by: Option<String>,
}

impl ArchivedRow {
    /// Whether an erasure has removed a part of it.
    pub(crate) fn is_erased(&self) -> bool {
        self.actor_erased_by.is_some() || self.subject_erased_by.is_some()
    }
}

/// A file that matches its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// The first line of the file.
    pub head: ArchiveHead,
    /// The last line of the file.
    pub end: ArchiveEnd,
    /// The number of rows of which an erasure had removed a part by then.
    pub erased: u64,
    /// The number of rows that were gone by then.
    pub removed: u64,
}

/// The first place where a file does not match its chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ArchiveFault {
    /// The number of the line, from 1.
    pub line: u64,
    /// The revision of its batch, if it is one.
    pub revision: Option<u64>,
    /// The mismatch.
    pub problem: String,
}

/// Verifies a file by itself.
///
/// # Errors
/// The first line that does not match.
pub fn verify_archive(input: impl BufRead) -> Result<ArchiveSummary, ArchiveFault> {
    let mut lines = Lines { input, number: 0 };
    let head = lines.read_head()?;
    let mut at = Place::new(&head);
    loop {
        match lines.next()? {
            Some(ArchiveLine::Batch(batch)) => {
                let checked = at.check(&batch);
                checked.map_err(|problem| lines.fault(Some(batch.revision), problem))?;
            }
            Some(ArchiveLine::End(end)) => {
                lines.check_end(end, &at)?;
                return Ok(ArchiveSummary {
                    head,
                    end,
                    erased: at.erased,
                    removed: at.removed,
                });
            }
            Some(ArchiveLine::Archive(_)) => {
                return Err(lines.fault(None, "a second file begins here"));
            }
            None => return Err(lines.fault(None, "the end of the file is missing")),
        }
    }
}

/// How far a verification is.
struct Place {
    revision: Revision,
    chain: Chain,
    batches: u64,
    rows: u64,
    erased: u64,
    removed: u64,
}

impl Place {
    fn new(head: &ArchiveHead) -> Self {
        Self {
            revision: Revision(head.after_revision),
            chain: Chain(head.after_chain),
            batches: 0,
            rows: 0,
            erased: 0,
            removed: 0,
        }
    }

    fn check(&mut self, batch: &ArchivedBatch) -> Result<(), &'static str> {
        // Revisions skip some at a recovery, and the chain says that none between is missing.
        if batch.revision <= self.revision.0 {
            return Err("the batch is out of order");
        }
        self.chain = batch.verify(self.chain)?;
        self.revision = Revision(batch.revision);
        self.batches += 1;
        self.rows += batch.rows.len() as u64;
        self.erased += batch.erased_rows() as u64;
        self.removed += batch.removed.len() as u64;
        Ok(())
    }

    fn end(&self) -> ArchiveEnd {
        ArchiveEnd {
            batches: self.batches,
            rows: self.rows,
            through_revision: self.revision.0,
            through_chain: self.chain.0,
        }
    }
}

struct Lines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<ArchiveLine>, ArchiveFault> {
        self.number += 1;
        let mut line = Vec::new();
        // A file without an end of line would otherwise be read into memory whole.
        let mut bounded = self.input.by_ref().take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line);
        let length = read.map_err(|error| self.fault(None, format!("cannot be read: {error}")))?;
        if length == 0 {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(self.fault(None, "the line is torn"));
        }
        let parsed = serde_json::from_slice(&line);
        parsed.map_err(|error| {
            // Without the text, which may be personal.
            let problem = format!("is no line of an archive: column {}", error.column());
            self.fault(None, problem)
        })
    }

    fn read_head(&mut self) -> Result<ArchiveHead, ArchiveFault> {
        match self.next()? {
            Some(ArchiveLine::Archive(head)) if head.format == ARCHIVE_FORMAT => Ok(head),
            _ => Err(self.fault(None, "the file is not an archive of this format")),
        }
    }

    /// Checks that the last line fits the place that the lines before it lead to, and that nothing is behind it.
    fn check_end(&mut self, end: ArchiveEnd, at: &Place) -> Result<(), ArchiveFault> {
        if end != at.end() {
            return Err(self.fault(None, "batches are missing or added"));
        }
        if self.next()?.is_some() {
            return Err(self.fault(None, "there is something behind the end"));
        }
        Ok(())
    }

    fn fault(&self, revision: Option<u64>, problem: impl Into<String>) -> ArchiveFault {
        ArchiveFault {
            line: self.number,
            revision,
            problem: problem.into(),
        }
    }
}
