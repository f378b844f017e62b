//! Erasure of a user: nothing of theirs is left in the database, and the trail still verifies.

use std::time::Duration;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, GATEWAY, LOGIN, OPERATOR, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, reason,
        session_id, sign_in, violations,
    },
    everywhere,
    postgres::fresh_url,
    rows::behind,
    wait::eventually,
};
use tonic::Code;

/// The user to erase. Every text about them has a mark of its own.
const USER: &str = "zzcanary-user";

const MARKS: [&str; 16] = [
    USER,
    "zzcanary.name",
    "Zzgiven",
    "Zzfamily",
    "zzmail@canary.example",
    "203.0.113.77",
    "203.0.113.78",
    "203.0.113.79",
    "zzagent",
    "zzdevice",
    "zzapp",
    "zzrequest",
    "zzpage",
    "zzkeyname",
    "zzreason",
    "zzmessage",
];

/// Those that reach the database in every story. The others are replaced on the way, or stand in one place only.
const TABLES: [&str; 6] = [
    "users",
    "sessions",
    "user_history",
    "api_keys",
    "policies",
    "audit_events",
];

async fn on_both(story: impl AsyncFn(TestAuthority)) {
    for url in [None, Some(fresh_url().await)] {
        let authority = TestAuthority::with(|config| {
            config.sessions.erasure_settle = Duration::from_secs(1);
            if let Some(url) = url {
                config.store.url = url;
            }
        });
        story(authority.await).await;
    }
}

fn acting(user: &str) -> Option<v1::ActingUser> {
    Some(v1::ActingUser {
        id: user.into(),
        ip: "203.0.113.79".into(),
    })
}

fn erase(user: &str) -> v1::EraseUserRequest {
    v1::EraseUserRequest {
        tenant_id: TENANT.into(),
        user_id: user.into(),
        reason: "request 17".into(),
        ..Default::default()
    }
}

fn sign_in_of_canary() -> v1::CreateSessionRequest {
    v1::CreateSessionRequest {
        user: Some(v1::SessionUser {
            id: USER.into(),
            user_name: "zzcanary.name".into(),
            given_name: "Zzgiven".into(),
            family_name: "Zzfamily".into(),
            email: "zzmail@canary.example".into(),
            ..Default::default()
        }),
        client: Some(v1::Client {
            ip: "203.0.113.77".into(),
            user_agent: "zzagent/1.0".into(),
            device_id: "zzdevice".into(),
            app_name: "zzapp".into(),
            ..Default::default()
        }),
        request_id: "zzrequest".into(),
        ..sign_in(USER)
    }
}

/// Leaves a trace of the user wherever the authority keeps one. Returns the access token of a session that is still open.
async fn leave_traces(authority: &TestAuthority) -> String {
    set_policy(authority).await;
    let mut login = authority.sessions(LOGIN);
    let first = login.create_session(sign_in_of_canary()).await;
    let first = first.expect("signed in").into_inner();

    let refresh = v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token: first.refresh_token.clone(),
        client: Some(v1::Client {
            ip: "203.0.113.78".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    login.refresh_session(refresh).await.expect("refreshed");
    let used = v1::ReportActivityRequest {
        activities: vec![v1::Activity {
            tenant_id: TENANT.into(),
            credential_id: session_id(&first),
            requests: 3,
            age: None,
            ip: "203.0.113.78".into(),
            last_page: "/zzpage".into(),
        }],
        ..Default::default()
    };
    let mut gateway = authority.revocations(GATEWAY);
    gateway.report_activity(used).await.expect("reported");

    let key = v1::CreateApiKeyRequest {
        tenant_id: TENANT.into(),
        owner_user_id: USER.into(),
        name: "zzkeyname".into(),
        reason: "zzreason".into(),
        ..Default::default()
    };
    let mut keys = authority.api_keys(ADMIN);
    keys.create_api_key(key).await.expect("a key");

    act_as_the_user(authority).await;
    end_and_refuse(authority, &session_id(&first)).await;
    let again = v1::CreateSessionRequest {
        request_id: "zzrequest-2".into(),
        ..sign_in_of_canary()
    };
    let again = login.create_session(again).await.expect("signed in");
    again.into_inner().access_token
}

/// A policy that keeps pages, and has a value of the user's own.
async fn set_policy(authority: &TestAuthority) {
    let mut tenants = authority.tenants(ADMIN);
    let get = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let policy = tenants.get_policy(get).await.expect("a policy");
    let mut policy = policy.into_inner().policy.expect("a policy");
    policy.keep_last_page = true;
    let own = v1::UserPolicy {
        sessions_max: 7,
        ..Default::default()
    };
    policy.users.insert(USER.into(), own);
    let update = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        policy: Some(policy),
        reason: "stricter".into(),
        ..Default::default()
    };
    tenants.update_policy(update).await.expect("updated");
}

/// The user ends a session of somebody else.
async fn act_as_the_user(authority: &TestAuthority) {
    let other = session_id(&authority.sign_in("other").await);
    let revoke = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: other,
        reason: "lost phone".into(),
        acting_user: acting(USER),
        ..Default::default()
    };
    let mut admin = authority.sessions(ADMIN);
    admin.revoke_session(revoke).await.expect("ended");
}

/// An administrator ends a session of the user, and the user's next sign-ins are refused for a while.
async fn end_and_refuse(authority: &TestAuthority, session: &str) {
    let revoke = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session.into(),
        reason: "zzreason".into(),
        user_message: "zzmessage".into(),
        ..Default::default()
    };
    let mut admin = authority.sessions(ADMIN);
    admin.revoke_session(revoke).await.expect("ended");
    let mut users = authority.users(ADMIN);
    let disable = v1::DisableUserRequest {
        tenant_id: TENANT.into(),
        user_id: USER.into(),
        reason: "zzreason".into(),
        ..Default::default()
    };
    users.disable_user(disable).await.expect("disabled");
    for _ in 0..3 {
        let refused = v1::CreateSessionRequest {
            request_id: String::new(),
            ..sign_in_of_canary()
        };
        let refused = authority.sessions(LOGIN).create_session(refused).await;
        assert_eq!(reason(&refused.expect_err("disabled")), "USER_DISABLED");
    }
    let enable = v1::EnableUserRequest {
        tenant_id: TENANT.into(),
        user_id: USER.into(),
        reason: "zzreason".into(),
        ..Default::default()
    };
    users.enable_user(enable).await.expect("enabled");
}

/// Waits until an erasure has ended, and returns the end's event.
async fn ended(authority: &TestAuthority, id: &str) -> v1::AuditEvent {
    let end = async || {
        let ends = events(authority, "user.erased").await;
        ends.into_iter().find(|event| event.target == id)
    };
    eventually("the erasure ends", end).await
}

async fn events(authority: &TestAuthority, action: &str) -> Vec<v1::AuditEvent> {
    let request = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        action: action.into(),
        page_size: 200,
        ..Default::default()
    };
    let listed = authority.audit(ADMIN).list_audit_events(request).await;
    listed.expect("a list").into_inner().events
}

async fn verify(authority: &TestAuthority) -> v1::VerifyAuditTrailResponse {
    let request = v1::VerifyAuditTrailRequest::default();
    let verified = authority.audit(OPERATOR).verify_audit_trail(request).await;
    let verified = verified.expect("an answer").into_inner();
    assert_eq!(verified.fault, None);
    assert_eq!(verified.through_revision, verified.head_revision);
    verified
}

#[tokio::test]
async fn nothing_of_an_erased_user_is_left_and_the_trail_verifies() {
    on_both(async |authority| {
        let token = leave_traces(&authority).await;
        let kept = authority.sign_in("kept").await;
        let in_trail = async || {
            let found = everywhere::find(&authority, &MARKS).await;
            let tables = TABLES.map(|table| found.iter().any(|(name, _)| name == table));
            (tables == [true; TABLES.len()]).then_some(found)
        };
        let before = eventually("traces in every table", in_trail).await;
        for mark in MARKS {
            assert!(before.iter().any(|(_, found)| found == mark), "{mark}");
        }
        assert_eq!(verify(&authority).await.erased, []);

        let begun = authority.users(ADMIN).erase_user(erase(USER)).await;
        let begun = begun.expect("erased").into_inner();
        assert_eq!((begun.sessions_ended, begun.unknown_user), (1, false));
        let erasure = begun.erasure.expect("an erasure");
        assert_eq!(erasure.state(), v1::ErasureState::Settling);
        assert!(
            erasure.sessions == 2 && erasure.audit_parts > 8,
            "{erasure:?}"
        );

        let end = ended(&authority, &erasure.id).await;
        assert_eq!(end.actor, "authority");
        assert_eq!(everywhere::find(&authority, &MARKS).await, []);
        if authority.config.store.url.starts_with("sqlite:") {
            let clean = async || everywhere::find_in_files(&authority, &MARKS).is_empty();
            eventually("clean files", async || clean().await.then_some(())).await;
        }

        let verified = verify(&authority).await;
        let [erased] = &verified.erased[..] else {
            panic!("{verified:?}");
        };
        assert_eq!(erased.erasure_id, erasure.id);
        assert!(erased.first_revision < erased.last_revision, "{erased:?}");
        assert!(erased.rows > 8, "{erased:?}");
        is_shown_as_erased(&authority, &erasure.id).await;
        others_are_untouched(&authority, &kept).await;
        is_a_stranger_afterwards(&authority, &token).await;
    })
    .await;
}

async fn is_shown_as_erased(authority: &TestAuthority, erasure: &str) {
    let begun = events(authority, "user.erase").await;
    assert_eq!(begun[0].id, erasure);
    assert_eq!(begun[0].reason, "request 17");
    assert!(begun[0].target.starts_with("user_serial:"), "{begun:?}");
    assert_eq!(begun[0].user_id, "");

    let created = events(authority, "session.create").await;
    let erased: Vec<_> = created
        .iter()
        .filter(|event| event.subject_erased)
        .collect();
    assert_eq!(erased.len(), 2);
    assert!(erased.iter().all(|event| event.target.is_empty()));

    // Of what the user did to somebody else, only the author is gone.
    let ends = events(authority, "session.revoke").await;
    let by_user: Vec<_> = ends
        .iter()
        .filter(|event| event.reason == "lost phone")
        .collect();
    let [by_user] = by_user[..] else {
        panic!("{ends:?}");
    };
    assert!(by_user.actor_erased && !by_user.subject_erased);
    assert_eq!(
        (by_user.actor.as_str(), by_user.actor_ip.as_str()),
        ("", "")
    );
    assert_eq!(by_user.user_id, "other");
}

async fn others_are_untouched(authority: &TestAuthority, kept: &v1::CreateSessionResponse) {
    let get = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(kept),
    };
    let session = authority.sessions(SUPPORT).get_session(get).await;
    let session = session.expect("a session").into_inner().session;
    assert_eq!(
        session.expect("a session").state(),
        v1::SessionState::Active
    );
    let get = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let policy = authority.tenants(SUPPORT).get_policy(get).await;
    let policy = policy.expect("a policy").into_inner().policy;
    let policy = policy.expect("a policy");
    assert!(policy.keep_last_page && policy.users.is_empty());
}

async fn is_a_stranger_afterwards(authority: &TestAuthority, token: &str) {
    let introspect = v1::IntrospectTokenRequest {
        tenant_id: TENANT.into(),
        token: token.into(),
        ..Default::default()
    };
    let answer = authority
        .sessions(GATEWAY)
        .introspect_token(introspect)
        .await;
    assert!(!answer.expect("an answer").into_inner().active);
    let get = v1::GetUserRequest {
        tenant_id: TENANT.into(),
        user_id: USER.into(),
    };
    let unknown = authority.users(ADMIN).get_user(get).await;
    assert_eq!(reason(&unknown.expect_err("unknown")), "USER_NOT_FOUND");
    // Whoever comes back is somebody new.
    authority.sign_in(USER).await;
}

#[tokio::test]
async fn a_user_under_erasure_stays_out_and_repeated_calls_go_on() {
    on_both(async |authority| {
        authority.sign_in(USER).await;
        // Nothing ends while the test looks.
        let first = authority.users(OPERATOR).erase_user(erase(USER)).await;
        let first = first.expect("erased").into_inner();
        let again = authority.users(ADMIN).erase_user(erase(USER)).await;
        let again = again.expect("erased").into_inner();
        let (first, again) = (first.erasure.expect("one"), again.erasure.expect("one"));
        assert_eq!(first.id, again.id);

        let enable = v1::EnableUserRequest {
            tenant_id: TENANT.into(),
            user_id: USER.into(),
            reason: "x".into(),
            ..Default::default()
        };
        let enabled = authority.users(ADMIN).enable_user(enable).await;
        assert_eq!(reason(&enabled.expect_err("refused")), "USER_NOT_FOUND");
        let refused = authority
            .sessions(LOGIN)
            .create_session(sign_in(USER))
            .await;
        assert_eq!(reason(&refused.expect_err("refused")), "USER_DISABLED");

        ended(&authority, &first.id).await;
        assert_eq!(everywhere::find(&authority, &[USER]).await, []);
        // It is there once, however many calls began it.
        assert_eq!(events(&authority, "user.erase").await.len(), 1);
        assert_eq!(verify(&authority).await.erased.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_erasure_goes_on_after_a_restart() {
    let mut authority = TestAuthority::with(|config| {
        config.sessions.erasure_settle = Duration::from_secs(1);
    })
    .await;
    authority.sign_in(USER).await;
    let begun = authority.users(ADMIN).erase_user(erase(USER)).await;
    let begun = begun.expect("erased").into_inner().erasure.expect("one");
    authority.stop().await;
    // As if the process had ended before it removed anything: an old row comes back.
    behind(
        &authority,
        "INSERT INTO user_history SELECT tenant_id, user_id, 1, 'zzdevice', 1, 1, '[]' FROM erasures RETURNING value",
    )
    .await;
    authority.start().await;
    ended(&authority, &begun.id).await;
    assert_eq!(everywhere::find(&authority, &[USER, "zzdevice"]).await, []);
    verify(&authority).await;
}

#[tokio::test]
async fn a_preview_erases_nothing_and_names_a_wrong_id() {
    on_both(async |authority| {
        authority.sign_in(USER).await;
        let preview = v1::EraseUserRequest {
            validate_only: true,
            reason: String::new(),
            ..erase(USER)
        };
        let shown = authority.users(ADMIN).erase_user(preview.clone()).await;
        let shown = shown.expect("a preview").into_inner();
        assert_eq!(shown.preview.expect("a preview").sessions, 1);
        assert_eq!((shown.erasure, shown.enforcement), (None, None));
        let found = everywhere::find(&authority, &[USER]).await;
        assert!(found.iter().any(|(table, _)| table == "sessions"));

        let wrong = v1::EraseUserRequest {
            user_id: "nobody".into(),
            ..preview
        };
        let wrong = authority.users(ADMIN).erase_user(wrong).await;
        assert_eq!(reason(&wrong.expect_err("unknown")), "USER_NOT_FOUND");
        assert_eq!(events(&authority, "user.erase").await, []);
    })
    .await;
}

#[tokio::test]
async fn only_administrators_and_operators_erase_and_no_reason_names_the_user() {
    let authority = TestAuthority::sqlite().await;
    authority
        .sessions(LOGIN)
        .create_session(sign_in_of_canary())
        .await
        .expect("signed in");
    for bearer in [LOGIN, SUPPORT, GATEWAY, OTHER_ADMIN] {
        let denied = authority.users(bearer).erase_user(erase(USER)).await;
        let denied = denied.expect_err("denied");
        assert_eq!(denied.code(), Code::PermissionDenied, "{bearer}");
    }
    let reasons = [
        "asked by zzmail@canary.example",
        "erase ZZCANARY-USER",
        "Zzfamily asked",
        "",
    ];
    for reason in reasons {
        let request = v1::EraseUserRequest {
            reason: reason.into(),
            ..erase(USER)
        };
        let refused = authority.users(ADMIN).erase_user(request).await;
        let refused = refused.expect_err("a reason");
        assert_eq!(violations(&refused).len(), 1, "{reason}: {refused:?}");
        assert!(violations(&refused)[0].starts_with("reason"), "{refused:?}");
    }
    assert_eq!(events(&authority, "user.erase").await, []);
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_for_everybody_and_the_trail_verifies() {
    on_both(async |authority| {
        leave_traces(&authority).await;
        let elsewhere = v1::CreateSessionRequest {
            tenant_id: "elsewhere".into(),
            ..sign_in("kept")
        };
        let elsewhere = authority.sessions(LOGIN).create_session(elsewhere).await;
        let elsewhere = elsewhere.expect("signed in").into_inner();
        let delete = v1::DeleteTenantRequest {
            tenant_id: TENANT.into(),
            reason: "the contract ended".into(),
            ..Default::default()
        };
        let forced = v1::DeleteTenantRequest {
            force: true,
            ..delete.clone()
        };
        for bearer in [ADMIN, SUPPORT, LOGIN, OTHER_ADMIN] {
            let denied = authority
                .tenants(bearer)
                .delete_tenant(forced.clone())
                .await;
            let denied = denied.expect_err("denied");
            assert_eq!(denied.code(), Code::PermissionDenied, "{bearer}");
        }
        let mut operator = authority.tenants(OPERATOR);
        let unforced = operator.delete_tenant(delete.clone()).await;
        assert_eq!(reason(&unforced.expect_err("unforced")), "FORCE_REQUIRED");
        let preview = v1::DeleteTenantRequest {
            validate_only: true,
            ..delete
        };
        let preview = operator.delete_tenant(preview).await;
        let preview = preview.expect("a preview").into_inner().preview;
        let preview = preview.expect("a preview");
        assert_eq!((preview.sessions, preview.sample), (1, Vec::new()));

        let begun = operator.delete_tenant(forced.clone()).await;
        let begun = begun.expect("deleted").into_inner();
        assert_eq!(begun.sessions_ended, 1);
        let again = operator.delete_tenant(forced).await;
        let again = again.expect("deleted").into_inner().erasure;
        let erasure = begun.erasure.expect("an erasure");
        assert_eq!(again.expect("an erasure").id, erasure.id);
        let refused = authority
            .sessions(LOGIN)
            .create_session(sign_in("new"))
            .await;
        assert_eq!(reason(&refused.expect_err("refused")), "USER_DISABLED");

        let end = async || {
            let request = v1::ListAuditEventsRequest {
                action: "tenant.deleted".into(),
                ..Default::default()
            };
            let listed = authority.audit(OPERATOR).list_audit_events(request).await;
            let events = listed.expect("a list").into_inner().events;
            events.into_iter().find(|event| event.target == erasure.id)
        };
        eventually("the deletion ends", end).await;
        assert_eq!(everywhere::find(&authority, &MARKS).await, []);
        // Rows of the trail keep their tenant, and the event of the deletion names it.
        for (table, _) in everywhere::find(&authority, &[TENANT]).await {
            assert_eq!(table, "audit_events");
        }
        verify(&authority).await;
        let get = v1::GetSessionRequest {
            tenant_id: "elsewhere".into(),
            session_id: session_id(&elsewhere),
        };
        authority
            .sessions(ADMIN)
            .get_session(get)
            .await
            .expect("kept");
        authority.sign_in("new").await;
    })
    .await;
}

async fn export(authority: &TestAuthority, page_size: i32) -> Vec<v1::ExportedRecord> {
    let mut request = v1::ExportUserRequest {
        tenant_id: TENANT.into(),
        user_id: USER.into(),
        page_size,
        page_token: String::new(),
    };
    let mut records = Vec::new();
    loop {
        let page = authority.users(ADMIN).export_user(request.clone()).await;
        let page = page.expect("a page").into_inner();
        assert!(page.records.len() <= usize::try_from(page_size).expect("a size"));
        records.extend(page.records);
        if page.next_page_token.is_empty() {
            return records;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn an_export_has_everything_that_an_erasure_removes_whatever_the_size_of_its_pages() {
    on_both(async |authority| {
        leave_traces(&authority).await;
        let other = v1::ExportUserRequest {
            tenant_id: TENANT.into(),
            user_id: "nobody".into(),
            ..Default::default()
        };
        let unknown = authority.users(ADMIN).export_user(other).await;
        assert_eq!(reason(&unknown.expect_err("unknown")), "USER_NOT_FOUND");

        let recorded = "SELECT 'waiting' FROM audit_outbox";
        let is_recorded = async || behind(&authority, recorded).await.is_none().then_some(());
        eventually("the outbox is empty", is_recorded).await;
        let complete = async || {
            let records = export(&authority, 200).await;
            let text = format!("{records:?}");
            MARKS
                .iter()
                .all(|mark| text.contains(mark))
                .then_some(records)
        };
        let records = eventually("every mark is exported", complete).await;
        for kind in [
            v1::ExportedKind::User,
            v1::ExportedKind::Policy,
            v1::ExportedKind::Session,
            v1::ExportedKind::KnownSignIn,
            v1::ExportedKind::ApiKey,
            v1::ExportedKind::EventAbout,
            v1::ExportedKind::EventBy,
        ] {
            let found = records.iter().any(|record| record.kind() == kind);
            assert!(found, "{kind:?}");
        }
        // The key of refresh tokens is a secret, and says nothing about the person.
        assert!(
            records
                .iter()
                .all(|record| !record.fields.contains_key("salt"))
        );
        assert_eq!(export(&authority, 1).await, records);

        let denied = v1::ExportUserRequest {
            tenant_id: TENANT.into(),
            user_id: USER.into(),
            ..Default::default()
        };
        for bearer in [LOGIN, SUPPORT, GATEWAY, OPERATOR, OTHER_ADMIN] {
            let denied = authority.users(bearer).export_user(denied.clone()).await;
            let denied = denied.expect_err("denied");
            assert_eq!(denied.code(), Code::PermissionDenied, "{bearer}");
        }
        let forged = v1::ExportUserRequest {
            page_token: "forged".into(),
            ..denied
        };
        let forged = authority.users(ADMIN).export_user(forged).await;
        assert_eq!(reason(&forged.expect_err("forged")), "PAGE_TOKEN_INVALID");
    })
    .await;
}
