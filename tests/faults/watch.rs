//! The watch protocol holds on bad networks, with lying gates and with clocks that differ.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use portcullis_contract::{
    delta::{self, Change},
    id::Serial,
    key::CredentialKind,
    position::Chain,
    position::{Position, Revision},
    v1::{self, watch_request::Message as Asked, watch_response::Message as Answer},
    watch::{AnyStream, Checksummed},
};
use portcullis_tests::{
    authority::{ADMIN, GATEWAY, OPERATOR, TENANT, TestAuthority, ready, reason, session_id},
    gate::{applied, rejection},
    postgres,
    proxy::{Link, Proxy},
    wait::{eventually, within},
};
use portcullis_validator::{Builder, Freshness, Rejection, Validator};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

async fn revoke(authority: &TestAuthority, session: &v1::CreateSessionResponse) -> v1::Enforcement {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(session),
        ..Default::default()
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    let revoked = revoked.expect("revoked").into_inner();
    revoked.enforcement.expect("an enforcement")
}

fn address(authority: &TestAuthority) -> SocketAddr {
    authority.config.server.grpc_listen
}

/// A validator's settings, for an authority behind a proxy.
fn gate_behind(authority: &TestAuthority, proxy: &Proxy) -> Builder {
    let settings = Validator::builder(format!("http://{}", proxy.address()));
    settings
        .bearer(GATEWAY)
        .issuer(authority.config.tokens.issuer.clone())
        .audience("gateway")
}

const STREAM: [u8; 16] = [7; 16];

/// A gate made by hand, which says what a test wants.
struct Handmade {
    asking: mpsc::Sender<v1::WatchRequest>,
    answers: Streaming<v1::WatchResponse>,
}

impl Handmade {
    async fn connect(authority: &TestAuthority, name: &str) -> Self {
        Self::connect_at(authority, name, v1::WatchHello::default()).await
    }

    /// Connects with the cursor and the proven head of a hello.
    async fn connect_at(authority: &TestAuthority, name: &str, at: v1::WatchHello) -> Self {
        let (asking, asked) = mpsc::channel(16);
        let hello = v1::WatchHello {
            max_staleness: Some(prost_types::Duration {
                seconds: 5,
                nanos: 0,
            }),
            mode: v1::ValidatorMode::Strict.into(),
            name: name.into(),
            stream: STREAM.to_vec().into(),
            ..at
        };
        let hello = v1::WatchRequest {
            message: Some(Asked::Hello(hello.sealed(&AnyStream))),
        };
        asking.send(hello).await.expect("room");
        let mut client = authority.revocations(GATEWAY);
        let opened = client.watch(ReceiverStream::new(asked)).await;
        let answers = opened.expect("a stream").into_inner();
        Self { asking, answers }
    }

    async fn claim(&self, revision: u64) {
        let probe = v1::WatchProbe {
            nonce: 1,
            applied_revision: revision,
            ..Default::default()
        };
        self.ask(probe.sealed(&STREAM)).await;
    }

    async fn ask(&self, probe: v1::WatchProbe) {
        let request = v1::WatchRequest {
            message: Some(Asked::Probe(probe)),
        };
        self.asking.send(request).await.expect("room");
    }

    /// The error that ends the stream, or the beat that answers a probe.
    async fn outcome(&mut self) -> Result<v1::WatchBeat, tonic::Status> {
        loop {
            let answer = within("an answer", self.answers.message()).await?;
            if let Some(Answer::Beat(beat)) = answer.expect("the stream goes on").message {
                return Ok(beat);
            }
        }
    }
}

#[tokio::test]
async fn a_claim_above_what_was_delivered_ends_the_stream_and_counts_nothing() {
    let authority = TestAuthority::sqlite().await;
    let honest = authority.ready_gate().await;
    let session = authority.sign_in("ada").await;
    let before = revoke(&authority, &session).await;
    applied(&honest, before.revision).await;

    let mut liar = Handmade::connect(&authority, "liar").await;
    liar.claim(u64::MAX).await;
    let error = liar.outcome().await.expect_err("refused");
    assert_eq!(reason(&error), "WATCH_REVISION_AHEAD");
    let revoked = revoke(&authority, &authority.sign_in("bob").await).await;
    assert!(revoked.confirmed <= 1, "the claim was counted: {revoked:?}");
    drop(liar);

    // A claim that is true is counted.
    let mut truthful = Handmade::connect(&authority, "truthful").await;
    truthful.claim(0).await;
    truthful.outcome().await.expect("a beat");
}

#[tokio::test]
async fn a_probe_that_was_damaged_ends_the_stream_and_counts_nothing() {
    let authority = TestAuthority::sqlite().await;
    let mut gate = Handmade::connect(&authority, "gate").await;
    let probe = v1::WatchProbe {
        nonce: 1,
        applied_revision: 0,
        ..Default::default()
    };
    let mut probe = probe.sealed(&STREAM);
    probe.nonce ^= 4;
    gate.ask(probe).await;
    let error = gate.outcome().await.expect_err("refused");
    assert_eq!(reason(&error), "WATCH_CORRUPTED");
}

#[tokio::test]
async fn gates_of_one_credential_and_name_count_once_and_are_listed_with_their_addresses() {
    let authority = TestAuthority::sqlite().await;
    let _other = ready(authority.gate().name("other")).await;
    let mut copies = Vec::new();
    for _ in 0..3 {
        copies.push(ready(authority.gate().name("copy")).await);
    }
    let revoked = revoke(&authority, &authority.sign_in("ada").await).await;
    assert_eq!(revoked.validators, 2);

    let listed = authority
        .revocations(OPERATOR)
        .list_validators(v1::ListValidatorsRequest {})
        .await
        .expect("a list")
        .into_inner();
    assert_eq!(listed.validators.len(), 4, "each stream is shown");
    let mut addresses = Vec::new();
    for gate in listed.validators {
        assert_eq!(gate.caller, "gateway");
        let address: SocketAddr = gate.address.parse().expect("an address with its port");
        assert!(address.ip().is_loopback());
        addresses.push(address);
    }
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 4);
}

/// Sign-outs during `time`, with a gate behind a proxy that flips bits: the violations, and how many checks were
/// decided by a fresh gate.
async fn sign_out_over_damaged_bytes(flip_one_in: u64, time: Duration) -> (u64, Vec<String>, u64) {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(address(&authority)).await;
    let staleness = Duration::from_millis(500);
    let gate = ready(gate_behind(&authority, &proxy).max_staleness(staleness)).await;
    proxy.set(Link {
        flip_one_in,
        ..Link::default()
    });
    let mut revoked: Vec<(String, Instant, bool)> = Vec::new();
    let (mut violations, mut decided) = (Vec::new(), 0);
    let end = Instant::now() + time;
    while Instant::now() < end {
        let session = authority.sign_in("ada").await;
        revoke(&authority, &session).await;
        revoked.push((session.access_token, Instant::now(), false));
        let recent = revoked.len().saturating_sub(200);
        for (token, acknowledged, refused) in &mut revoked[recent..] {
            // The clock is read before the check: a pause in between makes the token older than we think.
            let age = acknowledged.elapsed();
            match gate.check(token) {
                Ok(_) if *refused => violations.push(format!("again after {age:?}")),
                Ok(_) if age > staleness => violations.push(format!("late, after {age:?}")),
                Ok(_) => decided += 1,
                Err(Rejection::Revoked) => {
                    *refused = true;
                    decided += 1;
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (flip_one_in, violations, decided)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_between_gate_and_authority_accept_no_revoked_token() {
    let time = Duration::from_secs(12);
    let runs = [300, 2_000, 80].map(|one_in| sign_out_over_damaged_bytes(one_in, time));
    for (one_in, violations, decided) in futures::future::join_all(runs).await {
        assert!(
            violations.is_empty(),
            "one in {one_in}: {} of them, first {:?}",
            violations.len(),
            violations.first()
        );
        println!("one bit in {one_in} bytes: {decided} verdicts by a fresh gate");
    }
}

#[tokio::test]
async fn a_gate_gets_well_when_the_network_does() {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(address(&authority)).await;
    let gate = ready(gate_behind(&authority, &proxy)).await;
    proxy.set(Link {
        flip_one_in: 50,
        ..Link::default()
    });
    let session = authority.sign_in("ada").await;
    eventually("the gate to notice", async || {
        proxy.reset();
        (rejection(&gate, &session.access_token).is_some()).then_some(())
    })
    .await;
    proxy.set(Link::default());
    proxy.reset();
    within("the gate to be ready", gate.ready()).await;
    assert!(gate.check(&session.access_token).is_ok());
}

/// A PostgreSQL database whose clock a test can set: `statement_timestamp()` of its schema comes before the system's.
struct Clock {
    schema: postgres::Schema,
    admin: postgres::Admin,
}

impl Clock {
    async fn start() -> Self {
        let schema = postgres::fresh_schema().await;
        let admin = postgres::shared().await.admin().await;
        let name = &schema.name;
        let sql = format!(
            "CREATE TABLE {name}.clock (ahead interval NOT NULL); \
             INSERT INTO {name}.clock VALUES ('0'); \
             CREATE FUNCTION {name}.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS \
             $$ SELECT pg_catalog.statement_timestamp() + ahead FROM {name}.clock $$"
        );
        admin.batch_execute(&sql).await.expect("a clock");
        Self { schema, admin }
    }

    fn url(&self) -> String {
        let path = format!("search_path%3D{}", self.schema.name);
        self.schema
            .url
            .replace(&path, &format!("{path},pg_catalog"))
    }

    async fn set_ahead(&self, ahead: &str) {
        let name = &self.schema.name;
        let sql = format!("UPDATE {name}.clock SET ahead = '{ahead}'");
        self.admin.batch_execute(&sql).await.expect("set");
    }
}

#[tokio::test]
async fn a_token_is_judged_by_the_clock_that_gave_it_its_times() {
    let clock = Clock::start().await;
    clock.set_ahead("-4 minutes").await;
    let url = clock.url();
    let authority = TestAuthority::with(|config| {
        config.store.url = url;
        config.tokens.access_token_lifetime = Duration::from_secs(120);
    })
    .await;
    let gate = authority.ready_gate().await;
    // By the gate's own clock the first expired minutes ago, and the second is from the future.
    for ahead in ["-4 minutes", "4 minutes"] {
        clock.set_ahead(ahead).await;
        let session = authority.sign_in("ada").await;
        eventually("the gate to accept the token", async || {
            let skew = gate.statistics().clock_skew_micros?;
            (skew.abs() > 200_000_000).then_some(())?;
            gate.check(&session.access_token).ok()
        })
        .await;
        assert_eq!(rejection(&gate, &session.access_token), None, "{ahead}");
    }
}

#[tokio::test]
async fn a_gate_whose_clock_is_wrong_says_503_and_neither_accepts_nor_blames_the_token() {
    let clock = Clock::start().await;
    let authority = TestAuthority::postgres(&clock.url()).await;
    let gate = authority.ready_gate().await;
    let session = authority.sign_in("ada").await;
    assert_eq!(rejection(&gate, &session.access_token), None);
    for ahead in ["3 hours", "-3 hours"] {
        clock.set_ahead(ahead).await;
        eventually("the gate to know", async || {
            let rejection = rejection(&gate, &session.access_token)?;
            assert!(rejection.is_unavailable(), "{rejection:?}");
            (rejection == Rejection::ClockSkew).then_some(())
        })
        .await;
        assert!(matches!(gate.freshness(), Freshness::Unready { .. }));
    }
    clock.set_ahead("0").await;
    within("the gate to be ready", gate.ready()).await;
    assert_eq!(rejection(&gate, &session.access_token), None);
}

/// An authority whose errors were damaged on the way, as the transport of gates cannot read them.
struct Damaged(std::sync::Arc<std::sync::atomic::AtomicUsize>);

fn damaged<T>() -> Result<tonic::Response<T>, tonic::Status> {
    let mut headers = http::HeaderMap::new();
    let value = http::HeaderValue::from_static("5 is no base64");
    headers.insert("grpc-status-details-bin", value);
    let metadata = tonic::metadata::MetadataMap::from_headers(headers);
    let code = tonic::Code::Unavailable;
    Err(tonic::Status::with_metadata(code, "damaged", metadata))
}

#[tonic::async_trait]
impl v1::revocation_service_server::RevocationService for Damaged {
    type WatchStream = futures::stream::Pending<Result<v1::WatchResponse, tonic::Status>>;

    async fn watch(
        &self,
        _: tonic::Request<Streaming<v1::WatchRequest>>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        damaged()
    }

    async fn report_activity(
        &self,
        _: tonic::Request<v1::ReportActivityRequest>,
    ) -> Result<tonic::Response<v1::ReportActivityResponse>, tonic::Status> {
        damaged()
    }

    async fn list_validators(
        &self,
        _: tonic::Request<v1::ListValidatorsRequest>,
    ) -> Result<tonic::Response<v1::ListValidatorsResponse>, tonic::Status> {
        damaged()
    }

    async fn wait_for_enforcement(
        &self,
        _: tonic::Request<v1::WaitForEnforcementRequest>,
    ) -> Result<tonic::Response<v1::WaitForEnforcementResponse>, tonic::Status> {
        damaged()
    }

    type WatchEnforcementStream =
        futures::stream::Pending<Result<v1::WatchEnforcementResponse, tonic::Status>>;

    async fn watch_enforcement(
        &self,
        _: tonic::Request<v1::WatchEnforcementRequest>,
    ) -> Result<tonic::Response<Self::WatchEnforcementStream>, tonic::Status> {
        damaged()
    }

    async fn sign_out_everyone(
        &self,
        _: tonic::Request<v1::SignOutEveryoneRequest>,
    ) -> Result<tonic::Response<v1::SignOutEveryoneResponse>, tonic::Status> {
        damaged()
    }
}

#[tokio::test]
async fn an_answer_that_makes_the_transport_panic_does_not_end_the_gate() {
    let attempts = std::sync::Arc::default();
    let service = v1::revocation_service_server::RevocationServiceServer::new(Damaged(
        std::sync::Arc::clone(&attempts),
    ));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().add_service(service);
    let serving = tokio::spawn(server.serve_with_incoming(incoming));
    let _gate = Validator::builder(endpoint)
        .issuer("issuer")
        .audience("gateway")
        .start()
        .expect("good settings");
    eventually("a second attempt", async || {
        (attempts.load(std::sync::atomic::Ordering::Relaxed) > 1).then_some(())
    })
    .await;
    serving.abort();
}

/// Makes the view so large that its snapshot has about so many bytes: serials that are scattered do not compress.
async fn fill_view(authority: &TestAuthority, schema: &postgres::Schema, bytes: u64) {
    let admin = postgres::shared().await.admin().await;
    let name = &schema.name;
    let mut left = bytes / 2;
    let mut first = 1_000_000_u64;
    while left > 0 {
        let count = left.min(100_000);
        let serials = (0..count).map(|number| Serial(first + number * 24 + number % 7));
        let change = Change::Revoke {
            credential: CredentialKind::Session,
            serials: serials.collect(),
        };
        let delta = delta::encode(&[change], Vec::new());
        let head = admin
            .text(&format!(
                "SELECT revision || ' ' || encode(chain, 'hex') FROM {name}.log_head"
            ))
            .await;
        let (revision, chain) = head.split_once(' ').expect("two words");
        let revision = revision.parse::<u64>().expect("a number") + 1;
        let chain = Chain(from_hex(chain).try_into().expect("32 bytes"));
        let next = hex(&chain.next(&delta, &[0; 32]).0);
        let sql = format!(
            "BEGIN; \
             INSERT INTO {name}.log_batches (revision, delta, audit_digest, chain, stamped_us) VALUES \
             ({revision}, '\\x{delta}', '\\x{digest}', '\\x{next}', (extract(epoch FROM now()) * 1000000)::bigint); \
             UPDATE {name}.log_head SET revision = {revision}, chain = '\\x{next}'; \
             COMMIT",
            delta = hex(&delta),
            digest = hex(&[0; 32]),
        );
        admin.batch_execute(&sql).await.expect("a batch");
        left -= count;
        first += count * 24;
        eventually("the authority to follow", async || {
            let list = authority.revocations(OPERATOR);
            let list = { list }.list_validators(v1::ListValidatorsRequest {}).await;
            (list.ok()?.into_inner().head_revision >= revision).then_some(())
        })
        .await;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    digits.map(|pair| byte(pair).expect("hex")).collect()
}

/// Starts gates behind one link at once, and returns how long it took until all were fresh, and how long the bytes of
/// their snapshots need.
async fn start_herd(gates: u32, view: u64, link: u64) -> (Duration, Duration) {
    let schema = postgres::fresh_schema().await;
    let authority = TestAuthority::postgres(&schema.url).await;
    fill_view(&authority, &schema, view).await;
    let proxy = Proxy::start(address(&authority)).await;
    proxy.set_answers(Link {
        shared_bytes_per_second: link,
        ..Link::default()
    });
    let begun = Instant::now();
    let herd: Vec<_> = (0..gates)
        .map(|number| {
            let settings = gate_behind(&authority, &proxy).name(format!("gate {number}"));
            settings.start().expect("good settings")
        })
        .collect();
    for gate in &herd {
        let wait = Duration::from_secs(1_200);
        let ready = tokio::time::timeout(wait, gate.ready()).await;
        ready.expect("every gate gets its view");
    }
    let took = begun.elapsed();
    for gate in &herd {
        assert!(
            gate.is_ready(),
            "one that was ready gave up while others waited"
        );
    }
    let bytes = view * u64::from(gates);
    (took, Duration::from_secs_f64(bytes as f64 / link as f64))
}

/// The full size is `a_full_herd_gets_in_within_twice_the_time_of_its_bytes`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_of_gates_gets_in_within_twice_the_time_of_its_bytes() {
    let (took, needed) = start_herd(20, 1_000_000, 1_500_000).await;
    println!("20 gates, 1 MB each at 1.5 MB/s: {took:?}, the bytes need {needed:?}");
    assert!(
        took <= needed * 2,
        "{took:?}, and the bytes need {needed:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: 200 gates, 20 MB each, over a link of 20 MB/s"]
async fn a_full_herd_gets_in_within_twice_the_time_of_its_bytes() {
    let (took, needed) = start_herd(200, 20_000_000, 20_000_000).await;
    println!("200 gates, 20 MB each at 20 MB/s: {took:?}, the bytes need {needed:?}");
    assert!(
        took <= needed * 2,
        "{took:?}, and the bytes need {needed:?}"
    );
}

#[tokio::test]
async fn a_snapshot_over_a_slow_link_completes_however_long_it_takes() {
    let schema = postgres::fresh_schema().await;
    let authority = TestAuthority::postgres(&schema.url).await;
    fill_view(&authority, &schema, 2_500_000).await;
    let proxy = Proxy::start(address(&authority)).await;
    proxy.set_answers(Link {
        bytes_per_second: 250_000,
        ..Link::default()
    });
    let begun = Instant::now();
    // The default staleness is 5 s, and the bytes need 10 s.
    let gate = gate_behind(&authority, &proxy).start().expect("settings");
    let ready = tokio::time::timeout(Duration::from_secs(60), gate.ready()).await;
    ready.expect("the gate gets its view");
    assert!(
        begun.elapsed() > Duration::from_secs(8),
        "the link was not slow"
    );
}

#[tokio::test]
async fn a_snapshot_goes_on_where_a_broken_connection_left_it() {
    let schema = postgres::fresh_schema().await;
    let authority = TestAuthority::postgres(&schema.url).await;
    fill_view(&authority, &schema, 2_500_000).await;
    let proxy = Proxy::start(address(&authority)).await;
    proxy.set_answers(Link {
        bytes_per_second: 250_000,
        ..Link::default()
    });
    let gate = gate_behind(&authority, &proxy).start().expect("settings");
    // Each connection lasts for a third of the time that the whole needs.
    let breaking = async {
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            proxy.reset();
        }
    };
    let ready = tokio::time::timeout(Duration::from_secs(60), gate.ready());
    tokio::select! {
        ready = ready => ready.expect("the gate gets its view"),
        () = breaking => {}
    }
}

#[tokio::test]
async fn a_gate_that_invents_a_cursor_does_not_take_the_authority_out_of_service() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let here = gate.position().borrow().expect("a view");
    let invented = v1::Cursor::from(Position {
        revision: Revision(here.revision.0 + 1_000),
        ..here
    });
    let mut liar = Handmade::connect_at(
        &authority,
        "liar",
        v1::WatchHello {
            cursor: Some(invented.clone()),
            proven_head: Some(v1::ProvenHead {
                head: Some(invented),
                code: vec![7; 32].into(),
            }),
            ..Default::default()
        },
    )
    .await;
    let welcome = liar.answers.message().await.expect("an answer");
    let welcome = welcome.expect("an answer").message;
    assert!(
        matches!(&welcome, Some(Answer::Welcome(welcome)) if welcome.fork),
        "{welcome:?}"
    );
    let answer = authority.http("/readyz").await;
    assert!(answer.contains("200 OK"), "{answer}");
}
