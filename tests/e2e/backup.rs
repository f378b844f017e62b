//! `portcullis backup` beside an authority under load, and `portcullis restore`.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, OPERATOR, SUPPORT, TENANT, TestAuthority, session_id, sign_in},
    gate::{applied, refused, verdict},
    process::run,
    wait::eventually,
};
use portcullis_validator::Rejection;
use tokio::{sync::Mutex, task::JoinSet};

/// Sessions that the backup must have.
const SESSIONS_MIN: usize = 50;
const WORKERS: usize = 4;

/// A session, and the revision of its revocation if it was revoked.
type Acknowledged = HashMap<String, (v1::CreateSessionResponse, Option<u64>)>;

async fn revoke(authority: &TestAuthority, id: &str) -> u64 {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: id.into(),
        ..Default::default()
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    let enforcement = revoked.expect("revoked").into_inner().enforcement;
    enforcement.expect("an enforcement").revision
}

/// Signs in, and signs every other one out, until it is told to stop.
async fn work(authority: &TestAuthority, known: &Mutex<Acknowledged>, stop: &AtomicBool) {
    let mut sessions = authority.sessions(LOGIN);
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let created = sessions.create_session(sign_in("ada")).await;
        let created = created.expect("a backup holds nothing up").into_inner();
        let id = session_id(&created);
        let revision = match round % 2 {
            0 => None,
            _ => Some(revoke(authority, &id).await),
        };
        known.lock().await.insert(id, (created, revision));
    }
}

async fn is_alive(authority: &TestAuthority, id: &str) -> bool {
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: id.into(),
    };
    let found = authority.sessions(SUPPORT).get_session(request).await;
    let session = found.expect("the backup has it").into_inner().session;
    session.expect("a session").end.is_none()
}

/// The configuration as a file, for commands.
fn configuration(authority: &TestAuthority) -> String {
    let file = authority.directory().join("portcullis.toml");
    let text = toml::to_string(&authority.config).expect("TOML");
    fs::write(&file, text).expect("written");
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_all_that_was_acknowledged_before_it_and_is_restored() {
    let mut authority = Arc::new(TestAuthority::sqlite().await);
    let gate = authority.ready_gate().await;
    let config = configuration(&authority);
    let backup = authority.directory().join("backup.db");
    let backup = backup.to_str().expect("a path");

    let known = Arc::new(Mutex::new(Acknowledged::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (authority, known, stop) = (authority.clone(), known.clone(), stop.clone());
        workers.spawn(async move { work(&authority, &known, &stop).await });
    }
    let before = eventually("sessions", async || {
        let known = known.lock().await;
        (known.len() >= SESSIONS_MIN).then(|| known.clone())
    })
    .await;
    let (code, said, stderr) = run(&["backup", "--config", &config, backup]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(said.contains("up to revision"), "{said}");
    let at_the_end = known.lock().await.len();
    eventually("the load to go on", async || {
        (known.lock().await.len() > at_the_end).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    while let Some(worker) = workers.join_next().await {
        worker.expect("no call failed");
    }

    // Somebody who is in the backup is signed out after it.
    let alive = |sessions: &Acknowledged| {
        let mut sessions = sessions.iter();
        let found = sessions.find(|(_, (_, revision))| revision.is_none());
        found.map(|(id, _)| id.clone()).expect("one is signed in")
    };
    let lost = alive(&before);
    applied(&gate, revoke(&authority, &lost).await).await;
    let token = before[&lost].0.access_token.clone();

    let restore = [
        "restore",
        "--config",
        &config,
        backup,
        "--replace",
        "--keep-sessions",
    ];
    let (code, _, stderr) = run(&restore).await;
    assert_eq!(code, Some(1), "an authority runs: {stderr}");
    assert!(is_alive(&authority, &alive(&before)).await || lost == alive(&before));
    let running = Arc::get_mut(&mut authority).expect("no worker has it");
    running.stop().await;
    let (code, _, stderr) = run(&restore[..4]).await;
    assert_eq!(code, Some(2), "there is a database: {stderr}");
    assert!(stderr.contains("store.url"), "{stderr}");
    let (code, said, stderr) = run(&restore).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(said.contains("before-restore-"), "{said}");

    running.start().await;
    for (id, (_, revision)) in &before {
        assert_eq!(is_alive(running, id).await, revision.is_none(), "{id}");
    }
    assert_eq!(
        refused(&gate, &token).await,
        Rejection::Revoked,
        "the gate keeps what the backup does not have"
    );
    let other = before
        .values()
        .find(|(created, revision)| revision.is_none() && created.access_token != token);
    let (other, _) = other.expect("another one");
    assert_eq!(verdict(&gate, &other.access_token).await, None);
    let request = v1::VerifyAuditTrailRequest::default();
    let verified = running.audit(OPERATOR).verify_audit_trail(request).await;
    verified.expect("the trail is whole");
}

#[tokio::test]
async fn a_file_that_is_no_whole_backup_changes_nothing() {
    let mut authority = TestAuthority::sqlite().await;
    let ada = session_id(&authority.sign_in("ada").await);
    let config = configuration(&authority);
    let file = |name: &str| authority.directory().join(name).display().to_string();
    let (backup, damaged, other) = (file("backup.db"), file("damaged.db"), file("other.db"));
    let (code, _, stderr) = run(&["backup", "--config", &config, &backup]).await;
    assert_eq!(code, Some(0), "{stderr}");
    let (code, _, stderr) = run(&["backup", "--config", &config, &backup]).await;
    assert_eq!(code, Some(1), "it is not written over: {stderr}");

    let mut bytes = fs::read(&backup).expect("the backup");
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xff);
    fs::write(&damaged, bytes).expect("written");
    fs::write(&other, "not a database").expect("written");
    authority.stop().await;
    for file in [&damaged, &other] {
        let restore = ["restore", "--config", &config, file, "--replace"];
        let (code, _, stderr) = run(&restore).await;
        assert_eq!(code, Some(1), "{stderr}");
    }
    authority.start().await;
    assert!(is_alive(&authority, &ada).await);
}

#[tokio::test]
async fn a_restore_that_cannot_begin_a_new_history_changes_nothing() {
    let mut authority = TestAuthority::sqlite().await;
    let ada = session_id(&authority.sign_in("ada").await);
    let config = configuration(&authority);
    let backup = authority.directory().join("backup.db");
    let backup = backup.to_str().expect("a path");
    let (code, _, stderr) = run(&["backup", "--config", &config, backup]).await;
    assert_eq!(code, Some(0), "{stderr}");
    revoke(&authority, &ada).await;
    authority.stop().await;

    let key = authority.config.keys.master_key_file.clone();
    let right = fs::read(&key).expect("read");
    fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("written");
    let restore = ["restore", "--config", &config, backup, "--replace"];
    let (code, _, stderr) = run(&restore).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("the master key: "), "{stderr}");
    let data = authority.config.store.url.strip_prefix("sqlite:");
    let left = files_below(Path::new(data.expect("a directory")));
    let is_of_a_restore = |file: &PathBuf| file.to_string_lossy().contains("restor");
    assert!(!left.iter().any(is_of_a_restore), "{left:?}");

    fs::write(&key, right).expect("written");
    authority.start().await;
    assert!(!is_alive(&authority, &ada).await, "as it was");
}

#[tokio::test]
async fn what_needs_a_database_makes_none() {
    let mut authority = TestAuthority::sqlite().await;
    let empty = authority.directory().join("empty");
    authority.stop().await;
    authority.config.store.url = format!("sqlite:{}", empty.display());
    let config = configuration(&authority);
    for command in ["recover", "log-version"] {
        let (code, _, stderr) = run(&[command, "--config", &config]).await;
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("there is no database in"), "{stderr}");
        assert!(!empty.exists());
    }
}

/// The user `nobody`, in the place of the service's.
const SERVICE: u32 = 65534;

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        }
        files.push(path);
    }
    files
}

/// Root restores, because root alone reads the master key of the packaged service. Only root can give files away, so
/// this test shows nothing under another user.
#[tokio::test]
async fn what_root_restores_belongs_to_the_service() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut authority = TestAuthority::sqlite().await;
    let config = configuration(&authority);
    let backup = authority.directory().join("backup.db");
    let backup = backup.to_str().expect("a path");
    let (code, _, stderr) = run(&["backup", "--config", &config, backup]).await;
    assert_eq!(code, Some(0), "{stderr}");
    authority.stop().await;

    let data = authority.config.store.url.strip_prefix("sqlite:");
    let data = Path::new(data.expect("a directory")).to_owned();
    for file in files_below(&data).iter().chain([&data]) {
        chown(file, Some(SERVICE), Some(SERVICE)).expect("root may");
    }
    // A service that never ran has no file for the lock yet.
    fs::remove_file(data.join("lock")).expect("it was there");
    let restore = ["restore", "--config", &config, backup, "--replace"];
    let (code, _, stderr) = run(&restore).await;
    assert_eq!(code, Some(0), "{stderr}");

    let restored = files_below(&data);
    assert!(restored.contains(&data.join("portcullis.db")));
    for file in restored {
        let owner = fs::metadata(&file).expect("it is there").uid();
        assert_eq!(owner, SERVICE, "{}", file.display());
    }
}

#[tokio::test]
async fn a_backup_of_postgresql_names_the_page_that_says_how() {
    let authority = TestAuthority::sqlite().await;
    let config = configuration(&authority);
    let url = ["--store-url", "postgres://nobody@127.0.0.1:1/none"];
    for command in ["backup", "restore"] {
        let (code, _, stderr) = run(&[command, "--config", &config, url[0], url[1], "file"]).await;
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("docs/operating/backup.md"), "{stderr}");
    }
}
