//! One PostgreSQL server and two authorities over it, with what can go wrong with them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_tests::{
    authority::write_master_key,
    postgres::{Admin, Cluster},
    serve::Serve,
};
use tempfile::TempDir;

use crate::traffic::Callers;

/// What the authorities log. The harness finds their addresses there.
const LOG: &str = "info";

/// The servers.
pub(crate) struct World {
    pub(crate) database: Cluster,
    authorities: [Option<Serve>; 2],
    addresses: [SocketAddr; 2],
    master_key: PathBuf,
    _directory: TempDir,
}

impl World {
    /// Starts the servers. The database is as durable as PostgreSQL is by default.
    pub(crate) async fn start() -> Self {
        let database = Cluster::start(&["max_connections=100"]).await;
        let directory = tempfile::tempdir().expect("a directory");
        let master_key = directory.path().join("master.key");
        write_master_key(&master_key);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));

        let first = serve(&database, &master_key, any).await;
        let second = serve(&database, &master_key, any).await;
        Self {
            addresses: [first.grpc, second.grpc],
            authorities: [Some(first), Some(second)],
            database,
            master_key,
            _directory: directory,
        }
    }

    /// Where the authorities listen. A restart changes nothing of it.
    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        self.addresses
    }

    /// Clients of both authorities.
    pub(crate) fn callers(&self) -> Callers {
        Callers::new(self.addresses)
    }

    /// `kill -9` of an authority.
    pub(crate) async fn kill(&mut self, index: usize) {
        if let Some(mut authority) = self.authorities[index].take() {
            authority.kill().await;
        }
    }

    /// An authority hangs: its sockets stay open, and nobody answers.
    pub(crate) async fn hang(&self, index: usize) {
        if let Some(authority) = &self.authorities[index] {
            authority.hang().await;
        }
    }

    /// It goes on.
    pub(crate) fn go_on(&self, index: usize) {
        if let Some(authority) = &self.authorities[index] {
            authority.go_on();
        }
    }

    /// Does what a supervisor does: starts every authority that has ended.
    pub(crate) async fn revive(&mut self) {
        for (index, authority) in self.authorities.iter_mut().enumerate() {
            let has_ended = match authority {
                Some(authority) => authority.has_ended(),
                None => true,
            };
            if has_ended {
                let address = self.addresses[index];
                *authority = Some(serve(&self.database, &self.master_key, address).await);
            }
        }
    }

    /// Ends every connection of the authorities to the database.
    pub(crate) async fn terminate_backends(&self) {
        let admin = self.database.admin().await;
        terminate(&admin).await;
    }

    /// Holds the head of the log, which every batch changes, for a while.
    pub(crate) async fn hold_head(&self, time: Duration) {
        let admin = self.database.admin().await;
        let seconds = time.as_secs_f64();
        let hold = format!(
            "WITH head AS (SELECT id FROM log_head FOR UPDATE) SELECT pg_sleep({seconds}) FROM head"
        );
        // The authority may end this backend, which is the right thing to do.
        let _ = admin.simple_query(&hold).await;
    }
}

async fn terminate(admin: &Admin) {
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    admin.text(others).await;
}

async fn serve(database: &Cluster, master_key: &Path, grpc: SocketAddr) -> Serve {
    let url = database.url();
    Serve::start(LOG, |config| {
        config.store.url = url;
        config.keys.master_key_file = master_key.to_owned();
        config.server.grpc_listen = grpc;
    })
    .await
}
