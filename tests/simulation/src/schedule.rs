//! The schedule of a run: what clients ask and what goes wrong, at which times. A seed gives one schedule.

use std::time::Duration;

use portcullis_contract::id::UserSerial;

use crate::{AUTHORITIES, GATES, dice::Dice, users::USERS};

/// The time at which clients and faults begin: everything has started by then.
const BEGIN_MS: u64 = 300;
/// The time at which clients and faults end, and everything is repaired.
pub const REPAIR: Duration = Duration::from_millis(9_500);
/// The end of a run.
pub const END: Duration = Duration::from_millis(13_500);
/// The most operations of a run.
const OPERATIONS_MAX: u64 = 220;

/// A step of a schedule.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client asks an authority.
    Ask(usize, Ask),
    /// Something breaks.
    Break(Fault),
    /// It is repaired.
    Repair(Fault),
}

/// What a client asks. Sessions are chosen when it happens.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    SignIn(UserSerial),
    Refresh,
    Revoke,
    SignOut(UserSerial),
    SignOutOthers(UserSerial),
    Disable(UserSerial),
    Enable(UserSerial),
    SignOutEveryone,
}

/// A fault, which lasts from its break to its repair.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The network between a gate and an authority drops everything.
    Partition { gate: usize, authority: usize },
    /// It drops what goes to the gate.
    DropsAnswers { gate: usize, authority: usize },
    /// It drops what goes to the authority.
    DropsProbes { gate: usize, authority: usize },
    /// It keeps everything, and delivers it later.
    Holds { gate: usize, authority: usize },
    /// The network between the proxy and its sidecar keeps everything, and delivers it later.
    ProxyHolds,
    /// The process of an authority is killed.
    AuthorityKilled(usize),
    /// The process of a gate is killed.
    GateKilled(usize),
    /// The process of an authority stands still.
    AuthorityPaused(usize, Duration),
    /// The process of a gate stands still.
    GatePaused(usize, Duration),
    /// Statements of an authority, or their answers, are lost.
    DatabaseLink {
        authority: usize,
        loses_statements: bool,
        loses_answers: bool,
    },
    /// The standby receives nothing.
    StandbyCutOff,
    /// The primary crashes, and keeps a share of what the standby did not confirm.
    DatabaseCrash { kept_percent: u64 },
    /// The standby is promoted. The old primary lives on if it was not killed, and the stuck authorities stay with it. With
    /// a spare server as its standby, the new primary acknowledges writes at once.
    Failover {
        kills_primary: bool,
        has_spare: bool,
        stuck: [bool; AUTHORITIES],
    },
    /// The database goes back to a backup, and `recover` runs.
    Restore { lost: usize, sign_out: bool },
    /// The wall clock of a gate is wrong.
    GateClock { gate: usize, ahead_us: i64 },
    /// The database's clock is ahead.
    DatabaseClock { ahead_us: i64 },
}

/// Makes the schedule of a seed, in the order of time.
#[must_use]
pub fn plan(dice: &Dice) -> Vec<(Duration, Step)> {
    let mut steps = Vec::new();
    for _ in 0..dice.number(80..=OPERATIONS_MAX) {
        let at = time(dice);
        steps.push((at, Step::Ask(dice.index(AUTHORITIES), ask(dice))));
    }
    let mut database_until = Duration::ZERO;
    for _ in 0..dice.number(2..=9) {
        let at = time(dice);
        let until = (at + lasts(dice)).min(REPAIR);
        let fault = fault(dice, until);
        // One fault of the database's servers at a time: two would lose what the promise is about.
        if fault.is_of_servers() {
            if at < database_until {
                continue;
            }
            database_until = END;
        }
        for cut_off in cut_off_too(dice, &fault) {
            steps.push((at, Step::Break(cut_off.clone())));
            steps.push((until, Step::Repair(cut_off)));
        }
        if let Some(further) = step_further(dice, &fault) {
            // Ahead for long enough that an authority looks whether a turn is due.
            let later = at + dice.millis(350..=700);
            steps.push((later.min(until), Step::Break(further)));
        }
        steps.push((at, Step::Break(fault.clone())));
        steps.push((until, Step::Repair(fault)));
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

/// Mostly short. A few faults last so long that a token's life and a turn pass meanwhile.
fn lasts(dice: &Dice) -> Duration {
    match dice.once_in(8) {
        true => dice.millis(2_500..=6_000),
        false => dice.millis(50..=2_500),
    }
}

/// The partitions that make a fault as bad as it can be, for every second fault of two kinds.
fn cut_off_too(dice: &Dice, fault: &Fault) -> Vec<Fault> {
    match fault {
        // A gate is left with the authority that stays at the old primary.
        Fault::Failover { stuck, .. } => {
            let Some(authority) = stuck.iter().position(|stuck| !stuck) else {
                return Vec::new();
            };
            let gate = dice.index(GATES);
            match dice.once_in(2) {
                true => vec![Fault::Partition { gate, authority }],
                false => Vec::new(),
            }
        }
        // A gate with a wrong clock gets no proof.
        Fault::GateClock { gate, .. } if dice.once_in(2) => (0..AUTHORITIES)
            .map(|authority| Fault::Partition {
                gate: *gate,
                authority,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// A second step of the database's clock, far enough for a second turn by that clock alone.
fn step_further(dice: &Dice, fault: &Fault) -> Option<Fault> {
    let Fault::DatabaseClock { ahead_us } = fault else {
        return None;
    };
    let further = i64::try_from(dice.number(5..=10)).unwrap_or(0) * 1_000_000;
    let ahead_us = ahead_us + further;
    dice.once_in(2).then_some(Fault::DatabaseClock { ahead_us })
}

fn time(dice: &Dice) -> Duration {
    let end = u64::try_from(REPAIR.as_millis()).unwrap_or(u64::MAX);
    dice.millis(BEGIN_MS..=end - 500)
}

fn ask(dice: &Dice) -> Ask {
    let user = UserSerial(dice.number(1..=USERS));
    match dice.number(0..=99) {
        0..=41 => Ask::SignIn(user),
        42..=59 => Ask::Refresh,
        60..=79 => Ask::Revoke,
        80..=86 => Ask::SignOut(user),
        87..=90 => Ask::SignOutOthers(user),
        91..=93 => Ask::Disable(user),
        94..=98 => Ask::Enable(user),
        _ => Ask::SignOutEveryone,
    }
}

fn fault(dice: &Dice, until: Duration) -> Fault {
    let gate = dice.index(GATES);
    let authority = dice.index(AUTHORITIES);
    match dice.number(0..=17) {
        0 => Fault::Partition { gate, authority },
        1 => Fault::DropsAnswers { gate, authority },
        2 => Fault::DropsProbes { gate, authority },
        3 | 4 => Fault::Holds { gate, authority },
        5 => Fault::AuthorityKilled(authority),
        6 => Fault::GateKilled(gate),
        7 => Fault::AuthorityPaused(authority, until),
        8 => Fault::GatePaused(gate, until),
        9 => Fault::DatabaseLink {
            authority,
            loses_statements: dice.once_in(2),
            loses_answers: dice.once_in(2),
        },
        10 => Fault::StandbyCutOff,
        11 => Fault::DatabaseCrash {
            kept_percent: dice.number(0..=100),
        },
        12 | 13 => Fault::Failover {
            kills_primary: dice.once_in(2),
            has_spare: dice.once_in(2),
            stuck: [dice.once_in(2), dice.once_in(2)],
        },
        14 => Fault::Restore {
            lost: dice.index(30) + 1,
            sign_out: dice.once_in(3),
        },
        15 => Fault::GateClock {
            gate,
            ahead_us: wall_error(dice),
        },
        16 => Fault::ProxyHolds,
        _ => Fault::DatabaseClock {
            ahead_us: i64::try_from(dice.number(1..=20)).unwrap_or(0) * 1_000_000,
        },
    }
}

/// Small errors, which no comparison with the database's clock notices, and large ones.
fn wall_error(dice: &Dice) -> i64 {
    let micros = match dice.once_in(3) {
        true => dice.number(2_000_000..=3_600_000_000),
        false => dice.number(100_000..=950_000),
    };
    let micros = i64::try_from(micros).unwrap_or(0);
    match dice.once_in(2) {
        true => micros,
        false => -micros,
    }
}

impl Fault {
    fn is_of_servers(&self) -> bool {
        matches!(
            self,
            Self::StandbyCutOff
                | Self::DatabaseCrash { .. }
                | Self::Failover { .. }
                | Self::Restore { .. }
        )
    }
}
