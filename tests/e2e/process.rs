//! The binary as a user meets it: the demo, kill -9, SIGTERM, bad options.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use portcullis_contract::v1::{self, session_service_client::SessionServiceClient};
use portcullis_tests::{
    authority::{TENANT, session_id, sign_in, write_private},
    process::{Dev, credential, run},
    wait::{eventually, within},
};
use portcullis_validator::{Rejection, Validator};
use tonic::{Request, transport::Channel};

async fn connect(dev: &Dev) -> SessionServiceClient<Channel> {
    let channel = Channel::from_shared(format!("http://{}", dev.grpc))
        .expect("an address")
        .connect()
        .await;
    SessionServiceClient::new(channel.expect("connects"))
}

fn authorized<T>(message: T, bearer: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(
        "authorization",
        format!("Bearer {bearer}").parse().expect("a header value"),
    );
    request
}

async fn gate(dev: &Dev, directory: &Path) -> Validator {
    let gate = Validator::builder(format!("http://{}", dev.grpc))
        .bearer(credential(directory, "gateway"))
        .issuer("http://127.0.0.1:7480")
        .audience("gateway")
        .start()
        .expect("good settings");
    within("the gate to be ready", gate.ready()).await;
    gate
}

/// Signs in and revokes until the process dies; notes what was acknowledged.
async fn load(
    mut sessions: SessionServiceClient<Channel>,
    login: String,
    admin: String,
    count: Arc<AtomicUsize>,
) -> HashMap<String, (v1::CreateSessionResponse, bool)> {
    let mut acknowledged = HashMap::new();
    for round in 0.. {
        let Ok(created) = sessions
            .create_session(authorized(sign_in("ada"), &login))
            .await
        else {
            break;
        };
        let created = created.into_inner();
        let id = session_id(&created);
        count.fetch_add(1, Ordering::Relaxed);
        acknowledged.insert(id.clone(), (created, false));
        if round % 2 == 1 {
            continue;
        }
        let request = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: id.clone(),
            ..Default::default()
        };
        if sessions
            .revoke_session(authorized(request, &admin))
            .await
            .is_err()
        {
            // Asked and not acknowledged: it may be either.
            acknowledged.remove(&id);
            break;
        }
        acknowledged.get_mut(&id).expect("just inserted").1 = true;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_no_acknowledged_revocation_and_no_acknowledged_session() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let mut all = HashMap::new();
    let count = Arc::new(AtomicUsize::new(0));
    for round in 0..5 {
        let dev = Dev::start(&data).await;
        let (login, admin) = (credential(&data, "login"), credential(&data, "admin"));
        let mut loads = Vec::new();
        for _ in 0..4 {
            loads.push(tokio::spawn(load(
                connect(&dev).await,
                login.clone(),
                admin.clone(),
                Arc::clone(&count),
            )));
        }
        let enough = 40 * (round + 1);
        eventually("some load", async || {
            (count.load(Ordering::Relaxed) > enough).then_some(())
        })
        .await;
        dev.kill().await;
        for load in loads {
            all.extend(load.await.expect("the load ends"));
        }
    }
    let dev = Dev::start(&data).await;
    let gate = gate(&dev, &data).await;
    let revoked = all.values().filter(|(_, revoked)| *revoked).count();
    assert!(
        revoked > 20 && all.len() - revoked > 20,
        "{revoked} of {}",
        all.len()
    );
    for (session, revoked) in all.values() {
        let expected = revoked.then_some(Rejection::Revoked);
        assert_eq!(
            gate.check(&session.access_token).err(),
            expected,
            "{}",
            session_id(session)
        );
    }
}

#[tokio::test]
async fn the_demo_tells_its_story_and_leaves_private_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let path = data.to_str().expect("a path");
    let free = "127.0.0.1:0";
    let arguments = [
        "dev",
        "--demo",
        "--data-dir",
        path,
        "--grpc-listen",
        free,
        "--http-listen",
        free,
        "--gateway-listen",
        free,
        "--upstream-listen",
        free,
        "--console-listen",
        free,
    ];
    for _ in 0..2 {
        let (code, stdout, stderr) = run(&arguments).await;
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        for word in [
            "signed in",
            "200 OK",
            "revoked",
            "401",
            "from the call to the closed gate",
        ] {
            assert!(stdout.contains(word), "{word} is not in {stdout}");
        }
    }
    let mode = |file: &str| {
        fs::metadata(data.join(file))
            .expect(file)
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(""), 0o700);
    for file in ["dev-credentials.json", "master.key", "portcullis.db"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[tokio::test]
async fn sigterm_drains_and_the_data_directory_has_one_owner() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let dev = Dev::start(&data).await;
    let (free, path) = ("127.0.0.1:0", data.to_str().expect("a path"));
    let second = [
        "dev",
        "--data-dir",
        path,
        "--grpc-listen",
        free,
        "--http-listen",
        free,
        "--gateway-listen",
        free,
        "--upstream-listen",
        free,
        "--console-listen",
        free,
    ];
    let (code, _, stderr) = run(&second).await;
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("another process has the data directory open"),
        "{stderr}"
    );
    assert!(dev.terminate().await.success());
    assert!(Dev::start(&data).await.terminate().await.success());
}

#[tokio::test]
async fn bad_options_and_configurations_are_usage_errors_that_name_the_key() {
    let (code, _, stderr) = run(&["dev", "--grpc-listen", "0.0.0.0:7400"]).await;
    assert!(
        code == Some(2) && stderr.contains("--grpc-listen") && stderr.contains("loopback"),
        "{stderr}"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("portcullis.toml");
    let path = file.to_str().expect("a path");
    let key = directory.path().join("key");
    write_private(&key, "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=");
    let keys = format!("[keys]\nmaster_key_file = {key:?}\n");
    let secret = "hunter2hunter2";
    for (text, named) in [
        (
            "[server]\ngrpc_listen = 5\n".to_owned(),
            "server.grpc_listen",
        ),
        (
            "[server]\ngrpc_listen = \"0.0.0.0:1\"\n".to_owned(),
            "server.grpc_listen",
        ),
        ("[server]\nlisten = \"x\"\n".to_owned(), "listen"),
        (
            format!("[store]\nurl = \"mysql://u:{secret}@h\"\n"),
            "store.url",
        ),
        (
            format!("[store]\nconnections_max = \"{secret}\"\n"),
            "store.connections_max",
        ),
        ("[watch]\nstreams_max = 0\n".to_owned(), "watch.streams_max"),
        (
            "[tokens]\naccess_token_lifetime = \"0s\"\n".to_owned(),
            "tokens.access_token_lifetime",
        ),
        (
            format!(
                "[[callers]]\nname = \"x\"\nbearer_sha256 = \"{secret}\"\nroles = [\"admin\"]\n"
            ),
            "bearer_sha256",
        ),
        (
            "[[callers]]\nname = \"x\"\nbearer_sha256 = \"\"\nroles = [\"king\"]\n".to_owned(),
            "roles",
        ),
        ("not toml".to_owned(), "configuration"),
    ] {
        fs::write(&file, format!("{text}{keys}")).expect("written");
        let (code, _, stderr) = run(&["serve", "--check-config", "--config", path]).await;
        assert!(
            code == Some(2) && stderr.contains(named),
            "{text} gave {code:?} {stderr}"
        );
        assert!(!stderr.contains(secret), "a secret in {stderr}");
    }
    fs::write(&file, &keys).expect("written");
    let (code, stdout, stderr) = run(&["serve", "--check-config", "--config", path]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let data = format!("sqlite:{}", directory.path().join("data").display());
    for _ in 0..2 {
        let (code, stdout, stderr) =
            run(&["migrate", "--config", path, "--store-url", &data]).await;
        assert!(
            code == Some(0) && stdout.contains("of this version"),
            "{stdout}{stderr}"
        );
    }
    let (code, _, stderr) = run(&["serve", "--check-config", "--config", "/nonexistent"]).await;
    assert!(code == Some(2) && stderr.contains("--config"), "{stderr}");
}
