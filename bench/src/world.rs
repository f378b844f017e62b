//! A durable PostgreSQL and an authority over it, each in a process of its own, as in production.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_authority::config::Config;
use portcullis_contract::v1::{
    self, session_service_client::SessionServiceClient, tenant_service_client::TenantServiceClient,
    user_service_client::UserServiceClient,
};
use portcullis_tests::{
    authority::{self, AUDIENCE, GATEWAY, ISSUER, TENANT},
    ports::free_port,
    postgres::Cluster,
};
use portcullis_validator::Validator;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

/// What the rows with a database share.
pub(crate) struct World {
    /// fsync=on, synchronous_commit=on.
    pub(crate) cluster: Cluster,
    /// The authority under test.
    pub(crate) authority: Process,
}

/// `portcullis serve`.
pub(crate) struct Process {
    child: Child,
    endpoint: String,
    grpc: SocketAddr,
    http: SocketAddr,
    directory: TempDir,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(|_| {}).await
    }

    /// As [`start`](Self::start), with settings of the row's own.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Result<Self> {
        let cluster =
            Cluster::start(&["fsync=on", "synchronous_commit=on", "max_connections=300"]).await;
        let authority = Process::start(|config, _| {
            config.store.url = cluster.url();
            change(config);
        })
        .await?;
        Ok(Self { cluster, authority })
    }
}

impl Process {
    /// Starts the binary that stands beside this one.
    pub(crate) async fn start(change: impl FnOnce(&mut Config, &Path)) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut config = authority::config(directory.path());
        config.server.grpc_listen.set_port(free_port());
        config.server.http_listen.set_port(free_port());
        change(&mut config, directory.path());
        std::fs::write(
            directory.path().join(CONFIGURATION),
            toml::to_string(&config)?,
        )?;
        let process = Self {
            child: serve(directory.path())?,
            endpoint: format!("http://{}", config.server.grpc_listen),
            grpc: config.server.grpc_listen,
            http: config.server.http_listen,
            directory,
        };
        process.listens().await?;
        Ok(process)
    }

    /// Kills it, and starts it again at its addresses. Returns when it was started.
    pub(crate) async fn restart(&mut self) -> Result<Instant> {
        self.child.kill().await?;
        let begun = Instant::now();
        self.child = serve(self.directory.path())?;
        self.listens().await?;
        Ok(begun)
    }

    async fn listens(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.channel().await.is_err() {
            ensure!(Instant::now() < deadline, "the authority does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The file that another authority over the same store needs.
    pub(crate) fn master_key_file(&self) -> PathBuf {
        self.directory.path().join("master.key")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// `http://…` of its gRPC server.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Where it serves gRPC and HTTP.
    pub(crate) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.grpc, self.http)
    }

    pub(crate) async fn channel(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(self.endpoint.clone())?
            .tcp_nodelay(true)
            .connect()
            .await?)
    }

    pub(crate) async fn sessions(&self) -> Result<SessionServiceClient<Channel>> {
        Ok(SessionServiceClient::new(self.channel().await?))
    }

    pub(crate) async fn users(&self) -> Result<UserServiceClient<Channel>> {
        Ok(UserServiceClient::new(self.channel().await?))
    }

    pub(crate) async fn tenants(&self) -> Result<TenantServiceClient<Channel>> {
        Ok(TenantServiceClient::new(self.channel().await?))
    }

    /// A validator of this authority, ready.
    pub(crate) async fn gate(&self) -> Result<Validator> {
        self.gate_named("bench").await
    }

    /// As [`gate`](Self::gate), with a name of its own.
    pub(crate) async fn gate_named(&self, name: &str) -> Result<Validator> {
        self.ready_gate(name, Duration::from_secs(30)).await
    }

    /// As [`gate`](Self::gate), as strict as validators are by default.
    pub(crate) async fn strict_gate(&self) -> Result<Validator> {
        self.ready_gate("bench", Duration::from_secs(5)).await
    }

    async fn ready_gate(&self, name: &str, max_staleness: Duration) -> Result<Validator> {
        let gate = Validator::builder(&self.endpoint)
            .name(name)
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .max_staleness(max_staleness)
            .cached_tokens_max(200_000)
            .start()?;
        tokio::time::timeout(Duration::from_secs(60), gate.ready())
            .await
            .context("a gate is not ready")?;
        Ok(gate)
    }
}

/// The configuration of an authority, in its directory.
const CONFIGURATION: &str = "portcullis.toml";

/// Starts the binary that stands beside this one.
fn serve(directory: &Path) -> Result<Child> {
    let binary = std::env::current_exe()?.with_file_name("portcullis");
    Command::new(&binary)
        .args(["serve", "--config"])
        .arg(directory.join(CONFIGURATION))
        .env("RUST_LOG", "error")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))
}

/// A request with a credential.
pub(crate) fn authorized<T>(message: T, bearer: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let value = format!("Bearer {bearer}").parse().expect("visible ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}

/// Signs a user in.
pub(crate) async fn sign_in(
    sessions: &mut SessionServiceClient<Channel>,
    user: &str,
) -> Result<v1::CreateSessionResponse> {
    let request = authorized(authority::sign_in(user), authority::LOGIN);
    Ok(sessions.create_session(request).await?.into_inner())
}

/// Revokes a session; the revision that enforces it.
pub(crate) async fn revoke(
    sessions: &mut SessionServiceClient<Channel>,
    session_id: String,
) -> Result<u64> {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id,
        ..Default::default()
    };
    let revoked = sessions
        .revoke_session(authorized(request, authority::ADMIN))
        .await?
        .into_inner();
    Ok(revoked.enforcement.context("no enforcement")?.revision)
}

/// Revokes a session and waits until that is enforced at all gates, which have to confirm it.
pub(crate) async fn enforce(
    sessions: &mut SessionServiceClient<Channel>,
    session_id: String,
) -> Result<()> {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id,
        wait: v1::Wait::Enforced.into(),
        ..Default::default()
    };
    let revoked = sessions
        .revoke_session(authorized(request, authority::ADMIN))
        .await?
        .into_inner();
    let receipt = revoked.enforcement.context("no receipt")?;
    // A lapse would be a measurement of the staleness.
    anyhow::ensure!(
        receipt.complete && receipt.confirmed == receipt.validators,
        "not confirmed by all: {receipt:?}"
    );
    Ok(())
}
