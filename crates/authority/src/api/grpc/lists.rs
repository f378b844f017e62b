//! What all lists have in common, and the filters of sessions and users.

use portcullis_contract::v1;

use super::parse::Fields;
use crate::{
    app::{AppError, Caller},
    domain::{
        Cause, Micros, PageCursor, SessionFilter, SessionOrder, UserOrder,
        listing::{NameFilter, Network, Period, fold},
    },
    keys::PageTokens,
};

/// The most of a list in one answer.
const PAGE_SIZE_MAX: u32 = 200;
const PAGE_SIZE_DEFAULT: u32 = 50;

/// The shortest part of a name that can be searched for, in letters.
const NAME_PART_LETTERS_MIN: usize = 3;

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
/// The first instant after the year 9999, which is what a timestamp can say.
const TIME_MAX_SECONDS: i64 = 253_402_300_800;

/// Page tokens of one list: of this caller, this rpc and these arguments.
pub(crate) struct Pages<'a> {
    tokens: &'a PageTokens,
    context: String,
}

impl<'a> Pages<'a> {
    /// `arguments` are all that decide what is on a page, in any form.
    pub(crate) fn new(tokens: &'a PageTokens, caller: &Caller, rpc: &str, arguments: &str) -> Self {
        Self {
            tokens,
            context: format!("{}\0{rpc}/2\0{arguments}", caller.binding()),
        }
    }

    /// Where the page of a token begins; an empty one is of the first.
    pub(crate) fn after(&self, token: &str) -> Result<Option<PageCursor>, AppError> {
        if token.is_empty() {
            return Ok(None);
        }
        let position = self
            .tokens
            .read(self.context.as_bytes(), token)
            .ok_or(AppError::PageToken)?;
        Ok(Some(PageCursor(position)))
    }

    /// The token of the next page; empty: there is none.
    pub(crate) fn next(&self, next: Option<&PageCursor>) -> String {
        next.map(|cursor| self.tokens.make(self.context.as_bytes(), &cursor.0))
            .unwrap_or_default()
    }
}

impl Fields {
    pub(crate) fn page_size(&mut self, size: i32) -> u32 {
        match u32::try_from(size) {
            Ok(0) => PAGE_SIZE_DEFAULT,
            Ok(size) => size.min(PAGE_SIZE_MAX),
            Err(_) => {
                self.wrong("page_size", "must not be negative");
                PAGE_SIZE_DEFAULT
            }
        }
    }

    /// Reads the filter into `into`.
    pub(crate) fn session_filter(&mut self, filter: &v1::SessionFilter, into: &mut SessionFilter) {
        into.names = NameFilter {
            user_name: self.name_part::<256>("filter.user_name", &filter.user_name),
            person_name: self.name_part::<256>("filter.person_name", &filter.person_name),
            email: self.name_part::<320>("filter.email", &filter.email),
        };
        into.network = self.network("filter.network", &filter.network);
        into.country = self.country("filter.country_code", &filter.country_code);
        into.device_type = self.device_type("filter.device_type", filter.device_type);
        let started = [&filter.started_after, &filter.started_before];
        into.started = self.period("filter.started_after", "filter.started_before", started, 1);
        let active = [&filter.last_active_after, &filter.last_active_before];
        into.active = self.period(
            "filter.last_active_after",
            "filter.last_active_before",
            active,
            DAY_US,
        );
        into.end_cause = self.end_cause("filter.end_cause", filter.end_cause);
    }

    pub(crate) fn user_filter(&mut self, filter: &v1::UserFilter) -> (NameFilter, Period) {
        let names = NameFilter {
            user_name: self.name_part::<256>("filter.user_name", &filter.user_name),
            person_name: self.name_part::<256>("filter.person_name", &filter.person_name),
            email: None,
        };
        let signed_in = [&filter.signed_in_after, &filter.signed_in_before];
        (
            names,
            self.period(
                "filter.signed_in_after",
                "filter.signed_in_before",
                signed_in,
                1,
            ),
        )
    }

    /// The order of a list of sessions, whose `own` is the session of a user who lists their own.
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
                if filter.user_id.is_none() {
                    self.wrong("order", "needs a user_id");
                }
                SessionOrder::LastActive(None)
            }
            Err(_) => {
                self.wrong("order", "is not an order");
                SessionOrder::Start
            }
        }
    }

    pub(crate) fn user_order(&mut self, order: i32) -> UserOrder {
        match v1::UserOrder::try_from(order) {
            Ok(v1::UserOrder::Unspecified | v1::UserOrder::SignIn) => UserOrder::SignIn,
            Ok(v1::UserOrder::UserName) => UserOrder::UserName,
            Ok(v1::UserOrder::PersonName) => UserOrder::PersonName,
            Err(_) => {
                self.wrong("order", "is not an order");
                UserOrder::SignIn
            }
        }
    }

    fn name_part<const MAX: usize>(&mut self, field: &str, part: &str) -> Option<String> {
        if part.is_empty() {
            return None;
        }
        let part = self.text::<MAX>(field, part);
        // What was wrong otherwise is empty now, and said.
        if !part.is_empty() && part.chars().count() < NAME_PART_LETTERS_MIN {
            self.wrong(
                field,
                format!("must have at least {NAME_PART_LETTERS_MIN} letters"),
            );
        }
        Some(fold(&part))
    }

    fn network(&mut self, field: &str, network: &str) -> Option<Network> {
        let parsed = Network::parse(network);
        if parsed.is_none() && !network.is_empty() {
            self.wrong(
                field,
                "is neither an address nor a network such as 192.0.2.0/24",
            );
        }
        parsed
    }

    fn country(&mut self, field: &str, code: &str) -> Option<String> {
        let is_code = code.len() == 2 && code.bytes().all(|letter| letter.is_ascii_alphabetic());
        if !is_code && !code.is_empty() {
            self.wrong(field, "is not a country code of two letters");
        }
        is_code.then(|| code.to_ascii_uppercase())
    }

    fn device_type(&mut self, field: &str, number: i32) -> Option<i64> {
        match v1::DeviceType::try_from(number) {
            Ok(v1::DeviceType::Unspecified) => None,
            Ok(_) => Some(number.into()),
            Err(_) => {
                self.wrong(field, "is not a device type");
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
            self.wrong(field, "is not a cause");
        }
        cause
    }

    /// A period between two times, both rounded down to `unit_us`.
    fn period(
        &mut self,
        from: &str,
        until: &str,
        [after, before]: [&Option<prost_types::Timestamp>; 2],
        unit_us: i64,
    ) -> Period {
        let mut time =
            |field: &str, time: &Option<prost_types::Timestamp>| self.time(field, time.as_ref()?);
        let (after, before) = (time(from, after), time(until, before));
        if let (Some(after), Some(before)) = (after, before)
            && after > before
        {
            self.wrong(
                from,
                format!(
                    "must not be later than {}",
                    until.trim_start_matches("filter.")
                ),
            );
        }
        let rounded = |time: Micros| Micros(time.0 - time.0.rem_euclid(unit_us));
        Period {
            from: after.map(rounded),
            until: before.map(rounded),
        }
    }

    fn time(&mut self, field: &str, time: &prost_types::Timestamp) -> Option<Micros> {
        if (0..TIME_MAX_SECONDS).contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos)
        {
            return Some(Micros(
                time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000,
            ));
        }
        self.wrong(field, "is not a time between 1970 and 9999");
        None
    }
}

/// Whether a filter asks for nothing that users may not ask for about their own sessions.
pub(crate) fn is_for_users(filter: &v1::SessionFilter) -> bool {
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
