//! The real sidecar, in a process of its own, and a client of its HTTP listeners.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    process::{Child, ChildStderr, Command},
    sync::oneshot,
};

use crate::{
    authority::{AUDIENCE, GATEWAY, ISSUER, TestAuthority},
    hang, process,
    wait::{eventually, within},
};

/// The configuration of a sidecar under test, as text of its sections.
#[derive(Clone, Debug)]
pub struct SidecarConfig {
    /// The authorities.
    pub endpoints: Vec<String>,
    /// Further lines of `[authority]`.
    pub authority: String,
    /// The lines of `[ext_authz]`. Empty: no such door.
    pub ext_authz: String,
    /// The lines of `[forward_auth]`. Empty: no such door.
    pub forward_auth: String,
    /// The lines of `[limits]`.
    pub limits: String,
    /// The rules, as a document of their own.
    pub rules: toml::Table,
}

impl SidecarConfig {
    /// Both doors on free ports, over the authority at `endpoint`. Sessions come by header or by the cookie `session`.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new(endpoint: &str) -> Self {
        Self {
            endpoints: vec![endpoint.to_owned()],
            authority: "activity_interval = \"100ms\"\n".to_owned(),
            ext_authz: "listen = \"127.0.0.1:0\"\n".to_owned(),
            forward_auth: "listen = \"127.0.0.1:0\"\n".to_owned(),
            limits: "drain_timeout = \"5s\"\n".to_owned(),
            rules: "cookie = \"session\"\n".parse().expect("TOML"),
        }
    }

    /// The text of the file.
    ///
    /// # Panics
    /// When a section is no TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let endpoints = &self.endpoints;
        let mut text = format!(
            "[authority]\nendpoints = {endpoints:?}\nbearer = \"{GATEWAY}\"\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n"
        );
        text.push_str(&self.authority);
        for (section, lines) in [
            ("ext_authz", self.ext_authz.as_str()),
            ("forward_auth", &self.forward_auth),
            ("operations", "listen = \"127.0.0.1:0\"\n"),
            ("limits", &self.limits),
        ] {
            if !lines.is_empty() {
                text.push_str(&format!("\n[{section}]\n{lines}"));
            }
        }
        let mut file: toml::Table = text.parse().expect("TOML");
        file.insert("rules".to_owned(), self.rules.clone().into());
        toml::to_string(&file).expect("TOML")
    }
}

/// A running `portcullis-sidecar`.
pub struct TestSidecar {
    child: Child,
    /// Where the door for Envoy listens: an address, or `unix:` and a path.
    pub ext_authz: String,
    /// Where `/verify` listens.
    pub forward_auth: String,
    /// Where health and metrics listen.
    pub operations: String,
    log: Arc<Mutex<String>>,
    /// Kept, because the configuration file is in it.
    _directory: TempDir,
}

impl TestSidecar {
    /// Starts one for an authority, and waits until it can decide.
    pub async fn ready(authority: &TestAuthority) -> Self {
        Self::ready_with(&SidecarConfig::new(&authority.endpoint())).await
    }

    /// Starts one with a configuration, and waits until it can decide.
    pub async fn ready_with(config: &SidecarConfig) -> Self {
        let sidecar = Self::start(config).await;
        sidecar.wait_until_ready().await;
        sidecar
    }

    /// Starts one with a configuration, and waits until it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(config: &SidecarConfig) -> Self {
        Self::start_with_variables(config, &[]).await
    }

    /// [`start`](Self::start) with these variables in its environment.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with_variables(config: &SidecarConfig, variables: &[(&str, &str)]) -> Self {
        Self::start_version(&binary(), config, variables).await
    }

    /// Starts the binary of any version, with these variables in its environment.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_version(
        program: &Path,
        config: &SidecarConfig,
        variables: &[(&str, &str)],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("sidecar.toml");
        std::fs::write(&file, config.to_toml()).expect("written");
        let mut child = Command::new(program)
            .arg("--config")
            .arg(&file)
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the sidecar starts");

        let log = Arc::new(Mutex::new(String::new()));
        let (listening, heard) = oneshot::channel();
        let stderr = child.stderr.take().expect("piped");
        tokio::spawn(read_log(stderr, Arc::clone(&log), listening));
        let Ok(fields) = within("the sidecar to listen", heard).await else {
            panic!(
                "the sidecar did not start: {}",
                log.lock().expect("the log")
            );
        };
        let field = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        Self {
            child,
            ext_authz: field("ext_authz"),
            forward_auth: field("forward_auth"),
            operations: field("operations"),
            log,
            _directory: directory,
        }
    }

    /// Waits until it can decide.
    pub async fn wait_until_ready(&self) {
        eventually("the sidecar to be ready", async || {
            let answer = self.operation("/readyz").await?;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
    }

    /// Asks health or metrics. None: it does not answer.
    pub async fn operation(&self, path: &str) -> Option<Answer> {
        Ask::new(path).send(&self.operations).await
    }

    /// Asks `/verify` about a request with a token.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn verify(&self, token: &str) -> Answer {
        Ask::verify("GET", "/")
            .header("authorization", &format!("Bearer {token}"))
            .send(&self.forward_auth)
            .await
            .expect("an answer")
    }

    /// All that it has logged.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn id(&self) -> Pid {
        let id = self.child.id().expect("it runs");
        Pid::from_raw(id.try_into().expect("a pid")).expect("a pid")
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Sends a signal, and returns at once.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).expect("signalled");
    }

    /// It hangs: its sockets stay open, and nobody answers.
    pub async fn hang(&self) {
        hang::hang(self.id()).await;
    }

    /// It goes on after [`hang`](Self::hang).
    pub fn go_on(&self) {
        hang::go_on(self.id());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&mut self) -> ExitStatus {
        within("the sidecar to end", self.child.wait())
            .await
            .expect("an end")
    }
}

/// The built binary.
#[must_use]
pub fn binary() -> PathBuf {
    process::built("portcullis-sidecar")
}

/// Runs the binary with a configuration to its end: exit code, standard output, standard error.
///
/// # Panics
/// When it does not end.
pub async fn run(config: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("sidecar.toml");
    std::fs::write(&file, config).expect("written");
    let running = Command::new(binary())
        .arg("--config")
        .arg(&file)
        .args(arguments)
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output();
    let output = within("the sidecar to end", running)
        .await
        .expect("it runs");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The end of a run.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Keeps the lines of the log, and tells the fields of the one that says where it listens.
async fn read_log(stderr: ChildStderr, log: Arc<Mutex<String>>, listening: oneshot::Sender<Value>) {
    let mut listening = Some(listening);
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let parsed: Option<Value> = serde_json::from_str(&line).ok();
        if let Some(parsed) = parsed
            && parsed["fields"]["message"] == "listening"
            && let Some(listening) = listening.take()
        {
            // The test may be gone.
            let _ = listening.send(parsed["fields"].clone());
        }
        let mut log = log.lock().expect("the log");
        log.push_str(&line);
        log.push('\n');
    }
}

/// A request to an HTTP listener of the sidecar, sent as it stands.
#[derive(Clone, Debug)]
pub struct Ask {
    bytes: Vec<u8>,
}

impl Ask {
    /// `GET path`.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: sidecar\r\nConnection: close\r\n");
        Self {
            bytes: head.into_bytes(),
        }
    }

    /// A check of `/verify`, as Caddy and Traefik send it.
    #[must_use]
    pub fn verify(method: &str, target: &str) -> Self {
        Self::new("/verify")
            .header("X-Forwarded-Method", method)
            .header("X-Forwarded-Uri", target)
            .header("X-Forwarded-Host", "shop.example")
            .header("X-Forwarded-For", "203.0.113.9")
    }

    /// A check of `/verify/nginx`.
    #[must_use]
    pub fn nginx(method: &str, target: &str) -> Self {
        Self::new("/verify/nginx")
            .header("X-Original-Method", method)
            .header("X-Original-URI", target)
            .header("X-Original-Host", "shop.example")
            .header("X-Forwarded-For", "203.0.113.9")
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.raw_header(name, value.as_bytes())
    }

    /// Adds a header with a value of any bytes.
    #[must_use]
    pub fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(b": ");
        self.bytes.extend(value);
        self.bytes.extend(b"\r\n");
        self
    }

    /// Sends it to an address, or to `unix:` and a path. None: nobody listens, or the answer did not come.
    ///
    /// # Panics
    /// When the answer does not end.
    pub async fn send(&self, listener: &str) -> Option<Answer> {
        match listener.strip_prefix("unix:") {
            Some(path) => {
                self.exchange(UnixStream::connect(Path::new(path)).await.ok()?)
                    .await
            }
            None => {
                self.exchange(TcpStream::connect(listener).await.ok()?)
                    .await
            }
        }
    }

    async fn exchange(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<Answer> {
        let exchange = async {
            // A listener may refuse a request before all of it was sent.
            let _ = stream.write_all(&self.bytes).await;
            let _ = stream.write_all(b"\r\n").await;
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes).await;
            Answer::parse(&bytes)
        };
        within("an answer of the sidecar", exchange).await
    }
}

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let value = HeaderValue::from_bytes(value.trim().as_bytes()).ok()?;
            headers.append(name.parse::<HeaderName>().ok()?, value);
        }
        Some(Self {
            status,
            headers,
            body: body.to_owned(),
        })
    }

    /// The one value of a header. None: the answer lacks it.
    ///
    /// # Panics
    /// When there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "several {name} in {self:?}");
        Some(value.to_str().expect("text"))
    }

    /// The `reason` of a refusal.
    #[must_use]
    pub fn reason(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["reason"].as_str().unwrap_or_default().to_owned()
    }
}
