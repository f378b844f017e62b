//! A real authority on free ports, and clients of every role.

use std::{path::Path, sync::Arc, time::Duration};

use portcullis_authority::{
    Authority,
    config::{CallerConfig, Config, Role},
    keys::MasterKey,
    store::Store,
};
use portcullis_contract::{
    position::sha256,
    v1::{
        self, api_key_service_client::ApiKeyServiceClient,
        audit_service_client::AuditServiceClient, key_service_client::KeyServiceClient,
        revocation_service_client::RevocationServiceClient,
        session_service_client::SessionServiceClient, tenant_service_client::TenantServiceClient,
        user_service_client::UserServiceClient,
    },
};
use portcullis_validator::{Builder, Validator};
use tempfile::TempDir;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::wait::eventually;

/// The issuer of every test.
pub const ISSUER: &str = "https://issuer.test";
/// The audience that test gates expect.
pub const AUDIENCE: &str = "gateway";
/// The tenant of most tests.
pub const TENANT: &str = "acme";

/// Bearer strings of the configured callers.
pub const LOGIN: &str = "login-bearer";
/// Roles admin and support, all tenants.
pub const ADMIN: &str = "admin-bearer";
/// Role gateway.
pub const GATEWAY: &str = "gateway-bearer";
/// Role operator.
pub const OPERATOR: &str = "operator-bearer";
/// Role support, all tenants.
pub const SUPPORT: &str = "support-bearer";
/// Roles login and admin, of the tenant `other` only.
pub const OTHER_ADMIN: &str = "other-admin-bearer";

/// A client's transport, with a bearer string.
pub type Transport = InterceptedService<Channel, Bearer>;

/// Adds a credential to every call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<tonic::metadata::Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A running authority with its configuration, which starts again from the same data.
pub struct TestAuthority {
    authority: Option<Authority>,
    /// What it was started with; addresses are the ones it got.
    pub config: Config,
    directory: TempDir,
}

impl TestAuthority {
    /// On SQLite, in a directory of its own.
    pub async fn sqlite() -> Self {
        Self::with(|_| {}).await
    }

    /// On a PostgreSQL schema.
    pub async fn postgres(url: &str) -> Self {
        Self::with(|config| config.store.url = url.to_owned()).await
    }

    /// With settings of the test's own.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut config = config(directory.path());
        change(&mut config);
        let mut authority = Self {
            authority: None,
            config,
            directory,
        };
        authority.start().await;
        authority
    }

    /// Another authority over the same store, with the same master key.
    pub async fn replica(&self) -> Self {
        let mut config = self.config.clone();
        config.server.grpc_listen.set_port(0);
        config.server.http_listen.set_port(0);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut authority = Self {
            authority: None,
            config,
            directory,
        };
        authority.start().await;
        authority
    }

    /// Starts it, at the addresses it had before.
    pub async fn start(&mut self) {
        let authority = start_when_free(&self.config).await;
        self.config.server.grpc_listen = authority.grpc_address;
        self.config.server.http_listen = authority.http_address;
        self.config.server.metrics_listen = authority.metrics_address;
        self.authority = Some(authority);
    }

    /// Over a store that is open, with settings of the test's own.
    pub async fn over(store: Arc<dyn Store>, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut config = config(directory.path());
        change(&mut config);
        let authority = Authority::start_over(config.clone(), store)
            .await
            .expect("the authority starts");
        config.server.grpc_listen = authority.grpc_address;
        config.server.http_listen = authority.http_address;
        config.server.metrics_listen = authority.metrics_address;
        Self {
            authority: Some(authority),
            config,
            directory,
        }
    }

    /// Why it has to end, once it has to.
    pub async fn failed(&self) -> String {
        let authority = self.authority.as_ref().expect("it runs");
        authority.failed().await
    }

    /// What its HTTP server answers, whole.
    pub async fn http(&self, path: &str) -> String {
        crate::serve::answer(self.config.server.http_listen, path).await
    }

    /// Drains and ends it.
    pub async fn stop(&mut self) {
        if let Some(authority) = self.authority.take() {
            authority.shut_down().await;
        }
    }

    /// The directory of its files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `http://…` of its gRPC server.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.config.server.grpc_listen)
    }

    /// A transport for a bearer string; an empty one sends none.
    #[must_use]
    pub fn transport(&self, bearer: &str) -> Transport {
        transport(&self.endpoint(), bearer)
    }

    /// A client of `SessionService`.
    #[must_use]
    pub fn sessions(&self, bearer: &str) -> SessionServiceClient<Transport> {
        SessionServiceClient::new(self.transport(bearer))
    }

    /// A client of `UserService`.
    #[must_use]
    pub fn users(&self, bearer: &str) -> UserServiceClient<Transport> {
        UserServiceClient::new(self.transport(bearer))
    }

    /// A client of `TenantService`.
    #[must_use]
    pub fn tenants(&self, bearer: &str) -> TenantServiceClient<Transport> {
        TenantServiceClient::new(self.transport(bearer))
    }

    /// A client of `ApiKeyService`.
    #[must_use]
    pub fn api_keys(&self, bearer: &str) -> ApiKeyServiceClient<Transport> {
        ApiKeyServiceClient::new(self.transport(bearer))
    }

    /// A client of `AuditService`.
    #[must_use]
    pub fn audit(&self, bearer: &str) -> AuditServiceClient<Transport> {
        AuditServiceClient::new(self.transport(bearer))
    }

    /// A client of `KeyService`.
    #[must_use]
    pub fn keys(&self, bearer: &str) -> KeyServiceClient<Transport> {
        KeyServiceClient::new(self.transport(bearer))
    }

    /// A client of `RevocationService`.
    #[must_use]
    pub fn revocations(&self, bearer: &str) -> RevocationServiceClient<Transport> {
        RevocationServiceClient::new(self.transport(bearer))
    }

    /// A validator's settings; start it, or change them first.
    pub fn gate(&self) -> Builder {
        Validator::builder(self.endpoint())
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .name("test gate")
    }

    /// A validator that is ready.
    pub async fn ready_gate(&self) -> Validator {
        ready(self.gate()).await
    }

    /// Signs a user of [`TENANT`] in.
    pub async fn sign_in(&self, user: &str) -> v1::CreateSessionResponse {
        let created = self.sessions(LOGIN).create_session(sign_in(user)).await;
        created.expect("a sign-in").into_inner()
    }

    /// Ends a session as an administrator. Returns the revision of the batch that ended it.
    ///
    /// # Panics
    /// When the authority refuses.
    pub async fn revoke(&self, created: &v1::CreateSessionResponse) -> u64 {
        let request = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(created),
            ..Default::default()
        };
        let revoked = self.sessions(ADMIN).revoke_session(request).await;
        let enforcement = revoked.expect("revoked").into_inner().enforcement;
        enforcement.expect("an enforcement").revision
    }

    /// The whole trail of the tenant, by the list, in the order of the log.
    ///
    /// # Panics
    /// When it has more than a page.
    pub async fn trail(&self) -> Vec<v1::AuditEvent> {
        let request = v1::ListAuditEventsRequest {
            tenant_id: TENANT.into(),
            page_size: 200,
            ..Default::default()
        };
        let listed = self.audit(SUPPORT).list_audit_events(request).await;
        let listed = listed.expect("a list").into_inner();
        assert!(listed.next_page_token.is_empty(), "more than a page");
        let mut events = listed.events;
        events.sort_by(|one, other| place(one).cmp(&place(other)));
        events
    }
}

/// A transport to `endpoint` for a bearer string; an empty one sends none.
#[must_use]
pub fn transport(endpoint: &str, bearer: &str) -> Transport {
    let channel = Endpoint::from_shared(endpoint.to_owned())
        .expect("an endpoint")
        .connect_lazy();
    let value =
        (!bearer.is_empty()).then(|| format!("Bearer {bearer}").parse().expect("a header value"));
    InterceptedService::new(channel, Bearer(value))
}

/// Starts a validator and waits until it is ready.
pub async fn ready(builder: Builder) -> Validator {
    let validator = builder.start().expect("good settings");
    crate::wait::within("the gate to be ready", validator.ready()).await;
    validator
}

/// A request to sign a user of [`TENANT`] in.
#[must_use]
pub fn sign_in(user: &str) -> v1::CreateSessionRequest {
    v1::CreateSessionRequest {
        tenant_id: TENANT.into(),
        user: Some(v1::SessionUser {
            id: user.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The place of an event in the log.
fn place(event: &v1::AuditEvent) -> (u64, &str, u32) {
    (event.revision, &event.id, event.ordinal)
}

/// The id of a created session.
#[must_use]
pub fn session_id(created: &v1::CreateSessionResponse) -> String {
    created.session.as_ref().expect("a session").id.clone()
}

/// The default settings of tests: free ports, short intervals.
#[must_use]
pub fn config(directory: &Path) -> Config {
    let mut config = Config::default();
    config.server.grpc_listen.set_port(0);
    config.server.http_listen.set_port(0);
    config.server.drain_timeout = Duration::from_secs(2);
    config.store.url = format!("sqlite:{}", directory.join("data").display());
    config.tokens.issuer = ISSUER.into();
    config.keys.master_key_file = directory.join("master.key");
    write_master_key(&config.keys.master_key_file);
    config.callers = callers();
    // Its revisions would disturb tests that count some.
    config.watch.canary_interval = Duration::ZERO;
    config
}

/// Writes a new master key, which authorities over one store share.
pub fn write_master_key(file: &Path) {
    write_private(file, &MasterKey::generate().to_base64());
}

/// Writes a file that only its owner may read, as a master key's has to be.
pub fn write_private(file: &Path, text: &str) {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut opened = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .expect("a file");
    opened.write_all(text.as_bytes()).expect("written");
}

/// The digest of a bearer string, in hexadecimal digits.
#[must_use]
pub fn digest(bearer: &str) -> String {
    sha256(bearer.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn callers() -> Vec<CallerConfig> {
    let caller = |name: &str, bearer: &str, roles: &[Role], tenant: Option<&str>| CallerConfig {
        name: name.into(),
        bearer_sha256: Some(digest(bearer)),
        san: None,
        roles: roles.to_vec(),
        tenant: tenant.map(str::to_owned),
        bearers: Vec::new(),
    };
    vec![
        caller("login", LOGIN, &[Role::Login], None),
        caller("admin", ADMIN, &[Role::Admin, Role::Support], None),
        caller("gateway", GATEWAY, &[Role::Gateway], None),
        caller("operator", OPERATOR, &[Role::Operator], None),
        caller("support", SUPPORT, &[Role::Support], None),
        caller(
            "other-admin",
            OTHER_ADMIN,
            &[Role::Login, Role::Admin],
            Some("other"),
        ),
    ]
}

/// The `ErrorInfo.reason` of an error, which every error has.
#[must_use]
pub fn reason(status: &Status) -> String {
    use tonic_types::StatusExt;
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "portcullis.v1");
    info.reason
}

/// The fields that an error names.
#[must_use]
pub fn violations(status: &Status) -> Vec<String> {
    use tonic_types::StatusExt;
    let request = status
        .get_details_bad_request()
        .unwrap_or_else(|| panic!("no BadRequest in {status:?}"));
    request
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

/// Starts an authority, once the one before it in this process has let go of the data directory: its last connection closes
/// in a thread of its own.
async fn start_when_free(config: &Config) -> Authority {
    eventually(
        "the data directory to be free",
        async || match Authority::start(config.clone()).await {
            Ok(authority) => Some(authority),
            Err(error) if error.to_string().contains("has the data directory open") => None,
            Err(error) => panic!("the authority starts: {error:?}"),
        },
    )
    .await
}
