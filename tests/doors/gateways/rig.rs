//! A gateway before an upstream, with a sidecar that follows an authority.

use std::fmt;

use http::StatusCode;
use portcullis_tests::{
    authority::TestAuthority,
    gateways::{Behind, Gateway, Sample, open_directory},
    sidecar::{SidecarConfig, TestSidecar},
    upstream::{Echo, Upstream},
    visitor::{Answer, Visit},
    wait::eventually,
};
use rand::Rng;
use tempfile::TempDir;

use crate::kind::Kind;

const RULES: &str = r#"
cookie = "portcullis_session"

[[rules]]
path = "/public/{*rest}"
access = "public"
"#;

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

    /// Sends a request that is refused with this status.
    pub async fn refused(&self, visit: &Visit, status: u16) {
        let visited = self.visit(visit).await.expect("an answer");
        assert_eq!(visited.answer.status, status, "{self}: {visited:?}");
        assert!(!visited.reached, "{self}: it reached the upstream");
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
