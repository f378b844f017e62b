//! Secrets and personal data go in, marked; nothing of them comes out in logs, spans, metrics or errors.

use std::{net::SocketAddr, path::Path, time::Duration};

use portcullis_authority::config::{AuditExportConfig, Config, IdentityProviderConfig};
use portcullis_contract::v1::{
    self, api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
    key_service_client::KeyServiceClient, revocation_service_client::RevocationServiceClient,
    session_service_client::SessionServiceClient, tenant_service_client::TenantServiceClient,
    user_service_client::UserServiceClient,
};
use portcullis_tests::{
    audit_export::{syslog, to_syslog, to_webhook},
    authority::{
        ADMIN, AUDIENCE, GATEWAY, LOGIN, OPERATOR, SUPPORT, Transport, ready, write_private,
    },
    canary::{BytesCodec, Contract, Method},
    forms::{basic, post},
    lines::Lines,
    postgres,
    serve::Serve,
    telemetry::{Receiver, Scraped},
    wait::eventually,
    webhook::WebhookReceiver,
};
use portcullis_validator::Validator;
use serde_json::json;
use tempfile::NamedTempFile;
use tonic::{Request, Status, client::Grpc};

const MARK: &str = "canary";
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TENANT: &str = "canary-tenant";
const IP: &str = "203.0.113.77";
const IP_6: &str = "2001:db8::77:1234";
const TRACE_ALL: &str = "portcullis=trace,info";

/// A request with what may stand beside a message.
fn marked<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in [
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("tracestate", "canary=state"),
        ("baggage", "user=canary-baggage"),
        ("x-forwarded-for", IP),
        ("x-user", "canary-header"),
    ] {
        request
            .metadata_mut()
            .insert(name, value.parse().expect("a header value"));
    }
    request
}

fn sign_in(user: &str) -> Request<v1::CreateSessionRequest> {
    marked(v1::CreateSessionRequest {
        tenant_id: TENANT.into(),
        user: Some(v1::SessionUser {
            id: user.into(),
            user_name: "canary-name".into(),
            given_name: "canary-given".into(),
            family_name: "canary-family".into(),
            email: "canary@example.test".into(),
            roles: None,
        }),
        client: Some(v1::Client {
            ip: IP.into(),
            user_agent: "Canary/1.0 (canary-device)".into(),
            device_id: "canary-device-id".into(),
            app_name: "canary-app".into(),
            ..Default::default()
        }),
        remember_me: true,
        amr: vec!["canary-amr".into()],
        acr: "canary-acr".into(),
        audiences: vec![
            AUDIENCE.into(),
            "portcullis".into(),
            "canary-audience".into(),
        ],
        ..Default::default()
    })
}

fn acting() -> Option<v1::ActingUser> {
    Some(v1::ActingUser {
        id: "canary-support-person".into(),
        ip: IP_6.into(),
    })
}

const REASON: &str = "canary-reason: he asked for it";
const USER_MESSAGE: &str = "canary-message";

/// What was sent that is secret, and the errors that came back.
#[derive(Default)]
struct Seen {
    secrets: Vec<String>,
    errors: Vec<Status>,
    /// Refusals of the paths of OAuth and OpenID Connect.
    refusals: Vec<String>,
}

impl Seen {
    fn tokens(&mut self, access: &str, refresh: &str) {
        // Parts of a token are as bad as the whole: what is signed with it, and what signs it.
        self.secrets
            .extend(access.split('.').skip(1).map(str::to_owned));
        self.secrets.push(refresh.to_owned());
    }

    fn error<T>(&mut self, result: Result<T, Status>) {
        self.errors.extend(result.err());
    }
}

struct Story<'a> {
    authority: &'a Serve,
    seen: Seen,
}

impl Story<'_> {
    async fn sign_in(&mut self, user: &str) -> v1::CreateSessionResponse {
        let created = SessionServiceClient::new(self.authority.transport(LOGIN))
            .create_session(sign_in(user))
            .await;
        let created = created.expect("a sign-in").into_inner();
        self.seen
            .tokens(&created.access_token, &created.refresh_token);
        created
    }

    /// The paths of OAuth and OpenID Connect, by forms that work and by forms that do not.
    async fn standards(&mut self) {
        let created = self.sign_in("canary-ada").await;
        let token = created.access_token.as_str();
        let cases = [
            (
                "/oauth2/introspect",
                basic("gateway", GATEWAY),
                ("token", token),
                200,
            ),
            (
                "/oauth2/introspect",
                basic("canary", "canary-secret"),
                ("token", token),
                401,
            ),
            (
                "/oauth2/introspect",
                basic("login", LOGIN),
                ("token", token),
                400,
            ),
            (
                "/oauth2/introspect",
                "Bearer canary".into(),
                ("token", token),
                401,
            ),
            (
                "/oauth2/introspect",
                basic("gateway", GATEWAY),
                ("canary", "canary"),
                400,
            ),
            (
                "/oauth2/revoke",
                basic("login", LOGIN),
                ("token", "prt_canary"),
                400,
            ),
            (
                "/oauth2/revoke",
                basic("login", LOGIN),
                ("token", "canary.of.nobody"),
                200,
            ),
            (
                "/oauth2/revoke",
                basic("login", LOGIN),
                ("token", token),
                200,
            ),
            (
                "/oidc/backchannel-logout",
                String::new(),
                ("logout_token", "canary.of.nobody"),
                400,
            ),
            (
                "/oidc/backchannel-logout",
                String::new(),
                ("logout_token", token),
                400,
            ),
        ];
        for (path, authorization, parameter, status) in cases {
            let page = post(self.authority.http, path, &authorization, &[parameter]).await;
            assert_eq!(page.status, status, "{path}: {}", page.body);
            if status != 200 {
                self.seen
                    .refusals
                    .push(format!("{:?} {}", page.headers, page.body));
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table, one case a row")]
    async fn sessions(&mut self) {
        let (one, two, three) = (
            self.sign_in("canary-ada").await,
            self.sign_in("canary-ada").await,
            self.sign_in("canary-bob").await,
        );
        let id = |created: &v1::CreateSessionResponse| {
            created.session.as_ref().expect("a session").id.clone()
        };
        let mut login = SessionServiceClient::new(self.authority.transport(LOGIN));
        let refresh = |token: &str| {
            marked(v1::RefreshSessionRequest {
                tenant_id: TENANT.into(),
                refresh_token: token.into(),
                audiences: vec!["canary-audience".into()],
                client: Some(v1::Client {
                    ip: IP.into(),
                    user_agent: "Canary/1.0 (canary-device)".into(),
                    device_id: "canary-device-id".into(),
                    ..Default::default()
                }),
            })
        };
        let refreshed = login
            .refresh_session(refresh(&one.refresh_token))
            .await
            .expect("refreshed")
            .into_inner();
        self.seen
            .tokens(&refreshed.access_token, &refreshed.refresh_token);
        let again = login
            .refresh_session(refresh(&refreshed.refresh_token))
            .await
            .expect("refreshed")
            .into_inner();
        self.seen.tokens(&again.access_token, &again.refresh_token);
        // Two generations old: theft, which is logged.
        let stolen = login.refresh_session(refresh(&one.refresh_token)).await;
        assert!(stolen.is_err());
        self.seen.error(stolen);
        self.seen
            .error(login.refresh_session(refresh("canary-refresh-token")).await);

        let mut own = SessionServiceClient::new(self.authority.transport(&two.access_token));
        let get = v1::GetSessionRequest {
            tenant_id: TENANT.into(),
            session_id: id(&two),
        };
        own.get_session(marked(get)).await.expect("their own");
        let mut admin = SessionServiceClient::new(self.authority.transport(ADMIN));
        let list = v1::ListSessionsRequest {
            tenant_id: TENANT.into(),
            user_id: "canary-ada".into(),
            page_size: 1,
            ..Default::default()
        };
        let listed = admin
            .list_sessions(marked(list.clone()))
            .await
            .expect("listed")
            .into_inner();
        self.seen.secrets.push(listed.next_page_token);
        let wrong = v1::ListSessionsRequest {
            page_token: "canary-page-token".into(),
            ..list
        };
        self.seen.error(admin.list_sessions(marked(wrong)).await);
        for token in [two.access_token.as_str(), "canary.access.token"] {
            let introspect = v1::IntrospectTokenRequest {
                tenant_id: TENANT.into(),
                token: token.into(),
                ..Default::default()
            };
            let answer = admin.introspect_token(marked(introspect)).await;
            assert!(answer.is_ok() || token.starts_with(MARK));
            self.seen.error(answer);
        }
        let revoke = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: id(&two),
            reason: REASON.into(),
            user_message: USER_MESSAGE.into(),
            acting_user: acting(),
            ..Default::default()
        };
        admin.revoke_session(marked(revoke)).await.expect("revoked");
        let batch = v1::BatchRevokeSessionsRequest {
            tenant_id: TENANT.into(),
            session_ids: vec![id(&three)],
            reason: REASON.into(),
            user_message: USER_MESSAGE.into(),
            acting_user: acting(),
            ..Default::default()
        };
        admin
            .batch_revoke_sessions(marked(batch))
            .await
            .expect("revoked");
        let others = v1::RevokeOtherSessionsRequest {
            tenant_id: TENANT.into(),
            user_id: "canary-ada".into(),
            include_current: true,
            reason: REASON.into(),
            user_message: USER_MESSAGE.into(),
            acting_user: acting(),
            ..Default::default()
        };
        admin
            .revoke_other_sessions(marked(others))
            .await
            .expect("revoked");
    }

    async fn more_sign_outs(&mut self) {
        let fay = self.sign_in("canary-fay").await;
        let mut login = SessionServiceClient::new(self.authority.transport(LOGIN));
        for token in [fay.refresh_token.as_str(), "canary.access.token"] {
            let revoke = v1::RevokeTokenRequest {
                tenant_id: TENANT.into(),
                token: token.into(),
                client_ip: IP_6.into(),
            };
            login.revoke_token(marked(revoke)).await.expect("revoked");
        }

        self.sign_in("canary-fay").await;
        let matching = v1::RevokeMatchingSessionsRequest {
            tenant_id: TENANT.into(),
            user_id: "canary-fay".into(),
            reason: REASON.into(),
            user_message: USER_MESSAGE.into(),
            acting_user: acting(),
            ..Default::default()
        };
        let mut admin = SessionServiceClient::new(self.authority.transport(ADMIN));
        let revoked = admin
            .revoke_matching_sessions(marked(matching))
            .await
            .expect("revoked")
            .into_inner();
        assert_eq!(revoked.revoked, 1);
    }

    async fn users(&mut self) {
        let mut users = UserServiceClient::new(self.authority.transport(ADMIN));
        let (tenant_id, user_id) = (TENANT.to_owned(), "canary-ada".to_owned());
        let get = v1::GetUserRequest {
            tenant_id: tenant_id.clone(),
            user_id: user_id.clone(),
        };
        users.get_user(marked(get)).await.expect("a user");
        let unknown = v1::GetUserRequest {
            tenant_id: tenant_id.clone(),
            user_id: "canary-nobody".into(),
        };
        self.seen.error(users.get_user(marked(unknown)).await);
        let force = v1::ForceSignOutRequest {
            tenant_id: tenant_id.clone(),
            user_ids: vec![user_id.clone()],
            reason: REASON.into(),
            user_message: USER_MESSAGE.into(),
            acting_user: acting(),
            ..Default::default()
        };
        users
            .force_sign_out(marked(force))
            .await
            .expect("signed out");
        let disable = v1::DisableUserRequest {
            tenant_id: tenant_id.clone(),
            user_id: user_id.clone(),
            reason: REASON.into(),
            user_message: USER_MESSAGE.into(),
            acting_user: acting(),
            ..Default::default()
        };
        users.disable_user(marked(disable)).await.expect("disabled");
        let mut login = SessionServiceClient::new(self.authority.transport(LOGIN));
        let refused = login.create_session(sign_in("canary-ada")).await;
        assert!(refused.is_err());
        self.seen.error(refused);
        let enable = v1::EnableUserRequest {
            tenant_id: tenant_id.clone(),
            user_id: user_id.clone(),
            reason: REASON.into(),
            acting_user: acting(),
            validate_only: false,
        };
        users.enable_user(marked(enable)).await.expect("enabled");
        let roles = v1::SetUserRolesRequest {
            tenant_id: tenant_id.clone(),
            user_id,
            roles: vec![v1::UserRole::Support.into()],
            reason: REASON.into(),
            acting_user: acting(),
        };
        users.set_user_roles(marked(roles)).await.expect("set");
        let export = v1::ExportUserRequest {
            tenant_id: tenant_id.clone(),
            user_id: "canary-ada".into(),
            ..Default::default()
        };
        users.export_user(marked(export)).await.expect("exported");
        // Somebody else, because the calls after this one need the user.
        let erase = v1::EraseUserRequest {
            tenant_id: tenant_id.clone(),
            user_id: "canary-erased".into(),
            reason: REASON.into(),
            acting_user: acting(),
            ..Default::default()
        };
        users.erase_user(marked(erase)).await.expect("erased");
        let delete = v1::DeleteTenantRequest {
            tenant_id: "canary-deleted".into(),
            reason: REASON.into(),
            force: true,
            acting_user: acting(),
            ..Default::default()
        };
        let mut operator = TenantServiceClient::new(self.authority.transport(OPERATOR));
        operator
            .delete_tenant(marked(delete))
            .await
            .expect("deleted");
        let tenant = v1::SignOutTenantRequest {
            tenant_id,
            reason: REASON.into(),
            user_message: USER_MESSAGE.into(),
            force: true,
            acting_user: acting(),
            ..Default::default()
        };
        let mut tenants = TenantServiceClient::new(self.authority.transport(ADMIN));
        tenants
            .sign_out_tenant(marked(tenant))
            .await
            .expect("signed out");
    }

    async fn audit(&mut self) {
        let mut admin = AuditServiceClient::new(self.authority.transport(ADMIN));
        let list = v1::ListAuditEventsRequest {
            tenant_id: TENANT.into(),
            user_id: "canary-ada".into(),
            page_size: 1,
            ..Default::default()
        };
        let listed = admin
            .list_audit_events(marked(list.clone()))
            .await
            .expect("listed")
            .into_inner();
        assert!(listed.events[0].reason == REASON && !listed.next_page_token.is_empty());
        self.seen.secrets.push(listed.next_page_token);
        let wrong = v1::ListAuditEventsRequest {
            page_token: "canary-page-token".into(),
            ..list.clone()
        };
        self.seen
            .error(admin.list_audit_events(marked(wrong)).await);
        let wrong = v1::ListAuditEventsRequest {
            actor: "canary\u{7f}".into(),
            ..list
        };
        self.seen
            .error(admin.list_audit_events(marked(wrong)).await);
        let watch = v1::WatchAuditEventsRequest {
            tenant_id: TENANT.into(),
            after_revision: Some(0),
            ..Default::default()
        };
        // The stream ends by itself a little before the deadline.
        let mut short = marked(watch.clone());
        short.set_timeout(Duration::from_secs(1));
        let watched = admin.watch_audit_events(short).await;
        let mut pieces = watched.expect("a stream").into_inner();
        let mut events = 0;
        while let Some(piece) = pieces.message().await.expect("no error") {
            events += piece.events.len();
            self.seen.secrets.push(piece.resume_token);
        }
        assert!(events > 0);
        let wrong = v1::WatchAuditEventsRequest {
            resume_token: "canary-resume-token".into(),
            ..watch
        };
        self.seen
            .error(admin.watch_audit_events(marked(wrong)).await);
        let mut operator = AuditServiceClient::new(self.authority.transport(OPERATOR));
        let verify = v1::VerifyAuditTrailRequest::default();
        let verified = operator
            .verify_audit_trail(marked(verify))
            .await
            .expect("verified")
            .into_inner();
        assert_eq!(verified.fault, None);
    }

    async fn lists_and_policies(&mut self) {
        let mut users = UserServiceClient::new(self.authority.transport(ADMIN));
        let list = v1::ListUsersRequest {
            tenant_id: TENANT.into(),
            page_size: 1,
            ..Default::default()
        };
        let listed = users
            .list_users(marked(list.clone()))
            .await
            .expect("listed")
            .into_inner();
        self.seen.secrets.push(listed.next_page_token);
        let wrong = v1::ListUsersRequest {
            page_token: "canary-page-token".into(),
            ..list
        };
        self.seen.error(users.list_users(marked(wrong)).await);
        let mut tenants = TenantServiceClient::new(self.authority.transport(ADMIN));
        let all = v1::ListTenantsRequest {
            page_token: "canary-page-token".into(),
            ..Default::default()
        };
        self.seen.error(tenants.list_tenants(marked(all)).await);
        let all = v1::ListTenantsRequest::default();
        tenants.list_tenants(marked(all)).await.expect("listed");
        let get = v1::GetPolicyRequest {
            tenant_id: TENANT.into(),
        };
        let policy = tenants
            .get_policy(marked(get))
            .await
            .expect("a policy")
            .into_inner()
            .policy;
        let update = v1::UpdatePolicyRequest {
            tenant_id: TENANT.into(),
            policy,
            reason: REASON.into(),
            acting_user: acting(),
            ..Default::default()
        };
        tenants
            .update_policy(marked(update.clone()))
            .await
            .expect("updated");
        self.seen.error(tenants.update_policy(marked(update)).await);
    }

    async fn activity(&mut self) {
        let created = self.sign_in("canary-eve").await;
        let seen = v1::Activity {
            tenant_id: TENANT.into(),
            credential_id: created.session.expect("a session").id,
            requests: 1,
            age: None,
            ip: IP_6.into(),
            last_page: "/canary-page".into(),
        };
        let wrong = v1::Activity {
            ip: "canary-address".into(),
            ..seen.clone()
        };
        let mut gate = RevocationServiceClient::new(self.authority.transport(GATEWAY));
        let report = |activity| {
            marked(v1::ReportActivityRequest {
                activities: vec![activity],
                ..Default::default()
            })
        };
        gate.report_activity(report(seen)).await.expect("taken");
        self.seen.error(gate.report_activity(report(wrong)).await);
    }

    async fn receipts(&mut self, operator: &mut RevocationServiceClient<Transport>) {
        let wait = |revision| {
            marked(v1::WaitForEnforcementRequest {
                revision,
                timeout: None,
            })
        };
        let watch = |revision| {
            marked(v1::WatchEnforcementRequest {
                revision,
                timeout: None,
            })
        };
        operator
            .wait_for_enforcement(wait(1))
            .await
            .expect("a receipt");
        operator
            .watch_enforcement(watch(1))
            .await
            .expect("receipts");
        for ahead in [0, u64::MAX] {
            let refused = operator.wait_for_enforcement(wait(ahead)).await;
            self.seen.error(refused);
            let refused = operator.watch_enforcement(watch(ahead)).await;
            self.seen.error(refused);
        }
    }

    async fn api_keys(&mut self) {
        let mut keys = ApiKeyServiceClient::new(self.authority.transport(ADMIN));
        let create = v1::CreateApiKeyRequest {
            tenant_id: TENANT.into(),
            owner_user_id: "canary-ada".into(),
            name: "canary-key-name".into(),
            scopes: vec!["canary:scope".into()],
            audiences: vec![AUDIENCE.into(), "canary-audience".into()],
            reason: REASON.into(),
            acting_user: acting(),
            ..Default::default()
        };
        let created = keys
            .create_api_key(marked(create.clone()))
            .await
            .expect("made")
            .into_inner();
        keys.create_api_key(marked(create)).await.expect("made");
        self.seen
            .secrets
            .extend(created.secret.split('.').skip(1).map(str::to_owned));
        let mut as_key = SessionServiceClient::new(self.authority.transport(&created.secret));
        self.seen.error(
            as_key
                .list_sessions(marked(v1::ListSessionsRequest::default()))
                .await,
        );
        let (tenant_id, api_key_id) = (TENANT.to_owned(), created.api_key.expect("a key").id);
        let get = v1::GetApiKeyRequest {
            tenant_id: tenant_id.clone(),
            api_key_id: api_key_id.clone(),
        };
        keys.get_api_key(marked(get)).await.expect("a key");
        let list = v1::ListApiKeysRequest {
            tenant_id: tenant_id.clone(),
            owner_user_id: "canary-ada".into(),
            page_size: 1,
            ..Default::default()
        };
        let listed = keys
            .list_api_keys(marked(list.clone()))
            .await
            .expect("listed")
            .into_inner();
        self.seen.secrets.push(listed.next_page_token);
        let wrong = v1::ListApiKeysRequest {
            page_token: "canary-page-token".into(),
            ..list
        };
        self.seen.error(keys.list_api_keys(marked(wrong)).await);
        let revoke = v1::RevokeApiKeyRequest {
            tenant_id,
            api_key_id,
            reason: REASON.into(),
            acting_user: acting(),
            ..Default::default()
        };
        keys.revoke_api_key(marked(revoke)).await.expect("revoked");
    }

    async fn token_secrets(&mut self, keys: &mut KeyServiceClient<Transport>) {
        keys.list_secrets(marked(v1::ListSecretsRequest {}))
            .await
            .expect("listed");
        let rotate = v1::RotateSecretRequest {
            kind: v1::SecretKind::Refresh.into(),
            reason: REASON.into(),
        };
        keys.rotate_secret(marked(rotate)).await.expect("rotated");
        let retire = |number| v1::RetireSecretRequest {
            kind: v1::SecretKind::Refresh.into(),
            number,
            reason: REASON.into(),
            force: true,
        };
        // The second makes no tokens yet, so it may go.
        keys.retire_secret(marked(retire(2)))
            .await
            .expect("retired");
        for number in [1, 9, 0] {
            let refused = keys.retire_secret(marked(retire(number))).await;
            self.seen.error(refused);
        }
        let reseal = v1::ResealSecretsRequest {
            reason: REASON.into(),
            ..Default::default()
        };
        keys.reseal_secrets(marked(reseal)).await.expect("resealed");
        self.dead_letters().await;
    }

    async fn dead_letters(&mut self) {
        let mut audit = AuditServiceClient::new(self.authority.transport(OPERATOR));
        let list = v1::ListDeadLettersRequest::default();
        audit.list_dead_letters(marked(list)).await.expect("listed");
        let retry = |export: &str| v1::RetryDeadLettersRequest {
            export: export.into(),
            reason: REASON.into(),
            ..Default::default()
        };
        let retried = audit.retry_dead_letters(marked(retry("siem"))).await;
        retried.expect("none is there");
        let refused = audit.retry_dead_letters(marked(retry(""))).await;
        self.seen.error(refused);
        let drop = v1::DropDeadLettersRequest {
            export: "siem".into(),
            reason: REASON.into(),
            ..Default::default()
        };
        audit.drop_dead_letters(marked(drop)).await.expect("none");
    }

    async fn installation(&mut self) {
        let mut keys = KeyServiceClient::new(self.authority.transport(OPERATOR));
        let listed = keys
            .list_signing_keys(marked(v1::ListSigningKeysRequest {}))
            .await
            .expect("listed")
            .into_inner();
        let rotate = v1::RotateSigningKeyRequest {
            reason: REASON.into(),
            ..Default::default()
        };
        let rotated = keys
            .rotate_signing_key(marked(rotate))
            .await
            .expect("rotated")
            .into_inner();
        let retire = |id: &str| v1::RetireSigningKeyRequest {
            key_id: id.into(),
            reason: REASON.into(),
            ..Default::default()
        };
        let new = rotated.key.expect("a key").id;
        keys.retire_signing_key(marked(retire(&new)))
            .await
            .expect("retired");
        self.seen.error(
            keys.retire_signing_key(marked(retire(&listed.keys[0].id)))
                .await,
        );
        self.seen
            .error(keys.retire_signing_key(marked(retire("canary-key"))).await);
        self.token_secrets(&mut keys).await;
        let mut everyone = RevocationServiceClient::new(self.authority.transport(OPERATOR));
        everyone
            .list_validators(marked(v1::ListValidatorsRequest {}))
            .await
            .expect("listed");
        self.receipts(&mut everyone).await;
        let request = v1::SignOutEveryoneRequest {
            reason: REASON.into(),
            user_message: USER_MESSAGE.into(),
            force: true,
            acting_user: acting(),
            ..Default::default()
        };
        everyone
            .sign_out_everyone(marked(request))
            .await
            .expect("signed out");
    }

    /// Every rpc with every field marked, by everybody.
    async fn nonsense(&mut self, contract: &Contract) {
        let user = self.sign_in("canary-eve").await.access_token;
        let forged = format!("{}canary", &user[..user.len() - 6]);
        for bearer in [
            LOGIN,
            ADMIN,
            SUPPORT,
            GATEWAY,
            OPERATOR,
            "",
            "canary-bearer",
            &user,
            &forged,
        ] {
            let mut client = Grpc::new(self.authority.transport(bearer));
            for method in &contract.methods {
                client.ready().await.expect("connects");
                let path = method.path.parse().expect("a path");
                let request = marked(contract.request(method, "canary \u{1f426} <text>"));
                let answer = client.unary(request, path, BytesCodec).await;
                self.seen.error(answer);
            }
            client.ready().await.expect("connects");
            let unknown =
                http::uri::PathAndQuery::from_static("/portcullis.v1.CanaryService/CanaryMethod");
            let answer = client
                .unary(marked(b"\xffcanary".to_vec()), unknown, BytesCodec)
                .await;
            self.seen.error(answer);
        }
    }

    fn gate(&mut self, gate: &Validator, token: &str) {
        for token in [token, "canary.access.token", &format!("{token}canary")] {
            // The verdict does not matter; what is said about it does.
            let _ = gate.check(token);
        }
    }
}

fn find(what: &str, text: &str, secrets: &[String]) {
    let lower = text.to_lowercase();
    for mark in [MARK, IP, IP_6] {
        if let Some(at) = lower.find(mark) {
            panic!(
                "{what} hold {mark}: …{}…",
                lower[at.saturating_sub(300)..]
                    .chars()
                    .take(500)
                    .collect::<String>()
            );
        }
    }
    let bearers = [LOGIN, ADMIN, SUPPORT, GATEWAY, OPERATOR];
    for secret in secrets
        .iter()
        .map(String::as_str)
        .chain(bearers)
        .filter(|secret| !secret.is_empty())
    {
        assert!(
            !text.contains(secret),
            "{what} hold a token or a credential"
        );
    }
}

/// Exports of the trail whose receivers take nothing.
fn exports(config: &Config, hooks: &WebhookReceiver) -> Vec<AuditExportConfig> {
    let secret = config.keys.master_key_file.with_extension("webhook");
    write_private(&secret, WEBHOOK_SECRET);
    let mut webhook = to_webhook("webhook", &hooks.url(), &secret);
    if let Some(settings) = &mut webhook.webhook {
        settings.give_up_after = Duration::from_secs(1);
        settings.retry_pause_max = Duration::from_secs(1);
    }
    // Nobody listens there.
    let syslog = syslog(json!({"address": "127.0.0.1:9", "transport": "tcp"}));
    vec![webhook, to_syslog("syslog", syslog)]
}

fn identity_provider(keys: &Path) -> IdentityProviderConfig {
    let config = json!({
        "issuer": "https://canary-idp.test",
        "client_id": "canary-client",
        "jwks_file": keys,
    });
    serde_json::from_value(config).expect("a provider")
}

/// Waits until every rpc was called and worked, and returns the metrics. A stream is counted when it has ended.
async fn every_rpc_was_called(http: SocketAddr, contract: &Contract) -> Scraped {
    eventually("every rpc to have been called", async || {
        let metrics = Scraped::of(http).await;
        let ours = contract.methods.iter();
        let mut ours = ours.filter(|method| method.service.starts_with("portcullis."));
        let called = ours.all(|method| {
            let code = match method.name == "Watch" {
                true => "CANCELLED",
                false => "OK",
            };
            let labels = [
                ("rpc_method", &method.path[1..]),
                ("rpc_response_status_code", code),
            ];
            let count = "rpc_server_call_duration_seconds_count";
            metrics.value(count, &labels).is_some()
        });
        called.then_some(metrics)
    })
    .await
}

async fn drive(store: Option<String>, lines: &Lines) {
    let receiver = Receiver::start().await;
    let hooks = WebhookReceiver::start().await;
    hooks.decide(|_| Some(400));
    let keys = NamedTempFile::new().expect("a file");
    std::fs::write(keys.path(), r#"{"keys": []}"#).expect("written");
    let mut authority = Serve::start(TRACE_ALL, |config| {
        config.telemetry.otlp_endpoint = Some(receiver.endpoint.clone());
        config.telemetry.trace_sample_ratio = 1.0;
        config.tokens.refresh_grace = Duration::ZERO;
        config.audit_exports = exports(config, &hooks);
        config.identity_providers = vec![identity_provider(keys.path())];
        if let Some(url) = store {
            config.store.url = url;
        }
    })
    .await;
    let contract = Contract::read();
    let (gate, lasting) = (
        ready(authority.gate("gate")).await,
        ready(authority.gate("lasting gate")).await,
    );
    let mut story = Story {
        authority: &authority,
        seen: Seen::default(),
    };
    let token = story.sign_in("canary-eve").await.access_token;
    story.gate(&gate, &token);
    story.sessions().await;
    story.more_sign_outs().await;
    story.standards().await;
    story.users().await;
    story.lists_and_policies().await;
    story.activity().await;
    story.api_keys().await;
    story.audit().await;
    story.nonsense(&contract).await;
    story.installation().await;
    story.gate(&gate, &token);
    let mut seen = story.seen;
    seen.secrets.push(WEBHOOK_SECRET.into());
    drop(gate);
    eventually("the exports to fail", async || {
        let log = authority.log();
        let has_failed = log.contains("an audit event was given up")
            && log.contains("the audit export was not delivered");
        has_failed.then_some(())
    })
    .await;

    let metrics = every_rpc_was_called(authority.http, &contract).await;
    assert!(authority.terminate().await.success());

    let spans = receiver.text();
    assert!(
        contract
            .methods
            .iter()
            .all(|method| spans.contains(&method.path[1..])),
        "spans of every rpc"
    );
    let log = authority.log();
    let logged = |method: &Method| log.contains(&method.path[1..]);
    assert!(
        contract.methods.iter().all(logged),
        "lines of every rpc: {log}"
    );
    eventually("the gate to say that its stream ended", async || {
        lines
            .text()
            .contains("cannot follow the authority")
            .then_some(())
    })
    .await;
    drop(lasting);
    assert!(seen.errors.len() > 100 && seen.secrets.len() > 20);

    find("the logs", &log, &seen.secrets);
    find("the gate's logs", &lines.text(), &seen.secrets);
    find("the spans and metrics by OTLP", &spans, &seen.secrets);
    find("the metrics", metrics.text(), &seen.secrets);
    for refusal in &seen.refusals {
        find("refusals by HTTP", refusal, &seen.secrets);
    }
    for error in &seen.errors {
        find("errors", error.message(), &seen.secrets);
        find(
            "errors' details",
            &String::from_utf8_lossy(error.details()),
            &seen.secrets,
        );
        find(
            "errors' metadata",
            &format!("{:?}", error.metadata()),
            &seen.secrets,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_and_personal_data_appear_in_no_output() {
    let lines = Lines::capture(TRACE_ALL);
    drive(None, &lines).await;
    drive(Some(postgres::fresh_url().await), &lines).await;
}
