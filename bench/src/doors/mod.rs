//! Doors before one upstream, in processes of their own as in production.

pub(crate) mod envoy;
mod kind;
pub(crate) mod layer;
mod sessions;
pub(crate) mod sidecar;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

pub(crate) use self::{
    kind::{Door, Kind},
    sessions::{Session, sign_in_many},
};
use crate::load::{Connection, with_token};

/// The time until a door that was started admits.
const START_MAX: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The settings of a door.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `http://…` of the authority.
    pub(crate) endpoint: String,
    /// The server behind the door.
    pub(crate) upstream: SocketAddr,
    /// The bound of freshness.
    pub(crate) max_staleness: Duration,
}

/// Waits until a door admits a session.
pub(crate) async fn admits(address: SocketAddr, token: &str) -> Result<()> {
    let request = with_token(token);
    let deadline = Instant::now() + START_MAX;
    let mut connection = Connection::new(address);
    loop {
        let answer = connection.exchange(&request).await;
        if matches!(answer, Ok(200)) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the door does not admit: {answer:?}"
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A file that was built beside this binary.
fn beside_this(name: &str) -> Result<PathBuf> {
    let file = std::env::current_exe()?.with_file_name(name);
    let built = file.try_exists()?;
    built
        .then_some(file)
        .with_context(|| format!("{name} is not built: run `cargo xtask bench`"))
}
