//! Old audit events are archived and removed by real authorities, whose clock was once forty days slow.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_authority::config::{AuditConfig, Config, Keep};
use portcullis_contract::v1::{
    self, audit_service_client::AuditServiceClient, session_service_client::SessionServiceClient,
    user_service_client::UserServiceClient,
};
use portcullis_tests::{
    authority::{ADMIN, LOGIN, OPERATOR, TENANT, sign_in, write_master_key},
    postgres::Cluster,
    process::run,
    serve::Serve,
    shim::Shim,
    telemetry::Scraped,
    wait::eventually,
};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The age of what is made while the clock is slow.
const DAYS_AGO: i64 = 40;
/// The tenant that keeps its events for good.
const KEEPER: &str = "keeper";

/// An installation whose authority and database have a clock that the test sets.
struct Installation {
    shim: Shim,
    cluster: Option<Cluster>,
    directory: TempDir,
}

impl Installation {
    async fn new(is_postgres: bool) -> Self {
        let shim = Shim::new();
        shim.step_clock(-DAYS_AGO * 24 * 60 * 60);
        let directory = tempfile::tempdir().expect("a directory");
        write_master_key(&directory.path().join("key"));
        std::fs::create_dir(directory.path().join("archive")).expect("a directory");
        let cluster = match is_postgres {
            true => Some(Cluster::start_under(&shim, &["fsync=off"]).await),
            false => None,
        };
        Self {
            shim,
            cluster,
            directory,
        }
    }

    fn archive(&self) -> PathBuf {
        self.directory.path().join("archive")
    }

    async fn serve(&self, is_archived: bool) -> Serve {
        let url = match &self.cluster {
            Some(cluster) => cluster.url(),
            None => format!("sqlite:{}", self.directory.path().join("data").display()),
        };
        let change = |config: &mut Config| {
            config.store.url = url;
            config.keys.master_key_file = self.directory.path().join("key");
            config.log.checkpoint_interval = Duration::from_millis(100);
            config.log.checkpoint_batches_min = 1;
            config.log.resume_window = Duration::ZERO;
            config.audit = AuditConfig {
                retention: Keep::For(30 * DAY),
                tenants: [(KEEPER.to_owned(), Keep::Forever)].into(),
                archive_directory: is_archived.then(|| self.archive()),
            };
        };
        Serve::start_under(&self.shim, "info", change).await
    }

    /// Sets the clock right.
    fn set_clock_right(&self) {
        self.shim.step_clock(0);
    }

    /// The finished files of the archive.
    fn files(&self) -> Vec<PathBuf> {
        files_in(&self.archive(), ".jsonl")
    }

    fn unfinished(&self) -> Vec<PathBuf> {
        files_in(&self.archive(), ".tmp")
    }
}

fn files_in(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

fn audit(serve: &Serve) -> AuditServiceClient<portcullis_tests::authority::Transport> {
    AuditServiceClient::new(serve.transport(OPERATOR))
}

async fn verify(serve: &Serve) -> v1::VerifyAuditTrailResponse {
    let request = v1::VerifyAuditTrailRequest::default();
    let answer = audit(serve).verify_audit_trail(request).await;
    answer.expect("an answer").into_inner()
}

async fn events(serve: &Serve, tenant_id: &str) -> usize {
    let request = v1::ListAuditEventsRequest {
        tenant_id: tenant_id.into(),
        page_size: 1_000,
        ..Default::default()
    };
    let mut client = AuditServiceClient::new(serve.transport(ADMIN));
    let answer = client.list_audit_events(request).await;
    answer.expect("an answer").into_inner().events.len()
}

/// Signs people of both tenants in and out. Returns the number of sign-outs.
async fn work(serve: &Serve, people: usize) -> usize {
    let mut sessions = SessionServiceClient::new(serve.transport(LOGIN));
    let mut users = UserServiceClient::new(serve.transport(ADMIN));
    for number in 0..people {
        for tenant_id in [TENANT, KEEPER] {
            let user = format!("user-{number}");
            let opening = v1::CreateSessionRequest {
                tenant_id: tenant_id.into(),
                ..sign_in(&user)
            };
            sessions.create_session(opening).await.expect("a session");
            let sign_out = v1::ForceSignOutRequest {
                tenant_id: tenant_id.into(),
                user_ids: vec![user],
                reason: "a test".into(),
                ..Default::default()
            };
            users.force_sign_out(sign_out).await.expect("signed out");
        }
    }
    people * 2
}

/// Works while the clock is slow, until everything is in the trail and a checkpoint allows most of it to be trimmed.
async fn long_ago(installation: &Installation, people: usize) {
    let mut serve = installation.serve(false).await;
    work(&serve, people).await;
    eventually("all events to be recorded", async || {
        let found = events(&serve, TENANT).await;
        (found >= (people * 2).min(100)).then_some(())
    })
    .await;
    // Two more checkpoints, so that both that are kept are behind the work.
    for number in 0..2 {
        let head = verify(&serve).await.head_revision;
        work(&serve, 1).await;
        tokio::time::sleep(Duration::from_millis(300 + number)).await;
        assert!(verify(&serve).await.head_revision > head);
    }
    serve.terminate().await;
    installation.set_clock_right();
}

async fn verify_files(files: &[PathBuf]) -> (Option<i32>, String, String) {
    let mut arguments = vec!["audit", "verify", "-o", "json"];
    arguments.extend(files.iter().map(|file| file.to_str().expect("UTF-8")));
    run(&arguments).await
}

/// The metrics say what went, how old the rest is, and when each kind was gone through.
async fn the_removal_is_measured(serve: &Serve) {
    let scraped = eventually("a round over all kinds", async || {
        let scraped = Scraped::of(serve.http).await;
        let of = |name: &str, kind: &str| scraped.value(name, &[("portcullis_kind", kind)]);
        for kind in ["sessions", "history", "audit_events"] {
            // All sessions of before have ended forty days ago, and are kept for thirty.
            let is_gone = of("portcullis_removal_rows_total", kind)? > 0.0;
            if !is_gone && kind != "history" {
                return None;
            }
        }
        of("portcullis_removal_oldest_seconds", "audit_events")?;
        Some(scraped)
    })
    .await;
    let of = |name: &str, kind: &str| {
        let value = scraped.value(name, &[("portcullis_kind", kind)]);
        value.unwrap_or_else(|| panic!("{name} of {kind}: {}", scraped.text()))
    };
    for kind in ["sessions", "history", "cutoffs", "audit_events"] {
        let age = of("portcullis_removal_round_age_seconds", kind);
        assert!((0.0..600.0).contains(&age), "{kind}: {age}");
    }
    let day = DAY.as_secs_f64();
    // The tenant that keeps its events for good.
    let oldest = of("portcullis_removal_oldest_seconds", "audit_events");
    assert!((39.0 * day..41.0 * day).contains(&oldest), "{oldest}");
    // Nobody said on what device they were, so there is no history that has an age.
    let history = [("portcullis_kind", "history")];
    let oldest = scraped.value("portcullis_removal_oldest_seconds", &history);
    assert_eq!(oldest, None);
}

async fn old_events_are_archived_and_then_removed(is_postgres: bool) {
    let installation = Installation::new(is_postgres).await;
    long_ago(&installation, 6).await;

    let serve = installation.serve(true).await;
    let verdict = eventually("old events to go", async || {
        let verdict = verify(&serve).await;
        assert_eq!(verdict.fault, None);
        (verdict.begin.is_some() && verdict.removed > 0).then_some(verdict)
    })
    .await;
    // The first sign-in of the tenant that keeps its events is near the beginning. From there on only the others are gone.
    let begin = verdict.begin.expect("a beginning");
    assert!(begin.revision < verdict.head_revision);
    eventually("the old events of one tenant to go", async || {
        (events(&serve, TENANT).await <= 4).then_some(())
    })
    .await;
    assert!(events(&serve, KEEPER).await >= 12, "{}", serve.log());
    the_removal_is_measured(&serve).await;

    // The archive has what is gone.
    let files = installation.files();
    assert!(!files.is_empty());
    let (code, output, problem) = verify_files(&files).await;
    assert_eq!(code, Some(0), "{problem}");
    let found: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    let archived: u64 = found
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| file["events"].as_u64().expect("a number"))
        .sum();
    assert!(archived >= 24, "{found}");
    let text = std::fs::read_to_string(&files[0]).expect("a file");
    assert!(text.contains("user-0") && text.contains("session.create"));

    // New events are verified as before.
    work(&serve, 1).await;
    let verdict = verify(&serve).await;
    assert_eq!(verdict.fault, None);
    assert_eq!(verdict.through_revision, verdict.head_revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_are_archived_and_then_removed_on_sqlite() {
    old_events_are_archived_and_then_removed(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_are_archived_and_then_removed_on_postgresql() {
    old_events_are_archived_and_then_removed(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_whose_authority_is_killed_has_no_gap_and_nothing_twice() {
    let installation = Installation::new(false).await;
    long_ago(&installation, 120).await;
    let mut torn = 0;
    for _ in 0..3 {
        let before = installation.unfinished();
        let mut serve = installation.serve(true).await;
        // Killed while it writes, or a moment later. Before, it waits until the claim of the one before it has ended.
        let killed = tokio::time::timeout(Duration::from_secs(20), async {
            while installation.unfinished() == before && installation.files().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        killed.await.expect("it writes");
        serve.kill().await;
        torn += usize::from(installation.files().is_empty());
    }
    assert!(torn > 0, "no kill came before the end of a file");

    let serve = installation.serve(true).await;
    eventually("old events to go", async || {
        let verdict = verify(&serve).await;
        assert_eq!(verdict.fault, None);
        verdict.begin.map(|_| ())
    })
    .await;
    let files = installation.files();
    let (code, output, problem) = verify_files(&files).await;
    assert_eq!(code, Some(0), "{problem}");
    let found: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(found[0]["after_revision"], 0, "{found}");
    let months: Vec<_> = found.as_array().expect("a list").iter().collect();
    let last = months.last().expect("a file")["through_revision"].as_u64();
    let begin = verify(&serve).await.begin.expect("a beginning").revision;
    assert!(last >= Some(begin), "all that is gone is in the archive");

    // Files that are torn, changed, or not in a row are noticed.
    let whole = std::fs::read_to_string(&files[0]).expect("a file");
    let copy = installation.directory.path().join("copy.jsonl");
    let lines: Vec<_> = whole.lines().collect();
    let without = |number: usize| {
        let mut lines = lines.clone();
        lines.remove(number);
        lines.join("\n") + "\n"
    };
    let cases = [
        (whole[..whole.len() - 1].to_owned(), "torn"),
        (without(lines.len() - 1), "the end of the file is missing"),
        (without(lines.len() - 2), "missing or added"),
        (without(5), "does not continue the chain"),
        (whole.replacen("user-7\"", "user-8\"", 1), "changed"),
        (format!("{whole}{whole}"), "behind the end"),
    ];
    for (text, problem) in cases {
        std::fs::write(&copy, text).expect("written");
        let (code, _, stderr) = verify_files(std::slice::from_ref(&copy)).await;
        assert_ne!(code, Some(0), "{problem}");
        assert!(stderr.contains(problem), "{problem}: {stderr}");
    }
}
