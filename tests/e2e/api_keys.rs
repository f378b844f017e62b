//! API keys over real sockets: made, admitted with what they may do, ended, and never taken for a session.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Extension, Router, routing::get};
use portcullis_contract::{token::ACCESS_TOKEN_BYTES_MAX, v1};
use portcullis_tests::{
    authority::{
        ADMIN, OPERATOR, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, ready, reason, violations,
    },
    gate::applied,
    given::{tenant, user},
    postgres,
    wait::{eventually, within},
};
use portcullis_validator::{
    Access, ApiKeyIdentity, Rejection, Rule, Rules, Validator, ValidatorLayer,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::{Code, Status};

async fn on_both(story: impl AsyncFn(TestAuthority)) {
    story(TestAuthority::sqlite().await).await;
    story(TestAuthority::postgres(&postgres::fresh_url().await).await).await;
}

fn request(owner: &str) -> v1::CreateApiKeyRequest {
    v1::CreateApiKeyRequest {
        tenant_id: TENANT.into(),
        owner_user_id: owner.into(),
        name: "nightly build".into(),
        scopes: vec!["read".into(), "write:all".into()],
        ..Default::default()
    }
}

async fn try_create(
    authority: &TestAuthority,
    request: v1::CreateApiKeyRequest,
) -> Result<(v1::ApiKey, String), Status> {
    let created = authority
        .api_keys(ADMIN)
        .create_api_key(request)
        .await?
        .into_inner();
    Ok((created.api_key.expect("a key"), created.secret))
}

async fn create(authority: &TestAuthority, owner: &str) -> (v1::ApiKey, String) {
    try_create(authority, request(owner)).await.expect("a key")
}

async fn find(authority: &TestAuthority, id: &str) -> Result<v1::GetApiKeyResponse, Status> {
    let request = v1::GetApiKeyRequest {
        tenant_id: TENANT.into(),
        api_key_id: id.into(),
    };
    authority
        .api_keys(SUPPORT)
        .get_api_key(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn state(authority: &TestAuthority, id: &str) -> v1::ApiKeyState {
    find(authority, id)
        .await
        .expect("a key")
        .api_key
        .expect("a key")
        .state()
}

async fn revoke(authority: &TestAuthority, id: &str) -> Result<v1::RevokeApiKeyResponse, Status> {
    let request = v1::RevokeApiKeyRequest {
        tenant_id: TENANT.into(),
        api_key_id: id.into(),
        ..Default::default()
    };
    authority
        .api_keys(ADMIN)
        .revoke_api_key(request)
        .await
        .map(tonic::Response::into_inner)
}

/// Waits until the gate refuses the key, and says why.
async fn refused(gate: &Validator, key: &str) -> Rejection {
    let mut position = gate.position();
    within("the gate to refuse the key", async {
        loop {
            if let Err(rejection) = gate.check_api_key(key) {
                return rejection;
            }
            position.changed().await.expect("the gate runs");
        }
    })
    .await
}

#[tokio::test]
async fn a_key_is_admitted_with_its_scopes_until_it_is_revoked() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let (key, secret) = create(&authority, "ada").await;
        assert_eq!(
            (key.tenant_id.as_str(), key.owner_user_id.as_str()),
            (TENANT, "ada")
        );
        assert_eq!(
            (key.name.as_str(), key.state()),
            ("nightly build", v1::ApiKeyState::Active)
        );
        for _ in 0..2 {
            let identity = gate
                .check_api_key(&secret)
                .expect("a good key, new and known");
            assert_eq!(identity.api_key_id.to_string(), key.id);
            assert_eq!(
                (&identity.tenant_id, &identity.owner_id),
                (&tenant(TENANT), &user("ada"))
            );
            assert!(identity.has_scope("write:all") && !identity.has_scope("write"));
            assert_eq!(
                (identity.scopes.as_slice(), identity.expires_at),
                (&key.scopes[..], None)
            );
        }
        let other = create(&authority, "ada").await.1;

        let revoked = revoke(&authority, &key.id).await.expect("revoked");
        assert_eq!(
            revoked.api_key.as_ref().expect("a key").state(),
            v1::ApiKeyState::Revoked
        );
        assert!(revoked.api_key.expect("a key").end_time.is_some());
        assert_eq!(refused(&gate, &secret).await, Rejection::Revoked);
        assert!(gate.check_api_key(&other).is_ok());
        assert_eq!(
            authority.ready_gate().await.check_api_key(&secret).err(),
            Some(Rejection::Revoked),
            "by a snapshot"
        );
        let revision = revoked.enforcement.expect("known").revision;
        let again = revoke(&authority, &key.id)
            .await
            .expect("it has ended already")
            .enforcement
            .expect("known");
        assert_eq!(again.revision, revision, "nothing was changed");
    })
    .await;
}

#[tokio::test]
async fn a_disabled_owner_has_no_keys_and_enabling_brings_none_back() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let ((key, secret), (_, of_another)) = (
            create(&authority, "ada").await,
            create(&authority, "bob").await,
        );
        let force = v1::ForceSignOutRequest {
            tenant_id: TENANT.into(),
            user_ids: vec!["ada".into()],
            reason: "a test".into(),
            ..Default::default()
        };
        let mut users = authority.users(ADMIN);
        let signed_out = users
            .force_sign_out(force)
            .await
            .expect("signed out")
            .into_inner();
        applied(&gate, signed_out.enforcement.expect("known").revision).await;
        assert!(
            gate.check_api_key(&secret).is_ok(),
            "signing out ends sessions"
        );

        let (tenant_id, user_id, reason_given) =
            (TENANT.to_owned(), "ada".to_owned(), "left".to_owned());
        let disable = v1::DisableUserRequest {
            tenant_id: tenant_id.clone(),
            user_id: user_id.clone(),
            reason: reason_given.clone(),
            ..Default::default()
        };
        users.disable_user(disable).await.expect("disabled");
        assert_eq!(refused(&gate, &secret).await, Rejection::SignedOut);
        assert_eq!(state(&authority, &key.id).await, v1::ApiKeyState::Revoked);
        let denied = try_create(&authority, request("ada"))
            .await
            .expect_err("disabled");
        assert_eq!(
            (denied.code(), reason(&denied).as_str()),
            (Code::FailedPrecondition, "USER_DISABLED")
        );

        let enable = v1::EnableUserRequest {
            tenant_id,
            user_id,
            reason: reason_given,
            ..Default::default()
        };
        users.enable_user(enable).await.expect("enabled");
        let (_, newer) = create(&authority, "ada").await;
        eventually("the gate takes the newer key", async || {
            gate.check_api_key(&newer).ok()
        })
        .await;
        assert_eq!(
            gate.check_api_key(&secret).err(),
            Some(Rejection::SignedOut)
        );
        assert_eq!(state(&authority, &key.id).await, v1::ApiKeyState::Revoked);
        assert!(gate.check_api_key(&of_another).is_ok());
    })
    .await;
}

#[tokio::test]
async fn api_keys_and_sessions_are_not_accepted_as_each_other() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let session = authority.sign_in("ada").await.access_token;
    // For every audience that there is: it is not the audience that keeps it out.
    let audiences = vec!["gateway".into(), "portcullis".into()];
    let (_, key) = try_create(
        &authority,
        v1::CreateApiKeyRequest {
            audiences,
            ..request("ada")
        },
    )
    .await
    .expect("a key");
    for _ in 0..2 {
        assert!(gate.check(&session).is_ok() && gate.check_api_key(&key).is_ok());
        assert_eq!(gate.check(&key).err(), Some(Rejection::WrongType));
        assert_eq!(
            gate.check_api_key(&session).err(),
            Some(Rejection::WrongType)
        );
    }
    let mut calls = authority.sessions(&key);
    let listed = calls
        .list_sessions(v1::ListSessionsRequest::default())
        .await
        .expect_err("no session");
    assert_eq!(
        (listed.code(), reason(&listed).as_str()),
        (Code::Unauthenticated, "CREDENTIALS_INVALID")
    );
    let own = v1::IntrospectTokenRequest::default();
    assert_eq!(
        reason(&calls.introspect_token(own).await.expect_err("no session")),
        "CREDENTIALS_INVALID"
    );
    let listed = authority
        .api_keys(&key)
        .list_api_keys(v1::ListApiKeysRequest::default())
        .await;
    assert_eq!(
        reason(&listed.expect_err("no session")),
        "CREDENTIALS_INVALID"
    );
    let introspect = v1::IntrospectTokenRequest {
        tenant_id: TENANT.into(),
        token: key,
        ..Default::default()
    };
    let answer = authority
        .sessions(ADMIN)
        .introspect_token(introspect)
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(
        (answer.active, answer.inactive_reason.as_str()),
        (false, "wrong_type")
    );
    let denied = authority
        .api_keys(&session)
        .list_api_keys(v1::ListApiKeysRequest::default())
        .await;
    assert_eq!(
        reason(&denied.expect_err("not for users")),
        "PERMISSION_DENIED"
    );
}

#[tokio::test]
async fn the_layer_takes_keys_where_it_is_told_to() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let (session, (_, key)) = (
        authority.sign_in("ada").await.access_token,
        create(&authority, "ada").await,
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gateway = listener.local_addr().expect("an address");
    let scopes =
        async |Extension(identity): Extension<Arc<ApiKeyIdentity>>| identity.scopes.join(",");
    let rules = Rules {
        rules: vec![Rule::new("/{*rest}", Access::ApiKey)],
        ..Rules::default()
    };
    let layer = ValidatorLayer::new(gate, &rules).expect("good rules");
    let router = Router::new().route("/", get(scopes)).layer(layer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let ask = async |bearer: &str| {
        let mut stream = TcpStream::connect(gateway).await.expect("connects");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {bearer}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut response = String::new();
        stream
            .read_to_string(&mut response)
            .await
            .expect("received");
        response
    };
    let admitted = ask(&key).await;
    assert!(
        admitted.starts_with("HTTP/1.1 200") && admitted.ends_with("read,write:all"),
        "{admitted}"
    );
    let refused = ask(&session).await;
    assert!(
        refused.starts_with("HTTP/1.1 401") && refused.contains(r#""reason":"wrong_type""#),
        "{refused}"
    );
}

fn seconds_ahead(seconds: u64) -> Option<prost_types::Timestamp> {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
        + seconds;
    Some(prost_types::Timestamp {
        seconds: i64::try_from(time).expect("it fits"),
        nanos: 0,
    })
}

#[tokio::test]
async fn a_key_expires_when_it_was_told_to() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let expire_time = seconds_ahead(5);
        let (key, secret) = try_create(
            &authority,
            v1::CreateApiKeyRequest {
                expire_time,
                ..request("ada")
            },
        )
        .await
        .expect("a key");
        assert_eq!(key.expire_time, expire_time);
        assert!(gate.check_api_key(&secret).is_ok());
        let rejection = eventually("the key expires", async || {
            gate.check_api_key(&secret).err()
        })
        .await;
        assert_eq!(rejection, Rejection::Expired);
        eventually("the authority says so", async || {
            (state(&authority, &key.id).await == v1::ApiKeyState::Expired).then_some(())
        })
        .await;
        assert!(list(&authority, "", false, 0, "").await.api_keys.is_empty());
        assert_eq!(list(&authority, "", true, 0, "").await.api_keys.len(), 1);
    })
    .await;
}

async fn try_list(
    authority: &TestAuthority,
    bearer: &str,
    request: v1::ListApiKeysRequest,
) -> Result<v1::ListApiKeysResponse, Status> {
    authority
        .api_keys(bearer)
        .list_api_keys(request)
        .await
        .map(tonic::Response::into_inner)
}

fn listing(
    owner: &str,
    show_ended: bool,
    page_size: i32,
    page_token: &str,
) -> v1::ListApiKeysRequest {
    let (tenant_id, owner_user_id) = (TENANT.into(), owner.into());
    v1::ListApiKeysRequest {
        tenant_id,
        owner_user_id,
        show_ended,
        page_size,
        page_token: page_token.into(),
    }
}

async fn list(
    authority: &TestAuthority,
    owner: &str,
    show_ended: bool,
    page_size: i32,
    page_token: &str,
) -> v1::ListApiKeysResponse {
    try_list(
        authority,
        SUPPORT,
        listing(owner, show_ended, page_size, page_token),
    )
    .await
    .expect("a list")
}

#[tokio::test]
async fn keys_are_listed_page_by_page_for_one_caller_and_one_question() {
    on_both(async |authority| {
        let mut made = Vec::new();
        for owner in ["ada", "bob", "ada", "ada"] {
            made.insert(0, create(&authority, owner).await.0.id);
        }
        let first = list(&authority, "", false, 3, "").await;
        let second = list(&authority, "", false, 3, &first.next_page_token).await;
        assert!(second.next_page_token.is_empty());
        let ids: Vec<_> = first
            .api_keys
            .iter()
            .chain(&second.api_keys)
            .map(|key| key.id.clone())
            .collect();
        assert_eq!(ids, made, "newest first");
        assert_eq!(
            list(&authority, "bob", false, 0, "").await.api_keys[0].id,
            made[2]
        );
        revoke(&authority, &made[0]).await.expect("revoked");
        assert_eq!(
            list(&authority, "ada", false, 0, "").await.api_keys.len(),
            2
        );
        assert_eq!(list(&authority, "ada", true, 0, "").await.api_keys.len(), 3);

        let token = first.next_page_token.as_str();
        let foreign = v1::ListSessionsRequest {
            tenant_id: TENANT.into(),
            page_token: token.into(),
            ..Default::default()
        };
        let foreign = authority
            .sessions(SUPPORT)
            .list_sessions(foreign)
            .await
            .expect_err("of another list");
        assert_eq!(reason(&foreign), "PAGE_TOKEN_INVALID");
        let questions = [
            (ADMIN, listing("", false, 3, token)),
            (SUPPORT, listing("ada", false, 3, token)),
            (SUPPORT, listing("", true, 3, token)),
            (SUPPORT, listing("", false, 3, "garbage")),
        ];
        for (bearer, question) in questions {
            let refused = try_list(&authority, bearer, question)
                .await
                .expect_err("of another question");
            assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
        }
        let negative = try_list(&authority, SUPPORT, listing("", false, -1, ""))
            .await
            .expect_err("negative");
        assert_eq!(violations(&negative), ["page_size"]);
    })
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
async fn bad_input_is_named_and_makes_nothing() {
    let authority = TestAuthority::sqlite().await;
    let good = || request("ada");
    let years = 11 * 366 * 86_400;
    let cases = [
        (
            v1::CreateApiKeyRequest {
                tenant_id: String::new(),
                ..good()
            },
            "tenant_id",
        ),
        (
            v1::CreateApiKeyRequest {
                owner_user_id: String::new(),
                ..good()
            },
            "owner_user_id",
        ),
        (
            v1::CreateApiKeyRequest {
                owner_user_id: "a\nb".into(),
                ..good()
            },
            "owner_user_id",
        ),
        (
            v1::CreateApiKeyRequest {
                name: String::new(),
                ..good()
            },
            "name",
        ),
        (
            v1::CreateApiKeyRequest {
                name: "  ".into(),
                ..good()
            },
            "name",
        ),
        (
            v1::CreateApiKeyRequest {
                name: "n".repeat(129),
                ..good()
            },
            "name",
        ),
        (
            v1::CreateApiKeyRequest {
                name: "a\tb".into(),
                ..good()
            },
            "name",
        ),
        (
            v1::CreateApiKeyRequest {
                scopes: vec!["a".into(), String::new()],
                ..good()
            },
            "scopes[1]",
        ),
        (
            v1::CreateApiKeyRequest {
                scopes: vec!["a b".into()],
                ..good()
            },
            "scopes[0]",
        ),
        (
            v1::CreateApiKeyRequest {
                scopes: vec!["é".into()],
                ..good()
            },
            "scopes[0]",
        ),
        (
            v1::CreateApiKeyRequest {
                scopes: vec!["a\"".into()],
                ..good()
            },
            "scopes[0]",
        ),
        (
            v1::CreateApiKeyRequest {
                scopes: vec!["s".repeat(129)],
                ..good()
            },
            "scopes[0]",
        ),
        (
            v1::CreateApiKeyRequest {
                scopes: vec!["s".into(); 65],
                ..good()
            },
            "scopes",
        ),
        (
            v1::CreateApiKeyRequest {
                scopes: vec!["s".repeat(128); 16],
                ..good()
            },
            "scopes",
        ),
        (
            v1::CreateApiKeyRequest {
                audiences: vec![String::new()],
                ..good()
            },
            "audiences[0]",
        ),
        (
            v1::CreateApiKeyRequest {
                audiences: vec!["a".into(); 17],
                ..good()
            },
            "audiences",
        ),
        (
            v1::CreateApiKeyRequest {
                expire_time: seconds_ahead(0),
                ..good()
            },
            "expire_time",
        ),
        (
            v1::CreateApiKeyRequest {
                expire_time: seconds_ahead(years),
                ..good()
            },
            "expire_time",
        ),
        (
            v1::CreateApiKeyRequest {
                expire_time: Some(time(-1, 0)),
                ..good()
            },
            "expire_time",
        ),
        (
            v1::CreateApiKeyRequest {
                expire_time: Some(time(i64::MAX, 999_999_999)),
                ..good()
            },
            "expire_time",
        ),
        (
            v1::CreateApiKeyRequest {
                expire_time: Some(time(9_223_372_036_854, 2_000_000_000)),
                ..good()
            },
            "expire_time",
        ),
        (
            v1::CreateApiKeyRequest {
                expire_time: Some(time(4_000_000_000, -1)),
                ..good()
            },
            "expire_time",
        ),
        (
            v1::CreateApiKeyRequest {
                reason: "r".repeat(1_025),
                ..good()
            },
            "reason",
        ),
        (
            v1::CreateApiKeyRequest {
                acting_user: Some(v1::ActingUser::default()),
                ..good()
            },
            "acting_user.id",
        ),
    ];
    for (request, field) in cases {
        let refused = try_create(&authority, request).await.expect_err(field);
        assert_eq!(
            (refused.code(), violations(&refused)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
    let both = v1::CreateApiKeyRequest {
        name: String::new(),
        scopes: vec!["a b".into()],
        ..good()
    };
    assert_eq!(
        violations(&try_create(&authority, both).await.expect_err("two")),
        ["name", "scopes[0]"]
    );
    assert!(
        list(&authority, "", true, 0, "").await.api_keys.is_empty(),
        "nothing was made"
    );

    for id in [
        "",
        "key_",
        "ses_01h455vb4pex5vsknk084sn02q",
        "key_01h455vb4pex5vsknk084sn02Q",
    ] {
        assert_eq!(
            violations(&find(&authority, id).await.expect_err("malformed")),
            ["api_key_id"]
        );
        assert_eq!(
            violations(&revoke(&authority, id).await.expect_err("malformed")),
            ["api_key_id"]
        );
    }
}

fn time(seconds: i64, nanos: i32) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos }
}

#[tokio::test]
async fn the_largest_key_that_can_be_made_is_not_too_large() {
    let authority = TestAuthority::with(|config| {
        config.keys.algorithm = portcullis_contract::key::Algorithm::Rs256;
    })
    .await;
    let largest = v1::CreateApiKeyRequest {
        tenant_id: "\"".repeat(128),
        owner_user_id: "\\".repeat(128),
        name: "\"".repeat(128),
        scopes: vec!["s".repeat(126); 13],
        audiences: vec!["gateway".into(), "\"".repeat(250)],
        expire_time: seconds_ahead(86_400),
        ..request("")
    };
    let (_, secret) = try_create(&authority, largest).await.expect("a key");
    assert!(secret.len() < ACCESS_TOKEN_BYTES_MAX, "{}", secret.len());
    let gate = authority.ready_gate().await;
    assert_eq!(gate.check_api_key(&secret).expect("good").scopes.len(), 13);
}

#[tokio::test]
async fn unknown_keys_and_keys_of_others_get_the_same_answer() {
    let authority = TestAuthority::sqlite().await;
    let (key, _) = create(&authority, "ada").await;
    let unknown = "key_01h455vb4pex5vsknk084sn02q";
    for result in [
        find(&authority, unknown).await.map(drop),
        revoke(&authority, unknown).await.map(drop),
    ] {
        let missing = result.expect_err("no such key");
        assert_eq!(
            (missing.code(), reason(&missing).as_str()),
            (Code::NotFound, "API_KEY_NOT_FOUND")
        );
    }
    let mut other = authority.api_keys(OTHER_ADMIN);
    for id in [key.id.as_str(), unknown] {
        let (tenant_id, api_key_id) = (TENANT.to_owned(), id.to_owned());
        let get = v1::GetApiKeyRequest {
            tenant_id: tenant_id.clone(),
            api_key_id: api_key_id.clone(),
        };
        assert_eq!(
            reason(&other.get_api_key(get).await.expect_err("not its tenant")),
            "PERMISSION_DENIED"
        );
        let revoke = v1::RevokeApiKeyRequest {
            tenant_id,
            api_key_id,
            ..Default::default()
        };
        assert_eq!(
            reason(
                &other
                    .revoke_api_key(revoke)
                    .await
                    .expect_err("not its tenant")
            ),
            "PERMISSION_DENIED"
        );
        let own = v1::GetApiKeyRequest {
            tenant_id: "other".into(),
            api_key_id: id.into(),
        };
        assert_eq!(
            reason(&other.get_api_key(own).await.expect_err("not in its tenant")),
            "API_KEY_NOT_FOUND"
        );
    }
    let create = other
        .create_api_key(request("ada"))
        .await
        .expect_err("not its tenant");
    assert_eq!(reason(&create), "PERMISSION_DENIED");
    assert_eq!(state(&authority, &key.id).await, v1::ApiKeyState::Active);
}

#[tokio::test]
async fn a_key_shows_its_requests_by_hour_as_gates_report_them() {
    on_both(async |authority| {
        let gate = ready(
            authority
                .gate()
                .activity_interval(Duration::from_millis(100)),
        )
        .await;
        let ((key, secret), (unused, _)) = (
            create(&authority, "ada").await,
            create(&authority, "ada").await,
        );
        let session = authority.sign_in("ada").await.access_token;
        for _ in 0..5 {
            gate.check_api_key(&secret).expect("admitted");
            gate.check(&session).expect("admitted");
        }
        assert!(gate.check_api_key(&format!("{secret}x")).is_err() && gate.check(&secret).is_err());
        let reported = async || {
            let found = find(&authority, &key.id).await.expect("a key");
            (found
                .api_key
                .as_ref()
                .is_some_and(|key| key.requests_24h >= 5))
            .then_some(found)
        };
        let found = eventually("the gate has reported", reported).await;
        let shown = found.api_key.expect("a key");
        let last_used = shown.last_used_time.expect("it was used").seconds;
        assert_eq!(shown.requests_24h, 5, "what was refused does not count");
        assert_eq!(found.hours.iter().map(|hour| hour.requests).sum::<u64>(), 5);
        let starts = found
            .hours
            .last()
            .expect("an hour")
            .start_time
            .expect("a time");
        assert!(starts.seconds % 3_600 == 0 && (0..3_600).contains(&(last_used - starts.seconds)));
        let listed = list(&authority, "ada", false, 0, "").await.api_keys;
        assert_eq!(
            listed
                .iter()
                .map(|key| key.requests_24h)
                .collect::<Vec<_>>(),
            [0, 5]
        );
        let unused = find(&authority, &unused.id).await.expect("a key");
        assert_eq!(
            (
                unused.hours.len(),
                unused.api_key.expect("a key").last_used_time
            ),
            (0, None)
        );
    })
    .await;
}

#[tokio::test]
async fn the_keys_that_sign_api_keys_rotate_and_retire_by_themselves() {
    let authority = TestAuthority::with(|config| {
        config.watch.staleness_max = Duration::from_secs(1);
        config.keys.activation_delay = Duration::from_secs(1);
    })
    .await;
    let gate = ready(authority.gate().max_staleness(Duration::from_secs(1))).await;
    let (session, (_, old)) = (
        authority.sign_in("ada").await.access_token,
        create(&authority, "ada").await,
    );
    let mut keys = authority.keys(OPERATOR);
    let listed = keys
        .list_signing_keys(v1::ListSigningKeysRequest {})
        .await
        .expect("listed")
        .into_inner()
        .keys;
    let kinds: Vec<_> = listed
        .iter()
        .map(|key| (key.credential(), key.state()))
        .collect();
    let signing = v1::SigningKeyState::Signing;
    assert_eq!(
        kinds,
        [
            (v1::CredentialKind::Session, signing),
            (v1::CredentialKind::ApiKey, signing)
        ]
    );

    let credential = v1::CredentialKind::ApiKey.into();
    let rotate = v1::RotateSigningKeyRequest {
        reason: "a test".into(),
        credential,
    };
    let rotated = keys
        .rotate_signing_key(rotate)
        .await
        .expect("rotated")
        .into_inner()
        .key
        .expect("a key");
    assert_eq!(rotated.credential(), v1::CredentialKind::ApiKey);
    let retire = v1::RetireSigningKeyRequest {
        key_id: listed[1].id.clone(),
        reason: "a test".into(),
        force: true,
        ..Default::default()
    };
    let retired = async || {
        authority
            .keys(OPERATOR)
            .retire_signing_key(retire.clone())
            .await
            .ok()
    };
    eventually("the old key no longer signs", retired).await;
    assert_eq!(refused(&gate, &old).await, Rejection::DistrustedKey);
    let (_, new) = create(&authority, "ada").await;
    // It may be stale for a moment, and knows the new key in any case.
    within("the gate to be ready", gate.ready()).await;
    eventually("both are admitted", async || {
        let refused = gate
            .check_api_key(&new)
            .err()
            .or(gate.check(&session).err());
        assert!(
            refused.as_ref().is_none_or(Rejection::is_unavailable),
            "{refused:?}"
        );
        refused.is_none().then_some(())
    })
    .await;
    let wrong = v1::RotateSigningKeyRequest {
        reason: "a test".into(),
        credential: 9,
    };
    assert_eq!(
        violations(&keys.rotate_signing_key(wrong).await.expect_err("no kind")),
        ["credential"]
    );
}
