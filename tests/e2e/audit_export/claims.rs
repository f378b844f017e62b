//! Several authorities, their deaths, and other histories of the log.

use std::{path::PathBuf, time::Duration};

use portcullis_authority::config::Config;
use portcullis_contract::v1::user_service_client::UserServiceClient;
use portcullis_tests::{
    audit_export::to_file,
    authority::{ADMIN, TENANT, TestAuthority, write_master_key},
    postgres::{Schema, fresh_schema, shared},
    serve::Serve,
    wait::eventually,
};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{read_lines, sign_out, sign_out_users, signed_out, the_file_has};

/// What one export of several authorities shares.
struct Shared {
    schema: Schema,
    directory: TempDir,
}

impl Shared {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        write_master_key(&directory.path().join("master.key"));
        Self {
            schema: fresh_schema().await,
            directory,
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("audit.jsonl")
    }

    fn configure(&self, config: &mut Config) {
        config.store.url = self.schema.url.clone();
        config.keys.master_key_file = self.directory.path().join("master.key");
        config.audit_exports = vec![to_file("archive", &self.file())];
    }

    /// A process of `portcullis serve`.
    async fn serve(&self) -> Serve {
        Serve::start("info", |config| self.configure(config)).await
    }

    /// The first column of the export's row.
    async fn row(&self, column: &str) -> Option<String> {
        let admin = shared().await.admin().await;
        let sql = format!(
            "SELECT {column}::text FROM {}.audit_exports",
            self.schema.name
        );
        admin.maybe_text(&sql).await
    }
}

async fn sign_out_at(serve: &Serve, user: &str) {
    let users = UserServiceClient::new(serve.transport(ADMIN));
    sign_out(users, TENANT, user, "a test").await;
}

#[tokio::test]
async fn an_authority_that_is_killed_between_delivery_and_place_delivers_again() {
    let shared_parts = Shared::new().await;
    let file = shared_parts.file();
    let mut first = shared_parts.serve().await;
    sign_out_at(&first, "before").await;
    the_file_has(&file, &["before".to_owned()]).await;
    eventually("the place behind it", async || {
        let place = shared_parts.row("revision").await?;
        let head = format!(
            "SELECT revision::text FROM {}.log_head",
            shared_parts.schema.name
        );
        let head = shared().await.admin().await.text(&head).await;
        (place == head).then_some(())
    })
    .await;

    // Nobody can write the row of the export while this transaction has it.
    let admin = shared().await.admin().await;
    let lock = format!(
        "BEGIN; SELECT 1 FROM {}.audit_exports FOR UPDATE",
        shared_parts.schema.name
    );
    admin.batch_execute(&lock).await.expect("locked");
    sign_out_at(&first, "between").await;
    the_file_has(&file, &["before".to_owned(), "between".to_owned()]).await;
    first.kill().await;
    // The server would still finish a statement that waits for the lock, although its client is gone.
    let end = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{}'",
        shared_parts.schema.name
    );
    let other = shared().await.admin().await;
    other.batch_execute(&end).await.expect("ended");
    admin.batch_execute("ROLLBACK").await.expect("unlocked");

    let second = shared_parts.serve().await;
    sign_out_at(&second, "after").await;
    let repeated = ["before", "between", "between", "after"];
    the_file_has(&file, &repeated.map(str::to_owned)).await;
}

#[tokio::test]
async fn one_of_two_authorities_delivers_and_the_other_takes_over_within_seconds() {
    let shared_parts = Shared::new().await;
    let file = shared_parts.file();
    let mut first = shared_parts.serve().await;
    sign_out_at(&first, "user0").await;
    let mut users = vec!["user0".to_owned()];
    the_file_has(&file, &users).await;
    let second = shared_parts.serve().await;
    for number in 1..10 {
        let user = format!("user{number}");
        let by = if number % 2 == 0 { &first } else { &second };
        sign_out_at(by, &user).await;
        users.push(user);
    }
    // Each once: a second one that delivered too would repeat them.
    the_file_has(&file, &users).await;
    let says = "this authority delivers the audit export";
    assert!(first.log().contains(says) && !second.log().contains(says));
    assert_eq!(shared_parts.row("fence").await.as_deref(), Some("1"));

    first.kill().await;
    let killed = Instant::now();
    sign_out_at(&second, "orphan").await;
    eventually("the other to take over", async || {
        let lines = signed_out(&read_lines(&file));
        lines.contains(&"orphan".to_owned()).then_some(())
    })
    .await;
    assert!(
        killed.elapsed() < Duration::from_secs(15),
        "{:?}",
        killed.elapsed()
    );
    // What the first had delivered and not recorded may be there twice, and nothing is missing.
    let mut seen = signed_out(&read_lines(&file));
    seen.sort();
    seen.dedup();
    users.push("orphan".to_owned());
    users.sort();
    assert_eq!(seen, users);
    eventually("the other to say so", async || {
        second.log().contains(says).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_authority_that_was_paused_cannot_move_the_place() {
    let shared_parts = Shared::new().await;
    let file = shared_parts.file();
    let first = shared_parts.serve().await;
    sign_out_at(&first, "before").await;
    the_file_has(&file, &["before".to_owned()]).await;
    let second = shared_parts.serve().await;

    first.hang().await;
    sign_out_at(&second, "meanwhile").await;
    eventually("the other to take over", async || {
        let lines = signed_out(&read_lines(&file));
        lines.contains(&"meanwhile".to_owned()).then_some(())
    })
    .await;
    let fence = shared_parts.row("fence").await;
    assert_eq!(fence.as_deref(), Some("2"));
    first.go_on();
    eventually("the first to notice", async || {
        let lost = "the claim of the audit export was lost";
        first.log().contains(lost).then_some(())
    })
    .await;
    sign_out_at(&first, "after").await;
    eventually("the event", async || {
        let lines = signed_out(&read_lines(&file));
        lines.contains(&"after".to_owned()).then_some(())
    })
    .await;
    assert_eq!(
        shared_parts.row("fence").await,
        fence,
        "the second keeps it"
    );
    assert_eq!(
        signed_out(&read_lines(&file)),
        ["before", "meanwhile", "after"]
    );
}

#[tokio::test]
async fn an_authority_that_drains_gives_its_claim_back() {
    let shared_parts = Shared::new().await;
    let mut first = shared_parts.serve().await;
    eventually("the claim", async || {
        (shared_parts.row("fence").await? == "1").then_some(())
    })
    .await;
    assert!(first.terminate().await.success());
    let leased_until = shared_parts.row("leased_until_us").await;
    assert_eq!(leased_until.as_deref(), Some("0"));
}

#[tokio::test]
async fn another_history_is_delivered_from_where_it_parts() {
    let shared_parts = Shared::new().await;
    let file = shared_parts.file();
    let authority = TestAuthority::with(|config| shared_parts.configure(config)).await;
    // The file has each before the next, so the export has passed a mark of each.
    let mut users = Vec::new();
    for round in 0..4 {
        users.extend(sign_out_users(&authority, &format!("round{round}-"), 1).await);
        the_file_has(&file, &users).await;
    }
    let revision_of = |user: &str| {
        let lines = read_lines(&file);
        let event = lines.iter().find(|event| event["target"] == user);
        event.expect("there")["revision"]
            .as_u64()
            .expect("a number")
    };
    let parted = revision_of("round2-0");

    // What a failover does that lost batches: others have their revisions.
    let changed = format!(
        "UPDATE {}.log_batches SET chain = decode(repeat('07', 32), 'hex') WHERE revision >= {parted}",
        shared_parts.schema.name
    );
    let admin = shared().await.admin().await;
    admin.batch_execute(&changed).await.expect("changed");
    sign_out_users(&authority, "later", 1).await;
    eventually("the events to come again", async || {
        let lines = signed_out(&read_lines(&file));
        let is_last = lines.last().is_some_and(|user| user == "later0");
        (is_last && lines.len() > users.len() + 1).then_some(())
    })
    .await;
    let lines = signed_out(&read_lines(&file));
    let again = &lines[users.len()..];
    assert!(again.contains(&"round2-0".to_owned()), "{lines:?}");
    assert!(again.contains(&"round3-0".to_owned()), "{lines:?}");
    assert!(!again.contains(&"round0-0".to_owned()), "{lines:?}");
}
