//! What goes through the log: an entry is one caller's change with all that the audit trail keeps of it.

use std::time::Duration;

use portcullis_contract::{
    delta::Scope,
    id::{ApiKeyId, EventId, Serial, SessionId, TenantId, UserId},
    key::KeyId,
    position::Revision,
};

use super::{Actor, Policy, api_key::NewApiKey, key::NewKey};

/// One caller's change. Its event id makes repeating it harmless.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Unique: an entry whose id the log knows is answered, not applied again.
    pub event_id: EventId,
    /// Who did it.
    pub actor: Actor,
    /// The administrator's text. Never shown to users.
    pub reason: String,
    /// The text meant for the user.
    pub user_message: String,
    /// The W3C trace parent of the call, when it was sampled.
    pub trace_parent: Option<String>,
    /// What to change.
    pub mutation: Mutation,
}

impl Entry {
    /// An entry of the authority itself, without a reason or a message.
    #[must_use]
    pub fn internal(mutation: Mutation) -> Self {
        Self {
            event_id: EventId::generate(),
            actor: Actor::authority(),
            reason: String::new(),
            user_message: String::new(),
            trace_parent: None,
            mutation,
        }
    }
}

/// The changes that go through the log.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// Ends sessions of one tenant, all or none.
    RevokeSessions {
        /// Their tenant.
        tenant: TenantId,
        /// Which.
        sessions: Vec<SessionId>,
        /// When given, they must all be this user's; others are not found.
        owner: Option<UserId>,
        /// Why they end.
        cause: Cause,
    },
    /// Cuts off all that users have opened so far.
    SignOutUsers {
        /// Their tenant.
        tenant: TenantId,
        /// Who; the unknown ones are created, so that a sign-in under way is bound too.
        users: Vec<UserId>,
        /// A session of the (only) user that stays.
        keep: Option<SessionId>,
        /// Also refuses new sign-ins and kills API keys.
        disable: bool,
        /// Why they end.
        cause: Cause,
    },
    /// Lets a disabled user sign in again.
    EnableUser {
        /// Their tenant.
        tenant: TenantId,
        /// Who.
        user: UserId,
    },
    /// Cuts off a whole tenant.
    SignOutTenant {
        /// Which.
        tenant: TenantId,
    },
    /// Replaces a tenant's policy; the sessions that exist are looked at again.
    SetPolicy {
        /// Whose.
        tenant: TenantId,
        /// The whole of it.
        policy: Box<Policy>,
        /// The version that it replaces; 0: none was set.
        expected: u64,
    },
    /// Cuts off everyone.
    SignOutEveryone,
    /// Makes an API key.
    CreateApiKey(Box<NewApiKey>),
    /// Ends an API key.
    RevokeApiKey {
        /// Its tenant.
        tenant: TenantId,
        /// Which.
        key: ApiKeyId,
    },
    /// Makes a signing key trusted.
    TrustKey(NewKey),
    /// Ends trust in a signing key.
    DistrustKey(KeyId),
    /// Ends trust in a signing key although it signs; then the successor is trusted with the same revision, and signs at
    /// once.
    ReplaceKey {
        /// The key that is not trusted any more.
        id: KeyId,
        /// The one that takes its place, if it signs.
        successor: Box<NewKey>,
    },
    /// Drops the previous generation, if the last turn is at least this long ago.
    Turn {
        /// The longest life of an access token, and an hour.
        period: Duration,
    },
    /// Forgets API keys that were revoked and that expired at least this long ago.
    ForgetApiKeys(Duration),
    /// Takes events of sign-ins and refreshes into the trail, the oldest first.
    Record,
    /// Says again what a batch said that took too long to commit: its stamp may be of a generation ago.
    Repeat {
        /// Single sessions.
        serials: Vec<Serial>,
        /// Scopes of sessions, with the one they exempt.
        cuts: Vec<(Scope, Option<Serial>)>,
    },
}

/// Why sessions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Their user ended them: with the session itself, or a service did for the user.
    User,
    /// Their user ended them from another session, or all at once.
    AnotherDevice,
    /// An administrator or a service did.
    Administrator,
    /// Their user was disabled.
    UserDisabled,
    /// An old refresh token came back.
    RefreshTokenReused,
    /// A new session took its place.
    Replaced,
    /// The history was recovered.
    Recovery,
    /// The tenant's policy changed, and the session was past it.
    Policy,
    /// It was not used for the policy's idle timeout.
    Idle,
    /// The user's password was changed.
    PasswordChanged,
    /// The user's second factor was changed.
    SecondFactorChanged,
    /// A newer session took the last place that the policy allows.
    SessionLimit,
}

impl Cause {
    /// What only the user of a session does to it.
    pub const BY_USER: [Self; 2] = [Self::User, Self::AnotherDevice];

    const ALL: [Self; 12] = [
        Self::User,
        Self::AnotherDevice,
        Self::Administrator,
        Self::UserDisabled,
        Self::RefreshTokenReused,
        Self::Replaced,
        Self::Recovery,
        Self::Policy,
        Self::Idle,
        Self::PasswordChanged,
        Self::SecondFactorChanged,
        Self::SessionLimit,
    ];

    /// The stable number that the stores keep.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::User => 1,
            Self::Administrator => 2,
            Self::UserDisabled => 3,
            Self::RefreshTokenReused => 4,
            Self::Replaced => 5,
            Self::Recovery => 6,
            Self::Policy => 7,
            Self::Idle => 8,
            Self::PasswordChanged => 9,
            Self::SecondFactorChanged => 10,
            Self::SessionLimit => 11,
            Self::AnotherDevice => 12,
        }
    }

    /// The cause of a stored number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.code() == code)
    }
}

impl Mutation {
    /// The most events of one [`Record`](Self::Record): revocations wait while they are written.
    pub const RECORDED_MAX: u32 = 256;

    /// The most API keys of one [`ForgetApiKeys`](Self::ForgetApiKeys).
    pub const FORGOTTEN_MAX: u32 = 256;

    /// The tenant whose things it changes. None: those of the whole installation.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::RevokeSessions { tenant, .. }
            | Self::SignOutUsers { tenant, .. }
            | Self::EnableUser { tenant, .. }
            | Self::SignOutTenant { tenant }
            | Self::SetPolicy { tenant, .. }
            | Self::RevokeApiKey { tenant, .. } => Some(tenant),
            Self::CreateApiKey(new) => Some(&new.tenant_id),
            Self::SignOutEveryone
            | Self::TrustKey(_)
            | Self::DistrustKey(_)
            | Self::ReplaceKey { .. }
            | Self::Turn { .. }
            | Self::ForgetApiKeys(_)
            | Self::Record
            | Self::Repeat { .. } => None,
        }
    }

    /// Whether it ends anything, so that it goes before other changes.
    #[must_use]
    pub fn revokes(&self) -> bool {
        match self {
            Self::RevokeSessions { .. }
            | Self::SignOutUsers { .. }
            | Self::SignOutTenant { .. }
            | Self::SignOutEveryone
            | Self::RevokeApiKey { .. }
            | Self::DistrustKey(_)
            | Self::ReplaceKey { .. }
            | Self::Repeat { .. } => true,
            Self::EnableUser { .. }
            | Self::SetPolicy { .. }
            | Self::CreateApiKey(_)
            | Self::TrustKey(_)
            | Self::Turn { .. }
            | Self::ForgetApiKeys(_)
            | Self::Record => false,
        }
    }

    /// How many things it names: what it weighs in a batch.
    #[must_use]
    pub fn targets(&self) -> usize {
        match self {
            Self::RevokeSessions { sessions, .. } => sessions.len(),
            Self::SignOutUsers { users, .. } => users.len(),
            Self::Repeat { serials, cuts } => serials.len() + cuts.len(),
            Self::Record => Self::RECORDED_MAX as usize,
            _ => 1,
        }
    }

    /// The audit trail's word for it.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::RevokeSessions { .. } => "session.revoke",
            Self::SignOutUsers { disable: true, .. } => "user.disable",
            Self::SignOutUsers { keep: Some(_), .. } => "user.sign_out_others",
            Self::SignOutUsers { .. } => "user.sign_out",
            Self::EnableUser { .. } => "user.enable",
            Self::SignOutTenant { .. } => "tenant.sign_out",
            Self::SetPolicy { .. } => "policy.update",
            Self::SignOutEveryone => "everyone.sign_out",
            Self::CreateApiKey(_) => "api_key.create",
            Self::RevokeApiKey { .. } => "api_key.revoke",
            Self::TrustKey(_) => "key.trust",
            Self::DistrustKey(_) => "key.distrust",
            Self::ReplaceKey { .. } => "key.replace",
            Self::Turn { .. } => "log.turn",
            Self::ForgetApiKeys(_) => "api_key.forget",
            Self::Record => "log.record",
            Self::Repeat { .. } => "log.repeat",
        }
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// A validator that has applied this revision enforces the entry.
    pub revision: Revision,
    /// How many things it changed; 0 when all was so already.
    pub changed: u32,
}

/// Why an entry cannot be applied. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// One of the sessions is not there, or not the owner's.
    #[error("no such session")]
    SessionNotFound,
    /// The user is not there.
    #[error("no such user")]
    UserNotFound,
    /// The API key is not there.
    #[error("no such API key")]
    ApiKeyNotFound,
    /// Who is disabled gets no API keys.
    #[error("the user is disabled")]
    UserDisabled,
    /// The key is not there.
    #[error("no such signing key")]
    KeyNotFound,
    /// The policy is not the one that was to be replaced.
    #[error("the policy was changed meanwhile")]
    PolicyChanged,
    /// The key is the one that signs.
    #[error("the key is in use")]
    KeyInUse,
    /// The store refuses the entry whatever is tried; its log says why.
    #[error("the entry cannot be stored")]
    Refused,
}
