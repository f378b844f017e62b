//! What all commands that end something share: a reason, a preview, a confirmation, and what came of it.

use std::io::{self, IsTerminal};

use clap::Args;
use inquire::{Confirm, InquireError, Text};
use portcullis_contract::v1;
use serde::Serialize;

use super::{receipt::Waiting, sessions::ids_of};
use crate::{
    failure::{Failure, Result},
    output::{Printer, Record, document::Document, note, table::Table, text::visible, times},
};

/// Flags of commands that end something.
#[derive(Args)]
pub(crate) struct Ending {
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// A text for the people it happens to.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

impl Ending {
    /// The reason. Empty in a dry run.
    pub(crate) fn reason(&self) -> String {
        self.reason.clone().unwrap_or_default()
    }

    /// The text for people.
    pub(crate) fn message(&self) -> String {
        self.message.clone().unwrap_or_default()
    }
}

/// Flags of commands that cannot be taken back.
#[derive(Args)]
pub(crate) struct Consent {
    /// Only show what would happen.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask nothing.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

impl Consent {
    /// Asks whether to go on, unless `--yes` said so.
    pub(crate) fn confirm(&self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        require_terminal()?;
        let question = visible(question);
        let answer = Confirm::new(&question).with_default(false).prompt();
        match answered(answer)? {
            true => Ok(()),
            false => Err(not_confirmed()),
        }
    }

    /// Asks the person to type a name, unless `--yes` said so. For what touches very many people.
    pub(crate) fn confirm_by_typing(&self, question: &str, name: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        require_terminal()?;
        let question = visible(question);
        let typed = answered(Text::new(&question).prompt())?;
        match typed.trim() == name {
            true => Ok(()),
            false => Err(not_confirmed()),
        }
    }
}

fn require_terminal() -> Result<()> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    let failure = Failure::usage("nobody can confirm this: standard input is no terminal");
    Err(failure.hint("look with --dry-run, then add --yes"))
}

fn answered<T>(answer: std::result::Result<T, InquireError>) -> Result<T> {
    answer.map_err(|error| match error {
        InquireError::OperationCanceled | InquireError::OperationInterrupted => not_confirmed(),
        other => Failure::failed(other.to_string()),
    })
}

fn not_confirmed() -> Failure {
    Failure::failed("not confirmed: nothing was changed")
}

/// How many sessions a preview counted.
pub(crate) fn counted(preview: &v1::Preview) -> String {
    match (preview.capped, preview.sessions) {
        (true, sessions) => format!("more than {sessions} sessions"),
        (false, 1) => "1 session".to_owned(),
        (false, sessions) => format!("{sessions} sessions"),
    }
}

/// Prints a preview as the data of a dry run.
pub(crate) fn print_preview(printer: Printer, preview: Option<v1::Preview>) -> Result<()> {
    let preview = preview.unwrap_or_default();
    note(&format!("dry run: would end {}", counted(&preview)));
    printer.one(&preview)
}

/// Shows a person what they are about to end.
pub(crate) fn explain_preview(preview: &v1::Preview) {
    if preview.sample.is_empty() {
        return;
    }
    let mut table = Table::new(v1::Session::COLUMNS);
    for session in &preview.sample {
        table.add(session.cells());
    }
    note(table.render().trim_end());
    let shown = u32::try_from(preview.sample.len()).unwrap_or(u32::MAX);
    if preview.sessions > shown {
        note(&format!("… and {} more", preview.sessions - shown));
    }
}

impl Record for v1::Preview {
    const COLUMNS: &'static [&'static str] = &["sessions"];

    fn cells(&self) -> Vec<String> {
        vec![counted(self)]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("would end", counted(self))];
        for session in &self.sample {
            lines.push(("session", session.cells().join("  ")));
        }
        lines
    }

    fn name(&self) -> String {
        ids_of(&self.sample).join("\n")
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("Preview", self)
    }
}

/// What a command has ended.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// What it did, in words.
    pub(crate) action: String,
    /// Number of sessions that ended, if the authority counted them.
    pub(crate) sessions_ended: Option<u32>,
    /// Whether there may have been more.
    pub(crate) sessions_ended_capped: bool,
    /// The revision of the log that enforces it. 0: nothing had to change.
    pub(crate) revision: u64,
    /// Number of connected gates when it was durable.
    pub(crate) gates: u32,
    /// Number of them that had confirmed it by then.
    pub(crate) confirmed: u32,
    /// Number of gates in best-effort mode, for which no bound holds.
    pub(crate) unbounded: u32,
    /// Time until it was durable, in milliseconds.
    pub(crate) durable_ms: Option<f64>,
    /// Whether no strict gate accepts any more what it ended. Unset unless the command waited.
    pub(crate) enforced: Option<bool>,
    /// Number of strict gates that had not confirmed it, and can no longer accept by what they know.
    pub(crate) lapsed: Option<u32>,
    /// Time from the question about the gates to the last answer, in milliseconds.
    pub(crate) enforced_ms: Option<f64>,
}

impl Outcome {
    /// An outcome with what the authority knew about its enforcement.
    pub(crate) fn new(action: impl Into<String>, enforcement: Option<&v1::Enforcement>) -> Self {
        let mut outcome = Self {
            action: action.into(),
            ..Self::default()
        };
        if let Some(enforcement) = enforcement {
            outcome.revision = enforcement.revision;
            outcome.gates = enforcement.validators;
            outcome.confirmed = enforcement.confirmed;
            outcome.unbounded = enforcement.unbounded;
            outcome.durable_ms = enforcement.elapsed.as_ref().map(times::as_milliseconds);
        }
        outcome
    }

    /// Adds what became of it at the gates.
    pub(crate) fn add_receipt(&mut self, receipt: &v1::Enforcement) {
        self.gates = receipt.validators;
        self.confirmed = receipt.confirmed;
        self.unbounded = receipt.unbounded;
        self.enforced = Some(receipt.complete);
        self.lapsed = Some(receipt.lapsed);
        self.enforced_ms = receipt.elapsed.as_ref().map(times::as_milliseconds);
    }

    /// Adds the number of ended sessions.
    pub(crate) fn ended(mut self, sessions: u32, capped: bool) -> Self {
        self.sessions_ended = Some(sessions);
        self.sessions_ended_capped = capped;
        self
    }
}

impl Record for Outcome {
    const COLUMNS: &'static [&'static str] = &["done", "sessions", "revision", "gates"];

    fn cells(&self) -> Vec<String> {
        let sessions = match (self.sessions_ended, self.sessions_ended_capped) {
            (None, _) => "-".to_owned(),
            (Some(sessions), false) => sessions.to_string(),
            (Some(sessions), true) => format!("{sessions} or more"),
        };
        let revision = match self.revision {
            0 => "-".to_owned(),
            revision => revision.to_string(),
        };
        vec![
            visible(&self.action).into_owned(),
            sessions,
            revision,
            format!("{} of {} confirmed", self.confirmed, self.gates),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let labels = ["done", "sessions ended", "revision", "gates"];
        let mut lines: Vec<_> = labels.into_iter().zip(self.cells()).collect();
        if let Some(milliseconds) = self.durable_ms {
            lines.push(("durable after", format!("{milliseconds:.1} ms")));
        }
        if let (Some(true), Some(milliseconds)) = (self.enforced, self.enforced_ms) {
            lines.push(("enforced after", format!("{milliseconds:.1} ms more")));
        }
        lines
    }

    fn name(&self) -> String {
        self.revision.to_string()
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}
