//! The changes that go through the log: what each is called, and what it touches.

use std::time::Duration;

use portcullis_contract::{
    delta::Scope,
    id::{ApiKeyId, EventId, Serial, SessionId, TenantId, UserId},
    key::KeyId,
};

use super::Cause;
use crate::{
    Policy, UserRole, UserRoles,
    api_key::NewApiKey,
    dead_letter::{DeadLetterAnswer, DeadLetterId},
    key::NewKey,
    secret::{NewSecret, Resealed, SecretId},
};

/// The changes that go through the log.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// Ends sessions of one tenant, all or none.
    RevokeSessions {
        /// The tenant.
        tenant: TenantId,
        /// The sessions.
        sessions: Vec<SessionId>,
        /// The owner that all of them must have. A session of another user is not found.
        owner: Option<UserId>,
        /// The cause that the sessions show.
        cause: Cause,
    },
    /// Ends every session that users have opened so far, by one cutoff for each user.
    SignOutUsers {
        /// The tenant.
        tenant: TenantId,
        /// The users. Unknown ones are created, so that a concurrent sign-in of theirs is covered too.
        users: Vec<UserId>,
        /// A session of the (only) user that stays.
        keep: Option<SessionId>,
        /// Also refuses new sign-ins and revokes API keys.
        disable: bool,
        /// The cause that the sessions show.
        cause: Cause,
    },
    /// Begins the erasure of a user: signs them out, revokes their API keys and refuses their sign-ins until their rows are
    /// gone. An erasure of this user that is under way goes on instead.
    EraseUser {
        /// The tenant.
        tenant: TenantId,
        /// The user. An unknown one is created, so that a concurrent sign-in is covered too.
        user: UserId,
    },
    /// Begins the deletion of a tenant: ends its sessions and API keys, and refuses sign-ins until its rows are gone. A
    /// deletion that is under way goes on instead.
    DeleteTenant {
        /// The tenant. An unknown one is created, so that a concurrent sign-in is covered too.
        tenant: TenantId,
    },
    /// Ends an erasure that has nothing left to remove. The row of the user or the tenant goes last.
    FinishErasure {
        /// The event of the [`EraseUser`](Self::EraseUser) or [`DeleteTenant`](Self::DeleteTenant) that began it.
        erasure: EventId,
        /// The tenant.
        tenant: TenantId,
        /// The user. None: the whole tenant.
        user: Option<UserId>,
    },
    /// Lets a disabled user sign in again.
    EnableUser {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Replaces the roles of a user.
    SetUserRoles {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// All roles from now on.
        roles: UserRoles,
    },
    /// Ends every session of a tenant, by one cutoff.
    SignOutTenant {
        /// The tenant.
        tenant: TenantId,
    },
    /// Replaces a tenant's policy. The sweep then checks the tenant's existing sessions.
    SetPolicy {
        /// The tenant.
        tenant: TenantId,
        /// The whole new policy.
        policy: Box<Policy>,
        /// The version that it replaces. 0: none was set.
        expected: u64,
    },
    /// Ends every session of the installation, by one cutoff.
    SignOutEveryone,
    /// Creates an API key.
    CreateApiKey(Box<NewApiKey>),
    /// Revokes an API key.
    RevokeApiKey {
        /// The tenant.
        tenant: TenantId,
        /// The key.
        key: ApiKeyId,
    },
    /// Makes a signing key trusted.
    TrustKey(NewKey),
    /// Ends trust in a signing key that does not sign.
    DistrustKey(KeyId),
    /// Ends trust in a signing key even if it signs. A successor is then trusted in the same revision and signs at once.
    ReplaceKey {
        /// The key to distrust.
        id: KeyId,
        /// The successor, used only if the key signs.
        successor: Box<NewKey>,
    },
    /// Adds a secret, which makes tokens after its delay.
    AddSecret(NewSecret),
    /// Ends the use of a secret that does not make tokens. Its tokens are refused, and its bytes are deleted.
    RetireSecret(SecretId),
    /// Puts values that another master key seals into the place of those that were read.
    Reseal(Vec<Resealed>),
    /// Asks for one more attempt to deliver dead letters of an export, or deletes them.
    AnswerDeadLetters {
        /// The name of the export.
        export: String,
        /// The letters. One that is not there any more is no error.
        letters: Vec<DeadLetterId>,
        /// The answer.
        answer: DeadLetterAnswer,
    },
    /// Drops the previous generation of revocations, if the last turn is old enough.
    ///
    /// The least age of the last turn is the sum of both.
    Turn {
        /// The longest lifetime of an access token that may be in use.
        life: Duration,
        /// The margin over it.
        margin: Duration,
    },
    /// Signs everyone out, and revokes forgotten API keys again, if the database's clock is below its floor
    /// ([`is_set_back`](crate::is_set_back)): revoked tokens may be valid again by this clock.
    ClockSetBack {
        /// The margin of [`ForgetApiKeys`](Self::ForgetApiKeys).
        forget_margin: Duration,
    },
    /// Deletes API keys that were revoked and that expired at least this long ago.
    ForgetApiKeys(Duration),
    /// Moves waiting events of sign-ins and refreshes into the audit trail, oldest first.
    Record,
    /// Repeats the revocations of a batch that took too long to commit. Its stamp may be of an earlier generation, which
    /// gates may already have forgotten.
    Repeat {
        /// Single sessions.
        serials: Vec<Serial>,
        /// Scopes of sessions, each with the session that it exempts.
        cuts: Vec<(Scope, Option<Serial>)>,
    },
    /// Revokes the session with the serial 0, which nobody has. The authority measures by it how long a revocation takes.
    Canary,
}

impl Mutation {
    /// The most events of one [`Record`](Self::Record). Revocations wait while they are written.
    pub const RECORDED_MAX: u32 = 256;

    /// The action of new roles in the audit trail, whether an administrator or a sign-in sets them.
    pub const SET_ROLES: &'static str = "user.set_roles";

    /// The action of a new policy. Its details may name users who have values of their own.
    pub const UPDATE_POLICY: &'static str = "policy.update";

    /// The action of the sign-out of a tenant.
    pub const SIGN_OUT_TENANT: &'static str = "tenant.sign_out";

    /// The action that begins an erasure. Erased rows refer to its event.
    pub const ERASE_USER: &'static str = "user.erase";

    /// The action that ends an erasure. Its details have the number of erased parts.
    pub const USER_ERASED: &'static str = "user.erased";

    /// The action that begins the deletion of a tenant, as [`ERASE_USER`](Self::ERASE_USER).
    pub const DELETE_TENANT: &'static str = "tenant.delete";

    /// The action that ends it, as [`USER_ERASED`](Self::USER_ERASED).
    pub const TENANT_DELETED: &'static str = "tenant.deleted";

    /// The most API keys of one [`ForgetApiKeys`](Self::ForgetApiKeys), and of one
    /// [`ClockSetBack`](Self::ClockSetBack).
    pub const FORGOTTEN_MAX: u32 = 256;

    /// The tenant whose data changes. None for a change to the whole installation.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::RevokeSessions { tenant, .. }
            | Self::SignOutUsers { tenant, .. }
            | Self::EraseUser { tenant, .. }
            | Self::DeleteTenant { tenant }
            | Self::FinishErasure { tenant, .. }
            | Self::EnableUser { tenant, .. }
            | Self::SetUserRoles { tenant, .. }
            | Self::SignOutTenant { tenant }
            | Self::SetPolicy { tenant, .. }
            | Self::RevokeApiKey { tenant, .. } => Some(tenant),
            Self::CreateApiKey(new) => Some(&new.tenant_id),
            // The queue of the log serves tenants in turn by this answer. These changes count for no tenant.
            Self::SignOutEveryone
            | Self::TrustKey(_)
            | Self::DistrustKey(_)
            | Self::ReplaceKey { .. }
            | Self::AddSecret(_)
            | Self::RetireSecret(_)
            | Self::Reseal(_)
            | Self::AnswerDeadLetters { .. }
            | Self::Turn { .. }
            | Self::ClockSetBack { .. }
            | Self::ForgetApiKeys(_)
            | Self::Record
            | Self::Repeat { .. }
            | Self::Canary => None,
        }
    }

    /// Whether it revokes anything. Revocations go before other changes.
    #[must_use]
    pub fn revokes(&self) -> bool {
        // Exhaustive, so that a new mutation has to choose its lane.
        match self {
            Self::RevokeSessions { .. }
            | Self::SignOutUsers { .. }
            | Self::EraseUser { .. }
            | Self::DeleteTenant { .. }
            | Self::SignOutTenant { .. }
            | Self::SignOutEveryone
            | Self::RevokeApiKey { .. }
            | Self::DistrustKey(_)
            | Self::ReplaceKey { .. }
            | Self::ClockSetBack { .. }
            | Self::Repeat { .. }
            // It takes the way of those that it measures.
            | Self::Canary => true,
            // A stricter policy ends nothing by itself. The sweep ends sessions by revocations of its own.
            // An erasure revokes when it begins, and its end has nothing left to revoke.
            Self::FinishErasure { .. }
            | Self::EnableUser { .. }
            | Self::SetUserRoles { .. }
            | Self::SetPolicy { .. }
            | Self::CreateApiKey(_)
            | Self::TrustKey(_)
            | Self::AddSecret(_)
            | Self::RetireSecret(_)
            | Self::Reseal(_)
            | Self::AnswerDeadLetters { .. }
            | Self::Turn { .. }
            | Self::ForgetApiKeys(_)
            | Self::Record => false,
        }
    }

    /// The cause of a change that the authority makes by itself, for programs. The end of a session has one of its own
    /// ([`Cause`]).
    pub(super) fn internal_cause(&self) -> Option<&'static str> {
        match self {
            Self::TrustKey(_) => Some("no_key"),
            Self::Turn { .. } => Some("schedule"),
            Self::ClockSetBack { .. } => Some("clock_set_back"),
            Self::ForgetApiKeys(_) => Some("expired"),
            Self::Repeat { .. } => Some("slow_commit"),
            _ => None,
        }
    }

    /// The users who are no administrators any more afterwards, whether they were or not.
    #[must_use]
    pub fn users_without_admin(&self) -> &[UserId] {
        match self {
            Self::SignOutUsers {
                users,
                disable: true,
                ..
            } => users,
            Self::EraseUser { user, .. } => std::slice::from_ref(user),
            Self::SetUserRoles { user, roles, .. } if !roles.has(UserRole::Admin) => {
                std::slice::from_ref(user)
            }
            _ => &[],
        }
    }

    /// The number of targets: its weight in a batch.
    #[must_use]
    pub fn targets(&self) -> usize {
        match self {
            Self::RevokeSessions { sessions, .. } => sessions.len(),
            Self::SignOutUsers { users, .. } => users.len(),
            Self::Repeat { serials, cuts } => serials.len() + cuts.len(),
            Self::Reseal(values) => values.len(),
            Self::AnswerDeadLetters { letters, .. } => letters.len(),
            // It weighs as much as it may write, so that revocations do not wait behind it.
            Self::Record => Self::RECORDED_MAX as usize,
            Self::ClockSetBack { .. } => Self::FORGOTTEN_MAX as usize,
            // A cutoff of a tenant or of everyone is one row, however many sessions it ends.
            _ => 1,
        }
    }

    /// The action in the audit trail. These names are stable: callers filter by them.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::RevokeSessions { .. } => "session.revoke",
            // The same mutation under three names: the trail names the administrator's intent.
            Self::SignOutUsers { disable: true, .. } => "user.disable",
            Self::SignOutUsers { keep: Some(_), .. } => "user.sign_out_others",
            Self::SignOutUsers { .. } => "user.sign_out",
            Self::EraseUser { .. } => Self::ERASE_USER,
            Self::DeleteTenant { .. } => Self::DELETE_TENANT,
            Self::FinishErasure { user: Some(_), .. } => Self::USER_ERASED,
            Self::FinishErasure { user: None, .. } => Self::TENANT_DELETED,
            Self::EnableUser { .. } => "user.enable",
            Self::SetUserRoles { .. } => Self::SET_ROLES,
            Self::SignOutTenant { .. } => Self::SIGN_OUT_TENANT,
            Self::SetPolicy { .. } => Self::UPDATE_POLICY,
            Self::SignOutEveryone | Self::ClockSetBack { .. } => "everyone.sign_out",
            Self::CreateApiKey(_) => "api_key.create",
            Self::RevokeApiKey { .. } => "api_key.revoke",
            Self::TrustKey(_) => "key.trust",
            Self::DistrustKey(_) => "key.distrust",
            Self::ReplaceKey { .. } => "key.replace",
            Self::AddSecret(_) => "secret.add",
            Self::RetireSecret(_) => "secret.retire",
            Self::Reseal(_) => "secret.reseal",
            Self::AnswerDeadLetters {
                answer: DeadLetterAnswer::Retry,
                ..
            } => "dead_letter.retry",
            Self::AnswerDeadLetters {
                answer: DeadLetterAnswer::Drop,
                ..
            } => "dead_letter.drop",
            Self::Turn { .. } => "log.turn",
            Self::ForgetApiKeys(_) => "api_key.forget",
            Self::Record => "log.record",
            Self::Repeat { .. } => "log.repeat",
            Self::Canary => "log.canary",
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::key::{Algorithm, CredentialKind};

    use super::*;

    fn tenant() -> TenantId {
        TenantId::parse("acme").expect("an id")
    }

    fn user(id: &str) -> UserId {
        UserId::parse(id).expect("an id")
    }

    fn sign_out(users: &[&str], disable: bool) -> Mutation {
        Mutation::SignOutUsers {
            tenant: tenant(),
            users: users.iter().map(|id| user(id)).collect(),
            keep: None,
            disable,
            cause: Cause::Administrator,
        }
    }

    fn set_roles(roles: &[UserRole]) -> Mutation {
        Mutation::SetUserRoles {
            tenant: tenant(),
            user: user("ada"),
            roles: roles.iter().copied().collect(),
        }
    }

    fn key(id: &str) -> KeyId {
        KeyId::parse(id).expect("an id")
    }

    fn new_key() -> NewKey {
        NewKey {
            id: key("k1"),
            credential: CredentialKind::Session,
            algorithm: Algorithm::Ed25519,
            public: vec![],
            sealed: vec![],
            activation_delay: Duration::ZERO,
        }
    }

    fn answer_letters(answer: DeadLetterAnswer) -> Mutation {
        let letter = |ordinal| DeadLetterId {
            event: EventId::from_bytes([1; 16]),
            ordinal,
        };
        Mutation::AnswerDeadLetters {
            export: "siem".into(),
            letters: vec![letter(0), letter(1)],
            answer,
        }
    }

    #[test]
    fn revocations_and_their_tenants_are_told_apart() {
        let revoke = Mutation::RevokeSessions {
            tenant: tenant(),
            sessions: vec![SessionId::generate()],
            owner: None,
            cause: Cause::User,
        };
        let enable = Mutation::EnableUser {
            tenant: tenant(),
            user: user("ada"),
        };
        let cases = [
            (revoke, true, true),
            (sign_out(&["ada"], false), true, true),
            (Mutation::SignOutTenant { tenant: tenant() }, true, true),
            (Mutation::DeleteTenant { tenant: tenant() }, true, true),
            (enable, true, false),
            (set_roles(&[]), true, false),
            (Mutation::SignOutEveryone, false, true),
            (Mutation::DistrustKey(key("k1")), false, true),
            (Mutation::Canary, false, true),
            (Mutation::Record, false, false),
            (Mutation::ForgetApiKeys(Duration::ZERO), false, false),
        ];
        for (mutation, has_tenant, revokes) in cases {
            let expected = has_tenant.then(tenant);
            assert_eq!(mutation.tenant(), expected.as_ref(), "{mutation:?}");
            assert_eq!(mutation.revokes(), revokes, "{mutation:?}");
        }
    }

    #[test]
    fn a_change_of_the_authority_says_why() {
        let cases = [
            (
                Mutation::Turn {
                    life: Duration::ZERO,
                    margin: Duration::ZERO,
                },
                Some("schedule"),
            ),
            (
                Mutation::ClockSetBack {
                    forget_margin: Duration::ZERO,
                },
                Some("clock_set_back"),
            ),
            (Mutation::ForgetApiKeys(Duration::ZERO), Some("expired")),
            (Mutation::TrustKey(new_key()), Some("no_key")),
            (
                Mutation::Repeat {
                    serials: vec![],
                    cuts: vec![],
                },
                Some("slow_commit"),
            ),
            (Mutation::Canary, None),
        ];
        for (mutation, cause) in cases {
            assert_eq!(mutation.internal_cause(), cause, "{mutation:?}");
        }
    }

    #[test]
    fn users_who_lose_the_last_role_are_named() {
        let ada = [user("ada")];
        let erase = Mutation::EraseUser {
            tenant: tenant(),
            user: user("ada"),
        };
        assert_eq!(sign_out(&["ada"], true).users_without_admin(), &ada);
        assert_eq!(sign_out(&["ada"], false).users_without_admin(), &[]);
        assert_eq!(erase.users_without_admin(), &ada);
        assert_eq!(set_roles(&[UserRole::Support]).users_without_admin(), &ada);
        assert_eq!(set_roles(&[UserRole::Admin]).users_without_admin(), &[]);
        assert_eq!(Mutation::Canary.users_without_admin(), &[]);
    }

    #[test]
    fn a_mutation_weighs_as_much_as_it_may_write() {
        let repeat = Mutation::Repeat {
            serials: vec![Serial(1), Serial(2)],
            cuts: vec![(Scope::Everyone, None); 3],
        };
        let revoke = Mutation::RevokeSessions {
            tenant: tenant(),
            sessions: vec![SessionId::generate(); 4],
            owner: None,
            cause: Cause::User,
        };
        let set_back = Mutation::ClockSetBack {
            forget_margin: Duration::ZERO,
        };
        for (mutation, targets) in [
            (repeat, 5),
            (revoke, 4),
            (sign_out(&["ada", "bob"], false), 2),
            (Mutation::Reseal(vec![]), 0),
            (Mutation::Record, 256),
            (set_back, 256),
            (answer_letters(DeadLetterAnswer::Drop), 2),
            (Mutation::SignOutEveryone, 1),
            (Mutation::SignOutTenant { tenant: tenant() }, 1),
        ] {
            assert_eq!(mutation.targets(), targets, "{mutation:?}");
        }
    }

    #[test]
    fn actions_name_the_intent() {
        let keep = Mutation::SignOutUsers {
            tenant: tenant(),
            users: vec![user("ada")],
            keep: Some(SessionId::generate()),
            disable: false,
            cause: Cause::AnotherDevice,
        };
        let finish = |user| Mutation::FinishErasure {
            erasure: EventId::generate(),
            tenant: tenant(),
            user,
        };
        for (mutation, action) in [
            (sign_out(&["ada"], true), "user.disable"),
            (sign_out(&["ada"], false), "user.sign_out"),
            (keep, "user.sign_out_others"),
            (finish(Some(user("ada"))), "user.erased"),
            (finish(None), "tenant.deleted"),
            (set_roles(&[]), "user.set_roles"),
            (Mutation::SignOutEveryone, "everyone.sign_out"),
            (answer_letters(DeadLetterAnswer::Retry), "dead_letter.retry"),
            (answer_letters(DeadLetterAnswer::Drop), "dead_letter.drop"),
            (Mutation::DistrustKey(key("k1")), "key.distrust"),
            (Mutation::Canary, "log.canary"),
        ] {
            assert_eq!(mutation.action(), action);
        }
    }
}
