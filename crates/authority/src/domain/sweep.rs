//! Which sessions end because nobody uses them, or because their tenant's policy became stricter.

use std::time::Duration;

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{
    Cause, Micros,
    policy::{Policy, SessionFacts, Violation},
};

/// A session as the sweep looks at it.
#[derive(Clone, Debug)]
pub struct SweptSession {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The session.
    pub id: SessionId,
    /// Its user.
    pub user_id: UserId,
    /// When it was opened.
    pub created: Micros,
    /// When it ends by itself.
    pub expires: Micros,
    /// Whether it is remembered.
    pub remember_me: bool,
    /// Its authentication context class.
    pub acr: String,
    /// When a gate last saw it used; its opening when none did.
    pub last_active: Micros,
    /// When it was to be looked at; none: never.
    pub due: Option<Micros>,
    /// Whether it was ended.
    pub ended: bool,
    /// Whether its user has as many newer ones as allowed. Only a walk over all of a tenant's sessions looks for that.
    pub surplus: bool,
}

/// What the sweep does about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Ends it.
    End(Violation),
    /// Looks again at this time; none: never, it is over or will be before anything can be found.
    LookAgain(Option<Micros>),
}

/// What is known about use.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// When an authority came back after all had been absent: use before that may not have been heard of.
    pub resumed: Micros,
    /// How long a report may be on its way.
    pub delay_max: Duration,
}

impl SweptSession {
    /// What to do about it at `now` under its tenant's policy.
    #[must_use]
    pub fn sweep(&self, policy: &Policy, heard: Heard, now: Micros) -> Sweep {
        if self.ended || self.expires <= now {
            return Sweep::LookAgain(None);
        }
        let limits = policy.effective(&self.user_id);
        let facts = SessionFacts {
            created: self.created,
            remember_me: self.remember_me,
            acr: &self.acr,
            last_active: self.last_active,
            unheard: heard.resumed.since(self.last_active) + heard.delay_max,
        };
        match limits
            .violation(&facts, now)
            .or(self.surplus.then_some(Violation::TooMany))
        {
            Some(violation) => Sweep::End(violation),
            None => Sweep::LookAgain(limits.due(&facts, self.expires)),
        }
    }
}

impl Violation {
    /// What a session that ends for it ends by.
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
            resumed: Micros(0),
            delay_max: 10 * SECOND,
        };
        change(&mut session, &mut policy, &mut heard);
        session.sweep(&policy, heard, seconds(now))
    }

    #[test]
    fn a_session_is_idle_when_no_report_can_say_otherwise_any_more() {
        let again = |at| Sweep::LookAgain(Some(seconds(at)));
        assert_eq!(sweep(|_, _, _| (), 100), again(110));
        assert_eq!(sweep(|_, _, _| (), 110), Sweep::End(Violation::Idle));
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
            Sweep::End(Violation::Idle)
        );
        let used_since = |session: &mut SweptSession, _: &mut Policy, heard: &mut Heard| {
            (session.last_active, heard.resumed) = (seconds(550), seconds(500));
        };
        assert_eq!(sweep(used_since, 610), again(660));
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
            Sweep::End(Violation::LifetimeShortened)
        );
    }

    #[test]
    fn one_too_many_ends_and_says_so_only_when_nothing_else_is_wrong() {
        assert_eq!(
            sweep(|session, _, _| session.surplus = true, 50),
            Sweep::End(Violation::TooMany)
        );
        assert_eq!(
            sweep(|session, _, _| session.surplus = true, 500),
            Sweep::End(Violation::Idle)
        );
    }

    #[test]
    fn only_idleness_is_called_idle() {
        assert_eq!(Violation::Idle.cause(), Cause::Idle);
        assert_eq!(Violation::TooOld.cause(), Cause::Policy);
    }
}
