//! What the tests share: an authority, an application behind Envoy, and sign-outs.

use std::net::SocketAddr;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, session_id},
    gateways::{
        Program,
        envoy::{Envoy, EnvoyConfig},
        program::envoys,
    },
    upstream::Upstream,
    wait::eventually,
};

use super::client::get;

/// An authority and an application.
pub struct Setting {
    pub authority: TestAuthority,
    pub application: Upstream,
}

impl Setting {
    pub async fn new() -> Self {
        Self {
            authority: TestAuthority::sqlite().await,
            application: Upstream::start().await,
        }
    }

    /// The configuration that we ship, for these parts.
    pub fn config(&self) -> EnvoyConfig {
        EnvoyConfig::deployed(&self.authority.endpoint(), self.application.address())
    }

    /// Starts the newest Envoy, and waits until it admits.
    pub async fn envoy(&self, config: &EnvoyConfig) -> Envoy {
        let envoy = Envoy::start(&newest(), config).await;
        self.admits(envoy.address()).await;
        envoy
    }

    /// Waits until a gate admits.
    pub async fn admits(&self, gate: SocketAddr) {
        let token = self.authority.sign_in("first").await.access_token;
        eventually("the gate to admit", async || {
            let answer = get(gate, "/", &bearer(&token)).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Revokes a session. Returns when the authority has acknowledged that.
    pub async fn revoke(&self, created: &v1::CreateSessionResponse) {
        let request = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(created),
            ..Default::default()
        };
        let mut sessions = self.authority.sessions(ADMIN);
        sessions.revoke_session(request).await.expect("revoked");
    }
}

/// The newest Envoy.
pub fn newest() -> Program {
    envoys().remove(0)
}

/// The header that brings a token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}
