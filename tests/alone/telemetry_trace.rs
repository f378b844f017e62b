//! Traces: one sign-out is one trace, from its caller through the commit to every gate, whoever records it.

use std::time::{Duration, Instant};

use opentelemetry::{
    Context, global,
    trace::{SpanKind, TraceContextExt, Tracer},
};
use portcullis_authority::{
    Authority,
    config::TelemetryConfig,
    store::{LogStore, sqlite::Sqlite},
    telemetry::Traces,
};
use portcullis_contract::{
    delta::{TRACE_PARENTS_MAX, trace_parents},
    position::Revision,
    trace::TraceParent,
    v1::{self, session_service_client::SessionServiceClient},
};
use portcullis_tests::{
    authority::{ADMIN, LOGIN, TENANT, TestAuthority, ready, session_id, sign_in},
    calls,
    gate::applied,
    given,
    serve::Serve,
    telemetry::{Received, Receiver},
};
use tokio::net::TcpListener;
use tonic::Request;

fn revoke(
    session: &v1::CreateSessionResponse,
    parent: TraceParent,
) -> Request<v1::RevokeSessionRequest> {
    let mut request = Request::new(v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(session),
        reason: "a lost phone".into(),
        ..Default::default()
    });
    request.metadata_mut().insert(
        "traceparent",
        parent.to_string().parse().expect("a header value"),
    );
    request
}

fn exporting(endpoint: &str, name: &str) -> TelemetryConfig {
    TelemetryConfig {
        otlp_endpoint: Some(endpoint.to_owned()),
        service_name: name.into(),
        trace_sample_ratio: 1.0,
        ..TelemetryConfig::default()
    }
}

#[allow(
    clippy::print_stdout,
    reason = "the documentation shows what it prints"
)]
/// The trace as the documentation shows it: times in milliseconds from its beginning.
fn print(trace: &[Received]) {
    let begin = trace
        .iter()
        .map(|received| received.span.start_time_unix_nano)
        .min()
        .unwrap_or_default();
    let since = |nanos: u64| Duration::from_nanos(nanos - begin).as_secs_f64() * 1000.0;
    for Received { service, span } in trace {
        let gate = Received {
            service: service.clone(),
            span: span.clone(),
        }
        .attribute("portcullis.validator.name");
        let (from, to) = (
            since(span.start_time_unix_nano),
            since(span.end_time_unix_nano),
        );
        println!(
            "{from:7.2} {to:7.2}  {service:10} {} {}",
            span.name,
            gate.unwrap_or_default()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
async fn one_revocation_at_three_gates_is_one_trace() {
    let receiver = Receiver::start().await;
    let mut authority = Serve::start("info", |config| {
        config.telemetry = exporting(&receiver.endpoint, "authority");
        config.telemetry.trace_sample_ratio = 0.0;
    })
    .await;
    let traces = Traces::start(&exporting(&receiver.endpoint, "gate"))
        .expect("an exporter")
        .expect("configured");
    global::set_tracer_provider(traces.provider());
    let mut gates = Vec::new();
    for name in ["berlin", "lisbon", "oslo"] {
        gates.push(ready(authority.gate(name)).await);
    }
    let created = SessionServiceClient::new(authority.transport(LOGIN))
        .create_session(sign_in("ada"))
        .await;
    let created = created.expect("a sign-in").into_inner();

    let tracer = global::tracer("test");
    let client = Context::new().with_span(
        tracer
            .span_builder("sign out")
            .with_kind(SpanKind::Client)
            .start_with_context(&tracer, &Context::new()),
    );
    let of = client.span().span_context().clone();
    let parent = TraceParent {
        trace_id: u128::from_be_bytes(of.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(of.span_id().to_bytes()),
        sampled: true,
    };
    let mut admin = SessionServiceClient::new(authority.transport(ADMIN));
    let revoked = admin
        .revoke_session(revoke(&created, parent))
        .await
        .expect("revoked")
        .into_inner();
    client.span().end();
    let revision = revoked.enforcement.expect("an enforcement").revision;
    for gate in &gates {
        applied(gate, revision).await;
    }
    // Whatever is waiting to be exported is sent at the end.
    assert!(authority.terminate().await.success());
    traces.shut_down().await;

    let trace = receiver.trace(parent.trace_id, 6).await;
    print(&trace);
    assert_eq!(trace.len(), 6, "{trace:#?}");
    let named = |name: &str| {
        trace
            .iter()
            .filter(|received| received.span.name == name)
            .collect::<Vec<_>>()
    };
    let client = named("sign out")[0];
    let rpc = named("portcullis.v1.SessionService/RevokeSession")[0];
    assert_eq!(rpc.span.parent_span_id, client.span.span_id);
    assert_eq!(rpc.service, "authority");
    for (key, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", "portcullis.v1.SessionService/RevokeSession"),
        ("rpc.response.status_code", "OK"),
    ] {
        assert_eq!(rpc.attribute(key).as_deref(), Some(value), "{key}");
    }
    let commit = named("commit log")[0];
    assert_eq!(commit.span.parent_span_id, rpc.span.span_id);
    assert_eq!(
        commit.attribute("db.system.name").as_deref(),
        Some("sqlite")
    );
    assert_eq!(
        commit.attribute("db.operation.name").as_deref(),
        Some("commit")
    );
    assert_eq!(
        commit.attribute("portcullis.revision"),
        Some(revision.to_string())
    );
    let applies = named("portcullis.validator.apply");
    let mut names: Vec<_> = applies
        .iter()
        .filter_map(|apply| apply.attribute("portcullis.validator.name"))
        .collect();
    names.sort();
    assert_eq!(names, ["berlin", "lisbon", "oslo"]);
    for apply in applies {
        assert_eq!(apply.span.parent_span_id, rpc.span.span_id);
        assert_eq!(
            apply.attribute("portcullis.revision"),
            Some(revision.to_string())
        );
        assert!(
            apply.span.end_time_unix_nano >= commit.span.end_time_unix_nano,
            "applied before it was committed"
        );
    }
    // Calls whose caller records nothing are not recorded: the sign-in was one.
    let names: Vec<_> = receiver
        .spans()
        .into_iter()
        .map(|received| received.span.name)
        .collect();
    assert!(
        !names.iter().any(|name| name.ends_with("CreateSession")),
        "{names:?}"
    );
    // The same metrics that Prometheus reads were sent, at the end at the latest.
    assert!(
        receiver
            .metric_names()
            .iter()
            .any(|name| name == "rpc.server.call.duration"),
        "{:?}",
        receiver.metric_names()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_holds_nothing_up() {
    // It is connected to, and never answers.
    let hung = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", hung.local_addr().expect("an address"));
    let mut authority = Serve::start("info", |config| {
        config.telemetry = exporting(&endpoint, "authority");
        config.server.drain_timeout = Duration::from_millis(400);
    })
    .await;
    let mut login = SessionServiceClient::new(authority.transport(LOGIN));
    for _ in 0..20 {
        login
            .create_session(sign_in("ada"))
            .await
            .expect("a sign-in");
    }
    let begun = Instant::now();
    assert!(authority.terminate().await.success());
    // A tenth of a second of notice, four tenths of draining, two seconds for telemetry; the rest is a slow machine.
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_of_the_first_sampled_call_of_its_batch_with_links_to_a_few_more() {
    let receiver = Receiver::start().await;
    let endpoint = receiver.endpoint.clone();
    let mut authority = Serve::start("info", |config| {
        config.telemetry = exporting(&endpoint, "authority");
    })
    .await;
    let mut login = SessionServiceClient::new(authority.transport(LOGIN));
    let (mut calls, admin) = (
        Vec::new(),
        SessionServiceClient::new(authority.transport(ADMIN)),
    );
    for number in 1..=40 {
        let created = login
            .create_session(sign_in("ada"))
            .await
            .expect("a sign-in")
            .into_inner();
        let request = revoke(
            &created,
            TraceParent {
                trace_id: number,
                span_id: 7,
                sampled: true,
            },
        );
        let mut admin = admin.clone();
        calls.push(async move { admin.revoke_session(request).await });
    }
    // The first is committed alone; the others gather meanwhile.
    let revoked = futures::future::join_all(calls).await;
    assert!(revoked.iter().all(Result::is_ok));
    assert!(authority.terminate().await.success());

    let commits: Vec<_> = receiver
        .spans()
        .into_iter()
        .filter(|received| received.span.name == "commit log")
        .collect();
    let size = |commit: &Received| -> usize {
        commit
            .attribute("db.operation.batch.size")
            .and_then(|size| size.parse().ok())
            .expect("a size")
    };
    assert_eq!(commits.iter().map(size).sum::<usize>(), 40);
    assert!(
        commits.iter().any(|commit| size(commit) > 4),
        "no batch of many: {commits:#?}"
    );
    for commit in &commits {
        assert_eq!(
            commit.span.links.len(),
            size(commit).min(TRACE_PARENTS_MAX) - 1
        );
        assert!(
            commit
                .span
                .links
                .iter()
                .all(|link| link.trace_id != commit.span.trace_id)
        );
    }
}

#[tokio::test]
async fn a_delta_carries_a_few_trace_parents_whatever_its_batch() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Sqlite::open(directory.path()).await.expect("a store");
    let mut entries = Vec::new();
    for number in 1..=10 {
        let session = calls::open(&store, &given::sign_in(TENANT, "ada")).await;
        let mut entry = given::revoke(&[&session]);
        entry.trace_parent = Some(
            TraceParent {
                trace_id: number,
                span_id: 7,
                sampled: true,
            }
            .to_string(),
        );
        entries.push(entry);
    }
    let before = calls::head(&store).await;
    let outcomes = calls::append(&store, &entries).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.is_ok_and(|outcome| outcome.revision == before.next()))
    );
    let batches = store.tail(before, 10).await.expect("a tail");
    let traces: Vec<_> = trace_parents(&batches[0].frame.delta)
        .iter()
        .map(|parent| parent.trace_id)
        .collect();
    assert_eq!(traces, (1..=TRACE_PARENTS_MAX as u128).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_an_exporter_the_callers_own_context_travels_if_it_is_sampled() {
    let mut authority = TestAuthority::sqlite().await;
    let sampled = TraceParent {
        trace_id: 5,
        span_id: 6,
        sampled: true,
    };
    let mut revisions = Vec::new();
    for parent in [
        sampled,
        TraceParent {
            sampled: false,
            ..sampled
        },
    ] {
        let session = authority.sign_in("ada").await;
        let revoked = authority
            .sessions(ADMIN)
            .revoke_session(revoke(&session, parent))
            .await
            .expect("revoked");
        revisions.push(
            revoked
                .into_inner()
                .enforcement
                .expect("an enforcement")
                .revision,
        );
    }
    authority.stop().await;
    let store = Sqlite::open(&authority.directory().join("data"))
        .await
        .expect("the store");
    let parents = async |revision: u64| {
        let batches = store.tail(Revision(revision - 1), 1).await.expect("a tail");
        trace_parents(&batches[0].frame.delta)
    };
    assert_eq!(parents(revisions[0]).await, [sampled]);
    assert!(parents(revisions[1]).await.is_empty());
}

#[tokio::test]
async fn an_exporter_that_cannot_be_set_up_is_told_at_the_start() {
    let mut authority = TestAuthority::sqlite().await;
    authority.stop().await;
    for wrong in [
        // Without the file of its authority.
        "https://127.0.0.1:1",
        // In the clear, beyond this machine.
        "http://10.0.0.1:1",
        "127.0.0.1:1",
        "http://not an address",
    ] {
        let mut config = authority.config.clone();
        config.telemetry.otlp_endpoint = Some(wrong.into());
        let error = Authority::start(config)
            .await
            .err()
            .expect("an error")
            .to_string();
        assert!(error.starts_with("telemetry.otlp_"), "{error}");
    }
}
