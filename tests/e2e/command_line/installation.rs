//! `init`, `serve` with its files, and `check`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use portcullis_tests::{
    authority::{config, digest, write_private},
    gateways::program::deployed,
    process::binary,
    wait::within,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{Ran, finish};

/// A machine on which nothing is installed yet.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env("PORTCULLIS_CONTEXTS_FILE", self.file("contexts.toml"))
            .env_remove("PORTCULLIS_CONTEXT")
            .env("TZ", "UTC")
            .kill_on_drop(true);
        finish(command, input).await
    }

    /// Makes the files of an authority, and returns the bearer strings of its callers.
    async fn init(&self, directory: &Path, grpc: &str) -> Value {
        let directory = directory.to_str().expect("a path");
        let arguments = [
            "init",
            directory,
            "--issuer",
            "https://sessions.test",
            "--grpc-listen",
            grpc,
            "--http-listen",
            "127.0.0.1:0",
            "-o",
            "json",
        ];
        self.run(&arguments, "").await.json()
    }

    async fn add_context(&self, name: &str, address: &str, ca_file: &Path, bearer: &str) {
        let ca_file = ca_file.to_str().expect("a path");
        let arguments = [
            "context",
            "set",
            name,
            "--address",
            address,
            "--ca-file",
            ca_file,
            "--credential-stdin",
        ];
        let made = self.run(&arguments, bearer).await;
        assert_eq!(made.code, Some(0), "{made:?}");
    }
}

/// Starts `serve`, and returns it with the address of its gRPC server.
async fn serve(config: &Path) -> (Child, String) {
    let mut child = Command::new(binary())
        .args(["serve", "--config"])
        .arg(config)
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let address = within("serve to listen", async {
        loop {
            let line = lines.next_line().await.expect("text").expect("serve ended");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            if event["fields"]["message"] == "listening" {
                return event["fields"]["grpc"]
                    .as_str()
                    .expect("an address")
                    .to_owned();
            }
        }
    })
    .await;
    // Somebody has to read what it goes on to write.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

fn bearer<'v>(callers: &'v Value, name: &str) -> &'v str {
    let callers = callers.as_array().expect("callers");
    let caller = callers.iter().find(|caller| caller["name"] == name);
    caller.expect("the caller")["bearer"]
        .as_str()
        .expect("a bearer string")
}

fn verdict<'v>(findings: &'v Value, check: &str) -> &'v Value {
    let findings = findings.as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["check"] == check);
    &found.unwrap_or_else(|| panic!("{check} is not in {findings:?}"))["verdict"]
}

#[tokio::test]
async fn init_then_serve_then_check_works_from_end_to_end() {
    let machine = Machine::new();
    let directory = machine.file("authority");
    let callers = machine.init(&directory, "127.0.0.1:0").await;
    for (file, mode) in [
        ("", 0o700),
        ("master.key", 0o600),
        ("portcullis.toml", 0o600),
        ("tls/ca.key", 0o600),
        ("tls/key.pem", 0o600),
    ] {
        let metadata = fs::metadata(directory.join(file)).expect(file);
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
    }
    // The strings were told once, and are nowhere.
    let text = fs::read_to_string(directory.join("portcullis.toml")).expect("a configuration");
    for name in ["sign-in", "back-office", "gateways", "operations"] {
        let bearer = bearer(&callers, name);
        assert!(
            !text.contains(bearer) && text.contains(&digest(bearer)),
            "{name}"
        );
    }

    let (_serve, address) = serve(&directory.join("portcullis.toml")).await;
    let port = address.rsplit(':').next().expect("a port");
    let address = format!("https://localhost:{port}");
    let ca_file = directory.join("tls/ca.pem");
    for name in ["sign-in", "back-office", "gateways", "operations"] {
        machine
            .add_context(name, &address, &ca_file, bearer(&callers, name))
            .await;
    }
    let config = directory.join("portcullis.toml");
    let check = [
        "check",
        "--config",
        config.to_str().expect("a path"),
        "--context",
        "operations",
        "--sign-in-context",
        "sign-in",
        "--gate-context",
        "gateways",
        "-o",
        "json",
    ];
    let checked = machine.run(&check, "").await;
    let findings = checked.json();
    for good in [
        "configuration",
        "callers",
        "durability",
        "certificate",
        "authority",
        "clock",
        "sign-out",
    ] {
        assert_eq!(verdict(&findings, good), "good", "{good}: {findings}");
    }
    // SQLite has no standby, and no gate is connected yet.
    assert_eq!(verdict(&findings, "standby"), "warning");
    assert_eq!(verdict(&findings, "gates"), "warning");
    let sign_out = findings
        .as_array()
        .expect("findings")
        .last()
        .expect("the last")["detail"]
        .clone();
    assert!(
        sign_out
            .as_str()
            .is_some_and(|text| text.contains("refused by a gate after")),
        "{sign_out}"
    );

    let table = machine.run(&check[..check.len() - 2], "").await;
    assert!(
        table.stdout.contains("✓ sign-out") && table.stdout.contains("! gates"),
        "{table:?}"
    );
    assert!(table.stderr.contains("0 wrong"), "{table:?}");
    // And the session of the test is in the trail, ended.
    let trail = [
        "sessions",
        "list",
        "--ended",
        "--tenant",
        "portcullis-check",
        "--context",
        "back-office",
        "-o",
        "json",
    ];
    let sessions = machine.run(&trail, "").await.json();
    assert_eq!(sessions[0]["state"], "SESSION_STATE_SIGNED_OUT");
}

#[tokio::test]
async fn init_overwrites_nothing_and_renews_a_certificate() {
    let machine = Machine::new();
    let directory = machine.file("authority");
    machine.init(&directory, "127.0.0.1:7400").await;
    let key = fs::read(directory.join("master.key")).expect("a key");
    let path = directory.to_str().expect("a path");
    let again = ["init", path, "--issuer", "https://sessions.test"];
    machine
        .run(&again, "")
        .await
        .failed(5, &["is not empty", "overwrites nothing"]);
    assert_eq!(fs::read(directory.join("master.key")).expect("a key"), key);
    // A copy of it is for gates, whose services have to read it.
    assert_eq!(mode(&directory.join("tls/ca.pem")), 0o644);
    assert_eq!(mode(&directory.join("tls/key.pem")), 0o600);

    let before = fs::read(directory.join("tls/chain.pem")).expect("a certificate");
    let renew = [
        "init",
        path,
        "--renew-certificate",
        "--host",
        "sessions.example.com",
    ];
    let renewed = machine.run(&renew, "").await;
    assert_eq!(renewed.code, Some(0), "{renewed:?}");
    assert_ne!(
        fs::read(directory.join("tls/chain.pem")).expect("a certificate"),
        before
    );
    assert_eq!(fs::read(directory.join("master.key")).expect("a key"), key);
    // Without hosts it is for those of the present one: gates on other machines know no others.
    let again = machine.run(&renew[..3], "").await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let hosts = "for sessions.example.com, localhost, 127.0.0.1, ::1";
    assert!(again.stderr.contains(hosts), "{again:?}");
    let elsewhere = machine.file("nothing");
    let renew = [
        "init",
        elsewhere.to_str().expect("a path"),
        "--renew-certificate",
    ];
    machine.run(&renew, "").await.failed(2, &["ca.pem", "init"]);

    let open = machine.file("open");
    let bad = [
        "init",
        open.to_str().expect("a path"),
        "--issuer",
        "",
        "--grpc-listen",
        "127.0.0.1:7400",
    ];
    machine.run(&bad, "").await.failed(2, &["tokens.issuer"]);
    assert!(!open.exists() && !machine.file(".open.part").exists());
    machine
        .run(&["init", path], "")
        .await
        .failed(2, &["--issuer"]);
}

/// The name of this process's group.
fn own_group() -> String {
    let number = rustix::process::getegid().as_raw().to_string();
    let groups = fs::read_to_string("/etc/group").expect("a list of groups");
    let own = groups
        .lines()
        .find(|line| line.split(':').nth(2) == Some(number.as_str()))
        .and_then(|line| line.split(':').next());
    own.expect("a group with a name").to_owned()
}

fn mode(file: &Path) -> u32 {
    let metadata = fs::metadata(file).expect("it is there");
    metadata.permissions().mode() & 0o777
}

#[tokio::test]
async fn init_takes_the_place_of_the_packages_samples_and_of_nothing_else() {
    let machine = Machine::new();
    let directory = machine.file("packaged");
    fs::create_dir(&directory).expect("made");
    for sample in ["portcullis.toml", "sidecar.toml"] {
        fs::write(directory.join(sample), deployed(sample)).expect("written");
    }
    let path = directory.to_str().expect("a path");
    let group = own_group();
    let init = [
        "init",
        path,
        "--issuer",
        "https://sessions.test",
        "--group",
        &group,
    ];

    let nobody = [&init[..5], &["no-such-group"]].concat();
    machine.run(&nobody, "").await.failed(2, &["no-such-group"]);
    assert!(!directory.join("master.key").exists());

    let made = machine.run(&init, "").await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stderr.contains("systemctl enable --now portcullis"));
    let text = fs::read_to_string(directory.join("portcullis.toml")).expect("a configuration");
    assert!(
        text.contains("url = \"sqlite:/var/lib/portcullis\""),
        "{text}"
    );
    assert!(text.contains(&format!("\"{path}/tls/key.pem\"")), "{text}");
    assert!(directory.join("sidecar.toml").exists());
    assert!(!machine.file(".packaged.part").exists());
    // systemd reads the master key as root, and the service reads the others by its group.
    assert_eq!(mode(&directory.join("master.key")), 0o600);
    assert_eq!(mode(&directory.join("portcullis.toml")), 0o640);
    assert_eq!(mode(&directory.join("tls/key.pem")), 0o640);
    assert_eq!(mode(&directory.join("tls/ca.key")), 0o600);

    let renew = ["init", path, "--renew-certificate"];
    let renewed = machine.run(&renew, "").await;
    assert_eq!(renewed.code, Some(0), "{renewed:?}");
    assert_eq!(mode(&directory.join("tls/key.pem")), 0o640);

    let again = machine.run(&init, "").await;
    again.failed(5, &["is not empty", "overwrites nothing"]);
    let used = machine.file("used");
    fs::create_dir(&used).expect("made");
    fs::write(used.join("portcullis.toml"), text).expect("written");
    let over_it = [&["init", used.to_str().expect("a path")], &init[2..]].concat();
    let over_it = machine.run(&over_it, "").await;
    over_it.failed(5, &["is not empty"]);
}

#[tokio::test]
async fn check_finds_what_is_wrong() {
    let machine = Machine::new();
    let mut settings = config(machine.0.path());
    settings.callers.truncate(1);
    // Somebody was in a hurry.
    settings.callers[0].bearer_sha256 = Some(digest("changeme"));
    let file = machine.file("portcullis.toml");
    write_private(&file, &toml::to_string(&settings).expect("TOML"));
    let path = file.to_str().expect("a path");
    let checked = machine
        .run(&["check", "--config", path, "-o", "json"], "")
        .await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let findings: Value = serde_json::from_str(&checked.stdout).expect("JSON");
    assert_eq!(verdict(&findings, "callers"), "failed");
    assert_eq!(verdict(&findings, "configuration"), "good");
    for skipped in ["authority", "clock", "sign-out"] {
        assert_eq!(verdict(&findings, skipped), "skipped");
    }

    write_private(&file, "[watch]\nstreams_max = 0\n");
    let checked = machine.run(&["check", "--config", path], "").await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(
        checked.stdout.contains("✗ configuration") && checked.stdout.contains("watch.streams_max"),
        "{checked:?}"
    );
}
