//! A gateway before an upstream, with a sidecar that follows an authority.

use std::{fmt, time::Duration};

use http::StatusCode;
use portcullis_tests::{
    authority::TestAuthority,
    gateways::{
        Behind, Gateway, Program, Sample, caddy, haproxy, nginx, open_directory, program, traefik,
    },
    sidecar::{SidecarConfig, TestSidecar},
    upstream::{Echo, Upstream},
    visitor::{Answer, Visit},
    wait::eventually,
};
use rand::Rng;
use tempfile::TempDir;

/// The cookie that brings the access token.
pub const COOKIE: &str = "portcullis_session";

/// The host at which `/open` is public, and `/public` as everywhere.
pub const OPEN_HOST: &str = "open.test";

const RULES: &str = r#"
cookie = "portcullis_session"

[[rules]]
host = "open.test"
path = "/open/{*rest}"
access = "public"

[[rules]]
path = "/public/{*rest}"
access = "public"

[[rules]]
path = "/other-tenant"
access = "session"
tenants = ["other"]

[[rules]]
path = "/step-up"
access = "session"
acr = "urn:example:gold"

[[rules]]
path = "/page"
access = "session"
sign_in = "/public/sign-in?theme=dark"
"#;

/// A gateway in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    NginxDebian,
    NginxNewest,
    CaddyDebian,
    CaddyNewest,
    Traefik,
    Haproxy,
}

impl Kind {
    /// Starts it.
    pub async fn start(self, behind: &Behind) -> Gateway {
        self.start_with(behind, |sample| sample).await
    }

    /// Starts it with further changes of its file.
    pub async fn start_with(self, behind: &Behind, change: fn(Sample) -> Sample) -> Gateway {
        let first = |programs: Vec<Program>| programs.into_iter().next().expect("one");
        let last = |programs: Vec<Program>| programs.into_iter().next_back().expect("one");
        match self {
            Self::NginxDebian => {
                nginx::start_with(&first(program::nginxes()), behind, change).await
            }
            Self::NginxNewest => nginx::start_with(&last(program::nginxes()), behind, change).await,
            Self::CaddyDebian => {
                caddy::start_with(&first(program::caddies()), behind, change).await
            }
            Self::CaddyNewest => caddy::start_with(&last(program::caddies()), behind, change).await,
            Self::Traefik => traefik::start_with(&program::traefik(), behind, change).await,
            Self::Haproxy => haproxy::start_with(&program::haproxy(), behind, change).await,
        }
    }

    /// Whether it asks through a Unix socket.
    pub fn takes_socket(self) -> bool {
        self != Self::Traefik
    }

    /// The status when the sidecar does not answer. Traefik has no other than 500.
    pub fn unanswered(self) -> u16 {
        if self == Self::Traefik { 500 } else { 503 }
    }
}

/// All parts, running.
pub struct Rig {
    pub kind: Kind,
    pub authority: TestAuthority,
    pub upstream: Upstream,
    pub sidecar: TestSidecar,
    pub gateway: Gateway,
    _directory: TempDir,
}

impl Rig {
    /// Starts all, and waits until a session is admitted.
    pub async fn start(kind: Kind) -> Self {
        Self::start_with(kind, |_| {}).await
    }

    /// Starts all, with settings of the test's own for the sidecar.
    pub async fn start_with(kind: Kind, change: impl FnOnce(&mut SidecarConfig)) -> Self {
        let authority = TestAuthority::sqlite().await;
        let upstream = Upstream::start().await;
        let directory = open_directory();
        let mut config = SidecarConfig::new(&authority.endpoint());
        config.ext_authz = String::new();
        config.rules = RULES.parse().expect("TOML");
        if kind.takes_socket() {
            let socket = directory.path().join("forward-auth.sock");
            // NGINX, started by root, asks as another user.
            config.forward_auth = format!(
                "listen = \"unix:{}\"\nsocket_mode = \"0666\"\n",
                socket.display()
            );
        }
        change(&mut config);
        let sidecar = TestSidecar::ready_with(&config).await;
        let behind = Behind {
            sidecar: sidecar.forward_auth.clone(),
            application: upstream.address(),
        };
        let gateway = kind.start(&behind).await;
        let rig = Self {
            kind,
            authority,
            upstream,
            sidecar,
            gateway,
            _directory: directory,
        };
        rig.wait_until_it_admits().await;
        rig
    }

    /// Starts the gateway again, with further changes of its file.
    pub async fn restart_gateway(&mut self, change: fn(Sample) -> Sample) {
        let behind = Behind {
            sidecar: self.sidecar.forward_auth.clone(),
            application: self.upstream.address(),
        };
        self.gateway = self.kind.start_with(&behind, change).await;
        self.wait_until_it_admits().await;
    }

    /// Traefik listens before it knows its routes.
    async fn wait_until_it_admits(&self) {
        eventually("the gateway to admit", async || {
            let answer = self.visit(&Visit::get("/public/ready")).await?.answer;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
    }

    /// Signs a user in, and returns the access token.
    pub async fn token(&self, user: &str) -> String {
        self.authority.sign_in(user).await.access_token
    }

    /// Sends a request. None: the gateway closed the connection without an answer.
    pub async fn visit(&self, visit: &Visit) -> Option<Visited> {
        let mark = format!("{:x}", rand::rng().random::<u64>());
        let answer = visit.clone().mark(&mark).http1(self.gateway.http()).await?;
        let reached = self.upstream.reached(&mark) > 0;
        Some(Visited { answer, reached })
    }

    /// Sends a request that is admitted, and returns it as it reached the upstream.
    pub async fn admitted(&self, visit: &Visit) -> Echo {
        let visited = self.visit(visit).await.expect("an answer");
        assert_eq!(visited.answer.status, 200, "{self}: {visited:?}");
        visited.answer.echo()
    }

    /// Sends a request that is refused with this status, and returns the answer.
    pub async fn refused(&self, visit: &Visit, status: u16) -> Answer {
        let visited = self.visit(visit).await.expect("an answer");
        assert_eq!(visited.answer.status, status, "{self}: {visited:?}");
        assert!(!visited.reached, "{self}: it reached the upstream");
        visited.answer
    }
}

impl fmt::Display for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.kind)?;
        writeln!(f, "gateway: {}", self.gateway.running.output())?;
        write!(f, "sidecar: {}", self.sidecar.log())
    }
}

/// An answer, and whether the request reached the upstream.
#[derive(Debug)]
pub struct Visited {
    pub answer: Answer,
    pub reached: bool,
}

/// The settings of a sidecar whose view is soon too old.
pub fn soon_stale(config: &mut SidecarConfig) {
    config.authority.push_str("max_staleness = \"1s\"\n");
}

/// A request that is not answered yet has no answer within this time.
pub const NO_ANSWER: Duration = Duration::from_secs(1);
