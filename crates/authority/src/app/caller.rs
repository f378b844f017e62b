//! Callers: their identity, and the tenant, user and session that a request of theirs may name.

use std::sync::Arc;

use portcullis_contract::{
    id::{SessionId, TenantId, UserId},
    token::Identity,
};

use super::{AppError, TokenRefusal};
use crate::{
    config::Role,
    domain::{Actor, UserRole, UserRoles},
};

/// An authenticated caller.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A configured service.
    Service(Arc<ServiceCaller>),
    /// A user with their own access token, about their own sessions.
    User(Arc<UserCaller>),
    /// A person in a role of their tenant, with their own access token.
    Staff(Arc<StaffCaller>),
}

/// A user with their own access token.
#[derive(Debug)]
pub(crate) struct UserCaller {
    pub(crate) identity: Identity,
    /// The address at which a gate or the sign-in last saw the session. Empty: unknown, or the session has ended.
    pub(crate) ip: String,
    /// Whether the token is good for more than the session that it is of.
    pub(crate) beyond_own_session: Result<(), TokenRefusal>,
    /// Whether the session was found to have ended. False where a call does not read it.
    pub(crate) has_ended: bool,
    /// Whether the policy lets the user make this call about their own sessions.
    pub(crate) as_user: Result<(), AppError>,
    /// The role in which the user may make this call. None: in no role.
    pub(crate) in_role: Option<InRole>,
}

/// A person in a role of their tenant.
#[derive(Debug)]
pub(crate) struct StaffCaller {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    /// The address at which a gate or the sign-in last saw the session.
    pub(crate) ip: String,
}

/// The role in which a person may make a call.
#[derive(Clone, Debug)]
pub(crate) struct InRole {
    pub(crate) staff: Arc<StaffCaller>,
    /// Whether the person signed in recently enough for a change.
    pub(crate) admitted: Result<(), AppError>,
}

/// The people who may make a call in a role of their own tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum People {
    /// The call reads: people with the role `support` or `admin`.
    Reading,
    /// The call changes something: people with the role `admin`, after a sign-in as recent as the policy demands.
    Administering,
    /// The call reads about all tenants: people with the role `admin` in the tenant of the operators.
    Operating,
}

impl People {
    pub(crate) fn admit(self, roles: UserRoles) -> bool {
        let is_admin = roles.has(UserRole::Admin);
        match self {
            Self::Reading => is_admin || roles.has(UserRole::Support),
            Self::Administering | Self::Operating => is_admin,
        }
    }
}

/// A configured service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServiceCaller {
    pub(crate) name: Arc<str>,
    pub(crate) roles: Vec<Role>,
    /// The only tenant that the service may name.
    pub(crate) tenant: Option<TenantId>,
}

/// The person for whom a service calls, as the service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActingUser {
    pub(crate) id: UserId,
    /// Empty: unknown.
    pub(crate) ip: String,
}

impl ServiceCaller {
    pub(crate) fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Caller {
    /// The tenant of a request that names `named`. A user may name their own tenant or none.
    ///
    /// Naming another tenant is denied whether it exists or not, so that nobody can probe for tenants.
    pub(crate) fn choose_tenant(&self, named: Option<TenantId>) -> Result<TenantId, AppError> {
        let own = self.own_tenant();
        match (own, named) {
            // This arm comes first, because the next one accepts every name that is left.
            (Some(own), Some(named)) if *own != named => Err(AppError::Denied),
            (_, Some(named)) => Ok(named),
            (Some(own), None) if !matches!(self, Self::Service(_)) => Ok(own.clone()),
            // A service names its tenant even if it has only one: a request means the same for every caller.
            (_, None) => Err(AppError::invalid("tenant_id", "required")),
        }
    }

    /// The only tenant that the caller may name.
    pub(crate) fn own_tenant(&self) -> Option<&TenantId> {
        match self {
            Self::User(user) => Some(&user.identity.tenant_id),
            Self::Staff(staff) => Some(&staff.tenant),
            Self::Service(service) => service.tenant.as_ref(),
        }
    }

    /// The user to whom the caller is limited: a user's token reaches only the user's own sessions and events.
    pub(crate) fn own_user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(&user.identity.user_id),
            Self::Staff(_) | Self::Service(_) => None,
        }
    }

    /// The session of a user's own token.
    pub(crate) fn own_session(&self) -> Option<SessionId> {
        match self {
            Self::User(user) => Some(user.identity.session_id),
            Self::Staff(_) | Self::Service(_) => None,
        }
    }

    /// The configured name of a service. Empty for a person.
    pub(crate) fn service_name(&self) -> &str {
        match self {
            Self::User(_) | Self::Staff(_) => "",
            Self::Service(service) => &service.name,
        }
    }

    /// Whether the caller is a service of administrators or support people, or one of them. Only they see the reasons that administrators
    /// write for each other.
    pub(crate) fn is_staff(&self) -> bool {
        match self {
            Self::User(_) => false,
            Self::Staff(_) => true,
            Self::Service(service) => {
                // An operator runs the installation, and has no business with remarks about a tenant's users.
                service.has_role(Role::Admin) || service.has_role(Role::Support)
            }
        }
    }

    /// Whether the caller is a service with the role of gates, which ask about a token because of a request.
    pub(crate) fn is_gateway(&self) -> bool {
        match self {
            Self::Service(service) => service.has_role(Role::Gateway),
            Self::User(_) | Self::Staff(_) => false,
        }
    }

    /// Whether email addresses are shown: to users their own, and to staff. A gateway does not need them.
    pub(crate) fn sees_email(&self) -> bool {
        matches!(self, Self::User(_)) || self.is_staff()
    }

    /// Whether the caller is this user, in a role.
    pub(crate) fn is_staff_member(&self, user: &UserId) -> bool {
        matches!(self, Self::Staff(staff) if staff.user == *user)
    }

    /// The actor for the audit trail: the user, the service, or the person for whom a service calls.
    pub(crate) fn actor(&self, acting_user: Option<&ActingUser>) -> Actor {
        match (self, acting_user) {
            // A person acts for themselves, whomever the request names.
            (Self::User(user), _) => Actor {
                ip: user.ip.clone(),
                ..Actor::user(&user.identity.user_id)
            },
            (Self::Staff(staff), _) => Actor {
                ip: staff.ip.clone(),
                ..Actor::user(&staff.user)
            },
            (Self::Service(service), Some(acting)) => {
                Actor::on_behalf(&service.name, &acting.id, acting.ip.clone())
            }
            (Self::Service(service), None) => Actor::service(&service.name),
        }
    }

    /// The holder of the caller's share of a bound. All people of a tenant are one.
    pub(crate) fn holder(&self) -> String {
        match self {
            Self::User(user) => format!("people\0{}", user.identity.tenant_id),
            Self::Staff(staff) => format!("people\0{}", staff.tenant),
            Self::Service(service) => format!("service\0{}", service.name),
        }
    }

    /// A text that is different for any two callers. It binds a page token to the caller that got it.
    pub(crate) fn binding(&self) -> String {
        match self {
            // No id and no name contains a zero byte, so that no two callers have the same text.
            Self::User(user) => format!(
                "user\0{}\0{}",
                user.identity.tenant_id, user.identity.user_id
            ),
            Self::Staff(staff) => format!("staff\0{}\0{}", staff.tenant, staff.user),
            Self::Service(service) => format!("service\0{}", service.name),
        }
    }
}
