//! Readiness: whether this authority can do its work. Every part reports here; `/readyz`, gRPC health and the metrics
//! read it.
//!
//! A part that must succeed again and again has a [`Pulse`]. The authority is not ready while a pulse is older than its
//! bound, whatever the cause. A [`Condition`] that cannot heal by waiting is raised at once.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::MissedTickBehavior};

use crate::config::ReadinessConfig;

/// The time between two comparisons of the pulses with their bounds.
const REVIEW_INTERVAL: Duration = Duration::from_millis(100);

/// A condition that makes an authority not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The process was asked to end.
    Draining,
    /// A background task ended.
    Task,
    /// The store does not answer: no beat has succeeded lately.
    Beat,
    /// The store takes no writes.
    Writes,
    /// This authority's view does not follow the log.
    Feed,
    /// The database's clock was set back so far that revoked tokens may be valid again.
    Clock,
    /// The store is older than the log that this authority or a gate has seen.
    History,
    /// There is no key to sign with, or the keys cannot be opened.
    Keys,
}

impl Condition {
    /// All conditions, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Draining,
        Self::Task,
        Self::Beat,
        Self::Writes,
        Self::Feed,
        Self::Clock,
        Self::History,
        Self::Keys,
    ];

    /// The name in answers, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Task => "task",
            Self::Beat => "beat",
            Self::Writes => "writes",
            Self::Feed => "feed",
            Self::Clock => "clock",
            Self::History => "history",
            Self::Keys => "keys",
        }
    }
}

/// A part that has to succeed again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// Beats: the store answers, durably.
    Beat,
    /// Small writes: the disk has room.
    Writes,
    /// The feed has reached the head of the log.
    Feed,
}

/// The conditions that make an authority not ready, each with its reason. Empty: it is ready.
pub type Problems = BTreeMap<Condition, String>;

/// The readiness of one authority.
pub struct Readiness {
    config: ReadinessConfig,
    state: Mutex<State>,
    problems: watch::Sender<Problems>,
}

struct State {
    beat: PulseState,
    writes: PulseState,
    feed: PulseState,
    raised: Problems,
}

struct PulseState {
    succeeded: Instant,
    /// The end of the last attempt, whatever it came to.
    attempted: Instant,
    /// Since then no gap between two successes was longer than the bound.
    steady_since: Instant,
    /// The last error since the last success.
    error: Option<String>,
}

impl PulseState {
    fn new(now: Instant) -> Self {
        Self {
            // The start counts as a success, so a part has its usual time for the first one.
            succeeded: now,
            attempted: now,
            steady_since: now,
            error: None,
        }
    }

    fn succeed(&mut self, now: Instant, gap_max: Duration) {
        // A gap means that the store was away, or that the whole process was stopped.
        if now.saturating_duration_since(self.succeeded) > gap_max {
            self.steady_since = now;
        }
        self.succeeded = now;
        self.attempted = now;
        self.error = None;
    }

    fn fail(&mut self, error: String, now: Instant) {
        self.attempted = now;
        self.error = Some(error);
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.succeeded)
    }

    fn last_error(&self) -> &str {
        self.error.as_deref().unwrap_or("no answer")
    }

    /// The problem if the last success is older than `age_max`.
    fn problem(&self, what: &str, age_max: Duration, now: Instant) -> Option<String> {
        if self.age(now) <= age_max {
            return None;
        }
        let error = self.last_error();
        Some(format!("{what} for more than {age_max:?}: {error}"))
    }
}

impl Readiness {
    /// A readiness that is ready until a part reports a problem, or none reports a success for too long.
    #[must_use]
    pub fn new(config: &ReadinessConfig) -> Self {
        let now = Instant::now();
        Self {
            config: config.clone(),
            state: Mutex::new(State {
                beat: PulseState::new(now),
                writes: PulseState::new(now),
                feed: PulseState::new(now),
                raised: Problems::new(),
            }),
            problems: watch::Sender::new(Problems::new()),
        }
    }

    /// The problems now. A change wakes the receiver.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Problems> {
        self.problems.subscribe()
    }

    /// Records that a part has done its work.
    pub(crate) fn succeed(&self, pulse: Pulse) {
        self.succeed_at(pulse, Instant::now());
    }

    fn succeed_at(&self, pulse: Pulse, now: Instant) {
        let gap_max = self.config.beat_age_max;
        self.state().pulse_mut(pulse).succeed(now, gap_max);
    }

    /// Records why a part could not do its work. The authority becomes not ready only if that lasts.
    pub(crate) fn fail(&self, pulse: Pulse, error: &dyn Display) {
        let now = Instant::now();
        self.state().pulse_mut(pulse).fail(error.to_string(), now);
    }

    /// Makes the authority not ready at once, until [`lower`](Self::lower).
    pub(crate) fn raise(&self, condition: Condition, problem: String) {
        self.state().raised.insert(condition, problem);
        self.review(Instant::now());
    }

    /// Ends a condition that was raised.
    pub(crate) fn lower(&self, condition: Condition) {
        // Called after every batch, so the common case must not cost a review.
        let was_raised = self.state().raised.remove(&condition).is_some();
        if was_raised {
            self.review(Instant::now());
        }
    }

    /// The time since a part last did its work.
    pub(crate) fn age(&self, pulse: Pulse) -> Duration {
        self.state().pulse_mut(pulse).age(Instant::now())
    }

    /// The time since a part last tried to do its work, and was done with it. It grows only if the part hangs.
    pub(crate) fn attempt_age(&self, pulse: Pulse) -> Duration {
        let attempted = self.state().pulse_mut(pulse).attempted;
        Instant::now().saturating_duration_since(attempted)
    }

    /// Compares the ages of the pulses with their bounds, and publishes and logs a change.
    fn review(&self, now: Instant) {
        let state = self.state();
        let problems = state.problems(&self.config, now);
        // Published under the lock, so that an older judgement cannot replace a newer one.
        self.problems.send_if_modified(|known| {
            let changed = *known != problems;
            if changed {
                log_change(known, &problems);
                *known = problems;
            }
            changed
        });
    }

    /// Reviews every 100 ms. Returns the reason why the process has to end, once waiting cannot help: the store
    /// answers, and the feed has not followed it for `readiness.feed_stuck_max`.
    pub(crate) async fn review_until_stuck(&self) -> String {
        let mut ticks = tokio::time::interval(REVIEW_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.review(Instant::now());
            if let Some(reason) = self.reason_to_end(Instant::now()) {
                return reason;
            }
        }
    }

    fn reason_to_end(&self, now: Instant) -> Option<String> {
        let state = self.state();
        let allowed = self.config.feed_stuck_max;
        let is_store_there = state.beat.age(now) <= self.config.beat_age_max;
        // A store that has just come back, or a process that was stopped for a while, gives the feed the whole time
        // again.
        let steady = now.saturating_duration_since(state.beat.steady_since);
        let is_feed_stuck = state.feed.age(now) > allowed;
        if !is_store_there || steady <= allowed || !is_feed_stuck {
            return None;
        }
        let error = state.feed.last_error();
        Some(format!(
            "the log was not followed for more than {allowed:?} although the store answers: {error}"
        ))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pulse_mut(&mut self, pulse: Pulse) -> &mut PulseState {
        match pulse {
            Pulse::Beat => &mut self.beat,
            Pulse::Writes => &mut self.writes,
            Pulse::Feed => &mut self.feed,
        }
    }

    /// The raised conditions, and those of pulses that are too old.
    fn problems(&self, config: &ReadinessConfig, now: Instant) -> Problems {
        let beat = self
            .beat
            .problem("no beat succeeded", config.beat_age_max, now);
        let writes = self
            .writes
            .problem("the store took no write", config.beat_age_max, now);
        let feed = self
            .feed
            .problem("the log was not followed", config.feed_lag_max, now);

        let mut problems = self.raised.clone();
        for (condition, problem) in [
            (Condition::Beat, beat),
            (Condition::Writes, writes),
            (Condition::Feed, feed),
        ] {
            // A raised condition has the better reason.
            if let Some(problem) = problem {
                problems.entry(condition).or_insert(problem);
            }
        }
        problems
    }
}

/// Logs one line for each condition that comes or goes. A condition whose reason changes is not logged again.
fn log_change(before: &Problems, now: &Problems) {
    for (condition, problem) in now {
        if before.contains_key(condition) {
            continue;
        }
        match condition {
            // Somebody asked for it, so it must not look like a fault or wake anybody.
            Condition::Draining => {
                tracing::info!(condition = condition.name(), problem, "not ready");
            }
            _ => tracing::error!(condition = condition.name(), problem, "not ready"),
        }
    }
    for condition in before.keys() {
        if !now.contains_key(condition) {
            tracing::info!(condition = condition.name(), "no longer a problem");
        }
    }
}

/// The problems as an operator reads them, a line each.
pub(crate) fn describe(problems: &Problems) -> String {
    let mut text = String::new();
    for (condition, problem) in problems {
        text += &format!("{}: {problem}\n", condition.name());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readiness() -> Readiness {
        Readiness::new(&ReadinessConfig {
            beat_age_max: Duration::from_secs(10),
            feed_lag_max: Duration::from_secs(5),
            ..ReadinessConfig::default()
        })
    }

    fn named(readiness: &Readiness) -> Vec<Condition> {
        readiness.problems().borrow().keys().copied().collect()
    }

    #[test]
    fn a_part_that_did_nothing_for_too_long_makes_the_authority_not_ready() {
        let readiness = readiness();
        let now = Instant::now();
        readiness.review(now + Duration::from_secs(4));
        assert!(named(&readiness).is_empty());
        readiness.fail(Pulse::Feed, &"the store is unavailable");
        readiness.review(now + Duration::from_secs(6));
        assert_eq!(named(&readiness), [Condition::Feed]);
        let text = describe(&readiness.problems().borrow());
        assert!(text.starts_with("feed: ") && text.contains("the store is unavailable"));
        readiness.review(now + Duration::from_secs(11));
        assert_eq!(
            named(&readiness),
            [Condition::Beat, Condition::Writes, Condition::Feed]
        );
        readiness.succeed(Pulse::Feed);
        readiness.succeed(Pulse::Beat);
        readiness.succeed(Pulse::Writes);
        readiness.review(Instant::now());
        assert!(named(&readiness).is_empty());
    }

    #[test]
    fn a_store_that_comes_back_gives_the_feed_its_time() {
        let readiness = readiness();
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let back = begun + 60 * second;
        assert!(readiness.reason_to_end(back).is_none(), "the store is away");
        for seconds in 0..=30 {
            readiness.succeed_at(Pulse::Beat, back + seconds * second);
            assert!(readiness.reason_to_end(back + seconds * second).is_none());
        }
        let reason = readiness.reason_to_end(back + 31 * second);
        assert!(reason.is_some_and(|reason| reason.contains("although the store answers")));
        readiness.succeed_at(Pulse::Feed, back + 31 * second);
        assert!(readiness.reason_to_end(back + 32 * second).is_none());
    }

    #[test]
    fn what_was_raised_stays_until_it_is_lowered() {
        let readiness = readiness();
        readiness.raise(Condition::Task, "the task `feed` panicked".into());
        readiness.succeed(Pulse::Feed);
        readiness.review(Instant::now());
        assert_eq!(named(&readiness), [Condition::Task]);
        readiness.lower(Condition::Task);
        assert!(named(&readiness).is_empty());
    }
}
