//! `ReportActivity`: the report of the request.

use std::{collections::BTreeMap, time::Duration};

use portcullis_contract::{id::TenantId, v1};

use super::{
    parse::{FieldWarning, Fields, PAGE_BYTES_MAX, PROBLEMS_MAX},
    render,
};
use crate::{
    app::{
        AppError,
        activity::{ActivityReport, ReportingGate},
    },
    domain::{ApiKeyUse, GateId, SessionActivity},
};

/// Credentials of one report.
const ACTIVITIES_MAX: usize = 10_000;
/// Requests of one credential in one report.
const REQUESTS_MAX: u32 = 1 << 31;
/// Age of the oldest request that a gate may report.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A report, its entries that are refused, and those that were mended. An invalid entry does not affect the others.
#[derive(Debug)]
pub(super) struct ParsedReport {
    pub(super) report: ActivityReport,
    pub(super) refused: RefusedActivities,
    /// The first ones, up to [`PROBLEMS_MAX`].
    pub(super) warnings: Vec<v1::ActivityWarning>,
}

/// Refused entries of a report.
#[derive(Debug, Default)]
pub(super) struct RefusedActivities {
    pub(super) count: u32,
    /// The first ones, up to [`PROBLEMS_MAX`]: the answer must stay small.
    pub(super) first: Vec<v1::RefusedActivity>,
}

/// The use of one credential.
enum CredentialUse {
    Session(SessionActivity),
    ApiKey(ApiKeyUse),
}

pub(super) fn parse(message: &v1::ReportActivityRequest) -> Result<ParsedReport, AppError> {
    if message.activities.len() > ACTIVITIES_MAX {
        return Err(AppError::invalid(
            "activities",
            format!("must have at most {ACTIVITIES_MAX} entries"),
        ));
    }
    let gate = gate("gate_id", &message.gate_id, message.admits_for)?;
    let mut refused = RefusedActivities::default();
    let mut warnings = Vec::new();
    let uses = parse_activities(&message.activities, &mut refused, &mut warnings);
    let report = ActivityReport {
        sessions: uses.sessions.into_values().collect(),
        api_keys: uses.api_keys.into_values().collect(),
        gate: gate.map(|(id, admits_for)| ReportingGate { id, admits_for }),
        // An invalid age leaves the round incomplete. Idle sessions then end later, and active ones never by mistake.
        complete_age: message.complete_age.and_then(|age| age.try_into().ok()),
        is_leaving: message.leaving,
    };
    Ok(ParsedReport {
        report,
        refused,
        warnings,
    })
}

fn parse_activities(
    activities: &[v1::Activity],
    refused: &mut RefusedActivities,
    warnings: &mut Vec<v1::ActivityWarning>,
) -> CredentialUses {
    let mut uses = CredentialUses::default();
    for (index, activity) in activities.iter().enumerate() {
        match parse_activity(activity) {
            Ok((used, mended)) => {
                uses.add(used);
                add_warnings(warnings, index, mended);
            }
            Err(error) => refused.add(index, error),
        }
    }
    uses
}

fn add_warnings(warnings: &mut Vec<v1::ActivityWarning>, index: usize, mended: Vec<FieldWarning>) {
    for warning in mended {
        // The answer must stay small, as with refused entries.
        if warnings.len() >= PROBLEMS_MAX {
            return;
        }
        warnings.push(v1::ActivityWarning {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            warning: Some(render::warning(warning)),
        });
    }
}

/// The gate of a report or a stream, and the time for which it admits requests without an authority. None: the gate is
/// not named.
pub(super) fn gate(
    field: &str,
    id: &[u8],
    admits_for: Option<prost_types::Duration>,
) -> Result<Option<(GateId, Duration)>, AppError> {
    if id.is_empty() {
        return Ok(None);
    }
    let Ok(id) = id.try_into() else {
        return Err(AppError::invalid(field, "must be 16 bytes"));
    };
    // Unset or invalid counts as the maximum: nobody can tell how long such a gate admits while it is cut off.
    let admits_for = match admits_for {
        Some(duration) => duration.try_into().unwrap_or(AGE_MAX),
        None => AGE_MAX,
    };
    Ok(Some((id, admits_for.min(AGE_MAX))))
}

impl RefusedActivities {
    fn add(&mut self, index: usize, error: AppError) {
        // Counted even if it is not listed, so that the gate learns how many entries were refused.
        self.count += 1;
        if self.first.len() >= PROBLEMS_MAX {
            return;
        }
        let AppError::Invalid(problems) = error else {
            return;
        };
        // One problem of each entry is enough to find it.
        let Some(problem) = problems.into_iter().next() else {
            return;
        };
        self.first.push(v1::RefusedActivity {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            field: problem.field,
            description: problem.problem,
        });
    }
}

/// The tenant and the id of a credential.
type CredentialKey = (TenantId, [u8; 16]);

/// Each credential of a report once.
#[derive(Default)]
struct CredentialUses {
    // Ordered maps, so that any two reports lock rows in the same order and cannot deadlock.
    sessions: BTreeMap<CredentialKey, SessionActivity>,
    api_keys: BTreeMap<CredentialKey, ApiKeyUse>,
}

impl CredentialUses {
    fn add(&mut self, used: CredentialUse) {
        match used {
            CredentialUse::Session(used) => {
                let key = (used.tenant_id.clone(), used.session_id.to_bytes());
                merge_into(&mut self.sessions, key, used, SessionActivity::merged);
            }
            CredentialUse::ApiKey(used) => {
                let key = (used.tenant_id.clone(), used.id.to_bytes());
                merge_into(&mut self.api_keys, key, used, ApiKeyUse::merged);
            }
        }
    }
}

/// Adds the use of a credential to those that a report has named already.
fn merge_into<T>(
    all: &mut BTreeMap<CredentialKey, T>,
    key: CredentialKey,
    used: T,
    merge: fn(T, T) -> T,
) {
    // A session has several tokens, and a gate counts each for itself.
    let merged = match all.remove(&key) {
        Some(known) => merge(known, used),
        None => used,
    };
    all.insert(key, merged);
}

fn parse_activity(activity: &v1::Activity) -> Result<(CredentialUse, Vec<FieldWarning>), AppError> {
    let mut fields = Fields::default();
    let used = if activity.credential_id.starts_with("key_") {
        parse_api_key_use(&mut fields, activity).map(CredentialUse::ApiKey)
    } else {
        parse_session_use(&mut fields, activity).map(CredentialUse::Session)
    };
    let warnings = fields.take_warnings();
    let used = fields.finish(used)?.ok_or(AppError::Internal)?;
    Ok((used, warnings))
}

fn parse_session_use(fields: &mut Fields, activity: &v1::Activity) -> Option<SessionActivity> {
    let age = parse_age(fields, activity.age);
    let requests = parse_requests(fields, activity.requests);
    let ip = fields.ip("ip", &activity.ip);
    let page = fields.decoration::<PAGE_BYTES_MAX>("last_page", &activity.last_page);
    let tenant_id = fields.tenant("tenant_id", &activity.tenant_id);
    let session_id = fields.session("credential_id", &activity.credential_id);
    Some(SessionActivity {
        tenant_id: tenant_id?,
        session_id: session_id?,
        requests,
        age: age?,
        ip,
        page,
    })
}

fn parse_api_key_use(fields: &mut Fields, activity: &v1::Activity) -> Option<ApiKeyUse> {
    let age = parse_age(fields, activity.age);
    let requests = parse_requests(fields, activity.requests);
    // Not kept for a key, and read all the same, so that a gate learns of its mistake.
    fields.ip("ip", &activity.ip);
    fields.decoration::<PAGE_BYTES_MAX>("last_page", &activity.last_page);
    let tenant_id = fields.tenant("tenant_id", &activity.tenant_id);
    let id = fields.api_key("credential_id", &activity.credential_id);
    Some(ApiKeyUse {
        tenant_id: tenant_id?,
        id: id?,
        requests,
        age: age?,
    })
}

fn parse_age(fields: &mut Fields, age: Option<prost_types::Duration>) -> Option<Duration> {
    match Duration::try_from(age.unwrap_or_default()) {
        Ok(age) if age <= AGE_MAX => Some(age),
        _ => {
            fields.wrong("age", format!("must be from 0 to {} s", AGE_MAX.as_secs()));
            None
        }
    }
}

fn parse_requests(fields: &mut Fields, requests: u32) -> u64 {
    if requests > REQUESTS_MAX {
        fields.wrong("requests", format!("must be at most {REQUESTS_MAX}"));
    }
    requests.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "ses_01h455vb4pex5vsknk084sn02q";

    type Change = Box<dyn FnOnce(&mut v1::Activity)>;

    fn activity(change: impl FnOnce(&mut v1::Activity)) -> v1::Activity {
        let mut activity = v1::Activity {
            tenant_id: "acme".into(),
            credential_id: SESSION.into(),
            requests: 1,
            age: Some(prost_types::Duration {
                seconds: 5,
                nanos: 0,
            }),
            ip: "10.0.0.1".into(),
            last_page: "/".into(),
        };
        change(&mut activity);
        activity
    }

    fn report(activities: Vec<v1::Activity>) -> Result<ParsedReport, AppError> {
        parse(&v1::ReportActivityRequest {
            activities,
            ..Default::default()
        })
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        let cases: [(&str, Change); 11] = [
            ("tenant_id", Box::new(|wrong| wrong.tenant_id.clear())),
            (
                "tenant_id",
                Box::new(|wrong| wrong.tenant_id = "a\n".into()),
            ),
            (
                "credential_id",
                Box::new(|wrong| wrong.credential_id.clear()),
            ),
            (
                "credential_id",
                Box::new(|wrong| wrong.credential_id = "evt_01h455vb4pex5vsknk084sn02q".into()),
            ),
            (
                "credential_id",
                Box::new(|wrong| wrong.credential_id = "ses_".into()),
            ),
            (
                "credential_id",
                Box::new(|wrong| wrong.credential_id = "key_".into()),
            ),
            ("requests", Box::new(|wrong| wrong.requests = (1 << 31) + 1)),
            ("age", Box::new(move |wrong| wrong.age = duration(-1, 0))),
            ("age", Box::new(move |wrong| wrong.age = duration(0, -1))),
            (
                "age",
                Box::new(move |wrong| wrong.age = duration(86_400, 1)),
            ),
            (
                "age",
                Box::new(move |wrong| wrong.age = duration(i64::MAX, i32::MAX)),
            ),
        ];
        for (field, change) in cases {
            let good = activity(|_| ());
            let read = report(vec![good.clone(), activity(change), good]).expect("a report");
            let [refusal] = &read.refused.first[..] else {
                panic!("{:?}", read.refused);
            };
            assert_eq!((refusal.index, refusal.field.as_str()), (1, field));
            let requests = read
                .report
                .sessions
                .iter()
                .map(|seen| seen.requests)
                .sum::<u64>();
            assert_eq!(requests, 2, "the good entries stay");
        }
        let error = report(vec![activity(|_| ()); ACTIVITIES_MAX + 1]).expect_err("too many");
        assert!(matches!(error, AppError::Invalid(_)), "{error:?}");
    }

    #[test]
    fn decoration_is_mended_and_refuses_no_entry() {
        let long = "x".repeat(513);
        let cases: [(&str, &str, &str, &str, &str); 5] = [
            ("10.0.0.1:80", "/a", "10.0.0.1", "/a", "ip"),
            ("::ffff:10.0.0.1", "/a", "10.0.0.1", "/a", ""),
            ("unknown", "/a", "", "/a", "ip"),
            ("10.0.0.1", "/a\u{0}b", "10.0.0.1", "/a b", "last_page"),
            ("10.0.0.1", &long, "10.0.0.1", &long[..512], "last_page"),
        ];
        for credential in [SESSION, "key_01h455vb4pex5vsknk084sn02q"] {
            for (ip, page, kept_ip, kept_page, field) in cases {
                let good = activity(|other| other.tenant_id = "other".into());
                let odd = activity(|odd| {
                    odd.credential_id = credential.into();
                    odd.ip = ip.into();
                    odd.last_page = page.into();
                });
                let read = report(vec![good, odd]).expect("a report");
                assert_eq!(read.refused.count, 0, "{ip} {page}");
                let mut warned = Vec::new();
                for warning in &read.warnings {
                    let about = warning.warning.as_ref().expect("a field");
                    warned.push((warning.index, about.field.as_str()));
                }
                let expected = if field.is_empty() {
                    vec![]
                } else {
                    vec![(1, field)]
                };
                assert_eq!(warned, expected, "{ip} {page}");
                for used in &read.report.sessions {
                    if used.tenant_id.as_str() == "acme" {
                        assert_eq!((used.ip.as_str(), used.page.as_str()), (kept_ip, kept_page));
                    }
                }
            }
        }
        let odd = activity(|odd| odd.ip = "unknown".into());
        let read = report(vec![odd; ACTIVITIES_MAX]).expect("a report");
        assert_eq!(read.warnings.len(), PROBLEMS_MAX);
    }

    #[test]
    fn an_answer_counts_all_refused_entries_and_names_a_few() {
        let wrong = activity(|wrong| wrong.requests = u32::MAX);
        let read = report(vec![wrong; ACTIVITIES_MAX]).expect("a report");
        assert_eq!(read.refused.first.len(), PROBLEMS_MAX);
        assert_eq!(read.refused.count as usize, ACTIVITIES_MAX);
    }

    #[test]
    fn each_stands_once_in_the_order_of_ids_and_keys_are_not_sessions() {
        let older = activity(|older| {
            (older.requests, older.age) = (
                3,
                Some(prost_types::Duration {
                    seconds: 9,
                    nanos: 0,
                }),
            );
        });
        let other = activity(|other| other.tenant_id = "aaa".into());
        let key = activity(|key| key.credential_id = "key_01h455vb4pex5vsknk084sn02q".into());
        let older_key = v1::Activity {
            age: older.age,
            ..key.clone()
        };
        let activities = vec![older, activity(|_| ()), older_key, other, key];
        let report = report(activities).expect("a report").report;
        let sessions = report
            .sessions
            .iter()
            .map(|read| (read.tenant_id.as_str(), read.requests, read.age.as_secs()));
        assert_eq!(
            sessions.collect::<Vec<_>>(),
            [("aaa", 1, 5), ("acme", 4, 5)]
        );
        let keys = report
            .api_keys
            .iter()
            .map(|read| (read.tenant_id.as_str(), read.requests, read.age.as_secs()));
        assert_eq!(keys.collect::<Vec<_>>(), [("acme", 2, 5)]);
    }
}
