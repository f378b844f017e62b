//! The authority is gone, slow, or its answers are lost: a door is open only for as long as its bound says.

use std::time::Duration;

use futures::future::join_all;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::OPERATOR,
    door::Ability,
    proxy::Link,
    visitor::Visit,
    wait::{eventually, within},
};
use tokio::time::{Instant, interval, timeout};

use super::ends::visit;
use crate::scene::{Scene, Session};

/// The bound of a door that is to notice an outage soon.
const SHORT_BOUND: Duration = Duration::from_secs(1);

/// The second bound, in best-effort mode.
const STALE_MAX: Duration = Duration::from_secs(3);

/// The bound of a door that is not to notice a short outage.
const LONG_BOUND: Duration = Duration::from_secs(10);

/// The longest time in which all gateways refuse several requests about which nobody decides. HAProxy takes 2 s.
const DECISION_MAX: Duration = Duration::from_secs(10);

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
    let bound = Duration::from_secs(10);
    let scene = scene.own_through(bound, None, Link::BLACK_HOLE).await;
    let before = storm(&scene, &ada, &bob).await;
    assert!(!before.contains(&200), "the view was there at once");

    scene.proxy().set(Link {
        bytes_per_second: 10_000,
        ..Link::default()
    });
    within("the view to be loaded", async {
        while !storm(&scene, &ada, &bob).await.contains(&200) {}
    })
    .await;
    scene.proxy().set(Link::default());
    scene.refused(&visit(&bob), 401, "revoked").await;
    scene.admitted(&visit(&ada)).await;
}

/// Requests of a live session, of a dead one and of nobody, many at once. Returns the statuses of the live one.
async fn storm(scene: &Scene, ada: &Session, bob: &Session) -> Vec<u16> {
    let (live, dead, anyone) = (visit(ada), visit(bob), Visit::get("/"));
    let visits = (0..8).map(|_| async {
        let dead = scene.send(&dead).await;
        assert!(!dead.reached, "a revoked session was admitted");
        let status = dead.answer.expect("an answer").status.as_u16();
        assert!([401, 503].contains(&status), "{status}");
        let anyone = scene.send(&anyone).await;
        assert!(!anyone.reached, "nobody was admitted");
        let live = scene.send(&live).await;
        let status = live.answer.expect("an answer").status.as_u16();
        assert!([200, 503].contains(&status), "{status}");
        status
    });
    join_all(visits).await
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
    // A pace, because many doors are tested on one machine.
    let mut pace = interval(Duration::from_millis(20));
    within("tokens of the new key", async {
        loop {
            pace.tick().await;
            let new = scene.sign_in("ada").await;
            let visits = [visit(&new), visit(&new), visit(&old), visit(&old)];
            let sent = visits.iter().map(|visit| scene.send(visit));
            for marked in join_all(sent).await {
                let answer = marked.answer.expect("an answer");
                assert_eq!(answer.status, 200, "after {admitted}: {}", answer.text());
                admitted += 1;
            }
            if key_id(&new) != key_id(&old) {
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
    expect_all_unavailable(&scene, &ada).await;
}

/// The process that the gateway asks accepts connections and never answers: the gateway refuses, soon.
pub async fn decider_stopped(scene: Scene) {
    let scene = scene.own(LONG_BOUND, None).await;
    let ada = scene.sign_in("ada").await;
    scene.admitted(&visit(&ada)).await;
    scene.stop_decider().await;
    let refused = expect_all_unavailable(&scene, &ada);
    let bounded = timeout(DECISION_MAX, refused).await;
    bounded.expect("a bound for a decision");
}

/// A client hears that it is no refusal, and when to try again.
pub async fn decider_gone_answer(scene: Scene) {
    let scene = scene.own(LONG_BOUND, None).await;
    let ada = scene.sign_in("ada").await;
    scene.admitted(&visit(&ada)).await;
    scene.kill_decider().await;
    for visit in [visit(&ada), Visit::get("/")] {
        let answer = scene.send(&visit).await.answer.expect("an answer");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

/// Expects that nothing passes, also not what is public.
async fn expect_all_unavailable(scene: &Scene, ada: &Session) {
    let visits = [
        Visit::get("/").bearer(&ada.token),
        Visit::get("/public/x").bearer(&ada.token),
        Visit::get("/public/x"),
        Visit::get("/"),
        Visit::new("POST", "/")
            .bearer(&ada.token)
            .header("content-length", "0"),
    ];
    let sent = visits.iter().map(|visit| scene.send(visit));
    for (marked, visit) in join_all(sent).await.into_iter().zip(&visits) {
        assert!(!marked.reached, "{visit:?} reached the upstream");
        let status = marked.answer.expect("an answer").status.as_u16();
        assert!([500, 503].contains(&status), "{visit:?}: {status}");
    }
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
        if scene.abilities().refusal_bodies == Ability::Yes {
            // It says that the gate cannot know, and not that there is none.
            let text = answer.text();
            assert!(text.contains("\"reason\":\"stale\""), "{text}");
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
