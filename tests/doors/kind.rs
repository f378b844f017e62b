//! The gateways that ask the sidecar by forward-auth, in every version that we support.

use portcullis_tests::gateways::{
    Behind, Gateway, Https, Program, Sample, caddy, haproxy, nginx, program, traefik,
};

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
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NginxNewest,
        Self::NginxDebian,
        Self::CaddyNewest,
        Self::CaddyDebian,
        Self::Traefik,
        Self::Haproxy,
    ];

    /// Its name in the table. Those of Debian 12 are the oldest versions that we support.
    pub fn name(self) -> &'static str {
        match self {
            Self::NginxDebian => "NGINX 1.22",
            Self::NginxNewest => "NGINX",
            Self::CaddyDebian => "Caddy 2.6",
            Self::CaddyNewest => "Caddy",
            Self::Traefik => "Traefik",
            Self::Haproxy => "HAProxy",
        }
    }

    fn program(self) -> Program {
        let of_debian = |programs: Vec<Program>| programs.into_iter().next();
        let newest = |programs: Vec<Program>| programs.into_iter().next_back();
        let found = match self {
            Self::NginxDebian => of_debian(program::nginxes()),
            Self::NginxNewest => newest(program::nginxes()),
            Self::CaddyDebian => of_debian(program::caddies()),
            Self::CaddyNewest => newest(program::caddies()),
            Self::Traefik => Some(program::traefik()),
            Self::Haproxy => Some(program::haproxy()),
        };
        found.expect("a program")
    }

    /// Starts it with changes of its file.
    pub async fn start_with(self, behind: &Behind, change: fn(Sample) -> Sample) -> Gateway {
        let program = self.program();
        match self {
            Self::NginxDebian | Self::NginxNewest => {
                nginx::start_with(&program, behind, change).await
            }
            Self::CaddyDebian | Self::CaddyNewest => {
                caddy::start_with(&program, behind, change).await
            }
            Self::Traefik => traefik::start_with(&program, behind, change).await,
            Self::Haproxy => haproxy::start_with(&program, behind, change).await,
        }
    }

    /// Starts it.
    pub async fn start(self, behind: &Behind) -> Gateway {
        self.start_with(behind, |sample| sample).await
    }

    /// Starts it with a listener for HTTPS and HTTP/3, if it can have one.
    pub async fn start_https(self, behind: &Behind, https: &Https) -> Gateway {
        let program = self.program();
        match self {
            Self::CaddyDebian | Self::CaddyNewest => {
                caddy::start_https(&program, behind, https).await
            }
            Self::Traefik => traefik::start_https(&program, behind, https).await,
            Self::NginxDebian | Self::NginxNewest | Self::Haproxy => self.start(behind).await,
        }
    }

    /// Whether it asks through a Unix socket.
    pub fn takes_socket(self) -> bool {
        self != Self::Traefik
    }
}
