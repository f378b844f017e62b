//! Reports of an outage: one line when something goes away, one a minute while it is away, one when it comes back.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Between two lines while it is away.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);

/// The least time between two lines that say that it is away. A part that fails and works in turns is not reported each
/// time.
const AWAY_INTERVAL: Duration = Duration::from_secs(10);

/// A part that has not failed for this long is not counted as failing once another part works: it may have no more to do.
const FAILURE_AGE_MAX: Duration = Duration::from_secs(15);

/// Something that may be away, such as the database. It has parts, such as the kinds of its connections, and it is away
/// while one of them fails.
#[derive(Debug)]
pub struct Outage {
    what: &'static str,
    /// Set while a part fails. A part that works looks no further than here.
    away: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The time of the last failure of each failing part.
    failing: BTreeMap<&'static str, Instant>,
    since: Option<Instant>,
    failures: u64,
    /// Whether a line said that it is away, so that another one has to say that it is back.
    reported: bool,
    last_line: Option<Instant>,
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Away,
    StillAway { seconds: u64, failures: u64 },
    Back { seconds: u64, failures: u64 },
}

impl Outage {
    /// Nothing has failed yet. `what` begins each line, as in "the database".
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            away: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Records that a part failed. The error's text must hold no values.
    pub fn record_failure(&self, part: &'static str, error: &dyn Display) {
        // Set under the lock, like the success that clears it. Otherwise a success could clear it
        // behind a failure, and hide that until the next one.
        let mut state = self.state();
        self.away.store(true, Ordering::Relaxed);
        let line = state.record_failure(part, Instant::now());
        let parts = line.is_some().then(|| state.parts().join(", "));
        // A slow writer of logs must not hold up the calls that report to this outage.
        drop(state);
        let (what, parts) = (self.what, parts.unwrap_or_default());
        match line {
            Some(Line::Away) => tracing::warn!(%error, parts, "{what} is away"),
            Some(Line::StillAway { seconds, failures }) => {
                tracing::warn!(%error, parts, seconds, failures, "{what} is still away");
            }
            _ => tracing::debug!(%error, part, "{what} failed"),
        }
    }

    /// Records that a part works.
    pub fn record_success(&self, part: &'static str) {
        // Every statement that succeeds comes here, so this takes no lock while all is well. The next success sees a
        // failure that this one missed.
        if !self.away.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        let line = state.record_success(part, Instant::now());
        self.away
            .store(!state.failing.is_empty(), Ordering::Relaxed);
        // Before the line is written: a log that blocks must not hold up every statement.
        drop(state);
        if let Some(Line::Back { seconds, failures }) = line {
            tracing::info!(seconds, failures, "{} is back", self.what);
        }
    }

    /// How long it has been away. None: it is there.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        let state = self.state();
        state.since.map(|since| since.elapsed())
    }

    /// The parts that fail.
    #[must_use]
    pub fn parts(&self) -> Vec<&'static str> {
        self.state().parts()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn parts(&self) -> Vec<&'static str> {
        self.failing.keys().copied().collect()
    }

    fn record_failure(&mut self, part: &'static str, now: Instant) -> Option<Line> {
        self.failing.insert(part, now);
        self.failures += 1;
        let since = *self.since.get_or_insert(now);
        // An outage that begins and ends within `AWAY_INTERVAL` of the last line gets no line at all.
        let interval = match self.reported {
            true => REMINDER_INTERVAL,
            false => AWAY_INTERVAL,
        };
        if self
            .last_line
            .is_some_and(|last| now.duration_since(last) < interval)
        {
            return None;
        }
        self.last_line = Some(now);
        if !self.reported {
            self.reported = true;
            return Some(Line::Away);
        }
        Some(Line::StillAway {
            seconds: now.duration_since(since).as_secs(),
            failures: self.failures,
        })
    }

    fn record_success(&mut self, part: &'static str, now: Instant) -> Option<Line> {
        self.failing.remove(part);
        self.failing
            .retain(|_, last| now.duration_since(*last) < FAILURE_AGE_MAX);
        if !self.failing.is_empty() {
            return None;
        }
        let since = self.since.take()?;
        let failures = std::mem::take(&mut self.failures);
        // The line that said "away" stays the last one: the next outage keeps its distance from it.
        std::mem::take(&mut self.reported).then(|| Line::Back {
            seconds: now.duration_since(since).as_secs(),
            failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_is_a_line_at_its_begin_one_a_minute_and_one_at_its_end() {
        let (mut state, begin) = (State::default(), Instant::now());
        let mut lines = Vec::new();
        for tick in 0..8 * 150 {
            let now = begin + Duration::from_millis(125) * tick;
            lines.extend(state.record_failure("beat", now));
            lines.extend(state.record_failure("feed", now));
        }
        assert_eq!(state.record_success("beat", after(begin, 150)), None);
        lines.extend(state.record_success("feed", after(begin, 150)));
        let expected = [
            Line::Away,
            Line::StillAway {
                seconds: 60,
                failures: 2 * 8 * 60 + 1,
            },
            Line::StillAway {
                seconds: 120,
                failures: 2 * 8 * 120 + 1,
            },
            Line::Back {
                seconds: 150,
                failures: 2 * 8 * 150,
            },
        ];
        assert_eq!(lines, expected);
        assert_eq!(state.since, None);
    }

    #[test]
    fn failing_and_working_in_turns_is_not_a_line_each_time() {
        let (mut state, begin) = (State::default(), Instant::now());
        let mut lines = 0;
        for second in 0..60 {
            lines += state
                .record_failure("write", after(begin, second))
                .iter()
                .count();
            lines += state
                .record_success("write", after(begin, second))
                .iter()
                .count();
        }
        assert_eq!(lines, 12, "two in ten seconds");
    }

    #[test]
    fn a_part_with_nothing_more_to_do_does_not_keep_the_rest_away() {
        let (mut state, begin) = (State::default(), Instant::now());
        state.record_failure("write", begin);
        state.record_failure("feed", begin);
        assert_eq!(state.record_success("feed", after(begin, 1)), None);
        assert_eq!(state.parts(), ["write"]);
        assert!(state.record_success("feed", after(begin, 16)).is_some());
        assert_eq!(state.since, None);
    }

    #[test]
    fn whoever_asks_learns_since_when_and_what() {
        let outage = Outage::new("the database");
        outage.record_success("beat");
        assert_eq!(outage.duration(), None);
        outage.record_failure("beat", &"no answer in time");
        assert!(outage.duration().is_some());
        assert_eq!(outage.parts(), ["beat"]);
        outage.record_success("beat");
        assert_eq!((outage.duration(), outage.parts()), (None, vec![]));
    }
}
