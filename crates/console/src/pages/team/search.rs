//! Searches of administrators: the fields of a form, and the filters of the contract that they mean.

use jiff::{civil, tz::TimeZone};
use portcullis_contract::v1;
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest text of a field, in characters. No field of the contract is longer.
pub(super) const FIELD_LENGTH_MAX: usize = 320;

/// A search for users, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct UserSearch {
    pub(super) user_name: String,
    pub(super) person_name: String,
    pub(super) signed_in_after: String,
    pub(super) signed_in_before: String,
    pub(super) active_addresses_min: String,
    /// Not empty: users without active sessions are listed too.
    pub(super) shown: String,
    /// A number of `UserOrder`.
    pub(super) order: i32,
}

/// A search for sessions, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SessionSearch {
    pub(super) user_name: String,
    pub(super) person_name: String,
    pub(super) email: String,
    pub(super) network: String,
    pub(super) country_code: String,
    /// A number of `DeviceType`.
    pub(super) device_type: i32,
    /// A number of `SessionState`; [`ANY_STATE`]: active and ended sessions.
    pub(super) state: i32,
    /// A number of `SessionEndCause`.
    pub(super) end_cause: i32,
    pub(super) started_after: String,
    pub(super) started_before: String,
    pub(super) last_active_after: String,
    pub(super) last_active_before: String,
    /// A number of `SessionOrder`.
    pub(super) order: i32,
}

/// The choice of active and ended sessions together. The contract says it with a field of its own.
pub(super) const ANY_STATE: i32 = -1;

/// The names of fields that have no valid value.
pub(super) type WrongFields = Vec<String>;

impl UserSearch {
    /// The request for the list, for a reader in this time zone.
    pub(super) fn request(&self, zone: &TimeZone) -> Result<v1::ListUsersRequest, WrongFields> {
        let mut fields = Fields::new(zone);
        fields.check_lengths(&self.texts());
        let filter = v1::UserFilter {
            user_name: self.user_name.trim().to_owned(),
            person_name: self.person_name.trim().to_owned(),
            signed_in_after: fields.time("signed_in_after", &self.signed_in_after),
            signed_in_before: fields.time("signed_in_before", &self.signed_in_before),
            active_addresses_min: fields.number("active_addresses_min", &self.active_addresses_min),
        };
        fields.finish(v1::ListUsersRequest {
            filter: Some(filter),
            order: self.order,
            show_signed_out: !self.shown.is_empty(),
            ..Default::default()
        })
    }

    /// Whether no field is longer than any value of it may be. A longer one would not fit into an address.
    pub(super) fn fits(&self) -> bool {
        self.texts().iter().all(|(_, text)| fits(text))
    }

    fn texts(&self) -> [(&'static str, &str); 5] {
        [
            ("user_name", &self.user_name),
            ("person_name", &self.person_name),
            ("signed_in_after", &self.signed_in_after),
            ("signed_in_before", &self.signed_in_before),
            ("active_addresses_min", &self.active_addresses_min),
        ]
    }
}

impl SessionSearch {
    /// The request for the list, for a reader in this time zone.
    pub(super) fn request(&self, zone: &TimeZone) -> Result<v1::ListSessionsRequest, WrongFields> {
        let filter = self.filter(zone)?;
        let any_state = self.state == ANY_STATE;
        Ok(v1::ListSessionsRequest {
            filter: Some(filter),
            state: if any_state { 0 } else { self.state },
            show_ended: any_state,
            order: self.order,
            ..Default::default()
        })
    }

    /// The filter alone.
    pub(super) fn filter(&self, zone: &TimeZone) -> Result<v1::SessionFilter, WrongFields> {
        let mut fields = Fields::new(zone);
        fields.check_lengths(&self.texts());
        let filter = v1::SessionFilter {
            user_name: self.user_name.trim().to_owned(),
            person_name: self.person_name.trim().to_owned(),
            email: self.email.trim().to_owned(),
            network: self.network.trim().to_owned(),
            country_code: self.country_code.trim().to_owned(),
            device_type: self.device_type,
            started_after: fields.time("started_after", &self.started_after),
            started_before: fields.time("started_before", &self.started_before),
            last_active_after: fields.day("last_active_after", &self.last_active_after),
            last_active_before: fields.day("last_active_before", &self.last_active_before),
            end_cause: self.end_cause,
        };
        fields.finish(filter)
    }

    /// Whether all sessions that it finds can be ended: they are active, and something was searched for.
    ///
    /// Without a condition everything would match, and there is a page of its own for that.
    pub(super) fn can_end_all(&self) -> bool {
        let active = i32::from(v1::SessionState::Active);
        // A cause is of ended sessions, and none of those can end again.
        let finds_active = (self.state == 0 || self.state == active) && self.end_cause == 0;
        let has_condition =
            self.device_type != 0 || self.texts().iter().any(|(_, text)| !text.trim().is_empty());
        finds_active && has_condition
    }

    /// Whether no field is longer than any value of it may be.
    pub(super) fn fits(&self) -> bool {
        self.texts().iter().all(|(_, text)| fits(text))
    }

    /// The fields of text that were filled in, and their names.
    pub(super) fn texts(&self) -> [(&'static str, &str); 9] {
        [
            ("user_name", &self.user_name),
            ("person_name", &self.person_name),
            ("email", &self.email),
            ("network", &self.network),
            ("country_code", &self.country_code),
            ("started_after", &self.started_after),
            ("started_before", &self.started_before),
            ("last_active_after", &self.last_active_after),
            ("last_active_before", &self.last_active_before),
        ]
    }
}

fn fits(text: &str) -> bool {
    text.chars().count() <= FIELD_LENGTH_MAX
}

/// Reads fields, and collects the names of those that have no valid value.
struct Fields<'a> {
    zone: &'a TimeZone,
    wrong: WrongFields,
}

impl<'a> Fields<'a> {
    fn new(zone: &'a TimeZone) -> Self {
        Self {
            zone,
            wrong: Vec::new(),
        }
    }

    fn check_lengths(&mut self, texts: &[(&'static str, &str)]) {
        for (name, text) in texts {
            if !fits(text) {
                self.wrong.push((*name).to_owned());
            }
        }
    }

    /// A time in the reader's zone, as a browser writes it: `2026-11-26T10:00`, or a day alone.
    fn time(&mut self, name: &str, text: &str) -> Option<Timestamp> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let time = text
            .parse::<civil::DateTime>()
            .or_else(|_| text.parse().map(at_midnight));
        // Clocks that are set forward skip times, and clocks that are set back repeat them. jiff
        // takes a reading of each, so no such time is refused.
        match time.and_then(|time| time.to_zoned(self.zone.clone())) {
            Ok(time) => Some(timestamp(time.timestamp().as_second())),
            Err(_) => self.refuse(name),
        }
    }

    /// A day of UTC, because the contract compares the last activity by such days.
    fn day(&mut self, name: &str, text: &str) -> Option<Timestamp> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let day = text.parse::<civil::Date>();
        match day.and_then(|day| day.to_zoned(TimeZone::UTC)) {
            Ok(day) => Some(timestamp(day.timestamp().as_second())),
            Err(_) => self.refuse(name),
        }
    }

    fn number(&mut self, name: &str, text: &str) -> u32 {
        let text = text.trim();
        if text.is_empty() {
            return 0;
        }
        match text.parse() {
            Ok(number) => number,
            Err(_) => self.refuse(name).unwrap_or_default(),
        }
    }

    fn refuse<T>(&mut self, name: &str) -> Option<T> {
        self.wrong.push(name.to_owned());
        None
    }

    fn finish<T>(self, request: T) -> Result<T, WrongFields> {
        // All fields were read before this, so the form comes back with every fault at once.
        if self.wrong.is_empty() {
            Ok(request)
        } else {
            Err(self.wrong)
        }
    }
}

fn at_midnight(day: civil::Date) -> civil::DateTime {
    day.to_datetime(civil::Time::midnight())
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallinn() -> TimeZone {
        TimeZone::get("Europe/Tallinn").expect("a zone")
    }

    #[test]
    fn times_are_the_reader_s_and_days_of_activity_are_of_utc() {
        let search = SessionSearch {
            started_after: "2026-07-01T03:00".into(),
            started_before: "2026-12-01".into(),
            last_active_after: "2026-07-01".into(),
            user_name: "  jose ".into(),
            ..Default::default()
        };
        let filter = search.filter(&tallinn()).expect("a filter");
        let seconds = |time: Option<Timestamp>| time.expect("a time").seconds;
        assert_eq!(seconds(filter.started_after), 1_782_864_000);
        assert_eq!(seconds(filter.started_before), 1_796_076_000);
        assert_eq!(seconds(filter.last_active_after), 1_782_864_000);
        assert_eq!(filter.user_name, "jose");
    }

    #[test]
    fn every_field_without_a_valid_value_is_named() {
        let search = UserSearch {
            user_name: "x".repeat(FIELD_LENGTH_MAX + 1),
            signed_in_after: "2026-13-45".into(),
            signed_in_before: "yesterday".into(),
            active_addresses_min: "-2".into(),
            ..Default::default()
        };
        let wrong = search.request(&TimeZone::UTC).expect_err("wrong fields");
        let names = [
            "user_name",
            "signed_in_after",
            "signed_in_before",
            "active_addresses_min",
        ];
        assert_eq!(wrong, names);
    }

    #[test]
    fn all_that_match_can_be_ended_if_something_was_searched_for() {
        let named = SessionSearch {
            user_name: "ada".into(),
            ..Default::default()
        };
        assert!(named.can_end_all());
        assert!(
            SessionSearch {
                device_type: 1,
                ..Default::default()
            }
            .can_end_all()
        );
        assert!(!SessionSearch::default().can_end_all());
        let blank = SessionSearch {
            user_name: " ".into(),
            ..Default::default()
        };
        assert!(!blank.can_end_all());
        assert!(
            !SessionSearch {
                state: ANY_STATE,
                ..named.clone()
            }
            .can_end_all()
        );
        assert!(
            !SessionSearch {
                end_cause: 1,
                ..named
            }
            .can_end_all()
        );
    }
}
