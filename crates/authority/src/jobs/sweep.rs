//! The sweep: sessions that nobody uses, or that a stricter policy does not allow, end through the log.
//!
//! Every authority sweeps. What two of them do to one session is the same, and doing it twice is doing it once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use portcullis_contract::id::TenantId;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    config::SessionConfig,
    domain::{Cause, Entry, Heard, Micros, Mutation, Outcome, Policy, Sweep, SweptSession},
    feed::Gates,
    log::{Log, LogError, internal},
    store::{Schedule, Store, StoreError},
};

/// The most sessions that are looked at together.
const SESSIONS_MAX: u32 = 1_000;
/// Changes that wait for the log at a time: those of callers find room beside them.
const SUBMISSIONS_MAX: usize = 64;
/// Authorities that have not been there for less than this, or than a few sweeps, were not absent.
const ABSENCE_MIN: Duration = Duration::from_secs(60);
const ABSENCE_SWEEPS: u32 = 4;
/// When to look again at a session about which nothing could be done.
const POSTPONEMENT: Duration = Duration::from_secs(60);

/// Sweeps, again and again.
pub(crate) struct Sweeper {
    store: Arc<dyn Store>,
    log: Log,
    gates: Arc<Gates>,
    config: SessionConfig,
    /// Of tenants that have set none.
    default_policy: Policy,
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl SweepError {
    fn log(&self, what: &str) {
        match self {
            Self::Store(error) => error.log(what),
            Self::Log(error) => error.log(what),
        }
    }
}

/// What is to be done about some sessions.
#[derive(Default)]
struct Plan {
    /// What ends, by tenant, cause and reason.
    ending: BTreeMap<(TenantId, Cause, &'static str), Vec<SweptSession>>,
    schedules: Vec<Schedule>,
}

impl Sweeper {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        log: Log,
        gates: Arc<Gates>,
        config: SessionConfig,
    ) -> Self {
        let default_policy = config.default_policy();
        Self {
            store,
            log,
            gates,
            config,
            default_policy,
        }
    }

    /// Sweeps until it is dropped, which may be at any time.
    pub(crate) async fn run(self) {
        let mut ticks = interval(self.config.sweep_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.sweep().await {
                error.log("the sweep of sessions is put off");
            }
        }
    }

    async fn sweep(&self) -> Result<(), SweepError> {
        let absence = ABSENCE_MIN.max(self.config.sweep_interval * ABSENCE_SWEEPS);
        let resumed = self.store.record_heartbeat(absence).await?;
        let heard = self.hear_gates(resumed).await?;
        self.walk_policies(heard).await?;
        self.sweep_due(heard).await
    }

    /// Tells the store what this authority knows of gates, and learns what all of them know.
    async fn hear_gates(&self, resumed: Micros) -> Result<Heard, StoreError> {
        let held_max = self.config.gate_absence_max;
        let (contacts, told) = self.gates.contacts();
        let (gates, now) = self.store.record_gates(&contacts, held_max).await?;
        self.gates.forget(told);

        let heard = Heard {
            resumed,
            delay_max: self.config.activity_delay_max,
            held_max,
            ..Heard::default()
        };
        Ok(heard.from_gates(&gates, now))
    }

    /// Looks at the sessions whose time has come.
    async fn sweep_due(&self, heard: Heard) -> Result<(), SweepError> {
        loop {
            let due = self.store.due_sessions(SESSIONS_MAX).await?;
            let is_last = due.sessions.len() < SESSIONS_MAX as usize;
            let mut plan = Plan::default();
            for session in due.sessions {
                let unless_changed = session.due;
                match due
                    .policies
                    .get(&session.tenant_id)
                    .map_or(Some(&self.default_policy), Option::as_ref)
                {
                    Some(policy) => match session.sweep(policy, heard, due.now) {
                        Sweep::End(violation) => {
                            plan.end(session, violation.cause(), violation.describe());
                        }
                        Sweep::LookAgain(again) => plan.look_again(&session, again, unless_changed),
                    },
                    None => {
                        plan.look_again(
                            &session,
                            Some(due.now.after(POSTPONEMENT)),
                            unless_changed,
                        );
                    }
                }
            }
            let schedules = self.carry_out(plan, due.now).await?;
            self.store.reschedule(&schedules).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Looks at all sessions of the tenants whose policy has changed.
    async fn walk_policies(&self, heard: Heard) -> Result<(), SweepError> {
        let mut after = None;
        while let Some(mut walk) = self.store.policy_walk(after.as_ref(), SESSIONS_MAX).await? {
            let Some(policy) = &walk.policy else {
                // An authority that understands it will do it.
                after = Some(walk.tenant_id);
                continue;
            };
            let is_last = walk.sessions.len() < SESSIONS_MAX as usize;
            let next = walk
                .sessions
                .last()
                .map(|session| session.id)
                .filter(|_| !is_last);
            let mut plan = Plan::default();
            for session in std::mem::take(&mut walk.sessions) {
                match session.sweep(policy, heard, walk.now) {
                    Sweep::End(violation) => {
                        let was_due = session.due.is_some_and(|due| due <= walk.now);
                        let cause = if was_due {
                            violation.cause()
                        } else {
                            Cause::Policy
                        };
                        plan.end(session, cause, violation.describe());
                    }
                    Sweep::LookAgain(again) if again != session.due => {
                        plan.look_again(&session, again, None);
                    }
                    Sweep::LookAgain(_) => {}
                }
            }
            let schedules = self.carry_out(plan, walk.now).await?;
            // Not done is done by someone else, or begun anew for a newer policy.
            let advanced = self.store.advance_walk(&walk, next, &schedules).await?;
            if is_last || !advanced {
                // A walk that begins again does so in the next sweep: other tenants wait, and what is due.
                after = Some(walk.tenant_id);
            }
        }
        Ok(())
    }

    /// Ends what is to end. Returns when to look again at everything.
    async fn carry_out(&self, plan: Plan, now: Micros) -> Result<Vec<Schedule>, SweepError> {
        let mut schedules = plan.schedules;
        let ending = plan.ending.into_iter();
        let submissions: Vec<_> = ending
            .map(|((tenant, cause, reason), sessions)| self.end(tenant, cause, reason, sessions))
            .collect();
        let mut submissions = stream::iter(submissions).buffer_unordered(SUBMISSIONS_MAX);
        while let Some((outcome, sessions)) = submissions.next().await {
            let due = match outcome {
                Ok(outcome) => {
                    tracing::info!(
                        sessions = outcome.changed,
                        revision = outcome.revision.0,
                        "sessions swept"
                    );
                    None
                }
                // Nothing that waiting changes: it must not keep others from being looked at.
                Err(LogError::Entry(error)) => {
                    tracing::error!(%error, "sessions cannot be ended");
                    Some(now.after(POSTPONEMENT))
                }
                Err(error) => return Err(error.into()),
            };
            let changed = sessions.iter().filter(|session| session.due != due);
            schedules.extend(changed.map(|session| schedule(session, due, session.due)));
        }
        Ok(schedules)
    }

    async fn end(
        &self,
        tenant: TenantId,
        cause: Cause,
        reason: &'static str,
        sessions: Vec<SweptSession>,
    ) -> (Result<Outcome, LogError>, Vec<SweptSession>) {
        let ids = sessions.iter().map(|session| session.id).collect();
        let mutation = Mutation::RevokeSessions {
            tenant,
            sessions: ids,
            owner: None,
            cause,
        };
        (
            self.log
                .submit(Entry {
                    reason: reason.into(),
                    ..internal(mutation)
                })
                .await,
            sessions,
        )
    }
}

impl Plan {
    fn end(&mut self, session: SweptSession, cause: Cause, reason: &'static str) {
        self.ending
            .entry((session.tenant_id.clone(), cause, reason))
            .or_default()
            .push(session);
    }

    fn look_again(
        &mut self,
        session: &SweptSession,
        due: Option<Micros>,
        unless_changed: Option<Micros>,
    ) {
        self.schedules.push(schedule(session, due, unless_changed));
    }
}

fn schedule(
    session: &SweptSession,
    due: Option<Micros>,
    unless_changed: Option<Micros>,
) -> Schedule {
    Schedule {
        tenant_id: session.tenant_id.clone(),
        session_id: session.id,
        due,
        unless_changed,
    }
}
