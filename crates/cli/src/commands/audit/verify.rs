//! `audit verify`: the chain of the trail, computed again by the authority.

use std::path::PathBuf;

use clap::Args;
use portcullis_contract::v1;
use serde::Serialize;

use crate::{
    context::Session as Connected,
    failure::{Exit, Failure, Result},
    output::{Record, document::Document, progress, text::visible},
};

/// Options of `verify`.
#[derive(Args)]
pub(super) struct Options {
    /// Begin after this revision.
    #[arg(
        long,
        value_name = "REVISION",
        default_value_t = 0,
        conflicts_with = "files"
    )]
    after: u64,
    /// Files of the archive: each by itself, and that each continues the one before it.
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

/// The result of a verification.
#[derive(Default, Serialize)]
struct Verification {
    /// Number of revisions that match.
    verified: u64,
    head_revision: u64,
    /// Whether everything matches.
    sound: bool,
    /// The first revision that does not match.
    fault_revision: Option<u64>,
    fault_event: Option<String>,
    problem: Option<String>,
    /// The rows of which a part was erased with a user.
    erased: Vec<Erased>,
    /// Where the trail begins. None: at the first revision of the log.
    begin: Option<Begin>,
    /// Rows that were removed from the verified revisions because of their age.
    removed_rows: u64,
}

/// The beginning of a trail whose oldest events are gone.
#[derive(Serialize)]
struct Begin {
    /// The last revision that is gone.
    revision: u64,
    /// The chain there, with which the archive of the month before ends.
    chain: String,
    revisions: u64,
    events: u64,
}

impl Begin {
    fn of(begin: &v1::AuditTrailBegin) -> Self {
        Self {
            revision: begin.revision,
            chain: hex::encode(&begin.chain),
            revisions: begin.revisions,
            events: begin.events,
        }
    }
}

/// The rows that one erasure has erased.
#[derive(Serialize)]
struct Erased {
    /// The event that began it.
    erasure: String,
    rows: u64,
    first_revision: u64,
    last_revision: u64,
}

impl Verification {
    /// Adds the result of one call.
    fn add(&mut self, answer: &v1::VerifyAuditTrailResponse) {
        self.verified += answer.verified;
        self.head_revision = answer.head_revision;
        self.add_erased(&answer.erased);
        self.removed_rows += answer.removed;
        // Replaced and not added: the trail may begin later after each call, because rows are
        // removed meanwhile.
        self.begin = answer.begin.as_ref().map(Begin::of);
    }

    fn add_fault(&mut self, fault: v1::AuditFault) {
        self.fault_revision = Some(fault.revision);
        self.fault_event = Some(fault.event_id).filter(|id| !id.is_empty());
        self.problem = Some(fault.problem);
    }

    fn add_erased(&mut self, found: &[v1::ErasedAuditRows]) {
        for rows in found {
            // An erasure goes on over the revisions of several calls.
            let known = self
                .erased
                .iter_mut()
                .find(|known| known.erasure == rows.erasure_id);
            if let Some(known) = known {
                known.rows += rows.rows;
                known.last_revision = rows.last_revision;
                continue;
            }
            self.erased.push(Erased {
                erasure: rows.erasure_id.clone(),
                rows: rows.rows,
                first_revision: rows.first_revision,
                last_revision: rows.last_revision,
            });
        }
    }

    fn begin_line(&self) -> Option<(&'static str, String)> {
        let begin = self.begin.as_ref()?;
        let line = format!(
            "behind revision {}, chain {}; {} revisions and {} events before it are gone",
            begin.revision, begin.chain, begin.revisions, begin.events
        );
        Some(("begins", line))
    }

    fn erased_rows(&self) -> u64 {
        self.erased.iter().map(|erased| erased.rows).sum()
    }
}

impl Record for Verification {
    const COLUMNS: &'static [&'static str] = &["verified", "head", "erased rows", "trail"];

    fn cells(&self) -> Vec<String> {
        let trail = match &self.problem {
            None => "sound".to_owned(),
            Some(problem) => format!(
                "revision {}: {}",
                self.fault_revision.unwrap_or_default(),
                visible(problem)
            ),
        };
        vec![
            self.verified.to_string(),
            self.head_revision.to_string(),
            self.erased_rows().to_string(),
            trail,
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let labels = Self::COLUMNS.iter().copied();
        let mut lines: Vec<_> = labels.zip(self.cells()).collect();
        lines.extend(self.begin_line());
        if self.removed_rows > 0 {
            let line = format!(
                "{} rows of later revisions, by their age",
                self.removed_rows
            );
            lines.push(("removed", line));
        }
        for erased in &self.erased {
            lines.push((
                "erased",
                format!(
                    "{} rows in revisions {} to {} by {}",
                    erased.rows,
                    erased.first_revision,
                    erased.last_revision,
                    visible(&erased.erasure)
                ),
            ));
        }
        lines
    }

    fn name(&self) -> String {
        self.verified.to_string()
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}

pub(super) async fn run(connected: &Connected, options: &Options) -> Result<()> {
    let mut found = Verification::default();
    let mut after_revision = options.after;
    let bar = progress::bar(0, "revisions verified");
    loop {
        let answer = verify_after(connected, after_revision).await?;
        found.add(&answer);
        // The head moves while the trail is verified, so the end of the bar moves too.
        bar.set_length(answer.head_revision.saturating_sub(options.after));
        bar.set_position(found.verified);
        let is_last = is_last(&answer, after_revision);
        after_revision = answer.through_revision;
        if let Some(fault) = answer.fault {
            bar.finish_and_clear();
            found.add_fault(fault);
            return Err(print_fault(connected, &found)?);
        }
        if is_last {
            bar.finish_and_clear();
            found.sound = true;
            return connected.printer.one(&found);
        }
    }
}

async fn verify_after(
    connected: &Connected,
    after_revision: u64,
) -> Result<v1::VerifyAuditTrailResponse> {
    let request = v1::VerifyAuditTrailRequest {
        after_revision,
        // As many as the authority verifies in one call.
        revisions_max: 0,
    };
    let mut client = connected.authority.audit();
    let answer = client.verify_audit_trail(request).await?;
    Ok(answer.into_inner())
}

/// Whether a verification that asked for what comes after a revision has come to its end.
fn is_last(answer: &v1::VerifyAuditTrailResponse, after_revision: u64) -> bool {
    // A call that goes nowhere would be repeated for ever.
    answer.through_revision >= answer.head_revision || answer.through_revision <= after_revision
}

/// Prints a verification that found a fault, and returns the failure of the command.
fn print_fault(connected: &Connected, found: &Verification) -> Result<Failure> {
    // Printed although the command fails: a script reads the revision of the fault from standard
    // output.
    connected.printer.one(found)?;
    let failure = Failure::new(Exit::Failed, "the audit trail does not match its chain");
    Ok(failure
        .hint("keep the database as it is: docs/operating/audit.md says what each fault means"))
}
