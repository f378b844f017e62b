//! The gates that are connected: whether each can prove that it is fresh.

use super::finding::Finding;
use crate::{
    commands::gates::{self, Gate, Listed},
    context::Remote,
    failure::Failure,
    output::{Record, text::cell},
};

/// Checks the gates, with the context of an operator.
pub(super) async fn check(remote: &Remote, findings: &mut Vec<Finding>) {
    let connected = match remote.connect().await {
        Ok(connected) => connected,
        Err(failure) => {
            findings.push(judge_connection(remote, failure));
            return;
        }
    };
    findings.push(Finding::good(
        "authority",
        "answers, over TLS with the expected certificate",
    ));
    match gates::list(&connected).await {
        Ok(listed) => findings.push(judge(&listed)),
        Err(failure) => {
            // The authority has answered, so most likely this context lacks the role.
            findings.push(Finding::skipped(
                "gates",
                format!("needs the role operator: {failure}"),
            ));
        }
    }
}

fn judge_connection(remote: &Remote, failure: Failure) -> Finding {
    // Without a context there is nothing to reach. With one that does not work something is wrong.
    if remote.chosen().is_none() {
        let hint = format!("name a context with --context: {failure}");
        return Finding::skipped("authority", hint);
    }
    let finding = Finding::failed("authority", failure.to_string());
    finding.hint(failure.hint.unwrap_or_default())
}

fn judge(listed: &Listed) -> Finding {
    let gates = &listed.gates;
    if gates.is_empty() && !listed.is_partial {
        let finding = Finding::warning("gates", "none is connected");
        return finding
            .hint("a gate names an endpoint, a credential with the role gateway, and the issuer");
    }
    // One finding for all gates, and the worst first: a strict gate that is stale refuses
    // people now.
    let stale = names(
        gates
            .iter()
            .filter(|gate| gate.is_strict() && gate.is_stale()),
    );
    if !stale.is_empty() {
        let finding = Finding::failed(
            "gates",
            format!("stale, and refusing everything: {}", stale.join(", ")),
        );
        return finding
            .hint("look at the network between the gate and the authority, and at the gate's log");
    }
    if listed.is_partial {
        let finding = Finding::warning("gates", gates::PARTIAL);
        return finding.hint("see which authority does not answer, or look at each of them");
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

#[cfg(test)]
mod tests {
    use portcullis_contract::v1;

    use super::*;
    use crate::check::finding::Verdict;

    /// A gate that allows itself 5 s, and proved itself some seconds ago.
    fn gate(mode: v1::ValidatorMode, seconds: i64) -> v1::ValidatorStatus {
        let duration = |seconds: i64| prost_types::Duration { seconds, nanos: 0 };
        v1::ValidatorStatus {
            name: "edge".into(),
            mode: mode.into(),
            max_staleness: Some(duration(5)),
            probe_age: Some(duration(seconds)),
            ..Default::default()
        }
    }

    fn judged(validators: Vec<v1::ValidatorStatus>, partial: bool, omitted: u32) -> Finding {
        judge(&Listed::of(v1::ListValidatorsResponse {
            validators,
            partial,
            omitted,
            ..Default::default()
        }))
    }

    #[test]
    fn a_part_of_the_gates_is_not_told_as_all() {
        let strict = || vec![gate(v1::ValidatorMode::Strict, 1)];
        assert_eq!(judged(strict(), false, 0).verdict, Verdict::Good);
        for (partial, omitted) in [(true, 0), (false, 7)] {
            let found = judged(strict(), partial, omitted);
            assert_eq!(found.verdict, Verdict::Warning);
            assert!(found.detail.contains("missing"), "{}", found.detail);
            let found = judged(Vec::new(), partial, omitted);
            assert!(found.detail.contains("missing"), "{}", found.detail);
        }
        assert_eq!(judged(Vec::new(), false, 0).detail, "none is connected");
    }

    #[test]
    fn only_a_strict_gate_refuses_everything_when_it_is_stale() {
        let found = judged(vec![gate(v1::ValidatorMode::Strict, 9)], false, 0);
        assert_eq!(found.verdict, Verdict::Failed);
        let found = judged(vec![gate(v1::ValidatorMode::BestEffort, 9)], false, 0);
        assert_eq!(found.verdict, Verdict::Warning);
        assert_eq!(found.detail, "no bound holds for edge");
    }
}
