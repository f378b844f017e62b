//! PostgreSQL: a base backup and the archive of its log, restored to a moment before a mistake.

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, OPERATOR, TENANT, TestAuthority, session_id},
    gate::{applied, refused, verdict},
    postgres::Cluster,
    process::run,
};
use portcullis_validator::Rejection;

async fn revoke(authority: &TestAuthority, session: &v1::CreateSessionResponse) -> u64 {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(session),
        ..Default::default()
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    let enforcement = revoked.expect("revoked").into_inner().enforcement;
    enforcement.expect("an enforcement").revision
}

/// The authority's last beat of before the mistake is half a minute old.
async fn let_half_a_minute_pass(cluster: &Cluster) {
    let admin = cluster.admin().await;
    let older = "UPDATE authority_beat SET beat_us = beat_us - 60000000";
    admin.batch_execute(older).await.expect("older beats");
}

async fn recover(authority: &TestAuthority) {
    let file = authority.directory().join("portcullis.toml");
    let text = toml::to_string(&authority.config).expect("TOML");
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    let (code, _, stderr) = run(&["recover", "--keep-sessions", "--config", &file]).await;
    assert_eq!(code, Some(0), "{stderr}");
}

#[tokio::test]
async fn a_restored_moment_has_what_was_committed_and_gates_keep_what_it_lacks() {
    let mut primary = Cluster::start_with_archive().await;
    let mut authority = TestAuthority::postgres(&primary.url()).await;
    let gate = authority.ready_gate().await;
    let before = authority.sign_in("before").await;
    let backup = primary.base_backup().await;

    // Only the archive has these.
    let after = authority.sign_in("after").await;
    let lost = authority.sign_in("lost").await;
    revoke(&authority, &before).await;
    primary.make_restore_point("before_the_mistake").await;
    let revision = revoke(&authority, &lost).await;
    applied(&gate, revision).await;
    let admin = primary.admin().await;
    let mistake = admin.batch_execute("DELETE FROM sessions").await;
    mistake.expect("a mistake");
    drop(admin);
    authority.stop().await;
    primary.kill().await;

    let restored = backup.restore("before_the_mistake").await;
    let_half_a_minute_pass(&restored).await;
    authority.config.store.url = restored.url();
    recover(&authority).await;
    authority.start().await;

    assert_eq!(
        refused(&gate, &before.access_token).await,
        Rejection::Revoked
    );
    assert_eq!(
        refused(&gate, &lost.access_token).await,
        Rejection::Revoked,
        "the gate keeps what the restored log does not have"
    );
    assert_eq!(verdict(&gate, &after.access_token).await, None);
    let request = v1::VerifyAuditTrailRequest::default();
    let verified = authority.audit(OPERATOR).verify_audit_trail(request).await;
    verified.expect("the trail is whole");
}
