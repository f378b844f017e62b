//! The state that all pages share.

use std::sync::Arc;

use portcullis_serving::config::ConfigError;
use portcullis_validator::{TrustedProxies, Validator};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    assets::Theme,
    authority::Authorities,
    config::{self, Config},
    form_key::FormKey,
    seal::Seal,
};

/// The state that all pages share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct State(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) validator: Validator,
    pub(crate) authorities: Authorities,
    pub(crate) form_key: FormKey,
    pub(crate) seal: Seal,
    pub(crate) proxies: TrustedProxies,
    /// The operator's style sheet. None: the pages look as ours do.
    pub(crate) theme: Option<Theme>,
    /// Places of live receipts.
    pub(crate) receipts: Arc<Semaphore>,
    /// Cancelled when the console ends. Live receipts end then.
    pub(crate) close: CancellationToken,
}

impl State {
    pub(crate) fn new(
        config: &Config,
        validator: Validator,
        close: CancellationToken,
    ) -> Result<Self, ConfigError> {
        // Every console of an installation has this secret already. So a form or an address of one
        // console opens at another, and the operator has no further key to share.
        let secret = config
            .authority
            .read_shared_secret()
            .map_err(config::of_setting)?;
        let secret = secret.reveal().as_bytes();
        Ok(Self(Arc::new(Shared {
            validator,
            close,
            authorities: Authorities::new(config)?,
            form_key: FormKey::derive(secret),
            seal: Seal::derive(secret)?,
            proxies: config.server.proxies()?,
            theme: config.server.read_style_sheet()?.map(Theme::new),
            receipts: Arc::new(Semaphore::new(config.limits.receipts_max)),
            config: config.clone(),
        })))
    }

    /// The application's sign-in page, with the way back to a path of the console.
    pub(crate) fn sign_in_location(&self, target: &str) -> String {
        let public_url = self.config.server.public_url.as_deref();
        self.config.session.sign_in_location(public_url, target)
    }
}

impl std::ops::Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
