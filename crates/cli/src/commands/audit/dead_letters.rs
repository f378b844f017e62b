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

async fn retry_letters(connected: &Connected, selection: &Selection) -> Result<()> {
    let mut client = connected.authority.audit();
    let request = v1::RetryDeadLettersRequest {
        export: selection.export.clone(),
        letters: selection.events.clone(),
        reason: selection.reason.clone(),
    };
    let answered = selection
        .answer(async || {
            let answer = client.retry_dead_letters(request.clone()).await?;
            let answer = answer.into_inner();
            Ok((answer.changed, answer.remaining))
        })
        .await?;
    answered.note("are tried once more");
    Ok(())
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
    let request = v1::DropDeadLettersRequest {
        export: selection.export.clone(),
        letters: selection.events.clone(),
        reason: selection.reason.clone(),
    };
    let answered = selection
        .answer(async || {
            let answer = client.drop_dead_letters(request.clone()).await?;
            let answer = answer.into_inner();
            Ok((answer.changed, answer.remaining))
        })
        .await?;
    answered.note("are dropped");
    Ok(())
}

/// The letters that a command has answered.
#[derive(Debug, PartialEq, Eq)]
struct Answered {
    letters: u64,
    /// Whether the export has others. The authority counts up to a bound, so there may have been more than it said at
    /// first.
    are_more: bool,
}

impl Answered {
    fn note(&self, done: &str) {
        note(&format!("{} dead letters {done}", self.letters));
        if self.are_more {
            note("there are more: run the command again");
        }
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

    /// Answers the letters by calls, each of which returns how many it answered and how many are left.
    async fn answer(&self, mut call: impl AsyncFnMut() -> Result<(u32, u64)>) -> Result<Answered> {
        let (changed, mut remaining) = call().await?;
        let mut letters = u64::from(changed);
        // Letters that were named fit into one call. All others come in bounded pieces.
        if !self.events.is_empty() {
            return Ok(Answered {
                letters,
                are_more: false,
            });
        }

        // A receiver that goes on failing may add letters as fast as they are answered. Those are
        // for another command.
        let all = letters + remaining;
        let mut is_stuck = changed == 0;
        while remaining > 0 && letters < all && !is_stuck {
            let (changed, left) = call().await?;
            letters += u64::from(changed);
            remaining = left;
            is_stuck = changed == 0;
        }
        Ok(Answered {
            letters,
            are_more: remaining > 0,
        })
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

    /// Has a command answer letters, when the authority answers its calls like this.
    async fn answer(events: Vec<v1::DeadLetterName>, calls: &[(u32, u64)]) -> (Answered, usize) {
        let selection = Selection {
            export: "siem".to_owned(),
            events,
            reason: "repaired".to_owned(),
        };
        let mut calls = calls.iter();
        let answered = selection
            .answer(async || Ok(*calls.next().expect("no further call")))
            .await;
        (answered.expect("answered"), calls.len())
    }

    fn answered(letters: u64, are_more: bool) -> Answered {
        Answered { letters, are_more }
    }

    #[tokio::test]
    async fn a_command_answers_the_letters_that_there_were_at_its_beginning() {
        let all = [(100, 50), (50, 0)];
        assert_eq!(answer(vec![], &all).await, (answered(150, false), 0));
        // New ones, or ones that failed again, are for another command.
        let new = [(100, 50), (50, 70), (70, 0)];
        assert_eq!(answer(vec![], &new).await, (answered(150, true), 1));
        let none = [(0, 5), (5, 0)];
        assert_eq!(answer(vec![], &none).await, (answered(0, true), 1));
    }

    #[tokio::test]
    async fn letters_that_were_named_are_answered_by_one_call() {
        let named = vec![v1::DeadLetterName::default()];
        let calls = [(1, 7), (7, 0)];
        assert_eq!(answer(named, &calls).await, (answered(1, false), 1));
    }

    #[test]
    fn a_letter_is_named_by_its_event_and_number() {
        let named = parse_name("evt_x/3").expect("a name");
        assert_eq!((named.event_id.as_str(), named.ordinal), ("evt_x", 3));
        assert_eq!(parse_name("evt_x").expect("a name").ordinal, 0);
        assert!(parse_name("evt_x/last").is_err());
    }
}
