//! Reads times and durations.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Fields;
use crate::domain::Micros;

/// The most by which a caller's clock may be ahead.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

const NANOS_PER_SECOND: i32 = 1_000_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

impl Fields {
    /// Any time from 1970 on, to compare with.
    pub(crate) fn instant(
        &mut self,
        field: &str,
        time: Option<&prost_types::Timestamp>,
    ) -> Option<Micros> {
        let time = micros(time?);
        if time.is_none() {
            self.wrong(field, "must be a time from 1970 on");
        }
        time
    }

    /// A time that has passed. This machine's clock is a sanity check only: nothing is decided by the difference.
    pub(crate) fn past(
        &mut self,
        field: &str,
        time: Option<&prost_types::Timestamp>,
    ) -> Option<Micros> {
        let latest = now().after(CLOCK_TOLERANCE);
        match micros(time?) {
            Some(time) if time <= latest => Some(time),
            _ => {
                self.wrong(field, "must be a time between 1970 and now");
                None
            }
        }
    }

    /// A time at most `ahead` from now, in whole seconds.
    pub(crate) fn future(
        &mut self,
        field: &str,
        time: Option<&prost_types::Timestamp>,
        ahead: Duration,
    ) -> Option<Micros> {
        // Tokens say their expiry in whole seconds, and the key must not promise more than its token.
        let now = now();
        match micros(time?).map(whole_seconds) {
            Some(time) if now < time && time <= now.after(ahead) => Some(time),
            _ => {
                let days = ahead.as_secs() / 86_400;
                let problem = format!("must be a time between now and {days} days ahead");
                self.wrong(field, problem);
                None
            }
        }
    }

    /// A duration that is not negative. Its rule decides about further bounds.
    pub(crate) fn duration(
        &mut self,
        field: &str,
        duration: Option<&prost_types::Duration>,
    ) -> Option<Duration> {
        let duration = duration?;
        let seconds = u64::try_from(duration.seconds);
        let nanos = u32::try_from(duration.nanos);
        match (seconds, nanos) {
            (Ok(seconds), Ok(nanos)) if duration.nanos < NANOS_PER_SECOND => {
                Some(Duration::new(seconds, nanos))
            }
            _ => {
                self.wrong(field, "must be a duration of at least 0 s");
                None
            }
        }
    }
}

/// A time from 1970 on.
fn micros(time: &prost_types::Timestamp) -> Option<Micros> {
    // No time in the store is before 1970, and a time far ahead would overflow the microseconds.
    if !(0..NANOS_PER_SECOND).contains(&time.nanos) || time.seconds < 0 {
        return None;
    }
    let seconds = time.seconds.checked_mul(MICROS_PER_SECOND)?;
    let micros = seconds.checked_add(i64::from(time.nanos) / 1_000)?;
    Some(Micros(micros))
}

fn whole_seconds(time: Micros) -> Micros {
    Micros(time.0 - time.0 % MICROS_PER_SECOND)
}

/// The time by this machine's clock.
fn now() -> Micros {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Micros::default().after(since_1970)
}
