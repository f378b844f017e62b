//! An authority that is started from a package, asked whether it is ready, and stopped.

use std::{
    ffi::OsString,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::fresh;
use crate::shell::{self, command};

/// The longest start, and the longest drain.
const TIME_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// The files of a new authority, and free ports for it.
pub(super) struct Installation {
    directory: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Installation {
    /// Makes them as an operator does, by `portcullis init` of the packaged program.
    pub(super) fn make(program: &Path, directory: &Path) -> Result<Self> {
        fresh(directory)?;
        let files = directory.join("etc");
        let mut init = command(program, ["init"]);
        init.arg(&files);
        init.args(["--issuer", "https://sessions.example.com"]);
        init.args(["--host", "localhost"]);
        // It prints credentials, which must not stand in a log.
        init.stdout(Stdio::null());
        shell::run(init)?;
        Ok(Self {
            directory: fs::canonicalize(files).context("the files")?,
            grpc: free_port()?,
            http: free_port()?,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn configuration(&self) -> OsString {
        self.directory.join("portcullis.toml").into()
    }

    pub(super) fn http(&self) -> SocketAddr {
        self.http
    }

    /// The settings that stand over the file.
    pub(super) fn add_variables(&self, authority: &mut Command) {
        authority.env("PORTCULLIS_SERVER__GRPC_LISTEN", self.grpc.to_string());
        authority.env("PORTCULLIS_SERVER__HTTP_LISTEN", self.http.to_string());
    }
}

/// Finds a port that is free now.
fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("finding a free port")?;
    Ok(listener.local_addr()?)
}

/// Runs an authority until it is ready, and then until it has drained.
pub(super) fn start_and_stop(mut authority: Command, http: SocketAddr) -> Result<()> {
    println!("$ {authority:?}");
    let mut child = authority.spawn().context("the authority does not start")?;
    let ready = wait_until_ready(&mut child, http);
    if ready.is_err() {
        // Killed rather than left behind; it may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        return ready;
    }
    shell::run(command("kill", ["-TERM", &child.id().to_string()]))?;
    let ended = wait_until_ended(&mut child)?;
    ensure!(ended, "the authority does not end after SIGTERM");
    println!("it was ready, and drained");
    Ok(())
}

fn wait_until_ready(child: &mut Child, http: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < TIME_MAX {
        if let Some(status) = child.try_wait()? {
            bail!("the authority ended: {status}");
        }
        if is_ready(http) {
            return Ok(());
        }
        pause();
    }
    bail!("the authority is not ready after {TIME_MAX:?}")
}

#[allow(
    clippy::disallowed_methods,
    reason = "a chore has one thread, and waits for a program"
)]
fn pause() {
    sleep(PAUSE);
}

fn is_ready(http: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(http) else {
        return false;
    };
    let request = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let asked = stream.write_all(request);
    asked
        .and_then(|()| stream.read_to_string(&mut answer))
        .is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

fn wait_until_ended(child: &mut Child) -> Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < TIME_MAX {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        pause();
    }
    child.kill()?;
    child.wait()?;
    Ok(false)
}
