//! `portcullis serve` in a process of its own, with what it wrote.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_authority::config::Config;
use portcullis_validator::{Builder, Validator};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    authority::{AUDIENCE, GATEWAY, ISSUER, Transport, config, transport},
    hang,
    process::binary,
    shim::Shim,
    wait::{eventually, within},
};

/// Linux counts processor time in hundredths of a second.
const MILLISECONDS_PER_TICK: u64 = 10;

/// A running `serve`.
pub struct Serve {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Address of its gRPC server.
    pub grpc: SocketAddr,
    /// Address of its HTTP server.
    pub http: SocketAddr,
    directory: TempDir,
    config: Config,
}

impl Serve {
    /// Starts it with the settings of tests and some of the test's own; `log` is its `RUST_LOG`.
    pub async fn start(log: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(Command::new(binary()), log, change).await
    }

    /// [`start`](Self::start) in a process whose disk and clock the test decides about.
    pub async fn start_under(shim: &Shim, log: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut command = Command::new(binary());
        command.envs(shim.variables());
        Self::start_by(command, log, change).await
    }

    /// [`start`](Self::start) in a process that may have this many files and sockets open.
    pub async fn start_with_descriptors(
        descriptors: u32,
        log: &str,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", r#"ulimit -n "$1" && shift && exec "$@""#, "sh"])
            .arg(descriptors.to_string())
            .arg(binary());
        Self::start_by(command, log, change).await
    }

    /// [`start`](Self::start) with these variables in its environment.
    pub async fn start_with_variables(
        variables: &[(&str, &str)],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut command = Command::new(binary());
        command.envs(variables.iter().copied());
        Self::start_by(command, "info", change).await
    }

    /// Starts the binary of any version, with the settings of tests and some of the test's own. The file names only what is
    /// not the default, because an older version does not know every setting.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_version(program: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let table = |config: &Config| toml::Table::try_from(config).expect("TOML");
        let text = |config: &Config| {
            let mut settings = table(config);
            remove_defaults(&mut settings, &table(&Config::default()));
            toml::to_string(&settings).expect("TOML")
        };
        Self::start_with(Command::new(program), "info", text, change).await
    }

    /// Starts it by a command that runs the binary with the arguments added here.
    async fn start_by(command: Command, log: &str, change: impl FnOnce(&mut Config)) -> Self {
        let text = |config: &Config| toml::to_string(config).expect("TOML");
        Self::start_with(command, log, text, change).await
    }

    /// [`start_by`](Self::start_by), with the configuration file as `text` writes it.
    async fn start_with(
        mut command: Command,
        log: &str,
        text: impl FnOnce(&Config) -> String,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut config = config(directory.path());
        change(&mut config);
        let file = directory.path().join("portcullis.toml");
        write_configuration(&file, &text(&config));
        let mut child = command
            .args(["serve", "--config"])
            .arg(&file)
            .env("RUST_LOG", log)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stderr, written) = (child.stderr.take().expect("piped"), Arc::clone(&lines));
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                written.lock().expect("whole").push(line);
            }
        });
        let listening = eventually("serve to listen", async || {
            listening(&lines.lock().expect("whole"))
        })
        .await;
        Self {
            child,
            lines,
            grpc: listening.0,
            http: listening.1,
            directory,
            config,
        }
    }

    /// Its configuration file.
    #[must_use]
    pub fn configuration_file(&self) -> PathBuf {
        self.directory.path().join("portcullis.toml")
    }

    /// Replaces its configuration file by what it was started with, changed.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        let text = toml::to_string(&self.config).expect("TOML");
        write_configuration(&self.configuration_file(), &text);
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// `http://…` of its gRPC server.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// A transport for a bearer string; an empty one sends none.
    #[must_use]
    pub fn transport(&self, bearer: &str) -> Transport {
        transport(&self.endpoint(), bearer)
    }

    /// A validator's settings.
    pub fn gate(&self, name: &str) -> Builder {
        Validator::builder(self.endpoint())
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .name(name)
    }

    /// What it has written to standard error.
    #[must_use]
    pub fn log(&self) -> String {
        self.lines.lock().expect("whole").join("\n")
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Whether its process has ended.
    ///
    /// # Panics
    /// When the system cannot tell.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// It hangs: its sockets stay open, and nobody answers.
    pub async fn hang(&self) {
        hang::hang(self.process()).await;
    }

    /// It goes on after [`hang`](Self::hang).
    pub fn go_on(&self) {
        hang::go_on(self.process());
    }

    /// The memory that it has, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kilobytes
            .and_then(|number| number.trim().parse::<u64>().ok())
            .expect("a size")
            << 10
    }

    /// The processor time that it has used, of all its threads.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        let id = self.child.id().expect("it runs");
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
        // The name before it is in parentheses, and may have spaces.
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let fields: Vec<_> = fields.split(' ').collect();
        let ticks = |field: &str| field.parse::<u64>().expect("a number");
        let (user, system) = (ticks(fields[11]), ticks(fields[12]));
        Duration::from_millis((user + system) * MILLISECONDS_PER_TICK)
    }

    fn process(&self) -> Pid {
        let id = self.id().try_into().expect("a number");
        Pid::from_raw(id).expect("a process id")
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).expect("signalled");
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        within("serve to end", self.child.wait())
            .await
            .expect("an end")
    }
}

/// Removes the settings that have their defaults.
fn remove_defaults(settings: &mut toml::Table, defaults: &toml::Table) {
    settings.retain(|name, value| {
        let default = defaults.get(name);
        if let (toml::Value::Table(section), Some(toml::Value::Table(default))) =
            (&mut *value, default)
        {
            remove_defaults(section, default);
            return !section.is_empty();
        }
        Some(&*value) != default
    });
}

/// Replaces a file as a whole.
fn write_configuration(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).expect("a configuration file");
    std::fs::rename(new, file).expect("replaced");
}

fn listening(lines: &[String]) -> Option<(SocketAddr, SocketAddr)> {
    let events = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let event = events
        .map(|event| event["fields"].clone())
        .find(|fields| fields["message"] == "listening")?;
    let address = |name: &str| event[name].as_str()?.parse().ok();
    Some((address("grpc")?, address("http")?))
}

/// The body of `GET path`.
///
/// # Panics
/// When the answer is not 200.
pub async fn get(address: SocketAddr, path: &str) -> String {
    let response = answer(address, path).await;
    let (head, body) = response.split_once("\r\n\r\n").expect("a response");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// The whole answer to `GET path`, whatever it is.
///
/// # Panics
/// When there is none.
pub async fn answer(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("received");
    response
}
