//! What gates report, read and recorded.

use std::{collections::BTreeMap, time::Duration};

use portcullis_contract::{id::TenantId, v1};

use super::parse::{Fields, PROBLEMS_MAX};
use crate::{
    app::{App, AppError},
    client_info::places::Places,
    domain::{
        Actor, ApiKeyUse, GateId, LastUse, MovedSession, PendingEvent, SessionActivity,
        findings::SessionObservation,
    },
    log::retry::Backoff,
    store::StoreError,
};

/// The most credentials of one report.
const ACTIVITIES_MAX: usize = 10_000;
/// The most requests of one credential in one report.
const REQUESTS_MAX: u32 = 1 << 31;
/// The oldest request that is reported.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest path, in bytes.
const PAGE_BYTES_MAX: usize = 512;
/// How often a report is tried that met another transaction.
const ATTEMPTS: u32 = 4;

/// What a gate reports: each session and each API key once, in the order of their ids.
#[derive(Debug)]
pub(super) struct Report {
    sessions: Vec<SessionActivity>,
    api_keys: Vec<ApiKeyUse>,
    refused: Refused,
    gate: Option<(GateId, Duration)>,
    complete_age: Option<Duration>,
    leaving: bool,
}

/// What a report says of one credential.
enum Seen {
    Session(SessionActivity),
    ApiKey(ApiKeyUse),
}

/// Reads a report. An entry with something wrong in it does not hinder the others.
pub(super) fn read(report: &v1::ReportActivityRequest) -> Result<Report, AppError> {
    if report.activities.len() > ACTIVITIES_MAX {
        return Err(AppError::invalid(
            "activities",
            format!("must have at most {ACTIVITIES_MAX} entries"),
        ));
    }
    let gate = gate("gate_id", &report.gate_id, report.admits_for)?;
    let mut refused = Refused::default();
    let mut sessions = BTreeMap::new();
    let mut api_keys = BTreeMap::new();

    for (index, activity) in report.activities.iter().enumerate() {
        let mut fields = Fields::default();
        let read = read_one(&mut fields, activity);
        match fields.finish(read) {
            Ok(Some(Seen::Session(seen))) => {
                let key = (seen.tenant_id.clone(), seen.session_id.to_bytes());
                add(&mut sessions, key, seen, SessionActivity::merged);
            }
            Ok(Some(Seen::ApiKey(seen))) => {
                let key = (seen.tenant_id.clone(), seen.id.to_bytes());
                add(&mut api_keys, key, seen, ApiKeyUse::merged);
            }
            Ok(None) => {}
            Err(error) => refused.add(index, error),
        }
    }
    Ok(Report {
        sessions: sessions.into_values().collect(),
        api_keys: api_keys.into_values().collect(),
        refused,
        gate,
        complete_age: report.complete_age.and_then(|age| age.try_into().ok()),
        leaving: report.leaving,
    })
}

/// The gate that a report or a stream is of, and how long it admits without an authority. None: it does not say.
pub(super) fn gate(
    field: &str,
    id: &[u8],
    admits_for: Option<prost_types::Duration>,
) -> Result<Option<(GateId, Duration)>, AppError> {
    if id.is_empty() {
        return Ok(None);
    }
    let id = id
        .try_into()
        .map_err(|_| AppError::invalid(field, "must be 16 bytes"))?;
    // Unset is as bad as for ever: nobody can tell what such a gate does while it is cut off.
    let admits_for = admits_for.map_or(Some(AGE_MAX), |duration| duration.try_into().ok());
    Ok(Some((id, admits_for.unwrap_or(AGE_MAX).min(AGE_MAX))))
}

/// Entries that are not recorded.
#[derive(Debug, Default)]
struct Refused {
    count: u32,
    /// The first of them.
    first: Vec<v1::RefusedActivity>,
}

impl Refused {
    fn add(&mut self, index: usize, error: AppError) {
        self.count += 1;
        if self.first.len() >= PROBLEMS_MAX {
            return;
        }
        let AppError::Invalid(violations) = error else {
            return;
        };
        // One problem of each entry: it says where to look.
        let Some(violation) = violations.into_iter().next() else {
            return;
        };
        self.first.push(v1::RefusedActivity {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            field: violation.field,
            description: violation.problem,
        });
    }
}

type Key = (TenantId, [u8; 16]);

fn add<T>(all: &mut BTreeMap<Key, T>, key: Key, seen: T, merge: fn(T, T) -> T) {
    let merged = match all.remove(&key) {
        Some(known) => merge(known, seen),
        None => seen,
    };
    all.insert(key, merged);
}

fn read_one(fields: &mut Fields, activity: &v1::Activity) -> Option<Seen> {
    let age = Duration::try_from(activity.age.unwrap_or_default())
        .ok()
        .filter(|age| *age <= AGE_MAX);
    if age.is_none() {
        fields.wrong("age", format!("must be from 0 to {} s", AGE_MAX.as_secs()));
    }
    if activity.requests > REQUESTS_MAX {
        fields.wrong("requests", format!("must be at most {REQUESTS_MAX}"));
    }
    let ip = fields.ip("ip", &activity.ip);
    let page = fields.text::<PAGE_BYTES_MAX>("last_page", &activity.last_page);
    let tenant_id = fields.tenant("tenant_id", &activity.tenant_id);
    let requests = u64::from(activity.requests);
    if activity.credential_id.starts_with("key_") {
        let id = fields.api_key("credential_id", &activity.credential_id);
        return Some(Seen::ApiKey(ApiKeyUse {
            tenant_id: tenant_id?,
            id: id?,
            requests,
            age: age?,
        }));
    }
    let session_id = fields.session("credential_id", &activity.credential_id);
    let (tenant_id, session_id, age) = (tenant_id?, session_id?, age?);
    Some(Seen::Session(SessionActivity {
        tenant_id,
        session_id,
        requests,
        age,
        ip,
        page,
    }))
}

/// Records a report, and what it lets be found about sessions.
pub(super) async fn record(
    app: &App,
    report: Report,
) -> Result<v1::ReportActivityResponse, AppError> {
    let store = &app.store;
    if !report.sessions.is_empty() {
        let moved = patiently(|| store.record_activity(&report.sessions)).await?;
        if let Err(error) = note_findings(app, &moved).await {
            // The gate would say again what was counted.
            tracing::warn!(%error, sessions = moved.len(), "findings are not in the audit trail");
        }
    }
    if !report.api_keys.is_empty()
        && let Err(error) = patiently(|| store.record_api_key_uses(&report.api_keys)).await
    {
        // The gate would say again what was counted of sessions, which idleness goes by; of keys it is statistics.
        tracing::warn!(%error, keys = report.api_keys.len(), "uses of API keys are lost");
    }
    note_gate(app, &report);
    Ok(v1::ReportActivityResponse {
        refused: report.refused.count,
        refusals: report.refused.first,
    })
}

/// Notes that the gate has told everything, once what it told is recorded.
fn note_gate(app: &App, report: &Report) {
    let Some((id, admits_for)) = report.gate else {
        return;
    };
    if let Some(age) = report.complete_age {
        app.gates.complete(id, age, admits_for);
    }
    if report.leaving {
        app.gates.leave(id, admits_for);
    }
}

/// Writes down what is found about sessions now, and was not before.
async fn note_findings(app: &App, moved: &[MovedSession]) -> Result<(), StoreError> {
    let mut events = Vec::new();
    for session in moved {
        let policy = app.policies.of(&session.tenant_id).await?;
        let found = |used: &LastUse| {
            sight(&app.places, session, used).findings(used.at, &policy.findings_disabled)
        };
        let before = found(&session.before);
        let new = found(&session.after)
            .into_iter()
            .filter(|new| before.iter().all(|old| old.code != new.code));
        let of = (&session.tenant_id, session.id, &session.user_id);
        events.extend(
            new.map(|new| PendingEvent::finding(&new, session.after.at, of, Actor::authority())),
        );
    }
    app.store.add_pending_events(&events).await
}

/// A session as its use shows it.
fn sight(places: &Places, session: &MovedSession, used: &LastUse) -> SessionObservation {
    let ip = used.ip.parse().ok();
    SessionObservation {
        created: session.created,
        active: true,
        ended_by: None,
        opened_in: session.opened_in.clone(),
        used_in: ip.map_or_else(|| session.opened_in.clone(), |ip| places.lookup(ip)),
        used_from: ip,
        // No report shows it.
        refresh_token_shared: false,
    }
}

/// Another gate's report may be in the way for a moment: they lock rows in one order, but beside appenders.
async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
    record: impl Fn() -> F,
) -> Result<T, StoreError> {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(200));
    for _ in 1..ATTEMPTS {
        match record().await {
            Err(StoreError::Conflict(_)) => tokio::time::sleep(backoff.step()).await,
            recorded => return recorded,
        }
    }
    record().await
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

    fn report(activities: Vec<v1::Activity>) -> Result<Report, AppError> {
        read(&v1::ReportActivityRequest {
            activities,
            ..Default::default()
        })
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        let cases: [(&str, Change); 14] = [
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
            ("ip", Box::new(|wrong| wrong.ip = "300.1.1.1".into())),
            (
                "last_page",
                Box::new(|wrong| wrong.last_page = "x".repeat(513)),
            ),
            (
                "last_page",
                Box::new(|wrong| wrong.last_page = "/a\u{0}b".into()),
            ),
        ];
        for (field, change) in cases {
            let good = activity(|_| ());
            let read = report(vec![good.clone(), activity(change), good]).expect("a report");
            let [refusal] = &read.refused.first[..] else {
                panic!("{:?}", read.refused);
            };
            assert_eq!((refusal.index, refusal.field.as_str()), (1, field));
            let requests = read.sessions.iter().map(|seen| seen.requests).sum::<u64>();
            assert_eq!(requests, 2, "the good entries stay");
        }
        let error = report(vec![activity(|_| ()); ACTIVITIES_MAX + 1]).expect_err("too many");
        assert!(matches!(error, AppError::Invalid(_)), "{error:?}");
    }

    #[test]
    fn an_answer_counts_all_refused_entries_and_names_a_few() {
        let wrong = activity(|wrong| wrong.ip = "x".into());
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
        let report = report(activities).expect("a report");
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
