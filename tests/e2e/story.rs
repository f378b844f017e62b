//! The main job over real sockets, on both stores: open, admit, end in every way, refuse.

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, OPERATOR, TENANT, TestAuthority, reason, session_id, sign_in},
    gate::{applied, refused, rejection},
    postgres,
};
use portcullis_validator::Rejection;

async fn on_both(story: impl AsyncFn(TestAuthority)) {
    story(TestAuthority::sqlite().await).await;
    story(TestAuthority::postgres(&postgres::fresh_url().await).await).await;
}

fn revoke(session_id: String) -> v1::RevokeSessionRequest {
    v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id,
        reason: "lost phone".into(),
        user_message: "ended by support".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_revoked_session_is_refused_and_others_are_admitted() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let (ada, bob) = (
            authority.sign_in("ada").await,
            authority.sign_in("bob").await,
        );
        let identity = gate.check(&ada.access_token).expect("admitted");
        assert_eq!(identity.user_id.as_str(), "ada");
        assert_eq!(identity.session_id.to_string(), session_id(&ada));

        let revoked = authority
            .sessions(ADMIN)
            .revoke_session(revoke(session_id(&ada)))
            .await;
        let revoked = revoked.expect("revoked").into_inner();
        let enforcement = revoked.enforcement.expect("an enforcement");
        assert_eq!(enforcement.validators, 1);
        applied(&gate, enforcement.revision).await;
        assert_eq!(
            rejection(&gate, &ada.access_token),
            Some(Rejection::Revoked)
        );
        assert!(gate.check(&bob.access_token).is_ok());

        let session = revoked.session.expect("a session");
        assert_eq!(session.state(), v1::SessionState::Revoked);
        let end = session.end.expect("an end");
        assert_eq!(
            (end.reason.as_str(), end.user_message.as_str()),
            ("lost phone", "ended by support")
        );
        assert_eq!(
            (end.actor.as_str(), end.revision),
            ("service:admin", enforcement.revision)
        );

        // Once more: it succeeds and changes nothing.
        let again = authority
            .sessions(ADMIN)
            .revoke_session(revoke(session_id(&ada)))
            .await
            .expect("idempotent");
        let again = again.into_inner();
        assert_eq!(
            again.enforcement.expect("an enforcement").revision,
            enforcement.revision
        );
        assert_eq!(
            again
                .session
                .and_then(|session| session.end)
                .expect("an end"),
            end
        );
    })
    .await;
}

#[tokio::test]
async fn every_wide_sign_out_drops_the_gate_and_spares_what_comes_after() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let (users, tenant, everyone) = (
            authority.users(ADMIN),
            authority.tenants(ADMIN),
            authority.revocations(OPERATOR),
        );
        let (mut users, mut tenant, mut everyone) = (users, tenant, everyone);
        for round in ["user", "tenant", "everyone"] {
            let before = [
                authority.sign_in("ada").await,
                authority.sign_in("ada").await,
            ];
            assert!(
                before
                    .iter()
                    .all(|session| gate.check(&session.access_token).is_ok()),
                "{round}"
            );
            let (tenant_id, reason) = (TENANT.to_owned(), "breach".to_owned());
            match round {
                "user" => drop(
                    users
                        .force_sign_out(v1::ForceSignOutRequest {
                            tenant_id,
                            user_ids: vec!["ada".into(), "never seen".into()],
                            reason,
                            ..Default::default()
                        })
                        .await
                        .expect("signed out"),
                ),
                "tenant" => {
                    let request = v1::SignOutTenantRequest {
                        tenant_id,
                        reason,
                        force: true,
                        ..Default::default()
                    };
                    drop(tenant.sign_out_tenant(request).await.expect("signed out"));
                }
                _ => {
                    let request = v1::SignOutEveryoneRequest {
                        reason,
                        force: true,
                        ..Default::default()
                    };
                    drop(
                        everyone
                            .sign_out_everyone(request)
                            .await
                            .expect("signed out"),
                    );
                }
            }
            for session in &before {
                assert_eq!(
                    refused(&gate, &session.access_token).await,
                    Rejection::SignedOut,
                    "{round}"
                );
            }
            let after = authority.sign_in("ada").await;
            assert!(gate.check(&after.access_token).is_ok(), "{round}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_user_ends_all_other_sessions_with_their_own_token() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let (phone, laptop, own) = (
            authority.sign_in("ada").await,
            authority.sign_in("ada").await,
            authority.sign_in("ada").await,
        );
        let bob = authority.sign_in("bob").await;
        let mut ada = authority.sessions(&own.access_token);
        ada.revoke_other_sessions(v1::RevokeOtherSessionsRequest::default())
            .await
            .expect("ended the others");
        for session in [&phone, &laptop] {
            assert_eq!(
                refused(&gate, &session.access_token).await,
                Rejection::SignedOut
            );
        }
        assert!(gate.check(&own.access_token).is_ok() && gate.check(&bob.access_token).is_ok());

        let request = v1::ListSessionsRequest {
            show_ended: true,
            ..Default::default()
        };
        let listed = ada
            .list_sessions(request)
            .await
            .expect("listed")
            .into_inner();
        assert_eq!(
            listed.sessions[0].id,
            session_id(&own),
            "the current one is first"
        );
        let of = |id: String| {
            listed
                .sessions
                .iter()
                .find(|session| session.id == id)
                .expect("listed")
        };
        assert_eq!(listed.sessions.len(), 3);
        assert!(
            of(session_id(&own)).current
                && of(session_id(&own)).state() == v1::SessionState::Active
        );
        assert_eq!(of(session_id(&phone)).state(), v1::SessionState::SignedOut);
        assert_eq!(
            of(session_id(&phone)).end.as_ref().expect("an end").actor,
            "",
            "actors are not for users"
        );

        ada.revoke_session(v1::RevokeSessionRequest {
            session_id: session_id(&own),
            ..Default::default()
        })
        .await
        .expect("ended");
        assert_eq!(refused(&gate, &own.access_token).await, Rejection::Revoked);
        let dead = ada
            .list_sessions(v1::ListSessionsRequest::default())
            .await
            .expect_err("its session has ended");
        assert_eq!(reason(&dead), "CREDENTIALS_INVALID");
    })
    .await;
}

#[tokio::test]
async fn a_disabled_user_is_out_and_stays_out_until_enabled() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let before = authority.sign_in("ada").await;
        let request = v1::DisableUserRequest {
            tenant_id: TENANT.into(),
            user_id: "ada".into(),
            reason: "left the company".into(),
            ..Default::default()
        };
        let disabled = authority
            .users(ADMIN)
            .disable_user(request)
            .await
            .expect("disabled")
            .into_inner();
        assert!(disabled.user.expect("a user").disable_time.is_some());
        assert_eq!(
            refused(&gate, &before.access_token).await,
            Rejection::SignedOut
        );
        let denied = authority
            .sessions(LOGIN)
            .create_session(sign_in("ada"))
            .await
            .expect_err("disabled");
        assert_eq!(reason(&denied), "USER_DISABLED");
        let refresh = v1::RefreshSessionRequest {
            tenant_id: TENANT.into(),
            refresh_token: before.refresh_token.clone(),
            ..Default::default()
        };
        let denied = authority
            .sessions(LOGIN)
            .refresh_session(refresh.clone())
            .await
            .expect_err("disabled");
        assert_eq!(reason(&denied), "USER_DISABLED");

        let enable = v1::EnableUserRequest {
            tenant_id: TENANT.into(),
            user_id: "ada".into(),
            reason: "back".into(),
            ..Default::default()
        };
        authority
            .users(ADMIN)
            .enable_user(enable)
            .await
            .expect("enabled");
        let after = authority.sign_in("ada").await;
        assert!(gate.check(&after.access_token).is_ok());
        assert!(
            gate.check(&before.access_token).is_err(),
            "enabling revives nothing"
        );
        assert!(
            authority
                .sessions(LOGIN)
                .refresh_session(refresh)
                .await
                .is_err()
        );
    })
    .await;
}

#[tokio::test]
async fn a_new_session_on_the_same_device_replaces_the_old_one() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let old = authority.sign_in("ada").await;
        let replacing = v1::CreateSessionRequest {
            replaces_session_id: session_id(&old),
            ..sign_in("ada")
        };
        let new = authority
            .sessions(LOGIN)
            .create_session(replacing)
            .await
            .expect("opened")
            .into_inner();
        assert_eq!(refused(&gate, &old.access_token).await, Rejection::Revoked);
        assert!(gate.check(&new.access_token).is_ok());
        let foreign = v1::CreateSessionRequest {
            replaces_session_id: session_id(&new),
            ..sign_in("eve")
        };
        let denied = authority
            .sessions(LOGIN)
            .create_session(foreign)
            .await
            .expect_err("not eve's");
        assert_eq!(reason(&denied), "SESSION_NOT_FOUND");
        assert!(gate.check(&new.access_token).is_ok());
    })
    .await;
}
