//! A gateway that runs: started, waited for, and ended by its id with all its workers.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::TcpStream,
    process::{Child, Command},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::wait::{DEADLINE, within};

/// The last lines that a gateway wrote, for the message of a failed test.
const LINES_MAX: usize = 500;

/// Attempts to start a gateway: another program can take a port between its choice and its use.
const ATTEMPTS_MAX: u32 = 5;

const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A command that starts a gateway, and the address at which it will listen.
pub struct Launch {
    /// The gateway in the foreground.
    pub command: std::process::Command,
    /// Its address.
    pub address: SocketAddr,
}

/// A gateway that listens.
pub struct Running {
    child: Child,
    group: Pid,
    lines: Lines,
    /// Where it listens.
    pub address: SocketAddr,
}

type Lines = Arc<Mutex<VecDeque<String>>>;

impl Running {
    /// Starts a gateway and waits until it listens. `launch` chooses the ports, and is asked again when one was taken.
    ///
    /// # Panics
    /// When the gateway does not start, with all that it wrote.
    pub async fn start(mut launch: impl FnMut() -> Launch) -> Self {
        let mut attempt = 1;
        loop {
            match Self::attempt(launch()).await {
                Ok(running) => return running,
                Err(output) => {
                    let taken = output.to_lowercase().contains("address already in use")
                        || output.contains("cannot bind socket");
                    assert!(
                        taken && attempt < ATTEMPTS_MAX,
                        "the gateway did not start:\n{output}"
                    );
                    attempt += 1;
                }
            }
        }
    }

    /// Starts it once. The error is what it wrote before it ended.
    async fn attempt(mut launch: Launch) -> Result<Self, String> {
        launch
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: NGINX has workers, which outlive a master that was killed.
            .process_group(0);
        let mut child = Command::from(launch.command)
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let id = child.id().expect("it runs");
        let lines = Lines::default();
        let readers = [
            collect(child.stdout.take().expect("piped"), &lines),
            collect(child.stderr.take().expect("piped"), &lines),
        ];
        let mut running = Self {
            child,
            group: Pid::from_raw(id.try_into().expect("a pid")).expect("a pid"),
            lines,
            address: launch.address,
        };

        let give_up = Instant::now() + DEADLINE;
        while TcpStream::connect(running.address).await.is_err() {
            if running.child.try_wait().expect("a child").is_some() {
                within("the output to end", join_all(readers)).await;
                return Err(running.output());
            }
            assert!(
                Instant::now() < give_up,
                "the gateway does not listen:\n{}",
                running.output()
            );
            sleep(POLL_INTERVAL).await;
        }
        Ok(running)
    }

    /// The last lines that it wrote.
    #[must_use]
    pub fn output(&self) -> String {
        let lines = self.lines.lock().expect("whole");
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal to the gateway itself, and not to its workers.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal_leader(&self, signal: Signal) {
        kill_process(self.group, signal).expect("signalled");
    }

    /// Sends a signal to the gateway and its workers.
    pub fn signal(&self, signal: Signal) {
        kill_process_group(self.group, signal).expect("signalled");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The group may have ended by itself.
        let _ended = kill_process_group(self.group, Signal::KILL);
    }
}

fn collect(output: impl AsyncRead + Send + Unpin + 'static, lines: &Lines) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    tokio::spawn(async move {
        let mut reader = BufReader::new(output).lines();
        while let Ok(Some(line)) = reader.next_line().await {
            let mut lines = lines.lock().expect("whole");
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    })
}
