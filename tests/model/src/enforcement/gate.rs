//! The steps of the gate: what it receives, what that proves, and its checks.

use super::{Action, Beat, Check, MAX_STALENESS, Model, Probe, Stage, State};
use crate::{
    Rule,
    log::{Log, Token, has, head, position},
};

impl Model {
    pub(super) fn stream_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let authorities = if state.promoted { 2 } else { 1 };
        actions.extend((0..authorities).filter_map(|to| connects(state, to)));
        let Some(stream) = &state.gate.stream else {
            return;
        };
        actions.extend([Action::SendProbe, Action::BeginBeat, Action::EndBeat]);
        actions.extend([Action::TakeBeat, Action::TakeBatch]);
        if !self.keeps(Rule::BeatBeginsAfterTheProbe) {
            actions.extend([Action::BeatEarly, Action::TakeProbe]);
        }
        if !self.keeps(Rule::OnlyAnswersProve) {
            actions.push(Action::PushBeat);
        }
        if !self.keeps(Rule::SnapshotAtOnce) {
            actions.push(Action::FillView);
        }
        let newest = state.servers[stream.authority].head();
        if self.scene.transfers {
            actions.push(Action::SkipBatch);
            actions.extend((0..=newest).map(Action::TakeSnapshot));
        } else if stream.fork {
            actions.push(Action::TakeSnapshot(newest));
        }
    }

    pub(super) fn send_probe(state: &mut State) -> bool {
        let now = state.now;
        let Some(stream) = &mut state.gate.stream else {
            return false;
        };
        // While another view is on its way no beat could be about this one. One probe at a time bounds the model.
        if stream.fork || stream.probe.is_some() || stream.beat.is_some() {
            return false;
        }
        stream.probe = Some(Probe {
            sent: Some(now),
            stage: Stage::Sent,
        });
        true
    }

    pub(super) fn take_beat(&self, state: &mut State) -> bool {
        let now = state.now;
        let Some(stream) = &mut state.gate.stream else {
            return false;
        };
        let Some(Probe {
            sent,
            stage: Stage::Answered(head),
        }) = &stream.probe
        else {
            return false;
        };
        let sent = match sent {
            Some(sent) if self.keeps(Rule::FreshAsOfSending) => *sent,
            _ => now,
        };
        stream.beat = Some(Beat {
            head: head.clone(),
            sent,
        });
        stream.probe = None;
        self.settle(state);
        true
    }

    /// Takes the beat for a proof, once the view has reached its head.
    fn settle(&self, state: &mut State) {
        let view = &state.gate.view;
        let Some(stream) = &mut state.gate.stream else {
            return;
        };
        let Some(beat) = &stream.beat else {
            return;
        };
        let is_applied = beat.head.len() <= view.len();
        if !is_applied && self.keeps(Rule::FreshOnceApplied) {
            return;
        }
        if is_applied && self.keeps(Rule::ChainIsCompared) && !has(view, &beat.head) {
            fail_stream(state);
            return;
        }
        state.gate.proof = state.gate.proof.max(Some(beat.sent));
        stream.beat = None;
    }

    pub(super) fn take_batch(&self, state: &mut State) -> bool {
        let Some(stream) = &state.gate.stream else {
            return false;
        };
        let log = &state.servers[stream.authority].log;
        let follows = has(log, &state.gate.view);
        let Some(entry) = log.get(state.gate.view.len()).copied() else {
            return false;
        };
        if stream.fork || stream.filling.is_some() {
            return false;
        }
        if self.keeps(Rule::StreamFollowsOneHistory) && !follows {
            return false;
        }
        let mut view = state.gate.view.clone();
        view.push(entry);
        self.set_view(state, view);
        true
    }

    /// A sender that loses a batch.
    pub(super) fn skip_batch(&self, state: &mut State) -> bool {
        let Some(stream) = &state.gate.stream else {
            return false;
        };
        let log = &state.servers[stream.authority].log;
        let Some(entry) = log.get(state.gate.view.len() + 1).copied() else {
            return false;
        };
        if stream.fork || stream.filling.is_some() {
            return false;
        }
        if self.keeps(Rule::OnlyTheNextBatch) {
            fail_stream(state);
            return true;
        }
        let mut view = state.gate.view.clone();
        view.push(entry);
        self.set_view(state, view);
        true
    }

    pub(super) fn take_snapshot(&self, state: &mut State, revision: u8) -> bool {
        let Some(stream) = &state.gate.stream else {
            return false;
        };
        if stream.filling.is_some() {
            return false;
        }
        let is_fork = stream.fork;
        let view = state.servers[stream.authority].log[..usize::from(revision)].to_vec();
        if is_fork {
            self.replace_history(state);
        } else {
            let is_older = revision < head(&state.gate.view);
            let is_other =
                revision == head(&state.gate.view) && position(&view) != position(&state.gate.view);
            let is_refused = is_other || (is_older && self.keeps(Rule::NeverBack));
            if is_refused {
                fail_stream(state);
                return true;
            }
            state.broken.stepped_back |= is_older;
        }
        self.begin_view(state, view);
        true
    }

    fn begin_view(&self, state: &mut State, view: Log) {
        if self.keeps(Rule::SnapshotAtOnce) {
            self.set_view(state, view);
            return;
        }
        state.gate.view.clear();
        if let Some(stream) = &mut state.gate.stream {
            stream.filling = Some(view);
        }
    }

    pub(super) fn fill_view(&self, state: &mut State) -> bool {
        let stream = state.gate.stream.as_mut();
        match stream.and_then(|stream| stream.filling.take()) {
            Some(view) => {
                self.set_view(state, view);
                true
            }
            None => false,
        }
    }

    fn replace_history(&self, state: &mut State) {
        let gate = &mut state.gate;
        if self.keeps(Rule::HistoriesAreUnited) {
            gate.remembered.push(gate.view.clone());
        }
        // The proofs were about the old history.
        gate.proof = None;
        if let Some(stream) = &mut gate.stream {
            stream.fork = false;
            stream.beat = None;
        }
    }

    fn set_view(&self, state: &mut State, view: Log) {
        state.gate.view = view;
        state.note_refused();
        self.settle(state);
    }

    pub(super) fn check_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.check.is_some() {
            actions.push(Action::EndCheck);
            return;
        }
        actions.extend([Token::Old, Token::New].map(Action::BeginCheck));
    }

    /// Only a check that may accept is followed: the others change nothing.
    pub(super) fn begin_check(&self, state: &mut State, token: Token) -> bool {
        let Some(opened) = state.opened(token) else {
            return false;
        };
        let loads_together = self.keeps(Rule::ViewAndProofTogether);
        let is_fresh = |proof| state.now <= proof + MAX_STALENESS;
        let may_accept = state.gate.proof.is_some_and(is_fresh) || !loads_together;
        if !may_accept || state.gate_refuses(token, opened) {
            return false;
        }
        let reads_clock_first = !self.keeps(Rule::ClockIsReadLast);
        state.check = Some(Check {
            token,
            proof: state.gate.proof,
            had_refused: state.gate.refused[token as usize],
            clock: reads_clock_first.then_some(state.now),
        });
        match self.scene.pauses_checks {
            true => true,
            false => self.end_check(state),
        }
    }

    pub(super) fn end_check(&self, state: &mut State) -> bool {
        let Some(check) = state.check.take() else {
            return false;
        };
        let proof = match self.keeps(Rule::ViewAndProofTogether) {
            true => check.proof,
            false => state.gate.proof,
        };
        let clock = check.clock.unwrap_or(state.now);
        let accepts = proof.is_some_and(|proof| clock <= proof + MAX_STALENESS);
        if accepts {
            let acknowledged = state.acknowledged[check.token as usize];
            state.broken.late |= acknowledged.is_some_and(|time| state.now > time + MAX_STALENESS);
            state.broken.resurrected |= check.had_refused;
        }
        true
    }
}

/// A stream to an authority, if it can change anything: one to the same authority and history only loses a probe, as a
/// probe does that is late for ever.
fn connects(state: &State, authority: usize) -> Option<Action> {
    let goes_on = match &state.gate.stream {
        Some(stream) => {
            stream.authority == authority
                && (stream.fork || has(&state.servers[authority].log, &state.gate.view))
        }
        None => false,
    };
    (!goes_on).then_some(Action::Connect(authority))
}

/// Ends a stream that broke the protocol. What it proved does not count any more.
fn fail_stream(state: &mut State) {
    state.gate.proof = None;
    state.gate.stream = None;
}
