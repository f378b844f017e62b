//! A gate watches two authorities at a time: the better proof wins, and no request is refused while one of them lives.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use portcullis_authority::{config::Config, keys::MasterKey};
use portcullis_contract::v1::{
    self, revocation_service_client::RevocationServiceClient,
    session_service_client::SessionServiceClient,
};
use portcullis_tests::{
    authority::{
        ADMIN, AUDIENCE, GATEWAY, ISSUER, LOGIN, OPERATOR, TENANT, TestAuthority, ready,
        session_id, sign_in, transport, write_private,
    },
    gate::{refused, rejection},
    ports::free_address,
    postgres::{fresh_schema, fresh_url, shared},
    proxy::{Link, Proxy},
    serve::Serve,
    wait::eventually,
};
use portcullis_validator::{Builder, Rejection, Validator};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The staleness that the gates here enforce.
const STALENESS: Duration = Duration::from_secs(1);
/// How long a fault lasts: long enough to lose any lease.
const FAULT: Duration = Duration::from_secs(4);
/// Tasks that check tokens, beside one that revokes.
const CHECKERS: u64 = 3;

fn gate_of(endpoints: &[String]) -> Builder {
    let mut builder = Validator::builder(&endpoints[0]);
    for endpoint in &endpoints[1..] {
        builder = builder.endpoint(endpoint);
    }
    builder
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .max_staleness(STALENESS)
}

/// Two authorities in processes of their own, over one database, each behind a proxy.
struct Pair {
    serves: [Serve; 2],
    proxies: [Proxy; 2],
    _key: TempDir,
}

impl Pair {
    async fn start() -> Self {
        let url = fresh_url().await;
        let key = tempfile::tempdir().expect("a directory");
        let file = key.path().join("master.key");
        write_private(&file, &MasterKey::generate().to_base64());
        let settings = |config: &mut Config| {
            config.store.url.clone_from(&url);
            config.keys.master_key_file.clone_from(&file);
        };
        let serves = [
            Serve::start("info", settings).await,
            Serve::start("info", settings).await,
        ];
        let proxies = [
            Proxy::start(serves[0].grpc).await,
            Proxy::start(serves[1].grpc).await,
        ];
        Self {
            serves,
            proxies,
            _key: key,
        }
    }

    fn gate(&self) -> Builder {
        gate_of(&[url(&self.proxies[0]), url(&self.proxies[1])])
    }
}

fn url(proxy: &Proxy) -> String {
    format!("http://{}", proxy.address())
}

async fn sign_in_at(endpoint: &str, user: &str) -> v1::CreateSessionResponse {
    let mut client = SessionServiceClient::new(transport(endpoint, LOGIN));
    let created = client.create_session(sign_in(user)).await;
    created.expect("a sign-in").into_inner()
}

async fn revoke_at(endpoint: &str, session: &v1::CreateSessionResponse) {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(session),
        ..Default::default()
    };
    let mut client = SessionServiceClient::new(transport(endpoint, ADMIN));
    client.revoke_session(request).await.expect("revoked");
}

/// Checks a token that lives all the time, and counts the checks. Whatever refuses it fails the test.
fn check_all_the_time(
    gate: &Validator,
    token: &str,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Arc<AtomicU64> {
    let checks = Arc::new(AtomicU64::new(0));
    for _ in 0..CHECKERS {
        let (gate, token, stop) = (gate.clone(), token.to_owned(), stop.clone());
        let checks = Arc::clone(&checks);
        tasks.spawn(async move {
            while !stop.is_cancelled() {
                for _ in 0..100 {
                    let refused = rejection(&gate, &token);
                    assert_eq!(
                        refused,
                        None,
                        "after {checks:?} checks, {:?}",
                        gate.freshness()
                    );
                    checks.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    checks
}

/// Revokes sessions at an authority until `stop`, and sees each refused within the staleness.
async fn revoke_all_the_time(gate: &Validator, endpoint: &str, stop: &CancellationToken) -> u64 {
    let mut revoked = 0;
    while !stop.is_cancelled() {
        let session = sign_in_at(endpoint, "bob").await;
        revoke_at(endpoint, &session).await;
        let acknowledged = Instant::now();
        assert_eq!(
            refused(gate, &session.access_token).await,
            Rejection::Revoked
        );
        assert!(
            acknowledged.elapsed() <= STALENESS,
            "{:?}",
            acknowledged.elapsed()
        );
        revoked += 1;
    }
    revoked
}

/// Makes a fault at the first authority, under load, and returns when the gate has gone through it.
async fn go_through(pair: &Pair, gate: &Validator, living: &str, fault: impl AsyncFnOnce()) {
    let alive = sign_in_at(living, "ada").await;
    eventually("two streams", async || {
        let connected = pair.proxies.iter().all(|proxy| proxy.connections() > 0);
        connected.then_some(())
    })
    .await;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let checks = check_all_the_time(gate, &alive.access_token, &stop, &tasks);
    let ending = async {
        fault().await;
        tokio::time::sleep(FAULT).await;
        stop.cancel();
    };
    let (revoked, ()) = tokio::join!(revoke_all_the_time(gate, living, &stop), ending);
    tasks.close();
    tasks.wait().await;
    let checks = checks.load(Ordering::Relaxed);
    assert!(
        revoked > 10 && checks > 10_000,
        "{revoked} revoked, {checks} checked"
    );
    let statistics = gate.statistics();
    assert_eq!(statistics.forks, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_one_request_is_refused_when_one_of_two_authorities_is_killed() {
    let mut pair = Pair::start().await;
    let gate = ready(pair.gate()).await;
    let living = pair.serves[1].endpoint();
    let id = pair.serves[0].id();
    go_through(&pair, &gate, &living, async || kill(id)).await;
    // Reports go over the stream that lives.
    gate.close().await;
    pair.serves[0].kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_one_request_is_refused_when_one_of_two_authorities_hangs_and_goes_on() {
    let pair = Pair::start().await;
    let gate = ready(pair.gate()).await;
    let living = pair.serves[1].endpoint();
    go_through(&pair, &gate, &living, async || pair.serves[0].hang().await).await;
    pair.serves[0].go_on();
    // The other one now: the gate has both again, or it would be lost.
    eventually("the first stream to be back", async || {
        let streams = streams_at(&pair.serves[0].endpoint()).await?;
        (streams == 1).then_some(())
    })
    .await;
    let living = pair.serves[0].endpoint();
    go_through(&pair, &gate, &living, async || pair.serves[1].hang().await).await;
    pair.serves[1].go_on();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_one_request_is_refused_when_one_of_two_authorities_is_behind_a_black_hole() {
    let pair = Pair::start().await;
    let gate = ready(pair.gate()).await;
    let living = pair.serves[1].endpoint();
    let fault = async || pair.proxies[0].set(Link::BLACK_HOLE);
    go_through(&pair, &gate, &living, fault).await;
}

/// `kill -9`.
fn kill(id: u32) {
    let id = i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let killed = rustix::process::kill_process(id.expect("an id"), rustix::process::Signal::KILL);
    killed.expect("killed");
}

/// The number of streams that an authority has. None: it does not answer.
async fn streams_at(endpoint: &str) -> Option<usize> {
    let mut client = RevocationServiceClient::new(transport(endpoint, OPERATOR));
    let listed = client.list_validators(v1::ListValidatorsRequest {}).await;
    let answering = listed.ok()?.into_inner().replicas.into_iter().next()?;
    Some(answering.streams as usize)
}

/// Waits until the gate has left a black hole: it connects anew. Returns how long that took.
async fn leave_black_hole(staleness: Duration) -> Duration {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(authority.config.server.grpc_listen).await;
    let gate = gate_of(&[url(&proxy)]).max_staleness(staleness);
    let _gate = ready(gate).await;
    assert_eq!(proxy.connections(), 1);
    proxy.set(Link::BLACK_HOLE);
    let begun = Instant::now();
    // The old connection stays at the proxy: nothing gets through, not even that it was closed.
    eventually("a new connection", async || {
        (proxy.connections() > 1).then_some(())
    })
    .await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_stream_is_left_within_the_bound() {
    for staleness in [Duration::from_secs(1), Duration::from_secs(5)] {
        let took = leave_black_hole(staleness).await;
        println!("{staleness:?}: left after {took:?}");
        assert!(took < staleness, "{took:?} of {staleness:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_streams_of_a_gate_to_one_authority_count_as_one_gate() {
    let authority = TestAuthority::sqlite().await;
    let port = authority.config.server.grpc_listen.port();
    let endpoints = [
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}/"),
    ];
    let gate = ready(gate_of(&endpoints).name("twice")).await;
    eventually("two streams", async || {
        let streams = streams_at(&authority.endpoint()).await?;
        (streams == 2).then_some(())
    })
    .await;

    let session = authority.sign_in("ada").await;
    assert_eq!(rejection(&gate, &session.access_token), None);
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&session),
        ..Default::default()
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    let enforcement = revoked.expect("revoked").into_inner().enforcement;
    assert_eq!(enforcement.expect("an enforcement").validators, 1);
    assert_eq!(
        refused(&gate, &session.access_token).await,
        Rejection::Revoked
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_ends_says_so_to_both_authorities() {
    let schema = fresh_schema().await;
    let often = Duration::from_millis(100);
    let first = TestAuthority::with(|config| {
        config.store.url.clone_from(&schema.url);
        config.sessions.sweep_interval = often;
    })
    .await;
    let second = first.replica().await;
    let gate = gate_of(&[first.endpoint(), second.endpoint()]).activity_interval(often);
    let gate = ready(gate).await;
    let admin = shared().await.admin().await;
    let count = format!("SELECT count(*)::text FROM {}.gates", schema.name);
    let known = async |number: &str| {
        let gates = admin.text(&count).await;
        (gates == number).then_some(())
    };
    for authority in [&first, &second] {
        eventually("a stream at each", async || {
            let streams = streams_at(&authority.endpoint()).await?;
            (streams == 1).then_some(())
        })
        .await;
    }
    eventually("one gate, not two", async || known("1").await).await;

    gate.close().await;
    eventually("no gate", async || known("0").await).await;
    // Each authority sweeps several times: neither brings the gate back, though its streams are open.
    let end = Instant::now() + 10 * often;
    while Instant::now() < end {
        assert!(known("0").await.is_some(), "the gate came back");
        tokio::time::sleep(often / 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_three_authorities_a_second_stream_moves_to_the_one_that_is_free() {
    let first = TestAuthority::postgres(&fresh_url().await).await;
    let (mut second, third) = (first.replica().await, first.replica().await);
    let endpoints = [&first, &second, &third].map(TestAuthority::endpoint);
    let gate = ready(gate_of(&endpoints)).await;
    let streams = async |number: usize| streams_at(&endpoints[number]).await.unwrap_or(0);
    eventually("the first two", async || {
        (streams(0).await == 1 && streams(1).await == 1).then_some(())
    })
    .await;
    assert_eq!(streams(2).await, 0);
    second.stop().await;
    eventually("the third", async || (streams(2).await == 1).then_some(())).await;
    assert_eq!(streams(0).await, 1, "the other stream stays where it is");
    assert!(gate.is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_starts_by_the_second_authority_when_the_first_is_gone() {
    let authority = TestAuthority::sqlite().await;
    let endpoints = [format!("http://{}", free_address()), authority.endpoint()];
    let gate = ready(gate_of(&endpoints)).await;
    let session = authority.sign_in("ada").await;
    assert_eq!(rejection(&gate, &session.access_token), None);
}
