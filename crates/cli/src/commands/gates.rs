//! `portcullis gates`: which gates are connected, and how fresh they are. For operators.

use std::{collections::BTreeSet, io::IsTerminal, time::Duration};

use clap::{Args, Subcommand};
use console::Term;
use portcullis_contract::v1;
use tokio::time::{Instant, sleep};

use crate::{
    context::{Remote, Session as Connected},
    failure::{Exit, Failure, Result},
    output::{Record, document::Document, note, text::cell, times, words::word},
};

/// Options of `gates`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the gates that are connected.
    List,
    /// Show the gates again and again; with --revision until all have dropped what it ended.
    Watch(WatchOptions),
}

#[derive(Args)]
struct WatchOptions {
    /// Wait until every strict gate has applied this revision of the log. Each is printed when it has.
    #[arg(long, value_name = "REVISION")]
    revision: Option<u64>,
    /// Give up after this long (exit code 7).
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = times::parse_wait)]
    timeout: Duration,
    /// How often to look.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = times::parse_wait)]
    interval: Duration,
}

/// Runs `gates`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let connected = options.remote.connect().await?;
    match &options.command {
        Command::List => {
            let listed = list(&connected).await?;
            connected.printer.list(&listed.gates)?;
            if listed.is_partial {
                note(PARTIAL);
            }
            Ok(())
        }
        // With a revision it ends, and a script waits for it. Without one it is a view for a
        // person.
        Command::Watch(watch) => match watch.revision {
            Some(revision) => wait_for(&connected, revision, watch).await,
            None => show_again_and_again(&connected, watch).await,
        },
    }
}

/// A gate, and the head of the log that it is compared with.
#[derive(Clone)]
pub(crate) struct Gate {
    /// The gate as the authority knows it.
    pub(crate) status: v1::ValidatorStatus,
    head_revision: u64,
}

impl Gate {
    /// Whether its last proof of freshness is older than it allows itself: it refuses everything.
    pub(crate) fn is_stale(&self) -> bool {
        let allowed = self
            .status
            .max_staleness
            .as_ref()
            .map(times::as_milliseconds);
        let age = self.status.probe_age.as_ref().map(times::as_milliseconds);
        match (age, allowed) {
            (Some(age), Some(allowed)) => age > allowed,
            // A gate that has proved nothing yet refuses too.
            _ => true,
        }
    }

    /// Whether a bound holds for it.
    pub(crate) fn is_strict(&self) -> bool {
        self.status.mode() == v1::ValidatorMode::Strict
    }

    fn has(&self, revision: u64) -> bool {
        self.status.applied_revision >= revision
    }
}

/// The gates that an authority knows.
pub(crate) struct Listed {
    pub(crate) gates: Vec<Gate>,
    /// Whether some are missing: those of an authority that does not answer, or those beyond the bound of an answer.
    pub(crate) is_partial: bool,
}

impl Listed {
    /// Reads the answer of an authority.
    pub(crate) fn of(answer: v1::ListValidatorsResponse) -> Self {
        let is_partial = answer.partial || answer.omitted > 0;
        let gates = answer.validators.into_iter().map(|status| Gate {
            status,
            head_revision: answer.head_revision,
        });
        Self {
            gates: gates.collect(),
            is_partial,
        }
    }
}

/// The sentence about a list that is partial.
pub(crate) const PARTIAL: &str =
    "gates are missing in this list: another authority does not answer, or there are too many";

/// The connected gates.
pub(crate) async fn list(connected: &Connected) -> Result<Listed> {
    let request = v1::ListValidatorsRequest {};
    let answer = connected
        .authority
        .revocations()
        .list_validators(request)
        .await?;
    Ok(Listed::of(answer.into_inner()))
}

async fn show_again_and_again(connected: &Connected, options: &WatchOptions) -> Result<()> {
    let terminal = Term::stdout();
    loop {
        let listed = list(connected).await?;
        if std::io::stdout().is_terminal() {
            // The table stays in one place.
            terminal.clear_screen()?;
        }
        connected.printer.list(&listed.gates)?;
        if listed.is_partial {
            note(PARTIAL);
        }
        sleep(options.interval).await;
    }
}

/// How often `watch --revision` looks. It is there to show milliseconds.
const WAIT_INTERVAL: Duration = Duration::from_millis(20);

async fn wait_for(connected: &Connected, revision: u64, options: &WatchOptions) -> Result<()> {
    let begun = Instant::now();
    let mut dropped: BTreeSet<String> = BTreeSet::new();
    loop {
        let listed = list(connected).await?;
        print_new(connected, &listed.gates, revision, &mut dropped)?;
        let mut missing = missing_of(&listed.gates, revision);
        // A part that has the revision says nothing about the rest.
        if listed.is_partial {
            missing.push("gates that are not listed".to_owned());
        }
        if missing.is_empty() {
            note(&format!("{} gates have revision {revision}", dropped.len()));
            return Ok(());
        }
        if begun.elapsed() >= options.timeout {
            return Err(not_confirmed(revision, &missing));
        }
        sleep(WAIT_INTERVAL).await;
    }
}

/// Prints the gates that have a revision now and did not have it before.
fn print_new(
    connected: &Connected,
    gates: &[Gate],
    revision: u64,
    dropped: &mut BTreeSet<String>,
) -> Result<()> {
    for gate in gates.iter().filter(|gate| gate.has(revision)) {
        if dropped.insert(gate.name()) {
            connected.printer.line(gate)?;
        }
    }
    Ok(())
}

/// The names of the gates that a revision has to reach yet.
fn missing_of(gates: &[Gate], revision: u64) -> Vec<String> {
    // Only strict ones: no bound holds for a best-effort gate, so the wait for it might never end.
    // And only connected ones: unlike the receipt of `--wait`, this list knows no lease of a gate
    // that has gone.
    let missing = gates
        .iter()
        .filter(|gate| gate.is_strict() && !gate.has(revision));
    missing.map(|gate| cell(&gate.name())).collect()
}

fn not_confirmed(revision: u64, missing: &[String]) -> Failure {
    let message = format!(
        "revision {revision} is not confirmed by {}",
        missing.join(", ")
    );
    let failure = Failure::new(Exit::NotEnforced, message);
    failure.hint("a strict gate that does not confirm refuses everything once it is stale")
}

impl Record for Gate {
    const COLUMNS: &'static [&'static str] = &[
        "gate",
        "mode",
        "revision",
        "behind",
        "proof",
        "allowed",
        "connected",
        "caller",
        "address",
    ];

    fn cells(&self) -> Vec<String> {
        let status = &self.status;
        let behind = self.head_revision.saturating_sub(status.applied_revision);
        let proof = match &status.probe_age {
            // The age alone would need the column beside it to be understood.
            Some(_) if self.is_stale() => "stale".to_owned(),
            Some(age) => format!("{:.1} s old", times::as_milliseconds(age) / 1e3),
            None => "none yet".to_owned(),
        };
        let allowed = status.max_staleness.as_ref();
        vec![
            cell(&status.name),
            word::<v1::ValidatorMode>(status.mode),
            status.applied_revision.to_string(),
            behind.to_string(),
            proof,
            allowed.map_or_else(|| "-".to_owned(), times::duration),
            times::ago(status.connect_time.as_ref(), &times::now()),
            cell(&status.caller),
            cell(&status.address),
        ]
    }

    fn name(&self) -> String {
        self.status.name.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("ValidatorStatus", &self.status)
    }
}
