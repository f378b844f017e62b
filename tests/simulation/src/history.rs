//! The history of a run: what was issued, revoked, acknowledged and checked, with the times.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_contract::{
    id::{Serial, UserSerial},
    position::{Position, Revision},
};

use crate::store::rows::Row;

/// Everything that the reference looks at.
#[derive(Default)]
pub struct History(Mutex<Events>);

/// The events, each list in the order of time.
#[derive(Default)]
pub struct Events {
    /// The tokens that were handed out.
    pub tokens: Vec<Token>,
    /// The revocations that were asked for.
    pub revocations: Vec<Revocation>,
    /// The checks of gates that decided about a token.
    pub checks: Vec<Check>,
    /// The positions that gates were at.
    pub positions: Vec<GatePosition>,
    /// When each gate's process replaced a history, and enforced both from then on.
    pub forks: Vec<(usize, u32, Duration)>,
    /// Problems that were seen while it ran.
    pub problems: Vec<String>,
    /// Counts, for the summary.
    pub counts: Counts,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Checks that admitted a token.
    pub accepted: u64,
    /// Checks that refused one as revoked.
    pub refused: u64,
    /// Checks of gates that could not know.
    pub unavailable: u64,
    /// Faults.
    pub faults: u64,
    /// Histories that gates replaced.
    pub forks: u64,
    /// Turns.
    pub turns: u64,
    /// Sign-outs of everyone because the database's clock was set back.
    pub set_back: u64,
}

/// A token.
pub struct Token {
    /// As it is sent.
    pub text: String,
    /// The session.
    pub row: Row,
    /// When the client had it.
    pub issued: Duration,
}

/// What a revocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One session.
    Session(Serial),
    /// The sessions of a user, but one.
    User(UserSerial, Option<Serial>),
    /// All sessions.
    Everyone,
}

/// A revocation.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// What it ends.
    pub target: Target,
    /// When it was asked for.
    pub requested: Duration,
    /// When the caller was told that it is done, and the revision that enforces it.
    pub acknowledged: Option<(Duration, Revision)>,
    /// Whether a restore lost it. I1 does not promise it then.
    pub lost: bool,
}

/// A check that decided about a token.
#[derive(Clone, Debug)]
pub struct Check {
    /// The gate.
    pub gate: usize,
    /// The gate's process: a restart forgets.
    pub life: u32,
    /// The token.
    pub token: usize,
    /// When the state was loaded.
    pub loaded: Duration,
    /// When the verdict was given.
    pub at: Duration,
    /// The reason of a refusal. None: admitted.
    pub refused: Option<&'static str>,
}

/// A position of a gate.
#[derive(Clone, Debug)]
pub struct GatePosition {
    /// The gate.
    pub gate: usize,
    /// The gate's process.
    pub life: u32,
    /// When.
    pub at: Duration,
    /// Where its view stood.
    pub position: Position,
}

impl History {
    /// The events.
    pub fn events(&self) -> MutexGuard<'_, Events> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a problem.
    pub fn report(&self, problem: String) {
        self.events().problems.push(problem);
    }
}

impl Events {
    /// A digest of everything that two runs of one seed must have in common. Ids and keys are drawn by the system.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for token in &self.tokens {
            (token.row.subject.serial.0, token.issued).hash(&mut hasher);
        }
        for revocation in &self.revocations {
            let acknowledged = revocation
                .acknowledged
                .map(|(at, revision)| (at, revision.0));
            (revocation.requested, acknowledged).hash(&mut hasher);
        }
        for check in &self.checks {
            (check.gate, check.life, check.token, check.at).hash(&mut hasher);
            check.refused.is_some().hash(&mut hasher);
        }
        for seen in &self.positions {
            (seen.gate, seen.at, seen.position.revision.0).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Revocation {
    /// Whether it has to end a session, by the order in which the database committed the two.
    ///
    /// A session whose snapshot had the cutoff was opened afterwards.
    #[must_use]
    pub fn covers(&self, row: &Row) -> bool {
        let is_meant = self.is_about(row);
        match (self.target, self.acknowledged) {
            (Target::Session(_), _) | (_, None) => is_meant,
            (_, Some((_, revision))) => is_meant && row.seen < revision,
        }
    }

    /// Whether it is about a session at all, whenever that was opened.
    #[must_use]
    pub fn is_about(&self, row: &Row) -> bool {
        match self.target {
            Target::Session(serial) => row.subject.serial == serial,
            Target::User(user, exempt) => {
                row.subject.user == user && exempt != Some(row.subject.serial)
            }
            Target::Everyone => true,
        }
    }
}
