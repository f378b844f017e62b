//! The parts of a feed over a store of a test's own.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;

use super::{
    Feed, Validators,
    gate::{Gate, ValidatorMode},
    peers::Peers,
    sharing::Sharing,
};
use crate::{
    config::{StoreConfig, TelemetryConfig, WatchConfig},
    domain::{Entry, Mutation},
    installation::open_store,
    keys::{MasterKey, MasterKeys},
    store::{LogBatch, Store},
    telemetry::Telemetry,
};

/// The id of the authority.
pub(super) const AUTHORITY: [u8; 16] = [7; 16];
/// The largest staleness that a gate may ask for.
pub(super) const STALENESS: Duration = Duration::from_secs(5);

/// A strict gate.
pub(super) fn gate(name: &str, instance: u8) -> Gate {
    Gate {
        caller: "gateway".into(),
        name: name.into(),
        address: "127.0.0.1:1".into(),
        version: "1.2.3".into(),
        log_version: 1,
        instance: Some([instance; 16]),
        mode: ValidatorMode::Strict,
        max_staleness: STALENESS,
    }
}

/// A store without a log, and what an authority knows of gates and of other authorities.
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) validators: Arc<Validators>,
    pub(super) sharing: Arc<Sharing>,
    pub(super) peers: Arc<Peers>,
    /// Where the store is, as long as it is needed.
    _directory: TempDir,
}

impl Parts {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = StoreConfig {
            url: format!("sqlite:{}", directory.path().display()),
            ..StoreConfig::default()
        };
        let store = open_store(&config).await.expect("opens");
        let telemetry = Telemetry::start(&TelemetryConfig::default(), "sqlite");
        let (_, instruments) = telemetry.expect("instruments");
        let validators = Arc::new(Validators::new(Arc::new(instruments)));
        let own = Arc::clone(&validators);
        let sharing = Sharing::new(store.clone(), own, AUTHORITY, "own".into());
        let own = Arc::clone(&validators);
        let peers = Peers::new(store.clone(), own, Arc::clone(&sharing), STALENESS);
        Self {
            store,
            validators,
            sharing,
            peers,
            _directory: directory,
        }
    }

    /// A feed over the store, with a master key of its own.
    pub(super) async fn open_feed(&self, config: &WatchConfig) -> Feed {
        let master = Arc::new(MasterKeys::from(MasterKey::generate()));
        let feed = Feed::open(self.store.clone(), master, config).await;
        feed.expect("opens")
    }

    /// Appends a batch, as any authority does. No feed reads it by that.
    pub(super) async fn append(&self) -> LogBatch {
        let entry = Entry::internal(Mutation::Canary);
        let appended = self.store.append(&[entry]).await.expect("appended");
        appended.committed.expect("a batch")
    }
}
