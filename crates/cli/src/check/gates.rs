//! The gates that are connected: whether each can prove that it is fresh.

use super::finding::Finding;
use crate::{
    commands::gates::{self, Gate},
    context::Remote,
    output::{Record, text::cell},
};

/// Checks the gates, with the context of an operator.
pub(super) async fn check(remote: &Remote, findings: &mut Vec<Finding>) {
    let connected = match remote.connect().await {
        Ok(connected) => connected,
        Err(failure) => {
            // Without a context there is nothing to reach. With one that does not work something is wrong.
            let finding = match remote.chosen() {
                None => Finding::skipped(
                    "authority",
                    format!("name a context with --context: {failure}"),
                ),
                Some(_) => Finding::failed("authority", failure.to_string())
                    .hint(failure.hint.unwrap_or_default()),
            };
            findings.push(finding);
            return;
        }
    };
    findings.push(Finding::good(
        "authority",
        "answers, and its certificate is the expected one",
    ));
    match gates::list(&connected).await {
        Ok(gates) => findings.push(judge(&gates)),
        Err(failure) => {
            findings.push(Finding::skipped(
                "gates",
                format!("needs the role operator: {failure}"),
            ));
        }
    }
}

fn judge(gates: &[Gate]) -> Finding {
    if gates.is_empty() {
        let finding = Finding::warning("gates", "none is connected");
        return finding
            .hint("a gate names an endpoint, a credential with the role gateway, and the issuer");
    }
    let stale = names(gates.iter().filter(|gate| gate.is_stale()));
    if !stale.is_empty() {
        let finding = Finding::failed(
            "gates",
            format!("stale, and refusing everything: {}", stale.join(", ")),
        );
        return finding
            .hint("look at the network between the gate and the authority, and at the gate's log");
    }
    let unbounded = names(gates.iter().filter(|gate| !gate.is_strict()));
    if !unbounded.is_empty() {
        let finding = Finding::warning(
            "gates",
            format!("no bound holds for {}", unbounded.join(", ")),
        );
        return finding
            .hint("best-effort gates admit while they are cut off: make them strict if you can");
    }
    Finding::good(
        "gates",
        format!("{} connected, all strict and fresh", gates.len()),
    )
}

fn names<'g>(gates: impl Iterator<Item = &'g Gate>) -> Vec<String> {
    gates.map(|gate| cell(&gate.name())).collect()
}
