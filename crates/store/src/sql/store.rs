//! The store over an engine: which connection each call takes, and which module answers it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use portcullis_contract::{
    id::{ApiKeyId, SessionId, TenantId, TenantSerial, UserId},
    position::{Chain, Incarnation, Position, Revision},
};
use prost::bytes::Bytes;

use super::{
    activity, api_key_uses, api_keys, append, audit, checkpoints,
    connection::{Backend, Dialect, Lane},
    cutoffs,
    db::Db,
    erasure, export, gates,
    group::Groups,
    history, installation, listing, log, log_version, peers, policies, providers, recover,
    refresh::{self, Refresh},
    reporting::Reporting,
    search::Searches,
    secrets,
    sessions::{self, SessionKey},
    sign_in, signing_keys, sweep, turns,
    users::{self, UserKey},
};
use crate::outage::Outage;
use crate::{
    ActivityStore, ApiKeyStore, Appended, ArchivePiece, AuditExportStore, AuditRemoved,
    AuditRetentionStore, AuditRules, AuditStore, AuthorityShare, Beat, Checkpoint, CheckpointDue,
    CheckpointStore, Codes, DueSessions, ErasureStore, ExportClaim, InstallationStore, KeyStore,
    LogBatch, LogStore, LogVersions, MASTER_KEY_ID_BYTES, PeerRow, PeerStore, PolicyStore,
    PolicyWalk, PoolState, Proof, ProviderStore, Recovered, RefreshOutcome, Removed, Schedule,
    SessionStore, SessionsUnder, SignInError, SignInHistory, StoreError, StoreMeasure, StoreStatus,
    SweepStore, TokenLife, UserStore,
};
use portcullis_domain::{
    ApiKey, ApiKeyFilter, ApiKeyHour, ApiKeyUse, AuditEvent, AuditFilter, AuditPosition,
    AuditVerdict, ClientInfo, CodedRecord, Counting, DeadLetter, DeadLetterId, Entry, ErasedCounts,
    Erasure, ExportKind, ExportPlace, ExportStatus, ExportedRecord, GateContact, GateRecord,
    KeyRecord, Micros, MovedSession, NewSecret, Page, PageCursor, PendingEvent, Policy, Preview,
    ProviderLogout, RemovalPlace, SealedValue, SecretRecord, Selection, Session, SessionActivity,
    SessionFilter, SessionOrder, SignIn, SignInOutcome, TrailBegin, TrailPosition, User,
    UserFilter, UserOrder, UserSummary, findings::Footprint,
};

/// The most sign-ins, or refreshes, of one transaction. They share its wait for the disk.
const WRITES_MAX: usize = 64;

/// The store over an engine.
pub struct SqlStore {
    backend: Arc<dyn Backend>,
    outage: Arc<Outage>,
    sign_ins: Groups<SignIn, Result<SignInOutcome, SignInError>>,
    refreshes: Groups<Refresh, RefreshOutcome>,
    sessions: Groups<SessionKey, Option<(Session, Micros)>>,
    users: Groups<UserKey, Option<User>>,
    histories: Groups<history::Question, SignInHistory>,
    searches: Searches,
}

impl SqlStore {
    /// Opens the store. In an empty database it inserts the rows of a new installation.
    ///
    /// # Errors
    /// Fails when the engine does.
    pub async fn open(backend: Arc<dyn Backend>) -> Result<Self, StoreError> {
        // The reports wrap the engine, so that no call can forget to report an outage.
        let outage = Arc::new(Outage::new("the database"));
        let backend: Arc<dyn Backend> = Arc::new(Reporting::new(backend, Arc::clone(&outage)));
        let reads_max = backend.dialect().group_max;
        let store = Self {
            outage,
            sign_ins: groups!(backend, Lane::Write, WRITES_MAX, sign_in::sign_in),
            refreshes: groups!(backend, Lane::Write, WRITES_MAX, refresh::refresh),
            sessions: groups!(backend, Lane::Read, reads_max, sessions::find),
            users: groups!(backend, Lane::Read, reads_max, users::find),
            histories: groups!(backend, Lane::Read, reads_max, history::find),
            searches: Searches::new(backend.searches_max()),
            backend,
        };
        installation::initialize(&mut store.lane(Lane::Append).await?).await?;
        Ok(store)
    }

    async fn lane(&self, lane: Lane) -> Result<Db, StoreError> {
        let connection = self.backend.connection(lane).await?;
        Ok(Db::new(connection, self.dialect()))
    }

    /// Lends a connection to write the row of an authority.
    async fn shares(&self) -> Result<Db, StoreError> {
        let lane = match self.dialect().beat_writes {
            true => Lane::Peers,
            // The one writer.
            false => Lane::Write,
        };
        self.lane(lane).await
    }

    /// Lends a connection for a search in the rows of a tenant, or of all tenants, when it is its turn.
    async fn search(&self, tenant: Option<&TenantId>) -> Result<Db, StoreError> {
        let turn = self.searches.turn(tenant).await?;
        Ok(self.lane(Lane::Search).await?.in_turn(turn))
    }

    fn dialect(&self) -> Dialect {
        self.backend.dialect()
    }
}

#[async_trait]
impl StoreStatus for SqlStore {
    fn outage(&self) -> Arc<Outage> {
        Arc::clone(&self.outage)
    }

    fn is_shared(&self) -> bool {
        // Where there is only one writer, there is only one process.
        !self.dialect().lock_rows.is_empty()
    }

    fn pools(&self) -> Vec<PoolState> {
        self.backend.pools()
    }

    async fn durability(&self) -> Result<String, StoreError> {
        Ok(self.backend.durability().await?)
    }

    async fn measure(&self) -> Result<StoreMeasure, StoreError> {
        Ok(self.backend.measure().await?)
    }
}

#[async_trait]
impl SessionStore for SqlStore {
    async fn sign_in(&self, new: &SignIn) -> Result<SignInOutcome, SignInError> {
        self.sign_ins.call(new.clone()).await?
    }

    async fn refresh(
        &self,
        tenant: &TenantId,
        id: SessionId,
        generation: u64,
        proof: Proof,
        client: &ClientInfo,
    ) -> Result<RefreshOutcome, StoreError> {
        self.refreshes
            .call(Refresh {
                session: (tenant.clone(), id),
                generation,
                proof,
                client: client.clone(),
            })
            .await
    }

    async fn record_shared_token(
        &self,
        tenant: &TenantId,
        id: SessionId,
        generation: u64,
        event: &PendingEvent,
    ) -> Result<(), StoreError> {
        let mut db = self.lane(Lane::Write).await?;
        let session = (tenant.clone(), id);
        refresh::record_shared_token(&mut db, &session, generation, event).await
    }

    async fn session(
        &self,
        tenant: &TenantId,
        id: SessionId,
    ) -> Result<Option<(Session, Micros)>, StoreError> {
        self.sessions.call((tenant.clone(), id)).await
    }

    async fn excess_sessions(&self, new: &SignIn) -> Result<Vec<SessionId>, StoreError> {
        sign_in::limit::find_excess(&mut self.lane(Lane::Read).await?, new).await
    }

    async fn list_sessions(
        &self,
        filter: &SessionFilter,
        order: SessionOrder,
        after: Option<&PageCursor>,
        limit: u32,
    ) -> Result<Page<Session>, StoreError> {
        listing::sessions::list(
            &mut self.search(Some(&filter.tenant_id)).await?,
            filter,
            order,
            after,
            limit,
        )
        .await
    }

    async fn count_sessions(&self, tenant: &TenantId, max: u32) -> Result<u32, StoreError> {
        listing::preview::count(&mut self.search(Some(tenant)).await?, tenant, max).await
    }

    async fn preview(
        &self,
        tenant: &TenantId,
        selection: &Selection,
    ) -> Result<Option<Preview>, StoreError> {
        listing::preview::preview(&mut self.search(Some(tenant)).await?, tenant, selection).await
    }

    async fn sign_in_history(
        &self,
        tenant: &TenantId,
        user: &UserId,
        footprints: &[Footprint],
    ) -> Result<SignInHistory, StoreError> {
        self.histories
            .call((tenant.clone(), user.clone(), footprints.to_vec()))
            .await
    }

    async fn remove_ended(
        &self,
        after: Option<&PageCursor>,
        retention: Duration,
        limit: u32,
    ) -> Result<Removed, StoreError> {
        listing::removal::remove_ended(&mut self.lane(Lane::Write).await?, after, retention, limit)
            .await
    }

    async fn remove_old_history(
        &self,
        after: Option<&PageCursor>,
        keep: Duration,
        limit: u32,
    ) -> Result<Removed, StoreError> {
        history::remove_old(&mut self.lane(Lane::Write).await?, after, keep, limit).await
    }
}

#[async_trait]
impl UserStore for SqlStore {
    async fn list_tenants(
        &self,
        after: TenantSerial,
        limit: u32,
    ) -> Result<Vec<(TenantSerial, TenantId)>, StoreError> {
        users::list_tenants(&mut self.lane(Lane::Read).await?, after, limit).await
    }

    async fn user(&self, tenant: &TenantId, id: &UserId) -> Result<Option<User>, StoreError> {
        self.users.call((tenant.clone(), id.clone())).await
    }

    async fn users(&self, tenant: &TenantId, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        // Nobody to look up, as in the view of a session without its user: the answer must not wait for a connection.
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = ids.iter().map(|id| (tenant.clone(), id.clone())).collect();
        let found = users::find(&mut self.lane(Lane::Read).await?, &keys).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn add_users(&self, tenant: &TenantId, users: &[UserId]) -> Result<(), StoreError> {
        let mut db = self.lane(Lane::Write).await?;
        Ok(users::add(&mut db, tenant, users).await?)
    }

    async fn count_users(&self, tenant: &TenantId, max: u32) -> Result<u32, StoreError> {
        users::count(&mut self.lane(Lane::Search).await?, tenant, max).await
    }

    async fn export_user(
        &self,
        tenant: &TenantId,
        user: &UserId,
        kind: ExportKind,
        after: Option<&PageCursor>,
        limit: u32,
    ) -> Result<(Vec<ExportedRecord>, Option<PageCursor>), StoreError> {
        let mut db = self.search(Some(tenant)).await?;
        export::page(&mut db, (tenant, user), kind, after, limit).await
    }

    async fn list_users(
        &self,
        filter: &UserFilter,
        order: UserOrder,
        after: Option<&PageCursor>,
        limit: u32,
    ) -> Result<Page<UserSummary>, StoreError> {
        listing::users::list(
            &mut self.search(Some(&filter.tenant_id)).await?,
            filter,
            order,
            after,
            limit,
        )
        .await
    }
}

#[async_trait]
impl ApiKeyStore for SqlStore {
    async fn api_key(
        &self,
        tenant: &TenantId,
        id: ApiKeyId,
    ) -> Result<Option<(ApiKey, Micros)>, StoreError> {
        api_keys::find(&mut self.lane(Lane::Read).await?, tenant, id).await
    }

    async fn api_key_hours(
        &self,
        tenant: &TenantId,
        id: ApiKeyId,
    ) -> Result<Vec<ApiKeyHour>, StoreError> {
        api_keys::hours(&mut self.lane(Lane::Read).await?, tenant, id).await
    }

    async fn list_api_keys(
        &self,
        filter: &ApiKeyFilter,
        before: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<(Vec<ApiKey>, Micros), StoreError> {
        api_keys::list(
            &mut self.search(Some(&filter.tenant_id)).await?,
            filter,
            before,
            limit,
        )
        .await
    }

    async fn count_live_api_keys(&self, tenant: &TenantId, max: u32) -> Result<u32, StoreError> {
        api_keys::count_live(&mut self.lane(Lane::Read).await?, tenant, max).await
    }

    async fn count_api_keys(&self, from: Micros, until: Option<Micros>) -> Result<u64, StoreError> {
        let db = &mut self.lane(Lane::Read).await?;
        api_keys::count(db, from, until).await
    }

    async fn record_api_key_uses(&self, uses: &[ApiKeyUse]) -> Result<(), StoreError> {
        api_key_uses::record(&mut self.lane(Lane::Write).await?, uses).await
    }
}

#[async_trait]
impl ProviderStore for SqlStore {
    async fn provider_sessions(
        &self,
        logout: &ProviderLogout,
        limit: u32,
    ) -> Result<Vec<(TenantId, SessionId)>, StoreError> {
        providers::find(&mut self.lane(Lane::Read).await?, logout, limit).await
    }

    async fn knows_logout_token(&self, digest: &[u8; 32]) -> Result<bool, StoreError> {
        providers::knows_token(&mut self.lane(Lane::Read).await?, digest).await
    }

    async fn remember_logout_token(
        &self,
        digest: &[u8; 32],
        keep: Duration,
    ) -> Result<(), StoreError> {
        providers::remember_token(&mut self.lane(Lane::Write).await?, digest, keep).await
    }
}

#[async_trait]
impl PolicyStore for SqlStore {
    async fn policy(&self, tenant: &TenantId) -> Result<Option<(Policy, u64)>, StoreError> {
        policies::find(&mut self.lane(Lane::Read).await?, tenant).await
    }
}

#[async_trait]
impl SweepStore for SqlStore {
    async fn due_sessions(&self, limit: u32) -> Result<DueSessions, StoreError> {
        sweep::due(&mut self.lane(Lane::Read).await?, limit).await
    }

    async fn reschedule(&self, schedules: &[Schedule]) -> Result<(), StoreError> {
        sweep::reschedule(&mut self.lane(Lane::Write).await?, schedules).await
    }

    async fn policy_walk(
        &self,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Option<PolicyWalk>, StoreError> {
        sweep::walk(&mut self.search(None).await?, after, limit).await
    }

    async fn sessions_under(
        &self,
        tenant: &TenantId,
        policy: &Policy,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<SessionsUnder, StoreError> {
        let mut db = self.search(Some(tenant)).await?;
        sweep::sessions_under(&mut db, tenant, policy, before, limit).await
    }

    async fn advance_walk(
        &self,
        walk: &PolicyWalk,
        next: Option<SessionId>,
        schedules: &[Schedule],
    ) -> Result<bool, StoreError> {
        sweep::advance(&mut self.lane(Lane::Write).await?, walk, next, schedules).await
    }
}

#[async_trait]
impl ErasureStore for SqlStore {
    async fn erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError> {
        erasure::list(&mut self.lane(Lane::Read).await?, limit).await
    }

    async fn erasure(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
    ) -> Result<Option<Erasure>, StoreError> {
        erasure::find(&mut self.lane(Lane::Read).await?, (tenant, user)).await
    }

    async fn has_pending_events_of(&self, erasure: &Erasure) -> Result<bool, StoreError> {
        erasure::has_pending_events(&mut self.lane(Lane::Read).await?, erasure).await
    }

    async fn erase_some(&self, erasure: &Erasure, limit: u32) -> Result<ErasedCounts, StoreError> {
        erasure::erase_some(&mut self.lane(Lane::Upkeep).await?, erasure, limit).await
    }

    async fn overwrite_deleted(&self) -> Result<bool, StoreError> {
        erasure::overwrite_deleted(&mut self.lane(Lane::Upkeep).await?).await
    }
}

#[async_trait]
impl AuditStore for SqlStore {
    async fn list_audit_events(
        &self,
        filter: &AuditFilter,
        below: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        audit::list::list(
            &mut self.search(filter.tenant_id.as_ref()).await?,
            filter,
            below,
            limit,
        )
        .await
    }

    async fn audit_events_behind(
        &self,
        asking: Option<&TenantId>,
        place: TrailPosition,
        through: Revision,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let mut db = self.search(asking).await?;
        audit::list::list_behind(&mut db, place, through, limit).await
    }

    async fn verify_audit_trail(
        &self,
        after: Revision,
        limit: u64,
    ) -> Result<Option<AuditVerdict>, StoreError> {
        audit::verify::verify(&mut self.search(None).await?, after, limit).await
    }

    async fn has_pending_events(&self) -> Result<bool, StoreError> {
        audit::outbox::any(&mut self.lane(Lane::Read).await?).await
    }

    async fn add_pending_events(&self, events: &[PendingEvent]) -> Result<(), StoreError> {
        if let Some(statement) = audit::outbox::defer(events) {
            self.lane(Lane::Write).await?.run(&statement).await?;
        }
        Ok(())
    }

    async fn add_events_of_now(&self, events: Vec<PendingEvent>) -> Result<(), StoreError> {
        audit::outbox::defer_now(&mut self.lane(Lane::Write).await?, events).await
    }
}

#[async_trait]
impl AuditRetentionStore for SqlStore {
    async fn remove_old_audit(
        &self,
        after: Revision,
        through: Revision,
        rules: &AuditRules,
        codes: &dyn Codes,
    ) -> Result<AuditRemoved, StoreError> {
        let mut db = self.lane(Lane::Upkeep).await?;
        audit::removal::remove_old(&mut db, after, through, rules, codes).await
    }

    async fn trail_begin(&self) -> Result<(TrailBegin, Option<CodedRecord>), StoreError> {
        audit::removal::begin(&mut self.lane(Lane::Read).await?).await
    }

    async fn trail_age(&self) -> Result<Option<Duration>, StoreError> {
        audit::removal::trail_age(&mut self.lane(Lane::Read).await?).await
    }

    async fn removal_record(&self, place: RemovalPlace) -> Result<Option<CodedRecord>, StoreError> {
        audit::gone::record(&mut self.lane(Lane::Read).await?, place).await
    }

    async fn batches_to_archive(&self, after: Revision) -> Result<ArchivePiece, StoreError> {
        audit::archive::read(&mut self.search(None).await?, after).await
    }

    async fn exported_revision(&self, export: &str) -> Result<Option<Revision>, StoreError> {
        audit::exports::revision(&mut self.lane(Lane::Read).await?, export).await
    }

    async fn remove_old_cutoffs(
        &self,
        through: Revision,
        keep: Duration,
        limit: u32,
    ) -> Result<u64, StoreError> {
        cutoffs::remove_old(&mut self.lane(Lane::Upkeep).await?, through, keep, limit).await
    }
}

#[async_trait]
impl AuditExportStore for SqlStore {
    async fn export_status(
        &self,
        export: &str,
        lease: Duration,
    ) -> Result<Option<ExportStatus>, StoreError> {
        audit::exports::status(&mut self.lane(Lane::Read).await?, export, lease).await
    }

    async fn claim_export(
        &self,
        export: &str,
        authority: &[u8; 16],
        start: &ExportPlace,
        lease: Duration,
    ) -> Result<Option<ExportClaim>, StoreError> {
        let db = &mut self.lane(Lane::Write).await?;
        audit::exports::claim(db, export, authority, start, lease).await
    }

    async fn renew_export(
        &self,
        export: &str,
        fence: u64,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        audit::exports::renew(&mut self.lane(Lane::Write).await?, export, fence, lease).await
    }

    async fn advance_export(
        &self,
        export: &str,
        fence: u64,
        place: &ExportPlace,
    ) -> Result<bool, StoreError> {
        audit::exports::advance(&mut self.lane(Lane::Write).await?, export, fence, place).await
    }

    async fn release_export(&self, export: &str, fence: u64) -> Result<(), StoreError> {
        audit::exports::release(&mut self.lane(Lane::Write).await?, export, fence).await
    }

    async fn stop_export(&self, export: &str, fence: u64) -> Result<(), StoreError> {
        audit::exports::stop(&mut self.lane(Lane::Write).await?, export, fence).await
    }

    async fn bury_event(
        &self,
        export: &str,
        fence: u64,
        event: AuditPosition,
        problem: &str,
    ) -> Result<bool, StoreError> {
        let db = &mut self.lane(Lane::Write).await?;
        audit::exports::bury(db, export, fence, event, problem).await
    }

    async fn due_dead_letters(
        &self,
        export: &str,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        audit::exports::due_dead_letters(&mut self.lane(Lane::Read).await?, export, limit).await
    }

    async fn list_dead_letters(
        &self,
        export: Option<&str>,
        after: Option<(&str, DeadLetterId)>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let db = &mut self.lane(Lane::Read).await?;
        audit::dead_letters::list(db, export, after, limit).await
    }

    async fn count_dead_letters(&self, export: &str, only_idle: bool) -> Result<u64, StoreError> {
        let db = &mut self.lane(Lane::Read).await?;
        audit::dead_letters::count(db, export, only_idle).await
    }

    async fn next_dead_letters(
        &self,
        export: &str,
        only_idle: bool,
        limit: u32,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        let db = &mut self.lane(Lane::Read).await?;
        audit::dead_letters::next(db, export, only_idle, limit).await
    }

    async fn remove_dead_letter(
        &self,
        export: &str,
        event: AuditPosition,
    ) -> Result<(), StoreError> {
        audit::exports::remove_dead_letter(&mut self.lane(Lane::Write).await?, export, event).await
    }
}

#[async_trait]
impl ActivityStore for SqlStore {
    async fn record_activity(
        &self,
        activities: &[SessionActivity],
    ) -> Result<Vec<MovedSession>, StoreError> {
        activity::record(&mut self.lane(Lane::Write).await?, activities).await
    }

    async fn record_heartbeat(&self, absence: Duration) -> Result<Micros, StoreError> {
        sweep::record_heartbeat(&mut self.lane(Lane::Write).await?, absence).await
    }

    async fn record_gates(
        &self,
        contacts: &[GateContact],
        keep: Duration,
    ) -> Result<(Vec<GateRecord>, Micros), StoreError> {
        let mut db = self.lane(Lane::Write).await?;
        gates::record(&mut db, contacts, keep).await
    }
}

#[cfg(test)]
impl SqlStore {
    /// Appends with another table of kinds of entries.
    pub(crate) async fn append_kinds(
        &self,
        batch: &[Entry],
        since: fn(&portcullis_contract::delta::Change) -> u32,
    ) -> Result<Appended, StoreError> {
        append::append_kinds(&mut self.lane(Lane::Append).await?, batch, since).await
    }
}

#[async_trait]
impl LogStore for SqlStore {
    async fn append(&self, batch: &[Entry]) -> Result<Appended, StoreError> {
        append::append(&mut self.lane(Lane::Append).await?, batch).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        log::head(&mut self.lane(Lane::Feed).await?).await
    }

    async fn head_and_chain(
        &self,
        revision: Revision,
    ) -> Result<(Position, Option<Chain>), StoreError> {
        log::head_and_chain(&mut self.lane(Lane::Feed).await?, revision).await
    }

    async fn beat(&self, authority: &[u8; 16]) -> Result<Beat, StoreError> {
        log::beat(&mut self.lane(Lane::Beat).await?, authority).await
    }

    async fn end_beats(&self, authority: &[u8; 16]) -> Result<(), StoreError> {
        // Without a write there is no record.
        if !self.dialect().beat_writes {
            return Ok(());
        }
        log::end_beats(&mut self.lane(Lane::Upkeep).await?, authority).await
    }

    async fn remove_old_beats(&self) -> Result<(), StoreError> {
        if !self.dialect().beat_writes {
            return Ok(());
        }
        log::remove_old_beats(&mut self.lane(Lane::Upkeep).await?).await
    }

    async fn check_writes(&self) -> Result<(), StoreError> {
        // A beat is a durable write already.
        if self.dialect().beat_writes {
            return Ok(());
        }
        let db = &mut self.lane(Lane::Write).await?;
        log::check_writes(db).await
    }

    async fn tail(&self, after: Revision, limit: u32) -> Result<Vec<LogBatch>, StoreError> {
        log::tail(&mut self.lane(Lane::Feed).await?, after, limit).await
    }

    async fn catch_up(&self, after: Revision, limit: u32) -> Result<Vec<LogBatch>, StoreError> {
        log::tail(&mut self.lane(Lane::CatchUp).await?, after, limit).await
    }

    async fn gone_revision(&self) -> Result<Revision, StoreError> {
        log::gone_revision(&mut self.lane(Lane::CatchUp).await?).await
    }

    async fn chain(&self, revision: Revision) -> Result<Option<Chain>, StoreError> {
        log::chain(&mut self.lane(Lane::CatchUp).await?, revision).await
    }
}

#[async_trait]
impl PeerStore for SqlStore {
    async fn share(&self, authority: &[u8; 16], share: AuthorityShare) -> Result<(), StoreError> {
        peers::share(&mut self.shares().await?, authority, share).await
    }

    async fn share_statuses(
        &self,
        authority: &[u8; 16],
        statuses: Vec<u8>,
    ) -> Result<(), StoreError> {
        peers::share_statuses(&mut self.shares().await?, authority, statuses).await
    }

    async fn peers(&self, authority: &[u8; 16]) -> Result<Vec<PeerRow>, StoreError> {
        peers::others(&mut self.lane(Lane::Peers).await?, authority).await
    }

    async fn peer_roster(&self, peer: &[u8; 16]) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        peers::roster(&mut self.lane(Lane::Peers).await?, peer).await
    }

    async fn peer_statuses(
        &self,
        peer: &[u8; 16],
    ) -> Result<Option<(Vec<u8>, Duration)>, StoreError> {
        peers::statuses(&mut self.lane(Lane::Peers).await?, peer).await
    }

    async fn remove_share(&self, peer: &[u8; 16], version: u64) -> Result<(), StoreError> {
        peers::remove(&mut self.shares().await?, peer, version).await
    }
}

#[async_trait]
impl CheckpointStore for SqlStore {
    async fn claim_checkpoint(
        &self,
        revision: Revision,
        due: &CheckpointDue,
    ) -> Result<bool, StoreError> {
        let db = &mut self.lane(Lane::Upkeep).await?;
        checkpoints::claim(db, revision, due).await
    }

    async fn save_checkpoint(
        &self,
        at: Position,
        view: Bytes,
        code: Bytes,
    ) -> Result<bool, StoreError> {
        checkpoints::save(&mut self.lane(Lane::Upkeep).await?, at, &view, &code).await
    }

    async fn checkpoints(&self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        checkpoints::all(&mut self.lane(Lane::CatchUp).await?).await
    }

    async fn trimmable_revision(&self) -> Result<Revision, StoreError> {
        checkpoints::trimmable(&mut self.lane(Lane::Upkeep).await?).await
    }

    async fn trim(&self, through: Revision, age: Duration) -> Result<u64, StoreError> {
        log::trim(&mut self.lane(Lane::Upkeep).await?, through, age).await
    }
}

#[async_trait]
impl KeyStore for SqlStore {
    async fn keys(&self) -> Result<(Vec<KeyRecord>, Micros), StoreError> {
        signing_keys::all(&mut self.lane(Lane::Read).await?).await
    }

    async fn correct_future_keys(&self, tolerance: Duration) -> Result<Vec<String>, StoreError> {
        let db = &mut self.lane(Lane::Write).await?;
        signing_keys::correct_future_keys(db, tolerance).await
    }

    async fn secrets(&self) -> Result<(Vec<SecretRecord>, Micros), StoreError> {
        secrets::all(&mut self.lane(Lane::Read).await?).await
    }

    async fn keep_secret(&self, fresh: &NewSecret) -> Result<(), StoreError> {
        secrets::keep(&mut self.lane(Lane::Write).await?, fresh).await
    }

    async fn sealed_by_others(
        &self,
        master_key: &[u8; MASTER_KEY_ID_BYTES],
        limit: u32,
    ) -> Result<Vec<SealedValue>, StoreError> {
        let db = &mut self.lane(Lane::Read).await?;
        secrets::sealed_by_others(db, master_key, limit).await
    }

    async fn checkpoint_at(
        &self,
        revision: Revision,
    ) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        checkpoints::at(&mut self.lane(Lane::CatchUp).await?, revision).await
    }

    async fn count_sealed(&self) -> Result<Vec<(Vec<u8>, u64)>, StoreError> {
        secrets::count_sealed(&mut self.lane(Lane::Read).await?).await
    }

    async fn has_session_from_before(&self, time: Micros) -> Result<bool, StoreError> {
        secrets::has_session_from_before(&mut self.lane(Lane::Search).await?, time).await
    }
}

#[async_trait]
impl InstallationStore for SqlStore {
    async fn token_life(&self, wish: Duration, margin: Duration) -> Result<TokenLife, StoreError> {
        installation::token_life(&mut self.lane(Lane::Write).await?, wish, margin).await
    }

    async fn keep_issuer(&self, issuer: &str) -> Result<String, StoreError> {
        installation::keep_issuer(&mut self.lane(Lane::Write).await?, issuer).await
    }

    async fn change_issuer(&self, issuer: &str) -> Result<(), StoreError> {
        installation::change_issuer(&mut self.lane(Lane::Write).await?, issuer).await
    }

    async fn log_versions(&self) -> Result<LogVersions, StoreError> {
        log_version::read(&mut self.lane(Lane::Write).await?).await
    }

    async fn raise_log_version(&self, to: u32) -> Result<(), StoreError> {
        log_version::raise(&mut self.lane(Lane::Append).await?, to).await
    }

    async fn turn_counting(&self) -> Result<Counting, StoreError> {
        turns::counting(&mut self.lane(Lane::Write).await?).await
    }

    async fn count_towards_turn(
        &self,
        authority: &[u8; 16],
        number: i64,
        passed: Duration,
    ) -> Result<bool, StoreError> {
        let db = &mut self.lane(Lane::Write).await?;
        turns::count(db, authority, number, passed).await
    }

    async fn recover(
        &self,
        incarnation: Incarnation,
        sign_out: bool,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Recovered, StoreError> {
        let mut db = self.lane(Lane::Append).await?;
        recover::recover(&mut db, incarnation, sign_out, checkpoint).await
    }
}

/// Groups of calls that `run` answers, each group with one connection of `lane`.
macro_rules! groups {
    ($backend:expr, $lane:expr, $size_max:expr, $run:path) => {{
        let backend = Arc::clone(&$backend);
        let dialect = backend.dialect();
        Groups::new($size_max, move |asked: Vec<_>| {
            let backend = Arc::clone(&backend);
            Box::pin(async move {
                let connection = backend.connection($lane).await?;
                $run(&mut Db::new(connection, dialect), &asked).await
            })
        })
    }};
}
use groups;
