//! The words that systemd hears from the services, on a socket like its own.

use std::{path::PathBuf, time::Duration};

use portcullis_tests::{
    authority::TestAuthority,
    postgres::Cluster,
    serve::Serve,
    sidecar::{SidecarConfig, TestSidecar},
    wait::within,
};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{net::UnixDatagram, time::timeout};

const READY: &str = "READY=1";
const WATCHDOG: &str = "WATCHDOG=1";
const STOPPING: &str = "STOPPING=1";
/// The limit of the watchdog. Words come four times in it.
const LIMIT: Duration = Duration::from_secs(1);

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).expect("a socket"),
            path,
            _directory: directory,
        }
    }

    fn variables(&self) -> [(String, String); 2] {
        let path = self.path.display().to_string();
        let limit = LIMIT.as_micros().to_string();
        [
            ("NOTIFY_SOCKET".to_owned(), path),
            ("WATCHDOG_USEC".to_owned(), limit),
        ]
    }

    async fn hear(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.socket.recv(&mut buffer).await.expect("a word");
        let text = String::from_utf8_lossy(&buffer[..length]);
        text.trim_end().to_owned()
    }

    /// Waits for a word, past those of the watchdog.
    async fn hear_word(&self, expected: &str) {
        let heard = within("a word", async {
            loop {
                let word = self.hear().await;
                if word != WATCHDOG {
                    return word;
                }
            }
        });
        assert_eq!(heard.await, expected);
    }

    /// Waits until nothing was heard for a whole limit.
    async fn hear_nothing(&self) {
        within("silence", async {
            while timeout(LIMIT, self.hear()).await.is_ok() {}
        })
        .await;
    }
}

fn borrowed(variables: &[(String, String); 2]) -> [(&str, &str); 2] {
    [0, 1].map(|at| (variables[at].0.as_str(), variables[at].1.as_str()))
}

#[tokio::test]
async fn an_authority_says_that_it_is_ready_that_it_beats_and_that_it_ends() {
    let manager = Manager::new();
    let variables = manager.variables();
    let mut serve = Serve::start_with_variables(&borrowed(&variables), |_| {}).await;
    manager.hear_word(READY).await;
    assert_eq!(
        within("the watchdog's word", manager.hear()).await,
        WATCHDOG
    );
    assert!(serve.terminate().await.success());
    manager.hear_word(STOPPING).await;
}

/// A beat that hangs says nothing, so that systemd restarts the process. One that fails is an attempt.
#[tokio::test]
async fn the_watchdog_hears_beats_that_fail_and_none_that_hang() {
    let mut cluster = Cluster::start(&["fsync=off"]).await;
    let manager = Manager::new();
    let variables = manager.variables();
    let url = cluster.url();
    let _serve = Serve::start_with_variables(&borrowed(&variables), |config| {
        config.store.url = url;
        config.readiness.beat_interval = Duration::from_millis(100);
    })
    .await;
    manager.hear_word(READY).await;

    cluster.hang().await;
    manager.hear_nothing().await;
    cluster.go_on();
    assert_eq!(within("a beat again", manager.hear()).await, WATCHDOG);

    cluster.stop().await;
    for _ in 0..8 {
        assert_eq!(within("a beat that fails", manager.hear()).await, WATCHDOG);
    }
}

#[tokio::test]
async fn a_sidecar_says_that_it_listens_and_that_it_ends() {
    let authority = TestAuthority::sqlite().await;
    let manager = Manager::new();
    let variables = manager.variables();
    let config = SidecarConfig::new(&authority.endpoint());
    let mut sidecar = TestSidecar::start_with_variables(&config, &borrowed(&variables)).await;
    manager.hear_word(READY).await;
    assert_eq!(
        within("the watchdog's word", manager.hear()).await,
        WATCHDOG
    );
    sidecar.signal(Signal::TERM);
    assert!(sidecar.ended().await.success());
    manager.hear_word(STOPPING).await;
}
