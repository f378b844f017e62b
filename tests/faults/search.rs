//! Searches leave room for every other call, end within their limit, and end with their caller.

use std::time::Duration;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, TENANT, TestAuthority, reason, sign_in},
    postgres::{Schema, fresh_schema, shared},
    rows::behind,
    wait::{eventually, within},
};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status};

/// Makes lists of API keys take long for [`TENANT`], and for no other.
const SLOW_ON_POSTGRES: [&str; 3] = [
    "ALTER TABLE api_keys RENAME TO api_keys_table",
    "CREATE FUNCTION is_read_slowly() RETURNS boolean LANGUAGE plpgsql VOLATILE AS \
         $$ BEGIN PERFORM pg_sleep(300); RETURN true; END $$",
    "CREATE VIEW api_keys AS SELECT * FROM api_keys_table WHERE tenant_id <> 'acme' OR is_read_slowly()",
];
const SLOW_ON_SQLITE: [&str; 2] = [
    "ALTER TABLE api_keys RENAME TO api_keys_table",
    "CREATE VIEW api_keys AS SELECT * FROM api_keys_table WHERE tenant_id <> 'acme' OR 0 < \
         (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000000000) SELECT count(*) FROM c)",
];
/// Searches of one tenant at a time.
const CROWD: usize = 60;

/// An authority whose lists of API keys take long.
struct Slow {
    authority: TestAuthority,
    /// Of PostgreSQL.
    schema: Option<Schema>,
}

impl Slow {
    async fn sqlite(search_timeout: Duration) -> Self {
        let authority = TestAuthority::with(|config| config.store.search_timeout = search_timeout);
        Self::new(authority.await, None).await
    }

    async fn postgres(search_timeout: Duration) -> Self {
        let schema = fresh_schema().await;
        let url = schema.url.clone();
        let authority = TestAuthority::with(|config| {
            config.store.url = url;
            config.store.search_timeout = search_timeout;
        });
        Self::new(authority.await, Some(schema)).await
    }

    async fn new(authority: TestAuthority, schema: Option<Schema>) -> Self {
        let request = v1::CreateApiKeyRequest {
            tenant_id: TENANT.into(),
            owner_user_id: "ada".into(),
            name: "a key".into(),
            ..Default::default()
        };
        let created = authority.api_keys(ADMIN).create_api_key(request).await;
        created.expect("a key");
        let statements: &[_] = match schema {
            Some(_) => &SLOW_ON_POSTGRES,
            None => &SLOW_ON_SQLITE,
        };
        for statement in statements {
            behind(&authority, statement).await;
        }
        Self { authority, schema }
    }

    async fn list_keys(&self) -> Result<(), Status> {
        list_keys(&self.authority).await
    }

    /// Starts [`CROWD`] searches.
    async fn crowd(&self) -> JoinSet<()> {
        let mut crowd = JoinSet::new();
        for _ in 0..CROWD {
            let mut client = self.authority.api_keys(ADMIN);
            crowd.spawn(async move {
                // It ends with the test.
                let _ = client.list_api_keys(key_list()).await;
            });
        }
        if self.schema.is_some() {
            eventually("searches to run", async || {
                (self.backends("AND wait_event = 'PgSleep'").await > 0).then_some(())
            })
            .await;
        }
        crowd
    }

    /// Backends of the authority.
    async fn backends(&self, and: &str) -> usize {
        let name = &self.schema.as_ref().expect("of PostgreSQL").name;
        let sql = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{name}' {and}"
        );
        let count = shared().await.admin().await.text(&sql).await;
        count.parse().expect("a number")
    }

    /// The connections of all pools: sessions, searches, appender, beat and feed.
    fn connections_max(&self) -> usize {
        let store = &self.authority.config.store;
        store.connections_max + store.search_connections_max + 3
    }
}

fn key_list() -> v1::ListApiKeysRequest {
    v1::ListApiKeysRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    }
}

async fn list_keys(authority: &TestAuthority) -> Result<(), Status> {
    let listed = authority.api_keys(ADMIN).list_api_keys(key_list()).await;
    listed.map(drop)
}

async fn list_sessions(authority: &TestAuthority, tenant: &str) -> Result<(), Status> {
    let request = v1::ListSessionsRequest {
        tenant_id: tenant.into(),
        ..Default::default()
    };
    let listed = authority.sessions(ADMIN).list_sessions(request).await;
    listed.map(drop)
}

/// Signs in, refreshes and signs out, as a tenant that searches nothing.
async fn live_a_day(authority: &TestAuthority, number: usize) {
    let request = v1::CreateSessionRequest {
        tenant_id: "quiet".into(),
        ..sign_in(&format!("user-{number}"))
    };
    let created = authority.sessions(LOGIN).create_session(request).await;
    let created = created.expect("a sign-in").into_inner();
    let request = v1::RefreshSessionRequest {
        tenant_id: "quiet".into(),
        refresh_token: created.refresh_token,
        ..Default::default()
    };
    let refreshed = authority.sessions(LOGIN).refresh_session(request).await;
    refreshed.expect("a refresh");
    let request = v1::RevokeSessionRequest {
        tenant_id: "quiet".into(),
        session_id: created.session.expect("a session").id,
        ..Default::default()
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    revoked.expect("a revocation");
}

async fn others_go_on(slow: &Slow) {
    let crowd = slow.crowd().await;
    within("the quiet tenant's calls", async {
        for number in 0..10 {
            live_a_day(&slow.authority, number).await;
        }
        let listed = list_sessions(&slow.authority, "quiet").await;
        listed.expect("another tenant's list");
    })
    .await;
    if slow.schema.is_some() {
        eventually("half of the connections for searches", async || {
            let running = slow.backends("AND wait_event = 'PgSleep'").await;
            assert!(running <= 2, "{running} searches run");
            (running == 2).then_some(())
        })
        .await;
    }
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_of_one_tenant_keep_nobody_else_waiting() {
    let slow = Slow::postgres(Duration::from_secs(60)).await;
    others_go_on(&slow).await;
    others_go_on(&Slow::sqlite(Duration::from_secs(60)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_takes_too_long_says_what_to_do() {
    let limit = Duration::from_millis(300);
    for slow in [Slow::postgres(limit).await, Slow::sqlite(limit).await] {
        let refused = within("the limit", slow.list_keys()).await;
        let refused = refused.expect_err("too slow");
        assert_eq!(refused.code(), Code::DeadlineExceeded);
        assert_eq!(reason(&refused), "SEARCH_TOO_SLOW");
        assert!(refused.message().contains("narrow it"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_goes_away_ends_its_statement() {
    let slow = Slow::postgres(Duration::from_secs(60)).await;
    for _ in 0..3 * slow.authority.config.store.search_connections_max {
        assert_abandoned(&slow).await;
        assert!(slow.backends("").await <= slow.connections_max());
    }
    eventually("all statements to end", async || {
        (slow.backends("AND wait_event = 'PgSleep'").await == 0).then_some(())
    })
    .await;
    let listed = within("a list", list_sessions(&slow.authority, TENANT)).await;
    listed.expect("the places are free");

    // A reader that went on would keep the same tenant's next search waiting.
    let slow = Slow::sqlite(Duration::from_secs(60)).await;
    for _ in 0..4 {
        assert_abandoned(&slow).await;
    }
    let listed = within("a list", list_sessions(&slow.authority, TENANT)).await;
    listed.expect("the places are free");
}

/// Starts a search and gives it up.
async fn assert_abandoned(slow: &Slow) {
    let given_up = timeout(Duration::from_millis(200), slow.list_keys()).await;
    assert!(given_up.is_err(), "the search was not slow");
}
