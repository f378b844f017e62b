//! LemonLDAP::NG's server for NGINX, with its default caches, and sessions that were opened without its portal.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const SETTINGS: &str = include_str!("lemonldap/lemonldap-ng.ini");
const CONFIGURATION: &str = include_str!("lemonldap/lmConf-1.json");
const SESSIONS: &str = include_str!("lemonldap/sessions.pl");
const SERVER: &str = include_str!("lemonldap/nginx.conf");

/// The user of Debian's web servers: the server refuses to run as root.
const WEB_USER: &str = "www-data";

/// Processes that decide, as many as by default.
const PROCESSES: u32 = 7;

/// A running server.
pub(crate) struct Lemonldap {
    group: Pid,
    _child: Child,
    directory: TempDir,
    /// The values of the cookie `lemonldap`, one for each session.
    pub(crate) sessions: Vec<String>,
}

impl Lemonldap {
    /// Starts it with this many sessions.
    pub(crate) async fn start(sessions: usize) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path();
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        for name in ["conf", "sessions", "sessions/lock", "cache"] {
            fs::create_dir(path.join(name))?;
        }
        write(path, "lemonldap-ng.ini", SETTINGS)?;
        write(path, "conf/lmConf-1.json", CONFIGURATION)?;
        write(path, "sessions.pl", SESSIONS)?;
        let sessions = open_sessions(path, sessions).await?;
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            let mut chown = Command::new("chown");
            let owner = format!("{WEB_USER}:{WEB_USER}");
            let given = chown.arg("-R").arg(owner).arg(path).status().await?;
            ensure!(given.success(), "chown failed");
        }

        let child = spawn(path, is_root)?;
        let id = child.id().context("it runs")?;
        let server = Self {
            group: Pid::from_raw(id.try_into()?).context("a process id")?,
            _child: child,
            directory,
            sessions,
        };
        server.listening().await?;
        Ok(server)
    }

    /// The directives of an NGINX that asks it.
    pub(crate) fn nginx_server(&self) -> String {
        fill(SERVER, self.directory.path())
    }

    async fn listening(&self) -> Result<()> {
        let socket = self.directory.path().join("llng.sock");
        let deadline = Instant::now() + Duration::from_secs(20);
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            ensure!(
                Instant::now() < deadline,
                "llng-fastcgi-server does not listen"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Lemonldap {
    fn drop(&mut self) {
        // The group may have ended by itself.
        let _ended = kill_process_group(self.group, Signal::KILL);
    }
}

fn spawn(directory: &Path, is_root: bool) -> Result<Child> {
    let mut command = std::process::Command::new("llng-fastcgi-server");
    command
        .args(["--foreground", "--proc", &PROCESSES.to_string()])
        .arg("--socket")
        .arg(directory.join("llng.sock"))
        .arg("--pid")
        .arg(directory.join("llng.pid"))
        .env("LLNG_DEFAULTCONFFILE", directory.join("lemonldap-ng.ini"))
        .env("LLNG_DEFAULTLOGGER", "Lemonldap::NG::Common::Logger::Std")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own: the processes that decide outlive a manager that was killed.
        .process_group(0);
    if is_root {
        command.args(["--user", WEB_USER, "--group", WEB_USER]);
    }
    let child = Command::from(command).kill_on_drop(true).spawn();
    child.context("starting llng-fastcgi-server")
}

async fn open_sessions(directory: &Path, count: usize) -> Result<Vec<String>> {
    let output = Command::new("perl")
        .arg(directory.join("sessions.pl"))
        .arg(directory.join("conf/lmConf-1.json"))
        .arg(count.to_string())
        .output()
        .await
        .context("running perl")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "sessions.pl said {error}");
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    let file = directory.join(name);
    fs::write(&file, fill(text, directory)).with_context(|| format!("writing {}", file.display()))
}

fn fill(text: &str, directory: &Path) -> String {
    text.replace("@DIRECTORY@", &directory.display().to_string())
}
