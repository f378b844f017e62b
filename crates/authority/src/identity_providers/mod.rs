//! The identity providers whose logouts end sessions: their keys, and the verification of their logout tokens.

mod fetch;
mod keys;
mod logout_token;

use std::time::SystemTime;

use portcullis_contract::id::TenantId;
use portcullis_serving::config::ConfigError;

use self::keys::Keys;
pub(crate) use self::logout_token::{LogoutRefusal, LogoutToken};
use crate::config::{IdentityProviderConfig, LogoutAlgorithm};

/// The configured providers. Without any, no logout token is good.
pub(crate) struct IdentityProviders(Vec<Provider>);

/// One provider, as one of its clients.
struct Provider {
    issuer: String,
    client_id: String,
    tenant: Option<TenantId>,
    algorithms: Vec<LogoutAlgorithm>,
    requires_type: bool,
    keys: Keys,
}

impl IdentityProviders {
    /// Opens the providers. Files of keys are read now, URLs when a token comes.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub(crate) fn open(configured: &[IdentityProviderConfig]) -> Result<Self, ConfigError> {
        let mut providers = Vec::with_capacity(configured.len());
        for (index, config) in configured.iter().enumerate() {
            let tenant = config.tenant.as_deref().map(TenantId::parse).transpose();
            let tenant = tenant
                .map_err(|_| ConfigError::new("identity_providers.tenant", "is malformed"))?;
            providers.push(Provider {
                issuer: config.issuer.clone(),
                client_id: config.client_id.clone(),
                tenant,
                algorithms: config.algorithms.clone(),
                requires_type: config.require_type,
                keys: Keys::open(index, config)?,
            });
        }
        Ok(Self(providers))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies a logout token.
    ///
    /// # Errors
    /// The first check of the specification that it fails, or that the keys cannot be read.
    pub(crate) async fn verify(&self, token: &str) -> Result<LogoutToken, LogoutRefusal> {
        logout_token::verify(self, token, SystemTime::now()).await
    }

    /// The provider that an issuer and one of the audiences name.
    fn find(&self, issuer: &str, audiences: &[String]) -> Option<&Provider> {
        self.0
            .iter()
            .find(|provider| provider.issuer == issuer && audiences.contains(&provider.client_id))
    }

    /// Whether an issuer is configured for any client.
    fn knows_issuer(&self, issuer: &str) -> bool {
        self.0.iter().any(|provider| provider.issuer == issuer)
    }
}
