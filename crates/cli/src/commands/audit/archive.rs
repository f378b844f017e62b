//! `audit verify FILE…`: the files of the archive, without an authority.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use portcullis_authority::store::{ArchiveSummary, verify_archive};
use serde::Serialize;

use crate::{
    failure::{Exit, Failure, Result},
    output::{Printer, Record, document::Document, text::visible},
};

/// A file that matches its chain.
#[derive(Serialize)]
struct Verified {
    file: String,
    month: String,
    /// The last revision before the file, and the chain there.
    after_revision: u64,
    after_chain: String,
    /// The last revision of the file, and the chain there.
    through_revision: u64,
    through_chain: String,
    revisions: u64,
    events: u64,
    /// Events of which a part was erased, and events that were gone, when the file was written.
    erased_events: u64,
    removed_events: u64,
}

impl Verified {
    fn of(path: &Path, summary: &ArchiveSummary) -> Self {
        let ArchiveSummary { head, end, .. } = summary;
        Self {
            file: path.display().to_string(),
            month: head.month.clone(),
            after_revision: head.after_revision,
            after_chain: hex::encode(head.after_chain),
            through_revision: end.through_revision,
            through_chain: hex::encode(end.through_chain),
            revisions: end.batches,
            events: end.rows,
            erased_events: summary.erased,
            removed_events: summary.removed,
        }
    }
}

impl Record for Verified {
    const COLUMNS: &'static [&'static str] =
        &["file", "month", "after", "through", "events", "chain"];

    fn cells(&self) -> Vec<String> {
        vec![
            visible(&self.file).into_owned(),
            visible(&self.month).into_owned(),
            self.after_revision.to_string(),
            self.through_revision.to_string(),
            self.events.to_string(),
            self.through_chain.clone(),
        ]
    }

    fn name(&self) -> String {
        self.file.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}

/// Verifies files, each by itself and in the order of the log.
pub(super) fn verify_files(printer: &Printer, files: &[PathBuf]) -> Result<()> {
    let mut verified = Vec::with_capacity(files.len());
    for path in files {
        // The first file that does not match ends the command: nothing can be said about those that
        // continue it.
        verified.push(verify_file(path)?);
    }
    // Names sort as the months do, but nobody has to name them in order.
    verified.sort_by_key(|file| file.after_revision);
    for pair in verified.windows(2) {
        let [before, file] = pair else { continue };
        // The chain too: two histories of an installation have the same revisions, and other
        // batches.
        let is_next = (before.through_revision, &before.through_chain)
            == (file.after_revision, &file.after_chain);
        if !is_next {
            let problem = format!(
                "{} does not continue {}",
                visible(&file.file),
                visible(&before.file)
            );
            let hint = "a month between them is missing, or they are of two histories: \
                        docs/operating/retention.md says more";
            return Err(Failure::new(Exit::Failed, problem).hint(hint));
        }
    }
    printer.list(&verified)
}

fn verify_file(path: &Path) -> Result<Verified> {
    let shown = path.display().to_string();
    let name = visible(&shown);
    let file = File::open(path)
        .map_err(|error| Failure::new(Exit::Failed, format!("{name} cannot be read: {error}")))?;
    let summary = verify_archive(BufReader::new(file)).map_err(|fault| {
        let revision = fault
            .revision
            .map(|revision| format!(", revision {revision}"));
        let at = format!("line {}{}", fault.line, revision.unwrap_or_default());
        Failure::new(
            Exit::Failed,
            format!("{name} does not match its chain: {at}: {}", fault.problem),
        )
    })?;
    Ok(Verified::of(path, &summary))
}
