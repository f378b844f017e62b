//! `portcullis dev --envoy`.

use portcullis_tests::{gateways::envoy::module, process::run};

use super::setting::newest;

const ADDRESSES: [&str; 13] = [
    "dev",
    "--grpc-listen",
    "127.0.0.1:0",
    "--http-listen",
    "127.0.0.1:0",
    "--gateway-listen",
    "127.0.0.1:0",
    "--upstream-listen",
    "127.0.0.1:0",
    "--console-listen",
    "127.0.0.1:0",
    "--envoy-listen",
    "127.0.0.1:0",
];

pub async fn dev_signs_out_once_through_envoy_and_prints_the_time() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data").display().to_string();
    let envoy = newest().path.display().to_string();
    let mut arguments = ADDRESSES.to_vec();
    arguments.extend(["--demo", "--data-dir", &data, "--envoy", &envoy]);
    let (code, written, errors) = run(&arguments).await;
    assert_eq!(code, Some(0), "{written}{errors}");
    for part in [
        "envoy      HTTP  http://127.0.0.1:",
        r#""user_id":"ada""#,
        r#"401 {"error":"invalid_token","reason":"revoked"}"#,
        "after the acknowledgement: ",
    ] {
        assert!(written.contains(part), "{part}: {written}");
    }
}

pub async fn dev_says_what_is_missing_for_envoy() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data").display().to_string();
    let envoy = newest().path.display().to_string();
    let module = module().with_file_name("libother.so").display().to_string();
    for (options, named, problem) in [
        (&["--envoy", "/none"][..], "--envoy", "/none is not a file"),
        (
            &["--envoy", &envoy, "--envoy-module", &module],
            "--envoy-module",
            "cargo build --manifest-path envoy/Cargo.toml",
        ),
        (&["--envoy-module", &module], "--envoy", "required"),
    ] {
        let mut arguments = ADDRESSES.to_vec();
        arguments.extend(["--data-dir", &data]);
        arguments.extend(options);
        let (code, _, errors) = run(&arguments).await;
        assert_eq!(code, Some(2), "{errors}");
        assert!(
            errors.contains(named) && errors.contains(problem),
            "{errors}"
        );
    }
    assert!(!std::path::Path::new(&data).exists(), "nothing was begun");
}
