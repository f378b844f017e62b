//! Times and durations: as people type them, and as tables show them.

use std::time::{Duration, SystemTime};

use jiff::{Span, SpanRelativeTo, Timestamp, Zoned, civil, tz::TimeZone};
use prost_types::Timestamp as WireTimestamp;

/// A duration of the contract.
pub(crate) type WireDuration = prost_types::Duration;

/// The time now, as the contract writes it.
pub(crate) fn now() -> WireTimestamp {
    SystemTime::now().into()
}

fn zoned(time: &WireTimestamp) -> Option<Zoned> {
    let time = Timestamp::new(time.seconds, time.nanos).ok()?;
    Some(time.to_zoned(TimeZone::system()))
}

/// Date and time in the zone of the reader.
pub(crate) fn stamp(time: Option<&WireTimestamp>) -> String {
    match time.and_then(zoned) {
        Some(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => "-".to_owned(),
    }
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How long ago a time is. Times ahead, by a clock that is, are now.
pub(crate) fn ago(time: Option<&WireTimestamp>, now: &WireTimestamp) -> String {
    let Some(time) = time else {
        return "-".to_owned();
    };
    match now.seconds - time.seconds {
        seconds if seconds < MINUTE => "now".to_owned(),
        seconds if seconds < HOUR => format!("{} min ago", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h ago", seconds / HOUR),
        seconds => format!("{} d ago", seconds / DAY),
    }
}

/// A duration in its largest units, as it can be typed again: `7d`, `1h 30m`.
pub(crate) fn duration(length: &WireDuration) -> String {
    let mut rest = length.seconds;
    let mut parts = Vec::new();
    for (unit, seconds) in [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1)] {
        if rest >= seconds {
            parts.push(format!("{}{unit}", rest / seconds));
            rest %= seconds;
        }
    }
    if parts.is_empty() {
        return format!("{}ms", length.nanos / 1_000_000);
    }
    parts.join(" ")
}

/// A length in milliseconds, for times of enforcement.
#[expect(clippy::cast_precision_loss, reason = "a length of years, to be read")]
pub(crate) fn as_milliseconds(length: &WireDuration) -> f64 {
    length.seconds as f64 * 1e3 + f64::from(length.nanos) / 1e6
}

/// Reads a duration such as `7d`, `90 days` or `1h 30m`. A day has 24 hours.
pub(crate) fn parse_duration(text: &str) -> Result<WireDuration, String> {
    let span: Span = text
        .parse()
        .map_err(|_| "write a duration such as 30m, 12h or 7d".to_owned())?;
    let length = span
        // Months and years have no fixed length, so they are refused.
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| "write it in days, hours, minutes or seconds".to_owned())?;
    if length.is_negative() {
        return Err("must not be negative".to_owned());
    }
    Ok(WireDuration {
        seconds: length.as_secs(),
        nanos: length.subsec_nanos(),
    })
}

/// The shortest wait and interval.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// Reads how long to wait, at least 100 ms.
pub(crate) fn parse_wait(text: &str) -> Result<Duration, String> {
    let length = Duration::try_from(parse_duration(text)?).map_err(|error| error.to_string())?;
    if length < WAIT_MIN {
        return Err("must be at least 100ms".to_owned());
    }
    Ok(length)
}

/// Reads a point in time: `2h` or `30 days` before now, a day, a local time, or a time with its offset (RFC 3339).
pub(crate) fn parse_moment(text: &str) -> Result<WireTimestamp, String> {
    let moment = parse_absolute(text).or_else(|| parse_relative(text));
    let moment = moment.ok_or_else(|| {
        "write how long ago (2h, 30d), a day (2026-11-26) or a time (2026-11-26T10:00:00Z)"
            .to_owned()
    })?;
    Ok(WireTimestamp {
        seconds: moment.as_second(),
        nanos: moment.subsec_nanosecond(),
    })
}

fn parse_absolute(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let local = match text.parse::<civil::DateTime>() {
        Ok(time) => time,
        Err(_) => text.parse::<civil::Date>().ok()?.at(0, 0, 0, 0),
    };
    Some(local.to_zoned(TimeZone::system()).ok()?.timestamp())
}

fn parse_relative(text: &str) -> Option<Timestamp> {
    let span: Span = text.parse().ok()?;
    // Minus a negative span lies ahead, and nothing that is listed is from there.
    if span.is_negative() {
        return None;
    }
    Some(Zoned::now().checked_sub(span).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Result<i64, String> {
        parse_duration(text).map(|length| length.seconds)
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, expected) in [
            ("7d", 7 * DAY),
            ("90 days", 90 * DAY),
            ("1h 30m", 90 * MINUTE),
            ("2 weeks", 14 * DAY),
            ("45s", 45),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "7", "soon", "-1h", "1 month"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_can_be_typed() {
        for text in ["7d", "1h 30m", "45s", "1d 1s"] {
            let length = parse_duration(text).expect(text);
            assert_eq!(duration(&length), text);
        }
    }

    #[test]
    fn moments_are_absolute_or_before_now() {
        let at = parse_moment("2026-11-26T10:00:00Z").expect("a time");
        assert_eq!(at.seconds, 1_795_687_200);
        let (ago, now) = (parse_moment("2h").expect("a span"), now());
        assert!((now.seconds - ago.seconds - 2 * HOUR).abs() <= 1);
        for text in ["tomorrow", "-2h", "26.11.2026", ""] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }
}
