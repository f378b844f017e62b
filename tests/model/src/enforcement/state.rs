//! The state of the model: two servers, an authority at each, one gate, and a check that it makes.

use crate::log::{Kind, Log, Token, head, refuses};

/// The staleness that the gate allows, in ticks.
pub const MAX_STALENESS: u8 = 1;

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The gate's clock, and the time of the events. No rule compares it with another clock.
    pub now: u8,
    /// The first primary and its synchronous standby.
    pub servers: [Server; 2],
    /// Whether the standby was promoted. The first primary lives on, cut off, with its clients.
    pub promoted: bool,
    /// The log that a restore took back.
    pub lost: Option<Log>,
    /// The entries that may still be written.
    pub writes_left: u8,
    /// The sign-in of the new session.
    pub sign_in: SignIn,
    /// When the first revocation that covers each token was acknowledged.
    pub acknowledged: [Option<u8>; 2],
    /// The head that a beat read which no probe had asked for. Only without a rule.
    pub early_beat: Option<Log>,
    /// The gate.
    pub gate: Gate,
    /// The check that is under way.
    pub check: Option<Check>,
    /// What went wrong. All false, unless a rule is missing.
    pub broken: Broken,
}

/// A database server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its log.
    pub log: Log,
    /// The revision whose caller waits for the acknowledgement.
    pub waiting: Option<u8>,
    /// The revision up to which the standby has confirmed.
    pub confirmed: u8,
}

/// The sign-in of the new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignIn {
    /// It has not begun.
    Not,
    /// It has found the user enabled, and the head of the log was this.
    Begun(u8),
    /// The session exists, opened at this revision.
    Opened(u8),
}

/// A gate in strict mode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gate {
    /// The entries that its view was built from.
    pub view: Log,
    /// Histories that were replaced, and are enforced beside it.
    pub remembered: Vec<Log>,
    /// Whether it has ever refused each token as revoked.
    pub refused: [bool; 2],
    /// The time as of which it is proved fresh.
    pub proof: Option<u8>,
    /// Its stream, while it has one.
    pub stream: Option<Stream>,
}

/// A stream to one authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The authority, and the server that it works with.
    pub authority: usize,
    /// Whether the authority has announced that its history is another.
    pub fork: bool,
    /// A probe, wherever it is.
    pub probe: Option<Probe>,
    /// A beat whose head the view has not reached.
    pub beat: Option<Beat>,
    /// The view that a cleared one will be filled with. Only without a rule.
    pub filling: Option<Log>,
}

/// A probe, and then its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// When the gate sent it. None for a beat that nobody asked for.
    pub sent: Option<u8>,
    /// How far it is.
    pub stage: Stage,
}

/// The way of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// On its way to the authority.
    Sent,
    /// It waits for a beat.
    Waits,
    /// A beat that has read this head waits for its durable write.
    Beats(Log),
    /// The answer is on its way, with this head.
    Answered(Log),
}

/// A beat that arrived.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Beat {
    /// The head that it names.
    pub head: Log,
    /// The time that it can prove.
    pub sent: u8,
}

/// A check between its look-up and its verdict: a thread can be paused there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// The token, which the view that was loaded does not refuse.
    pub token: Token,
    /// The proof that was loaded with the view.
    pub proof: Option<u8>,
    /// Whether the gate had refused the token before the check.
    pub had_refused: bool,
    /// The clock, if it was read first. Only without a rule.
    pub clock: Option<u8>,
}

/// Violations that one state cannot show by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broken {
    /// A token was accepted later than the bound after the acknowledgement.
    pub late: bool,
    /// A token was accepted that the gate had refused.
    pub resurrected: bool,
    /// The view went back in its own history.
    pub stepped_back: bool,
}

impl State {
    /// The state before everything: a gate that follows an empty log.
    #[must_use]
    pub fn first(writes: u8) -> Self {
        Self {
            now: 0,
            servers: [Server::default(), Server::default()],
            promoted: false,
            lost: None,
            writes_left: writes,
            sign_in: SignIn::Not,
            acknowledged: [None; 2],
            early_beat: None,
            gate: Gate {
                view: Vec::new(),
                remembered: Vec::new(),
                refused: [false; 2],
                proof: None,
                stream: Some(Stream::to(0)),
            },
            check: None,
            broken: Broken::default(),
        }
    }

    /// The server that holds the history which counts.
    #[must_use]
    pub fn primary(&self) -> &Server {
        &self.servers[usize::from(self.promoted)]
    }

    /// The revision at which a token's session was opened, if it exists.
    #[must_use]
    pub fn opened(&self, token: Token) -> Option<u8> {
        match (token, self.sign_in) {
            (Token::Old, _) => Some(0),
            (Token::New, SignIn::Opened(revision)) => Some(revision),
            (Token::New, _) => None,
        }
    }

    /// Whether the gate refuses the token as revoked, by any history that it enforces.
    #[must_use]
    pub fn gate_refuses(&self, token: Token, opened: u8) -> bool {
        let gate = &self.gate;
        let mut histories = gate.remembered.iter().chain([&gate.view]);
        histories.any(|log| refuses(log, token, opened))
    }

    /// Notes which tokens the gate refuses now.
    pub fn note_refused(&mut self) {
        for token in [Token::Old, Token::New] {
            if let Some(opened) = self.opened(token)
                && self.gate_refuses(token, opened)
            {
                self.gate.refused[token as usize] = true;
            }
        }
    }

    /// Notes that the caller of the entry at `revision` of a server was told that it is done.
    pub fn note_acknowledged(&mut self, server: usize, revision: u8) {
        let entry = self.servers[server].log[usize::from(revision) - 1];
        let covers = match entry.kind {
            Kind::Revoke => [true, false],
            Kind::Cut => [true, entry.binds_sign_in],
            Kind::Other | Kind::Turn => [false, false],
        };
        for (time, covered) in self.acknowledged.iter_mut().zip(covers) {
            if covered && time.is_none() {
                *time = Some(self.now);
            }
        }
    }

    /// Forgets acknowledgements whose entries a restore took away: I1 does not promise them.
    pub fn forgive_lost(&mut self) {
        let log = self.primary().log.clone();
        if !refuses(&log, Token::Old, 0) {
            self.acknowledged[Token::Old as usize] = None;
        }
        if !log.iter().any(|entry| entry.binds_sign_in) {
            self.acknowledged[Token::New as usize] = None;
        }
    }
}

impl Stream {
    /// A stream that begins.
    #[must_use]
    pub fn to(authority: usize) -> Self {
        Self {
            authority,
            fork: false,
            probe: None,
            beat: None,
            filling: None,
        }
    }
}

impl Server {
    /// The revision of its head.
    #[must_use]
    pub fn head(&self) -> u8 {
        head(&self.log)
    }
}
