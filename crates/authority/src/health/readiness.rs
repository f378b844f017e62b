//! Whether this authority can do its work. Every part reports here; `/readyz`, gRPC health and the metrics read it.
//!
//! A part that works beats its pulse; one whose pulse is older than its bound makes the authority not ready, whatever
//! held it up. A condition that cannot heal by waiting is raised at once.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::MissedTickBehavior};

use crate::config::ReadinessConfig;

/// How often the ages of the pulses are compared with their bounds.
const REVIEW_INTERVAL: Duration = Duration::from_millis(100);

/// Something that makes an authority not ready.
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
    /// The store is older than what this authority, or a gate, has seen.
    History,
    /// There is no key to sign with, or the keys cannot be opened.
    Keys,
}

impl Condition {
    /// All of them, in the order in which they are named.
    pub const ALL: [Self; 7] = [
        Self::Draining,
        Self::Task,
        Self::Beat,
        Self::Writes,
        Self::Feed,
        Self::History,
        Self::Keys,
    ];

    /// Its name in answers, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Task => "task",
            Self::Beat => "beat",
            Self::Writes => "writes",
            Self::Feed => "feed",
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
    /// The feed has reached the head.
    Feed,
}

/// Why an authority is not ready; empty when it is.
pub type Problems = BTreeMap<Condition, String>;

/// The one state that everything reports to.
pub struct Readiness {
    config: ReadinessConfig,
    state: Mutex<State>,
    problems: watch::Sender<Problems>,
}

struct State {
    beat: Beating,
    writes: Beating,
    feed: Beating,
    raised: Problems,
}

/// A pulse as it was last felt.
struct Beating {
    succeeded: Instant,
    /// Since when it has succeeded again and again, without a gap that counts.
    steady_since: Instant,
    /// Why it did not succeed since.
    error: Option<String>,
}

impl Beating {
    fn new(now: Instant) -> Self {
        Self {
            succeeded: now,
            steady_since: now,
            error: None,
        }
    }

    fn succeed(&mut self, now: Instant, gap_max: Duration) {
        if now.saturating_duration_since(self.succeeded) > gap_max {
            self.steady_since = now;
        }
        self.succeeded = now;
        self.error = None;
    }

    /// What is wrong when it has not succeeded for longer than `age_max`.
    fn problem(&self, what: &str, age_max: Duration, now: Instant) -> Option<String> {
        if now.saturating_duration_since(self.succeeded) <= age_max {
            return None;
        }
        let error = self.error.as_deref().unwrap_or("no answer");
        Some(format!("{what} for more than {age_max:?}: {error}"))
    }
}

impl Readiness {
    /// Ready until something says otherwise.
    #[must_use]
    pub fn new(config: &ReadinessConfig) -> Self {
        let now = Instant::now();
        Self {
            config: config.clone(),
            state: Mutex::new(State {
                beat: Beating::new(now),
                writes: Beating::new(now),
                feed: Beating::new(now),
                raised: Problems::new(),
            }),
            problems: watch::Sender::new(Problems::new()),
        }
    }

    /// What makes this authority not ready; changes wake the receiver.
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
        self.state().beating(pulse).succeed(now, gap_max);
    }

    /// Records why a part could not do its work. It makes the authority not ready when it lasts.
    pub(crate) fn fail(&self, pulse: Pulse, error: &dyn Display) {
        self.state().beating(pulse).error = Some(error.to_string());
    }

    /// Makes the authority not ready at once, until [`lower`](Self::lower).
    pub(crate) fn raise(&self, condition: Condition, problem: String) {
        self.state().raised.insert(condition, problem);
        self.review(Instant::now());
    }

    /// Ends what [`raise`](Self::raise) began.
    pub(crate) fn lower(&self, condition: Condition) {
        let was_raised = self.state().raised.remove(&condition).is_some();
        if was_raised {
            self.review(Instant::now());
        }
    }

    /// How long ago a part last did its work.
    pub(crate) fn age(&self, pulse: Pulse) -> Duration {
        self.state().beating(pulse).succeeded.elapsed()
    }

    /// Compares the ages of the pulses with their bounds, and publishes and logs what changed.
    fn review(&self, now: Instant) {
        let state = self.state();
        let mut problems = state.raised.clone();
        let config = &self.config;
        let judged = [
            (
                Condition::Beat,
                state
                    .beat
                    .problem("no beat succeeded", config.beat_age_max, now),
            ),
            (
                Condition::Writes,
                state
                    .writes
                    .problem("the store took no write", config.beat_age_max, now),
            ),
            (
                Condition::Feed,
                state
                    .feed
                    .problem("the log was not followed", config.feed_lag_max, now),
            ),
        ];
        for (condition, problem) in judged {
            if let Some(problem) = problem {
                problems.entry(condition).or_insert(problem);
            }
        }
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

    /// Reviews again and again; returns why the process has to end, when waiting cannot help: the store answers, and
    /// the feed has not followed it for as long as is allowed.
    pub(crate) async fn watch(&self) -> String {
        let mut ticks = tokio::time::interval(REVIEW_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.review(Instant::now());
            if let Some(reason) = self.stuck(Instant::now()) {
                return reason;
            }
        }
    }

    /// Why waiting cannot help. A store that has just come back, or a process that was stopped for a while, gives the
    /// feed the whole time again.
    fn stuck(&self, now: Instant) -> Option<String> {
        let state = self.state();
        let age = |since: Instant| now.saturating_duration_since(since);
        let allowed = self.config.feed_stuck_max;
        let is_store_there = age(state.beat.succeeded) <= self.config.beat_age_max
            && age(state.beat.steady_since) > allowed;
        let is_feed_stuck = age(state.feed.succeeded) > allowed;
        if !(is_store_there && is_feed_stuck) {
            return None;
        }
        let error = state.feed.error.as_deref().unwrap_or("no answer");
        Some(format!(
            "the log was not followed for more than {allowed:?} although the store answers: {error}"
        ))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn beating(&mut self, pulse: Pulse) -> &mut Beating {
        match pulse {
            Pulse::Beat => &mut self.beat,
            Pulse::Writes => &mut self.writes,
            Pulse::Feed => &mut self.feed,
        }
    }
}

/// One line when a condition comes or goes, not one for each time its text changes.
fn log_change(before: &Problems, now: &Problems) {
    for (condition, problem) in now {
        if !before.contains_key(condition) {
            tracing::error!(condition = condition.name(), problem, "not ready");
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
    let lines = problems
        .iter()
        .map(|(condition, problem)| format!("{}: {problem}\n", condition.name()));
    lines.collect()
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
        assert!(readiness.stuck(back).is_none(), "the store is away");
        for seconds in 0..=30 {
            readiness.succeed_at(Pulse::Beat, back + seconds * second);
            assert!(readiness.stuck(back + seconds * second).is_none());
        }
        let reason = readiness.stuck(back + 31 * second);
        assert!(reason.is_some_and(|reason| reason.contains("although the store answers")));
        readiness.succeed_at(Pulse::Feed, back + 31 * second);
        assert!(readiness.stuck(back + 32 * second).is_none());
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
