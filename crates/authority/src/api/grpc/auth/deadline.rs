//! The deadline that a caller sets.

use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::app::AppError;

/// A deadline shorter than this has passed before anything can be done.
const DEADLINE_MIN: Duration = Duration::from_micros(100);

/// The longest part of a call's time that is kept for its answer after a wait.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(100);

/// The time at which a call is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallDeadline(pub(super) Instant);

impl CallDeadline {
    /// The time by which a call that waits has to answer. Something may have to be read for the answer.
    pub(crate) fn answer_by(self, received: Instant) -> Instant {
        let left = self.0.saturating_duration_since(received);
        received + (left - (left / 4).min(ANSWER_TIME_MAX))
    }
}

/// The time that `grpc-timeout` leaves: at most eight digits and a unit. A call whose time has passed, or whose header is
/// malformed, is refused before it changes anything.
pub(super) fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, AppError> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let timeout = value.to_str().ok().and_then(parse_timeout);
    match timeout {
        None => Err(AppError::invalid(
            "grpc-timeout",
            "must be a timeout such as 5S",
        )),
        Some(timeout) if timeout < DEADLINE_MIN => Err(AppError::Deadline),
        Some(timeout) => Ok(Some(timeout)),
    }
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // `parse` alone would accept a sign. Eight digits of hours are the most that the protocol allows.
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Duration>, AppError> {
        let header = (
            http::HeaderName::from_static("grpc-timeout"),
            text.parse().expect("a header"),
        );
        deadline(&HeaderMap::from_iter([header]))
    }

    #[test]
    fn a_call_that_waits_keeps_some_time_for_its_answer() {
        let received = Instant::now();
        let wait = |left| CallDeadline(received + left).answer_by(received) - received;
        let millis = Duration::from_millis;
        assert_eq!(wait(millis(5_000)), millis(4_900));
        assert_eq!(wait(millis(100)), millis(75));
        let passed = CallDeadline(received);
        assert_eq!(passed.answer_by(received + millis(1)), received + millis(1));
    }

    #[test]
    fn a_deadline_is_read_strictly() {
        assert_eq!(deadline(&HeaderMap::new()), Ok(None));
        assert_eq!(read("5S"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(read("250m"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(read("0n"), Err(AppError::Deadline));
        for malformed in ["", "5", "S", "-5S", "5 S", "123456789S", "5s5", "é"] {
            assert!(
                matches!(read(malformed), Err(AppError::Invalid(_))),
                "{malformed:?}"
            );
        }
    }
}
