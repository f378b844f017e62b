//! Refresh tokens that come again: lost answers, thieves, and thieves in step with their victims.

use std::time::Duration;

use portcullis_authority::config::Config;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, SUPPORT, TENANT, TestAuthority, ready, reason, session_id, sign_in},
    postgres::fresh_url,
    wait::eventually,
};
use portcullis_validator::Rejection;
use tonic::Status;

const OFTEN: Duration = Duration::from_millis(100);

/// An authority on each store, where everything that comes again comes after the grace.
async fn without_grace(change: fn(&mut Config)) -> [TestAuthority; 2] {
    let url = fresh_url().await;
    let set = move |config: &mut Config| {
        config.tokens.refresh_grace = Duration::ZERO;
        change(config);
    };
    [
        TestAuthority::with(set).await,
        TestAuthority::with(|config| {
            set(config);
            config.store.url = url;
        })
        .await,
    ]
}

/// An authority on each store, with the default grace.
async fn with_grace() -> [TestAuthority; 2] {
    [
        TestAuthority::sqlite().await,
        TestAuthority::postgres(&fresh_url().await).await,
    ]
}

fn client(ip: &str, device_id: &str) -> Option<v1::Client> {
    Some(v1::Client {
        ip: ip.into(),
        user_agent: "Firefox".into(),
        device_id: device_id.into(),
        ..Default::default()
    })
}

async fn refresh(
    authority: &TestAuthority,
    token: &str,
    client: Option<v1::Client>,
) -> Result<v1::RefreshSessionResponse, Status> {
    let request = v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token: token.into(),
        client,
        ..Default::default()
    };
    let refreshed = authority.sessions(LOGIN).refresh_session(request).await?;
    Ok(refreshed.into_inner())
}

async fn session(authority: &TestAuthority, created: &v1::CreateSessionResponse) -> v1::Session {
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(created),
    };
    let found = authority.sessions(SUPPORT).get_session(request).await;
    let found = found.expect("a session").into_inner();
    found.session.expect("a session")
}

/// Waits until a gate's report shows the session used after its last refresh.
async fn used_after_refresh(authority: &TestAuthority, created: &v1::CreateSessionResponse) {
    let used = async || {
        let session = session(authority, created).await;
        let time = |time: Option<prost_types::Timestamp>| {
            let time = time.expect("a time");
            (time.seconds, time.nanos)
        };
        (time(session.last_active_time) > time(session.refresh_time)).then_some(())
    };
    eventually("use after the refresh is recorded", used).await;
}

/// The events of shared tokens, once all events that were left before have reached the trail.
async fn shared_events(authority: &TestAuthority) -> Vec<v1::AuditEvent> {
    let marker = session_id(&authority.sign_in("marker").await);
    let list = async |action: &str| {
        let request = v1::ListAuditEventsRequest {
            tenant_id: TENANT.into(),
            action: action.into(),
            ..Default::default()
        };
        let listed = authority.audit(ADMIN).list_audit_events(request).await;
        listed.expect("a list").into_inner().events
    };
    let chained = async || {
        let opened = list("session.create").await;
        opened
            .iter()
            .any(|event| event.target == marker)
            .then_some(())
    };
    eventually("the trail has everything", chained).await;
    list("finding.refresh_token_shared").await
}

#[tokio::test]
async fn a_lost_answer_and_a_retry_after_the_grace_keep_the_session() {
    for authority in without_grace(|_| ()).await {
        let created = authority.sign_in("ada").await;
        let lost = refresh(&authority, &created.refresh_token, None).await;
        let lost = lost.expect("refreshed");

        let again = refresh(&authority, &created.refresh_token, None).await;
        let again = again.expect("the answer was lost");
        assert_eq!(again.refresh_token, lost.refresh_token);
        let next = refresh(&authority, &again.refresh_token, None).await;
        let next = next.expect("the successor is good");

        let theft = refresh(&authority, &created.refresh_token, None).await;
        let theft = theft.expect_err("its successor was presented");
        assert_eq!(reason(&theft), "REFRESH_TOKEN_REUSED");
        let over = refresh(&authority, &next.refresh_token, None).await;
        assert_eq!(reason(&over.expect_err("ended")), "SESSION_ENDED");
    }
}

#[tokio::test]
async fn use_by_an_access_token_of_before_is_no_sign_that_the_answer_arrived() {
    for authority in without_grace(|_| ()).await {
        let gate = ready(authority.gate().activity_interval(OFTEN)).await;
        let created = authority.sign_in("ada").await;
        let lost = refresh(&authority, &created.refresh_token, None).await;
        let lost = lost.expect("refreshed");
        gate.check(&created.access_token).expect("it lives on");
        used_after_refresh(&authority, &created).await;

        let again = refresh(&authority, &created.refresh_token, None).await;
        let again = again.expect("the answer was lost");
        assert_eq!(again.refresh_token, lost.refresh_token);
    }
}

#[tokio::test]
async fn an_old_token_after_its_successor_was_seen_at_a_gate_is_theft() {
    let short = |config: &mut Config| {
        // The successor must live until its use is recorded, also on a busy machine.
        config.tokens.access_token_lifetime = Duration::from_secs(8);
    };
    let found = without_grace(short).await.map(find_theft_by_use);
    futures::future::join_all(found).await;
}

async fn find_theft_by_use(authority: TestAuthority) {
    let gate = ready(authority.gate().activity_interval(OFTEN)).await;
    let created = authority.sign_in("ada").await;
    let expired = async || {
        let rejection = gate.check(&created.access_token).err();
        (rejection == Some(Rejection::Expired)).then_some(())
    };
    eventually("the first access token expires", expired).await;
    let next = refresh(&authority, &created.refresh_token, None).await;
    let next = next.expect("refreshed");
    // Tokens expire at whole seconds: use in a later second is by the successor. A gate refuses a token a moment before that
    // second, so the refresh may have come in the second before.
    let seconds = |time: Option<prost_types::Timestamp>| time.expect("a time").seconds;
    let expiry = seconds(created.access_token_expire_time);
    let used = async || {
        gate.check(&next.access_token).expect("the answer arrived");
        let session = session(&authority, &created).await;
        let least = seconds(session.refresh_time).max(expiry);
        (seconds(session.last_active_time) > least).then_some(())
    };
    eventually("use of the successor is recorded", used).await;

    let theft = refresh(&authority, &created.refresh_token, None).await;
    assert_eq!(reason(&theft.expect_err("a copy")), "REFRESH_TOKEN_REUSED");
}

#[tokio::test]
async fn a_thief_in_step_with_the_victim_is_found_once_for_each_token() {
    for authority in with_grace().await {
        let created = authority.sign_in("ada").await;
        let mut token = created.refresh_token.clone();
        for _ in 0..2 {
            let victim = refresh(&authority, &token, client("192.0.2.1", "phone")).await;
            let victim = victim.expect("refreshed");
            for device_id in ["laptop", "", "laptop"] {
                let thief = refresh(&authority, &token, client("203.0.113.9", device_id)).await;
                let thief = thief.expect("the policy says nothing");
                assert_eq!(thief.refresh_token, victim.refresh_token);
            }
            token = victim.refresh_token;
        }

        let shown = session(&authority, &created).await;
        assert_eq!(shown.state(), v1::SessionState::Active);
        let codes: Vec<_> = shown.findings.iter().map(v1::Finding::code).collect();
        assert!(
            codes.contains(&v1::FindingCode::RefreshTokenShared),
            "{codes:?}"
        );
        let events = shared_events(&authority).await;
        assert_eq!(events.len(), 2, "one for each token: {events:?}");
        for event in events {
            assert_eq!(event.target, session_id(&created));
            assert_eq!(event.details["differs"], "ip, device_id");
            assert_eq!(event.details["first_ip"], "192.0.2.1");
            assert_eq!(event.details["ip"], "203.0.113.9");
        }
    }
}

#[tokio::test]
async fn a_shared_token_ends_the_session_where_the_policy_says_so() {
    for authority in with_grace().await {
        let request = v1::GetPolicyRequest {
            tenant_id: TENANT.into(),
        };
        let policy = authority.tenants(ADMIN).get_policy(request).await;
        let policy = policy.expect("a policy").into_inner().policy;
        let request = v1::UpdatePolicyRequest {
            tenant_id: TENANT.into(),
            policy: policy.map(|policy| v1::Policy {
                end_on_shared_refresh_token: true,
                ..policy
            }),
            reason: "a test".into(),
            ..Default::default()
        };
        let updated = authority.tenants(ADMIN).update_policy(request).await;
        let updated = updated.expect("updated").into_inner().policy;
        assert!(updated.expect("a policy").end_on_shared_refresh_token);

        // An authority believes the policy that it read before for a second.
        let share = async || {
            let created = authority.sign_in("ada").await;
            let victim = client("192.0.2.1", "phone");
            let first = refresh(&authority, &created.refresh_token, victim.clone()).await;
            first.expect("refreshed");
            let tab = refresh(&authority, &created.refresh_token, victim).await;
            tab.expect("the same client");
            let thief = client("203.0.113.9", "laptop");
            let thief = refresh(&authority, &created.refresh_token, thief).await;
            thief.err().map(|refused| (created, refused))
        };
        let (created, refused) = eventually("the policy takes effect", share).await;
        assert_eq!(reason(&refused), "REFRESH_TOKEN_REUSED");
        let ended = session(&authority, &created).await;
        let end = ended.end.as_ref().expect("an end");
        assert_eq!(end.cause(), v1::SessionEndCause::RefreshTokenReused);
        let events = shared_events(&authority).await;
        assert!(
            events
                .iter()
                .any(|event| event.target == session_id(&created))
        );
    }
}

#[tokio::test]
async fn refreshes_without_client_information_are_not_compared() {
    for authority in with_grace().await {
        for (first, second) in [
            (None, client("203.0.113.9", "laptop")),
            (client("192.0.2.1", "phone"), None),
            (client("192.0.2.1", ""), client("", "phone")),
        ] {
            let request = v1::CreateSessionRequest {
                client: client("198.51.100.1", "tablet"),
                ..sign_in("ada")
            };
            let created = authority.sessions(LOGIN).create_session(request).await;
            let created = created.expect("opened").into_inner();
            let one = refresh(&authority, &created.refresh_token, first).await;
            let two = refresh(&authority, &created.refresh_token, second).await;
            assert_eq!(
                one.expect("refreshed").refresh_token,
                two.expect("another tab").refresh_token
            );
        }
        assert_eq!(shared_events(&authority).await, []);
    }
}

#[tokio::test]
async fn a_client_that_is_malformed_refreshes_and_is_told() {
    let authority = TestAuthority::sqlite().await;
    let created = authority.sign_in("ada").await;
    let refreshed = refresh(&authority, &created.refresh_token, client("300.1.1.1", "")).await;
    let warnings = refreshed.expect("refreshed").warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].field, "client.ip");
    assert!(
        !warnings[0].description.contains("300"),
        "no value is repeated"
    );
    assert!(session(&authority, &created).await.refresh_time.is_some());
}
