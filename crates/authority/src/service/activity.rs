//! What gates report, read and recorded.

use std::{collections::BTreeMap, time::Duration};

use portcullis_contract::{id::TenantId, v1};

use super::{parse::Fields, status::ServiceError};
use crate::{
    domain::SessionActivity,
    log::retry::Backoff,
    store::{Store, StoreError},
};

/// The most credentials of one report.
const ACTIVITIES_MAX: usize = 10_000;
/// The most requests of one credential in one report.
const REQUESTS_MAX: u32 = 1 << 31;
/// The oldest request that is reported.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest path, in bytes.
const PAGE_BYTES_MAX: usize = 512;
/// The most problems that are told: an answer has to fit into an error.
const PROBLEMS_MAX: usize = 32;
/// How often a report is tried that met another transaction.
const ATTEMPTS: u32 = 4;

/// Reads a report: each session once, in the order of keys.
pub(super) fn read(report: &v1::ReportActivityRequest) -> Result<Vec<SessionActivity>, ServiceError> {
    let mut fields = Fields::default();
    if report.activities.len() > ACTIVITIES_MAX {
        return Err(ServiceError::invalid("activities", format!("must have at most {ACTIVITIES_MAX} entries")));
    }
    let mut sessions = BTreeMap::new();
    for (index, activity) in report.activities.iter().enumerate() {
        if fields.problems() >= PROBLEMS_MAX {
            break;
        }
        // Here the uses of API keys part from those of sessions. Keys are not there yet.
        if activity.credential_id.starts_with("key_") {
            continue;
        }
        let mut own = Fields::default();
        let read = read_one(&mut own, activity);
        fields.within(|| format!("activities[{index}]"), own);
        if let Some(read) = read {
            add(&mut sessions, read);
        }
    }
    fields.finish(sessions.into_values().collect())
}

fn add(sessions: &mut BTreeMap<(TenantId, [u8; 16]), SessionActivity>, read: SessionActivity) {
    let key = (read.tenant_id.clone(), read.session_id.to_bytes());
    let merged = match sessions.remove(&key) {
        Some(known) => known.merged(read),
        None => read,
    };
    sessions.insert(key, merged);
}

fn read_one(fields: &mut Fields, activity: &v1::Activity) -> Option<SessionActivity> {
    let age = Duration::try_from(activity.age.unwrap_or_default()).ok().filter(|age| *age <= AGE_MAX);
    if age.is_none() {
        fields.wrong("age", format!("must be from 0 to {} s", AGE_MAX.as_secs()));
    }
    if activity.requests > REQUESTS_MAX {
        fields.wrong("requests", format!("must be at most {REQUESTS_MAX}"));
    }
    let ip = fields.ip("ip", &activity.ip);
    let page = fields.text::<PAGE_BYTES_MAX>("last_page", &activity.last_page);
    let tenant_id = fields.tenant("tenant_id", &activity.tenant_id);
    let session_id = fields.session("credential_id", &activity.credential_id);
    let requests = u64::from(activity.requests);
    Some(SessionActivity { tenant_id: tenant_id?, session_id: session_id?, requests, age: age?, ip, page })
}

/// Records a report. Another gate's may be in the way for a moment: they lock rows in one order, but beside appenders.
pub(super) async fn record(store: &dyn Store, activities: &[SessionActivity]) -> Result<(), ServiceError> {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(200));
    for _ in 1..ATTEMPTS {
        match store.record_activity(activities).await {
            Err(StoreError::Conflict(_)) => tokio::time::sleep(backoff.step()).await,
            recorded => return Ok(recorded?),
        }
    }
    Ok(store.record_activity(activities).await?)
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
            age: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
            ip: "10.0.0.1".into(),
            last_page: "/".into(),
        };
        change(&mut activity);
        activity
    }

    fn fields(activities: Vec<v1::Activity>) -> Vec<String> {
        match read(&v1::ReportActivityRequest { activities }) {
            Err(ServiceError::Invalid(violations)) => violations.into_iter().map(|wrong| wrong.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        let cases: [(&str, Change); 13] = [
            ("tenant_id", Box::new(|wrong| wrong.tenant_id.clear())),
            ("tenant_id", Box::new(|wrong| wrong.tenant_id = "a\n".into())),
            ("credential_id", Box::new(|wrong| wrong.credential_id.clear())),
            ("credential_id", Box::new(|wrong| wrong.credential_id = "evt_01h455vb4pex5vsknk084sn02q".into())),
            ("credential_id", Box::new(|wrong| wrong.credential_id = "ses_".into())),
            ("requests", Box::new(|wrong| wrong.requests = (1 << 31) + 1)),
            ("age", Box::new(move |wrong| wrong.age = duration(-1, 0))),
            ("age", Box::new(move |wrong| wrong.age = duration(0, -1))),
            ("age", Box::new(move |wrong| wrong.age = duration(86_400, 1))),
            ("age", Box::new(move |wrong| wrong.age = duration(i64::MAX, i32::MAX))),
            ("ip", Box::new(|wrong| wrong.ip = "300.1.1.1".into())),
            ("last_page", Box::new(|wrong| wrong.last_page = "x".repeat(513))),
            ("last_page", Box::new(|wrong| wrong.last_page = "/a\u{0}b".into())),
        ];
        for (field, change) in cases {
            let good = activity(|_| ());
            assert_eq!(fields(vec![good.clone(), activity(change), good]), [format!("activities[1].{field}")]);
        }
        assert_eq!(fields(vec![activity(|_| ()); ACTIVITIES_MAX + 1]), ["activities"]);
    }

    #[test]
    fn an_error_names_a_few_of_many_problems() {
        let wrong = activity(|wrong| wrong.ip = "x".into());
        assert_eq!(fields(vec![wrong; ACTIVITIES_MAX]).len(), PROBLEMS_MAX);
    }

    #[test]
    fn a_session_stands_once_in_the_order_of_keys_and_keys_are_not_sessions() {
        let older =
            activity(|older| (older.requests, older.age) = (3, Some(prost_types::Duration { seconds: 9, nanos: 0 })));
        let other = activity(|other| other.tenant_id = "aaa".into());
        let key = activity(|key| key.credential_id = "key_01h455vb4pex5vsknk084sn02q".into());
        let report = v1::ReportActivityRequest { activities: vec![older, activity(|_| ()), key, other] };
        let read = read(&report).expect("a report");
        let read: Vec<_> =
            read.iter().map(|read| (read.tenant_id.as_str(), read.requests, read.age.as_secs())).collect();
        assert_eq!(read, [("aaa", 1, 5), ("acme", 4, 5)]);
    }
}
