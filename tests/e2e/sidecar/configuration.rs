//! The configuration: its errors, the environment, the shipped sample, and `explain`.

use portcullis_tests::{
    gateways::program::{deployed, root},
    sidecar::{SidecarConfig, run},
};

const CHECK: &[&str] = &["--check-config"];

/// A good file.
const GOOD: &str = r#"
[authority]
endpoints = ["http://127.0.0.1:7400"]
bearer = "hunter2"
issuer = "https://issuer.test"
audience = "gateway"

[forward_auth]
listen = "127.0.0.1:0"
"#;

const LISTEN: &str = "listen = \"127.0.0.1:0\"";
const BEARER: &str = "bearer = \"hunter2\"";

fn with(line: &str) -> String {
    format!("{GOOD}{line}\n")
}

fn instead(line: &str, other: &str) -> String {
    assert!(GOOD.contains(line), "{line}");
    GOOD.replace(line, other)
}

fn without(line: &str) -> String {
    instead(line, "")
}

/// Checks that each file is refused, that the error begins with the key, and that it has no secret.
async fn refuse(cases: &[(String, &str)]) {
    for (file, key) in cases {
        let refused = run(file, CHECK, &[]).await;
        assert_eq!(refused.code, Some(2), "{file}\n{refused:?}");
        let expected = format!("portcullis-sidecar: {key}");
        assert!(refused.stderr.starts_with(&expected), "{file}\n{refused:?}");
        assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        // A start refuses what the check refuses.
        let started = run(file, &[], &[]).await;
        assert_eq!(started.code, Some(2), "{file}\n{started:?}");
    }
}

#[tokio::test]
async fn a_bad_setting_of_the_authority_names_its_key_and_no_secret() {
    let good = run(GOOD, CHECK, &[]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    assert_eq!(good.stdout, "the configuration is good\n");
    refuse(&[
        (String::new(), "authority.endpoints"),
        ("[authority".to_owned(), "configuration"),
        (with("[unknown]"), "unknown"),
        (with("insecur = true"), "forward_auth.insecur"),
        (
            without("endpoints = [\"http://127.0.0.1:7400\"]"),
            "authority.endpoints",
        ),
        (
            instead("http://127.0.0.1:7400", "not an address"),
            "authority.endpoints",
        ),
        (without(BEARER), "authority.bearer"),
        (instead(BEARER, "bearer = \"\""), "authority.bearer"),
        (
            instead(BEARER, "bearer = \"hunter2\\u0000\""),
            "authority.bearer",
        ),
        (
            instead(BEARER, "bearer_file = \"/nowhere\""),
            "authority.bearer_file",
        ),
        (
            instead(BEARER, "bearer = \"hunter2\"\nbearer_file = \"/nowhere\""),
            "authority.bearer_file",
        ),
        (
            instead(
                BEARER,
                "bearer = \"hunter2\"\nca_certificate_file = \"/nowhere\"",
            ),
            "authority.ca_certificate_file",
        ),
        (
            instead(BEARER, "bearer = \"hunter2\"\nmax_staleness = \"1ms\""),
            "authority.max_staleness",
        ),
        (
            instead(BEARER, "bearer = \"hunter2\"\nmax_staleness = \"soon\""),
            "authority.max_staleness",
        ),
        (
            without("issuer = \"https://issuer.test\""),
            "authority.issuer",
        ),
        (without("audience = \"gateway\""), "authority.audience"),
    ])
    .await;
}

#[tokio::test]
async fn a_bad_listener_names_its_key() {
    refuse(&[
        (without(LISTEN), "forward_auth.listen"),
        (
            instead("[forward_auth]\nlisten = \"127.0.0.1:0\"", ""),
            "forward_auth.listen",
        ),
        (
            instead(LISTEN, "listen = \"localhost\""),
            "forward_auth.listen",
        ),
        (
            instead(LISTEN, "listen = \"unix:verify.sock\""),
            "forward_auth.listen",
        ),
        (
            instead(LISTEN, &format!("listen = \"unix:/{}\"", "x".repeat(107))),
            "forward_auth.listen",
        ),
        // Credentials of users would travel in plain text.
        (
            instead(LISTEN, "listen = \"0.0.0.0:7501\""),
            "forward_auth.listen",
        ),
        (
            with("[operations]\nlisten = \"0.0.0.0:7502\""),
            "operations.listen",
        ),
        (with("socket_mode = \"rw\""), "forward_auth.socket_mode"),
        (with("socket_mode = \"7777\""), "forward_auth.socket_mode"),
        (
            with("tls_key_file = \"/nowhere\""),
            "forward_auth.tls_key_file",
        ),
        (
            with("tls_certificate_file = \"/nowhere\"\ntls_key_file = \"/nowhere\""),
            "forward_auth.tls_certificate_file",
        ),
        (
            instead(LISTEN, "listen = \"127.0.0.1:7502\""),
            "operations.listen",
        ),
    ])
    .await;
}

#[tokio::test]
async fn bad_limits_and_rules_name_their_key() {
    refuse(&[
        (
            with("[limits]\nconnections_max = 0"),
            "limits.connections_max",
        ),
        (
            with("[limits]\nidle_timeout = \"0s\""),
            "limits.idle_timeout",
        ),
        (
            with("[limits]\nrequest_timeout = \"1h\""),
            "limits.request_timeout",
        ),
        (with("[rules]\ncooky = \"session\""), "rules.cooky"),
        (with("[rules]\ncookie = \"a b\""), "rules.cookie"),
        (
            with("[rules]\ntrusted_proxies = [\"everybody\"]"),
            "rules.trusted_proxies[0]",
        ),
        (
            with("[[rules.rules]]\npath = \"/\""),
            "rules.rules[0].access",
        ),
        (
            with("[[rules.rules]]\npath = \"/\"\naccess = \"anybody\""),
            "rules.rules[0].access",
        ),
        (
            with("[[rules.rules]]\npath = \"/\"\naccess = \"public\"\nmode = \"strict\""),
            "rules.rules[0].mode",
        ),
        (
            with("[[rules.rules]]\npath = \"/\"\naccess = \"session\"\nmode = \"best_effort\""),
            "rules.rules[0].mode",
        ),
        // The second one never decides. The error names both.
        (
            with(
                "[[rules.rules]]\npath = \"/{*rest}\"\naccess = \"session\"\n[[rules.rules]]\npath = \"/a\"\naccess = \"public\"",
            ),
            "rules.rules[1]",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_credential_comes_from_the_file_a_file_or_the_environment() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("bearer");
    std::fs::write(&file, "hunter2\n").expect("written");
    let from_file = format!("bearer_file = {:?}", file.display().to_string());
    let inline = "bearer = \"hunter2\"";
    assert_eq!(
        run(&GOOD.replace(inline, &from_file), CHECK, &[])
            .await
            .code,
        Some(0)
    );

    let without = GOOD.replace(inline, "");
    let variable = ("PORTCULLIS_SIDECAR_AUTHORITY__BEARER", "hunter2");
    assert_eq!(run(&without, CHECK, &[variable]).await.code, Some(0));
    // Of a Service of Kubernetes, which is no setting.
    let foreign = ("PORTCULLIS_SIDECAR_PORT", "tcp://10.0.0.1:7501");
    assert_eq!(run(GOOD, CHECK, &[foreign]).await.code, Some(0));
    let unknown = ("PORTCULLIS_SIDECAR_AUTHORITY__BEARRER", "hunter2");
    let refused = run(GOOD, CHECK, &[unknown]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("authority.bearrer"), "{refused:?}");
}

#[tokio::test]
async fn the_shipped_sample_is_good() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bearer = directory.path().join("gateway.bearer");
    std::fs::write(&bearer, "hunter2\n").expect("written");
    let shipped = "/etc/portcullis/gateway.bearer";
    let sample = deployed("sidecar.toml");
    assert_eq!(sample.matches(shipped).count(), 1);
    let sample = sample.replace(shipped, &bearer.display().to_string());
    let checked = run(&sample, CHECK, &[]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    // The names that the gateways' samples and the unit have for the same things.
    for (name, gateways) in [
        ("ext-authz.sock", &["envoy-ext-authz.yaml"][..]),
        (
            "forward-auth.sock",
            &["nginx.conf", "Caddyfile", "haproxy.cfg"],
        ),
    ] {
        let socket = format!("/run/portcullis-sidecar/{name}");
        assert!(sample.contains(&format!("\"unix:{socket}\"")), "{name}");
        for gateway in gateways {
            assert!(deployed(gateway).contains(&socket), "{gateway}");
        }
    }
    let unit = deployed("systemd/portcullis-sidecar.service");
    assert!(unit.contains("RuntimeDirectory=portcullis-sidecar\n"));
}

#[tokio::test]
async fn explain_prints_the_rule_that_decides() {
    let mut config = SidecarConfig::new("http://127.0.0.1:1");
    config.rules = "[[rules]]\npath = \"/assets/{*rest}\"\naccess = \"public\"\n"
        .parse()
        .expect("TOML");
    let file = config.to_toml();
    for (url, words) in [
        ("https://shop.example/assets/a.css", "anyone may pass"),
        ("https://shop.example/orders", "a session is required"),
        ("https://shop.example/assets/..%2forders", "refused"),
    ] {
        let explained = run(&file, &["explain", "GET", url], &[]).await;
        assert_eq!(explained.code, Some(0), "{explained:?}");
        assert!(explained.stdout.contains(words), "{url}: {explained:?}");
    }
    let refused = run(&file, &["explain", "GET", "orders"], &[]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

/// Every key is in the table of the page, and the page names no other.
#[test]
fn the_page_lists_every_key() {
    let page = root().join("docs/gateways/sidecar.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let mut listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(key, _)| key)
        .filter(|key| {
            let sections = ["authority.", "listener.", "limits."];
            sections.iter().any(|section| key.starts_with(section))
        })
        .collect();
    listed.sort_unstable();
    let mut known = Vec::new();
    for (section, file, name) in [
        ("authority", "crates/validator/src/settings.rs", "Settings"),
        (
            "listener",
            "crates/sidecar/src/config/listener.rs",
            "ListenerConfig",
        ),
        (
            "limits",
            "crates/sidecar/src/config/limits.rs",
            "LimitsConfig",
        ),
    ] {
        let source = std::fs::read_to_string(root().join(file)).expect("the source");
        let start = format!("pub struct {name} {{\n");
        let (_, fields) = source.split_once(&start).expect("a struct");
        let (fields, _) = fields.split_once("\n}\n").expect("its end");
        for line in fields.lines() {
            let field = line.trim().strip_prefix("pub ");
            if let Some((name, _)) = field.and_then(|field| field.split_once(':')) {
                known.push(format!("{section}.{name}"));
            }
        }
    }
    known.sort_unstable();
    assert_eq!(listed, known);
}
