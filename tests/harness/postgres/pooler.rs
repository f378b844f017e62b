//! PgBouncer between a test and its server.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Cluster, binaries};
use crate::{ports::free_address, wait::eventually};

/// A PgBouncer that ends when it is dropped.
pub struct Pooler {
    process: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Pooler {
    /// Starts one in front of `cluster`. `mode` is `session`, `transaction` or `statement`.
    ///
    /// # Panics
    /// When PgBouncer is not installed (`apt-get install pgbouncer`) or does not start.
    pub async fn start(cluster: &Cluster, mode: &str) -> Self {
        let directory = tempfile::tempdir_in("/tmp").expect("a temporary directory");
        let address = free_address();
        let users = directory.path().join("users.txt");
        fs::write(&users, "\"postgres\" \"\"\n").expect("a file of users");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\nunix_socket_dir =\n\
             default_pool_size = 20\nmax_client_conn = 200\n",
            cluster.address().port(),
            address.port(),
            users.display(),
        );
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("a file of settings");
        let mut pgbouncer = command();
        pgbouncer
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some((uid, gid)) = binaries::user() {
            for path in [directory.path(), &users, &file] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("root may give away");
            }
        }
        let process = pgbouncer
            .spawn()
            .expect("PgBouncer runs: install the package pgbouncer");
        let pooler = Self {
            process,
            address,
            _directory: directory,
        };
        let url = pooler.url();
        eventually("PgBouncer answers", async || {
            let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
            connected.ok().map(drop)
        })
        .await;
        pooler
    }

    /// The URL of the cluster's database through it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address)
    }
}

/// Debian keeps it away from the `PATH` of users.
fn command() -> Command {
    let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .unwrap_or("pgbouncer");
    let mut command = Command::new(program);
    binaries::unprivileged(&mut command);
    command
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // At once: clients need not be waited for.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.process.wait();
    }
}
