//! Times in the reader's language and time zone.

use std::{cell::RefCell, time::Duration};

use http::HeaderMap;
use icu_calendar::{Date, Iso};
use icu_datetime::{
    DateTimeFormatter,
    fieldsets::{YMD, YMDT},
    options::TimePrecision,
};
use icu_time::{DateTime, Time};
use jiff::{Timestamp, tz::TimeZone};

use crate::{cookies, locale::Locale, words::Words};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Below this a time is "just now".
const NOW_SECONDS: i64 = 45;
/// From here on a time is a date.
const DATE_SECONDS: i64 = 30 * DAY;
/// The longest name of a time zone, in bytes.
const ZONE_BYTES_MAX: usize = 64;

/// A point in time, as a page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Timestamp);

impl Moment {
    /// The time of this machine.
    pub(crate) fn now() -> Self {
        Self(Timestamp::now())
    }

    /// The time of a message, if it is set.
    pub(crate) fn of(time: Option<prost_types::Timestamp>) -> Option<Self> {
        time.map(Self::from)
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(self) -> i64 {
        self.0.as_second()
    }
}

impl From<prost_types::Timestamp> for Moment {
    fn from(time: prost_types::Timestamp) -> Self {
        // A message may hold any number. A time that no calendar has becomes 1970, because one odd
        // field must not cost the reader the whole page.
        let nanos = time.nanos.clamp(0, 999_999_999);
        Self(Timestamp::new(time.seconds, nanos).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl From<&prost_types::Timestamp> for Moment {
    fn from(time: &prost_types::Timestamp) -> Self {
        Self::from(*time)
    }
}

impl From<&Moment> for Moment {
    fn from(moment: &Moment) -> Self {
        *moment
    }
}

// Macros of templates hand over references to references.
impl From<&&Moment> for Moment {
    fn from(moment: &&Moment) -> Self {
        **moment
    }
}

/// The times of one request: in the reader's language and time zone, seen from the time of the request.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    words: Words,
    zone: TimeZone,
    now: Moment,
}

impl Times {
    /// Times in the zone that the browser told, or in UTC.
    pub(crate) fn of_request(headers: &HeaderMap, words: Words) -> Self {
        let named = cookies::cookie(headers, cookies::ZONE);
        let zone = named.and_then(parse_zone).unwrap_or(TimeZone::UTC);
        Self::new(words, zone, Moment::now())
    }

    pub(crate) fn new(words: Words, zone: TimeZone, now: Moment) -> Self {
        Self { words, zone, now }
    }

    /// The name of the time zone.
    pub(crate) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The time of the request.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// The distance from now, in words: "5 minutes ago", "in 3 days". A date when it is far away.
    pub(crate) fn relative(&self, moment: impl Into<Moment>) -> String {
        let moment = moment.into();
        let ahead = moment.seconds() - self.now.seconds();
        let distance = ahead.abs();
        let (past, future, count) = match distance {
            distance if distance < NOW_SECONDS => return self.words.text("frame-time-now"),
            distance if distance < HOUR => (
                "frame-time-minutes-ago",
                "frame-time-in-minutes",
                rounded(distance, MINUTE),
            ),
            distance if distance < DAY => (
                "frame-time-hours-ago",
                "frame-time-in-hours",
                distance / HOUR,
            ),
            distance if distance < DATE_SECONDS => {
                ("frame-time-days-ago", "frame-time-in-days", distance / DAY)
            }
            _ => return self.date(moment),
        };
        let id = if ahead < 0 { past } else { future };
        self.words.with(id, [("count", count)])
    }

    /// Date, hour and minute.
    pub(crate) fn full(&self, moment: impl Into<Moment>) -> String {
        self.formatted(moment.into(), |formatters| &formatters.full)
    }

    /// Date, hour, minute and second.
    pub(crate) fn exact(&self, moment: impl Into<Moment>) -> String {
        self.formatted(moment.into(), |formatters| &formatters.exact)
    }

    /// The date alone.
    pub(crate) fn date(&self, moment: impl Into<Moment>) -> String {
        let moment = moment.into();
        with_formatters(self.words.locale(), |formatters| {
            // Without a date of the calendar, or without a formatter, the time is still shown, as
            // programs write it.
            let date = self.local(moment)?.date;
            Some(formatters?.date.format(&date).to_string())
        })
        .unwrap_or_else(|| self.machine(moment))
    }

    /// The time for programs, in UTC: the attribute `datetime`.
    pub(crate) fn machine(&self, moment: impl Into<Moment>) -> String {
        moment.into().0.to_string()
    }

    /// A length of time in its largest whole unit: "30 days", "8 hours", "90 seconds".
    pub(crate) fn length(&self, duration: Duration) -> String {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let (id, count) = match seconds {
            seconds if seconds >= DAY && seconds % DAY == 0 => ("frame-length-days", seconds / DAY),
            seconds if seconds >= HOUR && seconds % HOUR == 0 => {
                ("frame-length-hours", seconds / HOUR)
            }
            seconds if seconds >= MINUTE && seconds % MINUTE == 0 => {
                ("frame-length-minutes", seconds / MINUTE)
            }
            seconds => ("frame-length-seconds", seconds),
        };
        self.words.with(id, [("count", count)])
    }

    fn formatted(
        &self,
        moment: Moment,
        choose: impl FnOnce(&Formatters) -> &DateTimeFormatter<YMDT>,
    ) -> String {
        with_formatters(self.words.locale(), |formatters| {
            let local = self.local(moment)?;
            Some(choose(formatters?).format(&local).to_string())
        })
        .unwrap_or_else(|| self.machine(moment))
    }

    /// The time on the clocks of the reader's zone.
    fn local(&self, moment: Moment) -> Option<DateTime<Iso>> {
        let local = self.zone.to_datetime(moment.0);
        let (month, day) = (local.month().unsigned_abs(), local.day().unsigned_abs());
        let (hour, minute) = (local.hour().unsigned_abs(), local.minute().unsigned_abs());
        Some(DateTime {
            date: Date::try_new_iso(i32::from(local.year()), month, day).ok()?,
            time: Time::try_new(hour, minute, local.second().unsigned_abs(), 0).ok()?,
        })
    }
}

fn rounded(distance: i64, unit: i64) -> i64 {
    // From 45 seconds on a time is told in minutes, and nobody says zero minutes.
    (distance / unit).max(1)
}

/// The zone of a name such as `Europe/Tallinn`, as browsers know it.
fn parse_zone(name: &str) -> Option<TimeZone> {
    // The name comes from a cookie, and the time zone database of the system has a file of that
    // name. Without a dot it cannot lead out of the database.
    if name.len() > ZONE_BYTES_MAX || !name.bytes().all(is_zone_byte) {
        return None;
    }
    TimeZone::get(name).ok()
}

fn is_zone_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte)
}

struct Formatters {
    full: DateTimeFormatter<YMDT>,
    exact: DateTimeFormatter<YMDT>,
    date: DateTimeFormatter<YMD>,
}

thread_local! {
    // A formatter may not leave its thread, and costs more to make than to use.
    static FORMATTERS: RefCell<[Option<Formatters>; 4]> = const {
        RefCell::new([None, None, None, None])
    };
}

fn with_formatters<T>(locale: Locale, use_them: impl FnOnce(Option<&Formatters>) -> T) -> T {
    FORMATTERS.with_borrow_mut(|all| {
        let slot = &mut all[locale as usize];
        if slot.is_none() {
            *slot = formatters(locale);
        }
        // `use_them` must not ask for formatters again: the cell is borrowed here.
        use_them(slot.as_ref())
    })
}

fn formatters(locale: Locale) -> Option<Formatters> {
    let language: icu_locale_core::Locale = locale.tag().parse().ok()?;
    let full = YMDT::medium().with_time_precision(TimePrecision::Minute);
    let exact = YMDT::medium().with_time_precision(TimePrecision::Second);
    Some(Formatters {
        full: DateTimeFormatter::try_new((&language).into(), full).ok()?,
        exact: DateTimeFormatter::try_new((&language).into(), exact).ok()?,
        date: DateTimeFormatter::try_new((&language).into(), YMD::medium()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-26 10:00 in UTC.
    const NOW: i64 = 1_795_687_200;

    fn at(seconds: i64) -> Moment {
        Moment::from(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn times(locale: Locale, zone: &str) -> Times {
        let zone = parse_zone(zone).expect("a zone");
        Times::new(Words::of(locale), zone, at(NOW))
    }

    #[test]
    fn a_distance_is_told_in_its_largest_unit() {
        let times = times(Locale::English, "UTC");
        for (ahead, expected) in [
            (0, "just now"),
            (-44, "just now"),
            (-45, "1 minute ago"),
            (-5 * MINUTE, "5 minutes ago"),
            (-HOUR, "1 hour ago"),
            (-23 * HOUR, "23 hours ago"),
            (-DAY, "1 day ago"),
            (-29 * DAY, "29 days ago"),
            (-30 * DAY, "Oct 27, 2026"),
            (5 * MINUTE, "in 5 minutes"),
            (2 * HOUR, "in 2 hours"),
            (3 * DAY, "in 3 days"),
        ] {
            assert_eq!(times.relative(at(NOW + ahead)), expected, "{ahead}");
        }
    }

    #[test]
    fn a_time_is_on_the_clocks_of_the_reader() {
        let tallinn = times(Locale::English, "Europe/Tallinn").full(at(NOW));
        assert!(tallinn.contains("12:00"), "{tallinn}");
        let utc = times(Locale::English, "UTC").full(at(NOW));
        assert!(utc.contains("10:00"), "{utc}");
        // The same moment is another day there.
        let kiritimati = times(Locale::English, "Pacific/Kiritimati").date(at(NOW + 2 * HOUR));
        assert!(kiritimati.contains("27"), "{kiritimati}");
    }

    #[test]
    fn each_language_writes_dates_its_own_way() {
        let full = |locale| times(locale, "UTC").full(at(NOW));
        assert!(full(Locale::Spanish).contains("nov"));
        assert!(full(Locale::Estonian).contains("26"));
        let arabic = full(Locale::Arabic);
        assert!(arabic.contains("26") && arabic.contains('ص'), "{arabic}");
        let minutes = times(Locale::Arabic, "UTC").relative(at(NOW - 5 * MINUTE));
        assert!(minutes.contains('5'), "{minutes}");
    }

    #[test]
    fn a_zone_that_is_none_is_utc() {
        for name in ["", "Nowhere/Town", "../../etc/passwd", &"a/".repeat(64)] {
            assert!(parse_zone(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_time_beyond_all_calendars_is_shown_as_some_time() {
        let moment = Moment::from(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        });
        assert!(!times(Locale::English, "UTC").full(moment).is_empty());
    }

    #[test]
    fn a_length_has_its_largest_whole_unit() {
        let times = times(Locale::English, "UTC");
        for (seconds, expected) in [
            (1, "1 second"),
            (90, "90 seconds"),
            (120, "2 minutes"),
            (8 * 3600, "8 hours"),
            (7 * 86_400, "7 days"),
        ] {
            assert_eq!(times.length(Duration::from_secs(seconds)), expected);
        }
    }
}
