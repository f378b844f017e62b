//! Disks that are full, and disks that are broken, below both stores.

use std::time::Duration;

use portcullis_tests::{
    authority::{TestAuthority, ready},
    postgres::Cluster,
    serve::Serve,
    shim::Shim,
};

use crate::measure::{STALENESS, Scene, Seen, last};

/// How long the disk is so.
const SECONDS: u64 = 4;

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug)]
enum Disk {
    Full,
    /// A sync fails, and nobody can tell what the disk has.
    Broken,
}

impl Disk {
    fn set(self, shim: &Shim, wrong: bool) {
        match self {
            Self::Full => shim.fill_disk(wrong),
            Self::Broken => shim.fail_syncs(wrong),
        }
    }
}

/// An authority over SQLite, in a process of its own.
async fn below_sqlite(disk: Disk) -> Seen {
    let shim = Shim::new();
    let serve = Serve::start_under(&shim, "info", |_| {}).await;
    let scene = Scene {
        gate: ready(serve.gate("disks").max_staleness(STALENESS)).await,
        endpoints: vec![serve.endpoint()],
        staleness: STALENESS,
    };
    let fault = async || {
        disk.set(&shim, true);
        last(SECONDS).await;
        disk.set(&shim, false);
    };
    let name = format!("{disk:?} disk below SQLite, {SECONDS} s");
    let seen = scene.go_through(&name, fault).await;
    assert!(seen.failed > 0, "the disk was never wrong: {seen}");
    seen
}

/// An authority over PostgreSQL. A server that ends for it is started again when the disk is well, as its supervisor
/// would.
async fn below_postgres(disk: Disk) -> Seen {
    let shim = Shim::new();
    let mut cluster = Cluster::start_under(&shim, &[]).await;
    let authority = TestAuthority::postgres(&cluster.url()).await;
    let scene = Scene {
        gate: ready(authority.gate().max_staleness(STALENESS)).await,
        endpoints: vec![authority.endpoint()],
        staleness: STALENESS,
    };
    let fault = async || {
        disk.set(&shim, true);
        last(SECONDS).await;
        disk.set(&shim, false);
        cluster.serve_again().await;
    };
    let name = format!("{disk:?} disk below PostgreSQL, {SECONDS} s");
    let seen = scene.go_through(&name, fault).await;
    assert!(seen.failed > 0, "the disk was never wrong: {seen}");
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_below_sqlite_acknowledges_nothing_and_gates_go_on() {
    let seen = below_sqlite(Disk::Full).await;
    assert_eq!(seen.away, Duration::ZERO, "reads need no room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_syncs_nothing_below_sqlite_acknowledges_nothing_and_gates_go_on() {
    let seen = below_sqlite(Disk::Broken).await;
    assert_eq!(seen.away, Duration::ZERO, "reads sync nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_below_postgresql_loses_no_acknowledged_revocation() {
    below_postgres(Disk::Full).await;
}
