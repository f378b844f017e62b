//! The audit trail as a stream: each event once, in the order of the log, also after an interruption.

use std::time::{Duration, Instant};

use portcullis_contract::v1::{self, UserRole};
use portcullis_tests::{
    authority::{
        ADMIN, LOGIN, OPERATOR, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, reason, session_id,
        sign_in, violations,
    },
    postgres::{fresh_schema, shared},
    wait::within,
};
use tonic::{Code, Request, Status, Streaming};

/// Long enough for a busy machine.
const LIFE: Duration = Duration::from_secs(20);

fn of_tenant() -> v1::WatchAuditEventsRequest {
    v1::WatchAuditEventsRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    }
}

fn after(revision: u64) -> v1::WatchAuditEventsRequest {
    v1::WatchAuditEventsRequest {
        after_revision: Some(revision),
        ..of_tenant()
    }
}

fn resumed(token: &str) -> v1::WatchAuditEventsRequest {
    v1::WatchAuditEventsRequest {
        resume_token: token.into(),
        ..of_tenant()
    }
}

/// A reader of the trail.
struct Reader {
    answers: Streaming<v1::WatchAuditEventsResponse>,
    events: Vec<v1::AuditEvent>,
    token: String,
}

impl Reader {
    async fn open(
        authority: &TestAuthority,
        bearer: &str,
        request: v1::WatchAuditEventsRequest,
    ) -> Result<Self, Status> {
        let mut request = Request::new(request);
        request.set_timeout(LIFE);
        let answers = authority.audit(bearer).watch_audit_events(request).await?;
        Ok(Self {
            answers: answers.into_inner(),
            events: Vec::new(),
            token: String::new(),
        })
    }

    async fn start(
        authority: &TestAuthority,
        bearer: &str,
        request: v1::WatchAuditEventsRequest,
    ) -> Self {
        let opened = Self::open(authority, bearer, request).await;
        opened.expect("a stream")
    }

    /// Takes the next answer. None: the stream has ended.
    async fn take(&mut self) -> Result<Option<()>, Status> {
        let Some(answer) = within("an answer", self.answers.message()).await? else {
            return Ok(None);
        };
        self.events.extend(answer.events);
        self.token = answer.resume_token;
        Ok(Some(()))
    }

    /// Reads until it has events that sign these users out, and fails if one comes twice or out of order.
    async fn has_signed_out(&mut self, users: &[String]) {
        while self.signed_out().len() < users.len() {
            self.take().await.expect("no error").expect("an answer");
        }
        assert_eq!(self.signed_out(), users);
    }

    fn signed_out(&self) -> Vec<String> {
        let mut users = Vec::new();
        for event in &self.events {
            if event.action == "user.sign_out" {
                users.push(event.target.clone());
            }
        }
        users
    }
}

async fn sign_out(authority: &TestAuthority, user: &str) {
    let request = v1::ForceSignOutRequest {
        tenant_id: TENANT.into(),
        user_ids: vec![user.into()],
        reason: "a test".into(),
        ..Default::default()
    };
    let ended = authority.users(ADMIN).force_sign_out(request).await;
    ended.expect("a sign-out");
}

/// Signs users in and out, and returns their ids.
async fn sign_out_users(authority: &TestAuthority, name: &str, count: usize) -> Vec<String> {
    let mut users = Vec::new();
    for number in 0..count {
        let user = format!("{name}{number}");
        authority.sign_in(&user).await;
        sign_out(authority, &user).await;
        users.push(user);
    }
    users
}

async fn on_both(story: impl AsyncFn(TestAuthority)) {
    story(TestAuthority::sqlite().await).await;
    story(TestAuthority::postgres(&fresh_schema().await.url).await).await;
}

#[tokio::test]
async fn a_reader_gets_each_event_once_in_the_order_of_the_log() {
    on_both(async |authority| {
        let before = sign_out_users(&authority, "before", 3).await;
        let mut whole = Reader::start(&authority, SUPPORT, after(0)).await;
        let mut from_now = Reader::start(&authority, SUPPORT, of_tenant()).await;
        whole.has_signed_out(&before).await;
        assert!(from_now.signed_out().is_empty());

        let since = sign_out_users(&authority, "since", 3).await;
        from_now.has_signed_out(&since).await;
        whole.has_signed_out(&[before, since].concat()).await;

        // The events of sign-ins follow within a second or two.
        let created = |events: &[v1::AuditEvent]| {
            let created = events
                .iter()
                .filter(|event| event.action == "session.create");
            created.count()
        };
        while created(&whole.events) < 6 {
            whole.take().await.expect("no error").expect("an answer");
        }
        assert_eq!(whole.events, authority.trail().await);
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_was_interrupted_goes_on_without_a_gap_or_a_repetition() {
    let schema = fresh_schema().await;
    let one = TestAuthority::postgres(&schema.url).await;
    let other = one.replica().await;
    let first = sign_out_users(&one, "first", 2).await;
    let mut reader = Reader::start(&one, SUPPORT, after(0)).await;
    reader.has_signed_out(&first).await;
    let mut token = reader.token.clone();
    drop(reader);

    for (round, authority) in [&other, &one, &other].into_iter().enumerate() {
        // Of more than one batch, by both authorities, while nobody reads.
        let mut missed = sign_out_users(&one, &format!("one{round}-"), 2).await;
        missed.extend(sign_out_users(&other, &format!("other{round}-"), 2).await);
        let mut reader = Reader::start(authority, ADMIN, resumed(&token)).await;
        reader.has_signed_out(&missed).await;
        token = reader.token;
    }
}

#[tokio::test]
async fn a_reader_gets_the_events_of_its_own_tenant_only() {
    let authority = TestAuthority::sqlite().await;
    let mut own = Reader::start(
        &authority,
        OTHER_ADMIN,
        v1::WatchAuditEventsRequest {
            tenant_id: "other".into(),
            after_revision: Some(0),
            ..Default::default()
        },
    )
    .await;
    let mut installation = Reader::start(
        &authority,
        OPERATOR,
        v1::WatchAuditEventsRequest {
            after_revision: Some(0),
            ..Default::default()
        },
    )
    .await;
    sign_out_users(&authority, "ada", 2).await;
    let request = v1::SignOutTenantRequest {
        tenant_id: "other".into(),
        reason: "a test".into(),
        force: true,
        ..Default::default()
    };
    let ended = authority
        .tenants(OTHER_ADMIN)
        .sign_out_tenant(request)
        .await;
    ended.expect("signed out");
    let request = v1::RotateSigningKeyRequest {
        reason: "yearly".into(),
        ..Default::default()
    };
    let rotated = authority.keys(OPERATOR).rotate_signing_key(request).await;
    rotated.expect("rotated");

    while own.events.is_empty() {
        own.take().await.expect("no error").expect("an answer");
    }
    assert!(own.events.iter().all(|event| event.tenant_id == "other"));
    let rotated = |reader: &Reader| {
        let mut events = reader.events.iter();
        events.any(|event| event.reason == "yearly")
    };
    while !rotated(&installation) {
        installation
            .take()
            .await
            .expect("no error")
            .expect("an answer");
    }
    assert!(
        installation
            .events
            .iter()
            .all(|event| event.tenant_id.is_empty())
    );
}

/// The field and the rule that a refusal names.
async fn refused(
    authority: &TestAuthority,
    bearer: &str,
    request: v1::WatchAuditEventsRequest,
) -> Status {
    match Reader::open(authority, bearer, request).await {
        Err(status) => status,
        Ok(mut reader) => reader.take().await.expect_err("a refusal"),
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_meant_is_refused() {
    let authority = TestAuthority::sqlite().await;
    sign_out_users(&authority, "ada", 1).await;
    let mut reader = Reader::start(&authority, SUPPORT, after(0)).await;
    reader.take().await.expect("no error").expect("an answer");
    let token = reader.token;
    let of_other = v1::WatchAuditEventsRequest {
        tenant_id: "other".into(),
        ..resumed(&token)
    };
    let both = v1::WatchAuditEventsRequest {
        after_revision: Some(1),
        ..resumed(&token)
    };
    for (bearer, request, field) in [
        (OTHER_ADMIN, of_other, "resume_token"),
        (SUPPORT, resumed("AAAA"), "resume_token"),
        (SUPPORT, resumed(&token[1..]), "resume_token"),
        (SUPPORT, both, "after_revision"),
        (SUPPORT, after(1 << 40), "after_revision"),
        (SUPPORT, after(u64::MAX), "after_revision"),
    ] {
        let status = refused(&authority, bearer, request).await;
        assert_eq!(violations(&status), [field], "{status:?}");
    }
}

#[tokio::test]
async fn a_place_in_a_history_that_is_gone_is_refused() {
    let schema = fresh_schema().await;
    let authority = TestAuthority::postgres(&schema.url).await;
    sign_out_users(&authority, "ada", 1).await;
    let mut reader = Reader::start(&authority, SUPPORT, after(0)).await;
    reader.take().await.expect("no error").expect("an answer");
    let token = reader.token;

    // What a failover does that lost a batch: another one has its revision.
    let changed = format!(
        "UPDATE {}.log_batches SET chain = decode(repeat('07', 32), 'hex')",
        schema.name
    );
    let admin = shared().await.admin().await;
    admin.batch_execute(&changed).await.expect("changed");
    let status = refused(&authority, SUPPORT, resumed(&token)).await;
    assert_eq!(violations(&status), ["resume_token"], "{status:?}");
    assert!(status.message().contains("after_revision"), "{status:?}");
}

#[tokio::test]
async fn only_those_who_may_list_a_tenants_events_may_watch_them() {
    let authority = TestAuthority::sqlite().await;
    let own_token = authority.sign_in("ada").await.access_token;
    for (bearer, request) in [
        (LOGIN, of_tenant()),
        (OTHER_ADMIN, of_tenant()),
        (OPERATOR, of_tenant()),
        (SUPPORT, v1::WatchAuditEventsRequest::default()),
        (own_token.as_str(), of_tenant()),
        (own_token.as_str(), v1::WatchAuditEventsRequest::default()),
    ] {
        let status = refused(&authority, bearer, request).await;
        assert!(
            [Code::PermissionDenied, Code::InvalidArgument].contains(&status.code()),
            "{status:?}"
        );
    }
}

#[tokio::test]
async fn a_person_watches_for_some_seconds_and_is_judged_anew() {
    let authority = TestAuthority::sqlite().await;
    let mut request = sign_in("boss");
    request.user = request.user.map(|user| v1::SessionUser {
        roles: Some(v1::UserRoles {
            roles: vec![UserRole::Support.into()],
        }),
        ..user
    });
    let created = authority.sessions(LOGIN).create_session(request).await;
    let created = created.expect("a sign-in").into_inner();
    let begun = Instant::now();
    let mut reader = Reader::start(&authority, &created.access_token, after(0)).await;
    while reader.take().await.expect("no error").is_some() {}
    assert!(begun.elapsed() < LIFE / 2, "{:?}", begun.elapsed());
    assert!(!reader.events.is_empty());

    let revoke = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&created),
        reason: "stolen".into(),
        ..Default::default()
    };
    let revoked = authority.sessions(ADMIN).revoke_session(revoke).await;
    revoked.expect("revoked");
    let status = refused(&authority, &created.access_token, resumed(&reader.token)).await;
    assert_eq!(reason(&status), "CREDENTIALS_INVALID");
}
