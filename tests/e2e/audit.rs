//! The audit trail over real sockets, on both stores: who did what to whom, for whom to see, and whether it still fits.

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, LOGIN, OPERATOR, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, reason, session_id,
        sign_in,
    },
    postgres::{Schema, fresh_schema, shared},
    wait::eventually,
};
use prost_types::Timestamp;
use tokio::task::spawn_blocking;
use tonic::Status;
use tonic_types::StatusExt;

/// An authority, and its database behind its back.
struct Story {
    authority: TestAuthority,
    schema: Option<Schema>,
}

async fn on_both(story: impl AsyncFn(Story)) {
    story(Story {
        authority: TestAuthority::sqlite().await,
        schema: None,
    })
    .await;
    let schema = fresh_schema().await;
    story(Story {
        authority: TestAuthority::postgres(&schema.url).await,
        schema: Some(schema),
    })
    .await;
}

impl Story {
    /// Changes rows as somebody does who may change the schema too.
    async fn tamper(&self, sql: &str) {
        match &self.schema {
            Some(schema) => {
                let disarm = "DROP TRIGGER IF EXISTS audit_events_stay ON audit_events; \
                     DROP TRIGGER IF EXISTS audit_events_undeleted ON audit_events; \
                     DROP TRIGGER IF EXISTS audit_events_unchanged ON audit_events";
                let sql = format!("SET search_path = {}; {disarm}; {sql}", schema.name);
                shared()
                    .await
                    .admin()
                    .await
                    .batch_execute(&sql)
                    .await
                    .expect("changed");
            }
            None => {
                let disarm = "DROP TRIGGER IF EXISTS audit_events_unchanged; DROP TRIGGER IF EXISTS audit_events_undeleted";
                let file = self.authority.directory().join("data/portcullis.db");
                let sql = format!("BEGIN IMMEDIATE; {disarm}; {sql}; COMMIT");
                // The authority's transaction, which it may have to wait for, goes on in this thread.
                let changed =
                    spawn_blocking(move || rusqlite::Connection::open(file)?.execute_batch(&sql));
                changed.await.expect("no panic").expect("changed");
            }
        }
    }

    async fn list(
        &self,
        bearer: &str,
        request: v1::ListAuditEventsRequest,
    ) -> Result<Vec<v1::AuditEvent>, Status> {
        let listed = self
            .authority
            .audit(bearer)
            .list_audit_events(request)
            .await;
        listed.map(|listed| listed.into_inner().events)
    }

    async fn verify(&self, after_revision: u64) -> v1::VerifyAuditTrailResponse {
        let request = v1::VerifyAuditTrailRequest {
            after_revision,
            revisions_max: 0,
        };
        self.authority
            .audit(OPERATOR)
            .verify_audit_trail(request)
            .await
            .expect("verified")
            .into_inner()
    }

    /// Waits until the events of `count` sign-ins are in the trail. Until then they move the head at any moment.
    async fn settled(&self, count: usize) {
        let opened = v1::ListAuditEventsRequest {
            action: "session.create".into(),
            ..of_tenant()
        };
        eventually("the sign-ins are in the trail", async || {
            let listed = self.list(SUPPORT, opened.clone()).await.expect("listed");
            (listed.len() == count).then_some(())
        })
        .await;
    }

    /// The support person ends ada's session; ada signs out of another, and bob is signed out.
    async fn play(&self) -> [v1::CreateSessionResponse; 3] {
        let sessions = [
            self.authority.sign_in("ada").await,
            self.authority.sign_in("ada").await,
            self.authority.sign_in("bob").await,
        ];
        let revoke = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&sessions[0]),
            reason: "she called: lost phone".into(),
            user_message: "ended by support".into(),
            acting_user: Some(v1::ActingUser {
                id: "sam".into(),
                ip: "192.0.2.7".into(),
            }),
            ..Default::default()
        };
        self.authority
            .sessions(ADMIN)
            .revoke_session(revoke)
            .await
            .expect("revoked");
        let own = v1::RevokeSessionRequest {
            session_id: session_id(&sessions[1]),
            ..Default::default()
        };
        let mut ada = self.authority.sessions(&sessions[1].access_token);
        ada.revoke_session(own).await.expect("signed out");
        let force = v1::ForceSignOutRequest {
            tenant_id: TENANT.into(),
            user_ids: vec!["bob".into()],
            reason: "breach".into(),
            ..Default::default()
        };
        self.authority
            .users(ADMIN)
            .force_sign_out(force)
            .await
            .expect("signed out");
        sessions
    }
}

fn of_tenant() -> v1::ListAuditEventsRequest {
    v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    }
}

/// The field that an error is about.
fn field(status: &Status) -> String {
    assert_eq!(reason(status), "INVALID_FIELD");
    status
        .get_details_bad_request()
        .expect("violations")
        .field_violations[0]
        .field
        .clone()
}

/// Events of what this test did, without those of sign-ins.
fn endings(events: Vec<v1::AuditEvent>) -> Vec<v1::AuditEvent> {
    events
        .into_iter()
        .filter(|event| !["session.create", "session.refresh"].contains(&event.action.as_str()))
        .collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
async fn an_administrator_sees_actor_action_and_target() {
    on_both(async |story| {
        let sessions = story.play().await;
        let events = endings(story.list(SUPPORT, of_tenant()).await.expect("listed"));
        let said = |event: &v1::AuditEvent| {
            [
                &event.action,
                &event.target,
                &event.user_id,
                &event.actor,
                &event.via,
                &event.actor_ip,
                &event.reason,
            ]
            .map(ToString::to_string)
        };
        let (phone, laptop) = (session_id(&sessions[0]), session_id(&sessions[1]));
        let expected = [
            [
                "user.sign_out",
                "bob",
                "bob",
                "service:admin",
                "",
                "",
                "breach",
            ],
            [
                "session.revoke",
                laptop.as_str(),
                "ada",
                "user:ada",
                "",
                "",
                "",
            ],
            [
                "session.revoke",
                phone.as_str(),
                "ada",
                "user:sam",
                "service:admin",
                "192.0.2.7",
                "she called: lost phone",
            ],
        ];
        assert_eq!(events.iter().map(said).collect::<Vec<_>>(), expected);
        assert_eq!(events[2].user_message, "ended by support");
        assert!(
            events
                .iter()
                .all(|event| event.tenant_id == TENANT && event.id.starts_with("evt_"))
        );
        assert!(
            events
                .windows(2)
                .all(|pair| pair[0].revision > pair[1].revision)
        );
        let time = |event: &v1::AuditEvent| {
            event
                .time
                .map(|time| (time.seconds, time.nanos))
                .expect("a time")
        };
        assert!(
            events
                .windows(2)
                .all(|pair| time(&pair[0]) > time(&pair[1]))
        );

        let filters = [
            (
                v1::ListAuditEventsRequest {
                    actor: "user:sam".into(),
                    ..of_tenant()
                },
                vec![2],
            ),
            (
                v1::ListAuditEventsRequest {
                    user_id: "ada".into(),
                    ..of_tenant()
                },
                vec![1, 2],
            ),
            (
                v1::ListAuditEventsRequest {
                    action: "user.sign_out".into(),
                    ..of_tenant()
                },
                vec![0],
            ),
            (
                v1::ListAuditEventsRequest {
                    after: events[1].time,
                    ..of_tenant()
                },
                vec![0, 1],
            ),
            (
                v1::ListAuditEventsRequest {
                    before: events[1].time,
                    ..of_tenant()
                },
                vec![2],
            ),
            (
                v1::ListAuditEventsRequest {
                    after: events[1].time,
                    before: events[1].time,
                    ..of_tenant()
                },
                vec![],
            ),
        ];
        for (filter, expected) in filters {
            let listed = endings(story.list(ADMIN, filter.clone()).await.expect("listed"));
            let expected: Vec<_> = expected
                .into_iter()
                .map(|index: usize| events[index].clone())
                .collect();
            assert_eq!(listed, expected, "{filter:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_user_sees_their_own_events_without_the_administrator_s_words() {
    on_both(async |story| {
        story.play().await;
        let ada = story.authority.sign_in("ada").await.access_token;
        let own = endings(
            story
                .list(&ada, v1::ListAuditEventsRequest::default())
                .await
                .expect("hers"),
        );
        let [out, ended] = &own[..] else {
            panic!("{own:?}")
        };
        assert_eq!(
            (out.actor.as_str(), out.user_id.as_str()),
            ("user:ada", "ada")
        );
        assert_eq!(
            (ended.action.as_str(), ended.user_message.as_str()),
            ("session.revoke", "ended by support")
        );
        assert_eq!(
            [&ended.reason, &ended.actor, &ended.via, &ended.actor_ip],
            ["", "", "", ""]
        );
        assert!(ended.details.is_empty() && ended.revision > 0 && ended.time.is_some());
        let said = v1::ListAuditEventsRequest {
            actor: "user:ada".into(),
            user_id: "ada".into(),
            ..of_tenant()
        };
        assert_eq!(
            endings(story.list(&ada, said).await.expect("hers")),
            std::slice::from_ref(out)
        );

        let bob = v1::ListAuditEventsRequest {
            user_id: "bob".into(),
            ..Default::default()
        };
        let sam = v1::ListAuditEventsRequest {
            actor: "user:sam".into(),
            ..Default::default()
        };
        let elsewhere = v1::ListAuditEventsRequest {
            tenant_id: "other".into(),
            ..Default::default()
        };
        for request in [bob, sam, elsewhere] {
            let denied = story
                .list(&ada, request.clone())
                .await
                .expect_err("not hers");
            assert_eq!(reason(&denied), "PERMISSION_DENIED", "{request:?}");
        }
        let denied = story
            .list(OTHER_ADMIN, of_tenant())
            .await
            .expect_err("not its tenant");
        assert_eq!(reason(&denied), "PERMISSION_DENIED");
        let verify = story
            .authority
            .audit(ADMIN)
            .verify_audit_trail(v1::VerifyAuditTrailRequest::default())
            .await;
        assert_eq!(
            reason(&verify.expect_err("for operators")),
            "PERMISSION_DENIED"
        );
    })
    .await;
}

#[tokio::test]
async fn waiting_events_reach_the_trail_within_seconds_with_their_details() {
    on_both(async |story| {
        let ada = story.authority.sign_in("ada").await.access_token;
        let blob = if story.schema.is_some() {
            "decode('01890a5d96e47cc08f0f000000000001', 'hex')"
        } else {
            "x'01890a5d96e47cc08f0f000000000001'"
        };
        let texts =
            format!(r#""{TENANT}", "finding.new_country", "ses", "ada", "authority", "service:login", "192.0.2.9""#);
        let json = format!(r#"[["01890a5d96e47cc08f0f000000000001", 1, {texts}, {{"country": "CH"}}]]"#);
        story.tamper(&format!("INSERT INTO audit_outbox VALUES ({blob}, 1, '{json}')")).await;
        let findings = v1::ListAuditEventsRequest { action: "finding.new_country".into(), ..Default::default() };
        let listed = async || story.list(&ada, findings.clone()).await.expect("hers").pop();
        let found = eventually("the event is recorded", listed).await;
        assert_eq!((found.actor.as_str(), found.via.as_str(), found.actor_ip.as_str()), ("authority", "", "192.0.2.9"));
        assert_eq!(found.details.get("country").map(String::as_str), Some("CH"));
        assert!(found.revision > 0);
        assert_eq!(story.verify(0).await.fault, None);
    })
    .await;
}

#[tokio::test]
async fn pages_are_for_one_caller_and_one_list() {
    on_both(async |story| {
        story.play().await;
        let revoked = |page_token: String| v1::ListAuditEventsRequest {
            action: "session.revoke".into(),
            page_size: 1,
            page_token,
            ..of_tenant()
        };
        let page = async |bearer: &str, request| {
            story
                .authority
                .audit(bearer)
                .list_audit_events(request)
                .await
        };
        let first = page(ADMIN, revoked(String::new()))
            .await
            .expect("a page")
            .into_inner();
        let second = page(ADMIN, revoked(first.next_page_token.clone()))
            .await
            .expect("a page")
            .into_inner();
        assert!(
            first.events.len() == 1 && second.events.len() == 1 && first.events != second.events
        );
        assert_eq!(second.next_page_token, "");

        let token = first.next_page_token;
        let tenant_id = TENANT.to_owned();
        let sessions = v1::ListSessionsRequest {
            tenant_id,
            page_size: 1,
            show_ended: true,
            ..Default::default()
        };
        let listed = story
            .authority
            .sessions(ADMIN)
            .list_sessions(sessions)
            .await
            .expect("listed")
            .into_inner();
        assert_ne!(listed.next_page_token, "");
        let wrong = [
            (SUPPORT, revoked(token.clone())),
            (
                ADMIN,
                v1::ListAuditEventsRequest {
                    page_token: token.clone(),
                    ..of_tenant()
                },
            ),
            (
                ADMIN,
                v1::ListAuditEventsRequest {
                    user_id: "ada".into(),
                    ..revoked(token.clone())
                },
            ),
            (ADMIN, revoked(listed.next_page_token)),
            (ADMIN, revoked(token[1..].to_owned())),
        ];
        for (bearer, request) in wrong {
            let refused = page(bearer, request.clone())
                .await
                .expect_err("another list's");
            assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID", "{request:?}");
        }
    })
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
async fn bad_input_is_told_by_its_field() {
    let story = Story {
        authority: TestAuthority::sqlite().await,
        schema: None,
    };
    let at = |seconds: i64, nanos: i32| Some(Timestamp { seconds, nanos });
    let cases = [
        ("tenant_id", v1::ListAuditEventsRequest::default()),
        (
            "after",
            v1::ListAuditEventsRequest {
                after: at(2, 0),
                before: at(1, 999_999_999),
                ..of_tenant()
            },
        ),
        (
            "after",
            v1::ListAuditEventsRequest {
                after: at(-1, 0),
                ..of_tenant()
            },
        ),
        (
            "after",
            v1::ListAuditEventsRequest {
                after: at(1, -1),
                ..of_tenant()
            },
        ),
        (
            "before",
            v1::ListAuditEventsRequest {
                before: at(i64::MAX, 0),
                ..of_tenant()
            },
        ),
        (
            "before",
            v1::ListAuditEventsRequest {
                before: at(1, 1_000_000_000),
                ..of_tenant()
            },
        ),
        (
            "page_size",
            v1::ListAuditEventsRequest {
                page_size: -1,
                ..of_tenant()
            },
        ),
        (
            "user_id",
            v1::ListAuditEventsRequest {
                user_id: "\u{7}".into(),
                ..of_tenant()
            },
        ),
        (
            "actor",
            v1::ListAuditEventsRequest {
                actor: "x".repeat(521),
                ..of_tenant()
            },
        ),
        (
            "action",
            v1::ListAuditEventsRequest {
                action: "x\n".into(),
                ..of_tenant()
            },
        ),
    ];
    for (expected, request) in cases {
        let refused = story
            .list(ADMIN, request.clone())
            .await
            .expect_err("bad input");
        assert_eq!(field(&refused), expected, "{request:?}");
    }
    for (expected, after_revision, revisions_max) in [
        ("after_revision", 1_000, 0),
        ("after_revision", u64::MAX, 1),
        ("revisions_max", 0, 100_001),
    ] {
        let request = v1::VerifyAuditTrailRequest {
            after_revision,
            revisions_max,
        };
        let refused = story
            .authority
            .audit(OPERATOR)
            .verify_audit_trail(request)
            .await
            .expect_err("bad input");
        assert_eq!(field(&refused), expected);
    }
    let login = story
        .list(LOGIN, of_tenant())
        .await
        .expect_err("not for login services");
    assert_eq!(reason(&login), "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_changed_trail_is_found_out() {
    on_both(async |story| {
        story.play().await;
        let verified = story.verify(0).await;
        assert_eq!(
            (verified.fault, verified.through_revision),
            (None, verified.head_revision)
        );
        assert_eq!(verified.verified, verified.head_revision);
        let part = v1::VerifyAuditTrailRequest {
            after_revision: 1,
            revisions_max: 2,
        };
        let part = story
            .authority
            .audit(OPERATOR)
            .verify_audit_trail(part)
            .await
            .expect("verified")
            .into_inner();
        assert_eq!((part.verified, part.through_revision), (2, 3));

        let sam = v1::ListAuditEventsRequest {
            actor: "user:sam".into(),
            ..of_tenant()
        };
        let event = story.list(ADMIN, sam).await.expect("listed").remove(0);
        story
            .tamper("UPDATE audit_events SET actor = 'user:eve' WHERE actor = 'user:sam'")
            .await;
        let verified = story.verify(0).await;
        let fault = verified.fault.expect("a fault");
        assert_eq!(
            (fault.revision, fault.event_id, fault.ordinal),
            (event.revision, event.id, 0)
        );
        assert_eq!(verified.through_revision, event.revision - 1);
        assert!(
            fault.problem.starts_with("the row was changed"),
            "{}",
            fault.problem
        );
    })
    .await;
}

/// A thief who takes the end of the log away, or writes the whole anew, leaves a trail that fits by itself.
#[tokio::test]
async fn a_trail_that_fits_but_is_not_the_one_that_was_applied_is_found_out() {
    on_both(async |story| {
        story.play().await;
        story.settled(3).await;
        // The statements look the head up themselves: a batch may come between two calls.
        let newest = "(SELECT revision FROM log_head)";
        story
            .tamper(&format!(
                "DELETE FROM audit_events WHERE revision = {newest}; DELETE FROM log_batches WHERE revision = {newest}; \
                 UPDATE log_head SET revision = revision - 1, \
                     chain = (SELECT b.chain FROM log_batches b WHERE b.revision = {newest} - 1)"
            ))
            .await;
        let verified = story.verify(0).await;
        assert_eq!(verified.verified, verified.head_revision);
        let head = verified.head_revision + 1;
        let fault = verified.fault.expect("a fault");
        assert_eq!((fault.revision, fault.event_id.as_str()), (head, ""));
    })
    .await;
}

#[tokio::test]
async fn events_without_a_tenant_are_for_operators() {
    on_both(async |story| {
        let everyone = v1::SignOutEveryoneRequest {
            reason: "a stolen key".into(),
            force: true,
            ..Default::default()
        };
        story
            .authority
            .revocations(OPERATOR)
            .sign_out_everyone(everyone)
            .await
            .expect("signed out");
        story.play().await;
        let of_none = v1::ListAuditEventsRequest::default();
        let events = story.list(OPERATOR, of_none.clone()).await.expect("listed");
        let signed_out = events
            .iter()
            .find(|event| event.action == "everyone.sign_out")
            .expect("it is there");
        let said = (
            signed_out.actor.as_str(),
            signed_out.reason.as_str(),
            signed_out.tenant_id.as_str(),
        );
        assert_eq!(said, ("service:operator", "a stolen key", ""));
        assert!(
            events.iter().all(|event| event.tenant_id.is_empty()),
            "and of no tenant"
        );

        let denied = story
            .list(OPERATOR, of_tenant())
            .await
            .expect_err("the tenants' own are not for operators");
        assert_eq!(reason(&denied), "PERMISSION_DENIED");
        for caller in [SUPPORT, ADMIN, OTHER_ADMIN] {
            let refused = story
                .list(caller, of_none.clone())
                .await
                .expect_err("not theirs");
            assert_eq!(field(&refused), "tenant_id", "{caller}");
        }
    })
    .await;
}

#[tokio::test]
async fn audit_events_of_a_user_show_where_their_session_was_last_seen() {
    on_both(async |story| {
        let client = v1::Client {
            ip: "198.51.100.7".into(),
            ..Default::default()
        };
        let request = v1::CreateSessionRequest {
            client: Some(client),
            ..sign_in("ada")
        };
        let ada = story
            .authority
            .sessions(LOGIN)
            .create_session(request)
            .await
            .expect("signed in")
            .into_inner();
        let own = v1::RevokeSessionRequest {
            session_id: session_id(&ada),
            ..Default::default()
        };
        story
            .authority
            .sessions(&ada.access_token)
            .revoke_session(own)
            .await
            .expect("signed out");
        let events = endings(story.list(SUPPORT, of_tenant()).await.expect("listed"));
        let said = events
            .iter()
            .map(|event| (event.actor.as_str(), event.actor_ip.as_str()));
        assert_eq!(said.collect::<Vec<_>>(), [("user:ada", "198.51.100.7")]);
    })
    .await;
}
