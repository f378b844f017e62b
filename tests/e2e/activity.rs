//! Use of sessions: from requests at a gate to rows, and what becomes of sessions that nobody uses.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_authority::{
    config::Config,
    domain::{Policy, policy::Limits},
};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, AUDIENCE, GATEWAY, ISSUER, LOGIN, SUPPORT, TENANT, TestAuthority, ready, reason,
        session_id, sign_in, violations,
    },
    example_gateway::{serve_demo, shipped_rules},
    gate::refused,
    postgres::{fresh_schema, fresh_url, shared},
    rows::{behind, set_policy_behind},
    serve::Serve,
    wait::eventually,
};
use portcullis_validator::{Access, Rejection, RequestInfo, Rule, Validator};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How often gates report and authorities sweep here.
const OFTEN: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn sweep_often(config: &mut Config) {
    config.sessions.sweep_interval = OFTEN;
    config.sessions.activity_delay_max = Duration::from_secs(1);
}

/// An authority on each store.
async fn authorities() -> [TestAuthority; 2] {
    let url = fresh_url().await;
    let on_postgres = |config: &mut Config| {
        sweep_often(config);
        config.store.url = url;
    };
    [
        TestAuthority::with(sweep_often).await,
        TestAuthority::with(on_postgres).await,
    ]
}

async fn gate(authority: &TestAuthority) -> Validator {
    ready(authority.gate().activity_interval(OFTEN)).await
}

/// The only session of `user`: requests, last address and last page.
async fn used(authority: &TestAuthority, user: &str) -> String {
    let sql = format!(
        "SELECT CAST(actions AS TEXT) || ' ' || active_ip || ' ' || active_page FROM sessions WHERE user_id = '{user}'"
    );
    behind(authority, &sql).await.expect("a session")
}

async fn session(authority: &TestAuthority, created: &v1::CreateSessionResponse) -> v1::Session {
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(created),
    };
    authority
        .sessions(SUPPORT)
        .get_session(request)
        .await
        .expect("a session")
        .into_inner()
        .session
        .expect("a session")
}

async fn long_session(
    authority: &TestAuthority,
    user: &str,
    acr: &str,
) -> v1::CreateSessionResponse {
    let request = v1::CreateSessionRequest {
        remember_me: true,
        acr: acr.into(),
        ..sign_in(user)
    };
    authority
        .sessions(LOGIN)
        .create_session(request)
        .await
        .expect("a sign-in")
        .into_inner()
}

fn policy(change: impl FnOnce(&mut Limits)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy.limits);
    policy
}

#[tokio::test]
async fn requests_that_a_gate_admits_are_use_of_the_session() {
    for authority in authorities().await {
        set_policy_behind(
            &authority,
            TENANT,
            &Policy {
                keep_last_page: true,
                ..Policy::default()
            },
        )
        .await;
        let gate = gate(&authority).await;
        let (ada, bob) = (
            authority.sign_in("ada").await,
            authority.sign_in("bob").await,
        );
        let before = behind(
            &authority,
            "SELECT CAST(active_us AS TEXT) FROM sessions WHERE user_id = 'ada'",
        )
        .await;
        for _ in 0..4 {
            gate.check(&ada.access_token).expect("admitted");
        }
        let last = RequestInfo {
            ip: Some([10, 0, 0, 7].into()),
            page: Some("/orders?card=4111"),
            ..RequestInfo::default()
        };
        gate.check_request(&ada.access_token, &last)
            .expect("admitted");
        assert!(gate.check(&(ada.access_token + "x")).is_err());
        let reported =
            async || (used(&authority, "ada").await == "5 10.0.0.7 /orders").then_some(());
        eventually("the use of ada's session", reported).await;
        let after = behind(
            &authority,
            "SELECT CAST(active_us AS TEXT) FROM sessions WHERE user_id = 'ada'",
        )
        .await;
        assert!(after > before, "{after:?} after {before:?}");
        assert_eq!(used(&authority, "bob").await, "0  ", "bob did nothing");

        let refresh = v1::RefreshSessionRequest {
            tenant_id: TENANT.into(),
            refresh_token: bob.refresh_token,
            ..Default::default()
        };
        let refreshed = authority
            .sessions(LOGIN)
            .refresh_session(refresh)
            .await
            .expect("renewed")
            .into_inner();
        let untouched =
            "SELECT 'untouched' FROM sessions WHERE user_id = 'bob' AND active_us = created_us";
        assert!(
            behind(&authority, untouched).await.is_some(),
            "a refresh is no use"
        );
        for token in [&bob.access_token, &refreshed.access_token] {
            gate.check(token).expect("admitted");
        }
        let both = async || (used(&authority, "bob").await == "2  ").then_some(());
        eventually("two tokens of one session", both).await;
        let counts = eventually("the counts of the gate", async || {
            let statistics = gate.statistics();
            (statistics.activity_reported == 7).then_some(statistics)
        });
        let counts = counts.await;
        assert_eq!(
            (counts.activity_dropped, counts.verdicts.accepted()),
            (0, 7)
        );
    }
}

/// A request of the session that the gateway admits, with more headers.
async fn admitted(gateway: SocketAddr, session: &v1::CreateSessionResponse, headers: &str) {
    let mut stream = TcpStream::connect(gateway).await.expect("connects");
    let token = &session.access_token;
    let request = format!(
        "GET /whoami?secret=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("received");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test]
async fn requests_in_the_background_are_admitted_and_are_no_use() {
    for authority in authorities().await {
        let gate = gate(&authority).await;
        let mut rules = shipped_rules();
        let mut polls = Rule::new("/whoami", Access::Session);
        polls.background = true;
        rules.rules.push(polls);
        let gateway = serve_demo(&gate, &rules).await;
        let ada = authority.sign_in("ada").await;
        let poll = RequestInfo {
            ip: Some([10, 0, 0, 7].into()),
            page: Some("/poll"),
            background: true,
            ..RequestInfo::default()
        };
        for _ in 0..3 {
            gate.check_request(&ada.access_token, &poll)
                .expect("admitted");
            admitted(gateway, &ada, "").await;
        }
        assert_eq!(gate.statistics().activity_tracked, 0);
        // Reported after all polls, so they would be in the same report.
        gate.check(&ada.access_token).expect("admitted");
        let reported = async || (gate.statistics().activity_reported > 0).then_some(());
        eventually("a report", reported).await;
        assert_eq!(used(&authority, "ada").await, "1  ");
        assert_eq!(gate.statistics().verdicts.accepted(), 7);
    }
}

#[tokio::test]
async fn the_gateway_believes_only_trusted_proxies_about_addresses() {
    let authority = TestAuthority::with(sweep_often).await;
    let gate = gate(&authority).await;
    let told = "X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-For: 198.51.100.7:4711, 10.0.0.9\r\n";
    for (user, trusted, expected) in [
        ("ada", vec![], "127.0.0.1"),
        ("bob", vec!["10.0.0.0/8"], "127.0.0.1"),
        ("cyd", vec!["127.0.0.0/8"], "10.0.0.9"),
        ("dan", vec!["127.0.0.0/8", "10.0.0.0/8"], "198.51.100.7"),
    ] {
        let mut rules = shipped_rules();
        rules.trusted_proxies = trusted.into_iter().map(str::to_owned).collect();
        let gateway = serve_demo(&gate, &rules).await;
        let session = authority.sign_in(user).await;
        admitted(gateway, &session, told).await;
        let expected = format!("1 {expected} ");
        let reported = async || (used(&authority, user).await == expected).then_some(());
        eventually(&format!("{user} at {expected}"), reported).await;
    }
}

#[tokio::test]
async fn the_gateway_tells_address_and_path_and_never_the_query() {
    let authority = TestAuthority::with(sweep_often).await;
    set_policy_behind(
        &authority,
        TENANT,
        &Policy {
            keep_last_page: true,
            ..Policy::default()
        },
    )
    .await;
    let gate = gate(&authority).await;
    let ada = authority.sign_in("ada").await;
    let gateway = serve_demo(&gate, &shipped_rules()).await;
    admitted(gateway, &ada, "").await;
    let reported = async || (used(&authority, "ada").await == "1 127.0.0.1 /whoami").then_some(());
    eventually("address and path", reported).await;

    let shown = session(&authority, &ada).await;
    assert_eq!(
        (
            shown.actions,
            shown.last_page.as_str(),
            shown.last_ip.as_str()
        ),
        (1, "/whoami", "127.0.0.1")
    );
    assert_eq!(shown.activity(), v1::ActivityStatus::ActiveNow);
    let earlier = "UPDATE sessions SET active_us = active_us - 600000000, created_us = created_us - 600000000";
    behind(&authority, earlier).await;
    let shown = session(&authority, &ada).await;
    assert_eq!(shown.activity(), v1::ActivityStatus::Idle);
    assert!((600..900).contains(&shown.idle.expect("how long").seconds));
}

#[tokio::test]
async fn an_authority_that_hangs_delays_no_request_and_hears_of_all_in_the_end() {
    let schema = fresh_schema().await;
    let serve = Serve::start("info", |config| config.store.url.clone_from(&schema.url)).await;
    let builder = Validator::builder(serve.endpoint())
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE);
    let gate = ready(builder.activity_interval(OFTEN).best_effort(HOUR)).await;
    let mut sessions =
        v1::session_service_client::SessionServiceClient::new(serve.transport(LOGIN));
    let ada = sessions
        .create_session(sign_in("ada"))
        .await
        .expect("a sign-in")
        .into_inner();
    let count = async || {
        let sql = format!("SELECT actions FROM {}.sessions", schema.name);
        shared().await.admin().await.text(&sql).await
    };
    gate.check(&ada.access_token).expect("admitted");
    eventually("the first use", async || {
        (count().await == "1").then_some(())
    })
    .await;

    serve.hang().await;
    let (mut checks, mut slowest, begun) = (1, Duration::ZERO, Instant::now());
    // Long enough for reports to hang, and to be given up.
    while begun.elapsed() < Duration::from_secs(7) {
        let check = Instant::now();
        gate.check(&ada.access_token)
            .expect("admitted, for it is best effort");
        slowest = slowest.max(check.elapsed());
        checks += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    serve.go_on();
    // A check that waited for the authority would take until its report is given up: seconds.
    assert!(slowest < Duration::from_secs(2), "a check took {slowest:?}");
    // A report whose answer was lost may be counted twice, and none is lost.
    let heard = async || {
        count()
            .await
            .parse::<u64>()
            .ok()
            .filter(|heard| *heard >= checks)
    };
    eventually("all uses", heard).await;
}

#[tokio::test]
async fn beyond_the_bound_use_is_counted_as_dropped_until_there_is_room() {
    let authority = TestAuthority::with(sweep_often).await;
    let bounded = authority
        .gate()
        .activity_interval(OFTEN)
        .activity_tokens_max(2)
        .cached_tokens_max(1);
    let gate = ready(bounded).await;
    let users = ["ada", "bob", "eve", "joe"];
    let mut tokens = Vec::new();
    for user in users {
        tokens.push(authority.sign_in(user).await.access_token);
    }
    for token in &tokens {
        gate.check(token).expect("admitted");
    }
    let statistics = gate.statistics();
    assert_eq!(
        (statistics.activity_tracked, statistics.activity_dropped),
        (2, 2)
    );
    let room = async || (gate.statistics().activity_tracked < 2).then_some(());
    eventually("room", room).await;
    let heard = async || {
        gate.check(&tokens[3]).expect("admitted");
        (!used(&authority, "joe").await.starts_with("0 ")).then_some(())
    };
    eventually("the use of joe's session", heard).await;
    assert!(
        used(&authority, "eve").await.starts_with("0 "),
        "it was dropped"
    );
}

#[tokio::test]
async fn a_gate_that_is_told_not_to_reports_nothing() {
    let authority = TestAuthority::with(sweep_often).await;
    let (silent, other) = (
        ready(authority.gate().without_activity()).await,
        gate(&authority).await,
    );
    let (ada, bob) = (
        authority.sign_in("ada").await,
        authority.sign_in("bob").await,
    );
    silent.check(&ada.access_token).expect("admitted");
    other.check(&bob.access_token).expect("admitted");
    eventually("the other's report", async || {
        used(&authority, "bob")
            .await
            .starts_with("1 ")
            .then_some(())
    })
    .await;
    assert_eq!(used(&authority, "ada").await, "0  ");
    let statistics = silent.statistics();
    assert_eq!(
        (
            statistics.activity_tracked,
            statistics.activity_reported,
            statistics.activity_dropped
        ),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn a_report_with_a_bad_entry_records_the_others_and_names_it() {
    let authority = TestAuthority::with(sweep_often).await;
    let ada = authority.sign_in("ada").await;
    let good = v1::Activity {
        tenant_id: TENANT.into(),
        credential_id: session_id(&ada),
        requests: 1,
        age: Some(prost_types::Duration {
            seconds: 0,
            nanos: 0,
        }),
        ip: "10.0.0.1".into(),
        last_page: "/".into(),
    };
    let mut gateway = authority.revocations(GATEWAY);
    let cases = [
        (
            v1::Activity {
                tenant_id: String::new(),
                ..good.clone()
            },
            "activities[1].tenant_id",
        ),
        (
            v1::Activity {
                credential_id: "ses_x".into(),
                ..good.clone()
            },
            "activities[1].credential_id",
        ),
        (
            v1::Activity {
                age: Some(prost_types::Duration {
                    seconds: -1,
                    nanos: 0,
                }),
                ..good.clone()
            },
            "activities[1].age",
        ),
        (
            v1::Activity {
                requests: u32::MAX,
                ..good.clone()
            },
            "activities[1].requests",
        ),
    ];
    for (count, (bad, field)) in (1_u32..).zip(cases) {
        let report = v1::ReportActivityRequest {
            activities: vec![good.clone(), bad],
            ..Default::default()
        };
        let answer = gateway.report_activity(report).await.expect(field);
        let answer = answer.into_inner();
        let named: Vec<_> = answer
            .refusals
            .iter()
            .map(|refusal| format!("activities[{}].{}", refusal.index, refusal.field))
            .collect();
        assert_eq!((answer.refused, named), (1, vec![field.to_owned()]));
        let expected = format!("{count} 10.0.0.1 ");
        assert_eq!(used(&authority, "ada").await, expected);
    }
    let report = v1::ReportActivityRequest {
        activities: vec![good; 10_001],
        ..Default::default()
    };
    assert_eq!(
        reason(&gateway.report_activity(report).await.expect_err("too many")),
        "INVALID_FIELD"
    );
}

#[tokio::test]
async fn an_idle_session_ends_and_a_session_in_use_does_not() {
    for authority in authorities().await {
        // Asking whether a session has ended is use of it, but for a gate that does not report.
        let (gate, silent) = (
            Arc::new(gate(&authority).await),
            ready(authority.gate().without_activity()).await,
        );
        set_policy_behind(
            &authority,
            TENANT,
            &policy(|limits| limits.idle_timeout = Some(Duration::from_secs(5))),
        )
        .await;
        let idle = authority.sign_in("idle").await;
        let in_use = authority.sign_in("in use").await;
        set_policy_behind(
            &authority,
            TENANT,
            &policy(|limits| limits.idle_timeout = Some(Duration::from_secs(5))),
        )
        .await;
        gate.check(&idle.access_token).expect("admitted");
        let user = tokio::spawn({
            let (gate, token) = (Arc::clone(&gate), in_use.access_token.clone());
            async move {
                while gate.check(&token).is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        assert_eq!(
            refused(&silent, &idle.access_token).await,
            Rejection::Revoked
        );
        assert!(!user.is_finished(), "it was used all the time");
        user.abort();
        let ended = session(&authority, &idle).await;
        let end = ended.end.clone().expect("an end");
        assert_eq!(
            (ended.state(), end.cause()),
            (v1::SessionState::Revoked, v1::SessionEndCause::Idle)
        );
        assert_eq!(
            (end.actor.as_str(), end.reason.as_str()),
            ("authority", "idle for the policy's timeout")
        );
        assert_eq!(
            session(&authority, &in_use).await.state(),
            v1::SessionState::Active
        );
        let not_due = "SELECT 'never' FROM sessions WHERE user_id = 'idle' AND due_us IS NULL";
        eventually("it is not looked at again", async || {
            behind(&authority, not_due).await
        })
        .await;
    }
}

#[tokio::test]
async fn time_without_an_authority_is_not_idleness() {
    for mut authority in authorities().await {
        let gate = gate(&authority).await;
        let ada = long_session(&authority, "ada", "").await;
        gate.check(&ada.access_token).expect("admitted");
        // Else the gate would tell of it later, and the session would not be idle.
        let heard = async || (session(&authority, &ada).await.actions == 1).then_some(());
        eventually("the gate's report", heard).await;
        authority.stop().await;
        let hours = |hours: i64| hours * 3_600_000_000;
        // Eight days pass without an authority: more than the idle timeout.
        let past = format!(
            "UPDATE sessions SET created_us = created_us - {0}, active_us = active_us - {0}, due_us = 1",
            hours(192)
        );
        behind(&authority, &past).await;
        behind(
            &authority,
            &format!(
                "UPDATE installation SET heard_us = heard_us - {}",
                hours(192)
            ),
        )
        .await;
        authority.start().await;
        let looked_at = "SELECT 'later' FROM sessions WHERE due_us > 1";
        eventually("the sweep to look at the session", async || {
            behind(&authority, looked_at).await
        })
        .await;
        assert_eq!(
            session(&authority, &ada).await.state(),
            v1::SessionState::Active
        );

        // Had one been there all the time, it would have been idle.
        behind(&authority, "UPDATE installation SET resumed_us = 1").await;
        // Not by asking the gate again and again: what it admits meanwhile is use.
        let end = eventually("the end", async || {
            // Each time: a sweep that began before `resumed_us` changed postpones the session by days.
            behind(&authority, "UPDATE sessions SET due_us = 1").await;
            session(&authority, &ada).await.end
        })
        .await;
        assert_eq!(end.cause(), v1::SessionEndCause::Idle);
        assert_eq!(refused(&gate, &ada.access_token).await, Rejection::Revoked);
    }
}

#[tokio::test]
async fn a_tightened_policy_ends_the_sessions_that_are_past_it_and_no_others() {
    for authority in authorities().await {
        let gate = gate(&authority).await;
        let (one, two) = (
            long_session(&authority, "ada", "").await,
            long_session(&authority, "ada", "aal2").await,
        );
        set_policy_behind(
            &authority,
            "another",
            &policy(|limits| limits.required_acr = vec!["aal3".into()]),
        )
        .await;
        set_policy_behind(
            &authority,
            TENANT,
            &policy(|limits| limits.required_acr = vec!["aal2".into()]),
        )
        .await;
        assert_eq!(refused(&gate, &one.access_token).await, Rejection::Revoked);
        let end = session(&authority, &one).await.end.expect("an end");
        assert_eq!(
            (end.cause(), end.actor.as_str()),
            (v1::SessionEndCause::Policy, "authority")
        );
        assert!(
            end.reason.contains("authentication context class"),
            "{}",
            end.reason
        );
        let walked = "SELECT 'no' FROM policies WHERE sweep_from IS NOT NULL";
        let done = async || behind(&authority, walked).await.is_none().then_some(());
        eventually("all sessions to be looked at", done).await;
        gate.check(&two.access_token)
            .expect("it has what the policy requires");

        set_policy_behind(
            &authority,
            TENANT,
            &policy(|limits| limits.session_lifetime_max = DAY),
        )
        .await;
        eventually("all sessions to be looked at", done).await;
        let due = "SELECT 'due' FROM sessions WHERE end_event IS NULL AND due_us - created_us = 86400000000";
        assert!(
            behind(&authority, due).await.is_some(),
            "it is looked at when it is as old as it may be"
        );
        behind(
            &authority,
            "UPDATE sessions SET created_us = created_us - 86400000000, due_us = 1",
        )
        .await;
        assert_eq!(refused(&gate, &two.access_token).await, Rejection::Revoked);
        assert_eq!(
            session(&authority, &two).await.end.expect("an end").cause(),
            v1::SessionEndCause::Policy
        );
    }
}

#[tokio::test]
async fn authorities_that_sweep_at_once_end_each_session_once() {
    let url = fresh_url().await;
    let authority = TestAuthority::with(|config| {
        sweep_often(config);
        config.store.url = url;
    })
    .await;
    let others = [authority.replica().await, authority.replica().await];
    let mut created = Vec::new();
    for number in 0..30 {
        created.push(long_session(&others[number % 2], &format!("user {number}"), "").await);
    }
    let gate = gate(&authority).await;
    set_policy_behind(
        &authority,
        TENANT,
        &policy(|limits| limits.required_acr = vec!["aal2".into()]),
    )
    .await;
    for created in &created {
        assert_eq!(
            refused(&gate, &created.access_token).await,
            Rejection::Revoked
        );
    }
    let walked = "SELECT 'no' FROM policies WHERE sweep_from IS NOT NULL";
    eventually("the walk to end", async || {
        behind(&authority, walked).await.is_none().then_some(())
    })
    .await;
    let trail = "SELECT count(*) || ' of ' || count(DISTINCT target) FROM audit_events WHERE action = 'session.revoke'";
    assert_eq!(behind(&authority, trail).await.as_deref(), Some("30 of 30"));
    let listed = v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        show_ended: true,
        page_size: 100,
        ..Default::default()
    };
    let listed = authority
        .sessions(ADMIN)
        .list_sessions(listed)
        .await
        .expect("a list")
        .into_inner()
        .sessions;
    assert_eq!(listed.len(), 30);
    assert!(
        listed
            .iter()
            .all(|session| session.state() == v1::SessionState::Revoked)
    );
}

/// What a gate without a validator asks about a token.
fn question(
    created: &v1::CreateSessionResponse,
    token_use: v1::TokenUse,
) -> v1::IntrospectTokenRequest {
    v1::IntrospectTokenRequest {
        tenant_id: TENANT.into(),
        token: created.access_token.clone(),
        token_use: token_use.into(),
        ..Default::default()
    }
}

async fn ask(
    authority: &TestAuthority,
    bearer: &str,
    question: v1::IntrospectTokenRequest,
) -> Result<bool, tonic::Status> {
    let mut sessions = authority.sessions(bearer);
    let answer = sessions.introspect_token(question).await?;
    Ok(answer.into_inner().active)
}

/// Waits until all uses so far are recorded: uses are recorded in their order, so that of a further session comes last.
async fn all_recorded(authority: &TestAuthority, round: u32) {
    let user = format!("last{round}");
    let last = authority.sign_in(&user).await;
    let asked = ask(authority, GATEWAY, question(&last, v1::TokenUse::Request)).await;
    assert!(asked.expect("an answer"));
    eventually("the last use is recorded", async || {
        (used(authority, &user).await == "1  ").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_introspection_is_use_when_the_caller_says_that_it_serves_a_request() {
    use v1::TokenUse::{None, Request, Unspecified};
    let [on_sqlite, on_postgres] = authorities().await;
    for authority in [on_sqlite, on_postgres] {
        let cases = [
            (GATEWAY, Unspecified, 1),
            (GATEWAY, Request, 1),
            (GATEWAY, None, 0),
            (SUPPORT, Unspecified, 0),
            (SUPPORT, Request, 1),
            (SUPPORT, None, 0),
            (ADMIN, Unspecified, 0),
            (ADMIN, Request, 1),
        ];
        let mut asked = Vec::new();
        for (case, (bearer, token_use, expected)) in cases.into_iter().enumerate() {
            let user = format!("user{case}");
            let created = authority.sign_in(&user).await;
            for _ in 0..3 {
                let answer = ask(&authority, bearer, question(&created, token_use)).await;
                assert!(answer.expect("an answer"));
            }
            asked.push((user, 3 * expected));
        }
        // A token that admits nobody serves no request.
        let ended = authority.sign_in("ended").await;
        let mut sessions = authority.sessions(&ended.access_token);
        let own = v1::RevokeSessionRequest::default();
        sessions.revoke_session(own).await.expect("signed out");
        let answer = ask(&authority, GATEWAY, question(&ended, Request)).await;
        assert!(!answer.expect("an answer"));
        asked.push(("ended".to_owned(), 0));
        // Nor does one of another tenant.
        let foreign = authority.sign_in("foreign").await;
        let elsewhere = v1::IntrospectTokenRequest {
            tenant_id: "other".into(),
            ..question(&foreign, Request)
        };
        let answer = ask(&authority, GATEWAY, elsewhere).await;
        assert!(!answer.expect("an answer"));
        // A user who asks is not a gate.
        for token_use in [Unspecified, None] {
            let answer = ask(
                &authority,
                &foreign.access_token,
                question(&foreign, token_use),
            );
            assert!(answer.await.expect("an answer"));
        }
        let refused = ask(
            &authority,
            &foreign.access_token,
            question(&foreign, Request),
        )
        .await;
        assert_eq!(violations(&refused.expect_err("a user")), ["token_use"]);
        asked.push(("foreign".to_owned(), 0));

        let unknown = v1::IntrospectTokenRequest {
            token_use: 77,
            ..question(&foreign, None)
        };
        let refused = ask(&authority, GATEWAY, unknown).await;
        assert_eq!(violations(&refused.expect_err("no use")), ["token_use"]);

        all_recorded(&authority, 0).await;
        for (user, expected) in asked {
            assert_eq!(
                used(&authority, &user).await,
                format!("{expected}  "),
                "{user}"
            );
        }
    }
}

#[tokio::test]
async fn an_introspection_says_from_where_and_which_page_and_never_refuses_for_it() {
    let keeps_page = Policy {
        keep_last_page: true,
        ..Policy::default()
    };
    for authority in authorities().await {
        set_policy_behind(&authority, TENANT, &keeps_page).await;
        let cases = [
            ("192.0.2.7", "/mail", "192.0.2.7 /mail"),
            ("2001:DB8::1", "/a?token=secret#x", "2001:db8::1 /a"),
            ("unknown", "/b", " /b"),
            ("192.0.2.7:4000", "", "192.0.2.7 "),
            ("::ffff:192.0.2.7", "", "192.0.2.7 "),
            ("192.0.2.7, 10.0.0.1", "", " "),
            ("", "/tab\there", " "),
            ("", &"x".repeat(513), " "),
        ];
        for (case, (client_ip, page, expected)) in (0..).zip(cases) {
            let user = format!("user{case}");
            let created = authority.sign_in(&user).await;
            let request = v1::IntrospectTokenRequest {
                client_ip: client_ip.into(),
                page: page.into(),
                ..question(&created, v1::TokenUse::Unspecified)
            };
            let answer = ask(&authority, GATEWAY, request).await;
            assert!(answer.expect("an answer"), "{client_ip:?} {page:?}");
            all_recorded(&authority, case).await;
            let expected = format!("1 {expected}");
            assert_eq!(
                used(&authority, &user).await,
                expected,
                "{client_ip:?} {page:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_user_of_a_gate_that_only_asks_stays_signed_in_while_in_use() {
    let idle_timeout = Duration::from_secs(2);
    let idle = policy(|limits| limits.idle_timeout = Some(idle_timeout));
    for authority in authorities().await {
        set_policy_behind(&authority, TENANT, &idle).await;
        let used = authority.sign_in("ada").await;
        let looked_at = authority.sign_in("bob").await;
        // Until the session that is only looked at has ended, and as long again.
        let begun = Instant::now();
        let ended = eventually("the other one ends", async || {
            let served = question(&used, v1::TokenUse::Unspecified);
            assert!(ask(&authority, GATEWAY, served).await.expect("an answer"));
            let seen = question(&looked_at, v1::TokenUse::None);
            let is_active = ask(&authority, GATEWAY, seen).await.expect("an answer");
            (!is_active).then(|| begun.elapsed())
        })
        .await;
        assert!(ended >= idle_timeout);
        eventually("as long again", async || {
            let served = question(&used, v1::TokenUse::Unspecified);
            assert!(ask(&authority, GATEWAY, served).await.expect("an answer"));
            (begun.elapsed() > 2 * ended).then_some(())
        })
        .await;
        let end = session(&authority, &looked_at).await.end.expect("an end");
        assert_eq!(end.cause(), v1::SessionEndCause::Idle);
    }
}

/// A clean end records what waits.
#[tokio::test]
async fn uses_that_wait_are_recorded_before_the_authority_ends() {
    let mut authority = TestAuthority::sqlite().await;
    let created = authority.sign_in("ada").await;
    for _ in 0..5 {
        let served = question(&created, v1::TokenUse::Unspecified);
        assert!(ask(&authority, GATEWAY, served).await.expect("an answer"));
    }
    authority.stop().await;
    assert_eq!(used(&authority, "ada").await, "5  ");
}
