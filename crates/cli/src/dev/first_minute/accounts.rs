//! The demonstration's login service: it opens and renews sessions with the credentials of `dev`.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use portcullis_contract::v1::{
    Client, CreateSessionRequest, CreateSessionResponse, RefreshSessionRequest, SessionUser,
    api_key_service_client::ApiKeyServiceClient, session_service_client::SessionServiceClient,
    tenant_service_client::TenantServiceClient, user_service_client::UserServiceClient,
};
use tonic::{Request, transport::Channel};

use super::people::Person;
use crate::{credentials::Credentials, dev::calls::authorized};

/// The calls that the demonstration makes.
#[derive(Clone)]
pub(super) struct Accounts {
    channel: Channel,
    login: String,
    admin: String,
}

/// The tokens of a session that was just opened or renewed.
pub(super) struct Tokens {
    pub(super) session_id: String,
    pub(super) access: String,
    pub(super) refresh: String,
    /// When the access token expires, in seconds since 1970.
    pub(super) expires: i64,
}

impl Accounts {
    /// Prepares the calls. The first of them connects.
    pub(super) fn new(authority: SocketAddr, credentials: &Credentials) -> Result<Self> {
        let channel = Channel::from_shared(format!("http://{authority}"))?.connect_lazy();
        Ok(Self {
            channel,
            login: credentials.login.clone(),
            admin: credentials.admin.clone(),
        })
    }

    /// Signs a person in. `request_id` makes a repetition return the same session; empty: each call opens one.
    pub(super) async fn sign_in(
        &self,
        person: &Person,
        client: Client,
        request_id: String,
    ) -> Result<Tokens> {
        // As an administrator, because the login service may not read users.
        let is_first = self.is_unknown(person).await?;
        let user = SessionUser {
            // A later sign-in must not undo what an administrator has decided on the page.
            roles: is_first.then(|| person.roles()),
            ..person.session_user()
        };
        let request = CreateSessionRequest {
            tenant_id: person.tenant.into(),
            user: Some(user),
            client: Some(client),
            remember_me: true,
            amr: vec!["pwd".into(), "otp".into()],
            request_id,
            ..Default::default()
        };
        let created = self
            .sessions()
            .create_session(self.as_login(request)?)
            .await?;
        Tokens::of(created.into_inner())
    }

    async fn is_unknown(&self, person: &Person) -> Result<bool> {
        let request = portcullis_contract::v1::GetUserRequest {
            tenant_id: person.tenant.into(),
            user_id: person.id.into(),
        };
        match self.users().get_user(self.as_admin(request)?).await {
            Ok(_) => Ok(false),
            // Only this one means that there is nobody. Any other would give the role back that
            // somebody took away.
            Err(status) if status.code() == tonic::Code::NotFound => Ok(true),
            Err(status) => Err(status.into()),
        }
    }

    /// Renews the tokens of a session.
    pub(super) async fn renew(&self, tenant: &str, refresh: &str) -> Result<Tokens, tonic::Status> {
        let request = RefreshSessionRequest {
            tenant_id: tenant.into(),
            refresh_token: refresh.into(),
            ..Default::default()
        };
        let request = self
            .as_login(request)
            .map_err(|_| tonic::Status::internal("the credential is no header"))?;
        let renewed = self.sessions().refresh_session(request).await?.into_inner();
        Ok(Tokens {
            session_id: renewed
                .session
                .map(|session| session.id)
                .unwrap_or_default(),
            access: renewed.access_token,
            refresh: renewed.refresh_token,
            expires: renewed
                .access_token_expire_time
                .map_or(0, |time| time.seconds),
        })
    }

    pub(super) fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel.clone())
    }

    pub(super) fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone())
    }

    pub(super) fn tenants(&self) -> TenantServiceClient<Channel> {
        TenantServiceClient::new(self.channel.clone())
    }

    pub(super) fn api_keys(&self) -> ApiKeyServiceClient<Channel> {
        ApiKeyServiceClient::new(self.channel.clone())
    }

    /// A request as the login service makes it.
    pub(super) fn as_login<T>(&self, message: T) -> Result<Request<T>> {
        authorized(message, &self.login)
    }

    /// A request as an administrator's service makes it.
    pub(super) fn as_admin<T>(&self, message: T) -> Result<Request<T>> {
        authorized(message, &self.admin)
    }
}

impl Tokens {
    fn of(created: CreateSessionResponse) -> Result<Self> {
        let session = created
            .session
            .context("the authority answered without a session")?;
        Ok(Self {
            session_id: session.id,
            access: created.access_token,
            refresh: created.refresh_token,
            expires: created
                .access_token_expire_time
                .map_or(0, |time| time.seconds),
        })
    }
}
