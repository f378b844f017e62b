//! What happens to a revocation when something ends around its COMMIT (I1).

use std::{sync::Arc, time::Instant};

use portcullis_authority::{
    config::Config,
    keys::MasterKey,
    store::{
        Store,
        postgres::{Postgres, PostgresOptions},
    },
};
use portcullis_contract::{
    position::Revision,
    v1::{
        self, audit_service_client::AuditServiceClient,
        session_service_client::SessionServiceClient,
    },
};
use portcullis_tests::{
    authority::{
        ADMIN, AUDIENCE, GATEWAY, ISSUER, LOGIN, TENANT, ready, session_id, sign_in, transport,
        write_private,
    },
    calls::{apply_again, head, open},
    gate::{refused, rejection},
    given,
    postgres::{Admin, Cluster},
    proxy::{Link, Proxy},
    replay::is_alive,
    serve::Serve,
    wait::{eventually, within},
};
use portcullis_validator::{Rejection, Validator};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Waits until a commit waits for the standby. Returns the server's process that waits.
async fn waiting_commit(admin: &Admin) -> String {
    let sql = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'";
    eventually("a commit waits for the standby", async || {
        admin.maybe_text(sql).await
    })
    .await
}

#[tokio::test]
async fn a_process_terminated_in_its_commit_acknowledges_nothing_and_the_repetition_does_it_once() {
    let primary = Cluster::start(&[]).await;
    let standby = primary.synchronous_standby("standby1").await;
    let admin = primary.admin().await;
    let store = Postgres::open(&primary.url(), &PostgresOptions::default()).await;
    let store: Arc<dyn Store> = Arc::new(store.expect("opens"));
    let session = open(&*store, &given::sign_in("t", "u")).await;
    standby.hang().await;

    let entry = given::revoke(&[&session]);
    let batch = [entry.clone()];
    let (appended, ()) = tokio::join!(store.append(&batch), async {
        let pid = waiting_commit(&admin).await;
        admin
            .text(&format!("SELECT pg_terminate_backend({pid})"))
            .await;
    });
    assert!(
        appended.is_err_and(|error| error.is_retryable()),
        "it is on one disk only"
    );

    let begun = Instant::now();
    standby.go_on();
    assert_eq!(apply_again(&*store, &entry).await.revision, Revision(1));
    println!(
        "acknowledged {:?} after the standby was back",
        begun.elapsed()
    );
    assert_eq!(head(&*store).await, Revision(1), "it was done once");
    assert!(!is_alive(&*store, &session).await);
}

/// When the authority is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Its batch waits for a lock: nothing is committed.
    BeforeTheCommit,
    /// The database works on the head, and has the COMMIT.
    InTheBatch,
    /// The commit is on the disk of the primary, and waits for the standby.
    InTheCommit,
    /// It is done, and the answer is on its way to the authority.
    BeforeTheAnswer,
    /// The answer is on its way to the caller.
    BeforeTheAcknowledgement,
}

/// An authority in a process of its own, over a primary with a standby, with proxies on both sides.
struct Scene {
    primary: Cluster,
    standby: Cluster,
    admin: Admin,
    database: Proxy,
    front: Proxy,
    serve: Serve,
    gate: Validator,
    key: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let primary = Cluster::start(&[]).await;
        let standby = primary.synchronous_standby("standby1").await;
        let admin = primary.admin().await;
        let database = Proxy::start(primary.address()).await;
        let key = tempfile::tempdir().expect("a directory");
        write_private(
            &key.path().join("master.key"),
            &MasterKey::generate().to_base64(),
        );
        let serve = serve(&database, &key).await;
        let front = Proxy::start(serve.grpc).await;
        let builder = Validator::builder(format!("http://{}", front.address()))
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE);
        let gate = ready(builder).await;
        Self {
            primary,
            standby,
            admin,
            database,
            front,
            serve,
            gate,
            key,
        }
    }

    fn sessions(
        &self,
        bearer: &str,
    ) -> SessionServiceClient<portcullis_tests::authority::Transport> {
        SessionServiceClient::new(transport(
            &format!("http://{}", self.front.address()),
            bearer,
        ))
    }

    /// Begins to revoke.
    fn revoke(&self, session: &str) -> JoinHandle<Result<u64, tonic::Status>> {
        let mut client = self.sessions(ADMIN);
        let request = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session.to_owned(),
            ..Default::default()
        };
        tokio::spawn(async move {
            let revoked = client.revoke_session(request).await?.into_inner();
            Ok(revoked.enforcement.expect("an enforcement").revision)
        })
    }

    /// Kills the authority when its revocation of `session` is there, and brings everything else back.
    async fn kill_at(&mut self, moment: Moment, session: &str) {
        match moment {
            Moment::BeforeTheCommit => self.kill_before_the_commit(session).await,
            Moment::InTheBatch => self.kill_in_the_batch(session).await,
            Moment::InTheCommit => self.kill_in_the_commit(session, false).await,
            Moment::BeforeTheAnswer => self.kill_in_the_commit(session, true).await,
            Moment::BeforeTheAcknowledgement => {
                self.kill_before_the_acknowledgement(session).await;
            }
        }
        // Whatever is still on its way belongs to the dead process.
        self.front.reset();
        self.database.reset();
    }

    async fn kill_before_the_commit(&mut self, session: &str) {
        let lock = "BEGIN; SELECT 1 FROM sessions FOR UPDATE";
        self.admin.batch_execute(lock).await.expect("a lock");
        let revoking = self.revoke(session);
        let other = self.primary.admin().await;
        let waits = "SELECT 1 FROM pg_locks WHERE NOT granted";
        eventually("the batch waits", async || other.maybe_text(waits).await).await;

        self.serve.kill().await;
        self.admin
            .batch_execute("ROLLBACK")
            .await
            .expect("released");
        assert!(revoking.await.expect("no panic").is_err());
    }

    async fn kill_in_the_batch(&mut self, session: &str) {
        self.admin
            .batch_execute(SLOW_HEAD)
            .await
            .expect("a trigger");
        let revoking = self.revoke(session);
        let sleeps = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        eventually("the head is held", async || {
            self.admin.maybe_text(sleeps).await
        })
        .await;

        self.serve.kill().await;
        // The next batch must not wait for a minute too.
        let fast = "UPDATE slowness SET seconds = 0";
        self.admin.batch_execute(fast).await.expect("fast again");
        assert!(revoking.await.expect("no panic").is_err());
    }

    async fn kill_in_the_commit(&mut self, session: &str, answer_is_lost: bool) {
        self.standby.hang().await;
        let revoking = self.revoke(session);
        waiting_commit(&self.admin).await;
        if answer_is_lost {
            // Only the answers: the COMMIT arrives, and nobody hears of it.
            self.database.set_answers(Link::BLACK_HOLE);
            self.standby.go_on();
            self.wait_for_end().await;
        }

        self.serve.kill().await;
        self.standby.go_on();
        self.database.set(Link::default());
        assert!(revoking.await.expect("no panic").is_err());
    }

    async fn kill_before_the_acknowledgement(&mut self, session: &str) {
        self.front.set_answers(Link::BLACK_HOLE);
        let revoking = self.revoke(session);
        self.wait_for_end().await;

        self.serve.kill().await;
        // Its answer is in the black hole and never comes.
        revoking.abort();
        self.front.set(Link::default());
    }

    /// Waits until the end of the session is there for all to see.
    async fn wait_for_end(&self) {
        let ended = "SELECT 1 FROM sessions WHERE end_event IS NOT NULL";
        eventually("the revocation is committed", async || {
            self.admin.maybe_text(ended).await
        })
        .await;
    }

    /// Starts the authority again, with the same key.
    async fn restart(&mut self) {
        self.serve = serve(&self.database, &self.key).await;
        self.front.forward_to(self.serve.grpc);
    }

    /// The number of events of the trail that say that the session was revoked.
    async fn events(&self, session: &str) -> usize {
        let mut client = AuditServiceClient::new(transport(&self.serve.endpoint(), ADMIN));
        let request = v1::ListAuditEventsRequest {
            tenant_id: TENANT.into(),
            ..Default::default()
        };
        let listed = client
            .list_audit_events(request)
            .await
            .expect("a list")
            .into_inner();
        let about = listed.events.iter().filter(|event| event.target == session);
        about
            .filter(|event| event.action == "session.revoke")
            .count()
    }
}

/// Keeps whoever changes the head for a minute.
const SLOW_HEAD: &str = "CREATE TABLE slowness (seconds float); INSERT INTO slowness VALUES (60); \
     CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS \
     'BEGIN PERFORM pg_sleep((SELECT seconds FROM slowness)); RETURN NEW; END'; \
     CREATE TRIGGER slow AFTER UPDATE ON log_head FOR EACH ROW EXECUTE FUNCTION be_slow()";

async fn serve(database: &Proxy, key: &TempDir) -> Serve {
    let url = format!("postgres://postgres@{}/postgres", database.address());
    let file = key.path().join("master.key");
    Serve::start("info", |config: &mut Config| {
        config.store.url = url;
        config.keys.master_key_file = file;
    })
    .await
}

async fn kill_9(moment: Moment) {
    let mut scene = Scene::start().await;
    let opened = scene.sessions(LOGIN).create_session(sign_in("ada")).await;
    let opened = opened.expect("a sign-in").into_inner();
    assert_eq!(rejection(&scene.gate, &opened.access_token), None);
    let session = session_id(&opened);
    // The sign-in's own event goes into the trail first, in a batch that this test must not meet.
    let waiting = "SELECT 1 FROM audit_outbox";
    eventually("the event is in the trail", async || {
        scene
            .admin
            .maybe_text(waiting)
            .await
            .is_none()
            .then_some(())
    })
    .await;
    scene.kill_at(moment, &session).await;

    let killed = Instant::now();
    scene.restart().await;
    let started = killed.elapsed();
    // The caller was not answered, so it calls again. Whatever had happened, this is acknowledged and enforced.
    let revoked = eventually("the revocation is acknowledged", async || {
        let revoking = within("an answer", scene.revoke(&session)).await;
        revoking.expect("no panic").ok()
    });
    let revision = revoked.await;
    assert_eq!(
        refused(&scene.gate, &opened.access_token).await,
        Rejection::Revoked
    );
    println!(
        "{moment:?}: serving {started:?} after the kill, acknowledged and refused after {:?}",
        killed.elapsed()
    );
    assert!(revision > 0);
    let once = async || (scene.events(&session).await == 1).then_some(());
    eventually("the trail says it once", once).await;
    assert_eq!(scene.gate.statistics().forks, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_before_the_commit_loses_nothing_that_was_acknowledged() {
    kill_9(Moment::BeforeTheCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_while_the_database_has_the_batch_leaves_it_whole_or_not_at_all() {
    kill_9(Moment::InTheBatch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_while_the_commit_waits_for_the_standby_does_nothing_twice() {
    kill_9(Moment::InTheCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_between_the_commit_and_its_answer_does_nothing_twice() {
    kill_9(Moment::BeforeTheAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_before_the_caller_is_answered_does_nothing_twice() {
    kill_9(Moment::BeforeTheAcknowledgement).await;
}
