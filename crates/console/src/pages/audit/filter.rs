//! The filter of the audit log.

use jiff::{ToSpan, civil::Date, tz::TimeZone};
use portcullis_contract::v1;
use serde::Deserialize;

/// The events of a team that a person can search for, with their words.
pub(super) const ACTIONS: [(&str, &str); 16] = [
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
    ("tenant.sign_out", "audit-action-tenant-sign-out"),
    ("policy.update", "audit-action-policy-update"),
    ("api_key.create", "audit-action-api-key-create"),
    ("api_key.revoke", "audit-action-api-key-revoke"),
];
/// The kinds of actors, with their words.
pub(super) const KINDS: [(&str, &str); 3] = [
    ("user", "audit-actor-user"),
    ("service", "audit-actor-service"),
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
        let mut faults = Vec::new();
        let actor = self.actor_name();
        if actor.is_none() {
            faults.push("audit-wrong-actor");
        }
        let user = self.user.trim();
        if user.len() > ID_BYTES_MAX || user.contains(char::is_control) {
            faults.push("audit-wrong-user");
        }
        let action = self.action.trim();
        if action.len() > ACTION_BYTES_MAX || action.contains(char::is_control) {
            faults.push("audit-wrong-action");
        }
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let after = begin_of_day(&self.after, 0, &zone);
        let before = begin_of_day(&self.before, 1, &zone);
        let is_reversed = matches!((&after, &before), (Ok(Some(after)), Ok(Some(before)))
            if after.seconds > before.seconds);
        if after.is_err() || before.is_err() || is_reversed {
            faults.push("audit-wrong-day");
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(v1::ListAuditEventsRequest {
            tenant_id: tenant_id.to_owned(),
            actor: actor.unwrap_or_default(),
            user_id: user.to_owned(),
            action: action.to_owned(),
            after: after.unwrap_or_default(),
            before: before.unwrap_or_default(),
            ..v1::ListAuditEventsRequest::default()
        })
    }

    /// The actor as the trail names them. Empty: any.
    fn actor_name(&self) -> Option<String> {
        let name = self.actor.trim();
        let is_bad = name.len() > ACTOR_BYTES_MAX || name.contains(char::is_control);
        match self.kind.as_str() {
            _ if is_bad => None,
            "" if name.is_empty() => Some(String::new()),
            "authority" if name.is_empty() => Some("authority".to_owned()),
            "user" | "service" if !name.is_empty() => Some(format!("{}:{name}", self.kind)),
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
