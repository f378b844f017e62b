//! The parts that all commands which end something share: a reason, a preview and a confirmation.

use std::io::{self, IsTerminal};

use clap::Args;
use inquire::{Confirm, InquireError, Text};
use portcullis_contract::v1;

pub(crate) use super::outcome::Outcome;
use super::receipt::Waiting;
use crate::{
    failure::{Failure, Result},
    output::{Printer, Record, document::Document, note, table::Table, text::visible},
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
    /// Returns whether the change is to be made. A dry run prints the preview instead, and without `--yes` a person is
    /// asked about it.
    pub(crate) async fn agree(
        &self,
        printer: Printer,
        preview: impl Future<Output = Result<Option<v1::Preview>>>,
        ask: impl FnOnce(&v1::Preview) -> Result<()>,
    ) -> Result<bool> {
        if self.dry_run {
            print_preview(printer, preview.await?)?;
            return Ok(false);
        }
        // With `--yes` nobody awaits the preview, so its call is not made.
        if !self.yes {
            ask(&preview.await?.unwrap_or_default())?;
        }
        Ok(true)
    }

    /// Shows a person the preview, and asks.
    pub(crate) fn ask_about(&self, preview: &v1::Preview, question: &str) -> Result<()> {
        explain_preview(preview);
        self.confirm(question)
    }

    /// Asks whether to go on, unless `--yes` said so.
    pub(crate) fn confirm(&self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        require_terminal()?;
        let question = visible(question);
        // Return alone must not end anything.
        let answer = Confirm::new(&question).with_default(false).prompt();
        match answered(answer)? {
            true => Ok(()),
            false => Err(not_confirmed()),
        }
    }

    /// Asks the person to type a name, unless `--yes` said so. For changes that touch very many people.
    pub(crate) fn confirm_by_typing(&self, question: &str, name: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        require_terminal()?;
        let question = visible(question);
        // A name that has to be typed cannot be confirmed out of habit.
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
        // Ctrl-C at the question is an answer, not a fault of the terminal.
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
        // The authority stops counting at a bound, so that a preview costs little for a tenant of
        // any size.
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

/// Shows a person some of the sessions that the command would end.
pub(crate) fn explain_preview(preview: &v1::Preview) {
    if preview.sample.is_empty() {
        return;
    }
    let mut table = Table::new(v1::Session::COLUMNS);
    for session in &preview.sample {
        table.add(session.cells());
    }
    // On standard error: standard output is for what the command did.
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

/// The ids of sessions.
fn ids_of(sessions: &[v1::Session]) -> Vec<String> {
    sessions.iter().map(|session| session.id.clone()).collect()
}
