//! What the cases start from: sign-ins and entries, with nothing said that does not matter.

use std::time::Duration;

use portcullis_authority::{
    domain::{
        Actor, Cause, ClientInfo, Details, Entry, Mutation, NewKey, NewSecret, Profile, SecretId,
        SecretKind, Session, Sight, SignIn, SignInFacts, UserRole, findings::DeviceNetworks,
    },
    keys::{MasterKey, generate_signing_key},
    store::MASTER_KEY_ID_BYTES,
};
use portcullis_contract::{
    id::{SessionId, TenantId, UserId},
    key::{Algorithm, CredentialKind},
};

/// How long a session lives here.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// A tenant's id.
///
/// # Panics
/// When it is not one.
#[must_use]
pub fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("a tenant id")
}

/// A user's id.
///
/// # Panics
/// When it is not one.
#[must_use]
pub fn user(id: &str) -> UserId {
    UserId::parse(id).expect("a user id")
}

/// A sign-in.
#[must_use]
pub fn sign_in(tenant_id: &str, user_id: &str) -> SignIn {
    SignIn {
        id: SessionId::generate(),
        tenant_id: tenant(tenant_id),
        user_id: user(user_id),
        profile: Profile::default(),
        roles: None,
        client: ClientInfo::default(),
        remember_me: false,
        lifetime: LIFETIME,
        facts: SignInFacts {
            amr: vec!["pwd".into()],
            audiences: vec![],
            client_id: String::new(),
            identity_provider: None,
        },
        acr: String::new(),
        auth_time: None,
        salt: [7; 16],
        request: None,
        sight: Sight::default(),
        footprints: vec![],
        device_networks: DeviceNetworks::default(),
        replaces: None,
        idle_timeout: None,
        policy_version: 0,
        session_limit: None,
        actor: Actor::service("test"),
    }
}

/// An entry of an administrator's.
#[must_use]
pub fn entry(mutation: Mutation) -> Entry {
    Entry {
        actor: Actor::service("test"),
        reason: "a test".into(),
        details: Details::new(),
        ..Entry::internal(mutation)
    }
}

/// Ends sessions, which are all of the first one's tenant.
#[must_use]
pub fn revoke(sessions: &[&Session]) -> Entry {
    entry(Mutation::RevokeSessions {
        tenant: sessions[0].tenant_id.clone(),
        sessions: sessions.iter().map(|session| session.id).collect(),
        owner: None,
        cause: Cause::Administrator,
    })
}

/// Signs users out by force.
#[must_use]
pub fn sign_out(tenant_id: &str, users: &[&str]) -> Entry {
    sign_out_but(tenant_id, users, None)
}

/// Signs users out, but for one session.
#[must_use]
pub fn sign_out_but(tenant_id: &str, users: &[&str], keep: Option<SessionId>) -> Entry {
    entry(Mutation::SignOutUsers {
        tenant: tenant(tenant_id),
        users: users.iter().map(|id| user(id)).collect(),
        keep,
        disable: false,
        cause: Cause::Administrator,
    })
}

/// Disables a user.
#[must_use]
pub fn disable(tenant_id: &str, user_id: &str) -> Entry {
    entry(Mutation::SignOutUsers {
        tenant: tenant(tenant_id),
        users: vec![user(user_id)],
        keep: None,
        disable: true,
        cause: Cause::UserDisabled,
    })
}

/// Enables a user.
#[must_use]
pub fn enable(tenant_id: &str, user_id: &str) -> Entry {
    entry(Mutation::EnableUser {
        tenant: tenant(tenant_id),
        user: user(user_id),
    })
}

/// Sets the roles of a user.
#[must_use]
pub fn set_roles(tenant_id: &str, user_id: &str, roles: &[UserRole]) -> Entry {
    entry(Mutation::SetUserRoles {
        tenant: tenant(tenant_id),
        user: user(user_id),
        roles: roles.iter().copied().collect(),
    })
}

/// Signs a tenant out.
#[must_use]
pub fn sign_out_tenant(tenant_id: &str) -> Entry {
    entry(Mutation::SignOutTenant {
        tenant: tenant(tenant_id),
    })
}

/// Takes events that wait into the trail.
#[must_use]
pub fn record() -> Entry {
    entry(Mutation::Record)
}

/// A new signing key of access tokens, which signs after `delay`.
#[must_use]
pub fn key(delay: Duration) -> NewKey {
    generate_signing_key(
        &MasterKey::generate().into(),
        CredentialKind::Session,
        Algorithm::Ed25519,
        delay,
    )
}

/// A new secret of refresh tokens that a master key with this id would have sealed. It makes tokens after `delay`.
#[must_use]
pub fn secret(number: u8, master_key: [u8; MASTER_KEY_ID_BYTES], delay: Duration) -> NewSecret {
    NewSecret {
        id: SecretId {
            kind: SecretKind::Refresh,
            number,
        },
        sealed: [&master_key[..], b"sealed"].concat(),
        activation_delay: delay,
    }
}
