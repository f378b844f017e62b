//! TLS to a real PostgreSQL: each sslmode, certificates of both sides, and the binding of a password to its channel.

use std::{path::PathBuf, sync::Arc};

use futures::future::join_all;
use portcullis_authority::{
    Authority, check,
    domain::{SessionFilter, SessionOrder},
    store::{
        Store, StoreError,
        postgres::{Postgres, PostgresOptions},
    },
};
use portcullis_tests::{
    authority::config,
    given::{sign_in, sign_out, tenant},
    postgres::{Cluster, shared},
    wait::{eventually, within},
};
use tempfile::TempDir;

use crate::tls::{Issuer, certificate_authority, server_certificate, user_certificate, write};

/// The name in the server's certificate.
const HOST: &str = "db.internal";

/// `service` comes with a password over TLS only, `certified` with a certificate, `trusted` with nothing, and `plain`
/// without TLS only.
const ADMISSION: &str = "\
host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
hostssl all service 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
hostssl all trusted 127.0.0.1/32 trust
hostnossl all plain 127.0.0.1/32 trust
";

const SETTINGS: [&str; 7] = [
    "fsync=off",
    "ssl=on",
    "ssl_cert_file=$/server.pem",
    "ssl_key_file=$/server.key",
    "ssl_ca_file=$/clients.pem",
    "hba_file=$/admission",
    "log_min_error_statement=panic",
];

/// A server with TLS, and the files of those who connect.
struct Encrypted {
    cluster: Cluster,
    issuer: Issuer,
    files: TempDir,
}

impl Encrypted {
    async fn start() -> Self {
        let issuer = certificate_authority("the database's");
        let server = server_certificate(&issuer, HOST);
        let clients = issuer.pem();
        let files = [
            ("server.pem", server.pem.as_str()),
            ("server.key", &server.key),
            ("clients.pem", &clients),
            ("admission", ADMISSION),
        ];
        let cluster = Cluster::start_with_files(&files, &SETTINGS).await;
        let roles = "CREATE ROLE service LOGIN SUPERUSER PASSWORD 'secret'; CREATE ROLE certified LOGIN; \
             CREATE ROLE trusted LOGIN; CREATE ROLE plain LOGIN; GRANT CREATE ON SCHEMA public TO plain";
        let admin = cluster.admin().await;
        admin.batch_execute(roles).await.expect("roles");
        let encrypted = Self {
            cluster,
            issuer,
            files: tempfile::tempdir().expect("a directory"),
        };
        encrypted.write("ca.pem", &encrypted.issuer.pem());
        encrypted
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        write(self.files.path(), name, text)
    }

    /// A URL to the server by a name that leads to it, with `$` for the directory of the files.
    fn url(&self, user: &str, host: &str, parameters: &str) -> String {
        let parameters = parameters.replace('$', self.files.path().to_str().expect("a path"));
        let port = self.cluster.address().port();
        format!("postgres://{user}@{host}:{port}/postgres?hostaddr=127.0.0.1&{parameters}")
    }

    fn service(&self, parameters: &str) -> String {
        self.url("service:secret", HOST, parameters)
    }
}

async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let options = PostgresOptions::default();
    let opened = within("an answer", Postgres::open(url, &options)).await?;
    Ok(Arc::new(opened))
}

/// Asserts that a store cannot be opened because of TLS, and that the reason names a remedy and no password.
async fn assert_refused(url: &str, remedy: &str) {
    let Err(error) = open(url).await else {
        panic!("{url} is refused")
    };
    let text = error.to_string();
    assert!(matches!(error, StoreError::Tls(_)), "{url}: {error:?}");
    assert!(text.contains(remedy), "{url}: {text}");
    assert!(!text.contains("secret"), "{text}");
}

/// Uses every lane of a store.
async fn each_lane_works(store: &Arc<dyn Store>) {
    let batch = [sign_out("t", &["nobody"])];
    let new = sign_in("t", "u");
    let filter = SessionFilter::of(tenant("t"));
    let lists = (0..16).map(|_| store.list_sessions(&filter, SessionOrder::Start, None, 10));
    tokio::join!(
        eventually("a batch", async || store.append(&batch).await.ok()),
        eventually("a beat", async || store.beat(&[1; 16]).await.ok()),
        eventually("the head", async || store.head().await.ok()),
        eventually("a sign-in", async || store.sign_in(&new).await.ok()),
        join_all(lists),
    );
}

const VERIFIED: &str = "sslmode=verify-full&sslrootcert=$/ca.pem";

#[tokio::test]
async fn every_connection_is_encrypted_and_its_server_verified() {
    let server = Encrypted::start().await;
    let url = server.service(&format!("{VERIFIED}&channel_binding=require"));
    let store = open(&url).await.expect("opens");
    each_lane_works(&store).await;
    let admin = server.cluster.admin().await;
    let connections = "SELECT count(*) FILTER (WHERE ssl) || ' of ' || count(*) FROM pg_stat_ssl \
         JOIN pg_stat_activity USING (pid) WHERE usename = 'service'";
    let counted = admin.text(connections).await;
    let (encrypted, all) = counted.split_once(" of ").expect("two counts");
    assert_eq!(encrypted, all);
    assert!(all.parse::<u32>().expect("a number") > 5, "{counted}");

    for parameters in [
        "sslmode=require",
        "sslmode=require&sslrootcert=$/ca.pem",
        "sslmode=verify-ca&sslrootcert=$/ca.pem",
        "sslmode=prefer&channel_binding=require",
    ] {
        assert!(
            open(&server.service(parameters)).await.is_ok(),
            "{parameters}"
        );
    }
}

#[tokio::test]
async fn a_server_of_another_name_or_authority_is_refused() {
    let server = Encrypted::start().await;
    server.write("other.pem", &certificate_authority("another").pem());
    let service = "service:secret";

    let other_name = server.url(service, "localhost", VERIFIED);
    assert_refused(&other_name, "name the host in the URL").await;
    // The address alone is a name that the certificate does not have.
    let port = server.cluster.address().port();
    let ca = server.files.path().join("ca.pem");
    let address = format!(
        "postgres://{service}@127.0.0.1:{port}/postgres?sslmode=verify-full&sslrootcert={}",
        ca.display()
    );
    assert_refused(&address, "name the host in the URL").await;
    let any_name = "sslmode=verify-ca&sslrootcert=$/ca.pem";
    assert!(
        open(&server.url(service, "localhost", any_name))
            .await
            .is_ok()
    );

    for mode in ["require", "verify-ca", "verify-full"] {
        let other = server.service(&format!("sslmode={mode}&sslrootcert=$/other.pem"));
        assert_refused(&other, "sslrootcert").await;
    }
    for (file, text) in [("none.pem", None), ("empty.pem", Some("no certificate"))] {
        if let Some(text) = text {
            server.write(file, text);
        }
        let url = server.service(&format!("sslmode=verify-ca&sslrootcert=$/{file}"));
        assert_refused(&url, "sslrootcert must").await;
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_unless_tls_is_only_preferred() {
    let url = shared().await.url();
    assert_refused(&format!("{url}?sslmode=require"), "ssl = on").await;
    let schema = "CREATE SCHEMA IF NOT EXISTS without_tls";
    shared()
        .await
        .admin()
        .await
        .batch_execute(schema)
        .await
        .expect("a schema");
    let preferred = format!("{url}?sslmode=prefer&options=-csearch_path%3Dwithout_tls");
    each_lane_works(&open(&preferred).await.expect("opens")).await;

    // A server with TLS may admit a user without it only.
    let server = Encrypted::start().await;
    let plain = server.url("plain", HOST, "sslmode=prefer");
    each_lane_works(&open(&plain).await.expect("opens")).await;
    let demanded = open(&server.url("plain", HOST, "sslmode=require")).await;
    let text = demanded.err().expect("refused").to_string();
    assert!(text.contains("pg_hba.conf"), "{text}");
}

#[tokio::test]
async fn a_server_asks_for_a_client_certificate() {
    let server = Encrypted::start().await;
    let certificate = user_certificate(&server.issuer, "certified");
    server.write("client.pem", &certificate.pem);
    server.write("client.key", &certificate.key);
    let admin = server.cluster.admin().await;
    let grant = "GRANT CREATE ON SCHEMA public TO certified";
    admin.batch_execute(grant).await.expect("granted");

    let without = open(&server.url("certified", HOST, VERIFIED)).await;
    let text = without.err().expect("refused").to_string();
    assert!(text.contains("sslcert"), "{text}");
    let shown = format!("{VERIFIED}&sslcert=$/client.pem&sslkey=$/client.key");
    let store = open(&server.url("certified", HOST, &shown)).await;
    each_lane_works(&store.expect("opens")).await;

    let stranger = user_certificate(&certificate_authority("another"), "certified");
    server.write("client.pem", &stranger.pem);
    server.write("client.key", &stranger.key);
    assert_refused(&server.url("certified", HOST, &shown), "ssl_ca_file").await;
    server.write("client.key", &certificate.key);
    let mismatched = server.url("certified", HOST, &shown);
    assert_refused(&mismatched, "sslkey must belong to sslcert").await;
}

#[tokio::test]
async fn a_server_that_does_not_bind_the_password_to_the_channel_is_refused_where_that_is_required()
{
    let server = Encrypted::start().await;
    let admin = server.cluster.admin().await;
    let grant = "GRANT CREATE ON SCHEMA public TO trusted";
    admin.batch_execute(grant).await.expect("granted");
    let required = format!("{VERIFIED}&channel_binding=require");
    assert_refused(
        &server.url("trusted", HOST, &required),
        "channel_binding=require",
    )
    .await;
    assert!(open(&server.url("trusted", HOST, VERIFIED)).await.is_ok());
}

#[tokio::test]
async fn a_check_and_a_start_name_what_is_wrong_with_tls() {
    let server = Encrypted::start().await;
    let url = server.url("service:secret", "localhost", VERIFIED);
    let mut config = config(server.files.path());
    config.store.url = url;
    let checked = check(&config).await.expect_err("refused").to_string();
    let started = Authority::start(config.clone()).await;
    let started = started.err().expect("refused").to_string();
    for text in [checked, started] {
        assert!(text.contains("name the host in the URL"), "{text}");
    }
    config.store.url = server.service(VERIFIED);
    check(&config).await.expect("good");
}

#[tokio::test]
async fn an_abandoned_statement_is_cancelled_over_tls() {
    let server = Encrypted::start().await;
    let store = open(&server.service(VERIFIED)).await.expect("opens");
    each_lane_works(&store).await;
    let admin = server.cluster.admin().await;
    let lock = "BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE";
    admin.batch_execute(lock).await.expect("locked");

    let looker = server.cluster.admin().await;
    let (searcher, filter) = (Arc::clone(&store), SessionFilter::of(tenant("t")));
    let search = tokio::spawn(async move {
        searcher
            .list_sessions(&filter, SessionOrder::Start, None, 10)
            .await
    });
    let waits =
        "SELECT 1 FROM pg_stat_activity WHERE usename = 'service' AND wait_event_type = 'Lock'";
    eventually("the search waits", async || looker.maybe_text(waits).await).await;
    search.abort();
    eventually("the statement to be cancelled", async || {
        let log = server.cluster.log();
        log.contains("canceling statement due to user request")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn replaced_files_count_from_the_next_connection_and_unusable_ones_do_not() {
    let server = Encrypted::start().await;
    let store = open(&server.service(VERIFIED)).await.expect("opens");
    each_lane_works(&store).await;
    let admin = server.cluster.admin().await;
    let end_all =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'service'";

    server.write("ca.pem", "no certificate");
    admin.text(end_all).await;
    each_lane_works(&store).await;

    server.write("ca.pem", &certificate_authority("another").pem());
    admin.text(end_all).await;
    eventually("the other authority counts", async || {
        match store.head().await {
            Err(StoreError::Tls(text)) if text.contains("sslrootcert") => Some(()),
            _ => None,
        }
    })
    .await;
    assert!(store.outage().duration().is_some());

    server.write("ca.pem", &server.issuer.pem());
    each_lane_works(&store).await;
}

#[tokio::test]
async fn a_promotion_is_followed_over_tls() {
    let mut server = Encrypted::start().await;
    let standby = server.cluster.synchronous_standby("standby1").await;
    let ca = server.files.path().join("ca.pem");
    let url = format!(
        "postgres://service:secret@{HOST}:{},{HOST}:{}/postgres?hostaddr=127.0.0.1,127.0.0.1\
         &sslmode=verify-full&channel_binding=require&sslrootcert={}",
        server.cluster.address().port(),
        standby.address().port(),
        ca.display()
    );
    let store = open(&url).await.expect("opens");
    each_lane_works(&store).await;
    server.cluster.kill().await;
    assert!(store.append(&[sign_out("t", &["v"])]).await.is_err());
    standby.promote().await;
    within("the promotion to be followed", each_lane_works(&store)).await;
}
