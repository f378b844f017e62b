//! A gate that knows several authorities goes on with another one when its own goes away.

use std::time::Duration;

use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER, TestAuthority, ready},
    gate::{applied, refused, rejection},
    ports::free_address,
    postgres::fresh_url,
    proxy::Proxy,
    wait::eventually,
};
use portcullis_validator::{Rejection, Validator};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Two authorities of one store, each behind a proxy that can cut it off, and a gate that knows both.
struct Pair {
    authorities: [TestAuthority; 2],
    proxies: [Proxy; 2],
    gate: Validator,
}

impl Pair {
    async fn start() -> Self {
        let first = TestAuthority::postgres(&fresh_url().await).await;
        let second = first.replica().await;
        let proxies = [
            Proxy::start(first.config.server.grpc_listen).await,
            Proxy::start(second.config.server.grpc_listen).await,
        ];
        let [first_url, second_url] = [&proxies[0], &proxies[1]].map(url);
        let gate = Validator::builder(first_url)
            .endpoint(second_url)
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .max_staleness(Duration::from_secs(10));
        Self {
            gate: ready(gate).await,
            authorities: [first, second],
            proxies,
        }
    }

    /// Kills an authority, as the gate sees it: connections end, and new ones find nobody.
    fn kill(&self, number: usize) {
        self.proxies[number].forward_to(free_address());
        self.proxies[number].reset();
    }

    /// Starts a killed authority again.
    fn revive(&self, number: usize) {
        let address = self.authorities[number].config.server.grpc_listen;
        self.proxies[number].forward_to(address);
    }

    /// Signs a user in and out at an authority, and waits until the gate refuses the token.
    async fn revoke_through(&self, number: usize) -> String {
        let authority = &self.authorities[number];
        let session = authority.sign_in("bob").await;
        let revision = authority.revoke(&session).await;
        applied(&self.gate, revision).await;
        let token = session.access_token;
        assert_eq!(refused(&self.gate, &token).await, Rejection::Revoked);
        token
    }

    /// Waits until the gate has a connection to this authority.
    async fn follows(&self, number: usize) {
        eventually("the gate to follow another authority", async || {
            (self.proxies[number].connections() > 0).then_some(())
        })
        .await;
    }
}

fn url(proxy: &Proxy) -> String {
    format!("http://{}", proxy.address())
}

/// Checks two tokens all the time until it is told to stop: the gate must admit one, and refuse the other as revoked.
fn check_all_the_time(
    gate: Validator,
    alive: String,
    dead: String,
    stop: CancellationToken,
) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut checks = 0;
        while !stop.is_cancelled() {
            assert_eq!(rejection(&gate, &alive), None, "after {checks} checks");
            let refused = rejection(&gate, &dead);
            assert_eq!(refused, Some(Rejection::Revoked), "after {checks} checks");
            checks += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        checks
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_stays_fresh_through_another_authority_when_its_own_restarts_or_dies() {
    let mut pair = Pair::start().await;
    let alive = pair.authorities[0].sign_in("ada").await.access_token;
    let dead = pair.revoke_through(0).await;
    let stop = CancellationToken::new();
    let checking = check_all_the_time(pair.gate.clone(), alive, dead, stop.clone());

    for restarted in [0, 1] {
        pair.authorities[restarted].stop().await;
        pair.revoke_through(1 - restarted).await;
        pair.authorities[restarted].start().await;
        pair.revoke_through(restarted).await;
    }
    for killed in [0, 1, 0] {
        pair.kill(killed);
        pair.follows(1 - killed).await;
        pair.revoke_through(1 - killed).await;
        pair.revive(killed);
    }

    stop.cancel();
    let checks = checking.await.expect("every check was right");
    assert!(checks > 0);
}
