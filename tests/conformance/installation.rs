//! What there is once in an installation.

use std::time::Duration;

use portcullis_authority::{
    domain::{NewSecret, SecretId, SecretKind},
    store::{Store, TokenLife},
};
use portcullis_tests::wait::{eventually, within};
use tokio::{task::JoinSet, time::Instant};

use crate::Engine;

const LONG: Duration = Duration::from_millis(1_200);
const SHORT: Duration = Duration::from_millis(100);

async fn a_longer_token_life_takes_force_at_once_and_a_shorter_one_when_the_longer_has_run_out(
    engine: Engine,
) {
    let store = engine.place().await.store().await;
    let life = async |wish| {
        store
            .token_life(wish, Duration::ZERO)
            .await
            .expect("a life")
    };
    assert_eq!(
        life(SHORT).await,
        TokenLife {
            issue: SHORT,
            keep: SHORT
        }
    );
    assert_eq!(
        life(LONG).await,
        TokenLife {
            issue: LONG,
            keep: LONG
        }
    );
    let lowered = Instant::now();
    assert_eq!(
        life(SHORT).await,
        TokenLife {
            issue: SHORT,
            keep: LONG
        }
    );
    eventually("the shorter life", async || {
        (life(SHORT).await.keep == SHORT).then_some(())
    })
    .await;
    // The database counts whole milliseconds.
    assert!(
        lowered.elapsed() + Duration::from_millis(2) >= LONG,
        "tokens of the longer life were alive"
    );
}

async fn a_longer_life_that_returns_begins_the_wait_again(engine: Engine) {
    let store = engine.place().await.store().await;
    let life = async |wish| {
        let life = store.token_life(wish, Duration::ZERO).await;
        life.expect("a life").keep
    };
    assert_eq!(life(LONG).await, LONG);
    assert_eq!(life(SHORT).await, LONG);
    let first = Instant::now();
    eventually("some time", async || {
        (first.elapsed() > LONG / 2).then_some(())
    })
    .await;
    assert_eq!(life(LONG).await, LONG, "issued again");
    let again = Instant::now();
    eventually("the shorter life", async || {
        (life(SHORT).await == SHORT).then_some(())
    })
    .await;
    assert!(again.elapsed() + Duration::from_millis(2) >= LONG);
}

async fn the_first_secret_of_a_name_is_everyones(engine: Engine) {
    let place = engine.place().await;
    let mut asking = JoinSet::new();
    for authority in 0..5_u8 {
        let store = place.store().await;
        asking.spawn(async move { kept(&*store, SecretKind::Refresh, authority).await });
    }
    let secrets = within("all secrets", asking.join_all()).await;
    assert!(
        secrets.iter().all(|secret| *secret == secrets[0]),
        "{secrets:?}"
    );
    let store = place.store().await;
    assert_eq!(kept(&*store, SecretKind::Refresh, 7).await, secrets[0]);
    assert_eq!(kept(&*store, SecretKind::Pages, 8).await, [8; 3]);
}

/// Offers a secret, and returns the one that is kept.
async fn kept(store: &dyn Store, kind: SecretKind, byte: u8) -> Vec<u8> {
    let id = SecretId { kind, number: 1 };
    let fresh = NewSecret {
        id,
        sealed: vec![byte; 3],
        activation_delay: Duration::ZERO,
    };
    store.keep_secret(&fresh).await.expect("kept");
    let (secrets, _) = store.secrets().await.expect("secrets");
    let secret = secrets.into_iter().find(|secret| secret.id == id);
    secret.expect("a secret").sealed
}

crate::on_every_engine! {
    a_longer_token_life_takes_force_at_once_and_a_shorter_one_when_the_longer_has_run_out,
    a_longer_life_that_returns_begins_the_wait_again,
    the_first_secret_of_a_name_is_everyones,
}
