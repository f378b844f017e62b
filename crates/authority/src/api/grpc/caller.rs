//! Callers: who they are, and what of a request they may name.

use std::{ops::Deref, sync::Arc};

use portcullis_contract::{
    id::{SessionId, TenantId, UserId},
    token::Identity,
};

use super::{load::TenantShare, parse::Fields, status::ServiceError};
use crate::{
    config::{CallerConfig, ConfigError, Role},
    domain::Actor,
};

/// An authenticated caller, as the layer found it.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A configured service.
    Service(ServiceCall),
    /// A user with their own access token.
    User(Arc<UserCaller>),
}

/// A configured service, in one call.
#[derive(Clone, Debug)]
pub(crate) struct ServiceCall {
    pub(crate) service: Arc<ServiceCaller>,
    pub(crate) tenant_share: Arc<TenantShare>,
}

impl Deref for ServiceCall {
    type Target = ServiceCaller;

    fn deref(&self) -> &ServiceCaller {
        &self.service
    }
}

/// A user with their own access token.
#[derive(Debug)]
pub(crate) struct UserCaller {
    pub(crate) identity: Identity,
    /// Where their session was seen last, at a gate or at its sign-in. Empty: unknown, or it has ended.
    pub(crate) ip: String,
}

/// A configured service.
#[derive(Debug)]
pub(crate) struct ServiceCaller {
    pub(crate) name: Arc<str>,
    pub(crate) digest: [u8; 32],
    pub(crate) roles: Vec<Role>,
    /// Its only tenant.
    pub(crate) tenant: Option<TenantId>,
}

impl ServiceCaller {
    pub(crate) fn new(config: &CallerConfig) -> Result<Self, ConfigError> {
        let invalid = |field: &str| ConfigError::new(format!("callers.{field}"), "is malformed");
        let tenant = config.tenant.as_deref().map(TenantId::parse).transpose();
        Ok(Self {
            name: config.name.as_str().into(),
            digest: config.digest().ok_or_else(|| invalid("bearer_sha256"))?,
            roles: config.roles.clone(),
            tenant: tenant.map_err(|_| invalid("tenant"))?,
        })
    }
}

impl Caller {
    /// The tenant that the request is about. A service names it, and is held to its share of calls for that tenant; a
    /// user may leave it empty, or name their own.
    ///
    /// Naming a tenant that is not the caller's is denied whether it exists or not.
    pub(crate) fn tenant(&self, field: &str) -> Result<TenantId, ServiceError> {
        match self {
            Self::User(user) => {
                let own = &user.identity.tenant_id;
                if field.is_empty() || field == own.as_str() {
                    Ok(own.clone())
                } else {
                    Err(ServiceError::Denied)
                }
            }
            Self::Service(service) => {
                let tenant = Fields::one("tenant_id", |fields| fields.tenant("tenant_id", field))?;
                match &service.tenant {
                    Some(own) if *own != tenant => Err(ServiceError::Denied),
                    // Its one tenant has what the caller has.
                    Some(_) => Ok(tenant),
                    None => {
                        service.tenant_share.take(&tenant)?;
                        Ok(tenant)
                    }
                }
            }
        }
    }

    /// The user whose things alone the caller may touch: a user's own.
    pub(crate) fn own_user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(&user.identity.user_id),
            Self::Service(_) => None,
        }
    }

    /// The session of a user's own token.
    pub(crate) fn own_session(&self) -> Option<SessionId> {
        match self {
            Self::User(user) => Some(user.identity.session_id),
            Self::Service(_) => None,
        }
    }

    /// The configured name of a service. Empty for a user.
    pub(crate) fn service_name(&self) -> &str {
        match self {
            Self::User(_) => "",
            Self::Service(service) => &service.name,
        }
    }

    /// Whether this is a service of administrators or support people: for them is what administrators write for each
    /// other. It is not for users, nor for what serves them.
    pub(crate) fn is_staff(&self) -> bool {
        match self {
            Self::User(_) => false,
            Self::Service(service) => service
                .roles
                .iter()
                .any(|role| matches!(role, Role::Admin | Role::Support)),
        }
    }

    /// Whether email addresses are shown: to users their own, and to staff. A gateway needs none.
    pub(crate) fn sees_email(&self) -> bool {
        matches!(self, Self::User(_)) || self.is_staff()
    }

    /// Who acts: the user, the service, or the person on whose behalf a service calls.
    pub(crate) fn actor(&self, behalf: Option<(UserId, String)>) -> Actor {
        match (self, behalf) {
            (Self::User(user), _) => Actor {
                ip: user.ip.clone(),
                ..Actor::user(&user.identity.user_id)
            },
            (Self::Service(service), Some((user, ip))) => {
                Actor::on_behalf(&service.name, &user, ip)
            }
            (Self::Service(service), None) => Actor::service(&service.name),
        }
    }

    /// What binds a page token to its caller.
    pub(crate) fn binding(&self) -> String {
        match self {
            Self::User(user) => format!(
                "user\0{}\0{}",
                user.identity.tenant_id, user.identity.user_id
            ),
            Self::Service(service) => format!("service\0{}", service.name),
        }
    }
}
