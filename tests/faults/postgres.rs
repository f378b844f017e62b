//! PostgreSQL that fails over, hangs, drops packets, is set up for speed, or stands behind a pooler.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use portcullis_authority::{
    check,
    config::Config,
    domain::{ClientInfo, Session, SessionFilter, SessionOrder, SignIn},
    store::{
        RefreshOutcome, Store, StoreError,
        postgres::{Postgres, PostgresOptions},
    },
};
use portcullis_tests::{
    authority::{LOGIN, TestAuthority, config},
    calls::{apply, apply_again, open, proof_of, rotate},
    given::{revoke, sign_in, sign_out, tenant},
    hang::{go_on, hang},
    postgres::{Admin, Cluster, Pooler, url_of_primary},
    proxy::{Link, Proxy},
    replay::is_alive,
    serve::{Serve, get},
    wait::{eventually, within},
};
use rustix::process::Pid;
use tokio::time::timeout;

/// The bound of the promise: a promotion is followed, whatever the old primary does.
const FOLLOWED: Duration = Duration::from_secs(10);

/// The bound of the promise: the next batch after one whose statement was not answered in time.
const NEXT_BATCH: Duration = Duration::from_secs(5);

async fn store(url: &str) -> Arc<dyn Store> {
    let opened = Postgres::open(url, &PostgresOptions::default()).await;
    Arc::new(opened.expect("opens"))
}

/// A URL of several hosts that says nothing of what they are.
fn url_of(addresses: &[std::net::SocketAddr]) -> String {
    let hosts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("postgres://postgres@{}/postgres", hosts.join(","))
}

async fn pair(settings: &[&str]) -> (Cluster, Cluster) {
    let primary = Cluster::start(settings).await;
    let standby = primary.synchronous_standby("standby1").await;
    (primary, standby)
}

/// Uses every connection of the store, so that each is open.
async fn warm(store: &Arc<dyn Store>) {
    each_lane_works(store).await;
    let filter = SessionFilter::of(tenant("t"));
    let lists = (0..64).map(|_| store.list_sessions(&filter, SessionOrder::Start, None, 10));
    for list in join_all(lists).await {
        list.expect("a list");
    }
}

/// Waits until each lane has done something.
async fn each_lane_works(store: &Arc<dyn Store>) {
    let batch = [sign_out("t", &["nobody"])];
    let new = sign_in("t", "u");
    tokio::join!(
        eventually("a batch", async || store.append(&batch).await.ok()),
        eventually("a beat", async || store.beat(&[1; 16]).await.ok()),
        eventually("the head", async || store.head().await.ok()),
        eventually("a sign-in", async || store.sign_in(&new).await.ok()),
        eventually("a read", async || store
            .count_sessions(&new.tenant_id, 1)
            .await
            .ok()),
    );
}

#[tokio::test]
async fn each_lane_leaves_a_host_that_only_reads_when_another_is_promoted() {
    let (mut primary, standby) = pair(&[]).await;
    let store = store(&url_of(&[primary.address(), standby.address()])).await;
    warm(&store).await;
    primary.kill().await;
    // Without a primary: each lane looks for one, and meets the standby.
    for _ in 0..3 {
        let batch = [sign_out("t", &["v"])];
        let (appended, beat) = within("both give up", async {
            tokio::join!(store.append(&batch), store.beat(&[1; 16]))
        })
        .await;
        assert!(appended.is_err_and(|error| error.is_retryable()));
        assert!(beat.is_err_and(|error| error.is_retryable()));
        assert!(store.sign_in(&sign_in("t", "v")).await.is_err());
    }
    assert!(store.outage().duration().is_some());
    standby.promote().await;
    within("the promotion to be followed", each_lane_works(&store)).await;
    eventually("the outage is over", async || {
        store.head().await.ok();
        store.outage().duration().is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_meets_a_server_that_only_reads_leaves_the_pool_at_once() {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let store = store(&format!("{}?application_name=service", cluster.url())).await;
    warm(&store).await;
    let admin = cluster.admin().await;
    let pids = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'service'";
    let before: u32 = admin.text(pids).await.parse().expect("a number");

    // Its open sessions refuse to write from now on, as those of a primary that was made a standby.
    cluster
        .configure("default_transaction_read_only = on")
        .await;
    let batch = [sign_out("t", &["v"])];
    eventually("a write is refused", async || {
        let refused = store.append(&batch).await.err()?;
        assert!(refused.is_retryable(), "{refused}");
        Some(())
    })
    .await;
    eventually("a beat is refused", async || {
        store.beat(&[1; 16]).await.err()
    })
    .await;
    let new = sign_in("t", "v");
    assert!(store.sign_in(&new).await.is_err());
    eventually("the connections are closed", async || {
        let now: u32 = admin.text(pids).await.parse().expect("a number");
        (now + 3 <= before).then_some(())
    })
    .await;

    let execute = async |sql: &str| admin.batch_execute(sql).await.expect("a change");
    execute("SET default_transaction_read_only = off").await;
    execute("ALTER SYSTEM RESET default_transaction_read_only").await;
    execute("SELECT pg_reload_conf()").await;
    within("each lane is back", each_lane_works(&store)).await;
}

/// Follows the promotion of the standby while the old primary is silent.
async fn follow_promotion(store: &Arc<dyn Store>, standby: &Cluster) {
    let begun = Instant::now();
    standby.promote().await;
    let followed = timeout(FOLLOWED, each_lane_works(store)).await;
    let failing = store.outage().parts();
    assert!(followed.is_ok(), "{failing:?} after {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_promotion_is_followed_though_the_old_primary_drops_every_packet() {
    let (primary, standby) = pair(&[]).await;
    let proxy = Proxy::start(primary.address()).await;
    let store = store(&url_of(&[proxy.address(), standby.address()])).await;
    warm(&store).await;
    proxy.set(Link::BLACK_HOLE);
    follow_promotion(&store, &standby).await;
}

#[tokio::test]
async fn a_promotion_is_followed_though_the_old_primary_hangs() {
    let (primary, standby) = pair(&[]).await;
    let store = store(&url_of(&[primary.address(), standby.address()])).await;
    warm(&store).await;
    primary.hang().await;
    follow_promotion(&store, &standby).await;
}

#[tokio::test]
async fn an_authority_starts_though_the_first_host_drops_every_packet() {
    let primary = Cluster::start(&["fsync=off"]).await;
    let proxy = Proxy::start(primary.address()).await;
    proxy.set(Link::BLACK_HOLE);
    let url = url_of(&[proxy.address(), primary.address()]);
    within("the store opens", store(&url)).await;
}

/// Servers that wait for less than the service promises.
const RELAXED: [&str; 2] = ["synchronous_commit=off", "synchronous_commit=local"];

#[tokio::test]
async fn no_acknowledged_sign_in_or_refresh_is_lost_with_a_primary_that_waits_for_less() {
    for relaxed in RELAXED {
        let (mut primary, standby) = pair(&[relaxed]).await;
        let store = store(&url_of_primary(&[&primary, &standby])).await;
        let said = store.durability().await.expect("words");
        let (_, value) = relaxed.split_once('=').expect("a setting");
        assert!(said.starts_with("a synchronous standby"), "{said}");
        assert!(said.contains(&format!("default is {value}")), "{said}");

        let users: Vec<_> = (0..40)
            .map(|user| sign_in("t", &format!("u{user}")))
            .collect();
        let sessions = join_all(users.iter().map(|new| open(&*store, new))).await;
        let refreshed = join_all(sessions.iter().map(|one| rotate(&*store, one, 0))).await;
        primary.kill().await;
        standby.promote().await;
        for one in &refreshed {
            let RefreshOutcome::Won(one, _) = one else {
                panic!("each is refreshed once")
            };
            let found = eventually("a read", async || {
                store.session(&one.tenant_id, one.id).await.ok()
            })
            .await;
            let (found, _) = found.expect("an acknowledged sign-in is never lost");
            assert_eq!(found.subject.serial, one.subject.serial);
            assert_eq!(found.generation, 1, "nor an acknowledged refresh");
        }
        let serials = sessions.iter().map(|one| one.subject.serial);
        let newest = serials.max().expect("sessions");
        let next = open(&*store, &sign_in("t", "later")).await;
        assert!(next.subject.serial > newest, "a serial is given once");
    }
}

/// Whether work waits: it is not done after a moment in which it could have been done many times.
async fn waits<T>(work: impl Future<Output = T>) -> bool {
    timeout(Duration::from_secs(1), work).await.is_err()
}

#[tokio::test]
async fn a_sign_in_and_a_refresh_wait_for_the_standby_whatever_the_server_is_set_to() {
    for relaxed in RELAXED {
        let (primary, standby) = pair(&[relaxed]).await;
        let store = store(&primary.url()).await;
        let opened = open(&*store, &sign_in("t", "u")).await;
        standby.hang().await;
        assert!(waits(store.sign_in(&sign_in("t", "v"))).await);
        let client = ClientInfo::default();
        let refresh = store.refresh(&opened.tenant_id, opened.id, 0, proof_of(&opened), &client);
        assert!(waits(refresh).await);
        standby.go_on();
        within("each is acknowledged", each_lane_works(&store)).await;
    }
}

/// Cancels the next commit that waits for the standby, as an operator might who sees it hang.
async fn cancel_wait(admin: &Admin) {
    let waiting =
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    eventually("a commit waits for the standby", async || {
        admin.maybe_text(waiting).await.map(drop)
    })
    .await;
}

async fn sign_in_cancelled(store: &dyn Store, admin: &Admin, new: &SignIn) -> bool {
    let (opened, ()) = within("a cancelled sign-in", async {
        tokio::join!(store.sign_in(new), cancel_wait(admin))
    })
    .await;
    opened.is_ok()
}

async fn refresh_cancelled(
    store: &dyn Store,
    admin: &Admin,
    one: &Session,
) -> Result<RefreshOutcome, StoreError> {
    within("a cancelled refresh", async {
        let client = ClientInfo::default();
        let refresh = store.refresh(&one.tenant_id, one.id, 0, proof_of(one), &client);
        tokio::join!(refresh, cancel_wait(admin)).0
    })
    .await
}

#[tokio::test]
async fn a_sign_in_or_refresh_on_one_disk_only_is_not_acknowledged_when_it_is_repeated() {
    let (primary, mut standby) = pair(&[]).await;
    let (store, admin) = (store(&primary.url()).await, primary.admin().await);
    let opened = open(&*store, &sign_in("t", "u")).await;
    standby.stop().await;
    let new = sign_in("t", "u");
    for attempt in ["first", "repeated"] {
        let acknowledged = sign_in_cancelled(&*store, &admin, &new).await;
        assert!(!acknowledged, "{attempt} sign-in");
        let refreshed = refresh_cancelled(&*store, &admin, &opened).await;
        assert!(refreshed.is_err(), "{attempt} refresh");
    }
    standby.run().await;
    primary.wait_for_synchronous_standby().await;
    assert_eq!(open(&*store, &new).await.id, new.id);
    let refreshed = rotate(&*store, &opened, 0).await;
    assert!(matches!(refreshed, RefreshOutcome::Lost(one, _) if one.generation == 1));
}

#[tokio::test]
async fn a_pooler_that_changes_sessions_is_refused_with_what_to_set() {
    let cluster = Cluster::start(&["fsync=off"]).await;
    for mode in ["transaction", "statement"] {
        let pooler = Pooler::start(&cluster, mode).await;
        let Err(error) = Postgres::open(&pooler.url(), &PostgresOptions::default()).await else {
            panic!("{mode} is refused")
        };
        assert!(error.to_string().contains("pool_mode = session"), "{error}");
        let checked = check(&config_of(&pooler.url()).1).await;
        let error = checked.expect_err("refused by the check too");
        assert!(error.to_string().contains("pool_mode = session"), "{error}");
    }
}

#[tokio::test]
async fn a_pooler_that_keeps_sessions_serves() {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let pooler = Pooler::start(&cluster, "session").await;
    let store = store(&pooler.url()).await;
    within("each lane works", each_lane_works(&store)).await;
    let opened = open(&*store, &sign_in("t", "u")).await;
    apply(&*store, revoke(&[&opened])).await;
    assert!(!is_alive(&*store, &opened).await);
}

fn config_of(url: &str) -> (tempfile::TempDir, Config) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(directory.path());
    config.store.url = url.to_owned();
    (directory, config)
}

#[tokio::test]
async fn the_check_looks_at_a_database_and_says_when_it_could_not() {
    let mut cluster = Cluster::start(&["fsync=off"]).await;
    let (_directory, config) = config_of(&cluster.url());
    let remarks = check(&config).await.expect("good").join("\n");
    assert!(remarks.contains("durability: none: "), "{remarks}");
    cluster.stop().await;
    let remarks = check(&config).await.expect("good").join("\n");
    assert!(remarks.contains("was not looked at"), "{remarks}");
}

#[tokio::test]
async fn encryption_that_cannot_be_meant_is_refused_by_the_check() {
    for (key, mode) in [
        ("store.url", "allow"),
        ("store.owner_url", "verify-full"),
        ("store.url", "verify-ca"),
    ] {
        let (_directory, mut config) = config_of("postgres://u@127.0.0.1/d");
        let url = format!("postgres://u@127.0.0.1/d?sslmode={mode}");
        match key {
            "store.url" => config.store.url = url,
            _ => config.store.owner_url = Some(url),
        }
        let error = check(&config).await.expect_err("refused").to_string();
        assert!(error.contains(key) && error.contains("ssl"), "{error}");
    }
}

#[tokio::test]
async fn servers_with_stricter_isolation_by_default_serve_as_others_do() {
    for level in ["repeatable read", "serializable"] {
        let setting = format!("default_transaction_isolation={level}");
        let cluster = Cluster::start(&["fsync=off", &setting]).await;
        let stores = [store(&cluster.url()).await, store(&cluster.url()).await];
        let work = (0..60).map(|number| {
            let store = &stores[number % 2];
            async move {
                let opened = store.sign_in(&sign_in("t", "one user")).await;
                let session = opened.expect("a sign-in needs no repetition").session;
                let client = ClientInfo::default();
                let rotated = store.refresh(
                    &session.tenant_id,
                    session.id,
                    0,
                    proof_of(&session),
                    &client,
                );
                assert!(matches!(rotated.await, Ok(RefreshOutcome::Won(..))));
                let revoked = store.append(&[revoke(&[&session])]).await;
                revoked.expect("a revocation needs no repetition").outcomes[0].expect("applied");
                assert!(!is_alive(&**store, &session).await);
            }
        });
        join_all(work).await;
    }
}

/// Makes each change of the head take a time that can be set.
const SLOW_HEAD: &str = "CREATE TABLE slowness (seconds float); INSERT INTO slowness VALUES (0); \
     CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS \
     'BEGIN PERFORM pg_sleep((SELECT seconds FROM slowness)); RETURN NEW; END'; \
     CREATE TRIGGER slow AFTER UPDATE ON log_head FOR EACH ROW EXECUTE FUNCTION be_slow()";

/// A batch whose process keeps the head for a minute, and that process.
async fn get_stuck(
    store: &Arc<dyn Store>,
    admin: &Admin,
) -> (tokio::task::JoinHandle<Instant>, Pid) {
    admin.batch_execute(SLOW_HEAD).await.expect("a trigger");
    let slow = async |seconds: u32| {
        let sql = format!("UPDATE slowness SET seconds = {seconds}");
        admin.batch_execute(&sql).await.expect("a change");
    };
    slow(60).await;
    let batch = tokio::spawn({
        let store = Arc::clone(store);
        async move {
            let answer = store.append(&[sign_out("t", &["stuck"])]).await;
            assert!(answer.is_err_and(|error| error.is_retryable()));
            Instant::now()
        }
    });
    let stuck = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let pid = eventually("the head is held", async || admin.maybe_text(stuck).await).await;
    slow(0).await;
    let pid = Pid::from_raw(pid.parse().expect("a number"));
    (batch, pid.expect("a process id"))
}

#[tokio::test]
async fn a_process_that_keeps_the_head_without_an_answer_is_ended_and_the_next_batch_goes_on() {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let (stuck, other) = (store(&cluster.url()).await, store(&cluster.url()).await);
    let admin = cluster.admin().await;
    let (batch, _) = get_stuck(&stuck, &admin).await;
    let gave_up = within("the deadline", batch).await.expect("no panic");
    apply_again(&*other, &sign_out("t", &["next"])).await;
    apply_again(&*stuck, &sign_out("t", &["next"])).await;
    let after = gave_up.elapsed();
    assert!(after < NEXT_BATCH, "the next batch came after {after:?}");
}

#[tokio::test]
async fn a_stopped_process_keeps_the_head_until_it_goes_on_and_not_a_moment_longer() {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let (stuck, other) = (store(&cluster.url()).await, store(&cluster.url()).await);
    let admin = cluster.admin().await;
    let (batch, pid) = get_stuck(&stuck, &admin).await;
    hang(pid).await;
    within("the deadline", batch).await.expect("no panic");
    // No one but the system's administrator can end it: SIGTERM waits until the process goes on.
    let held = other.append(&[sign_out("t", &["next"])]).await;
    assert!(matches!(held, Err(StoreError::Conflict(_))));
    go_on(pid);
    let resumed = Instant::now();
    apply_again(&*other, &sign_out("t", &["next"])).await;
    assert!(resumed.elapsed() < NEXT_BATCH, "{:?}", resumed.elapsed());
}

#[tokio::test]
async fn waits_for_connections_are_measured_by_lane() {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let authority = TestAuthority::with(|config| {
        config.store.url = cluster.url();
        config.store.connections_max = 1;
    })
    .await;
    authority.sign_in("ada").await;
    let value = async |name: &str, lane: &str| {
        let text = get(authority.config.server.http_listen, "/metrics").await;
        let lane = format!("portcullis_lane=\"{lane}\"");
        let line = text
            .lines()
            .find(|line| line.starts_with(name) && line.contains(&lane))
            .unwrap_or_else(|| panic!("no {name} of {lane} in {text}"));
        let (_, value) = line.rsplit_once(' ').expect("a value");
        value.parse::<f64>().expect("a number")
    };
    let max = "portcullis_store_connections_max";
    assert_eq!(value(max, "write").await, 1.0);
    assert_eq!(value(max, "append").await, 2.0);
    assert_eq!(value(max, "beat").await, 1.0);
    assert!(value("portcullis_store_connections_loans_total", "beat").await >= 0.0);

    let admin = cluster.admin().await;
    let held = "BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE";
    admin.batch_execute(held).await.expect("a lock");
    let calls = (0..4).map(|_| async {
        let mut sessions = authority.sessions(LOGIN);
        let new = portcullis_tests::authority::sign_in("ada");
        // It waits for the lock, or for the one connection; either may be in vain.
        drop(sessions.create_session(new).await);
    });
    let measured = eventually("a call waits for the connection", async || {
        let waiting = value("portcullis_store_connections_waiting", "write").await;
        let used = value("portcullis_store_connections_used", "write").await;
        (waiting >= 1.0 && used == 1.0).then_some(())
    });
    tokio::join!(join_all(calls), async {
        measured.await;
        admin.batch_execute("ROLLBACK").await.expect("released");
    });
    let waited = "portcullis_store_connections_wait_time_seconds_total";
    assert!(value(waited, "write").await > 0.0);
}

#[tokio::test]
async fn an_outage_of_the_database_is_three_lines() {
    let mut cluster = Cluster::start(&["fsync=off"]).await;
    let serve = Serve::start("info", |config| config.store.url = cluster.url()).await;
    let gate = serve.gate("watching").start().expect("good settings");
    within("the gate to be ready", gate.ready()).await;
    let begun = Instant::now();
    cluster.kill().await;
    let mut sessions = portcullis_contract::v1::session_service_client::SessionServiceClient::new(
        serve.transport(LOGIN),
    );
    for _ in 0..20 {
        let new = portcullis_tests::authority::sign_in("u");
        assert!(sessions.create_session(new).await.is_err());
    }
    eventually("the outage is reported", async || {
        serve.log().contains("the database is away").then_some(())
    })
    .await;
    cluster.run().await;
    eventually("its end is reported", async || {
        serve.log().contains("the database is back").then_some(())
    })
    .await;
    let log = serve.log();
    let warnings: Vec<_> = log
        .lines()
        .filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""))
        .collect();
    // One when it goes, and one a minute.
    let most = 1 + begun.elapsed().as_secs() / 60;
    assert!(warnings.len() as u64 <= most, "{warnings:#?}");
    assert_eq!(log.matches("the database is back").count(), 1, "{log}");
}
