//! Configurations that cannot be meant exit with status 2 and name the key.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use portcullis_authority::{installation::issuer, open_store};
use portcullis_tests::{
    authority::{config, write_private},
    ports::free_port,
    postgres::{fresh_schema, shared},
    process::{Dev, run, run_with},
    serve::{Serve, get},
    wait::eventually,
};

/// A self-signed certificate, its key, and the key of another one.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBgDCCASWgAwIBAgIUDHKxHkqAgxzUMICt0er+na4WLbQwCgYIKoZIzj0EAwIw\n\
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNTIwNTEzM1oYDzIxMjYxMTAx\n\
MjA1MTMzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n\
PQMBBwNCAAQsseMhqOvTkd5aVqyto2j2W7sO8pu4V8OF2K8QPon14SAHQJovzkkP\n\
JLz7dvzrBzUtw0TiR2NehFV/a3pm9P+Mo1MwUTAdBgNVHQ4EFgQUmxErrCh6GKkM\n\
EZahgdXjBTKLkRowHwYDVR0jBBgwFoAUmxErrCh6GKkMEZahgdXjBTKLkRowDwYD\n\
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAkfVXSSZc9pw4sph7gSjN\n\
egVZQXlYBtmTdOBBtkMGOfsCIQDdOBZR3NsiFsyZCa/LpvcEK3lsxK9k5ehER8et\n\
2sM0SQ==\n\
-----END CERTIFICATE-----\n\
";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg8O68EKW4JG1Fo5z0\n\
4u9LSIB7EUhFRi3k4Yhfs26566+hRANCAAQsseMhqOvTkd5aVqyto2j2W7sO8pu4\n\
V8OF2K8QPon14SAHQJovzkkPJLz7dvzrBzUtw0TiR2NehFV/a3pm9P+M\n\
-----END PRIVATE KEY-----\n\
";
const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg6XBqdZnhbyLmZ/dr\n\
Qoa192yvZ1Za+XXZEGdATU+zlkyhRANCAASCRGIWVhBN1Ud9oijZ+oGX3R4EFiqg\n\
pXUD8Tt5rLP7rPTTZZntOYCAV0jlvjtwckNSpCs39anCXl2UrdUKZY9j\n\
-----END PRIVATE KEY-----\n\
";

const MASTER_KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";
const DIGEST: &str = "abababababababababababababababababababababababababababababababab";
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A directory with all the files that a configuration may name, sound ones.
fn files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    write_private(&path.join("master.key"), MASTER_KEY);
    write_private(&path.join("zero.key"), &format!("{}=\n", "A".repeat(43)));
    fs::write(path.join("chain.pem"), CERTIFICATE).expect("written");
    fs::write(path.join("key.pem"), KEY).expect("written");
    fs::write(path.join("other.pem"), OTHER_KEY).expect("written");
    fs::write(path.join("places.mmdb"), "no database").expect("written");
    for (name, mode) in [("group.key", 0o660), ("others.key", 0o644)] {
        write_private(&path.join(name), MASTER_KEY);
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path.join(name), mode).expect("a mode");
    }
    directory
}

/// A file of settings on free ports, with more of them. `$` stands for the directory.
fn write_settings(directory: &Path, more: &str) -> String {
    let mut settings = String::new();
    for (section, line) in [
        (
            "[server]",
            "grpc_listen = \"127.0.0.1:0\"\nhttp_listen = \"127.0.0.1:0\"",
        ),
        ("[store]", "url = \"sqlite:$/data\""),
        ("[keys]", "master_key_file = \"$/master.key\""),
    ] {
        if !more.contains(section) {
            settings += &format!("{section}\n{line}\n");
        }
    }
    settings += more;
    let settings = settings.replace('$', directory.to_str().expect("a path"));
    let file = directory.join("portcullis.toml");
    fs::write(&file, settings).expect("written");
    file.to_str().expect("a path").to_owned()
}

fn caller(name: &str, digest: &str) -> String {
    format!("[[callers]]\nname = \"{name}\"\nbearer_sha256 = \"{digest}\"\nroles = [\"login\"]\n")
}

/// Settings that cannot be meant, and words that the answer must have: the key first.
fn refusals() -> Vec<(String, [&'static str; 2])> {
    let other = DIGEST.replace("ab", "cd");
    let tls = |key: &str| {
        format!(
            "[server]\ngrpc_listen = \"127.0.0.1:0\"\nhttp_listen = \"127.0.0.1:0\"\n\
             tls_certificate_file = \"$/chain.pem\"\ntls_key_file = \"$/{key}\"\n"
        )
    };
    let master = |file: &str| format!("[keys]\nmaster_key_file = \"$/{file}\"\n");
    let listen = |more: &str| {
        format!("[server]\ngrpc_listen = \"127.0.0.1:0\"\nhttp_listen = \"0.0.0.0:0\"\n{more}")
    };
    let web = |origins: &str| {
        format!(
            "[server]\ngrpc_listen = \"127.0.0.1:0\"\nhttp_listen = \"127.0.0.1:0\"\nweb_origins = {origins}\n"
        )
    };
    let digest = "callers[0].bearer_sha256";
    vec![
        (caller("a", OF_NOTHING), [digest, "empty string"]),
        (caller("a", &"0".repeat(64)), [digest, "placeholder"]),
        (
            caller("a", DIGEST) + &caller("b", &DIGEST.to_uppercase()),
            ["callers[1].bearer_sha256", "same as callers[0]"],
        ),
        (
            caller("a", DIGEST) + &caller("a", &other),
            ["callers[1].name", "same as callers[0]"],
        ),
        (master("zero.key"), ["keys.master_key_file", "one byte"]),
        (master("others.key"), ["keys.master_key_file", "0644"]),
        (master("group.key"), ["keys.master_key_file", "0660"]),
        (listen(""), ["server.http_listen", "insecure"]),
        (
            listen("tls_certificate_file = \"$/chain.pem\"\ntls_key_file = \"$/key.pem\"\n"),
            ["server.http_listen", "plain HTTP"],
        ),
        (
            web("[\"https://app.example.com/settings\"]"),
            ["server.web_origins[0]", "without a path"],
        ),
        (
            web("[\"https://app.example.com\", \"*\"]"),
            ["server.web_origins[1]", "wildcard"],
        ),
        (
            web("[\"http://app.example.com\"]"),
            ["server.web_origins[0]", "https://"],
        ),
        (
            tls("other.pem"),
            ["server.tls_key_file", "cannot be used with"],
        ),
        (
            tls("chain.pem"),
            ["server.tls_key_file", "must be a private key"],
        ),
        (tls("absent.pem"), ["server.tls_key_file", "No such file"]),
        (
            "[places]\ncity_database_file = \"$/absent.mmdb\"\n".into(),
            ["places.city_database_file", "No such file"],
        ),
        (
            "[places]\nnetwork_database_file = \"$/places.mmdb\"\n".into(),
            ["places.network_database_file", "places.mmdb"],
        ),
        ("[store\n".into(), ["configuration", "line "]),
        (
            "[watch]\n\n  streams_max = \"hunter2\"\n".into(),
            ["watch.streams_max", "column 17)"],
        ),
        (
            "[watch]\nstreams = 1\n".into(),
            ["watch.streams", "column 11)"],
        ),
        (
            "[server]\ngrpc_listen = \"127.0.0.1:7400\"\nhttp_listen = \"127.0.0.1:7400\"\n".into(),
            ["server.http_listen", "must differ"],
        ),
        (
            "[audit]\narchive_directory = \"/nowhere\"\n".into(),
            ["audit.archive_directory", "a directory that there is"],
        ),
        (
            "[tokens]\nissuer = \"\"\n".into(),
            ["tokens.issuer", "column 10)"],
        ),
    ]
}

#[tokio::test]
async fn a_configuration_that_cannot_be_meant_exits_with_2_and_names_the_key() {
    let directory = files();
    for (settings, words) in refusals() {
        let file = write_settings(directory.path(), &settings);
        for arguments in [
            &["serve", "--config", &file, "--check-config"][..],
            &["serve", "--config", &file],
        ] {
            let (code, _, stderr) = run(arguments).await;
            assert_eq!(code, Some(2), "{settings}: {stderr}");
            for word in words {
                assert!(stderr.contains(word), "{word} of {settings}: {stderr}");
            }
            assert!(!stderr.contains("hunter2"), "{stderr}");
        }
    }
}

#[tokio::test]
async fn valid_configurations_that_resemble_invalid_ones_are_accepted() {
    let directory = files();
    let insecure = "[server]\nhttp_listen = \"0.0.0.0:0\"\ninsecure = true\n";
    let tls = "[server]\ntls_certificate_file = \"$/chain.pem\"\ntls_key_file = \"$/key.pem\"\n";
    let callers = caller("a", DIGEST) + &caller("b", &DIGEST.replace("ab", "cd"));
    for settings in ["", insecure, tls, &callers] {
        let file = write_settings(directory.path(), settings);
        let check = ["serve", "--config", &file, "--check-config"];
        let (code, stdout, stderr) = run(&check).await;
        assert_eq!(code, Some(0), "{settings}: {stderr}");
        assert_eq!(
            stdout.contains("no caller is configured"),
            settings != callers,
            "{stdout}"
        );
    }
}

#[tokio::test]
async fn an_error_says_where_its_value_comes_from() {
    let directory = files();
    let file = write_settings(directory.path(), "[watch]\nstreams_max = 5\n");
    let check = ["serve", "--config", &file, "--check-config"];
    let variable = [("PORTCULLIS_WATCH__STREAMS_MAX", "0")];
    let (code, _, stderr) = run_with(&check, &variable).await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("watch.streams_max"), "{stderr}");
    assert!(stderr.contains("set in the environment"), "{stderr}");

    let mut flag = check.to_vec();
    flag.extend(["--http-listen", "0.0.0.0:0"]);
    let (code, _, stderr) = run(&flag).await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("server.http_listen"), "{stderr}");
    assert!(stderr.contains("set by a flag"), "{stderr}");
}

#[tokio::test]
async fn variables_that_kubernetes_sets_beside_a_service_are_ignored() {
    let directory = files();
    let file = write_settings(directory.path(), "");
    let check = ["serve", "--config", &file, "--check-config"];
    let kubernetes = [
        ("PORTCULLIS_PORT", "tcp://10.0.0.1:7400"),
        ("PORTCULLIS_SERVICE_HOST", "10.0.0.1"),
        ("PORTCULLIS_PORT_7400_TCP_ADDR", "10.0.0.1"),
    ];
    let (code, _, stderr) = run_with(&check, &kubernetes).await;
    assert_eq!(code, Some(0), "{stderr}");

    // The list of callers has no section, and is ours.
    let callers = format!("[{{name=\"a\", bearer_sha256=\"{OF_NOTHING}\", roles=[\"login\"]}}]");
    let (code, _, stderr) = run_with(&check, &[("PORTCULLIS_CALLERS", callers.as_str())]).await;
    assert!(code == Some(2) && stderr.contains("callers[0]"), "{stderr}");
}

/// Starts an authority on the store of a configuration, and checks how another issuer is met.
async fn meet_another_issuer(url: &str) {
    let directory = files();
    let settings = |issuer: &str| {
        let file = write_settings(
            directory.path(),
            &format!("[store]\nurl = \"{url}\"\n[tokens]\nissuer = \"{issuer}\"\n"),
        );
        file.clone()
    };
    let mut installed = config(directory.path());
    installed.store.url = url.replace('$', directory.path().to_str().expect("a path"));
    assert_eq!(
        issuer::installed(&installed.store)
            .await
            .expect("an answer"),
        None
    );
    installed.keys.master_key_file = directory.path().join("master.key");
    installed.tokens.issuer = "https://one.example.com".into();
    let authority = portcullis_authority::Authority::start(installed.clone()).await;
    let authority = authority.expect("it starts");

    // Also while the authority runs.
    let file = settings("https://two.example.com");
    let check = ["serve", "--config", &file, "--check-config"];
    let (code, _, stderr) = run(&check).await;
    assert_eq!(code, Some(2), "{stderr}");
    for word in [
        "tokens.issuer",
        "https://one.example.com",
        "--change-issuer",
    ] {
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
    authority.shut_down().await;
    let (code, _, stderr) = run(&["serve", "--config", &file]).await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("tokens.issuer"), "{stderr}");

    // On purpose.
    let change = ["migrate", "--config", &file, "--change-issuer"];
    let (code, _, stderr) = run(&change).await;
    assert_eq!(code, Some(0), "{stderr}");
    let (code, _, stderr) = run(&check).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(
        issuer::installed(&installed.store)
            .await
            .expect("an answer"),
        Some("https://two.example.com".into())
    );
    let refused = portcullis_authority::Authority::start(installed).await;
    let error = refused.err().expect("the old issuer is refused now");
    assert!(error.to_string().contains("tokens.issuer"), "{error}");
}

#[tokio::test]
async fn another_issuer_than_the_installations_is_refused_until_it_is_changed_on_purpose() {
    meet_another_issuer("sqlite:$/data").await;
    meet_another_issuer(&fresh_schema().await.url).await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_a_remark_of_the_check_and_no_error() {
    let directory = files();
    let settings =
        "[store]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\nconnect_timeout = \"1s\"\n";
    let file = write_settings(directory.path(), settings);
    let (code, stdout, _) = run(&["serve", "--config", &file, "--check-config"]).await;
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("tokens.issuer was not compared"),
        "{stdout}"
    );
}

#[tokio::test]
async fn serve_before_migrate_says_what_to_run() {
    let sql = "CREATE ROLE life_owner LOGIN; CREATE ROLE life_service LOGIN; \
         CREATE SCHEMA life AUTHORIZATION life_owner; GRANT USAGE ON SCHEMA life TO life_service";
    let server = shared().await;
    server
        .admin()
        .await
        .batch_execute(sql)
        .await
        .expect("roles");
    let url = |role: &str| {
        let url = server.url().replace("postgres@", &format!("{role}@"));
        format!("{url}?options=-csearch_path%3Dlife")
    };
    let directory = files();
    let service = format!("[store]\nurl = \"{}\"\n", url("life_service"));
    let file = write_settings(directory.path(), &service);
    let (code, _, stderr) = run(&["serve", "--config", &file]).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("run `portcullis migrate`"), "{stderr}");

    let owner = format!("{service}owner_url = \"{}\"\n", url("life_owner"));
    let (code, _, stderr) = run(&[
        "migrate",
        "--config",
        &write_settings(directory.path(), &owner),
    ])
    .await;
    assert_eq!(code, Some(0), "{stderr}");
    let mut migrated = config(directory.path());
    migrated.store.url = url("life_service");
    open_store(&migrated.store)
        .await
        .expect("the service opens it");
}

#[tokio::test]
async fn an_authority_without_callers_says_so() {
    let mut serve = Serve::start("info", |config| config.callers.clear()).await;
    eventually("the warning", async || {
        let log = serve.log();
        log.lines()
            .any(|line| line.contains("WARN") && line.contains("no caller is configured"))
            .then_some(())
    })
    .await;
    assert!(serve.terminate().await.success());
}

#[tokio::test]
async fn the_issuer_of_dev_is_the_address_of_its_http_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let mut store = config(directory.path()).store;
    store.url = format!("sqlite:{}", data.display());
    let installed = async || issuer::installed(&store).await.expect("an answer");

    // A port of the system's choice is another each time, so the issuer is the default one.
    Dev::start(&data).await.terminate().await;
    assert_eq!(installed().await.as_deref(), Some("http://127.0.0.1:7480"));

    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let dev = Dev::start_with(&data, &address).await;
    let issuer = format!("http://{address}");
    assert_eq!(installed().await, Some(issuer.clone()));
    let keys = get(
        address.parse().expect("an address"),
        "/.well-known/jwks.json",
    )
    .await;
    assert!(keys.contains("kid"), "{keys}");
    dev.terminate().await;
}
