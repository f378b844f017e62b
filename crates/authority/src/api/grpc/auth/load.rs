//! Bounds for what runs at a time. Each class of calls has its own, so that one class is never shed because of another;
//! within a class a full bound refuses the callers and tenants that filled it.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use portcullis_contract::id::{TenantId, UserId};

use crate::{
    app::AppError,
    config::ServerConfig,
    net::{Full, Share, Shares},
    telemetry::Instruments,
};

/// Messages of one class in memory, in bytes, from their first byte until their call is answered.
const MESSAGES_BYTES_MAX: usize = 64 << 20;
/// The same for reports of gates, which are larger.
const REPORTS_BYTES_MAX: usize = 256 << 20;
/// What a call is counted with before its message is in, in bytes.
const CALL_BYTES: usize = 4 << 10;
/// Calls without credentials at a time: health.
const PUBLIC_CALLS_MAX: usize = 1024;

/// The largest report of a gate, in bytes.
pub(crate) const REPORT_BYTES_MAX: usize = 4 << 20;
/// The largest request with its frame, in bytes; most services take less.
const MESSAGE_BYTES_MAX: usize = REPORT_BYTES_MAX + 5;
/// The same of a call without credentials.
const PUBLIC_MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Which bounds a call is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Any call that is none of the others.
    Call,
    /// Ends something: not shed together with other calls.
    Revocation,
    /// What gates saw: without it active sessions look idle.
    Report,
    /// Without credentials.
    Public,
    /// A validator's stream, which has bounds of its own.
    GateStream,
    /// A stream without credentials.
    PublicStream,
}

impl Class {
    /// The largest request, in bytes.
    pub(super) fn message_bytes_max(self) -> usize {
        match self {
            Self::Public => PUBLIC_MESSAGE_BYTES_MAX,
            _ => MESSAGE_BYTES_MAX,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Revocation => "revocation",
            Self::Report => "report",
            Self::Public => "public",
            Self::GateStream => "gate_stream",
            Self::PublicStream => "public_stream",
        }
    }
}

/// The holder of a share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A configured service.
    Service(Arc<str>),
    /// All users of a tenant, with their own tokens.
    Users(TenantId),
    /// A peer without credentials.
    Address(IpAddr),
}

/// The bounds of one class.
struct Pool {
    calls: Arc<Shares<Holder>>,
    bytes: Arc<Shares<Holder>>,
    tenants: Arc<Shares<(Holder, TenantId)>>,
}

impl Pool {
    fn new(calls_max: usize, bytes_max: usize) -> Self {
        // A caller gets at most half of the calls. Half of that is the most for one of its tenants, so that the caller
        // has calls left for the others.
        let per_tenant = calls_max.div_ceil(4);
        Self {
            calls: Shares::new(calls_max, usize::MAX),
            bytes: Shares::new(bytes_max, usize::MAX),
            tenants: Shares::new(calls_max, per_tenant),
        }
    }
}

/// All bounds.
pub(crate) struct Load {
    calls: Pool,
    revocations: Pool,
    reports: Pool,
    public: Pool,
    public_streams: Arc<Shares<Holder>>,
    users: Arc<Shares<(TenantId, UserId)>>,
    instruments: Arc<Instruments>,
}

impl Load {
    pub(crate) fn new(config: &ServerConfig, instruments: Arc<Instruments>) -> Arc<Self> {
        let calls_max = config.calls_max;
        Arc::new(Self {
            calls: Pool::new(calls_max, MESSAGES_BYTES_MAX),
            revocations: Pool::new(calls_max, MESSAGES_BYTES_MAX),
            reports: Pool::new(config.reports_max, REPORTS_BYTES_MAX),
            public: Pool::new(PUBLIC_CALLS_MAX, MESSAGES_BYTES_MAX),
            public_streams: Shares::new(config.public_streams_max, usize::MAX),
            users: Shares::new(usize::MAX, config.calls_per_user_max),
            instruments,
        })
    }

    fn pool(&self, class: Class) -> &Pool {
        match class {
            Class::Revocation => &self.revocations,
            Class::Report => &self.reports,
            Class::Public | Class::PublicStream => &self.public,
            Class::Call | Class::GateStream => &self.calls,
        }
    }

    /// Room for a call of a user, from before its message is read.
    pub(crate) fn take_user(
        &self,
        class: Class,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Share<(TenantId, UserId)>, AppError> {
        self.users
            .take((tenant.clone(), user.clone()), 1)
            .map_err(|_| self.shed(class, "user"))
    }

    /// Room for a message, which grows as it comes in.
    pub(crate) fn take_message(
        &self,
        class: Class,
        holder: &Holder,
    ) -> Result<MessageShare<'_>, AppError> {
        let share = self.pool(class).bytes.take(holder.clone(), CALL_BYTES);
        let share = share.map_err(|_| self.shed(class, "message_bytes"))?;
        Ok(MessageShare {
            load: self,
            class,
            share,
        })
    }

    /// A permit for a call whose message is in.
    pub(crate) fn take_call(
        &self,
        class: Class,
        holder: &Holder,
    ) -> Result<Share<Holder>, AppError> {
        let taken = self.pool(class).calls.take(holder.clone(), 1);
        taken.map_err(|full| self.shed_full(class, full))
    }

    /// A permit for a stream without credentials.
    pub(crate) fn take_public_stream(&self, holder: &Holder) -> Result<Share<Holder>, AppError> {
        let taken = self.public_streams.take(holder.clone(), 1);
        taken.map_err(|full| self.shed_full(Class::PublicStream, full))
    }

    fn shed_full(&self, class: Class, full: Full) -> AppError {
        self.shed(
            class,
            match full {
                Full::All => "all",
                Full::Each => "caller",
            },
        )
    }

    fn shed(&self, class: Class, bound: &'static str) -> AppError {
        self.instruments
            .refusals
            .count_shed_call(class.name(), bound);
        AppError::Overloaded
    }
}

/// Room for one message.
pub(crate) struct MessageShare<'a> {
    load: &'a Load,
    class: Class,
    share: Share<Holder>,
}

impl MessageShare<'_> {
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), AppError> {
        self.share
            .grow(bytes)
            .map_err(|_| self.load.shed(self.class, "message_bytes"))
    }

    pub(crate) fn into_share(self) -> Share<Holder> {
        self.share
    }
}

/// The share that a service's call has of what its caller may do for one tenant. The tenant is known once the request
/// is parsed; the share lasts as long as the call's handler.
pub(crate) struct TenantShare {
    load: Arc<Load>,
    class: Class,
    holder: Holder,
    taken: Mutex<Option<Share<(Holder, TenantId)>>>,
}

impl TenantShare {
    pub(crate) fn new(load: Arc<Load>, class: Class, holder: Holder) -> Self {
        Self {
            load,
            class,
            holder,
            taken: Mutex::default(),
        }
    }

    /// Takes the share, if this call has none yet: a call is about one tenant.
    pub(crate) fn take(&self, tenant: &TenantId) -> Result<(), AppError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.is_none() {
            let tenants = &self.load.pool(self.class).tenants;
            let share = tenants.take((self.holder.clone(), tenant.clone()), 1);
            *taken = Some(share.map_err(|_| self.load.shed(self.class, "tenant"))?);
        }
        Ok(())
    }
}

impl fmt::Debug for TenantShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantShare")
            .field("class", &self.class)
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}
