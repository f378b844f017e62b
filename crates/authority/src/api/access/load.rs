//! Bounds for the calls that run at a time. Each class of calls has its own bounds, so that one class is never shed because
//! of another. Within a class a full bound refuses the callers and tenants that filled it.

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

/// The most bytes of messages of one class in memory, from their first byte until their call is answered.
const MESSAGES_BYTES_MAX: usize = 64 << 20;
/// The most bytes of reports of gates in memory. They are larger than other messages.
const REPORTS_BYTES_MAX: usize = 256 << 20;
/// The bytes that a call counts for before its message is in.
const CALL_BYTES: usize = 4 << 10;
/// The most calls without credentials at a time, which are those for health.
const PUBLIC_CALLS_MAX: usize = 1024;

/// The largest report of a gate, in bytes.
pub(crate) const REPORT_BYTES_MAX: usize = 4 << 20;
/// The largest request with its frame, in bytes. Most services take less.
const MESSAGE_BYTES_MAX: usize = REPORT_BYTES_MAX + 5;
/// The largest request without credentials, in bytes.
const PUBLIC_MESSAGE_BYTES_MAX: usize = 4 << 10;

/// The class of a call, which decides about its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A call of no other class.
    Call,
    /// A call that ends something. It must not be shed together with other calls.
    Revocation,
    /// A report of a gate. If it were shed, active sessions would look idle.
    Report,
    /// A call without credentials.
    Public,
    /// A validator's stream, which has bounds of its own.
    GateStream,
    /// A stream without credentials.
    PublicStream,
}

impl Class {
    /// The largest request, in bytes.
    pub(in crate::api) fn message_bytes_max(self) -> usize {
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

/// The share of one user in the calls of all.
pub(crate) type UserShare = Share<(TenantId, UserId)>;

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
        // A caller gets at most half of the calls. One of its tenants gets at most half of that, so that the caller has
        // calls left for the others.
        let per_tenant = calls_max.div_ceil(4);
        Self {
            // `Shares` itself keeps a holder from more than half of what is free.
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
            // A pool of its own, so that a flood of other calls cannot shed the calls that end sessions.
            revocations: Pool::new(calls_max, MESSAGES_BYTES_MAX),
            reports: Pool::new(config.reports_max, REPORTS_BYTES_MAX),
            public: Pool::new(PUBLIC_CALLS_MAX, MESSAGES_BYTES_MAX),
            public_streams: Shares::new(config.public_streams_max, usize::MAX),
            // The pools bound the calls of all users together.
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

    /// Takes room for a call of a user, before its message is read.
    pub(crate) fn take_user(
        &self,
        class: Class,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<UserShare, AppError> {
        match self.users.take((tenant.clone(), user.clone()), 1) {
            Ok(share) => Ok(share),
            Err(_) => Err(self.shed(class, "user")),
        }
    }

    /// Takes room for a message, which grows as it comes in.
    pub(crate) fn take_message(
        &self,
        class: Class,
        holder: &Holder,
    ) -> Result<MessageShare<'_>, AppError> {
        let taken = self.pool(class).bytes.take(holder.clone(), CALL_BYTES);
        let Ok(share) = taken else {
            return Err(self.shed(class, "message_bytes"));
        };
        Ok(MessageShare {
            load: self,
            class,
            share,
        })
    }

    /// Takes a permit for a call whose message is in.
    pub(crate) fn take_call(
        &self,
        class: Class,
        holder: &Holder,
    ) -> Result<Share<Holder>, AppError> {
        let taken = self.pool(class).calls.take(holder.clone(), 1);
        taken.map_err(|full| self.shed_full(class, full))
    }

    /// Takes a permit for a stream without credentials.
    pub(crate) fn take_public_stream(&self, holder: &Holder) -> Result<Share<Holder>, AppError> {
        let taken = self.public_streams.take(holder.clone(), 1);
        taken.map_err(|full| self.shed_full(Class::PublicStream, full))
    }

    fn shed_full(&self, class: Class, full: Full) -> AppError {
        let bound = match full {
            Full::All => "all",
            Full::Each => "caller",
        };
        self.shed(class, bound)
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
        match self.share.grow(bytes) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.load.shed(self.class, "message_bytes")),
        }
    }

    pub(crate) fn into_share(self) -> Share<Holder> {
        self.share
    }
}

/// The share of a service's call in the calls that its caller may make for one tenant. The handler takes it once it has
/// parsed the tenant, and the layer keeps it until the handler is done.
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

    /// Takes the share, if this call has none yet. A call is about one tenant.
    pub(crate) fn take(&self, tenant: &TenantId) -> Result<(), AppError> {
        // The slot is set in one assignment, so a panic elsewhere cannot have left it half done.
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.is_none() {
            let tenants = &self.load.pool(self.class).tenants;
            let share = tenants.take((self.holder.clone(), tenant.clone()), 1);
            let Ok(share) = share else {
                return Err(self.load.shed(self.class, "tenant"));
            };
            *taken = Some(share);
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
