//! The sweep: ends sessions that are idle, or that violate a policy that became stricter.

use std::time::Duration;

use portcullis_contract::{
    id::{Serial, SessionId, TenantId, UserId},
    seeded::{self, Mistake},
};

use super::{
    Cause, Micros,
    policy::{Policy, PolicyViolation, SessionFacts},
};

/// A session as the sweep checks it.
#[derive(Clone, Debug)]
pub struct SweptSession {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The session.
    pub id: SessionId,
    /// The serial: sessions of a user open in its order.
    pub serial: Serial,
    /// The user.
    pub user_id: UserId,
    /// The time of the sign-in.
    pub created: Micros,
    /// The expiry.
    pub expires: Micros,
    /// Whether the session has the longer lifetime of "remember me".
    pub remember_me: bool,
    /// The authentication context class.
    pub acr: String,
    /// The last use that a gate reported. The time of the sign-in before the first use.
    pub last_active: Micros,
    /// The time at which the session was due. None: never.
    pub due: Option<Micros>,
    /// Whether the session was ended.
    pub ended: bool,
    /// Whether the user has as many newer sessions as the policy allows. Only the walk over a tenant's sessions computes
    /// it.
    pub surplus: bool,
}

/// The action of the sweep on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// End the session.
    End(PolicyViolation),
    /// Check the session again at this time. None: never, because it is over or expires first.
    LookAgain(Option<Micros>),
}

/// The completeness of gates' reports: up to when use is known.
///
/// A session must not end as idle while a report of its use may still be missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// The time at which an authority came back after all had been absent. Use before it may never have been reported.
    pub resumed: Micros,
    /// The longest time for which a report may be under way.
    pub delay_max: Duration,
    /// The time up to which every gate that may admit requests now has reported. None: no such gate.
    pub through: Option<Micros>,
    /// The time up to which a gate that has gone silent may have admitted requests that it never reported.
    pub unheard_use: Option<Micros>,
    /// The longest time for which silent gates can keep a session from being idle.
    pub held_max: Duration,
}

/// The id of a gate's process.
pub type GateId = [u8; 16];

/// The state of a gate as one authority knows it. Durations end now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateContact {
    /// The gate.
    pub id: GateId,
    /// The time for which the authority has known it.
    pub known_for: Duration,
    /// The time since the end of its last complete report. None: this authority got none.
    pub heard_age: Option<Duration>,
    /// The time since its last sign of life.
    pub alive_age: Duration,
    /// The time for which it admits requests after it lost its authority.
    pub admits_for: Duration,
    /// Whether it announced its end.
    pub left: bool,
}

/// The state of a gate as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateRecord {
    /// The time up to which its use was reported.
    pub heard: Micros,
    /// The last sign of life.
    pub alive: Micros,
    /// The time for which it admits requests after it lost its authority.
    pub admits_for: Duration,
}

impl Heard {
    /// Adds the gates' reports by `now`.
    #[must_use]
    pub fn from_gates(mut self, gates: &[GateRecord], now: Micros) -> Self {
        if seeded::has(Mistake::ShedActivity) {
            return self;
        }
        for gate in gates {
            // The gate names this time itself. One that claims years would otherwise delay the idle end of every
            // session by `held_max`, for years.
            let admits_for = gate.admits_for.min(self.held_max);
            let admits_until = gate.heard.max(gate.alive).after(admits_for);

            // A gate that may still admit holds idleness back to its last report.
            if admits_until >= now {
                let through = self.through.unwrap_or(gate.heard);
                self.through = Some(through.min(gate.heard));
            } else if admits_until.since(gate.heard) > self.delay_max {
                // A gate that lost less than this is within the tolerance that every report has.
                self.unheard_use = self.unheard_use.max(Some(admits_until));
            }
        }
        self
    }

    /// The part of the time since `last_active` in which use may have gone unreported. It does not count as idleness.
    fn unheard_since(&self, last_active: Micros, now: Micros) -> Duration {
        // While no authority was up, gates had nobody to report to.
        let begin = last_active.max(self.resumed);
        let silent = match self.unheard_use {
            Some(until) => until.since(begin),
            None => Duration::ZERO,
        };
        let lag = match self.through {
            Some(through) => now.since(through.max(begin)),
            None => Duration::ZERO,
        };

        // Bounded: a gate that is gone for good must not keep sessions alive forever.
        let held = silent + lag.max(self.delay_max);
        // The delay goes last: reports that are under way count even where `held_max` is shorter.
        let held = held.min(self.held_max).max(self.delay_max);
        begin.since(last_active) + held
    }
}

impl SweptSession {
    /// Decides about the session at `now`, under its tenant's policy.
    #[must_use]
    pub fn sweep(&self, policy: &Policy, heard: Heard, now: Micros) -> Sweep {
        // Nothing is left to end, and no later check can find anything.
        if self.ended || self.expires <= now {
            return Sweep::LookAgain(None);
        }

        let limits = policy.effective(&self.user_id);
        let facts = SessionFacts {
            created: self.created,
            remember_me: self.remember_me,
            acr: &self.acr,
            last_active: self.last_active,
            unheard: heard.unheard_since(self.last_active.max(self.created), now),
        };
        // The due time was only a hint: the session may have been used since, or its policy changed.
        if let Some(violation) = limits.violation(&facts, now) {
            return Sweep::End(violation);
        }
        // Last, because every other reason tells the user and the administrator more.
        if self.surplus {
            return Sweep::End(PolicyViolation::TooMany);
        }
        Sweep::LookAgain(limits.due(&facts, self.expires))
    }
}

impl PolicyViolation {
    /// The cause of the end of a session with this violation.
    #[must_use]
    pub fn cause(self) -> Cause {
        match self {
            Self::Idle => Cause::Idle,
            Self::AcrMissing
            | Self::RememberMeForbidden
            | Self::TooOld
            | Self::LifetimeShortened
            | Self::TooMany => Cause::Policy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seconds(seconds: i64) -> Micros {
        Micros(seconds * 1_000_000)
    }

    /// A session of 1,000 s, of a tenant with an idle timeout of 100 s, where reports take up to 10 s.
    fn sweep(change: impl FnOnce(&mut SweptSession, &mut Policy, &mut Heard), now: i64) -> Sweep {
        let mut session = SweptSession {
            tenant_id: TenantId::parse("t").expect("an id"),
            id: SessionId::from_bytes([1; 16]),
            serial: Serial(1),
            user_id: UserId::parse("u").expect("an id"),
            created: seconds(0),
            expires: seconds(1_000),
            remember_me: false,
            acr: String::new(),
            last_active: seconds(0),
            due: Some(seconds(100)),
            ended: false,
            surplus: false,
        };
        let mut policy = Policy::default();
        policy.limits.idle_timeout = Some(100 * SECOND);
        let mut heard = Heard {
            delay_max: 10 * SECOND,
            held_max: 200 * SECOND,
            ..Heard::default()
        };
        change(&mut session, &mut policy, &mut heard);
        session.sweep(&policy, heard, seconds(now))
    }

    #[test]
    fn a_session_is_idle_when_no_report_can_say_otherwise_any_more() {
        let again = |at| Sweep::LookAgain(Some(seconds(at)));
        assert_eq!(sweep(|_, _, _| (), 100), again(110));
        assert_eq!(sweep(|_, _, _| (), 110), Sweep::End(PolicyViolation::Idle));
        assert_eq!(
            sweep(|session, _, _| session.last_active = seconds(50), 110),
            again(160)
        );
    }

    #[test]
    fn time_in_which_nobody_was_there_to_hear_is_not_idleness() {
        let again = |at| Sweep::LookAgain(Some(seconds(at)));
        assert_eq!(
            sweep(|_, _, heard| heard.resumed = seconds(500), 520),
            again(610)
        );
        assert_eq!(
            sweep(|_, _, heard| heard.resumed = seconds(500), 610),
            Sweep::End(PolicyViolation::Idle)
        );
        let used_since = |session: &mut SweptSession, _: &mut Policy, heard: &mut Heard| {
            (session.last_active, heard.resumed) = (seconds(550), seconds(500));
        };
        assert_eq!(sweep(used_since, 610), again(660));
    }

    fn gate(heard: i64, alive: i64, admits_for: u32) -> GateRecord {
        GateRecord {
            heard: seconds(heard),
            alive: seconds(alive),
            admits_for: admits_for * SECOND,
        }
    }

    /// Whether a session that was last used at 0 has ended at `now`, with these gates.
    fn ends_with(gates: &[GateRecord], now: i64) -> bool {
        let add = |_: &mut SweptSession, _: &mut Policy, heard: &mut Heard| {
            *heard = heard.from_gates(gates, seconds(now));
        };
        sweep(add, now) == Sweep::End(PolicyViolation::Idle)
    }

    #[test]
    fn idleness_is_counted_up_to_when_every_gate_that_may_admit_has_reported() {
        // All is told: the timeout of 100 s, and 10 s for reports.
        assert!(!ends_with(&[gate(105, 109, 5)], 109));
        assert!(ends_with(&[gate(105, 110, 5)], 110));
        // The reports of one of two are refused, while its stream lasts.
        assert!(!ends_with(&[gate(145, 150, 5), gate(50, 150, 5)], 150));
        // It reports again, and what it tells of is known.
        assert!(ends_with(&[gate(145, 150, 5), gate(149, 150, 5)], 150));
        // A gate that went away with as much as every report may lack has told enough.
        assert!(ends_with(&[gate(50, 50, 10)], 110));
        assert!(!ends_with(&[gate(50, 50, 11)], 110));
        // A best-effort gate is cut off, and admits for as long as it may.
        assert!(!ends_with(&[gate(50, 50, 150)], 199));
    }

    #[test]
    fn a_gate_that_can_admit_nothing_any_more_leaves_the_time_until_then_open() {
        // It may have admitted requests until 150 s: idle from then on.
        assert!(!ends_with(&[gate(50, 50, 100)], 259));
        assert!(ends_with(&[gate(50, 50, 100)], 260));
        // What a strict gate can lose is within the tolerance.
        assert!(ends_with(&[gate(50, 50, 5)], 110));
    }

    #[test]
    fn gates_hold_idleness_back_for_a_bounded_time() {
        // The timeout of 100 s and the bound of 200 s.
        for silent in [
            gate(0, 300, 5),
            gate(-900, -900, 100_000),
            gate(0, 0, 100_000),
        ] {
            assert!(ends_with(&[silent], 300), "{silent:?}");
        }
        assert!(!ends_with(&[gate(0, 299, 5)], 299));
        assert!(!ends_with(&[gate(0, 0, 100_000)], 299));
    }

    #[test]
    fn what_is_over_or_cannot_become_idle_is_not_looked_at_again() {
        let never = Sweep::LookAgain(None);
        assert_eq!(sweep(|session, _, _| session.ended = true, 500), never);
        assert_eq!(
            sweep(|session, _, _| session.expires = seconds(500), 500),
            never
        );
        assert_eq!(
            sweep(|session, _, _| session.last_active = seconds(890), 900),
            never
        );
        assert_eq!(
            sweep(|_, policy, _| policy.limits.idle_timeout = None, 500),
            never
        );
    }

    #[test]
    fn a_shortened_lifetime_is_due_when_it_is_reached() {
        let shorter = |session: &mut SweptSession, policy: &mut Policy, _: &mut Heard| {
            session.last_active = seconds(490);
            policy.limits.session_lifetime = 500 * SECOND;
        };
        assert_eq!(sweep(shorter, 499), Sweep::LookAgain(Some(seconds(500))));
        assert_eq!(
            sweep(shorter, 500),
            Sweep::End(PolicyViolation::LifetimeShortened)
        );
    }

    #[test]
    fn one_too_many_ends_and_says_so_only_when_nothing_else_is_wrong() {
        assert_eq!(
            sweep(|session, _, _| session.surplus = true, 50),
            Sweep::End(PolicyViolation::TooMany)
        );
        assert_eq!(
            sweep(|session, _, _| session.surplus = true, 500),
            Sweep::End(PolicyViolation::Idle)
        );
    }

    #[test]
    fn only_idleness_is_called_idle() {
        assert_eq!(PolicyViolation::Idle.cause(), Cause::Idle);
        assert_eq!(PolicyViolation::TooOld.cause(), Cause::Policy);
    }
}
