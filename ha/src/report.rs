//! What was seen, for people and for machines.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    ledger::{Ledger, Operation, Success},
    verdict::Verdict,
};

/// The report of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) asynchronous: bool,
    pub(crate) phases: Vec<Phase>,
    pub(crate) verdict: Verdict,
    /// How many promises were broken, and the first ones.
    pub(crate) violations: (u64, Vec<String>),
}

/// One part of a scenario. Times are in seconds unless the name says otherwise.
#[derive(Serialize)]
pub(crate) struct Phase {
    name: &'static str,
    /// The machines that it was about.
    what: String,
    lasted: f64,
    /// The longest time without an answered call.
    unavailable: Vec<Unavailable>,
    gates: Vec<GateAway>,
    acknowledged: Counts,
    enforced: Times,
}

/// The longest time without an answered call of one kind: at each authority, and at both together.
#[derive(Serialize)]
struct Unavailable {
    operation: &'static str,
    authorities: [f64; 2],
    both: f64,
}

/// A gate that could tell nothing.
#[derive(Serialize)]
struct GateAway {
    longest: f64,
    /// Requests of people whose sessions live.
    refused: u64,
}

#[derive(Serialize)]
struct Counts {
    sign_ins: usize,
    refreshes: usize,
    revocations: usize,
}

/// From the acknowledgement to the first check that did not admit the token, at both gates.
#[derive(Serialize)]
struct Times {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Phase {
    /// Reads from the ledger what happened between two moments.
    pub(crate) fn seen(
        name: &'static str,
        what: &str,
        from: Instant,
        to: Instant,
        ledger: &Ledger,
    ) -> Self {
        let successes = ledger.successes();
        let unavailable = Operation::ALL
            .iter()
            .map(|operation| Unavailable {
                operation: name_of(*operation),
                authorities: [0, 1].map(|authority| {
                    let chosen =
                        |it: &Success| it.operation == *operation && it.authority == authority;
                    longest_gap(&successes, chosen, from, to)
                }),
                both: longest_gap(&successes, |it| it.operation == *operation, from, to),
            })
            .collect();
        let count = |operation| {
            let of_phase = successes
                .iter()
                .filter(|it| it.operation == operation && it.at >= from && it.at < to);
            of_phase.count()
        };
        Self {
            name,
            what: what.to_owned(),
            lasted: (to - from).as_secs_f64(),
            unavailable,
            gates: [0, 1].map(|gate| gate_away(ledger, gate, from, to)).into(),
            acknowledged: Counts {
                sign_ins: count(Operation::SignIn),
                refreshes: count(Operation::Refresh),
                revocations: count(Operation::Revocation),
            },
            enforced: times(ledger, from, to),
        }
    }

    /// The longest time without an answer of any authority to a kind of call, or of a gate.
    pub(crate) fn longest_unavailable(&self) -> f64 {
        let mut longest: f64 = 0.0;
        for unavailable in &self.unavailable {
            longest = longest.max(unavailable.both);
        }
        for gate in &self.gates {
            longest = longest.max(gate.longest);
        }
        longest
    }

    /// The figures for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "  {} ({}), {:.1} s\n",
            self.name,
            self.what.trim(),
            self.lasted
        );
        for unavailable in &self.unavailable {
            let [first, second] = unavailable.authorities;
            let _ = writeln!(
                text,
                "    longest without a {:<11} authority 1 {first:>5.1} s   authority 2 {second:>5.1} s   either {:>5.1} s",
                unavailable.operation, unavailable.both
            );
        }
        for (index, gate) in self.gates.iter().enumerate() {
            let number = index + 1;
            let _ = writeln!(
                text,
                "    gate {number} answered 503 for at most {:>5.1} s, to {} requests",
                gate.longest, gate.refused
            );
        }
        let counts = &self.acknowledged;
        let _ = write!(
            text,
            "    acknowledged: {} sign-ins, {} refreshes, {} revocations; enforced after p50 {:.0}, p99 {:.0}, max {:.0} ms",
            counts.sign_ins,
            counts.refreshes,
            counts.revocations,
            self.enforced.p50_ms,
            self.enforced.p99_ms,
            self.enforced.max_ms
        );
        text
    }
}

impl Report {
    /// Whether nothing was lost and no promise was broken.
    pub(crate) fn is_clean(&self) -> bool {
        self.violations.0 == 0 && self.verdict.is_clean()
    }

    /// The end of the run for a terminal.
    pub(crate) fn summary(&self) -> String {
        let mut text = self.verdict.text();
        let (count, _) = self.violations;
        let _ = write!(text, "ha: {count} promises broken on the way");
        text
    }
}

fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::SignIn => "sign-in",
        Operation::Refresh => "refresh",
        Operation::Revocation => "revocation",
    }
}

/// The longest time between two chosen successes, as far as it lies between `from` and `to`.
fn longest_gap(
    successes: &[Success],
    chosen: impl Fn(&Success) -> bool,
    from: Instant,
    to: Instant,
) -> f64 {
    let mut last = from;
    let mut longest = Duration::ZERO;
    for success in successes.iter().filter(|it| chosen(it)) {
        if success.at < from || success.at > to {
            continue;
        }
        longest = longest.max(success.at - last);
        last = success.at;
    }
    longest.max(to - last).as_secs_f64()
}

fn gate_away(ledger: &Ledger, gate: usize, from: Instant, to: Instant) -> GateAway {
    let mut longest = Duration::ZERO;
    let mut refused = 0;
    for away in ledger.absences() {
        if away.gate == gate && away.from < to && away.to > from {
            longest = longest.max(away.to - away.from);
            refused += away.refused;
        }
    }
    GateAway {
        longest: longest.as_secs_f64(),
        refused,
    }
}

fn times(ledger: &Ledger, from: Instant, to: Instant) -> Times {
    let mut times = Vec::new();
    for enforced in ledger.enforcements() {
        if enforced.acknowledged >= from && enforced.acknowledged < to {
            times.push(enforced.took);
        }
    }
    times.sort_unstable();
    Times {
        p50_ms: percentile(&times, 0.5),
        p99_ms: percentile(&times, 0.99),
        max_ms: percentile(&times, 1.0),
    }
}

/// The value below which this share of the sorted times lies, in milliseconds. Without any it is 0.
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let index = (share * last as f64).ceil() as usize;
    1_000.0 * sorted[index].as_secs_f64()
}
