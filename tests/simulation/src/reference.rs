//! The reference: it reads a whole history and says what the promise does not allow. Slow and obvious: it knows nothing of
//! views, generations or proofs.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    MAX_STALENESS, TICK,
    history::{Check, Events},
    store::{cluster::Cluster, rows::Row},
};

/// The hosts of a run are not simulated at the same instant: one may be a tick behind another.
const SLACK: Duration = TICK.saturating_mul(2);

/// Returns what is wrong with a history. None: nothing.
#[must_use]
pub fn judge(events: &Events, cluster: &Cluster) -> Option<String> {
    if let Some(problem) = events.problems.first() {
        return Some(problem.clone());
    }
    lost(events, cluster)
        .or_else(|| foreign_position(events, cluster))
        .or_else(|| wrong_check(events))
        .or_else(|| accepted_again(events))
}

/// I1: every acknowledged revocation is in the rows of the history that counts.
fn lost(events: &Events, cluster: &Cluster) -> Option<String> {
    for revocation in &events.revocations {
        let Some((at, revision)) = revocation.acknowledged else {
            continue;
        };
        if revocation.lost {
            continue;
        }
        let covered = events.tokens.iter().map(|token| &token.row);
        let alive = covered
            .filter(|row| revocation.covers(row))
            .find(|row| cluster.rows().session(row.id).is_some() && !is_over(cluster, row));
        if let Some(row) = alive {
            return Some(format!(
                "I1: {:?} was acknowledged at {at:?} with revision {revision}, and session {} is alive",
                revocation.target, row.subject.serial.0
            ));
        }
    }
    None
}

/// By what the sign-in saw, and not by what its token says.
fn is_over(cluster: &Cluster, row: &Row) -> bool {
    let mut subject = row.subject;
    subject.opened = row.seen;
    cluster.rows().is_over(&subject)
}

/// I3: a gate is always at a position that a history had, and goes back only to another history.
fn foreign_position(events: &Events, cluster: &Cluster) -> Option<String> {
    for seen in &events.positions {
        if !cluster.ever_had(seen.position) {
            return Some(format!(
                "I3: gate {} was at {:?} at {:?}, where no history ever was",
                seen.gate, seen.position, seen.at
            ));
        }
    }
    None
}

/// I2, and the reverse: nothing is accepted too late, and nothing alive is refused.
fn wrong_check(events: &Events) -> Option<String> {
    for check in &events.checks {
        let problem = match &check.refused {
            None => accepted_late(events, check),
            Some(reason) => refused_alive(events, check, reason),
        };
        if problem.is_some() {
            return problem;
        }
    }
    None
}

fn accepted_late(events: &Events, check: &Check) -> Option<String> {
    let row = &events.tokens[check.token].row;
    for revocation in &events.revocations {
        let Some((acknowledged, revision)) = revocation.acknowledged else {
            continue;
        };
        let is_late = check.at > acknowledged + MAX_STALENESS + SLACK;
        if is_late && !revocation.lost && revocation.covers(row) {
            return Some(format!(
                "I2: gate {} accepted session {} at {:?}; {:?} was acknowledged at {acknowledged:?} with revision \
                 {revision}",
                check.gate, row.subject.serial.0, check.at, revocation.target
            ));
        }
    }
    None
}

fn refused_alive(events: &Events, check: &Check, reason: &str) -> Option<String> {
    let row = &events.tokens[check.token].row;
    let by_revocation = matches!(reason, "revoked" | "signed_out");
    // A lost history may have had a sign-out at a higher revision than the present one has it, and then covers a session that
    // was opened in between. A gate enforces both.
    let enforces_two = events
        .forks
        .iter()
        .any(|(gate, life, at)| *gate == check.gate && *life == check.life && *at <= check.at);
    let asked = events.revocations.iter().any(|revocation| {
        let is_meant = match enforces_two {
            true => revocation.is_about(row),
            false => revocation.covers(row),
        };
        is_meant && revocation.requested <= check.at + SLACK
    });
    if by_revocation && asked {
        return None;
    }
    Some(format!(
        "gate {} refused session {} at {:?} as {reason}, and nobody had asked for its end",
        check.gate, row.subject.serial.0, check.at
    ))
}

/// I4: a gate that refused a token never accepts it again.
fn accepted_again(events: &Events) -> Option<String> {
    let mut first_refusals = BTreeMap::new();
    for check in &events.checks {
        let key = (check.gate, check.life, check.token);
        if check.refused.is_some() {
            first_refusals.entry(key).or_insert(check.at);
            continue;
        }
        // A check that was paused may have loaded the state before the refusal.
        if let Some(refused) = first_refusals.get(&key)
            && check.loaded > *refused
        {
            let row = &events.tokens[check.token].row;
            return Some(format!(
                "I4: gate {} refused session {} at {refused:?} and accepted it at {:?}",
                check.gate, row.subject.serial.0, check.at
            ));
        }
    }
    None
}
