//! `portcullis audit dead-letters`: the events that exports of the trail have given up, for operators.

use clap::{Args, Subcommand};
use portcullis_contract::v1;

use super::super::{ending::Consent, sessions::Limit};
use crate::{
    context::Session as Connected,
    failure::Result,
    output::{Record, document::Document, note, text::visible, times},
};

#[derive(Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List dead letters, by export and event.
    List(ListOptions),
    /// Ask for one more attempt to deliver them, outside of the order of the trail.
    Retry(RetryOptions),
    /// Give them up for good. Their events stay in the trail.
    Drop(DropOptions),
}

#[derive(Args)]
struct ListOptions {
    /// Only of this export.
    #[arg(value_name = "EXPORT")]
    export: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

/// The letters that a command answers.
#[derive(Args)]
struct Selection {
    /// The export.
    #[arg(value_name = "EXPORT")]
    export: String,
    /// Only this event, as the list shows it: EVENT/NUMBER. Repeatable. Without it: all of the export.
    #[arg(long = "event", value_name = "EVENT", value_parser = parse_name)]
    events: Vec<v1::DeadLetterName>,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Args)]
struct RetryOptions {
    #[command(flatten)]
    selection: Selection,
}

#[derive(Args)]
struct DropOptions {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    consent: Consent,
}

/// Reads the name of a letter. An event without a number is the first of its call.
fn parse_name(text: &str) -> std::result::Result<v1::DeadLetterName, String> {
    let (event, number) = text.split_once('/').unwrap_or((text, "0"));
    let ordinal = number
        .parse()
        .map_err(|_| "must be as evt_01kb2q.../0".to_owned())?;
    Ok(v1::DeadLetterName {
        event_id: event.to_owned(),
        ordinal,
    })
}

/// Runs `audit dead-letters`.
pub(super) async fn run(connected: &Connected, options: &Options) -> Result<()> {
    match &options.command {
        Command::List(list) => connected.printer.list(&find(connected, list).await?),
        Command::Retry(retry) => retry_letters(connected, &retry.selection).await,
        Command::Drop(drop) => drop_letters(connected, drop).await,
    }
}

async fn find(connected: &Connected, options: &ListOptions) -> Result<Vec<v1::DeadLetter>> {
    let mut client = connected.authority.audit();
    options
        .limit
        .collect(async |page_size, page_token| {
            let request = v1::ListDeadLettersRequest {
                export: options.export.clone().unwrap_or_default(),
                page_size,
                page_token,
            };
            let page = client.list_dead_letters(request).await?.into_inner();
            Ok((page.letters, page.next_page_token))
        })
        .await
}

/// The letters of one command, of which each call answers some.
#[derive(Default)]
struct Progress {
    answered: u64,
    /// The letters that there were at the beginning. Those that come meanwhile are not waited for.
    all: Option<u64>,
}

impl Progress {
    /// Adds the answer of a call. Returns true when it was the last one.
    fn add(&mut self, changed: u32, remaining: u64) -> bool {
        let changed = u64::from(changed);
        self.answered += changed;
        // The first answer says how many there are. A receiver that goes on failing may add
        // letters as fast as they are answered.
        let all = *self.all.get_or_insert(changed + remaining);
        changed == 0 || remaining == 0 || self.answered >= all
    }
}

async fn retry_letters(connected: &Connected, selection: &Selection) -> Result<()> {
    let mut progress = Progress::default();
    loop {
        let request = v1::RetryDeadLettersRequest {
            export: selection.export.clone(),
            letters: selection.events.clone(),
            reason: selection.reason.clone(),
        };
        let mut client = connected.authority.audit();
        let answer = client.retry_dead_letters(request).await?.into_inner();
        // Letters that were named fit into one call. All others come in bounded pieces.
        if progress.add(answer.changed, answer.remaining) || !selection.events.is_empty() {
            note(&format!(
                "{} dead letters are tried once more",
                progress.answered
            ));
            note_rest(selection, answer.remaining);
            return Ok(());
        }
    }
}

async fn drop_letters(connected: &Connected, options: &DropOptions) -> Result<()> {
    let selection = &options.selection;
    let meant = selection.describe();
    if options.consent.dry_run {
        note(&format!("dry run: {meant} would never be delivered"));
        return Ok(());
    }
    options
        .consent
        .confirm(&format!("Give up {meant}? They are never delivered"))?;
    let mut client = connected.authority.audit();
    let mut progress = Progress::default();
    loop {
        let request = v1::DropDeadLettersRequest {
            export: selection.export.clone(),
            letters: selection.events.clone(),
            reason: selection.reason.clone(),
        };
        let answer = client.drop_dead_letters(request).await?.into_inner();
        if progress.add(answer.changed, answer.remaining) || !selection.events.is_empty() {
            note(&format!("{} dead letters are dropped", progress.answered));
            note_rest(selection, answer.remaining);
            return Ok(());
        }
    }
}

/// Says that letters are left. The authority counts up to a bound, so there may have been more than it said at first.
fn note_rest(selection: &Selection, remaining: u64) {
    if selection.events.is_empty() && remaining > 0 {
        note("there are more: run the command again");
    }
}

impl Selection {
    /// The letters in words.
    fn describe(&self) -> String {
        let export = visible(&self.export);
        match self.events.len() {
            0 => format!("all dead letters of {export}"),
            count => format!("{count} dead letters of {export}"),
        }
    }
}

impl Record for v1::DeadLetter {
    const COLUMNS: &'static [&'static str] = &[
        "export",
        "event",
        "tenant",
        "last attempt",
        "problem",
        "state",
    ];

    fn cells(&self) -> Vec<String> {
        let state = match (self.event_gone, self.retrying) {
            (true, _) => "event gone",
            (false, true) => "retrying",
            (false, false) => "dead",
        };
        vec![
            visible(&self.export).into_owned(),
            self.name(),
            visible(&self.tenant_id).into_owned(),
            times::stamp(self.time.as_ref()),
            visible(&self.problem).into_owned(),
            state.to_owned(),
        ]
    }

    fn name(&self) -> String {
        format!("{}/{}", visible(&self.event_id), self.ordinal)
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("DeadLetter", self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_with_the_letters_that_there_were_at_its_beginning() {
        let mut progress = Progress::default();
        assert!(!progress.add(100, 50));
        // New ones, or ones that failed again, are for another command.
        assert!(progress.add(50, 70));
        assert_eq!(progress.answered, 150);
        assert!(Progress::default().add(0, 5), "nothing can be changed");
        assert!(Progress::default().add(3, 0));
    }

    #[test]
    fn a_letter_is_named_by_its_event_and_number() {
        let named = parse_name("evt_x/3").expect("a name");
        assert_eq!((named.event_id.as_str(), named.ordinal), ("evt_x", 3));
        assert_eq!(parse_name("evt_x").expect("a name").ordinal, 0);
        assert!(parse_name("evt_x/last").is_err());
    }
}
