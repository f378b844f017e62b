//! The sidecar as a process: its doors, its operations, its end.

mod configuration;
mod envoy;
mod ext_authz;
mod hostile;
mod operations;
mod sockets;
mod verify;
mod wire;

use http::StatusCode;
use portcullis_tests::{
    sidecar::{Answer, Ask, TestSidecar},
    wait::eventually,
};

async fn ask(sidecar: &TestSidecar, ask: Ask) -> Answer {
    ask.send(&sidecar.forward_auth).await.expect("an answer")
}

/// Asks until the sidecar can tell: on a busy machine it may be stale for a moment.
async fn settled(sidecar: &TestSidecar, ask: &Ask) -> Answer {
    eventually("the sidecar to be fresh", async || {
        let answer = ask.send(&sidecar.forward_auth).await?;
        (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
}
