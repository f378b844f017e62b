//! The host of an authority: the real parts, over a simulated network and the store model.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture};
use portcullis_authority::{
    config::Config, domain::Mutation, simulation::SimulatedAuthority, store::EnforcementStore,
};
use portcullis_contract::v1::WatchRequest;
use portcullis_domain::Entry;
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use turmoil::net::{TcpListener, TcpStream};

use crate::{
    operations::{LIFE_SECONDS, Performer},
    store::{Connection, database::elapsed},
    wire,
    world::{OPERATIONS_MAX, World},
};

/// The pause between two looks at the log's maintenance.
const MAINTENANCE: Duration = Duration::from_millis(300);
/// The life of a token, which a turn waits for.
const TOKEN_LIFE: Duration = Duration::from_secs(LIFE_SECONDS);
/// The margin of a turn over it.
const TURN_MARGIN: Duration = Duration::from_secs(2);
/// The time for which the database's clock has to stay behind its floor before everyone is signed out.
const CLOCK_PATIENCE: Duration = Duration::from_millis(600);
/// The most messages of a gate that wait to be read.
const REQUESTS_MAX: usize = 64;

fn config() -> Config {
    let mut config = Config::default();
    // Small, so that streams read the log and need snapshots.
    config.watch.ring_frames_max = 4;
    config.log.append_timeout = Duration::from_secs(4);
    config.log.resume_window = Duration::ZERO;
    config
}

/// Runs the process of an authority.
pub async fn run(world: Arc<World>, number: usize) -> turmoil::Result {
    let links = Arc::clone(&world.links);
    let connection = Connection::new(number, Arc::clone(&world.database), links);
    let store = Arc::clone(&connection) as Arc<dyn EnforcementStore>;
    let authority = loop {
        let master = Arc::clone(&world.master);
        let starting =
            SimulatedAuthority::start(Arc::clone(&store), master, config(), CLOCK_PATIENCE);
        match starting.await {
            Ok(authority) => break Arc::new(authority),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    };

    let performer = Performer {
        world: Arc::clone(&world),
        connection,
        log: authority.log().clone(),
    };
    tokio::spawn(perform(performer, number));
    tokio::spawn(maintain(Arc::clone(&world), Arc::clone(&authority)));
    tokio::spawn(report_failure(Arc::clone(&world), Arc::clone(&authority)));

    let listener = TcpListener::bind(("0.0.0.0", wire::PORT)).await?;
    let mut streams = Streams::default();
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let serving = serve(Arc::clone(&world), number, Arc::clone(&authority), stream);
                streams.0.push(Box::pin(serving));
            }
            () = poll_fn(|context| streams.poll(context)) => {}
        }
    }
}

/// The streams of an authority. One task polls them all, in the order in which they came.
///
/// With a task each, two runs of one seed would differ: tokio wakes those who wait for one change in a random order.
#[derive(Default)]
struct Streams(Vec<BoxFuture<'static, ()>>);

impl Streams {
    /// Polls every stream. It is never done, since another stream may come.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0
            .retain_mut(|stream| stream.as_mut().poll(context).is_pending());
        Poll::Pending
    }
}

/// Serves the stream of one gate.
async fn serve(
    world: Arc<World>,
    number: usize,
    authority: Arc<SimulatedAuthority>,
    stream: TcpStream,
) {
    let (mut reading, mut writing) = stream.into_split();
    let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
    let paused = Arc::clone(&world);
    let reader = tokio::spawn(async move {
        while let Ok(Some(request)) = wire::read::<WatchRequest>(&mut reading).await {
            paused.links.wait_unpaused_authority(number).await;
            if requests.send(request).await.is_err() {
                return;
            }
        }
    });
    let mut answers = authority.watch(ReceiverStream::new(waiting));
    while let Some(answer) = answers.next().await {
        world.links.wait_unpaused_authority(number).await;
        if wire::write(&mut writing, &answer).await.is_err() {
            break;
        }
    }
    reader.abort();
}

/// Carries out what clients ask.
async fn perform(performer: Performer, number: usize) {
    let (sender, mut operations) = mpsc::channel(OPERATIONS_MAX);
    let world = Arc::clone(&performer.world);
    *world.inboxes[number].lock().expect("not poisoned") = Some(sender);
    while let Some(operation) = operations.recv().await {
        world.links.wait_unpaused_authority(number).await;
        tokio::spawn(performer.clone().perform(operation));
    }
}

/// Counts time, turns, writes checkpoints and trims.
async fn maintain(world: Arc<World>, authority: Arc<SimulatedAuthority>) {
    loop {
        sleep(MAINTENANCE).await;
        world.database.count_time(elapsed());
        let turn = Entry::internal(Mutation::Turn {
            life: TOKEN_LIFE,
            margin: TURN_MARGIN,
        });
        if let Ok(outcome) = authority.log().submit(turn).await
            && outcome.changed > 0
        {
            world.history.events().counts.turns += 1;
        }
        authority.maintain().await;
    }
}

/// An authority that cannot go on is a finding.
async fn report_failure(world: Arc<World>, authority: Arc<SimulatedAuthority>) {
    let reason = authority.failed().await;
    let at = elapsed();
    world
        .history
        .report(format!("an authority ended at {at:?}: {reason}"));
}
