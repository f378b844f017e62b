//! The parts that calls work with, each with its own configuration and its own start.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{shutdown::Shutdown, start_error::StartError};
use crate::{
    app::{App, TokenUses},
    callers::Callers,
    client_info::{places::Places, user_agents},
    config::Config,
    domain::TURN_MARGIN,
    feed::{self, Beats, Feed, Gates, Peers, Receipts, Sharing, Validators, watch::WatchHost},
    health::Supervisor,
    identity_providers::IdentityProviders,
    keys::{HeadCodes, Keyring, MasterKeys, Secrets, random},
    limits::Limits,
    log::Log,
    policies::Policies,
    store::{EnforcementStore, LogBatch, Store},
    telemetry::Instruments,
};

/// Starts the parts that calls work with.
pub(super) async fn start_app(
    config: Config,
    store: Arc<dyn Store>,
    master: Arc<MasterKeys>,
    appended: mpsc::Sender<LogBatch>,
    instruments: Arc<Instruments>,
    tasks: &Supervisor,
    shutdown: &Shutdown,
) -> Result<App, StartError> {
    // The life of tokens is announced before any is issued: no generation may be forgotten while its tokens live.
    store
        .token_life(config.tokens.access_token_lifetime, TURN_MARGIN)
        .await?;

    // The secrets that all authorities of the installation share.
    let secrets = Secrets::load(
        Arc::clone(&store),
        Arc::clone(&master),
        config.keys.activation_delay,
    )
    .await?;

    // The log, which commits entries in batches.
    let enforcement: Arc<dyn EnforcementStore> = store.clone();
    let log = Log::start(
        &enforcement,
        &config.log,
        &appended,
        Arc::clone(&instruments),
        tasks,
    );

    // The keys to sign with.
    let keyring = Keyring::start(
        Arc::clone(&store),
        Arc::clone(&master),
        &log,
        config.keys.algorithm,
    )
    .await?;

    // The feed, with the gates that watch it, and the receipts of changes.
    let following = start_following(
        &config,
        &enforcement,
        master,
        Arc::clone(&secrets.heads),
        &instruments,
        tasks,
        shutdown,
    )
    .await?;

    // The services that may call.
    let callers = Arc::new(Callers::new(&config.callers)?);
    callers.observe(&instruments.meter);

    // The devices and places of clients.
    user_agents::warm_up();
    let places = Places::open_configured(&config.places)?;

    // The identity providers whose logouts end sessions.
    let identity_providers = IdentityProviders::open(&config.identity_providers)?;

    // The bounds of callers, and the policies of tenants.
    let limits = Limits::new(&config.limits, Arc::clone(&store), Arc::clone(&instruments));
    let policies = Policies::new(Arc::clone(&store), config.sessions.default_policy());

    Ok(App {
        config,
        callers,
        store,
        log,
        limits,
        identity_providers,
        feed: following.feed,
        receipts: following.receipts,
        peers: following.peers,
        gates: Arc::clone(&following.watch.gates),
        watch: following.watch,
        keyring: Arc::new(keyring),
        secrets: Arc::new(secrets),
        policies: Arc::new(policies),
        refused_sign_ins: Arc::default(),
        places: Arc::new(places),
        instruments,
        token_uses: TokenUses::default(),
        drain: shutdown.drain.clone(),
    })
}

/// The parts that follow the log and prove it to gates.
struct Following {
    feed: Arc<Feed>,
    watch: Arc<WatchHost>,
    peers: Arc<Peers>,
    receipts: Receipts,
}

/// Starts the parts that follow the log and prove it to gates.
async fn start_following(
    config: &Config,
    store: &Arc<dyn EnforcementStore>,
    master: Arc<MasterKeys>,
    heads: Arc<HeadCodes>,
    instruments: &Arc<Instruments>,
    tasks: &Supervisor,
    shutdown: &Shutdown,
) -> Result<Following, StartError> {
    // The feed: the view that follows the log, for this authority and for every stream.
    let feed = Feed::open(Arc::clone(store), master, &config.watch).await?;
    let feed = Arc::new(feed);

    // The streams of gates that watch this authority.
    let (watch, peers) = start_watch(config, store, &feed, heads, instruments, tasks, shutdown);

    // The receipts of changes.
    let receipts = Receipts::new(
        Arc::clone(&feed),
        Arc::clone(&watch.validators),
        Arc::clone(&peers),
        config.watch.receipts_max,
        config.watch.staleness_max,
    );
    Ok(Following {
        feed,
        watch: Arc::new(watch),
        peers,
        receipts,
    })
}

/// Starts the beats and the look at the other authorities, and makes the host of the streams.
fn start_watch(
    config: &Config,
    store: &Arc<dyn EnforcementStore>,
    feed: &Arc<Feed>,
    heads: Arc<HeadCodes>,
    instruments: &Arc<Instruments>,
    tasks: &Supervisor,
    shutdown: &Shutdown,
) -> (WatchHost, Arc<Peers>) {
    let validators = Arc::new(Validators::new(Arc::clone(instruments)));
    // Another one at each start: the row of the process before stays, so that receipts do not
    // forget its gates.
    let authority: [u8; 16] = random();
    // The row of this authority for the others.
    let sharing = Sharing::new(
        Arc::clone(store),
        Arc::clone(&validators),
        authority,
        replica_name(&authority),
    );
    // The beats: proof that a head is fresh.
    let beats = Beats::start(
        Arc::clone(store),
        Arc::clone(&heads),
        Arc::clone(&sharing),
        config.readiness.beat_interval,
        tasks,
    );
    // The other authorities.
    let peers = Peers::new(
        Arc::clone(store),
        Arc::clone(&validators),
        sharing,
        config.watch.staleness_max,
    );
    tasks.spawn_until(&shutdown.stop, "peers", Arc::clone(&peers).run());
    feed::metrics::observe(&instruments.meter, feed, &validators);
    let host = WatchHost {
        config: config.watch.clone(),
        feed: Arc::clone(feed),
        store: Arc::clone(store),
        beats,
        validators,
        gates: Arc::new(Gates::default()),
        heads,
        readiness: Arc::clone(tasks.readiness()),
        drain: shutdown.drain.clone(),
    };
    (host, peers)
}

/// The name of this authority, for operators: that of its host, and a part of its id.
fn replica_name(authority: &[u8; 16]) -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let [first, second, third, ..] = authority;
    format!("{host}-{first:02x}{second:02x}{third:02x}")
}
