//! The end of a run: everything that was acknowledged is looked for in the database and at the gates.

use std::{collections::HashSet, fmt::Write, str::FromStr, sync::Arc};

use anyhow::Result;
use portcullis_contract::id::SessionId;
use serde::Serialize;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    cluster,
    gates::{self, Gate},
    installation::Installation,
    ledger::Ledger,
};

/// Questions to one gate at a time.
const QUESTIONS_MAX: usize = 16;

/// The sessions that a database has, as hexadecimal digits.
pub(crate) const OPENED: &str = "SELECT encode(session_id, 'hex') FROM sessions";
/// Those that were ended.
pub(crate) const ENDED: &str =
    "SELECT encode(session_id, 'hex') FROM sessions WHERE end_event IS NOT NULL";

/// What was found.
#[derive(Serialize)]
pub(crate) struct Verdict {
    /// The machine of the last primary.
    primary: &'static str,
    sign_ins: usize,
    /// Acknowledged sign-ins without a row at the last primary.
    sign_ins_lost: usize,
    revocations: usize,
    /// Acknowledged revocations that the last primary does not know.
    revocations_lost: usize,
    gates: Vec<AtGate>,
    requests_admitted: u64,
}

/// What a gate says that has its whole view from the last primary.
#[derive(Serialize)]
pub(crate) struct AtGate {
    /// Tokens that it admits although their end was acknowledged.
    ended_admitted: usize,
    live: usize,
    /// Tokens of sessions that live, and that it does not admit.
    live_refused: usize,
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        let of_gates = self
            .gates
            .iter()
            .all(|gate| gate.ended_admitted == 0 && gate.live_refused == 0);
        self.sign_ins_lost == 0 && self.revocations_lost == 0 && of_gates
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "ha: {} revocations acknowledged, {} lost; {} sign-ins acknowledged, {} lost (the primary is {})\n",
            self.revocations,
            self.revocations_lost,
            self.sign_ins,
            self.sign_ins_lost,
            self.primary
        );
        for (index, gate) in self.gates.iter().enumerate() {
            let number = index + 1;
            let _ = writeln!(
                text,
                "ha: gate {number}, at the end: admits {} of {} ended sessions, refuses {} of {} that live",
                gate.ended_admitted, self.revocations, gate.live_refused, gate.live
            );
        }
        text
    }
}

/// Looks for everything. Nobody calls any more, so what is found stays so.
pub(crate) async fn reach(
    installation: &mut Installation,
    ledger: &Ledger,
    gates: &[Gate; 2],
) -> Result<Verdict> {
    cluster::become_healthy(installation).await?;
    let primary = cluster::primary(installation, &[]).await?;
    let machine = &installation.databases[primary];
    let opened = HashSet::from_iter(cluster::query(machine, OPENED).await?);
    let ended = HashSet::from_iter(cluster::query(machine, ENDED).await?);
    let primary = machine.name;

    let mut at_gates = Vec::new();
    for (index, gate) in gates.iter().enumerate() {
        // What it knew before does not count: it learns everything from the database that there is now.
        installation.replace_gate(index).await?;
        gate.become_ready().await?;
        at_gates.push(ask_about_all(gate, ledger).await);
    }
    judge(primary, &opened, &ended, at_gates, ledger)
}

/// Compares what was acknowledged with the sessions of the database, and with what gates say.
pub(crate) fn judge(
    primary: &'static str,
    opened: &HashSet<String>,
    ended: &HashSet<String>,
    at_gates: Vec<AtGate>,
    ledger: &Ledger,
) -> Result<Verdict> {
    let sign_ins = ledger.acknowledged_sign_ins();
    let mut revocations = Vec::new();
    for end in ledger.acknowledged_ends() {
        revocations.push(end.session.id.clone());
    }
    Ok(Verdict {
        primary,
        sign_ins: sign_ins.len(),
        sign_ins_lost: count_missing(&sign_ins, opened)?,
        revocations: revocations.len(),
        revocations_lost: count_missing(&revocations, ended)?,
        gates: at_gates,
        requests_admitted: ledger.admitted_count(),
    })
}

fn count_missing(ids: &[String], found: &HashSet<String>) -> Result<usize> {
    let mut missing = 0;
    for id in ids {
        let mut digits = String::with_capacity(32);
        for byte in SessionId::from_str(id)?.to_bytes() {
            let _ = write!(digits, "{byte:02x}");
        }
        if !found.contains(&digits) {
            missing += 1;
        }
    }
    Ok(missing)
}

/// Asks a gate about every token.
pub(crate) async fn ask_about_all(gate: &Gate, ledger: &Ledger) -> AtGate {
    let mut ended = Vec::new();
    for end in ledger.acknowledged_ends() {
        ended.push(end.session.access_token.clone());
    }
    let mut live = Vec::new();
    for session in ledger.all_live() {
        live.push(session.access_token.clone());
    }
    let count = live.len();
    let live_admitted = count_admitted(gate, live).await;
    AtGate {
        ended_admitted: count_admitted(gate, ended).await,
        live: count,
        live_refused: count - live_admitted,
    }
}

async fn count_admitted(gate: &Gate, tokens: Vec<String>) -> usize {
    let room = Arc::new(Semaphore::new(QUESTIONS_MAX));
    let mut asking = JoinSet::new();
    for token in tokens {
        let gate = gate.clone();
        let room = Arc::clone(&room);
        asking.spawn(async move {
            let _permit = room.acquire().await;
            gate.ask(&token).await == gates::Verdict::Admitted
        });
    }
    let answers = asking.join_all().await;
    answers.iter().filter(|admitted| **admitted).count()
}
