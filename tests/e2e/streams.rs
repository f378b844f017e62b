//! The end of a session, as a service that embeds the validator hears of it.

use std::time::Duration;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, TENANT, TestAuthority, ready, session_id},
    wait::{eventually, within},
};
use portcullis_validator::{Rejection, Validator};
use tokio::task::JoinHandle;

/// An open stream of a user's session.
struct Stream {
    session: v1::CreateSessionResponse,
    /// A task of its own that waits, so that nothing but the gate wakes it.
    ended: JoinHandle<Rejection>,
}

impl Stream {
    async fn open(authority: &TestAuthority, gate: &Validator, user: &str) -> Self {
        let session = authority.sign_in(user).await;
        let identity = gate.check(&session.access_token).expect("admitted");
        let before = gate.statistics().streams;
        let ended = tokio::spawn(identity.ended());
        eventually("the stream to wait", async || {
            (gate.statistics().streams > before).then_some(())
        })
        .await;
        Self { session, ended }
    }

    async fn reason(self) -> &'static str {
        let rejection = within("the stream to end", self.ended).await;
        rejection.expect("no panic").reason()
    }

    fn is_open(&self) -> bool {
        !self.ended.is_finished()
    }
}

async fn sign_out_others(authority: &TestAuthority, stream: &Stream) {
    let request = v1::RevokeOtherSessionsRequest {
        tenant_id: TENANT.into(),
        user_id: "ada".into(),
        keep_session_id: session_id(&stream.session),
        reason: "a test".into(),
        ..Default::default()
    };
    let revoked = authority
        .sessions(ADMIN)
        .revoke_other_sessions(request)
        .await;
    revoked.expect("revoked");
}

async fn disable(authority: &TestAuthority, user: &str) {
    let request = v1::DisableUserRequest {
        tenant_id: TENANT.into(),
        user_id: user.into(),
        reason: "a test".into(),
        ..Default::default()
    };
    let disabled = authority.users(ADMIN).disable_user(request).await;
    disabled.expect("disabled");
}

async fn sign_out_tenant(authority: &TestAuthority) {
    let request = v1::SignOutTenantRequest {
        tenant_id: TENANT.into(),
        reason: "a test".into(),
        force: true,
        ..Default::default()
    };
    let signed_out = authority.tenants(ADMIN).sign_out_tenant(request).await;
    signed_out.expect("signed out");
}

#[tokio::test]
async fn streams_end_with_their_sessions_and_others_stay_open() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let one = Stream::open(&authority, &gate, "ada").await;
    let other = Stream::open(&authority, &gate, "ada").await;
    let kept = Stream::open(&authority, &gate, "ada").await;
    let disabled = Stream::open(&authority, &gate, "bob").await;
    let of_tenant = Stream::open(&authority, &gate, "cyd").await;

    authority.revoke(&one.session).await;
    assert_eq!(one.reason().await, "revoked");
    sign_out_others(&authority, &kept).await;
    assert_eq!(other.reason().await, "signed_out");
    disable(&authority, "bob").await;
    assert_eq!(disabled.reason().await, "signed_out");
    assert!(kept.is_open() && of_tenant.is_open());
    assert_eq!(gate.statistics().streams, 2);

    sign_out_tenant(&authority).await;
    assert_eq!(kept.reason().await, "signed_out");
    assert_eq!(of_tenant.reason().await, "signed_out");
    assert_eq!(gate.statistics().streams, 0);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_the_next_token_goes_on() {
    let authority = TestAuthority::with(|config| {
        config.tokens.access_token_lifetime = Duration::from_secs(5);
    })
    .await;
    let gate = authority.ready_gate().await;
    let stream = Stream::open(&authority, &gate, "ada").await;
    let refresh_token = stream.session.refresh_token.clone();
    assert_eq!(stream.reason().await, "expired");
    let request = v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token,
        ..Default::default()
    };
    let refreshed = authority.sessions(LOGIN).refresh_session(request).await;
    let token = refreshed.expect("renewed").into_inner().access_token;
    assert!(gate.check(&token).is_ok());
}

#[tokio::test]
async fn a_gate_that_cannot_know_ends_streams_only_when_it_is_strict() {
    let mut authority = TestAuthority::sqlite().await;
    let staleness = Duration::from_millis(500);
    let strict = ready(authority.gate().max_staleness(staleness)).await;
    let lenient = authority.gate().max_staleness(staleness);
    let lenient = ready(lenient.best_effort(Duration::from_secs(600))).await;
    let ended = Stream::open(&authority, &strict, "ada").await;
    let open = Stream::open(&authority, &lenient, "ada").await;
    authority.stop().await;
    assert_eq!(ended.reason().await, "stale");
    eventually("best effort to be stale", async || {
        let age = lenient.statistics().freshness_age?;
        (age > 2 * staleness).then_some(())
    })
    .await;
    assert!(open.is_open());

    // Nobody would learn of a sign-out any more.
    drop(lenient);
    assert_eq!(open.reason().await, "unready");
}

#[tokio::test]
async fn a_stream_that_begins_after_the_end_ends_at_once() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let stream = Stream::open(&authority, &gate, "ada").await;
    let identity = gate.check(&stream.session.access_token).expect("admitted");
    authority.revoke(&stream.session).await;
    assert_eq!(stream.reason().await, "revoked");
    assert_eq!(
        within("the late stream", identity.ended()).await,
        Rejection::Revoked
    );
}
