//! Who may do what in PostgreSQL: the service's own role changes no audit row.

use std::time::Duration;

use portcullis_authority::{
    domain::{Mutation, Resealed, SealedPlace},
    store::{
        Recovered, Store, StoreStatus,
        postgres::{Postgres, PostgresOptions},
    },
};
use portcullis_contract::position::{Incarnation, Revision};
use portcullis_tests::{
    calls::{apply, head, open, rotate},
    given::{disable, enable, entry, key, record, revoke, secret, sign_in, sign_out},
    postgres::shared,
    replay::position_at,
};
use tokio_postgres::{Client, NoTls, error::SqlState};

/// An empty schema with roles of its own: one that owns it, and one that has nothing.
struct Roles {
    schema: &'static str,
}

impl Roles {
    async fn new(schema: &'static str) -> Self {
        let sql = format!(
            "CREATE ROLE {schema}_owner LOGIN; CREATE ROLE \"{schema} Service\" LOGIN; \
             CREATE SCHEMA {schema} AUTHORIZATION {schema}_owner"
        );
        shared()
            .await
            .admin()
            .await
            .batch_execute(&sql)
            .await
            .expect("roles and a schema");
        Self { schema }
    }

    async fn url(&self, role: &str) -> String {
        let url = shared()
            .await
            .url()
            .replace("postgres@", &format!("{role}@"));
        format!("{url}?options=-csearch_path%3D{}", self.schema)
    }

    async fn owner(&self) -> String {
        self.url(&format!("{}_owner", self.schema)).await
    }

    async fn service(&self) -> String {
        self.url(&format!("{}%20Service", self.schema)).await
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
    tokio::spawn(async { drop(connection.await) });
    client
}

/// By rights or, whatever they are, by the trigger.
const RIGHTS: &str = "permission denied";
const TRIGGER: &str = "audit rows stay as they are";

async fn refused(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.expect_err(sql);
    assert_eq!(
        error.code(),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE),
        "{sql}: {error}"
    );
    error
        .as_db_error()
        .expect("the server's")
        .message()
        .to_owned()
}

const CHANGES: [&str; 4] = [
    "UPDATE audit_events SET reason = 'another'",
    "DELETE FROM audit_events",
    "TRUNCATE audit_events",
    "INSERT INTO audit_events SELECT * FROM audit_events ON CONFLICT (event_id, ordinal) DO UPDATE SET reason = 'x'",
];

/// How a change is refused to a service: it may erase, and delete what is recorded as gone, so that its updates and deletions
/// come as far as the trigger.
async fn refused_to_service(client: &Client, change: &str) {
    let refused = refused(client, change).await;
    let expected = if change.contains("UPDATE") || change.contains("DELETE") {
        TRIGGER
    } else {
        RIGHTS
    };
    assert!(refused.starts_with(expected), "{change}: {refused}");
}

async fn verified(store: &dyn Store) {
    let verdict = store
        .verify_audit_trail(Revision(0), 1_000)
        .await
        .expect("an answer")
        .expect("the beginning");
    assert_eq!((verdict.fault, verdict.through), (None, verdict.head));
}

/// Everything that a service does to rows.
async fn work(store: &dyn Store) {
    let opened = open(store, &sign_in("t", "u")).await;
    rotate(store, &opened, 0).await;
    for entry in [
        revoke(&[&opened]),
        sign_out("t", &["u"]),
        disable("t", "u"),
        enable("t", "u"),
        record(),
    ] {
        apply(store, entry).await;
    }
    apply(store, entry(Mutation::TrustKey(key(Duration::ZERO)))).await;
    apply(
        store,
        entry(Mutation::Turn {
            life: Duration::ZERO,
            margin: Duration::ZERO,
        }),
    )
    .await;
    let first = secret(1, [1; 8], Duration::ZERO);
    store.keep_secret(&first).await.expect("kept");
    let second = secret(2, [1; 8], Duration::ZERO);
    apply(store, entry(Mutation::AddSecret(second.clone()))).await;
    let resealed = Resealed {
        place: SealedPlace::Secret(second.id),
        old: second.sealed,
        new: vec![2; 9],
    };
    apply(store, entry(Mutation::Reseal(vec![resealed]))).await;
    apply(store, entry(Mutation::RetireSecret(first.id))).await;
    store
        .token_life(Duration::from_secs(60), Duration::ZERO)
        .await
        .expect("a life");
    let at = position_at(store, Revision(1)).await;
    let is_kept = store.save_checkpoint(at, vec![1].into(), vec![2].into());
    assert!(is_kept.await.expect("a checkpoint"));
    store
        .trim(head(store).await, Duration::ZERO)
        .await
        .expect("trimmed");
    let checkpoint =
        |recovered: &Recovered| Ok((format!("{:?}", recovered.head).into(), vec![1].into()));
    store
        .recover(Incarnation([9; 16]), true, &checkpoint)
        .await
        .expect("a new history");
    // Before, it would have kept the recovery waiting.
    store.beat(&[1; 16]).await.expect("a beat");
    open(store, &sign_in("t", "u")).await;
    verified(store).await;
}

#[tokio::test]
async fn a_service_that_owns_its_schema_changes_no_audit_row() {
    let roles = Roles::new("alone").await;
    let owner = roles.owner().await;
    let store = Postgres::open(&owner, &PostgresOptions::default())
        .await
        .expect("opens");
    work(&store).await;
    let raw = connect(&owner).await;
    for change in CHANGES {
        refused_to_service(&raw, change).await;
    }
    // It may grant itself the right again; the trigger is there still.
    raw.batch_execute("GRANT ALL ON audit_events TO CURRENT_USER")
        .await
        .expect("an owner may");
    for change in CHANGES {
        assert_eq!(refused(&raw, change).await, TRIGGER, "{change}");
    }
    verified(&store).await;
}

#[tokio::test]
async fn a_service_beside_an_owner_has_the_rights_that_it_needs_and_no_others() {
    let roles = Roles::new("beside").await;
    let (owner, service) = (roles.owner().await, roles.service().await);
    let denied = Postgres::open(&service, &PostgresOptions::default()).await;
    assert!(denied.is_err(), "it cannot migrate");
    let options = PostgresOptions {
        owner_url: Some(owner.clone()),
        ..PostgresOptions::default()
    };
    let (one, two) = tokio::join!(
        Postgres::open(&service, &options),
        Postgres::open(&service, &options)
    );
    work(&one.expect("opens")).await;
    drop(two.expect("several may start at once"));

    let store = Postgres::open(&service, &PostgresOptions::default())
        .await
        .expect("there is nothing to migrate");
    apply(&store, sign_out("t", &["u"])).await;
    verified(&store).await;
    let raw = connect(&service).await;
    let more = [
        "DROP TRIGGER audit_events_stay ON audit_events",
        "ALTER TABLE audit_events DISABLE TRIGGER ALL",
        "DROP TABLE audit_events",
        "CREATE OR REPLACE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
        "SET session_replication_role = replica",
    ];
    for change in CHANGES.into_iter().chain(more) {
        refused(&raw, change).await;
    }
    raw.batch_execute("GRANT ALL ON audit_events TO CURRENT_USER")
        .await
        .expect("it says that nothing was granted");
    for change in CHANGES {
        refused_to_service(&raw, change).await;
    }
}

/// Without the right PostgreSQL shows standbys with nulls, which must not look like standbys that are level.
#[tokio::test]
async fn a_service_sees_no_standbys_before_it_may_read_their_statistics() {
    let roles = Roles::new("watching").await;
    let options = PostgresOptions {
        owner_url: Some(roles.owner().await),
        ..PostgresOptions::default()
    };
    let store = Postgres::open(&roles.service().await, &options)
        .await
        .expect("opens");
    let measure = store.measure().await.expect("measured");
    assert!(measure.size_bytes > 1_000_000, "{measure:?}");
    assert_eq!(measure.standbys, None);

    let grant = "GRANT pg_read_all_stats TO \"watching Service\"";
    let admin = shared().await.admin().await;
    admin.batch_execute(grant).await.expect("granted");
    let measure = store.measure().await.expect("measured");
    assert_eq!(measure.standbys, Some(Vec::new()));
}
