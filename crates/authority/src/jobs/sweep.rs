//! The sweep: ends sessions that nobody uses or that a stricter policy no longer allows, through the log.
//!
//! Every authority sweeps. If two of them end the same session, the second changes nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use portcullis_contract::id::{SessionId, TenantId};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    config::SessionConfig,
    domain::{
        Cause, Details, Entry, Heard, Micros, Mutation, Outcome, Policy, Sweep, SweptSession,
        policy::PolicyViolation,
    },
    feed::Gates,
    log::{Log, LogError},
    store::{DueSessions, PolicyWalk, Schedule, Store, StoreError},
};

/// The most sessions that are examined together.
const SESSIONS_MAX: u32 = 1_000;
/// The most entries of the sweep that wait for the log at a time, so that entries of callers find room beside them.
const SUBMISSIONS_MAX: usize = 64;
/// The shortest gap between heartbeats of all authorities that counts as an absence.
const ABSENCE_MIN: Duration = Duration::from_secs(60);
/// An absence is longer than this many sweeps, so that one slow sweep is none.
const ABSENCE_SWEEPS: u32 = 4;
/// The time until a session is examined again after the sweep could not decide or end it.
const POSTPONEMENT: Duration = Duration::from_secs(60);

/// Sweeps the sessions of all tenants, again and again.
pub(super) struct Sweeper {
    store: Arc<dyn Store>,
    log: Log,
    gates: Arc<Gates>,
    config: SessionConfig,
    /// The policy of tenants that have set none.
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

/// The decisions about some sessions, before they are carried out.
#[derive(Default)]
struct Plan {
    /// Sessions to end. Those of one tenant, cause and violation share an entry of the log.
    ending: BTreeMap<(TenantId, Cause, PolicyViolation), Vec<SweptSession>>,
    schedules: Vec<Schedule>,
}

impl Sweeper {
    pub(super) fn new(
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

    /// Sweeps at every `sessions.sweep_interval`. It may be dropped at any time.
    pub(super) async fn run(self) {
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
        // While no authority was up, nobody heard of use. Sessions must not end for what was not heard.
        let absence = ABSENCE_MIN.max(self.config.sweep_interval * ABSENCE_SWEEPS);
        let resumed = self.store.record_heartbeat(absence).await?;
        // Before any decision: a gate that is late with its reports has to hold back idleness in this very sweep.
        let heard = self.exchange_contacts(resumed).await?;
        self.walk_policies(heard).await?;
        self.sweep_due(heard).await
    }

    /// Tells the store about the gates of this authority, and learns about those of all authorities.
    async fn exchange_contacts(&self, resumed: Micros) -> Result<Heard, StoreError> {
        let held_max = self.config.gate_absence_max;
        let (contacts, told) = self.gates.contacts();
        let (gates, now) = self.store.record_gates(&contacts, held_max).await?;
        // Only now: a gate that is forgotten before the store has its last sign of life would look silent for longer.
        self.gates.forget(told);

        let heard = Heard {
            resumed,
            delay_max: self.config.activity_delay_max,
            held_max,
            ..Heard::default()
        };
        Ok(heard.from_gates(&gates, now))
    }

    /// Examines the sessions that are due, until none is left.
    async fn sweep_due(&self, heard: Heard) -> Result<(), SweepError> {
        loop {
            let due = self.store.due_sessions(SESSIONS_MAX).await?;
            let is_last = due.sessions.len() < SESSIONS_MAX as usize;
            let now = due.now;
            let plan = self.plan_due(due, heard);
            let schedules = self.carry_out(plan, now).await?;
            // Without new times the next read would return the same sessions, and this loop would not end.
            self.store.reschedule(&schedules).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn plan_due(&self, due: DueSessions, heard: Heard) -> Plan {
        let mut plan = Plan::default();
        for session in due.sessions {
            let unless_changed = session.due;
            let policy = match due.policies.get(&session.tenant_id) {
                None => &self.default_policy,
                Some(Some(policy)) => policy,
                // A later version wrote the policy. An authority of that version decides.
                Some(None) => {
                    let later = due.now.after(POSTPONEMENT);
                    plan.look_again(&session, Some(later), unless_changed);
                    continue;
                }
            };
            match session.sweep(policy, heard, due.now) {
                Sweep::End(violation) => {
                    plan.end(session, violation.cause(), violation);
                }
                Sweep::LookAgain(again) => plan.look_again(&session, again, unless_changed),
            }
        }
        plan
    }

    /// Examines all sessions of tenants whose policy has changed.
    async fn walk_policies(&self, heard: Heard) -> Result<(), SweepError> {
        let mut after = None;
        while let Some(mut walk) = self.store.policy_walk(after.as_ref(), SESSIONS_MAX).await? {
            let Some(step) = plan_walk(&mut walk, heard) else {
                // A later version wrote the policy. An authority of that version walks.
                after = Some(walk.tenant_id);
                continue;
            };
            let next = step.next;
            let schedules = self.carry_out(step.plan, walk.now).await?;
            let advanced = self.store.advance_walk(&walk, next, &schedules).await?;
            // A walk that did not advance was finished by another authority, or begins anew for a newer policy. It goes
            // on in the next sweep, so that other tenants and due sessions do not wait for it.
            if next.is_none() || !advanced {
                after = Some(walk.tenant_id);
            }
        }
        Ok(())
    }

    /// Ends the sessions of the plan. Returns the schedules of all of its sessions.
    async fn carry_out(&self, plan: Plan, now: Micros) -> Result<Vec<Schedule>, SweepError> {
        let mut schedules = plan.schedules;
        let mut entries = Vec::new();
        for ((tenant, cause, violation), sessions) in plan.ending {
            entries.push(self.end_sessions(tenant, cause, violation, sessions));
        }

        // Submitted together, so that entries share batches of the log instead of waiting for a commit each.
        let mut entries = stream::iter(entries).buffer_unordered(SUBMISSIONS_MAX);
        while let Some((outcome, sessions)) = entries.next().await {
            // An outage ends the sweep here. Its sessions keep their due times, so the next sweep takes them up.
            let due = due_after(outcome, now)?;
            for session in sessions {
                // An ended session that had no due time needs no change: `None` says already that
                // nobody looks again.
                if session.due != due {
                    schedules.push(schedule(&session, due, session.due));
                }
            }
        }
        Ok(schedules)
    }

    async fn end_sessions(
        &self,
        tenant: TenantId,
        cause: Cause,
        violation: PolicyViolation,
        sessions: Vec<SweptSession>,
    ) -> (Result<Outcome, LogError>, Vec<SweptSession>) {
        let mutation = Mutation::RevokeSessions {
            tenant,
            sessions: sessions.iter().map(|session| session.id).collect(),
            owner: None,
            cause,
        };
        let entry = Entry {
            reason: violation.describe().into(),
            details: Details::from([("rule".to_owned(), violation.rule().to_owned())]),
            ..Entry::internal(mutation)
        };
        (self.log.submit(entry).await, sessions)
    }
}

/// The decisions about one step of a walk.
struct WalkStep {
    plan: Plan,
    /// The session after which the walk goes on. None: this step was the last.
    next: Option<SessionId>,
}

/// Decides about the sessions of one step of a walk. None: this version does not understand the policy.
fn plan_walk(walk: &mut PolicyWalk, heard: Heard) -> Option<WalkStep> {
    let policy = walk.policy.as_ref()?;
    let sessions = std::mem::take(&mut walk.sessions);
    // A full step may have been the last one by chance. Then the next step finds no session, and
    // ends the walk.
    let is_last = sessions.len() < SESSIONS_MAX as usize;
    let next = match sessions.last() {
        Some(session) if !is_last => Some(session.id),
        _ => None,
    };

    let mut plan = Plan::default();
    for session in sessions {
        match session.sweep(policy, heard, walk.now) {
            Sweep::End(violation) => {
                let cause = cause_of_walk(&session, violation, walk.now);
                plan.end(session, cause, violation);
            }
            Sweep::LookAgain(again) if again != session.due => {
                plan.look_again(&session, again, None);
            }
            Sweep::LookAgain(_) => {}
        }
    }
    Some(WalkStep { plan, next })
}

fn cause_of_walk(session: &SweptSession, violation: PolicyViolation, now: Micros) -> Cause {
    // A session that was due anyway ends for its own reason, not because of the new policy.
    let was_due = session.due.is_some_and(|due| due <= now);
    match was_due {
        true => violation.cause(),
        false => Cause::Policy,
    }
}

/// The time at which the sessions of an entry are due again. None: they have ended.
fn due_after(outcome: Result<Outcome, LogError>, now: Micros) -> Result<Option<Micros>, LogError> {
    match outcome {
        Ok(outcome) => {
            tracing::info!(
                sessions = outcome.changed,
                revision = outcome.revision.0,
                "sessions swept"
            );
            Ok(None)
        }
        // Waiting does not help such an entry, so its sessions must not keep others from being examined.
        Err(LogError::Entry(error)) => {
            tracing::error!(%error, "sessions cannot be ended; the next try is in a minute");
            Ok(Some(now.after(POSTPONEMENT)))
        }
        Err(error) => Err(error),
    }
}

impl Plan {
    fn end(&mut self, session: SweptSession, cause: Cause, violation: PolicyViolation) {
        let key = (session.tenant_id.clone(), cause, violation);
        self.ending.entry(key).or_default().push(session);
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
