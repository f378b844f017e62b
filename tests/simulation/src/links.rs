//! Faults that are no messages of the simulated network: connections to the database, pauses of processes, and clocks.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_validator_core::Mark;
use tokio::time::sleep;

use crate::{
    AUTHORITIES, GATES,
    store::{cluster::EPOCH_US, database::elapsed},
};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// The time that a gate's machine has been up when the simulation begins.
const UP_BEFORE: Duration = Duration::from_secs(1_000);

/// The state of everything that can be faulty.
#[derive(Default)]
pub struct Links(Mutex<State>);

#[derive(Default)]
struct State {
    authorities: [Authority; AUTHORITIES],
    gates: [Gate; GATES],
}

#[derive(Default)]
struct Authority {
    loses_statements: bool,
    loses_answers: bool,
    /// It knows the address of the old primary only.
    is_stuck: bool,
    paused_until: Duration,
}

#[derive(Default)]
struct Gate {
    paused_until: Duration,
    wall_ahead_us: i64,
}

impl Links {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses the statements of an authority, or the answers to them.
    pub fn set_database(&self, authority: usize, loses_statements: bool, loses_answers: bool) {
        let state = &mut self.state().authorities[authority];
        state.loses_statements = loses_statements;
        state.loses_answers = loses_answers;
    }

    /// Keeps an authority at the server that it is connected to.
    pub fn set_stuck(&self, authority: usize, is_stuck: bool) {
        self.state().authorities[authority].is_stuck = is_stuck;
    }

    /// Pauses an authority.
    pub fn pause_authority(&self, authority: usize, until: Duration) {
        self.state().authorities[authority].paused_until = until;
    }

    /// Pauses a gate.
    pub fn pause_gate(&self, gate: usize, until: Duration) {
        self.state().gates[gate].paused_until = until;
    }

    /// Sets the wall clock of a gate.
    pub fn set_wall(&self, gate: usize, ahead_us: i64) {
        self.state().gates[gate].wall_ahead_us = ahead_us;
    }

    pub(crate) fn carries_statements(&self, authority: usize) -> bool {
        !self.state().authorities[authority].loses_statements
    }

    pub(crate) fn carries_answers(&self, authority: usize) -> bool {
        !self.state().authorities[authority].loses_answers
    }

    pub(crate) fn is_stuck(&self, authority: usize) -> bool {
        self.state().authorities[authority].is_stuck
    }

    /// Waits while an authority is paused.
    pub async fn wait_unpaused_authority(&self, authority: usize) {
        while elapsed() < self.state().authorities[authority].paused_until {
            sleep(LOOK).await;
        }
    }

    /// Waits while a gate is paused.
    pub async fn wait_unpaused_gate(&self, gate: usize) {
        while elapsed() < self.state().gates[gate].paused_until {
            sleep(LOOK).await;
        }
    }

    /// The clocks of a gate, `later` than now.
    pub fn mark(&self, gate: usize, later: Duration) -> Mark {
        self.mark_at(gate, elapsed() + later)
    }

    /// The clocks of a gate at a time of the simulation.
    pub fn mark_at(&self, gate: usize, time: Duration) -> Mark {
        Mark::from_clocks(UP_BEFORE + time, self.wall(gate, time))
    }

    /// The same by a gate that has no other clock than its wall clock.
    pub fn wall_mark(&self, gate: usize, later: Duration) -> Mark {
        let wall = self.wall(gate, elapsed() + later);
        Mark::from_clocks(wall, wall)
    }

    fn wall(&self, gate: usize, time: Duration) -> Duration {
        let ahead = self.state().gates[gate].wall_ahead_us;
        let passed = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Duration::from_micros((EPOCH_US + passed + ahead).unsigned_abs())
    }
}
