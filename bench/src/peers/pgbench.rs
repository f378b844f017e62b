//! pgbench on the same server, with durable single-row statements.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use anyhow::{Context, Result};
use portcullis_tests::postgres::{self, Cluster};
use tokio::process::Command;

/// How long each run takes, in seconds.
const SECONDS: u32 = 6;

/// Statements a second of `clients` clients that each run `script` again and again.
pub(crate) async fn rate(cluster: &Cluster, clients: u32, script: &str) -> Result<f64> {
    // pgbench may run as another user, who cannot look into a directory of ours.
    let file = tempfile::Builder::new()
        .suffix(".sql")
        .permissions(Permissions::from_mode(0o644))
        .tempfile()?;
    fs::write(file.path(), script)?;
    let output = Command::from(postgres::command("pgbench"))
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={SECONDS}"))
        .arg("--file")
        .arg(file.path())
        .arg(cluster.url())
        .stdin(Stdio::null())
        .output()
        .await
        .context("running pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with("tps = "));
    let line =
        line.with_context(|| format!("pgbench said {}", String::from_utf8_lossy(&output.stderr)))?;
    line.split_whitespace()
        .nth(2)
        .context("no number")?
        .parse()
        .context("not a number")
}
