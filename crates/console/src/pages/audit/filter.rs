//! The filter of the audit log.

use jiff::{ToSpan, civil::Date, tz::TimeZone};
use portcullis_contract::v1;
use serde::Deserialize;

/// The events of a team that a person can search for, with their words.
pub(super) const ACTIONS: [(&str, &str); 17] = [
    ("session.create", "audit-action-session-create"),
    ("session.refuse", "audit-action-session-refuse"),
    ("session.revoke", "audit-action-session-revoke"),
    (
        "finding.country_changed",
        "audit-action-finding-country-changed",
    ),
    ("finding.old_session", "audit-action-finding-old-session"),
    (
        "finding.refresh_token_reused",
        "audit-action-finding-refresh-token-reused",
    ),
    (
        "finding.refresh_token_shared",
        "audit-action-finding-refresh-token-shared",
    ),
    ("user.sign_out", "audit-action-user-sign-out"),
    ("user.sign_out_others", "audit-action-user-sign-out-others"),
    ("user.disable", "audit-action-user-disable"),
    ("user.enable", "audit-action-user-enable"),
    ("user.set_roles", "audit-action-user-set-roles"),
    ("user.erase", "audit-action-user-erase"),
    ("tenant.sign_out", "audit-action-tenant-sign-out"),
    ("policy.update", "audit-action-policy-update"),
    ("api_key.create", "audit-action-api-key-create"),
    ("api_key.revoke", "audit-action-api-key-revoke"),
];
/// The kinds of actors, with their words.
pub(super) const KINDS: [(&str, &str); 4] = [
    ("user", "audit-actor-user"),
    ("service", "audit-actor-service"),
    ("idp", "audit-actor-idp"),
    ("authority", "audit-actor-authority"),
];

const ID_BYTES_MAX: usize = 128;
/// The longest name of an actor without its kind, in bytes.
const ACTOR_BYTES_MAX: usize = 200;
const ACTION_BYTES_MAX: usize = 64;

/// The filter, as an address has it. Ids may be in addresses; names and addresses of people are not searched for here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    pub(super) action: String,
    pub(super) kind: String,
    pub(super) actor: String,
    pub(super) user: String,
    pub(super) after: String,
    pub(super) before: String,
    /// The page of the list.
    pub(super) page: String,
}

impl Filter {
    /// Whether anything is filtered.
    pub(super) fn is_set(&self) -> bool {
        let first = Self {
            page: String::new(),
            ..self.clone()
        };
        first != Self::default()
    }

    /// The request that the filter asks for, without its page. Otherwise a message for each wrong field.
    pub(super) fn request(
        &self,
        tenant_id: &str,
        zone: &str,
    ) -> Result<v1::ListAuditEventsRequest, Vec<&'static str>> {
        let days = self.days(zone);
        let faults = self.faults(days.as_ref());
        if !faults.is_empty() {
            return Err(faults);
        }
        let (after, before) = days.unwrap_or_default();
        Ok(v1::ListAuditEventsRequest {
            tenant_id: tenant_id.to_owned(),
            actor: self.actor_name().unwrap_or_default(),
            user_id: self.user.trim().to_owned(),
            action: self.action.trim().to_owned(),
            after,
            before,
            ..Default::default()
        })
    }

    /// A message for each wrong field, all at once, so that the form is corrected once.
    fn faults(&self, days: Option<&Days>) -> Vec<&'static str> {
        let user = self.user.trim();
        let action = self.action.trim();
        let checks = [
            (self.actor_name().is_some(), "audit-wrong-actor"),
            (is_plain(user, ID_BYTES_MAX), "audit-wrong-user"),
            (is_plain(action, ACTION_BYTES_MAX), "audit-wrong-action"),
            (days.is_some(), "audit-wrong-day"),
        ];
        let mut faults = Vec::new();
        for (is_good, fault) in checks {
            if !is_good {
                faults.push(fault);
            }
        }
        faults
    }

    /// The days of the filter, as the contract has them. None: one is no day, or they are in the wrong order.
    fn days(&self, zone: &str) -> Option<Days> {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let after = begin_of_day(&self.after, 0, &zone).ok()?;
        // The form names the last day that is wanted, and the contract the first moment that is
        // not.
        let before = begin_of_day(&self.before, 1, &zone).ok()?;
        if let (Some(after), Some(before)) = (&after, &before)
            && after.seconds > before.seconds
        {
            return None;
        }
        Some((after, before))
    }

    /// The actor as the trail names them. Empty: any.
    fn actor_name(&self) -> Option<String> {
        let name = self.actor.trim();
        // The trail has an actor as kind and name. A name alone could be a user or a service, so it
        // finds nothing.
        match self.kind.as_str() {
            _ if !is_plain(name, ACTOR_BYTES_MAX) => None,
            "" if name.is_empty() => Some(String::new()),
            "authority" if name.is_empty() => Some("authority".to_owned()),
            "user" | "service" | "idp" if !name.is_empty() => Some(format!("{}:{name}", self.kind)),
            _ => None,
        }
    }

    /// An address with this filter.
    pub(super) fn address(&self, path: &str, more: &[(&str, &str)]) -> String {
        let mut fields = vec![
            ("action", self.action.as_str()),
            ("kind", &self.kind),
            ("actor", &self.actor),
            ("user", &self.user),
            ("after", &self.after),
            ("before", &self.before),
        ];
        fields.extend(more);
        fields.retain(|(_, value)| !value.is_empty());
        match serde_html_form::to_string(&fields) {
            Ok(query) if !query.is_empty() => format!("{path}?{query}"),
            _ => path.to_owned(),
        }
    }
}

/// The first moment that is wanted, and the first one that is not. None: no bound.
type Days = (
    Option<prost_types::Timestamp>,
    Option<prost_types::Timestamp>,
);

fn is_plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.contains(char::is_control)
}

/// The beginning of a day and so many days later, on the clocks of a zone.
fn begin_of_day(
    text: &str,
    days_later: i64,
    zone: &TimeZone,
) -> Result<Option<prost_types::Timestamp>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    let date: Date = text.parse().map_err(drop)?;
    let date = date.checked_add(days_later.days()).map_err(drop)?;
    // Where a day begins later than at midnight, because clocks are set forward then, this is its
    // first moment.
    let begin = date.to_zoned(zone.clone()).map_err(drop)?;
    Ok(Some(prost_types::Timestamp {
        seconds: begin.timestamp().as_second(),
        nanos: 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(change: impl FnOnce(&mut Filter)) -> Filter {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    }

    #[test]
    fn a_filter_is_a_request() {
        let filter = filter(|filter| {
            filter.kind = "user".into();
            filter.actor = " ada ".into();
            filter.user = "bob".into();
            filter.action = "user.disable".into();
            filter.after = "2026-11-26".into();
            filter.before = "2026-11-26".into();
        });
        let request = filter.request("acme", "Europe/Tallinn").expect("a request");
        assert_eq!(request.actor, "user:ada");
        assert_eq!(
            (request.user_id.as_str(), request.action.as_str()),
            ("bob", "user.disable")
        );
        // The whole day of the reader, who is two hours ahead.
        let day = |time: Option<prost_types::Timestamp>| time.expect("a time").seconds;
        assert_eq!(day(request.after), 1_795_651_200 - 2 * 3_600);
        assert_eq!(day(request.before), day(request.after) + 86_400);
    }

    #[test]
    fn what_cannot_be_searched_for_is_named() {
        type Change = fn(&mut Filter);
        let cases: [(Change, &str); 10] = [
            (|filter| filter.actor = "ada".into(), "audit-wrong-actor"),
            (|filter| filter.kind = "user".into(), "audit-wrong-actor"),
            (|filter| filter.kind = "ghost".into(), "audit-wrong-actor"),
            (
                |filter| (filter.kind, filter.actor) = ("authority".into(), "x".into()),
                "audit-wrong-actor",
            ),
            (|filter| filter.user = "x".repeat(129), "audit-wrong-user"),
            (
                |filter| filter.action = "x".repeat(65),
                "audit-wrong-action",
            ),
            (
                |filter| filter.after = "yesterday".into(),
                "audit-wrong-day",
            ),
            (
                |filter| filter.after = "2026-02-30".into(),
                "audit-wrong-day",
            ),
            (
                |filter| filter.before = "9999-12-31".into(),
                "audit-wrong-day",
            ),
            (
                |filter| {
                    (filter.after, filter.before) = ("2026-11-27".into(), "2026-11-25".into());
                },
                "audit-wrong-day",
            ),
        ];
        for (change, fault) in cases {
            let filter = filter(change);
            let faults = filter.request("acme", "UTC").expect_err(fault);
            assert_eq!(faults, [fault], "{filter:?}");
        }
    }

    #[test]
    fn an_address_has_the_filter_and_nothing_that_is_unset() {
        let filter = filter(|filter| {
            filter.user = "a b&c".into();
            filter.page = "token".into();
        });
        assert_eq!(filter.address("/audit", &[]), "/audit?user=a+b%26c");
        assert_eq!(Filter::default().address("/audit", &[]), "/audit");
        assert!(
            !Filter {
                page: "t".into(),
                ..Filter::default()
            }
            .is_set()
        );
    }
}
