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
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, session_id},
    sidecar::{Answer, Ask, TestSidecar},
    wait::eventually,
};

async fn revoke(authority: &TestAuthority, created: &v1::CreateSessionResponse) {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(created),
        ..Default::default()
    };
    let mut sessions = authority.sessions(ADMIN);
    sessions.revoke_session(request).await.expect("revoked");
}

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
