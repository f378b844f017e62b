//! The console's page API sessions: keys, their use, the secret that is shown once.

use std::time::SystemTime;

use portcullis_contract::v1::{self, UserRole as Role};
use portcullis_tests::{
    authority::{ADMIN, GATEWAY, TENANT, TestAuthority},
    console::{Page, Reader, TestConsole, person},
    wait::eventually,
};

struct World {
    authority: TestAuthority,
    console: TestConsole,
}

impl World {
    async fn start() -> Self {
        let authority = TestAuthority::sqlite().await;
        let console = TestConsole::start(&authority).await;
        Self { authority, console }
    }

    async fn browser(&self, id: &str, roles: &[Role]) -> Reader {
        let token = person(&self.authority, id, roles).await.token;
        self.console.browser_of(&token)
    }

    async fn keys(&self) -> Vec<v1::ApiKey> {
        let request = v1::ListApiKeysRequest {
            tenant_id: TENANT.into(),
            show_ended: true,
            ..Default::default()
        };
        let listed = self.authority.api_keys(ADMIN).list_api_keys(request).await;
        listed.expect("keys").into_inner().api_keys
    }

    async fn create(&self, owner: &str, name: &str) -> v1::ApiKey {
        let request = v1::CreateApiKeyRequest {
            tenant_id: TENANT.into(),
            owner_user_id: owner.into(),
            name: name.into(),
            ..Default::default()
        };
        let created = self.authority.api_keys(ADMIN).create_api_key(request).await;
        created.expect("a key").into_inner().api_key.expect("a key")
    }

    /// Reports requests of a key as a gate does.
    async fn use_key(&self, key: &v1::ApiKey, requests: u32) {
        let request = v1::ReportActivityRequest {
            activities: vec![v1::Activity {
                tenant_id: TENANT.into(),
                credential_id: key.id.clone(),
                requests,
                ..Default::default()
            }],
            ..Default::default()
        };
        let reported = self
            .authority
            .revocations(GATEWAY)
            .report_activity(request)
            .await;
        assert_eq!(reported.expect("reported").into_inner().refused, 0);
    }
}

const GOOD: [(&str, &str); 5] = [
    ("owner", "ada"),
    ("name", "nightly <import>"),
    ("scopes", "read write"),
    ("expires", "90"),
    ("reason", "for the import"),
];

/// Sends the form of a new key. Returns the answer, and what was sent.
async fn create(browser: &mut Reader, fields: &[(&str, &str)]) -> (Page, String, String) {
    let form = browser.get("/api-sessions/new").await;
    let (token, once) = (form.form_token(), form.field("once").expect("a number"));
    let mut fields = fields.to_vec();
    fields.push(("once", &once));
    let page = browser.post("/api-sessions/new", &token, &fields).await;
    (page, token, once.clone())
}

fn secret_of(page: &Page) -> String {
    let (_, rest) = page.body.split_once("dir=\"ltr\">eyJ").expect("a secret");
    format!("eyJ{}", rest.split('<').next().expect("an end"))
}

#[tokio::test]
async fn a_secret_is_shown_once_and_nowhere_else() {
    let world = World::start().await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    let (page, token, once) = create(&mut ada, &GOOD).await;
    page.expect_status(200)
        .expect("Copy the secret now.")
        .expect("Secret of nightly <import>");
    assert!(!page.body.contains("<import>"), "the name is text");
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("location"), "");
    let secret = secret_of(&page);

    // The secret is good at a gate.
    let gate = world.authority.ready_gate().await;
    let admitted = gate.check_api_key(&secret).expect("admitted");
    let keys = world.keys().await;
    assert_eq!(keys.len(), 1);
    assert_eq!(admitted.owner_id.as_str(), "ada");
    let key = &keys[0];
    assert_eq!(
        (key.name.as_str(), key.owner_user_id.as_str()),
        ("nightly <import>", "ada")
    );
    assert_eq!(key.scopes, ["read", "write"]);
    let days = key.expire_time.expect("it expires").seconds - now();
    assert!((days - 90 * 86_400).abs() < 600, "{days}");

    // The same form again, as by a reload: no second key, and no secret.
    let mut fields = GOOD.to_vec();
    fields.push(("once", &once));
    let again = ada.post("/api-sessions/new", &token, &fields).await;
    again.expect_status(409).expect("This form was sent before");
    for page in [
        again,
        ada.get("/api-sessions").await,
        ada.get(&format!("/api-sessions/{}", key.id)).await,
        ada.get("/audit").await,
    ] {
        assert!(!page.body.contains(&secret), "shown a second time");
    }
    assert_eq!(world.keys().await.len(), 1);
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("fits")
}

#[tokio::test]
async fn bad_fields_are_named_and_create_nothing() {
    let world = World::start().await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    person(&world.authority, "gone", &[]).await;
    let request = v1::DisableUserRequest {
        tenant_id: TENANT.into(),
        user_id: "gone".into(),
        reason: "left".into(),
        ..Default::default()
    };
    world
        .authority
        .users(ADMIN)
        .disable_user(request)
        .await
        .expect("disabled");

    for (field, value, message) in [
        ("owner", " ", "Owner: enter a user id"),
        ("owner", "gone", "The owner is disabled."),
        ("name", "", "Name: enter 1 to 128 bytes"),
        ("scopes", "a\"b", "Scopes: at most 64"),
        ("expires", "soon", "Choose when the key expires."),
        ("reason", &"x".repeat(1_025), "Reason: at most 1,024 bytes"),
    ] {
        let mut fields = GOOD.to_vec();
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let (page, ..) = create(&mut ada, &fields).await;
        page.expect_status(422)
            .expect("Correct these fields. Nothing was created.")
            .expect(message);
    }
    assert_eq!(world.keys().await.len(), 0);
    // A form without its number is none of ours.
    let token = ada.get("/api-sessions/new").await.form_token();
    let page = ada.post("/api-sessions/new", &token, &GOOD).await;
    page.expect_status(409);
    assert_eq!(world.keys().await.len(), 0);
}

#[tokio::test]
async fn the_list_shows_use_with_a_chart_and_by_the_hour() {
    let world = World::start().await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    ada.get("/api-sessions").await.expect("No key is active.");
    let quiet = world.create("bob", "quiet").await;
    let busy = world.create("ada", "busy <script>").await;
    world.use_key(&busy, 41).await;
    world.use_key(&busy, 1).await;

    let page = eventually("the use to be shown", async || {
        let page = ada.clone().get("/api-sessions").await;
        page.text().contains("42").then_some(page)
    })
    .await;
    page.expect("quiet").expect("Never").expect("busy <script>");
    assert!(!page.body.contains("<script>"), "the name is text");
    let chart = "aria-label=\"42 requests in the last 24 hours, most in one hour: 42.\"";
    // At the turn of an hour the two reports may be in two hours.
    let parted = "aria-label=\"42 requests in the last 24 hours, most in one hour: 41.\"";
    assert!(
        page.body.contains(chart) || page.body.contains(parted),
        "{}",
        page.body
    );
    assert!(page.body.contains("<path d=\"M"), "a bar");
    assert!(
        page.body
            .contains("aria-label=\"No request in the last 24 hours.\"")
    );

    let detail = ada.get(&format!("/api-sessions/{}", busy.id)).await;
    detail.expect("Requests in each hour").expect("Active");
    let detail = ada.get(&format!("/api-sessions/{}", quiet.id)).await;
    detail.expect("No request in the last 24 hours.");

    let owned = ada.get("/api-sessions?owner=bob").await;
    owned.expect("quiet").expect_none("busy");
    ada.get("/api-sessions/key_01h455vb4pex5vsknk084sn02q")
        .await
        .expect_status(404);
}

#[tokio::test]
async fn long_lists_have_pages_and_one_of_yesterday_leads_to_the_first() {
    let world = World::start().await;
    for number in 0..23 {
        world.create("ada", &format!("key number {number}.")).await;
    }
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    let first = ada.get("/api-sessions").await;
    first.expect("key number 22.").expect_none("key number 2.");
    let next = first.body.split("href=\"").find_map(|part| {
        let link = part.split('"').next()?;
        link.starts_with("/api-sessions?page=")
            .then(|| link.replace("&#38;", "&"))
    });
    let next = next.expect("a next page");
    ada.get(&next)
        .await
        .expect("key number 2.")
        .expect("First page");
    let gone = ada.get("/api-sessions?page=yesterday").await;
    gone.expect_status(200)
        .expect("This page of the list is no longer available.")
        .expect("key number 22.");
}

#[tokio::test]
async fn a_key_is_revoked_after_a_question_and_the_receipt_is_shown() {
    let world = World::start().await;
    let gate = world.authority.ready_gate().await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    let (page, ..) = create(&mut ada, &GOOD).await;
    let secret = secret_of(&page);
    gate.check_api_key(&secret).expect("admitted");
    let path = format!("/api-sessions/{}", world.keys().await[0].id);
    let revoke = format!("{path}/revoke");

    ada.get(&revoke).await.expect("This cannot be undone.");
    assert_eq!(
        world.keys().await[0].state(),
        v1::ApiKeyState::Active,
        "only asked"
    );
    let long = "x".repeat(1_025);
    let refused = ada.submit(&revoke, &revoke, &[("reason", &long)]).await;
    refused.expect_status(422).expect("Nothing was revoked.");

    let revoked = ada.submit(&revoke, &revoke, &[("reason", "leaked")]).await;
    revoked.expect("The key is revoked.").expect("Revoked");
    assert!(revoked.body.contains("class=\"receipt\""), "the receipt");
    eventually("the gate to refuse it", async || {
        gate.check_api_key(&secret).is_err().then_some(())
    })
    .await;
    let twice = ada.submit(&revoke, &revoke, &[("reason", "again")]).await;
    twice.expect("The key had ended before.");
    ada.get("/api-sessions").await.expect("No key is active.");
    ada.get("/api-sessions?ended=on").await.expect("Revoked");
}

#[tokio::test]
async fn support_sees_keys_and_changes_none() {
    let world = World::start().await;
    let key = world.create("ada", "import").await;
    let mut sam = world.browser("sam", &[Role::Support]).await;
    let page = sam.get("/api-sessions").await;
    page.expect("import")
        .expect("You may see the keys and change nothing.");
    let detail = sam.get(&format!("/api-sessions/{}", key.id)).await;
    detail.expect_status(200).expect_none("Revoke this key");
    let revoke = format!("/api-sessions/{}/revoke", key.id);
    sam.get(&revoke).await.expect_status(403);
    sam.get("/api-sessions/new").await.expect_status(403);
    let token = sam.get("/audit").await.form_token();
    sam.post(&revoke, &token, &[("reason", "")])
        .await
        .expect_status(403);
    let mut fields = GOOD.to_vec();
    fields.push(("once", "0123"));
    sam.post("/api-sessions/new", &token, &fields)
        .await
        .expect_status(403);
    let keys = world.keys().await;
    assert_eq!((keys.len(), keys[0].state()), (1, v1::ApiKeyState::Active));
    let mut eve = world.browser("eve", &[]).await;
    eve.get("/api-sessions").await.expect_status(403);
}
