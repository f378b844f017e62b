//! `portcullis console`: its configuration, its errors, its start and its end.

use portcullis_tests::process;

/// A good file.
const GOOD: &str = r#"
[server]
listen = "127.0.0.1:0"

[authority]
endpoints = ["http://127.0.0.1:7400"]
bearer = "hunter2"
issuer = "https://issuer.test"

[session]
sign_in_url = "https://app.test/sign-in"
"#;

async fn check(text: &str) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("console.toml");
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("text");
    process::run(&["console", "--config", file, "--check-config"]).await
}

#[tokio::test]
async fn a_bad_setting_names_its_key_and_no_secret() {
    let (code, stdout, stderr) = check(GOOD).await;
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "the configuration is good\n"),
        "{stderr}"
    );
    for (line, instead, key) in [
        (
            "endpoints = [\"http://127.0.0.1:7400\"]",
            "",
            "authority.endpoints",
        ),
        (
            "http://127.0.0.1:7400",
            "http://192.0.2.1:7400",
            "authority.endpoints",
        ),
        ("bearer = \"hunter2\"", "", "authority.bearer"),
        ("bearer = \"hunter2\"", "bearer = \"\"", "authority.bearer"),
        (
            "bearer = \"hunter2\"",
            "bearer_file = \"/nowhere\"",
            "authority.bearer_file",
        ),
        ("issuer = \"https://issuer.test\"", "", "authority.issuer"),
        ("127.0.0.1:0", "0.0.0.0:7470", "server.listen"),
        ("127.0.0.1:0", "nonsense", "server.listen"),
        (
            "[server]",
            "[server]\ntls_key_file = \"/nowhere\"",
            "server.tls_key_file",
        ),
        (
            "[server]",
            "[server]\ntls_key_file = \"/nowhere\"\ntls_certificate_file = \"/nowhere\"",
            "server.tls_certificate_file",
        ),
        (
            "[server]",
            "[server]\npublic_url = \"console.test\"",
            "server.public_url",
        ),
        (
            "[server]",
            "[server]\ntrusted_proxies = \"nonsense\"",
            "server.trusted_proxies",
        ),
        (
            "[server]",
            "[server]\nframe_ancestors = [\"*\"]",
            "server.frame_ancestors",
        ),
        (
            "[server]",
            "[server]\nframe_ancestor = []",
            "server.frame_ancestor",
        ),
        (
            "sign_in_url = \"https://app.test/sign-in\"",
            "",
            "session.sign_in_url",
        ),
        (
            "https://app.test/sign-in",
            "javascript:alert(1)",
            "session.sign_in_url",
        ),
        ("[session]", "[session]\ncookie = \"a b\"", "session.cookie"),
        (
            "[session]",
            "[session]\nsign_out_url = \"//evil\"",
            "session.sign_out_url",
        ),
        (
            "[session]",
            "[limits]\nconnections_max = 0\n[session]",
            "limits.connections_max",
        ),
        (
            "[session]",
            "[limits]\nidle_timeout = \"0s\"\n[session]",
            "limits.idle_timeout",
        ),
        ("[session]", "[unknown]\n[session]", "unknown"),
        ("[server]", "[server", "configuration"),
    ] {
        assert!(GOOD.contains(line), "{line}");
        let (code, _, stderr) = check(&GOOD.replacen(line, instead, 1)).await;
        assert_eq!(code, Some(2), "{key}: {stderr}");
        assert!(
            stderr.starts_with(&format!("portcullis: {key}")),
            "{key}: {stderr}"
        );
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    let (code, _, stderr) = process::run(&["console", "--config", "/nowhere"]).await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.starts_with("portcullis: --config"), "{stderr}");
}

#[tokio::test]
async fn a_style_sheet_that_is_none_is_refused_by_its_key() {
    // One that is not there, and one that is no text and too large.
    for file in ["/nowhere.css", "/proc/self/exe"] {
        let setting = format!("[server]\nstyle_sheet_file = \"{file}\"");
        let (code, _, stderr) = check(&GOOD.replacen("[server]", &setting, 1)).await;
        assert_eq!(code, Some(2), "{file}: {stderr}");
        let expected = "portcullis: server.style_sheet_file";
        assert!(stderr.starts_with(expected), "{file}: {stderr}");
    }
}
