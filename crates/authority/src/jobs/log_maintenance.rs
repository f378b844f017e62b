//! What the log needs from time to time: turns, checkpoints, trimming.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::turn_counter::TurnCounter;
use crate::{
    config::Config,
    domain::Mutation,
    feed::Feed,
    health::{Condition, Readiness},
    keys::{Keyring, KeyringError, MasterKey, random},
    log::{Log, internal},
    store::{CheckpointDue, Store},
};

/// A generation is kept for the longest life of a token and this much more.
const TURN_MARGIN: Duration = Duration::from_secs(60 * 60);

/// How long after its expiry a revoked API key is forgotten: no gate's clock is so far behind.
const FORGET_MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What has changed is in a checkpoint after this at the latest, so that the log can be trimmed.
const CHECKPOINT_AGE_MAX: Duration = Duration::from_secs(60 * 60);

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
    let mut counter = TurnCounter::new(random(), config.log.checkpoint_interval);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = counter.count(store).await {
            error.log("time towards the next turn is not counted");
        }
        turn(store, &parts.log, config.tokens.access_token_lifetime).await;
        forget(&parts.log).await;
        heal_keys(&parts).await;
        save_checkpoint(&parts).await;
        trim(store, config.log.resume_window).await;
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

/// Has gates forget API keys that were revoked and have expired.
async fn forget(log: &Log) {
    loop {
        let entry = internal(Mutation::ForgetApiKeys(FORGET_MARGIN));
        match log.submit(entry).await {
            Ok(outcome) if outcome.changed >= Mutation::FORGOTTEN_MAX => {}
            Ok(_) => return,
            Err(error) => return error.log("expired API keys are not forgotten"),
        }
    }
}

/// Writes a checkpoint when enough has changed, and no other authority does.
async fn save_checkpoint(parts: &Maintenance) {
    let view = parts.feed.view();
    let revision = view.position().revision;
    let config = &parts.config.log;
    let due = CheckpointDue {
        interval: config.checkpoint_interval,
        batches_min: config.checkpoint_batches_min as u64,
        bytes_min: config.checkpoint_bytes_min as u64,
        age_max: CHECKPOINT_AGE_MAX,
    };
    match parts.store.claim_checkpoint(revision, &due).await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return error.log("checkpoint not claimed"),
    }
    let Ok(bytes) = tokio::task::spawn_blocking(move || view.encode()).await else {
        return;
    };
    let code = parts.master.authenticate(&bytes).into();
    match parts.store.save_checkpoint(revision, bytes, code).await {
        Ok(()) => tracing::debug!(revision = revision.0, "checkpoint written"),
        Err(error) => error.log("checkpoint failed"),
    }
}

async fn trim(store: &dyn Store, window: Duration) {
    let through = match store.trimmable_revision().await {
        Ok(through) => through,
        Err(error) => return error.log("trimming failed"),
    };
    match store.trim(through, window).await {
        Ok(0) => {}
        Ok(batches) => tracing::info!(batches, "log trimmed"),
        Err(error) => error.log("trimming failed"),
    }
}
