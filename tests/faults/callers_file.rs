//! Callers that change while the authority serves: their bearers, their end, and the file that has them.

use std::time::{Duration, SystemTime};

use portcullis_authority::config::{BearerConfig, CallerConfig, Config, Role};
use portcullis_contract::v1::{self, revocation_service_client::RevocationServiceClient};
use portcullis_tests::{
    authority::{OPERATOR, digest, ready, reason},
    serve::Serve,
    telemetry::Scraped,
    wait::eventually,
};
use portcullis_validator::Validator;
use tonic::Status;

const OLD: &str = "the-old-bearer";
const NEW: &str = "the-new-bearer";

/// A removed caller's streams are gone within this time: two looks at the file, and a moment.
const GONE: Duration = Duration::from_secs(5);

fn bearer(bearer: &str, not_after: Option<SystemTime>) -> BearerConfig {
    BearerConfig {
        sha256: digest(bearer),
        not_after,
    }
}

/// A gate's caller with bearers that have no end.
fn edge(bearers: &[&str]) -> CallerConfig {
    CallerConfig {
        name: "edge".into(),
        bearer_sha256: None,
        san: None,
        roles: vec![Role::Gateway, Role::Operator],
        tenant: None,
        bearers: bearers.iter().map(|text| bearer(text, None)).collect(),
    }
}

/// Replaces the caller of the gate.
fn set_edge(config: &mut Config, caller: Option<CallerConfig>) {
    config.callers.retain(|caller| caller.name != "edge");
    config.callers.extend(caller);
}

async fn serve(caller: CallerConfig) -> Serve {
    Serve::start("info", |config| set_edge(config, Some(caller))).await
}

async fn gate(authority: &Serve, name: &str, bearer: &str) -> Validator {
    ready(authority.gate(name).bearer(bearer)).await
}

/// The streams that the authority has, by name, with their begin.
async fn streams(authority: &Serve) -> Vec<(String, SystemTime)> {
    let listed = list(authority, OPERATOR).await.expect("a list");
    let mut streams = Vec::new();
    for gate in listed.validators {
        let since = gate.connect_time.expect("a time");
        streams.push((gate.name, SystemTime::try_from(since).expect("a time")));
    }
    streams.sort();
    streams
}

async fn list(authority: &Serve, bearer: &str) -> Result<v1::ListValidatorsResponse, Status> {
    let mut client = RevocationServiceClient::new(authority.transport(bearer));
    let listed = client.list_validators(v1::ListValidatorsRequest {}).await?;
    Ok(listed.into_inner())
}

async fn names(authority: &Serve) -> Vec<String> {
    let streams = streams(authority).await;
    streams.into_iter().map(|(name, _)| name).collect()
}

/// Waits until there is one stream, and not the one of before.
async fn another_stream(
    authority: &Serve,
    before: &[(String, SystemTime)],
) -> Vec<(String, SystemTime)> {
    eventually("another stream", async || {
        let streams = streams(authority).await;
        (streams.len() == 1 && streams != before).then_some(streams)
    })
    .await
}

async fn is_stale(authority: &Serve) -> Option<f64> {
    let scraped = Scraped::of(authority.http).await;
    scraped.value("portcullis_callers_stale", &[])
}

#[tokio::test]
async fn a_bearer_is_replaced_without_an_outage_and_the_old_one_ends_with_its_streams() {
    let mut authority = serve(edge(&[OLD])).await;
    let old = gate(&authority, "old", OLD).await;
    let begun = streams(&authority).await;
    assert_eq!(
        reason(&list(&authority, NEW).await.expect_err("unknown")),
        "CREDENTIALS_INVALID"
    );

    // Both count, and the stream is the one that it was.
    authority.reconfigure(|config| set_edge(config, Some(edge(&[OLD, NEW]))));
    eventually("the new bearer counts", async || {
        list(&authority, NEW).await.ok()
    })
    .await;
    assert!(list(&authority, OLD).await.is_ok());
    assert_eq!(streams(&authority).await, begun);
    assert!(old.is_ready());

    // Only the new one counts.
    let new = gate(&authority, "new", NEW).await;
    let kept = streams(&authority).await.remove(0);
    assert_eq!(kept.0, "new");
    authority.reconfigure(|config| set_edge(config, Some(edge(&[NEW]))));
    let asked = SystemTime::now();
    eventually("the old bearer's stream is gone", async || {
        (streams(&authority).await == [kept.clone()]).then_some(())
    })
    .await;
    assert!(asked.elapsed().expect("a time") < GONE);
    let refused = list(&authority, OLD).await.expect_err("refused");
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
    assert!(new.is_ready());
    eventually("the gate of the old bearer is stale", async || {
        (!old.is_ready()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_gate_takes_a_new_bearer_from_its_file_and_stays_ready() {
    let mut authority = serve(edge(&[OLD, NEW])).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("gateway.bearer");
    let replace = |text: &str| {
        let part = directory.path().join("part");
        std::fs::write(&part, text).expect("written");
        std::fs::rename(&part, &file).expect("renamed");
    };
    replace(&format!("{OLD}\n"));
    let gate = ready(authority.gate("edge").bearer_file(&file)).await;
    let begun = streams(&authority).await;

    // A file that cannot be used changes nothing: the stream that comes next still has the old bearer.
    replace("");
    let mut other_roles = edge(&[OLD, NEW]);
    other_roles.roles = vec![Role::Gateway];
    authority.reconfigure(|config| set_edge(config, Some(other_roles.clone())));
    let second = another_stream(&authority, &begun).await;

    replace(&format!("{NEW}\n"));
    other_roles.bearers.remove(0);
    authority.reconfigure(|config| set_edge(config, Some(other_roles)));
    another_stream(&authority, &second).await;
    assert!(gate.is_ready());
}

#[tokio::test]
async fn a_removed_caller_loses_its_streams_and_so_does_one_with_other_roles() {
    let mut authority = serve(edge(&[OLD])).await;
    let _removed = gate(&authority, "removed", OLD).await;
    let _kept = ready(authority.gate("kept")).await;
    let begun = streams(&authority).await;
    assert_eq!(begun[0].0, "kept");

    authority.reconfigure(|config| set_edge(config, None));
    eventually("the stream is gone", async || {
        (streams(&authority).await == begun[..1]).then_some(())
    })
    .await;
    assert_eq!(
        reason(&list(&authority, OLD).await.expect_err("removed")),
        "CREDENTIALS_INVALID"
    );

    // It comes back by itself, and goes again when it may not watch.
    authority.reconfigure(|config| set_edge(config, Some(edge(&[OLD]))));
    eventually("the gate is back", async || {
        (names(&authority).await.len() == 2).then_some(())
    })
    .await;
    let mut operator = edge(&[OLD]);
    operator.roles = vec![Role::Operator];
    authority.reconfigure(|config| set_edge(config, Some(operator)));
    eventually("the stream is gone", async || {
        (names(&authority).await == ["kept"]).then_some(())
    })
    .await;
    assert!(list(&authority, OLD).await.is_ok());
}

#[tokio::test]
async fn a_bearer_ends_at_its_time_with_its_streams() {
    let mut caller = edge(&[NEW]);
    let end = SystemTime::now() + Duration::from_secs(6);
    caller.bearers.push(bearer(OLD, Some(end)));
    let authority = serve(caller).await;
    let _old = gate(&authority, "old", OLD).await;
    let _new = gate(&authority, "new", NEW).await;
    assert_eq!(names(&authority).await, ["new", "old"]);
    eventually("the stream is gone", async || {
        (names(&authority).await == ["new"]).then_some(())
    })
    .await;
    let now = SystemTime::now();
    assert!(
        now >= end && now < end + GONE,
        "{:?}",
        now.duration_since(end)
    );
    let refused = list(&authority, OLD).await.expect_err("over");
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
    let scraped = Scraped::of(authority.http).await;
    let name = "portcullis_credentials_refused_total";
    let counted = scraped.value(name, &[("portcullis_reason", "expired_bearer")]);
    assert!(counted.is_some_and(|count| count >= 1.0), "{counted:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_keeps_the_callers_and_is_reported_once_with_its_key() {
    let mut authority = serve(edge(&[OLD])).await;
    let gate = gate(&authority, "old", OLD).await;
    let begun = streams(&authority).await;
    assert_eq!(is_stale(&authority).await, Some(0.0));
    let reported = "the configuration file cannot be used";

    let mut wrong = edge(&[OLD]);
    wrong.bearers[0].sha256 = "hunter2".into();
    authority.reconfigure(|config| set_edge(config, Some(wrong)));
    eventually("the bad file is seen", async || {
        (is_stale(&authority).await == Some(1.0)).then_some(())
    })
    .await;
    // The gauge changes first, and the line comes through a pipe.
    eventually("the bad file is reported", async || {
        authority.log().contains(reported).then_some(())
    })
    .await;
    let log = authority.log();
    assert!(log.contains(".bearers[0].sha256"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");

    // Neither does a file that is gone change anything.
    let count = authority.log().matches(reported).count();
    assert_eq!(count, 1);
    std::fs::remove_file(authority.configuration_file()).expect("removed");
    eventually("the absence is seen", async || {
        (authority.log().matches(reported).count() > count).then_some(())
    })
    .await;
    assert!(list(&authority, OLD).await.is_ok());
    assert_eq!(streams(&authority).await, begun);
    assert!(gate.is_ready());

    authority.reconfigure(|config| set_edge(config, Some(edge(&[OLD, NEW]))));
    eventually("the good file counts", async || {
        list(&authority, NEW).await.ok()
    })
    .await;
    eventually("the gauge says so", async || {
        (is_stale(&authority).await == Some(0.0)).then_some(())
    })
    .await;
    assert_eq!(streams(&authority).await, begun);
    assert_eq!(authority.log().matches(reported).count(), 2);
}

#[tokio::test]
async fn sighup_reads_the_file_and_ends_nothing() {
    let mut authority = serve(edge(&[OLD])).await;
    let _gate = gate(&authority, "old", OLD).await;
    let begun = streams(&authority).await;
    for round in 1..4 {
        authority.hang_up();
        let read = "the callers are those of the configuration file";
        eventually("the file is read", async || {
            (authority.log().matches(read).count() >= round).then_some(())
        })
        .await;
    }
    assert!(!authority.has_ended());
    assert_eq!(streams(&authority).await, begun);
}
