//! The parts of an authority between its store and the wire, for the simulation in `tests/simulation`.
//!
//! Real: the log with its queue and its appender, the feed with its ring and snapshots, the beats, the checkpoints, the
//! answer to a clock that was set back, and the protocol of a stream with its messages. Not here: sockets, TLS, the
//! permission of callers, and the use cases.
//!
//! Only the feature `simulation` has this module. No program that is shipped enables it.

use std::{sync::Arc, time::Duration};

use futures::{
    Stream, StreamExt, future,
    stream::{self, BoxStream},
};
use opentelemetry::global;
use portcullis_contract::{random, v1};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    api::grpc::watch,
    config::Config,
    feed::{
        Beats, Feed, FeedError, Gates, Sharing, Validators,
        watch::{StreamSource, WatchHost},
    },
    health::{Readiness, Supervisor},
    jobs::{checkpoint, clock_set_back},
    keys::MasterKeys,
    log::Log,
    store::EnforcementStore,
    telemetry::Instruments,
};

/// The most batches that wait for the feed.
const BATCHES_MAX: usize = 64;

/// An authority without its edges.
pub struct SimulatedAuthority {
    log: Log,
    host: Arc<WatchHost>,
    master: Arc<MasterKeys>,
    config: Config,
    tasks: Supervisor,
}

impl SimulatedAuthority {
    /// Starts the parts on the runtime of the caller. They end with it. A clock that was set back is answered after
    /// `clock_patience`.
    ///
    /// # Errors
    /// When the store fails or the log cannot be applied.
    pub async fn start(
        store: Arc<dyn EnforcementStore>,
        master: Arc<MasterKeys>,
        config: Config,
        clock_patience: Duration,
    ) -> Result<Self, FeedError> {
        let drain = CancellationToken::new();
        let readiness = Arc::new(Readiness::new(&config.readiness));
        let tasks = Supervisor::new(readiness, drain.clone());
        let meter = global::meter("simulation");
        let instruments = Arc::new(Instruments::new(meter, "simulated"));

        let (appended, batches) = mpsc::channel(BATCHES_MAX);
        let log = Log::start(
            &store,
            &config.log,
            &appended,
            Arc::clone(&instruments),
            &tasks,
        );
        let feed = Feed::open(Arc::clone(&store), Arc::clone(&master), &config.watch).await?;
        let feed = Arc::new(feed);

        let following = (Arc::clone(&feed), config.log.clone());
        let readiness = Arc::clone(tasks.readiness());
        tasks.spawn("feed", async move {
            let (feed, config) = following;
            // Never cancelled: the parts end with the runtime of the caller.
            let stop = CancellationToken::new();
            feed.follow(&config, batches, &readiness, &stop).await;
        });

        let answer_set_back = clock_set_back::run(
            log.clone(),
            Arc::clone(tasks.readiness()),
            clock_patience,
            instruments.clock_sign_outs.clone(),
        );
        tasks.spawn("clock", answer_set_back);

        let host = Self::host(&config, &store, &feed, &master, &instruments, &tasks, drain);
        Ok(Self {
            log,
            host: Arc::new(host),
            master,
            config,
            tasks,
        })
    }

    fn host(
        config: &Config,
        store: &Arc<dyn EnforcementStore>,
        feed: &Arc<Feed>,
        master: &MasterKeys,
        instruments: &Arc<Instruments>,
        tasks: &Supervisor,
        drain: CancellationToken,
    ) -> WatchHost {
        let validators = Arc::new(Validators::new(Arc::clone(instruments)));
        let heads = Arc::new(master.head_codes());
        let name = "simulated".to_owned();
        let sharing = Sharing::new(Arc::clone(store), Arc::clone(&validators), random(), name);
        let interval = config.readiness.beat_interval;
        let beats = Beats::start(
            Arc::clone(store),
            Arc::clone(&heads),
            sharing,
            interval,
            tasks,
        );
        WatchHost {
            config: config.watch.clone(),
            feed: Arc::clone(feed),
            store: Arc::clone(store),
            beats,
            validators,
            gates: Arc::new(Gates::default()),
            heads,
            readiness: Arc::clone(tasks.readiness()),
            drain,
        }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The feed.
    #[must_use]
    pub fn feed(&self) -> &Arc<Feed> {
        &self.host.feed
    }

    /// Serves one stream of a gate: its messages go in, the answers come out, until either side ends.
    pub fn watch(
        &self,
        requests: impl Stream<Item = v1::WatchRequest> + Send + Unpin + 'static,
    ) -> BoxStream<'static, v1::WatchResponse> {
        let source = StreamSource {
            caller: "gate".to_owned(),
            address: String::new(),
            aged: CancellationToken::new(),
        };
        let requests = requests.map(Ok);
        let answers = watch::serve(Arc::clone(&self.host), source, requests);
        answers
            .flat_map(|answers| stream::iter(answers.unwrap_or_default()))
            .filter_map(|answer| future::ready(answer.decode().ok()))
            .boxed()
    }

    /// Writes a checkpoint if one is due, and trims the log.
    pub async fn maintain(&self) {
        let store = &*self.host.store;
        checkpoint::save(store, &self.host.feed, &self.master, &self.config.log).await;
        checkpoint::trim(store, self.config.log.resume_window).await;
    }

    /// Waits until a part has ended, and returns why.
    pub async fn failed(&self) -> String {
        self.tasks.failed().await
    }
}
