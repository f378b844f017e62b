//! Clients of OAuth 2.0 and a provider of OpenID Connect, in the libraries that people use: installed from pinned packages,
//! and told what to do line by line. Their scripts are in `tests/standards`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

use crate::{
    application::{Home, copy, root, run},
    wait::within,
};

/// One installation at a time: tests share the directory.
static INSTALLING: Mutex<()> = Mutex::const_new(());

/// A running script.
pub struct Script {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Script {
    /// Starts a script of Node.
    pub async fn node(script: &str, issuer: &str) -> Self {
        let home = install_node().await;
        let mut command = Command::new("node");
        command.arg(home.join(script));
        Self::start(command, issuer)
    }

    /// Starts a script of Python.
    pub async fn python(script: &str, issuer: &str) -> Self {
        let python = install_python().await;
        let mut command = Command::new(python);
        command.arg(source().join(script));
        Self::start(command, issuer)
    }

    fn start(mut command: Command, issuer: &str) -> Self {
        let mut child = command
            .env("ISSUER", issuer)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Errors of the script itself are seen with the output of the test.
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("the script starts");
        let stdout = child.stdout.take().expect("piped");
        Self {
            stdin: child.stdin.take().expect("piped"),
            stdout: BufReader::new(stdout).lines(),
            _child: child,
        }
    }

    /// Gives a command, and returns the whole answer.
    ///
    /// # Panics
    /// When the script ends or does not answer.
    pub async fn ask(&mut self, command: &Value) -> Value {
        let line = format!("{command}\n");
        self.stdin
            .write_all(line.as_bytes())
            .await
            .expect("it reads");
        let answer = within("an answer of the script", async {
            loop {
                let line = self.stdout.next_line().await.expect("text");
                let line = line.expect("the script runs");
                // Libraries write remarks.
                if line.starts_with('{') {
                    return line;
                }
            }
        });
        serde_json::from_str(&answer.await).expect("JSON")
    }

    /// Gives a command that succeeds, and returns its result.
    ///
    /// # Panics
    /// When it fails.
    pub async fn obey(&mut self, command: &Value) -> Value {
        let mut answer = self.ask(command).await;
        match answer.get_mut("result") {
            Some(result) => result.take(),
            None => panic!("{command}: {answer}"),
        }
    }
}

fn source() -> PathBuf {
    root().join("tests/standards")
}

/// Installs the packages of Node, and returns the directory of the scripts beside them.
async fn install_node() -> PathBuf {
    let _one = INSTALLING.lock().await;
    let source = source();
    let packages = ["package.json", "package-lock.json", ".npmrc"].map(|file| source.join(file));
    let home = Home::new("standards-node", &packages.each_ref().map(PathBuf::as_path));
    // Node looks for packages beside the program, so the programs are copied to them.
    copy(&source, &home.directory);
    if !home.is_installed() {
        let mut install = Command::new("npm");
        install.args(["ci", "--loglevel=error"]);
        run(install.current_dir(&home.directory)).await;
        home.set_installed();
    }
    home.directory
}

/// Installs the packages of Python, and returns its program.
async fn install_python() -> PathBuf {
    let _one = INSTALLING.lock().await;
    let requirements = source().join("requirements.txt");
    let home = Home::new("standards-python", &[requirements.as_path() as &Path]);
    let python = home.directory.join("bin/python");
    if !home.is_installed() {
        let mut environment = Command::new("python3");
        environment.args(["-m", "venv", "--clear"]);
        run(environment.arg(&home.directory)).await;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--require-hashes", "-r"]);
        run(install.arg(&requirements)).await;
        home.set_installed();
    }
    python
}
