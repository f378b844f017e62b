//! The authority is gone, slow, or its answers are lost: a door is open only for as long as its bound says.

use std::time::Duration;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::OPERATOR,
    door::Ability,
    proxy::Link,
    visitor::Visit,
    wait::{eventually, within},
};
use tokio::time::Instant;

use super::ends::visit;
use crate::scene::{Marked, Scene, Session};

/// The bound of a door that is to notice an outage soon.
const SHORT_BOUND: Duration = Duration::from_secs(1);

/// The second bound, in best-effort mode.
const STALE_MAX: Duration = Duration::from_secs(3);

/// The bound of a door that is not to notice a short outage.
const LONG_BOUND: Duration = Duration::from_secs(10);

/// The length of a short outage.
const SHORT_OUTAGE: Duration = Duration::from_secs(1);

pub async fn short(scene: Scene) {
    let scene = scene.own(LONG_BOUND, None).await;
    let ada = scene.sign_in("ada").await;
    scene.admitted(&visit(&ada)).await;
    for link in [Link::BLACK_HOLE, Link::default()] {
        scene.proxy().set(link);
        let end = Instant::now() + SHORT_OUTAGE;
        while Instant::now() < end {
            let answer = scene.send(&visit(&ada)).await.answer.expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    // What happened meanwhile is known soon afterwards.
    scene.revoke(&ada).await;
    scene.refused_soon(&visit(&ada), 401, "revoked").await;
}

pub async fn long_strict(scene: Scene) {
    let scene = scene.own(SHORT_BOUND, None).await;
    let outage = Outage::begin(&scene).await;
    // The proof of freshness is older than the outage, so this holds to the microsecond.
    outage
        .expect_last_admission_within(&scene, SHORT_BOUND)
        .await;
    outage.end(&scene).await;
}

pub async fn long_best_effort(scene: Scene) {
    let scene = scene.own(SHORT_BOUND, Some(STALE_MAX)).await;
    let outage = Outage::begin(&scene).await;
    let last = outage.expect_last_admission_within(&scene, STALE_MAX).await;
    assert!(last > SHORT_BOUND, "it was strict: {last:?}");
    outage.end(&scene).await;
}

/// Requests reach the authority, and its answers are lost.
pub async fn half_open(scene: Scene) {
    let scene = scene.own(SHORT_BOUND, None).await;
    let ada = scene.sign_in("ada").await;
    scene.admitted(&visit(&ada)).await;
    scene.proxy().set_answers(Link::BLACK_HOLE);
    let lost = Instant::now();
    let last = last_admission(&scene, &visit(&ada), lost).await;
    assert!(last <= SHORT_BOUND, "{last:?}");
    scene.proxy().set_answers(Link::default());
    scene.admitted(&visit(&ada)).await;
}

/// The authority refuses connections, as one that was stopped.
pub async fn refused_connections(scene: Scene) {
    let scene = scene.own(SHORT_BOUND, None).await;
    let ada = scene.sign_in("ada").await;
    scene.admitted(&visit(&ada)).await;
    let authority = scene.authority().config.server.grpc_listen;
    let nobody = ([127, 0, 0, 1], 1).into();
    scene.proxy().forward_to(nobody);
    scene.proxy().reset();
    let last = last_admission(&scene, &visit(&ada), Instant::now()).await;
    assert!(last <= SHORT_BOUND, "{last:?}");
    scene.proxy().forward_to(authority);
    scene.proxy().reset();
    scene.admitted(&visit(&ada)).await;
}

pub async fn slow(scene: Scene) {
    let scene = scene.own(LONG_BOUND, None).await;
    let ada = scene.sign_in("ada").await;
    let bob = scene.sign_in("bob").await;
    scene.admitted(&visit(&ada)).await;
    scene.proxy().set(Link {
        delay: Duration::from_millis(150),
        ..Link::default()
    });
    scene.revoke(&ada).await;
    // A decision never waits for the authority.
    let begin = Instant::now();
    for _ in 0..20 {
        let answer = scene.send(&visit(&bob)).await.answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let each = begin.elapsed() / 20;
    assert!(each < Duration::from_millis(150), "{each:?}");
    scene.refused_soon(&visit(&ada), 401, "revoked").await;
    scene.admitted(&visit(&bob)).await;
}

/// Requests while the door loads its first view: nobody is admitted who must not be, and nobody is told a wrong reason.
pub async fn snapshot_storm(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    scene.revoke(&bob).await;
    let slow = Link {
        bytes_per_second: 2_000,
        ..Link::default()
    };
    let scene = scene.own_through(Duration::from_secs(10), None, slow).await;
    let mut unready = 0;
    within("the view to be loaded", async {
        loop {
            let visits = (0..8).map(|_| async {
                let (live, dead) = (
                    scene.send(&visit(&ada)).await,
                    scene.send(&visit(&bob)).await,
                );
                assert!(!dead.reached, "a revoked session was admitted");
                let dead = dead.answer.expect("an answer").status.as_u16();
                assert!([401, 503].contains(&dead), "{dead}");
                let live = live.answer.expect("an answer").status.as_u16();
                assert!([200, 503].contains(&live), "{live}");
                let anyone = scene.send(&Visit::get("/")).await;
                assert!(
                    !anyone.reached,
                    "a request without a credential was admitted"
                );
                live
            });
            let statuses = futures::future::join_all(visits).await;
            unready += statuses.iter().filter(|status| **status == 503).count();
            if statuses.contains(&200) {
                break;
            }
        }
    })
    .await;
    assert!(unready > 0, "the view was there at once");
    scene.proxy().set(Link::default());
    scene.refused(&visit(&bob), 401, "revoked").await;
    scene.admitted(&visit(&ada)).await;
}

/// A rotation of the signing key, under load: no request of a live session is refused.
pub async fn rotation(scene: Scene) {
    let old = scene.sign_in("ada").await;
    let request = v1::RotateSigningKeyRequest {
        reason: "a test".into(),
        ..Default::default()
    };
    scene.admitted(&visit(&old)).await;
    let mut keys = scene.authority().keys(OPERATOR);
    keys.rotate_signing_key(request).await.expect("rotated");
    let mut admitted = 0;
    within("tokens of the new key", async {
        loop {
            let session = scene.sign_in("ada").await;
            for session in [&session, &old] {
                let answer = scene
                    .settled(&visit(session))
                    .await
                    .answer
                    .expect("an answer");
                assert_eq!(answer.status, 200, "after {admitted}: {}", answer.text());
                admitted += 1;
            }
            if key_id(&session) != key_id(&old) {
                break;
            }
        }
    })
    .await;
}

fn key_id(session: &Session) -> &str {
    session.token.split('.').next().expect("a header")
}

/// The process that the gateway asks is killed: the gateway refuses.
pub async fn decider_killed(scene: Scene) {
    let scene = scene.own(LONG_BOUND, None).await;
    let ada = scene.sign_in("ada").await;
    scene.admitted(&visit(&ada)).await;
    scene.kill_decider().await;
    for target in ["/", "/public/x"] {
        let marked = scene.send(&Visit::get(target).bearer(&ada.token)).await;
        expect_unavailable(&marked, target);
    }
    let marked = scene.send(&Visit::get("/")).await;
    expect_unavailable(&marked, "without a credential");
}

fn expect_unavailable(marked: &Marked, what: &str) {
    assert!(!marked.reached, "{what}: it reached the upstream");
    let status = marked.answer.as_ref().expect("an answer").status.as_u16();
    // Traefik has no other answer than 500.
    assert!([500, 503].contains(&status), "{what}: {status}");
}

/// An outage that began, and a session that was revoked right after that.
struct Outage {
    live: Session,
    revoked: Session,
    /// When the authority acknowledged the revocation.
    acknowledged: Instant,
}

impl Outage {
    async fn begin(scene: &Scene) -> Self {
        let (live, revoked) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
        scene.admitted(&visit(&live)).await;
        scene.admitted(&visit(&revoked)).await;
        scene.proxy().set(Link::BLACK_HOLE);
        scene.revoke(&revoked).await;
        Self {
            live,
            revoked,
            acknowledged: Instant::now(),
        }
    }

    /// Expects that the revoked session is admitted for at most `bound`, and returns for how long it was.
    async fn expect_last_admission_within(&self, scene: &Scene, bound: Duration) -> Duration {
        let last = last_admission(scene, &visit(&self.revoked), self.acknowledged).await;
        assert!(last <= bound, "admitted {last:?} after its revocation");
        let answer = scene
            .send(&visit(&self.live))
            .await
            .answer
            .expect("an answer");
        assert_eq!(answer.status, 503, "{}", answer.text());
        if scene.abilities().refusal_headers == Ability::Yes {
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        last
    }

    /// The network is whole again: the live session passes, and the revoked one never does.
    async fn end(self, scene: &Scene) {
        scene.proxy().set(Link::default());
        eventually("the door to be fresh", async || {
            let dead = scene.send(&visit(&self.revoked)).await;
            assert!(
                !dead.reached,
                "the revoked session was admitted after the outage"
            );
            let live = scene
                .send(&visit(&self.live))
                .await
                .answer
                .expect("an answer");
            (live.status == 200).then_some(())
        })
        .await;
        scene.refused(&visit(&self.revoked), 401, "revoked").await;
    }
}

/// Sends requests until one is answered 503. Returns the time from `since` to the begin of the last admitted one.
async fn last_admission(scene: &Scene, visit: &Visit, since: Instant) -> Duration {
    let mut last = Duration::ZERO;
    within("the door to be stale", async {
        loop {
            let begun = since.elapsed();
            let marked = scene.send(visit).await;
            if marked.reached {
                last = begun;
            }
            let status = marked.answer.expect("an answer").status.as_u16();
            assert!([200, 503].contains(&status), "{status}");
            if status == 503 {
                break;
            }
        }
    })
    .await;
    last
}
