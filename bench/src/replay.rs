//! A log that grows as fast as it is asked to, over the real protocol: one frame a batch, which no disk has to take.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use futures::{Stream, StreamExt, stream};
use portcullis_contract::{
    delta::{self, Change, Scope},
    id::UserSerial,
    key::CredentialKind,
    position::sha256,
    v1::{
        self,
        revocation_service_server::{RevocationService, RevocationServiceServer},
        watch_request::Message as Asked,
        watch_response::Message as Answer,
    },
    view::{Frame, View},
    watch::{AnyStream, Checksummed, StreamId},
};
use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER},
    ports::free_port,
};
use portcullis_validator::Validator;
use tokio::time::Interval;
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Between two batches while the log grows.
const BATCH_INTERVAL: Duration = Duration::from_millis(1);
/// Users who are signed out, one after the other and again.
const USERS: u64 = 500;
const CHUNK_BYTES: usize = 256 << 10;

type Answers = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

/// Serves `Watch` to gates, from one view.
pub(crate) struct Replay {
    endpoint: String,
    growing: Arc<AtomicBool>,
}

impl Replay {
    /// Listens; the log stands still at `view`.
    pub(crate) fn start(view: View) -> Result<Self> {
        let (port, growing) = (free_port(), Arc::new(AtomicBool::new(false)));
        let service = Service {
            view,
            growing: Arc::clone(&growing),
        };
        let server = Server::builder()
            .tcp_nodelay(true)
            .add_service(RevocationServiceServer::new(service));
        tokio::spawn(server.serve(([127, 0, 0, 1], port).into()));
        Ok(Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            growing,
        })
    }

    /// `http://…` of it.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Lets the log grow by a thousand batches a second, each of one sign-out, or stand still.
    pub(crate) fn grow(&self, growing: bool) {
        self.growing.store(growing, Ordering::Relaxed);
    }

    /// A validator that follows it, ready.
    pub(crate) async fn gate(&self) -> Result<Validator> {
        let gate = Validator::builder(&self.endpoint)
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE);
        let gate = gate
            .max_staleness(Duration::from_secs(30))
            .cached_tokens_max(200_000)
            .start()?;
        tokio::time::timeout(Duration::from_secs(60), gate.ready())
            .await
            .context("the gate is not ready")?;
        Ok(gate)
    }
}

struct Service {
    view: View,
    growing: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl RevocationService for Service {
    type WatchStream = Answers;
    type WatchEnforcementStream = stream::Empty<Result<v1::WatchEnforcementResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let mut inbound = request.into_inner();
        let log_stream = match inbound.message().await?.and_then(|asked| asked.message) {
            Some(Asked::Hello(hello)) => StreamId::try_from(&hello.stream[..]).unwrap_or_default(),
            _ => {
                return Err(Status::failed_precondition(
                    "the first message must be hello",
                ));
            }
        };
        let log = Log {
            stream: log_stream,
            view: self.view.clone(),
            growing: Arc::clone(&self.growing),
            inbound,
            ticks: tokio::time::interval(BATCH_INTERVAL),
        };
        let grown = stream::unfold(
            log,
            |mut log| async move { Some((log.answer().await?, log)) },
        );
        let answers = stream::iter(greeting(&self.view, &log_stream)).chain(grown);
        Ok(Response::new(Box::pin(answers.map(|answer| {
            Ok(v1::WatchResponse {
                message: Some(answer),
            })
        }))))
    }

    async fn report_activity(
        &self,
        _: Request<v1::ReportActivityRequest>,
    ) -> Result<Response<v1::ReportActivityResponse>, Status> {
        Ok(Response::new(v1::ReportActivityResponse::default()))
    }

    async fn list_validators(
        &self,
        _: Request<v1::ListValidatorsRequest>,
    ) -> Result<Response<v1::ListValidatorsResponse>, Status> {
        Err(Status::unimplemented("only Watch"))
    }

    async fn wait_for_enforcement(
        &self,
        _: Request<v1::WaitForEnforcementRequest>,
    ) -> Result<Response<v1::WaitForEnforcementResponse>, Status> {
        Err(Status::unimplemented("only Watch"))
    }

    async fn watch_enforcement(
        &self,
        _: Request<v1::WatchEnforcementRequest>,
    ) -> Result<Response<Self::WatchEnforcementStream>, Status> {
        Err(Status::unimplemented("only Watch"))
    }

    async fn sign_out_everyone(
        &self,
        _: Request<v1::SignOutEveryoneRequest>,
    ) -> Result<Response<v1::SignOutEveryoneResponse>, Status> {
        Err(Status::unimplemented("only Watch"))
    }
}

/// Welcome, and the view as a snapshot.
fn greeting(view: &View, stream: &StreamId) -> Vec<Answer> {
    let bytes = view.encode();
    let digest = sha256(&bytes);
    let chunk = |offset: usize| v1::SnapshotChunk {
        total_bytes: bytes.len() as u64,
        sha256: digest.to_vec().into(),
        offset: offset as u64,
        data: bytes.slice(offset..bytes.len().min(offset + CHUNK_BYTES)),
        ..Default::default()
    };
    let incarnation = view.position().incarnation.0.to_vec().into();
    let welcome = v1::WatchWelcome {
        incarnation,
        ..Default::default()
    };
    let welcome = Answer::Welcome(welcome.sealed(stream));
    let chunks = (0..bytes.len())
        .step_by(CHUNK_BYTES)
        .map(|offset| Answer::SnapshotChunk(chunk(offset).sealed(&AnyStream)));
    std::iter::once(welcome).chain(chunks).collect()
}

/// The log as one gate sees it.
struct Log {
    stream: StreamId,
    view: View,
    growing: Arc<AtomicBool>,
    inbound: Streaming<v1::WatchRequest>,
    ticks: Interval,
}

impl Log {
    /// The next batch, or the answer to a probe. None when the gate is gone.
    async fn answer(&mut self) -> Option<Answer> {
        loop {
            tokio::select! {
                asked = self.inbound.message() => {
                    if let Some(Asked::Probe(probe)) = asked.ok()??.message {
                        let beat = v1::WatchBeat {
                            nonce: probe.nonce,
                            head: Some(self.view.position().into()),
                            database_time: Some(SystemTime::now().into()),
                            ..Default::default()
                        };
                        return Some(Answer::Beat(beat.sealed(&self.stream)));
                    }
                }
                _ = self.ticks.tick() => {
                    if self.growing.load(Ordering::Relaxed) {
                        return Some(Answer::Delta(self.batch()));
                    }
                }
            }
        }
    }

    fn batch(&mut self) -> v1::DeltaFrame {
        let revision = self.view.position().revision.next();
        let scope = Scope::User(UserSerial(u64::MAX - revision.0 % USERS));
        let change = Change::Cut {
            credential: CredentialKind::Session,
            scope,
            exempt: None,
        };
        let frame = Frame {
            revision,
            delta: delta::encode(&[change], Vec::new()),
            audit_digest: [0; 32],
        };
        self.view = self.view.apply(&frame).expect("the next batch");
        v1::DeltaFrame::from(&frame)
    }
}
