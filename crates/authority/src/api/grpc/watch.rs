//! One validator's stream: greeting, snapshot or deltas, and a beat for each probe.
//!
//! The connection asks for the next answer when its reader has room for one, so a stream is no task and has no queue:
//! while its reader is slow nobody asks, and it stays at its revision.

use std::{
    collections::VecDeque,
    future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, TryFutureExt, stream};
use portcullis_contract::{
    position::{Position, Revision},
    text::Text,
    v1::{self, watch_request::Message as Asked, watch_response::Message as Answer},
    watch::{AnyStream, Checksummed, StreamId},
};
use tokio::{
    sync::{oneshot, watch::Receiver},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{activity, render::timestamp};
use crate::{
    app::{App, AppError},
    feed::{
        Connected, EncodedSnapshot, FromRing, Gate, GateStream, Registration, Ticket, Turn,
        ValidatorMode,
    },
    health::Condition,
    store::{Beat, StoreError},
};

/// How long a validator may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Probes of one stream that wait for a beat; more are not answered.
const PROBES_MAX: usize = 64;
/// How often a validator is told that its snapshot waits: well within its patience, 2 s or more.
const QUEUED_INTERVAL: Duration = Duration::from_secs(1);
/// Batches read from the log at a time, for a stream that fell out of the ring.
const CATCH_UP_FRAMES: u32 = 256;

/// What a validator receives, as it is sent.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

/// Where a stream comes from.
pub(super) struct Source {
    /// The name of the caller's credential.
    pub(super) caller: String,
    /// The connection's other end. Empty: unknown.
    pub(super) address: String,
    /// Says that the connection is as old as it may be.
    pub(super) aged: CancellationToken,
}

/// Serves a stream, as fast as the answers are taken, until its connection is as old as it may be.
pub(super) fn serve(
    app: Arc<App>,
    source: Source,
    inbound: Streaming<v1::WatchRequest>,
) -> Answers {
    let answers = open(app, source, inbound)
        .map_ok(Watching::answers)
        .try_flatten_stream();
    Box::pin(answers.filter_map(|answer| {
        future::ready(match answer {
            Ok(answer) => Some(Ok(v1::WatchResponse {
                message: Some(answer),
            })),
            Err(End::Refused(error)) => Some(Err(error.into())),
            // A validator that has gone away does not need to know.
            Err(End::Closed) => None,
        })
    }))
}

/// Why a stream ends.
enum End {
    /// The validator went away, or was asked to.
    Closed,
    /// It may not go on.
    Refused(AppError),
}

impl From<AppError> for End {
    fn from(error: AppError) -> Self {
        Self::Refused(error)
    }
}

/// Hears the hello and greets.
async fn open(
    app: Arc<App>,
    source: Source,
    mut inbound: Streaming<v1::WatchRequest>,
) -> Result<Watching, End> {
    let hello = hello(&mut inbound).await?;
    let stream = check_hello(&hello)?;
    let aged = source.aged.clone();
    let registration = register(&app, source, &hello)?;
    let gate = activity::gate("hello.gate_id", &hello.gate_id, hello.admits_for)?;
    let gate = gate.and_then(|(id, admits_for)| app.gates.connect(id, admits_for));
    let position = app.feed.position();
    let history = app.feed.history();
    let mut watching = Watching {
        app,
        inbound,
        aged,
        registration,
        stream,
        _gate: gate,
        position,
        history,
        beats: VecDeque::new(),
        at: Revision(0),
        next: VecDeque::new(),
        outgoing: None,
        over: false,
    };
    watching.greet(&hello).await?;
    Ok(watching)
}

async fn hello(inbound: &mut Streaming<v1::WatchRequest>) -> Result<v1::WatchHello, End> {
    let first = timeout(HELLO_TIMEOUT, inbound.message()).await;
    let first = first.map_err(|_| AppError::WatchProtocol("no hello in time"))?;
    match first.map_err(|_| End::Closed)?.ok_or(End::Closed)?.message {
        Some(Asked::Hello(hello)) => Ok(hello),
        _ => Err(AppError::WatchProtocol("the first message must be hello").into()),
    }
}

/// A damaged hello could ask for another mode, another cursor, or a staleness that nobody enforces.
fn check_hello(hello: &v1::WatchHello) -> Result<StreamId, AppError> {
    let stream = StreamId::try_from(&hello.stream[..])
        .map_err(|_| AppError::invalid("hello.stream", "must be 16 random bytes"))?;
    match hello.is_intact(&AnyStream) {
        true => Ok(stream),
        false => Err(AppError::WatchCorrupted),
    }
}

fn register(app: &App, source: Source, hello: &v1::WatchHello) -> Result<Registration, AppError> {
    let name = Text::<128>::parse(hello.name.as_str())
        .map_err(|error| AppError::invalid("hello.name", error.to_string()))?;
    let config = &app.config.watch;
    let staleness = hello
        .max_staleness
        .and_then(|staleness| Duration::try_from(staleness).ok())
        .unwrap_or_default();
    if staleness.is_zero() || staleness > config.staleness_max {
        return Err(AppError::WatchProtocol(
            "max_staleness is out of the authority's bounds",
        ));
    }
    let mode = match hello.mode() {
        v1::ValidatorMode::Strict => ValidatorMode::Strict,
        v1::ValidatorMode::BestEffort => ValidatorMode::BestEffort,
        v1::ValidatorMode::Unspecified => {
            return Err(AppError::invalid("hello.mode", "is required"));
        }
    };
    let gate = Gate {
        caller: source.caller,
        name: name.into_string(),
        address: source.address,
        mode,
        max_staleness: staleness,
    };
    let registered = app.validators.register(gate, config.streams_max);
    registered.ok_or(AppError::Overloaded)
}

/// A stream whose validator was greeted.
struct Watching {
    app: Arc<App>,
    inbound: Streaming<v1::WatchRequest>,
    /// Says that the connection is as old as it may be.
    aged: CancellationToken,
    registration: Registration,
    /// The stream's name in the checksums of its messages.
    stream: StreamId,
    /// Tells the sweep that the gate may admit requests, while it lasts.
    _gate: Option<GateStream>,
    /// Changes wake the stream.
    position: Receiver<Position>,
    /// The history that it is about.
    history: u64,
    /// Probes that wait for a beat. Beats come in the order in which they were asked for.
    beats: VecDeque<(u64, oneshot::Receiver<Beat>)>,
    /// The last revision that was put into `next`.
    at: Revision,
    /// Answers that can be sent at once.
    next: VecDeque<Answer>,
    /// The snapshot that is being sent, or waits to be.
    outgoing: Option<Outgoing>,
    /// Nothing comes after `next`.
    over: bool,
}

/// A snapshot on its way. Its chunks are made one by one, so that a stream holds no more than one.
struct Outgoing {
    ticket: Ticket,
    /// What the validator has already.
    part: Option<v1::SnapshotPart>,
    /// The snapshot and its next chunk, once it is its turn.
    begun: Option<(Arc<EncodedSnapshot>, usize)>,
    /// When the validator was last told that it waits.
    told: Option<Instant>,
}

/// What a validator's cursor is to this authority.
enum Standing {
    /// A position of this history: deltas follow.
    Known,
    /// There is none.
    New,
    /// Of another history, or of a part of this one that the primary does not have.
    Fork,
}

impl Watching {
    /// All answers, in order, to the end.
    fn answers(self) -> impl Stream<Item = Result<Answer, End>> + Send {
        stream::try_unfold(Box::new(self), |mut watching| async move {
            let answer = watching.answer().await?;
            Ok(answer.map(|answer| (answer, watching)))
        })
    }

    async fn answer(&mut self) -> Result<Option<Answer>, End> {
        loop {
            let answer = self.next.pop_front();
            if self.next.is_empty() {
                self.connected().record_taken(self.at);
            }
            if answer.is_some() || self.over {
                return Ok(answer);
            }
            self.gather().await?;
        }
    }

    async fn greet(&mut self, hello: &v1::WatchHello) -> Result<(), End> {
        let standing = self.standing(hello).await?;
        let incarnation = self
            .app
            .feed
            .view()
            .position()
            .incarnation
            .0
            .to_vec()
            .into();
        let fork = matches!(standing, Standing::Fork);
        let welcome = v1::WatchWelcome {
            incarnation,
            fork,
            ..Default::default()
        };
        self.next
            .push_back(Answer::Welcome(welcome.sealed(&self.stream)));
        if fork {
            tracing::error!(validator = %hello.name, "a validator has seen another history");
        }
        if !matches!(standing, Standing::Known) {
            self.begin_snapshot(hello.part.clone());
        }
        Ok(())
    }

    async fn standing(&mut self, hello: &v1::WatchHello) -> Result<Standing, End> {
        let Some(cursor) = &hello.cursor else {
            return Ok(Standing::New);
        };
        let cursor = Position::try_from(cursor)
            .map_err(|_| AppError::invalid("hello.cursor", "is malformed"))?;
        let here = self.app.feed.view().position();
        if cursor.incarnation != here.incarnation {
            return Ok(Standing::Fork);
        }
        self.at = cursor.revision;
        if cursor == here {
            return Ok(Standing::Known);
        }
        // Only the primary's word makes a cursor ahead or foreign.
        match self
            .app
            .store
            .chain(cursor.revision)
            .await
            .map_err(AppError::from)?
        {
            Some(chain) if chain == cursor.chain => Ok(Standing::Known),
            _ => {
                self.report_lost_history(hello).await?;
                Ok(Standing::Fork)
            }
        }
    }

    /// Says that the store is older than what a validator was shown, unless this authority saw that happen.
    ///
    /// Beats go on. They prove the head of this history, which is all that can be proved: what was lost is not in it,
    /// whoever waits, and the gates that saw it enforce both histories. Without beats every gate would refuse everything
    /// for a loss that only an operator can weigh.
    ///
    /// The validator's word is not enough: one that lies could take the authority out of service. It has to show a head
    /// that a beat named.
    async fn report_lost_history(&self, hello: &v1::WatchHello) -> Result<(), End> {
        let Some(shown) = self.proven_head(hello) else {
            return Ok(());
        };
        let found = self.app.store.chain(shown.revision).await;
        if found.map_err(AppError::from)? == Some(shown.chain) {
            return Ok(());
        }
        let here = self.app.feed.view().position();
        let chain = self.app.store.chain(here.revision).await;
        // A view that is foreign itself is about to be replaced: the feed has seen both histories then.
        let is_foreign = chain.map_err(AppError::from)? != Some(here.chain);
        if is_foreign || self.app.feed.explains(shown) {
            return Ok(());
        }
        let problem = format!(
            "the store does not have revision {} as a validator was shown it: it was restored, or failed over with a \
             loss; run `portcullis recover`",
            shown.revision
        );
        self.app.readiness.raise(Condition::History, problem);
        Ok(())
    }

    /// The head of this history that a validator proves to have been told of.
    fn proven_head(&self, hello: &v1::WatchHello) -> Option<Position> {
        let proven = hello.proven_head.as_ref()?;
        let head = Position::try_from(proven.head.as_ref()?).ok()?;
        let here = self.app.feed.view().position();
        let is_ours = head.incarnation == here.incarnation;
        let is_proven = self.app.secrets.heads.verify(head, &proven.code);
        (is_ours && is_proven).then_some(head)
    }

    /// Lines up for a snapshot.
    fn begin_snapshot(&mut self, part: Option<v1::SnapshotPart>) {
        self.outgoing = Some(Outgoing {
            ticket: self.app.feed.admission.enter(),
            part,
            begun: None,
            told: None,
        });
    }

    /// The next chunk of the snapshot, or word that it still waits. Deltas follow when it is whole, and probes are read
    /// then: no beat could be about a view that is not there.
    async fn gather_chunk(&mut self) -> Result<(), End> {
        let Some(mut outgoing) = self.outgoing.take() else {
            return Ok(());
        };
        match outgoing.ticket.turn(Instant::now()) {
            Turn::Now => self.send_chunk(outgoing).await,
            Turn::Wait { ahead, wait } => {
                let due = outgoing
                    .told
                    .is_none_or(|told| told.elapsed() >= QUEUED_INTERVAL);
                if due {
                    outgoing.told = Some(Instant::now());
                    self.next.push_back(Answer::Queued(v1::WatchQueued {
                        ahead,
                        wait: wait.try_into().ok(),
                    }));
                }
                self.outgoing = Some(outgoing);
                if !due {
                    self.wait_for_turn().await?;
                }
            }
        }
        Ok(())
    }

    async fn wait_for_turn(&mut self) -> Result<(), End> {
        let app = Arc::clone(&self.app);
        tokio::select! {
            () = app.feed.admission.freed() => {}
            // Another history ends the stream.
            changed = self.position.changed() => changed.map_err(|_| End::Closed)?,
            () = app.drain.cancelled() => self.end(),
        }
        Ok(())
    }

    async fn send_chunk(&mut self, mut outgoing: Outgoing) {
        let (snapshot, index) = match outgoing.begun.take() {
            Some(begun) => begun,
            None => self.choose_snapshot(outgoing.part.take()).await,
        };
        self.next
            .extend(snapshot.chunk(index).map(Answer::SnapshotChunk));
        if index + 1 < snapshot.length() {
            outgoing.begun = Some((snapshot, index + 1));
            self.outgoing = Some(outgoing);
        } else {
            self.at = snapshot.position.revision;
            outgoing.ticket.finish(Instant::now());
        }
    }

    /// The snapshot that the validator has a part of, else the newest one.
    async fn choose_snapshot(
        &self,
        part: Option<v1::SnapshotPart>,
    ) -> (Arc<EncodedSnapshot>, usize) {
        if let Some(part) = part
            && let Some(held) = self.app.feed.held_snapshot(&part).await
        {
            return held;
        }
        (self.app.feed.snapshot().await, 0)
    }

    /// Waits until there is something to do, and does it: there may be an answer then.
    async fn gather(&mut self) -> Result<(), End> {
        self.position.borrow_and_update();
        if self.app.feed.history() != self.history {
            self.end();
            return Ok(());
        }
        if self.outgoing.is_none() {
            self.gather_news().await?;
        }
        if self.outgoing.is_some() {
            return self.gather_chunk().await;
        }
        if !self.next.is_empty() {
            return Ok(());
        }
        tokio::select! {
            changed = self.position.changed() => changed.map_err(|_| End::Closed)?,
            asked = self.inbound.message() => {
                let probe = probe(asked)?;
                self.take_probe(&probe)?;
            }
            // Without a beat there is no answer, and the validator grows stale by itself.
            (nonce, beat) = first(&mut self.beats) => {
                let answer = beat.map(|beat| self.answer_probe(nonce, beat));
                self.next.extend(answer);
            }
            () = self.app.drain.cancelled() => self.end(),
            () = self.aged.cancelled() => self.end(),
        }
        Ok(())
    }

    /// Counts what the validator has applied, and asks for the beat that answers it. A claim above what this stream
    /// delivered counts for nothing: an operator would take a revocation for enforced that is not.
    fn take_probe(&mut self, probe: &v1::WatchProbe) -> Result<(), AppError> {
        if !probe.is_intact(&self.stream) {
            return Err(AppError::WatchCorrupted);
        }
        let applied = Revision(probe.applied_revision);
        if applied > self.at {
            tracing::warn!(gate = %self.connected().gate, claimed = %applied, delivered = %self.at,
                "a gate claims a revision that it was not sent");
            return Err(AppError::WatchRevisionAhead);
        }
        self.connected().record_probe(applied);
        if self.beats.len() < PROBES_MAX
            && let Some(beat) = self.app.beats.ask()
        {
            self.beats.push_back((probe.nonce, beat));
        }
        Ok(())
    }

    fn answer_probe(&self, nonce: u64, beat: Beat) -> Answer {
        let beat = v1::WatchBeat {
            nonce,
            head: Some(beat.head.into()),
            head_code: self.app.secrets.heads.sign(beat.head),
            database_time: Some(timestamp(beat.time)),
            ..Default::default()
        };
        Answer::Beat(beat.sealed(&self.stream))
    }

    /// Asks the validator to connect anew.
    fn end(&mut self) {
        self.next.push_back(Answer::Drain(v1::WatchDrain {}));
        self.over = true;
    }

    fn connected(&self) -> &Connected {
        &self.registration.connected
    }

    /// Batches after the last one that was gathered: from the ring, else from the log, else a snapshot.
    async fn gather_news(&mut self) -> Result<(), End> {
        let frames = match self.app.feed.after(self.at) {
            FromRing::Frames(frames) => frames,
            // This replica does not have it yet; the primary does, or the cursor would have been refused.
            FromRing::Ahead => return Ok(()),
            FromRing::Behind => match self.app.store.catch_up(self.at, CATCH_UP_FRAMES).await {
                Ok(frames) => frames.iter().map(v1::DeltaFrame::from).collect(),
                Err(StoreError::Trimmed) => {
                    self.begin_snapshot(None);
                    return Ok(());
                }
                Err(error) => return Err(AppError::from(error).into()),
            },
        };
        self.at = frames
            .last()
            .map_or(self.at, |last| Revision(last.revision));
        self.next.extend(frames.into_iter().map(Answer::Delta));
        Ok(())
    }
}

/// What becomes of the first of the probes that wait; never comes when none does.
async fn first(beats: &mut VecDeque<(u64, oneshot::Receiver<Beat>)>) -> (u64, Option<Beat>) {
    let Some((nonce, beat)) = beats.front_mut() else {
        return future::pending().await;
    };
    let answered = (*nonce, beat.await.ok());
    beats.pop_front();
    answered
}

fn probe(asked: Result<Option<v1::WatchRequest>, Status>) -> Result<v1::WatchProbe, End> {
    match asked.map_err(|_| End::Closed)?.ok_or(End::Closed)?.message {
        Some(Asked::Probe(probe)) => Ok(probe),
        _ => Err(AppError::WatchProtocol("after hello only probes may follow").into()),
    }
}
