//! NGINX of Debian with configurations of the bench's own: the server behind all doors, and gateways without one.

use std::{fs, net::SocketAddr, process::Command};

use anyhow::Result;
use portcullis_tests::{
    gateways::{Launch, Running, program},
    ports::free_address,
};
use tempfile::TempDir;

const FRAME: &str = include_str!("nginx/frame.conf");

/// Answers at once, so that the gateway before it is what takes time.
const ANSWER: &str = "location / { default_type text/plain; return 200 'ok'; }";

/// Forwards every request.
const FORWARD: &str = "location / {
    proxy_set_header Host $http_host;
    proxy_set_header Connection '';
    proxy_http_version 1.1;
    proxy_pass http://upstream_server;
}";

/// A running NGINX.
pub(crate) struct Nginx {
    running: Running,
    _directory: TempDir,
}

impl Nginx {
    /// The server behind the doors.
    pub(crate) async fn upstream() -> Result<Self> {
        // The list of servers must not be empty, and nothing is forwarded.
        Self::start(1, ANSWER, SocketAddr::from(([127, 0, 0, 1], 1))).await
    }

    /// A gateway that forwards every request.
    pub(crate) async fn plain(upstream: SocketAddr) -> Result<Self> {
        Self::start(2, FORWARD, upstream).await
    }

    /// A server with these directives.
    pub(crate) async fn start(workers: u32, server: &str, upstream: SocketAddr) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let program = program::nginxes().remove(0);
        let running = Running::start(|| {
            let address = free_address();
            let config = FRAME
                .replace("@SERVER@", server)
                .replace("@WORKERS@", &workers.to_string())
                .replace("@DIRECTORY@", &directory.path().display().to_string())
                .replace("@UPSTREAM@", &upstream.to_string())
                .replace("@LISTEN@", &address.to_string());
            let file = directory.path().join("nginx.conf");
            fs::write(&file, config).expect("a file in a directory of our own");
            let mut command = Command::new(&program.path);
            command
                .arg("-p")
                .arg(directory.path())
                .arg("-c")
                .arg(&file)
                .args(["-e", "stderr"]);
            Launch { command, address }
        })
        .await;
        Ok(Self {
            running,
            _directory: directory,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }
}
