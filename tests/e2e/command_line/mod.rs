//! The command line: the real binary against a real authority.

mod completions;
mod confirmations;
mod connections;
mod ending;
mod erasure;
mod incident;
mod installation;
mod operators;
mod pages;
mod policies;
mod reading;

use std::{path::PathBuf, process::Stdio};

use portcullis_authority::config::Config;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, GATEWAY, LOGIN, OPERATOR, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, session_id,
        sign_in, write_private,
    },
    process::binary,
    wait::within,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its data, of a command that has succeeded.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The words of its standard output, of a command that has succeeded.
    pub(crate) fn words(&self) -> Vec<&str> {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout.split_whitespace().collect()
    }

    /// Fails unless it ended with this code, and said these words on standard error and nothing on standard output.
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word}: {self:?}");
        }
    }
}

/// An authority, and contexts for each of its callers: `admin`, `support`, `operator`, `login`, `gateway`, `other`.
pub(crate) struct CommandLine {
    pub(crate) authority: TestAuthority,
    directory: TempDir,
}

impl CommandLine {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// [`start`](Self::start), with settings of the authority.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let authority = TestAuthority::with(change).await;
        let directory = tempfile::tempdir().expect("a directory");
        let line = Self {
            authority,
            directory,
        };
        line.write_contexts();
        line
    }

    fn write_contexts(&self) {
        let address = self.authority.endpoint();
        let mut text = String::from("current = \"admin\"\n");
        for (name, bearer) in [
            ("admin", ADMIN),
            ("support", SUPPORT),
            ("operator", OPERATOR),
            ("login", LOGIN),
            ("gateway", GATEWAY),
            ("other", OTHER_ADMIN),
        ] {
            let file = self.file(&format!("{name}.bearer"));
            write_private(&file, bearer);
            text += &format!(
                "[contexts.{name}]\naddress = \"{address}\"\ntenant = \"{TENANT}\"\ncredential = {{ file = {file:?} }}\n"
            );
        }
        write_private(&self.contexts(), &text);
    }

    /// A file of this test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The file of contexts.
    pub(crate) fn contexts(&self) -> PathBuf {
        self.file("contexts.toml")
    }

    /// Runs a command to its end, with nobody at its standard input.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[], "").await
    }

    /// [`run`](Self::run), of a command that has data.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.extend(["-o", "json"]);
        self.run(&arguments).await.json()
    }

    /// [`run`](Self::run) with variables, and with a text at its standard input.
    pub(crate) async fn run_with(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        input: &str,
    ) -> Ran {
        let mut command = self.command();
        command.args(arguments).envs(variables.iter().copied());
        finish(command, input).await
    }

    /// A command that is not started yet.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(binary());
        self.set_environment(&mut command);
        command
    }

    /// Runs a command in a terminal, with a person who types.
    pub(crate) async fn run_in_terminal(&self, arguments: &str, typed: &str) -> Ran {
        let mut command = Command::new("script");
        let line = format!("{} {arguments}", binary().display());
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        self.set_environment(&mut command);
        finish(command, typed).await
    }

    fn set_environment(&self, command: &mut Command) {
        command
            .env("PORTCULLIS_CONTEXTS_FILE", self.contexts())
            .env("TZ", "UTC")
            .env("TERM", "xterm")
            .env_remove("PORTCULLIS_CONTEXT")
            .env_remove("PORTCULLIS_TENANT")
            .env_remove("NO_COLOR")
            .kill_on_drop(true);
    }

    /// Opens a session of a user with these names, and returns its id.
    pub(crate) async fn open(&self, user: &str, user_name: &str) -> String {
        let mut request = sign_in(user);
        request.user = Some(v1::SessionUser {
            id: user.into(),
            user_name: user_name.into(),
            given_name: "Ada".into(),
            family_name: "Lovelace".into(),
            ..Default::default()
        });
        let created = self.authority.sessions(LOGIN).create_session(request).await;
        session_id(&created.expect("a sign-in").into_inner())
    }

    /// Number of active sessions of the tenant.
    pub(crate) async fn active(&self) -> usize {
        let listed = self.run(&["sessions", "list", "-o", "name"]).await;
        listed.words().len()
    }
}

async fn finish(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("piped");
    let written = async {
        // A command that reads nothing may have ended by now.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
    };
    let (output, ()) = within("the command to end", async {
        tokio::join!(child.wait_with_output(), written)
    })
    .await;
    let output = output.expect("it ran");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}
