//! The steps of servers and authorities.

use super::{Action, Model, Probe, SignIn, Stage, State, Stream};
use crate::{
    Rule,
    log::{Entry, Kind, has},
};

/// The origin of entries that are written after a restore, which no server's own index is.
const AFTER_RESTORE: u8 = 2;

impl Model {
    pub(super) fn store_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let servers = if self.scene.standby { 2 } else { 1 };
        for server in 0..servers {
            let can_write = server == 0 || state.promoted;
            if can_write && state.writes_left > 0 && state.servers[server].waiting.is_none() {
                let kinds = match state.writes_left {
                    1 => self.scene.last_kinds,
                    _ => self.scene.kinds,
                };
                actions.extend(kinds.iter().map(|kind| Action::Append(server, *kind)));
            }
            if state.servers[server].waiting.is_some() {
                actions.push(Action::Acknowledge(server));
            }
        }
        if self.scene.standby && !state.promoted {
            actions.extend([Action::Replicate, Action::Promote]);
        }
        if self.scene.restore && state.lost.is_none() {
            let head = state.servers[0].head();
            actions.extend((0..head).map(Action::Restore));
        }
        if self.scene.sign_in {
            actions.extend([Action::BeginSignIn, Action::EndSignIn]);
        }
    }

    pub(super) fn append(&self, state: &mut State, server: usize, kind: Kind) -> bool {
        let origin = match state.lost {
            Some(_) => AFTER_RESTORE,
            None => u8::from(server == 1),
        };
        let entry = Entry {
            kind,
            origin,
            binds_sign_in: kind == Kind::Cut && state.sign_in != SignIn::Not,
        };
        let server = &mut state.servers[server];
        server.log.push(entry);
        // The caller of the other entry is of no interest.
        server.waiting = (kind != Kind::Other).then(|| server.head());
        state.writes_left -= 1;
        true
    }

    pub(super) fn replicate(state: &mut State) -> bool {
        let [primary, standby] = &mut state.servers;
        let Some(entry) = primary.log.get(standby.log.len()) else {
            return false;
        };
        standby.log.push(*entry);
        primary.confirmed = standby.head();
        true
    }

    pub(super) fn acknowledge(&self, state: &mut State, server: usize) -> bool {
        let Some(revision) = state.servers[server].waiting else {
            return false;
        };
        // A server without a standby answers for itself: a promoted one, or one that never had any.
        let waits_for_standby = server == 0 && self.scene.standby;
        let is_durable = !waits_for_standby || state.servers[0].confirmed >= revision;
        if self.keeps(Rule::AcknowledgeWhenDurable) && !is_durable {
            return false;
        }
        state.servers[server].waiting = None;
        state.note_acknowledged(server, revision);
        true
    }

    pub(super) fn promote(&self, state: &mut State) -> bool {
        state.promoted = true;
        true
    }

    pub(super) fn restore(&self, state: &mut State, revision: u8) -> bool {
        let server = &mut state.servers[0];
        state.lost = Some(server.log.clone());
        server.log.truncate(usize::from(revision));
        // The callers that wait get no answer.
        server.waiting = None;
        state.forgive_lost();
        true
    }

    pub(super) fn begin_sign_in(state: &mut State) -> bool {
        if state.sign_in != SignIn::Not {
            return false;
        }
        state.sign_in = SignIn::Begun(state.primary().head());
        true
    }

    pub(super) fn end_sign_in(&self, state: &mut State) -> bool {
        let SignIn::Begun(read_first) = state.sign_in else {
            return false;
        };
        let opened = match self.keeps(Rule::HeadIsReadFirst) {
            true => read_first,
            false => state.primary().head(),
        };
        state.sign_in = SignIn::Opened(opened);
        state.note_refused();
        true
    }

    pub(super) fn take_probe(&self, state: &mut State) -> bool {
        let early = state.early_beat.take();
        let Some(probe) = probe(state) else {
            return false;
        };
        if probe.stage != Stage::Sent {
            return false;
        }
        probe.stage = match early {
            // The head is that of a beat which began before the probe came.
            Some(head) => Stage::Answered(head),
            None => Stage::Waits,
        };
        true
    }

    pub(super) fn begin_beat(&self, state: &mut State) -> bool {
        let Some(authority) = state.gate.stream.as_ref().map(|stream| stream.authority) else {
            return false;
        };
        let head = state.servers[authority].log.clone();
        match probe(state) {
            // A probe that waits before its beat begins is a probe that is late: both are one state, if no beat can be early.
            Some(probe) if probe.stage == Stage::Waits || probe.stage == Stage::Sent => {
                probe.stage = Stage::Beats(head);
                true
            }
            _ => false,
        }
    }

    pub(super) fn end_beat(&self, state: &mut State) -> bool {
        let Some(authority) = state.gate.stream.as_ref().map(|stream| stream.authority) else {
            return false;
        };
        // The standby has followed another server since its promotion: it confirms nothing to the old primary.
        let can_write_durably = authority == 1 || !state.promoted;
        if self.keeps(Rule::BeatIsADurableWrite) && !can_write_durably {
            return false;
        }
        let Some(probe) = probe(state) else {
            return false;
        };
        let Stage::Beats(head) = &probe.stage else {
            return false;
        };
        probe.stage = Stage::Answered(head.clone());
        true
    }

    pub(super) fn beat_early(state: &mut State) -> bool {
        if state.early_beat.is_some() {
            return false;
        }
        state.early_beat = Some(state.primary().log.clone());
        true
    }

    pub(super) fn push_beat(state: &mut State) -> bool {
        let head = state.primary().log.clone();
        match &mut state.gate.stream {
            Some(stream) if stream.probe.is_none() => {
                stream.probe = Some(Probe {
                    sent: None,
                    stage: Stage::Answered(head),
                });
                true
            }
            _ => false,
        }
    }

    /// The gate's hello reaches an authority, which compares the cursor with its server's log.
    pub(super) fn connect(state: &mut State, authority: usize) -> bool {
        let mut stream = Stream::to(authority);
        stream.fork = !has(&state.servers[authority].log, &state.gate.view);
        // Probes and beats of the stream before prove nothing any more. What it proved stays proved.
        state.gate.stream = Some(stream);
        true
    }
}

fn probe(state: &mut State) -> Option<&mut Probe> {
    state.gate.stream.as_mut()?.probe.as_mut()
}
