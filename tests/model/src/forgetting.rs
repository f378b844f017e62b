//! Turns: what views forget, while tokens live, clocks step and lives are shortened.
//!
//! The gate of this model is always up to date, because a gate that is behind refuses no less. A tick stands for an hour or
//! more: `max_staleness` is nothing here.

use portcullis_domain::{Micros, SinceTurn, is_set_back};
use stateright::Property as Checked;
use std::time::Duration;

use crate::{
    Property, Rule,
    log::{Entry, Kind, Log, Token, refuses},
};

/// The life of an access token, in ticks.
const LIFE: u8 = 3;
/// The life after the setting was lowered.
const SHORT_LIFE: u8 = 0;
/// The margin of a turn over the longest life.
const MARGIN: u8 = 1;
/// The size of a step of the database's clock.
const STEP: u8 = 8;
/// One tick, in the units of the domain.
const TICK_US: i64 = 3_600_000_000;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Sign-outs, refreshes and turns.
    Turns,
    /// The database's clock steps forward and back, too.
    Clock,
    /// The life of tokens is shortened, too.
    Life,
    /// The life of tokens is shortened while the clock steps.
    ClockAndLife,
    /// A gate remembers a lost history, which has the only revocation.
    Fork,
}

/// A scene, without one rule or with all.
#[derive(Clone, Debug)]
pub struct Model {
    scene: Scene,
    without: Option<Rule>,
    ticks_max: u8,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Time as it passes.
    now: u8,
    /// The ticks by which the database's clock is ahead.
    ahead: u8,
    /// The steps that the clock may still make.
    steps_left: u8,
    /// The record of turns: when the last one was, the latest that the clock has shown, and the counted time.
    turned: u8,
    latest: u8,
    counted: u8,
    /// The floor of the database's clock.
    floor: u8,
    /// When the life of tokens was shortened, by the database's clock.
    shortened: Option<u8>,
    /// Whether turns reckon with the shorter life.
    shorter_in_force: bool,
    /// A turn that was found due: the time by which the next one will be reckoned.
    turning: Option<u8>,
    log: Log,
    /// Whether the row of the session says that it has ended.
    ended: bool,
    /// When the last token of the session expires, by the database's clock.
    expires: u8,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Time passes, and an authority counts it.
    Tick,
    /// The session gets a new token.
    Refresh,
    /// The session ends, alone or by a sign-out of its user.
    End(Kind),
    /// A turn finds itself due.
    BeginTurn,
    /// The turn commits.
    CommitTurn,
    /// The turn's transaction fails.
    AbandonTurn,
    /// The database's clock steps forward.
    StepForward,
    /// The database's clock is right again.
    SetRight,
    /// The operator shortens the life of tokens.
    ShortenLife,
    /// The shorter life takes force.
    TakeForce,
    /// An authority that sees the clock below its floor signs everyone out.
    SignOutEveryone,
}

impl State {
    /// The database's clock.
    fn clock(&self) -> u8 {
        self.now + self.ahead
    }

    fn turns(&self) -> usize {
        let turns = self.log.iter().filter(|entry| entry.kind == Kind::Turn);
        turns.count()
    }

    /// The life of a token that is issued now.
    fn life(&self) -> u8 {
        match self.shortened {
            Some(_) => SHORT_LIFE,
            None => LIFE,
        }
    }

    /// Whether the clock is below its floor. The domain's own decision.
    fn is_set_back(&self) -> bool {
        is_set_back(micros(self.clock()), micros(self.floor))
    }

    /// Whether a transaction can lock the row of the installation, and has something to do.
    fn may_sign_out(&self) -> bool {
        self.turning.is_none() && self.is_set_back()
    }

    fn write(&mut self, kind: Kind) {
        self.log.push(Entry {
            kind,
            origin: 0,
            binds_sign_in: false,
        });
    }
}

impl Model {
    /// The scene with all rules.
    #[must_use]
    pub fn whole(scene: Scene) -> Self {
        Self {
            scene,
            without: None,
            // The life of a token and two turns. Three of each would be too many states beside two more kinds of steps.
            ticks_max: if scene == Scene::ClockAndLife { 8 } else { 12 },
        }
    }

    /// The scene without a rule.
    #[must_use]
    pub fn without(scene: Scene, rule: Rule) -> Self {
        Self {
            without: Some(rule),
            ..Self::whole(scene)
        }
    }

    /// The steps that the clock may make.
    fn steps(&self) -> u8 {
        match self.scene {
            Scene::Clock => 3,
            Scene::ClockAndLife => 2,
            Scene::Turns | Scene::Life | Scene::Fork => 0,
        }
    }

    fn turns_max(&self) -> usize {
        match self.scene {
            Scene::Clock => 4,
            _ => 3,
        }
    }

    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// The longest life of a token that may be alive.
    fn kept_life(state: &State) -> u8 {
        match state.shorter_in_force {
            true => SHORT_LIFE,
            false => LIFE,
        }
    }

    /// Whether the shorter life may take force.
    fn may_take_force(&self, state: &State) -> bool {
        let Some(shortened) = state.shortened else {
            return false;
        };
        if state.shorter_in_force || state.turning.is_some() {
            return false;
        }
        // As `lowered_us + token_life_us + margin < now` of the store.
        let has_waited = shortened + LIFE + MARGIN < state.clock();
        has_waited || !self.keeps(Rule::ShorterLifeWaits)
    }

    fn take_force(&self, state: &mut State) {
        state.shorter_in_force = true;
        if let Some(shortened) = state.shortened
            && self.keeps(Rule::ShorterLifeRaisesTheFloor)
        {
            state.floor = state.floor.max(shortened + LIFE);
        }
    }

    fn is_due(&self, state: &State) -> bool {
        let period = Self::kept_life(state) + MARGIN;
        if !self.keeps(Rule::TurnWaits) {
            return true;
        }
        let counted = match self.keeps(Rule::TimeIsCounted) {
            true => state.counted,
            false => u8::MAX,
        };
        // The domain's own decision.
        since_turn(state, counted).is_due(duration(period), micros(state.clock()))
    }

    /// The time by which the next turn is reckoned, if one happens now.
    fn turning_at(&self, state: &State) -> u8 {
        if !self.keeps(Rule::LatestTimeIsKept) {
            return state.clock();
        }
        // The domain's own decision, too.
        let turned = since_turn(state, state.counted).turning_at(micros(state.clock()));
        ticks(turned)
    }

    fn turn(&self, state: &mut State, turned: u8) {
        if self.keeps(Rule::TurnRaisesTheFloor) {
            // The domain's own decision, too.
            let life = duration(Self::kept_life(state));
            let floor = since_turn(state, state.counted).floor_after_turn(life);
            state.floor = ticks(floor);
        }
        state.turned = turned;
        state.counted = 0;
        state.write(Kind::Turn);
        // One generation: a turn drops everything before it.
        if !self.keeps(Rule::TwoGenerations) {
            state.write(Kind::Turn);
        }
    }

    /// Lowers the floor, because a cutoff covers everything that was forgotten.
    fn sign_out_everyone(&self, state: &mut State) {
        state.floor = 0;
        if self.keeps(Rule::SetBackSignsOut) {
            state.ended = true;
            state.write(Kind::Cut);
        }
    }

    /// Whether no beat proves the gate fresh, so that it answers 503.
    fn is_without_proof(&self, state: &State) -> bool {
        self.keeps(Rule::NothingProvesBelowTheFloor) && state.is_set_back()
    }

    /// Whether the gate refuses the session's tokens as revoked.
    fn is_refused(&self, state: &State) -> bool {
        if self.scene == Scene::Fork {
            let turns_to_forget = match self.keeps(Rule::TwoTurnsAfterAFork) {
                true => 2,
                false => 1,
            };
            return state.turns() < turns_to_forget;
        }
        refuses(&state.log, Token::Old, 0)
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let is_fork = self.scene == Scene::Fork;
        // After a fork nothing is known of the other history's turns: its next one may be due at once.
        let now = if is_fork { LIFE + MARGIN } else { 0 };
        vec![State {
            now,
            ahead: 0,
            steps_left: self.steps(),
            turned: 0,
            latest: now,
            counted: now,
            floor: 0,
            shortened: None,
            shorter_in_force: false,
            turning: None,
            log: Vec::new(),
            ended: is_fork,
            expires: now + LIFE,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.ticks_max {
            actions.push(Action::Tick);
        }
        let may_refresh = !state.ended || !self.keeps(Rule::RefreshReadsRows);
        if may_refresh && self.scene != Scene::Fork {
            actions.push(Action::Refresh);
        }
        if !state.ended {
            actions.extend([Kind::Revoke, Kind::Cut].map(Action::End));
        }
        match state.turning {
            Some(_) => actions.extend([Action::CommitTurn, Action::AbandonTurn]),
            // Two turns forget everything, and two more the sign-out of a clock that was set back.
            None if state.turns() < self.turns_max() && self.is_due(state) => {
                actions.push(Action::BeginTurn);
            }
            None => {}
        }
        // A turn's transaction is over before the clock has stepped forward and back: an assumption, see the README.
        if state.steps_left > 0 && state.turning.is_none() {
            actions.extend([Action::StepForward, Action::SetRight]);
        }
        let shortens_life = matches!(self.scene, Scene::Life | Scene::ClockAndLife);
        if shortens_life && !state.shorter_in_force {
            actions.push(Action::ShortenLife);
        }
        if self.may_take_force(state) {
            actions.push(Action::TakeForce);
        }
        if state.may_sign_out() {
            actions.push(Action::SignOutEveryone);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Tick => {
                next.now += 1;
                next.counted = (next.counted + 1).min(LIFE + MARGIN);
                next.latest = next.latest.max(next.clock());
            }
            Action::Refresh => next.expires = next.expires.max(state.clock() + state.life()),
            Action::End(kind) => {
                next.ended = true;
                next.write(kind);
            }
            Action::BeginTurn => next.turning = Some(self.turning_at(state)),
            Action::CommitTurn => {
                let turned = next.turning.take()?;
                self.turn(&mut next, turned);
            }
            Action::AbandonTurn => next.turning = None,
            Action::StepForward => {
                next.ahead += STEP;
                next.steps_left -= 1;
                // A count sees the step before it is taken back: an assumption, see the README.
                next.latest = next.latest.max(next.clock());
            }
            Action::SetRight => {
                next.ahead = 0;
                next.steps_left -= 1;
            }
            Action::ShortenLife => {
                next.shortened = Some(state.shortened.unwrap_or(state.clock()));
            }
            Action::TakeForce => self.take_force(&mut next),
            Action::SignOutEveryone => self.sign_out_everyone(&mut next),
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Checked<Self>> {
        let mut properties = vec![
            Checked::always(
                Property::NoResurrection.name(),
                |model: &Self, state: &State| {
                    let has_live_token = state.clock() < state.expires;
                    let is_refused = model.is_refused(state) || model.is_without_proof(state);
                    !state.ended || !has_live_token || is_refused
                },
            ),
            Checked::sometimes(
                "a revocation is forgotten",
                |model: &Self, state: &State| state.ended && !model.is_refused(state),
            ),
        ];
        if self.steps() > 0 {
            properties.push(Checked::sometimes(
                "the clock is below its floor",
                |_, state: &State| state.is_set_back(),
            ));
        }
        if self.scene == Scene::Clock {
            // A floor that is too high would sign everyone out when the clock is only corrected.
            properties.push(Checked::always(
                "a clock that no turn trusted may be corrected",
                |_, state: &State| state.turns() >= 1 || !state.is_set_back(),
            ));
        }
        properties
    }
}

fn since_turn(state: &State, counted: u8) -> SinceTurn {
    SinceTurn {
        turned: micros(state.turned),
        latest: micros(state.latest),
        counted_us: micros(counted).0,
        clock_floor: micros(state.floor),
    }
}

fn duration(ticks: u8) -> Duration {
    Duration::from_micros(micros(ticks).0.unsigned_abs())
}

fn ticks(time: Micros) -> u8 {
    u8::try_from(time.0 / TICK_US).unwrap_or(u8::MAX)
}

fn micros(ticks: u8) -> Micros {
    Micros(i64::from(ticks) * TICK_US)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{counterexample, exhaust};

    fn falls_without(rule: Rule, scene: Scene) {
        counterexample(Model::without(scene, rule), rule.protects());
    }

    #[test]
    fn nothing_is_forgotten_while_a_token_lives() {
        exhaust("turns", Model::whole(Scene::Turns));
    }

    #[test]
    fn nothing_is_forgotten_too_early_when_the_clock_steps() {
        exhaust("clock", Model::whole(Scene::Clock));
    }

    #[test]
    fn nothing_is_forgotten_too_early_when_the_life_of_tokens_is_shortened() {
        exhaust("life", Model::whole(Scene::Life));
    }

    #[test]
    fn a_lost_history_is_not_forgotten_too_early() {
        exhaust("fork", Model::whole(Scene::Fork));
    }

    #[test]
    fn without_waiting_two_turns_forget_at_once() {
        falls_without(Rule::TurnWaits, Scene::Turns);
    }

    #[test]
    fn without_two_generations_the_first_turn_forgets() {
        falls_without(Rule::TwoGenerations, Scene::Turns);
    }

    #[test]
    fn without_counted_time_two_steps_of_the_clock_forget() {
        falls_without(Rule::TimeIsCounted, Scene::Clock);
    }

    #[test]
    fn without_the_latest_time_tokens_of_a_clock_that_was_ahead_come_back() {
        falls_without(Rule::LatestTimeIsKept, Scene::Clock);
    }

    #[test]
    fn nothing_is_forgotten_too_early_when_the_clock_steps_and_the_life_is_shortened() {
        exhaust("clock and life", Model::whole(Scene::ClockAndLife));
    }

    #[test]
    fn without_a_floor_a_clock_that_is_set_right_revives_tokens() {
        falls_without(Rule::TurnRaisesTheFloor, Scene::Clock);
    }

    #[test]
    fn without_refusing_proofs_a_clock_below_its_floor_revives_tokens() {
        falls_without(Rule::NothingProvesBelowTheFloor, Scene::Clock);
    }

    #[test]
    fn without_a_sign_out_a_clock_that_was_below_its_floor_revives_tokens() {
        falls_without(Rule::SetBackSignsOut, Scene::Clock);
    }

    #[test]
    fn without_raising_the_floor_a_shorter_life_hides_tokens_of_the_longer_one() {
        falls_without(Rule::ShorterLifeRaisesTheFloor, Scene::ClockAndLife);
    }

    #[test]
    fn without_waiting_a_shorter_life_forgets_tokens_of_the_longer_one() {
        falls_without(Rule::ShorterLifeWaits, Scene::Life);
    }

    #[test]
    fn without_the_rows_a_refresh_revives_a_session_that_was_forgotten() {
        falls_without(Rule::RefreshReadsRows, Scene::Turns);
    }

    #[test]
    fn without_a_second_turn_a_lost_history_is_forgotten_too_early() {
        falls_without(Rule::TwoTurnsAfterAFork, Scene::Fork);
    }
}
