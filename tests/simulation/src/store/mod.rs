//! The store model: PostgreSQL with a synchronous standby, as an authority sees it over a connection that may fail.

pub mod cluster;
pub mod database;
pub mod rows;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use portcullis_contract::position::{Chain, Position, Revision};
use portcullis_domain::Entry;
use portcullis_store::{
    Appended, AuthorityShare, Beat, CheckpointDue, CheckpointStore, LogBatch, LogStore, PeerRow,
    PeerStore, StoreError,
};
use prost::bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use self::{
    database::{Database, unavailable},
    rows::{Record, Touch},
};
use crate::links::Links;

/// The longest that an authority waits for a statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(10);
/// Checkpoints are written after this many batches.
const CHECKPOINT_BATCHES: u64 = 6;

/// The connections of one authority.
pub struct Connection {
    authority: usize,
    database: Arc<Database>,
    links: Arc<Links>,
    /// The server that it is connected to.
    server: AtomicUsize,
}

impl Connection {
    /// Connects to the primary.
    pub fn new(authority: usize, database: Arc<Database>, links: Arc<Links>) -> Arc<Self> {
        let server = AtomicUsize::new(database.cluster().primary);
        Arc::new(Self {
            authority,
            database,
            links,
            server,
        })
    }

    /// Runs a job on the database's host.
    pub async fn call<T, F>(
        &self,
        job: impl FnOnce(Arc<Database>, usize) -> F + Send,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let answered = timeout(STATEMENT_TIMEOUT, self.ask(job)).await;
        let result = answered.unwrap_or_else(|_| Err(unavailable("no answer in time")));
        if let Err(StoreError::Unavailable(_)) = &result {
            self.reconnect();
        }
        result
    }

    async fn ask<T, F>(
        &self,
        job: impl FnOnce(Arc<Database>, usize) -> F + Send,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.links.wait_unpaused_authority(self.authority).await;
        while !self.links.carries_statements(self.authority) {
            sleep(LOOK).await;
        }
        sleep(self.database.dice.duration(100..=1_500)).await;

        let server = self.server.load(Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let running = job(Arc::clone(&self.database), server);
        let job = Box::pin(async move {
            // Nobody waits any more when the authority has crashed or given up.
            let _ = reply.send(running.await);
        });
        let sent = self.database.jobs.send(job).await;
        sent.map_err(|_| unavailable("the database has ended"))?;
        let result = answer.await;

        while !self.links.carries_answers(self.authority) {
            sleep(LOOK).await;
        }
        sleep(self.database.dice.duration(100..=1_500)).await;
        self.links.wait_unpaused_authority(self.authority).await;
        result.unwrap_or_else(|_| Err(unavailable("the connection broke")))
    }

    /// Looks for the primary, unless the old one is all that this authority can reach.
    fn reconnect(&self) {
        if !self.links.is_stuck(self.authority) {
            let primary = self.database.cluster().primary;
            self.server.store(primary, Ordering::Relaxed);
        }
    }

    async fn write_lazily(&self, record: Record) -> Result<(), StoreError> {
        self.call(async move |database, server| database.write_lazily(server, record))
            .await
    }
}

#[async_trait]
impl LogStore for Connection {
    async fn append(&self, batch: &[Entry]) -> Result<Appended, StoreError> {
        let batch = batch.to_vec();
        self.call(|database, server| async move { database.append(server, &batch).await })
            .await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.call(|database, server| async move { database.read(server, rows::Rows::head).await })
            .await
    }

    async fn head_and_chain(
        &self,
        revision: Revision,
    ) -> Result<(Position, Option<Chain>), StoreError> {
        self.call(move |database, server| async move {
            let both = |rows: &rows::Rows| (rows.head(), rows.chain(revision));
            database.read(server, both).await
        })
        .await
    }

    async fn beat(&self, authority: &[u8; 16]) -> Result<Beat, StoreError> {
        let authority = *authority;
        self.call(move |database, server| async move { database.beat(server, authority).await })
            .await
    }

    async fn end_beats(&self, _authority: &[u8; 16]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_old_beats(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn check_writes(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn tail(&self, after: Revision, limit: u32) -> Result<Vec<LogBatch>, StoreError> {
        let batches = self
            .call(move |database, server| async move {
                database.read(server, |rows| rows.after(after, limit)).await
            })
            .await?;
        batches.ok_or(StoreError::Trimmed)
    }

    async fn catch_up(&self, after: Revision, limit: u32) -> Result<Vec<LogBatch>, StoreError> {
        self.tail(after, limit).await
    }

    async fn chain(&self, revision: Revision) -> Result<Option<Chain>, StoreError> {
        self.call(move |database, server| async move {
            database.read(server, |rows| rows.chain(revision)).await
        })
        .await
    }
}

#[async_trait]
impl CheckpointStore for Connection {
    async fn claim_checkpoint(
        &self,
        revision: Revision,
        _due: &CheckpointDue,
    ) -> Result<bool, StoreError> {
        self.call(move |database, server| async move {
            let newest = |rows: &rows::Rows| rows.checkpoints().first().map(|(at, ..)| *at);
            let newest = database.read(server, newest).await?.unwrap_or_default();
            Ok(revision.0 >= newest.0 + CHECKPOINT_BATCHES)
        })
        .await
    }

    async fn save_checkpoint(
        &self,
        at: Position,
        view: Bytes,
        code: Bytes,
    ) -> Result<bool, StoreError> {
        let record = Record::Checkpoint(at.revision, view, code);
        self.call(async move |database, server| database.save_checkpoint(server, at, record).await)
            .await
    }

    async fn checkpoints(&self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.call(|database, server| async move {
            let kept = |rows: &rows::Rows| rows.checkpoints().to_vec();
            let kept = database.read(server, kept).await?;
            Ok(kept
                .into_iter()
                .map(|(_, view, code)| (view, code))
                .collect())
        })
        .await
    }

    async fn trimmable_revision(&self) -> Result<Revision, StoreError> {
        self.call(|database, server| async move {
            let oldest = |rows: &rows::Rows| match rows.checkpoints() {
                [_, (older, ..)] => *older,
                _ => Revision(0),
            };
            database.read(server, oldest).await
        })
        .await
    }

    async fn trim(&self, through: Revision, _age: Duration) -> Result<u64, StoreError> {
        self.write_lazily(Record::Trim(through)).await?;
        Ok(0)
    }
}

#[async_trait]
impl PeerStore for Connection {
    async fn share(&self, authority: &[u8; 16], share: AuthorityShare) -> Result<(), StoreError> {
        let touch = Touch::Roster(*authority, share.roster_version);
        self.write_lazily(Record::Touch(touch)).await
    }

    async fn share_statuses(
        &self,
        _authority: &[u8; 16],
        _statuses: Vec<u8>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn peers(&self, _authority: &[u8; 16]) -> Result<Vec<PeerRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn peer_roster(&self, _peer: &[u8; 16]) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        Ok(None)
    }

    async fn peer_statuses(
        &self,
        _peer: &[u8; 16],
    ) -> Result<Option<(Vec<u8>, Duration)>, StoreError> {
        Ok(None)
    }

    async fn remove_share(&self, _peer: &[u8; 16], _version: u64) -> Result<(), StoreError> {
        Ok(())
    }
}
