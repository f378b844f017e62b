//! What the log needs from time to time: turns, checkpoints, trimming.

use std::{sync::Arc, time::Duration};

use portcullis_contract::position::Revision;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Log, appender::internal, turns::TurnCounter};
use crate::{
    config::Config,
    crypto::{MasterKey, random},
    domain::Mutation,
    feed::Feed,
    keyring::{Keyring, KeyringError},
    readiness::{Condition, Readiness},
    store::Store,
};

/// A generation is kept for the longest life of a token and this much more.
const TURN_MARGIN: Duration = Duration::from_secs(60 * 60);

/// What maintenance works with.
pub(crate) struct Maintenance {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Log,
    pub(crate) feed: Arc<Feed>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) master: Arc<MasterKey>,
    pub(crate) config: Config,
}

/// Keeps the log in order until `stop`. Every authority does; the store makes it happen once.
pub(crate) async fn maintain(parts: Maintenance, stop: CancellationToken) {
    let config = &parts.config;
    let store = &*parts.store;
    let mut ticks = interval(config.log.checkpoint_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut checkpoints = Checkpoints {
        last: Revision(0),
        before: Revision(0),
    };
    let mut counter = TurnCounter::new(random(), config.log.checkpoint_interval);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = counter.count(store).await {
            error.log("time towards the next turn is not counted");
        }
        turn(store, &parts.log, config.tokens.access_token_lifetime).await;
        heal_keys(&parts).await;
        checkpoints.advance(store, &parts.feed, &parts.master).await;
        trim(store, checkpoints.before, config.log.resume_window).await;
    }
}

async fn heal_keys(parts: &Maintenance) {
    let healed = parts
        .keyring
        .heal(&parts.log, parts.config.keys.algorithm)
        .await;
    match healed {
        Ok(()) => parts.readiness.lower(Condition::Keys),
        // The keys that were read before go on signing.
        Err(KeyringError::Store(error)) => error.log("signing keys cannot be read"),
        Err(error) => {
            tracing::error!(%error, "signing keys cannot be used");
            parts.readiness.raise(Condition::Keys, error.to_string());
        }
    }
}

async fn turn(store: &dyn Store, log: &Log, life: Duration) {
    let kept = match store.token_life(life).await {
        Ok(life) => life.keep,
        Err(error) => return error.log("token life unknown, no turn"),
    };
    match log
        .submit(internal(Mutation::Turn {
            period: kept + TURN_MARGIN,
        }))
        .await
    {
        Ok(outcome) if outcome.changed > 0 => {
            tracing::info!(revision = outcome.revision.0, "generation turned");
        }
        Ok(_) => {}
        Err(error) => error.log("turn failed"),
    }
}

struct Checkpoints {
    last: Revision,
    before: Revision,
}

impl Checkpoints {
    async fn advance(&mut self, store: &dyn Store, feed: &Feed, master: &MasterKey) {
        let view = feed.view();
        let revision = view.position().revision;
        if revision <= self.last {
            return;
        }
        let Ok(bytes) = tokio::task::spawn_blocking(move || view.encode()).await else {
            return;
        };
        let code = master.authenticate(&bytes).into();
        match store.save_checkpoint(revision, bytes, code).await {
            Ok(()) => (self.before, self.last) = (self.last, revision),
            Err(error) => error.log("checkpoint failed"),
        }
    }
}

/// Only what the older of the two kept checkpoints holds goes, so that either of them can be started from.
async fn trim(store: &dyn Store, through: Revision, window: Duration) {
    match store.trim(through, window).await {
        Ok(0) => {}
        Ok(batches) => tracing::info!(batches, "log trimmed"),
        Err(error) => error.log("trimming failed"),
    }
}
