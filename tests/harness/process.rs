//! The real binary, in a process of its own, that can be killed.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::wait::within;

/// `portcullis dev` with its data in a directory.
pub struct Dev {
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
    /// Address of the gRPC server.
    pub grpc: String,
    /// Address of the gateway.
    pub gateway: String,
    /// Address of the demonstration, which leads to the console.
    pub console: String,
}

/// The built binary `portcullis`.
#[must_use]
pub fn binary() -> PathBuf {
    built("portcullis")
}

/// A binary of this workspace. `cargo xtask test` builds them before the tests.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test
        .parent()
        .and_then(without_deps)
        .expect("target/<profile>/deps/<test>");
    let binary = target.join(name);
    assert!(
        binary.exists(),
        "{} is not built: run `cargo xtask test`",
        binary.display()
    );
    binary
}

/// The directory of built binaries: tests lie in `deps` below it, and the bench lies in it.
fn without_deps(directory: &Path) -> Option<&Path> {
    match directory.ends_with("deps") {
        true => directory.parent(),
        false => Some(directory),
    }
}

impl Dev {
    /// Starts it on free ports and waits until it listens.
    pub async fn start(directory: &Path) -> Self {
        Self::start_with(directory, "127.0.0.1:0").await
    }

    /// Starts it on free ports with the demo data: a school and a company.
    pub async fn start_with_demo_data(directory: &Path) -> Self {
        let mut command = command(directory, "127.0.0.1:0");
        command.arg("--demo-data");
        Self::spawn(command).await
    }

    /// [`start_with_demo_data`](Self::start_with_demo_data), with an origin whose pages may call by gRPC-Web.
    pub async fn start_for_pages_of(directory: &Path, origin: &str) -> Self {
        let mut command = command(directory, "127.0.0.1:0");
        command.args(["--demo-data", "--web-origin", origin]);
        Self::spawn(command).await
    }

    /// Starts it with an address for its HTTP server, on free ports otherwise.
    pub async fn start_with(directory: &Path, http_listen: &str) -> Self {
        Self::spawn(command(directory, http_listen)).await
    }

    async fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut grpc = String::new();
        let mut gateway = String::new();
        let mut console = String::new();
        within("dev to listen", async {
            // The console comes last, so everything listens by then.
            while console.is_empty() {
                let line = stdout
                    .next_line()
                    .await
                    .expect("readable")
                    .expect("dev did not start");
                let last = line
                    .split_whitespace()
                    .last()
                    .unwrap_or_default()
                    .to_owned();
                match line.split_whitespace().take(2).collect::<Vec<_>>()[..] {
                    ["authority", "gRPC"] => grpc = last,
                    ["gateway", "HTTP"] => gateway = last,
                    ["console", "HTTP"] => console = last,
                    _ => {}
                }
            }
        })
        .await;
        Self {
            child,
            // Kept, because a process that writes into a closed pipe ends.
            _stdout: stdout,
            grpc,
            gateway,
            console,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(mut self) -> std::process::ExitStatus {
        let id =
            rustix::process::Pid::from_raw(self.id().try_into().expect("a pid")).expect("a pid");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("signalled");
        within("dev to end", self.child.wait())
            .await
            .expect("an end")
    }
}

fn command(directory: &Path, http_listen: &str) -> Command {
    let mut command = Command::new(binary());
    command
        .args(["dev", "--grpc-listen", "127.0.0.1:0", "--http-listen"])
        .arg(http_listen)
        .args(["--gateway-listen", "127.0.0.1:0"])
        .args(["--upstream-listen", "127.0.0.1:0"])
        .args(["--console-listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory);
    command
}

/// The credential of a kind of caller.
#[must_use]
pub fn credential(directory: &Path, kind: &str) -> String {
    let text =
        std::fs::read_to_string(directory.join("dev-credentials.json")).expect("credentials");
    let credentials: Value = serde_json::from_str(&text).expect("JSON");
    credentials[kind]
        .as_str()
        .expect("a bearer string")
        .to_owned()
}

/// Runs the binary to its end: exit code, standard output, standard error.
pub async fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    run_with(arguments, &[]).await
}

/// [`run`] with variables in its environment.
pub async fn run_with(
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let running = Command::new(binary())
        .args(arguments)
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), running)
        .await
        .expect("it ends")
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}
