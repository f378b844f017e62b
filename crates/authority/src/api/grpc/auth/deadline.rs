//! The deadline that a caller sets.

use std::time::Duration;

use http::HeaderMap;

use crate::app::AppError;

/// A deadline shorter than this has passed before anything can be done.
const DEADLINE_MIN: Duration = Duration::from_micros(100);

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
