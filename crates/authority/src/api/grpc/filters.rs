//! Filters and orders of the lists of sessions and users.

use portcullis_contract::v1;
use prost_types::Timestamp;

use super::parse::Fields;
use crate::{
    app::Caller,
    domain::{
        Cause, Micros, SessionFilter, SessionOrder, UserOrder,
        listing::{NameFilter, Network, Period},
        names::{PARTS_MAX, search_parts},
    },
};

/// The most addresses that a filter of users may ask for.
const ACTIVE_ADDRESSES_MAX: u32 = 100;

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
/// The first second after the year 9999, the last year that a timestamp of the wire can express.
const TIME_MAX_SECONDS: i64 = 253_402_300_800;

impl Fields {
    /// Reads a filter of sessions into `into`, whose other conditions stay.
    pub(crate) fn session_filter(&mut self, filter: &v1::SessionFilter, into: &mut SessionFilter) {
        into.names = NameFilter {
            user_name: self.name_parts::<256>("filter.user_name", &filter.user_name),
            person_name: self.name_parts::<256>("filter.person_name", &filter.person_name),
            email: self.name_parts::<320>("filter.email", &filter.email),
        };
        into.network = self.network("filter.network", &filter.network);
        into.country = self.country("filter.country_code", &filter.country_code);
        into.device_type = self.device_type("filter.device_type", filter.device_type);
        into.started = self.period(
            ("filter.started_after", filter.started_after.as_ref()),
            ("filter.started_before", filter.started_before.as_ref()),
            1,
        );
        // The contract compares the last activity by days (UTC).
        into.active = self.period(
            (
                "filter.last_active_after",
                filter.last_active_after.as_ref(),
            ),
            (
                "filter.last_active_before",
                filter.last_active_before.as_ref(),
            ),
            DAY_US,
        );
        into.end_cause = self.end_cause("filter.end_cause", filter.end_cause);
    }

    pub(crate) fn user_filter(&mut self, filter: &v1::UserFilter) -> (NameFilter, Period) {
        let names = NameFilter {
            user_name: self.name_parts::<256>("filter.user_name", &filter.user_name),
            person_name: self.name_parts::<256>("filter.person_name", &filter.person_name),
            email: Vec::new(),
        };
        let signed_in = self.period(
            ("filter.signed_in_after", filter.signed_in_after.as_ref()),
            ("filter.signed_in_before", filter.signed_in_before.as_ref()),
            1,
        );
        (names, signed_in)
    }

    /// The least number of addresses at once. One address is no filter that anybody could mean.
    pub(crate) fn active_addresses_min(&mut self, number: u32) -> Option<u32> {
        if number == 0 {
            return None;
        }
        if !(2..=ACTIVE_ADDRESSES_MAX).contains(&number) {
            self.wrong(
                "filter.active_addresses_min",
                format!("must be from 2 to {ACTIVE_ADDRESSES_MAX}, or 0"),
            );
        }
        Some(number)
    }

    /// Reads the order of a list of sessions. Unless a user asks for another one, their current session comes first.
    pub(crate) fn session_order(
        &mut self,
        order: i32,
        filter: &SessionFilter,
        caller: &Caller,
    ) -> SessionOrder {
        match v1::SessionOrder::try_from(order) {
            Ok(v1::SessionOrder::Unspecified) => match caller.own_session() {
                Some(current) => SessionOrder::LastActive(Some(current)),
                None => SessionOrder::Start,
            },
            Ok(v1::SessionOrder::Start) => SessionOrder::Start,
            Ok(v1::SessionOrder::User) => SessionOrder::User,
            Ok(v1::SessionOrder::LastActive) => {
                // No index is in the order of the last use, since every report of use would rewrite it. One user's
                // sessions are few enough to sort.
                if filter.user_id.is_none() {
                    self.wrong("order", "SESSION_ORDER_LAST_ACTIVE requires user_id");
                }
                SessionOrder::LastActive(None)
            }
            Err(_) => {
                self.wrong("order", "must be a value of SessionOrder");
                SessionOrder::Start
            }
        }
    }

    pub(crate) fn user_order(&mut self, order: i32) -> UserOrder {
        match v1::UserOrder::try_from(order) {
            Ok(v1::UserOrder::Unspecified | v1::UserOrder::SignIn) => UserOrder::SignIn,
            Ok(v1::UserOrder::UserName) => UserOrder::UserName,
            Ok(v1::UserOrder::PersonName) => UserOrder::PersonName,
            Ok(v1::UserOrder::Sessions) => UserOrder::Sessions,
            Ok(v1::UserOrder::LastActive) => UserOrder::LastActive,
            Err(_) => {
                self.wrong("order", "must be a value of UserOrder");
                UserOrder::SignIn
            }
        }
    }

    fn name_parts<const MAX: usize>(&mut self, field: &str, search: &str) -> Vec<String> {
        if search.is_empty() {
            return Vec::new();
        }
        let search = self.text::<MAX>(field, search);
        // An empty text here had another problem, which has been reported.
        if search.is_empty() {
            return Vec::new();
        }
        let parts = search_parts(&search);
        // Without a part the filter would match everybody.
        if parts.is_empty() {
            self.wrong(field, "must not be blank");
        }
        if parts.len() > PARTS_MAX {
            self.wrong(field, format!("must be at most {PARTS_MAX} words"));
        }
        parts
    }

    fn network(&mut self, field: &str, network: &str) -> Option<Network> {
        if network.is_empty() {
            return None;
        }
        let parsed = Network::parse(network);
        if parsed.is_none() {
            self.wrong(
                field,
                "must be an address or a network such as 192.0.2.0/24",
            );
        }
        parsed
    }

    fn country(&mut self, field: &str, code: &str) -> Option<String> {
        if code.is_empty() {
            return None;
        }
        if code.len() != 2 || !code.bytes().all(|letter| letter.is_ascii_alphabetic()) {
            self.wrong(field, "must be a country code of two letters");
            return None;
        }
        Some(code.to_ascii_uppercase())
    }

    fn device_type(&mut self, field: &str, number: i32) -> Option<i64> {
        match v1::DeviceType::try_from(number) {
            Ok(v1::DeviceType::Unspecified) => None,
            Ok(_) => Some(number.into()),
            Err(_) => {
                self.wrong(field, "must be a value of DeviceType");
                None
            }
        }
    }

    fn end_cause(&mut self, field: &str, number: i32) -> Option<Cause> {
        if number == 0 {
            return None;
        }
        let cause = Cause::from_code(number.into());
        if cause.is_none() {
            self.wrong(field, "must be a value of SessionEndCause");
        }
        cause
    }

    /// Reads a period between two times, each with its field. Both are rounded down to `unit_us` microseconds.
    fn period(
        &mut self,
        after: (&str, Option<&Timestamp>),
        before: (&str, Option<&Timestamp>),
        unit_us: i64,
    ) -> Period {
        let from = self.time(after);
        let until = self.time(before);
        if let (Some(from), Some(until)) = (from, until)
            && from > until
        {
            let other = before.0.trim_start_matches("filter.");
            self.wrong(after.0, format!("must not be later than {other}"));
        }
        Period {
            from: from.map(|time| round_down(time, unit_us)),
            until: until.map(|time| round_down(time, unit_us)),
        }
    }

    fn time(&mut self, (field, time): (&str, Option<&Timestamp>)) -> Option<Micros> {
        let time = time?;
        let has_seconds = (0..TIME_MAX_SECONDS).contains(&time.seconds);
        let has_nanos = (0..1_000_000_000).contains(&time.nanos);
        if !has_seconds || !has_nanos {
            self.wrong(field, "must be a time between 1970 and 9999");
            return None;
        }
        Some(Micros(
            time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000,
        ))
    }
}

fn round_down(time: Micros, unit_us: i64) -> Micros {
    Micros(time.0 - time.0.rem_euclid(unit_us))
}

/// Returns whether a user may apply a filter to their own sessions: the device type is the only condition allowed.
pub(crate) fn is_for_users(filter: &v1::SessionFilter) -> bool {
    // Compared as a whole, so a condition of a later contract is denied to users until somebody allows it.
    *filter
        == v1::SessionFilter {
            device_type: filter.device_type,
            ..Default::default()
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_the_numbers_of_the_contract() {
        for number in 1..64 {
            if let Some(cause) = Cause::from_code(number.into()) {
                assert_eq!(super::super::render::cause(cause) as i32, number);
            }
        }
    }
}
