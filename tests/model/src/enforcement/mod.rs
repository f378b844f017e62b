//! Probe, beat, failover, restore and cutoff: one gate, two servers, and a check that may be paused.

mod authority;
mod gate;
mod scene;
mod state;

pub use self::{
    scene::Scene,
    state::{
        Beat, Broken, Check, Gate, MAX_STALENESS, Probe, Server, SignIn, Stage, State, Stream,
    },
};
use stateright::Property as Checked;

use crate::{
    Property, Rule,
    log::{Kind, Token, has, refuses},
};

/// A scene, without one rule or with all.
#[derive(Clone, Debug)]
pub struct Model {
    /// What can happen.
    pub scene: Scene,
    /// The rule that is switched off.
    pub without: Option<Rule>,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A tick of time passes.
    Tick,
    /// A client of a server's authority appends an entry.
    Append(usize, Kind),
    /// The standby receives the next entry, and confirms.
    Replicate,
    /// The authority of a server answers its client.
    Acknowledge(usize),
    /// The standby becomes the primary. The old one is cut off and goes on.
    Promote,
    /// The server is restored from a backup at a revision.
    Restore(u8),
    /// A sign-in reads the head of the log and finds the user enabled.
    BeginSignIn,
    /// The sign-in commits.
    EndSignIn,

    /// The gate opens a stream to an authority, in place of the one that it has.
    Connect(usize),
    /// The gate sends a probe.
    SendProbe,
    /// The probe reaches the authority.
    TakeProbe,
    /// A beat reads the head for the probe.
    BeginBeat,
    /// The beat's write is durable, and the answer leaves.
    EndBeat,
    /// The answer reaches the gate.
    TakeBeat,
    /// A beat reads the head though no probe waits.
    BeatEarly,
    /// An authority pushes its head though nobody asked.
    PushBeat,
    /// The gate receives the next batch.
    TakeBatch,
    /// The gate receives the batch after the next one.
    SkipBatch,
    /// The gate receives a snapshot at a revision.
    TakeSnapshot(u8),
    /// A view that was cleared is filled.
    FillView,

    /// A check loads the state and looks the token up.
    BeginCheck(Token),
    /// The check reads the clock and decides.
    EndCheck,
}

impl Model {
    /// The scene with all rules.
    #[must_use]
    pub fn whole(scene: Scene) -> Self {
        Self {
            scene,
            without: None,
        }
    }

    /// The scene without a rule.
    #[must_use]
    pub fn without(scene: Scene, rule: Rule) -> Self {
        Self {
            scene,
            without: Some(rule),
        }
    }

    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(self.scene.writes_max)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.scene.ticks_max {
            actions.push(Action::Tick);
        }
        self.store_actions(state, actions);
        self.stream_actions(state, actions);
        self.check_actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let happens = match action {
            Action::Tick => {
                next.now += 1;
                true
            }
            Action::Append(server, kind) => self.append(&mut next, server, kind),
            Action::Replicate => Self::replicate(&mut next),
            Action::Acknowledge(server) => self.acknowledge(&mut next, server),
            Action::Promote => self.promote(&mut next),
            Action::Restore(revision) => self.restore(&mut next, revision),
            Action::BeginSignIn => Self::begin_sign_in(&mut next),
            Action::EndSignIn => self.end_sign_in(&mut next),
            Action::Connect(authority) => Self::connect(&mut next, authority),
            Action::SendProbe => Self::send_probe(&mut next),
            Action::TakeProbe => self.take_probe(&mut next),
            Action::BeginBeat => self.begin_beat(&mut next),
            Action::EndBeat => self.end_beat(&mut next),
            Action::TakeBeat => self.take_beat(&mut next),
            Action::BeatEarly => Self::beat_early(&mut next),
            Action::PushBeat => Self::push_beat(&mut next),
            Action::TakeBatch => self.take_batch(&mut next),
            Action::SkipBatch => self.skip_batch(&mut next),
            Action::TakeSnapshot(revision) => self.take_snapshot(&mut next, revision),
            Action::FillView => self.fill_view(&mut next),
            Action::BeginCheck(token) => self.begin_check(&mut next, token),
            Action::EndCheck => self.end_check(&mut next),
        };
        (happens && next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Checked<Self>> {
        let mut properties = vec![
            Checked::always(Property::Durable.name(), |_, state| is_durable(state)),
            Checked::always(Property::Bounded.name(), |_, state: &State| {
                !state.broken.late
            }),
            Checked::always(Property::Complete.name(), |_, state| is_complete(state)),
            Checked::always(Property::NoResurrection.name(), |_, state: &State| {
                !state.broken.resurrected
            }),
        ];
        // A model in which nothing is ever proved or revoked would keep every promise.
        properties.push(Checked::sometimes(
            "the gate is proved fresh after an acknowledgement",
            |_, state: &State| {
                let acknowledged = state.acknowledged[Token::Old as usize];
                acknowledged.is_some() && state.gate.proof > acknowledged
            },
        ));
        properties.push(Checked::sometimes(
            "the gate has what was acknowledged",
            |_, state: &State| {
                state.acknowledged[Token::Old as usize].is_some()
                    && state.gate.refused[Token::Old as usize]
            },
        ));
        properties
    }
}

/// I1: the history that counts has everything that was acknowledged.
fn is_durable(state: &State) -> bool {
    let log = &state.primary().log;
    let [old, new] = state.acknowledged;
    let old_kept = old.is_none() || refuses(log, Token::Old, 0);
    let new_kept = new.is_none() || log.iter().any(|entry| entry.binds_sign_in);
    old_kept && new_kept
}

/// I3: the view is an exact prefix of a history that there is or was.
fn is_complete(state: &State) -> bool {
    let [first, second] = &state.servers;
    let mut histories = [&first.log, &second.log].into_iter().chain(&state.lost);
    // A view that is being filled is what I4 is about.
    let is_filling = match &state.gate.stream {
        Some(stream) => stream.filling.is_some(),
        None => false,
    };
    let is_prefix = is_filling || histories.any(|log| has(log, &state.gate.view));
    is_prefix && !state.broken.stepped_back
}

#[cfg(test)]
mod tests;
