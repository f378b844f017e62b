//! `--wait`: the receipt of a change, until every strict gate has it.

use std::time::Duration;

use clap::Args;
use portcullis_contract::v1;
use tonic::Request;

use super::outcome::Outcome;
use crate::{
    context::Session as Connected,
    failure::{Exit, Failure, Result},
    output::{note, progress, times},
};

/// The flag of commands whose effect can be waited for.
#[derive(Args)]
pub(crate) struct Waiting {
    /// Wait until every strict gate enforces it, at most this long (30s), and fail with exit code 7 if one does not.
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30s",
        value_parser = times::parse_wait
    )]
    wait: Option<Duration>,
}

/// Added to the deadline of the call, so that the authority and not the deadline ends the wait.
const MARGIN: Duration = Duration::from_secs(5);

/// Prints the outcome of a command. Before that it waits for the gates, if asked to.
pub(crate) async fn print_outcome(
    connected: &Connected,
    waiting: &Waiting,
    mut outcome: Outcome,
) -> Result<()> {
    let Some(timeout) = waiting.wait else {
        return connected.printer.one(&outcome);
    };
    // No revision stands for a change that was there already.
    if outcome.revision == 0 {
        note("nothing had to change, so there is nothing to wait for");
        return connected.printer.one(&outcome);
    }
    let receipt = wait_for_gates(connected, outcome.revision, timeout).await;
    let receipt = match receipt {
        Ok(receipt) => receipt,
        Err(failure) => {
            // The change is durable, whatever becomes of the question about it.
            connected.printer.one(&outcome)?;
            return Err(not_enforced(&failure.to_string()));
        }
    };
    // Also of a receipt that is not complete: its numbers say which part is missing.
    outcome.add_receipt(&receipt);
    connected.printer.one(&outcome)?;
    // The change is durable in any case. The exit status says whether scripts may rely on it everywhere.
    if receipt.complete {
        return Ok(());
    }
    Err(not_enforced(&format!(
        "{} of {} gates have not confirmed it",
        receipt.pending, receipt.validators
    )))
}

fn not_enforced(problem: &str) -> Failure {
    let failure = Failure::new(
        Exit::NotEnforced,
        format!("durable, and not enforced everywhere in time: {problem}"),
    );
    failure.hint("`portcullis gates list` shows which gate is behind; a strict one refuses everything once it is stale")
}

/// Follows the receipt until it is complete or the time is over, and returns the last one.
async fn wait_for_gates(
    connected: &Connected,
    revision: u64,
    timeout: Duration,
) -> Result<v1::Enforcement> {
    let request = question(revision, timeout)?;
    let mut client = connected.authority.revocations();
    let mut receipts = client.watch_enforcement(request).await?.into_inner();
    let bar = progress::bar(0, "gates that enforce it");
    // Not complete, until the authority says so.
    let mut last = v1::Enforcement::default();
    while let Some(message) = receipts.message().await? {
        let Some(receipt) = message.receipt else {
            continue;
        };
        bar.set_length(u64::from(receipt.validators));
        // A lapsed gate counts: it has not confirmed, and can no longer accept by an older view.
        bar.set_position(u64::from(receipt.confirmed + receipt.lapsed));
        last = receipt;
    }
    bar.finish_and_clear();
    Ok(last)
}

fn question(revision: u64, timeout: Duration) -> Result<Request<v1::WatchEnforcementRequest>> {
    let length = prost_types::Duration::try_from(timeout);
    let length = length.map_err(|error| Failure::usage(error.to_string()))?;
    let mut request = Request::new(v1::WatchEnforcementRequest {
        revision,
        timeout: Some(length),
    });
    // The authority ends the stream in time. The margin is for an authority that does not.
    request.set_timeout(timeout + MARGIN);
    Ok(request)
}
