//! Maintenance of the log: turns of generations, forgotten API keys, signing keys, checkpoints and trimming.
//!
//! Every authority runs it. The store makes sure that a step which two authorities attempt together happens once.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{checkpoint, turn_counter::TurnCounter};
use crate::{
    config::Config,
    domain::{Entry, Mutation, TURN_MARGIN},
    feed::Feed,
    health::{Condition, Readiness},
    keys::{Keyring, KeyringError, MasterKeys, Secrets, SecretsError, random},
    log::Log,
    store::Store,
};

/// The time from the expiry of a revoked API key until gates forget it. No gate's clock is so far behind.
pub(super) const FORGET_MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// The parts that maintenance works with.
pub(super) struct LogMaintenance {
    pub(super) store: Arc<dyn Store>,
    pub(super) log: Log,
    pub(super) feed: Arc<Feed>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) master: Arc<MasterKeys>,
    pub(super) config: Config,
}

impl LogMaintenance {
    /// Maintains the log at every `log.checkpoint_interval`, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let config = &self.config.log;
        let mut ticks = interval(config.checkpoint_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut counter = TurnCounter::new(random(), config.checkpoint_interval);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            // Counted before the turn is tried, which needs the counted time to reach the period.
            if let Err(error) = counter.count(&*self.store).await {
                error.log("time towards the next turn was not counted");
            }
            self.turn_generation().await;
            self.forget_expired_api_keys().await;
            self.check_keys().await;
            checkpoint::save(&*self.store, &self.feed, &self.master, config).await;
            // Last, because a checkpoint that was just written allows more of the log to be trimmed.
            checkpoint::trim(&*self.store, config.resume_window).await;
        }
    }

    /// Ends the generation if it is old enough. Gates then forget the revocations of the one before it.
    async fn turn_generation(&self) {
        // The longest life in the whole installation counts, also that of an authority with another configuration.
        let wished = self.config.tokens.access_token_lifetime;
        let kept = match self.store.token_life(wished, TURN_MARGIN).await {
            Ok(life) => life.keep,
            Err(error) => return error.log("no turn: the longest life of a token is unknown"),
        };
        let turn = Mutation::Turn {
            life: kept,
            margin: TURN_MARGIN,
        };
        match self.log.submit(Entry::internal(turn)).await {
            Ok(outcome) if outcome.changed > 0 => {
                tracing::info!(revision = outcome.revision.0, "generation turned");
            }
            // The store decides whether a turn is due, under a lock, so of two authorities that ask together one
            // changes nothing.
            Ok(_) => {}
            Err(error) => error.log("no turn: the log did not accept it"),
        }
    }

    /// Makes gates forget API keys that were revoked and have expired since.
    async fn forget_expired_api_keys(&self) {
        loop {
            let forget = Mutation::ForgetApiKeys(FORGET_MARGIN);
            match self.log.submit(Entry::internal(forget)).await {
                // As many as fit into one entry: there may be more.
                Ok(outcome) if outcome.changed >= Mutation::FORGOTTEN_MAX => {}
                Ok(_) => return,
                Err(error) => return error.log("expired API keys were not forgotten"),
            }
        }
    }

    /// Makes sure that there is a key to sign with and that every secret opens, and reports it if not.
    async fn check_keys(&self) {
        let healed = self.heal_signing_keys().await;
        let read = self.check_secrets().await;
        match (healed, read) {
            (Some(Ok(())), Some(Ok(()))) => self.readiness.lower(Condition::Keys),
            (Some(Err(problem)), _) | (_, Some(Err(problem))) => {
                tracing::error!(%problem, "keys cannot be used");
                self.readiness.raise(Condition::Keys, problem);
            }
            // The values that were read before stay in use, so the authority stays as it was.
            (None, _) | (_, None) => {}
        }
    }

    /// None: the store did not answer.
    async fn heal_signing_keys(&self) -> Option<Result<(), String>> {
        let algorithm = self.config.keys.algorithm;
        match self.keyring.heal(&self.log, algorithm).await {
            Ok(()) => Some(Ok(())),
            Err(KeyringError::Store(error)) => {
                error.log("signing keys were not read");
                None
            }
            Err(error) => Some(Err(error.to_string())),
        }
    }

    /// None: the store did not answer.
    async fn check_secrets(&self) -> Option<Result<(), String>> {
        match self.secrets.reload().await {
            Ok(()) => Some(Ok(())),
            Err(SecretsError::Store(error)) => {
                error.log("the secrets of tokens were not read");
                None
            }
            Err(error) => Some(Err(error.to_string())),
        }
    }
}
