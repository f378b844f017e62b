//! The scripts of `tests/browser`, which drive Debian's Chromium against the real binary.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::process::Dev;

/// The longest time for one script. Each opens dozens of pages, on a machine that runs other tests meanwhile.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(900);

/// [`run_script`] before `dev`, with a directory for its files and variables of the test's own.
///
/// # Panics
/// When one of its tests fails, with all that it wrote.
pub async fn run_script_with(
    script: &str,
    dev: &Dev,
    directory: &Path,
    variables: &[(&str, &str)],
) {
    let scratch = directory.display().to_string();
    let mut all = vec![
        ("STAGE", dev.console.as_str()),
        ("GATEWAY", &dev.gateway),
        ("SCRATCH", &scratch),
    ];
    all.extend(variables);
    run_script(script, &all).await;
}

/// Runs a script to its end, with these variables in its environment.
///
/// # Panics
/// When one of its tests fails, with all that it wrote.
pub async fn run_script(script: &str, variables: &[(&str, &str)]) {
    let root = root();
    let packages = root.join("target/tools/browser");
    assert!(
        packages.join("installed").exists() && Path::new("/usr/bin/chromium").exists(),
        "Chromium or the packages of tests/browser are not installed: run `cargo xtask test`"
    );
    let running = Command::new("node")
        .args(["--test", "--test-reporter=spec"])
        .arg(root.join("tests/browser").join(script))
        .env("PACKAGES", packages)
        .env("IMAGES", root.join("docs/images"))
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(SCRIPT_TIMEOUT, running).await;
    let output = output.expect("the script ends").expect("node starts");
    assert!(
        output.status.success(),
        "{script}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_owned()
}
