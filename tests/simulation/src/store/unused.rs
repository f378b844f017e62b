//! The methods of a store that the simulation does not call.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use portcullis_contract::{
    id::{ApiKeyId, SessionId, TenantId, UserId},
    position::{Incarnation, Revision},
};
use portcullis_domain::{
    ApiKey, ApiKeyFilter, ApiKeyHour, ApiKeyUse, AuditEvent, AuditFilter, AuditPosition,
    AuditVerdict, ClientInfo, Counting, GateContact, GateRecord, KeyRecord, Micros, MovedSession,
    Page, PageCursor, PendingEvent, Policy, Preview, ProviderLogout, Selection, Session, SessionActivity,
    SessionFilter, SessionOrder, SignIn, SignInOutcome, User, UserFilter, UserOrder, UserSummary,
    findings::Footprint,
};
use portcullis_store::{
    ActivityStore, ApiKeyStore, AuditStore, Checkpoint, DueSessions, InstallationStore, KeyStore,
    PolicyStore, PolicyWalk, PoolState, Proof, ProviderStore, Recovered, RefreshOutcome, Removed, Schedule,
    SessionStore, SessionsUnder, SignInError, SignInHistory, StoreError, StoreStatus, SweepStore,
    TokenLife, UserStore, outage::Outage,
};

use super::Connection;

fn not_here<T>() -> Result<T, StoreError> {
    Err(StoreError::Internal("not in the simulation".to_owned()))
}

#[async_trait]
impl ActivityStore for Connection {
    async fn record_activity(
        &self,
        _activities: &[SessionActivity],
    ) -> Result<Vec<MovedSession>, StoreError> {
        not_here()
    }

    async fn record_heartbeat(&self, _absence: Duration) -> Result<Micros, StoreError> {
        not_here()
    }

    async fn record_gates(
        &self,
        _contacts: &[GateContact],
        _keep: Duration,
    ) -> Result<(Vec<GateRecord>, Micros), StoreError> {
        not_here()
    }
}

#[async_trait]
impl ApiKeyStore for Connection {
    async fn api_key(
        &self,
        _tenant: &TenantId,
        _id: ApiKeyId,
    ) -> Result<Option<(ApiKey, Micros)>, StoreError> {
        not_here()
    }

    async fn api_key_hours(
        &self,
        _tenant: &TenantId,
        _id: ApiKeyId,
    ) -> Result<Vec<ApiKeyHour>, StoreError> {
        not_here()
    }

    async fn list_api_keys(
        &self,
        _filter: &ApiKeyFilter,
        _before: Option<ApiKeyId>,
        _limit: u32,
    ) -> Result<(Vec<ApiKey>, Micros), StoreError> {
        not_here()
    }

    async fn count_live_api_keys(&self, _tenant: &TenantId, _max: u32) -> Result<u32, StoreError> {
        not_here()
    }

    async fn count_api_keys(
        &self,
        _from: Micros,
        _until: Option<Micros>,
    ) -> Result<u64, StoreError> {
        not_here()
    }

    async fn record_api_key_uses(&self, _uses: &[ApiKeyUse]) -> Result<(), StoreError> {
        not_here()
    }
}

#[async_trait]
impl AuditStore for Connection {
    async fn list_audit_events(
        &self,
        _filter: &AuditFilter,
        _below: Option<AuditPosition>,
        _limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        not_here()
    }

    async fn verify_audit_trail(
        &self,
        _after: Revision,
        _limit: u64,
    ) -> Result<Option<AuditVerdict>, StoreError> {
        not_here()
    }

    async fn has_pending_events(&self) -> Result<bool, StoreError> {
        not_here()
    }

    async fn add_pending_events(&self, _events: &[PendingEvent]) -> Result<(), StoreError> {
        not_here()
    }

    async fn add_events_of_now(&self, _events: Vec<PendingEvent>) -> Result<(), StoreError> {
        not_here()
    }
}

#[async_trait]
impl KeyStore for Connection {
    async fn keys(&self) -> Result<(Vec<KeyRecord>, Micros), StoreError> {
        not_here()
    }

    async fn correct_future_keys(&self, _tolerance: Duration) -> Result<Vec<String>, StoreError> {
        not_here()
    }

    async fn secret(&self, _name: &str, _fresh: &[u8]) -> Result<Vec<u8>, StoreError> {
        not_here()
    }
}

#[async_trait]
impl InstallationStore for Connection {
    async fn token_life(
        &self,
        _wish: Duration,
        _margin: Duration,
    ) -> Result<TokenLife, StoreError> {
        not_here()
    }

    async fn keep_issuer(&self, _issuer: &str) -> Result<String, StoreError> {
        not_here()
    }

    async fn change_issuer(&self, _issuer: &str) -> Result<(), StoreError> {
        not_here()
    }

    async fn turn_counting(&self) -> Result<Counting, StoreError> {
        not_here()
    }

    async fn count_towards_turn(
        &self,
        _authority: &[u8; 16],
        _number: i64,
        _passed: Duration,
    ) -> Result<bool, StoreError> {
        not_here()
    }

    async fn recover(
        &self,
        _incarnation: Incarnation,
        _sign_out: bool,
        _checkpoint: &Checkpoint<'_>,
    ) -> Result<Recovered, StoreError> {
        not_here()
    }
}

#[async_trait]
impl PolicyStore for Connection {
    async fn policy(&self, _tenant: &TenantId) -> Result<Option<(Policy, u64)>, StoreError> {
        not_here()
    }
}

#[async_trait]
impl ProviderStore for Connection {
    async fn provider_sessions(
        &self,
        _logout: &ProviderLogout,
        _limit: u32,
    ) -> Result<Vec<(TenantId, SessionId)>, StoreError> {
        not_here()
    }

    async fn knows_logout_token(&self, _digest: &[u8; 32]) -> Result<bool, StoreError> {
        not_here()
    }

    async fn remember_logout_token(
        &self,
        _digest: &[u8; 32],
        _keep: Duration,
    ) -> Result<(), StoreError> {
        not_here()
    }
}

#[async_trait]
impl SweepStore for Connection {
    async fn due_sessions(&self, _limit: u32) -> Result<DueSessions, StoreError> {
        not_here()
    }

    async fn reschedule(&self, _schedules: &[Schedule]) -> Result<(), StoreError> {
        not_here()
    }

    async fn policy_walk(
        &self,
        _after: Option<&TenantId>,
        _limit: u32,
    ) -> Result<Option<PolicyWalk>, StoreError> {
        not_here()
    }

    async fn sessions_under(
        &self,
        _tenant: &TenantId,
        _policy: &Policy,
        _before: Option<SessionId>,
        _limit: u32,
    ) -> Result<SessionsUnder, StoreError> {
        not_here()
    }

    async fn advance_walk(
        &self,
        _walk: &PolicyWalk,
        _next: Option<SessionId>,
        _schedules: &[Schedule],
    ) -> Result<bool, StoreError> {
        not_here()
    }
}

#[async_trait]
impl SessionStore for Connection {
    async fn sign_in(&self, _new: &SignIn) -> Result<SignInOutcome, SignInError> {
        not_here().map_err(SignInError::from)
    }

    async fn refresh(
        &self,
        _tenant: &TenantId,
        _id: SessionId,
        _generation: u64,
        _proof: Proof,
        _client: &ClientInfo,
    ) -> Result<RefreshOutcome, StoreError> {
        not_here()
    }

    async fn record_shared_token(
        &self,
        _tenant: &TenantId,
        _id: SessionId,
        _generation: u64,
        _event: &PendingEvent,
    ) -> Result<(), StoreError> {
        not_here()
    }

    async fn session(
        &self,
        _tenant: &TenantId,
        _id: SessionId,
    ) -> Result<Option<(Session, Micros)>, StoreError> {
        not_here()
    }

    async fn excess_sessions(&self, _new: &SignIn) -> Result<Vec<SessionId>, StoreError> {
        not_here()
    }

    async fn list_sessions(
        &self,
        _filter: &SessionFilter,
        _order: SessionOrder,
        _after: Option<&PageCursor>,
        _limit: u32,
    ) -> Result<Page<Session>, StoreError> {
        not_here()
    }

    async fn count_sessions(&self, _tenant: &TenantId, _max: u32) -> Result<u32, StoreError> {
        not_here()
    }

    async fn preview(
        &self,
        _tenant: &TenantId,
        _selection: &Selection,
    ) -> Result<Option<Preview>, StoreError> {
        not_here()
    }

    async fn sign_in_history(
        &self,
        _tenant: &TenantId,
        _user: &UserId,
        _footprints: &[Footprint],
    ) -> Result<SignInHistory, StoreError> {
        not_here()
    }

    async fn remove_ended(
        &self,
        _after: Option<&PageCursor>,
        _retention: Duration,
        _limit: u32,
    ) -> Result<Removed, StoreError> {
        not_here()
    }
}

#[async_trait]
impl UserStore for Connection {
    async fn user(&self, _tenant: &TenantId, _id: &UserId) -> Result<Option<User>, StoreError> {
        not_here()
    }

    async fn users(&self, _tenant: &TenantId, _ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        not_here()
    }

    async fn add_users(&self, _tenant: &TenantId, _users: &[UserId]) -> Result<(), StoreError> {
        not_here()
    }

    async fn count_users(&self, _tenant: &TenantId, _max: u32) -> Result<u32, StoreError> {
        not_here()
    }

    async fn list_users(
        &self,
        _filter: &UserFilter,
        _order: UserOrder,
        _after: Option<&PageCursor>,
        _limit: u32,
    ) -> Result<Page<UserSummary>, StoreError> {
        not_here()
    }
}

#[async_trait]
impl StoreStatus for Connection {
    fn outage(&self) -> Arc<Outage> {
        Arc::clone(&self.outage)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn pools(&self) -> Vec<PoolState> {
        Vec::new()
    }

    async fn durability(&self) -> Result<String, StoreError> {
        Ok("simulated".to_owned())
    }
}
