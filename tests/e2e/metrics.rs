//! Metrics: what Prometheus reads after calls, and what a gate's meter reads after checks.

use std::{path::Path, time::Duration};

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use portcullis_contract::{
    v1::{self, revocation_service_client::RevocationServiceClient},
    watch::{AnyStream, Checksummed},
};
use portcullis_tests::{
    authority::{ADMIN, GATEWAY, LOGIN, TestAuthority, ready, sign_in},
    gate::applied,
    telemetry::Scraped,
    wait::{eventually, within},
};
use portcullis_validator::{Rejection, Validator};
use tokio_stream::StreamExt;
use tonic::{Request, transport::Endpoint};

const CALLS: &str = "rpc_server_call_duration_seconds_count";

async fn scrape(authority: &TestAuthority) -> Scraped {
    Scraped::of(authority.config.server.http_listen).await
}

#[tokio::test]
async fn calls_are_counted_by_rpc_and_code() {
    let authority = TestAuthority::sqlite().await;
    for _ in 0..3 {
        authority.sign_in("ada").await;
    }
    let denied = authority
        .sessions(ADMIN)
        .create_session(sign_in("ada"))
        .await;
    assert!(denied.is_err());
    let anonymous = authority.sessions("").create_session(sign_in("ada")).await;
    assert!(anonymous.is_err());
    // An rpc that is not served has no name of its own, whatever the caller calls it.
    let mut client = tonic::client::Grpc::new(authority.transport(LOGIN));
    client.ready().await.expect("connects");
    let path = http::uri::PathAndQuery::from_static("/portcullis.v1.Secret/CanaryMethod");
    let codec = tonic_prost::ProstCodec::<v1::GetSessionRequest, v1::GetSessionResponse>::default();
    let unknown = client
        .unary(
            tonic::Request::new(v1::GetSessionRequest::default()),
            path,
            codec,
        )
        .await;
    assert!(unknown.is_err());

    // A call is counted when its answer has been sent, which may be after the caller has it.
    let scraped = eventually("the last call is counted", async || {
        let scraped = scrape(&authority).await;
        let other = scraped.value(CALLS, &[("rpc_method", "_OTHER")]);
        other.is_some().then_some(scraped)
    })
    .await;
    let rpc = |code: &str| {
        let labels = [
            ("rpc_system_name", "grpc"),
            ("rpc_method", "portcullis.v1.SessionService/CreateSession"),
            ("rpc_response_status_code", code),
        ];
        scraped.value(CALLS, &labels)
    };
    assert_eq!(
        (rpc("OK"), rpc("PERMISSION_DENIED"), rpc("UNAUTHENTICATED")),
        (Some(3.0), Some(1.0), Some(1.0)),
        "{}",
        scraped.text()
    );
    assert_eq!(scraped.value(CALLS, &[("rpc_method", "_OTHER")]), Some(1.0));
    assert!(!scraped.text().contains("Canary"));
}

#[tokio::test]
async fn metrics_of_the_log_and_the_streams_move() {
    let authority = TestAuthority::sqlite().await;
    let gates = [
        authority.ready_gate().await,
        ready(authority.gate().name("other gate")).await,
    ];
    let session = authority.sign_in("ada").await;
    let revision = authority.revoke(&session).await;
    for gate in &gates {
        applied(gate, revision).await;
    }
    let commits = [
        ("db_system_name", "sqlite"),
        ("db_operation_name", "commit"),
    ];
    // The events of the sign-in become a batch of their own, at any moment from here on.
    let settled = |scraped: &Scraped| {
        let head = scraped.value("portcullis_log_head", &[]);
        let gates = ["test gate", "other gate"].map(|name| [("portcullis_validator_name", name)]);
        scraped.value("portcullis_feed_applied", &[]) == head
            && gates.iter().all(|gate| scraped.value("portcullis_validator_applied", gate) == head)
            && scraped.value("portcullis_enforcement_delay_seconds_count", &[]) >= Some(2.0)
            // A batch is counted when it is committed.
            && scraped.value("portcullis_log_batch_size_count", &[])
                == scraped.value("db_client_operation_duration_seconds_count", &commits)
    };
    let scraped = eventually("both gates to report", async || {
        let scraped = scrape(&authority).await;
        settled(&scraped).then_some(scraped)
    })
    .await;
    let value = |name: &str, labels: &[(&str, &str)]| {
        scraped
            .value(name, labels)
            .unwrap_or_else(|| panic!("no {name} {labels:?} in {}", scraped.text()))
    };
    assert!(value("portcullis_log_head", &[]) >= f64::from(u32::try_from(revision).expect("few")));
    assert_eq!(value("portcullis_watch_streams", &[]), 2.0);
    assert_eq!(value("portcullis_watch_streams_parked", &[]), 0.0);
    assert!(value("portcullis_feed_ring_depth", &[]) >= 1.0);
    assert!(value("portcullis_feed_ring_size_bytes", &[]) >= 1.0);
    assert!(value("portcullis_feed_snapshot_size_bytes", &[]) > 1.0);
    for name in ["test gate", "other gate"] {
        let labels = [("portcullis_validator_name", name)];
        assert!((0.0..30.0).contains(&value("portcullis_validator_probe_age_seconds", &labels)));
    }
    let batches = value("portcullis_log_batch_size_count", &[]);
    assert!(batches >= 2.0, "the first key, the revocation");
    assert!(value("portcullis_log_batch_size_sum", &[]) >= batches);
    // By the authority's own clock, and a probe is at most a second later than what it reports.
    assert!(value("portcullis_enforcement_delay_seconds_sum", &[]) < 30.0);
}

/// A validator that reads nothing, with room for a few bytes on its side of the connection.
#[tokio::test]
async fn a_stream_is_parked_while_its_reader_does_not_read_and_then_catches_up() {
    let authority = TestAuthority::sqlite().await;
    let parked = async || {
        scrape(&authority)
            .await
            .value("portcullis_watch_streams_parked", &[])
    };
    let endpoint = Endpoint::from_shared(authority.endpoint())
        .expect("an endpoint")
        .initial_stream_window_size(16);
    let mut client = RevocationServiceClient::new(endpoint.connect_lazy());
    let hello = v1::WatchHello {
        max_staleness: Some(prost_types::Duration {
            seconds: 5,
            nanos: 0,
        }),
        mode: v1::ValidatorMode::Strict.into(),
        stream: vec![5; 16].into(),
        ..Default::default()
    };
    let hello = v1::WatchRequest {
        message: Some(v1::watch_request::Message::Hello(hello.sealed(&AnyStream))),
    };
    let mut request = Request::new(tokio_stream::iter([hello]).chain(tokio_stream::pending()));
    let bearer = format!("Bearer {GATEWAY}").parse().expect("a header value");
    request.metadata_mut().insert("authorization", bearer);
    let mut answers = client.watch(request).await.expect("a stream").into_inner();
    let gate = authority.ready_gate().await;
    let mut revision = 0;
    for _ in 0..3 {
        revision = authority.revoke(&authority.sign_in("ada").await).await;
        applied(&gate, revision).await;
    }
    eventually("the slow one to be parked, and it alone", async || {
        (parked().await == Some(1.0)).then_some(())
    })
    .await;
    let mut last = 0;
    while last < revision {
        let answer = within("an answer", answers.message())
            .await
            .expect("an answer")
            .expect("not the end");
        if let Some(v1::watch_response::Message::Delta(delta)) = answer.message {
            assert!(
                last == 0 || delta.revision == last + 1,
                "{} after {last}",
                delta.revision
            );
            last = delta.revision;
        }
    }
    eventually("nobody to be parked", async || {
        (parked().await == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_gate_that_is_gone_has_no_series() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let series = async || {
        scrape(&authority)
            .await
            .value("portcullis_validator_applied", &[])
    };
    assert!(series().await.is_some());
    drop(gate);
    eventually("the series to end", async || {
        series().await.is_none().then_some(())
    })
    .await;
}

fn meter(gate: &Validator) -> (prometheus::Registry, SdkMeterProvider) {
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .build()
        .expect("an exporter");
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    gate.observe(&provider.meter("gate"));
    (registry, provider)
}

#[tokio::test]
async fn a_gate_counts_its_verdicts_and_its_caches() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let (registry, _provider) = meter(&gate);
    let (dead, alive) = (
        authority.sign_in("ada").await,
        authority.sign_in("ada").await,
    );
    for _ in 0..4 {
        gate.check(&alive.access_token).expect("accepted");
    }
    gate.check(&dead.access_token).expect("accepted");
    applied(&gate, authority.revoke(&dead).await).await;
    for _ in 0..2 {
        assert_eq!(
            gate.check(&dead.access_token).err(),
            Some(Rejection::Revoked)
        );
    }
    assert_eq!(gate.check("nonsense").err(), Some(Rejection::Malformed));

    let statistics = gate.statistics();
    assert_eq!(statistics.verdicts.accepted(), 5);
    assert_eq!(statistics.verdicts.rejected(&Rejection::Revoked), 2);
    assert_eq!(statistics.verdicts.rejected(&Rejection::Malformed), 1);
    assert_eq!((statistics.cache_hits, statistics.cache_misses), (5, 3));
    assert_eq!(
        statistics.applied_revision,
        gate.position().borrow().map(|at| at.revision.0)
    );
    assert!(
        statistics
            .freshness_age
            .is_some_and(|age| age < Duration::from_secs(30))
    );

    let scraped = Scraped::registry(&registry);
    let verdicts = |verdict: &str| {
        let labels = [
            ("portcullis_validator_name", "test gate"),
            ("portcullis_verdict", verdict),
        ];
        scraped.value("portcullis_validator_verdicts_total", &labels)
    };
    assert_eq!(verdicts("accepted"), Some(5.0), "{}", scraped.text());
    assert_eq!(
        (
            verdicts("revoked"),
            verdicts("malformed"),
            verdicts("expired")
        ),
        (Some(2.0), Some(1.0), Some(0.0))
    );
    let lookups = |result: &str| {
        scraped.value(
            "portcullis_validator_cache_lookups_total",
            &[("portcullis_cache_result", result)],
        )
    };
    assert_eq!((lookups("hit"), lookups("miss")), (Some(5.0), Some(3.0)));
    assert_eq!(
        scraped.value("portcullis_validator_cache_size", &[]),
        Some(2.0)
    );
    assert_eq!(scraped.value("portcullis_validator_forks", &[]), Some(0.0));
    assert!(
        scraped
            .value("portcullis_validator_revision", &[])
            .is_some_and(|revision| revision >= 2.0)
    );
    assert!(
        scraped
            .value("portcullis_validator_freshness_seconds", &[])
            .is_some_and(|age| age < 30.0)
    );
    // The meter does not keep a gate alive, and says nothing of one that is gone.
    drop(gate);
    let gone = || {
        Scraped::registry(&registry)
            .value("portcullis_validator_forks", &[])
            .is_none()
    };
    eventually("the series to end", async || gone().then_some(())).await;
}

#[tokio::test]
async fn every_metric_stands_in_the_document() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let (registry, _provider) = meter(&gate);
    let session = authority.sign_in("ada").await;
    gate.check(&session.access_token).expect("accepted");
    authority.revoke(&session).await;
    let served = eventually("a report", async || {
        let scraped = scrape(&authority).await;
        scraped
            .value("portcullis_enforcement_delay_seconds_count", &[])
            .map(|_| scraped)
    })
    .await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/observability.md");
    let document = std::fs::read_to_string(file).expect("the document");
    let gates = Scraped::registry(&registry);
    for (name, kind) in served
        .types()
        .chain(gates.types())
        .filter(|(name, _)| *name != "target_info")
    {
        let row = document
            .lines()
            .find(|line| line.contains(&format!("`{name}`")));
        let row = row.unwrap_or_else(|| panic!("{name} is not documented"));
        assert!(row.contains(kind), "{name} is a {kind}: {row}");
    }
}
