//! A PostgreSQL server that a test may stop, kill and promote.

use std::{
    ffi::OsString,
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};
use tokio_postgres::NoTls;

use super::{Admin, binaries, directory::Directory};
use crate::{
    hang,
    ports::free_port,
    shim::Shim,
    wait::{DEADLINE, eventually},
};

/// Room for every case of a suite at once, each with several authorities.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=300",
    "shared_buffers=32MB",
    "wal_level=replica",
    "max_wal_senders=10",
    "max_replication_slots=10",
];

/// One server and its data directory. Both go when it is dropped, or when the test process ends.
pub struct Cluster {
    directory: Directory,
    settings: Vec<String>,
    /// What its server is started with, beside the environment of the test.
    variables: Vec<(&'static str, OsString)>,
    port: u16,
    server: Option<Child>,
}

/// A copy of a server's files, and where its log is archived.
pub struct BaseBackup {
    cluster: Cluster,
    archive: PathBuf,
}

impl BaseBackup {
    /// A server with what the first one had committed at a restore point, and nothing after it. It takes writes.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn restore(mut self, point: &str) -> Cluster {
        let archive = self.archive.display();
        self.cluster.settings = vec![
            format!("restore_command=cp {archive}/%f %p"),
            format!("recovery_target_name={point}"),
            "recovery_target_action=promote".to_owned(),
        ];
        let signal = self.cluster.directory.data().join("recovery.signal");
        self.cluster.directory.write(&signal, "");
        let restored = self.cluster.first_start().await;
        let admin = restored.admin().await;
        eventually("the server to take writes", async || {
            let recovers = admin.text("SELECT pg_is_in_recovery()").await;
            (recovers == "f").then_some(())
        })
        .await;
        restored
    }
}

impl Cluster {
    /// Makes a data directory and starts a server in it. `settings` are `name=value`; without any the server is as
    /// durable as PostgreSQL is by default.
    pub async fn start(settings: &[&str]) -> Self {
        Self::new(settings).initialize().await
    }

    /// [`start`](Self::start), with files of these names and texts. `$` in a setting stands for their directory.
    pub async fn start_with_files(files: &[(&str, &str)], settings: &[&str]) -> Self {
        let mut cluster = Self::new(&[]);
        let directory = cluster.directory.path().to_owned();
        for (name, text) in files {
            cluster.directory.write(&directory.join(name), text);
        }
        let directory = directory.display().to_string();
        for setting in settings {
            cluster.settings.push(setting.replace('$', &directory));
        }
        cluster.initialize().await
    }

    /// [`start`](Self::start), with a server whose disk and clock the test decides about.
    pub async fn start_under(shim: &Shim, settings: &[&str]) -> Self {
        let mut cluster = Self::new(settings);
        for (name, value) in shim.variables() {
            cluster.variables.push((name, value.to_owned()));
        }
        cluster.initialize().await
    }

    /// [`start`](Self::start)s a server that copies its log into an archive, segment by segment.
    ///
    /// # Panics
    /// When the archive cannot be made.
    pub async fn start_with_archive() -> Self {
        let mut cluster = Self::new(&["archive_mode=on"]);
        let archive = cluster.directory.make("archive");
        let copy = format!("archive_command=test ! -f {archive}/%f && cp %p {archive}/%f");
        cluster.settings.push(copy);
        cluster.initialize().await
    }

    /// A copy of the server's files, which is of use with the archive only.
    pub async fn base_backup(&self) -> BaseBackup {
        let copied = Self::new(&[]);
        let from = format!("host=127.0.0.1 port={} user=postgres", self.port);
        let mut copy = binaries::command("pg_basebackup");
        // Without the log: it comes from the archive, up to the point that the test names.
        copy.args(["-X", "none", "-c", "fast", "-d", &from, "-D"]);
        copy.arg(copied.directory.data());
        run(copy).await;
        BaseBackup {
            cluster: copied,
            archive: self.directory.path().join("archive"),
        }
    }

    /// Names this moment in the log, and waits until the archive has it.
    pub async fn make_restore_point(&self, name: &str) {
        let admin = self.admin().await;
        let point = format!("SELECT pg_walfile_name(pg_create_restore_point('{name}'))");
        let segment = admin.text(&point).await;
        // A segment is archived when it is full. This test's is nearly empty.
        admin.text("SELECT pg_switch_wal()").await;
        let archived =
            format!("SELECT 1 FROM pg_stat_archiver WHERE last_archived_wal >= '{segment}'");
        eventually("the archive to have the point", async || {
            admin.maybe_text(&archived).await
        })
        .await;
    }

    async fn initialize(self) -> Self {
        let mut initdb = binaries::command("initdb");
        initdb.args([
            "-A",
            "trust",
            "-U",
            "postgres",
            "--no-locale",
            "-E",
            "UTF8",
            "-N",
            "-D",
        ]);
        initdb.arg(self.directory.data());
        run(initdb).await;
        self.first_start().await
    }

    /// A copy of this server that follows it, and without which it acknowledges no commit.
    pub async fn synchronous_standby(&self, name: &str) -> Self {
        let standby = self.asynchronous_standby(name).await;
        self.configure(&format!("synchronous_standby_names = 'FIRST 1 ({name})'"))
            .await;
        self.wait_for_synchronous_standby().await;
        standby
    }

    /// A copy of this server that follows it, and for which it does not wait.
    pub async fn asynchronous_standby(&self, name: &str) -> Self {
        let settings: Vec<_> = self.settings.iter().map(String::as_str).collect();
        let standby = Self::new(&settings);
        let from = format!(
            "host=127.0.0.1 port={} user=postgres application_name={name}",
            self.port
        );
        let mut copy = binaries::command("pg_basebackup");
        copy.args([
            "-R", "-X", "stream", "-c", "fast", "-C", "-S", name, "-d", &from, "-D",
        ]);
        copy.arg(standby.directory.data());
        run(copy).await;
        standby.first_start().await
    }

    /// Waits until this standby has replayed what `primary` has committed by now, and stops it from following.
    pub async fn stop_following(&self, primary: &Self) {
        let of_primary = primary.admin().await;
        let committed = of_primary.text("SELECT pg_current_wal_lsn()").await;
        let replayed = format!("SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{committed}'::pg_lsn");
        let admin = self.admin().await;
        eventually("the standby has what was committed", async || {
            admin.maybe_text(&replayed).await
        })
        .await;
        self.configure("primary_conninfo = ''").await;
        let receiving = "SELECT 1 FROM pg_stat_wal_receiver";
        eventually("the standby follows no more", async || {
            admin.maybe_text(receiving).await.is_none().then_some(())
        })
        .await;
    }

    fn new(settings: &[&str]) -> Self {
        let settings = settings.iter().map(ToString::to_string).collect();
        Self {
            directory: Directory::new(),
            settings,
            variables: Vec::new(),
            port: 0,
            server: None,
        }
    }

    /// Someone else may take a free port first: then on another.
    async fn first_start(mut self) -> Self {
        for _ in 0..5 {
            self.port = free_port();
            if self.try_run().await {
                return self;
            }
        }
        panic!("PostgreSQL does not start: {}", self.log());
    }

    /// Starts the stopped server again, where it was.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(&mut self) {
        assert!(
            self.try_run().await,
            "PostgreSQL does not start: {}",
            self.log()
        );
    }

    async fn try_run(&mut self) -> bool {
        let log = File::create(self.directory.path().join("log")).expect("a log file");
        let mut postgres = binaries::command("postgres");
        postgres
            .arg("-D")
            .arg(self.directory.data())
            .args(["-p", &self.port.to_string()]);
        for setting in SETTINGS
            .iter()
            .copied()
            .chain(self.settings.iter().map(String::as_str))
        {
            postgres.args(["-c", setting]);
        }
        postgres
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let mut server = postgres.spawn().expect("postgres runs");
        self.directory.entrust(&server);
        let port = self.port;
        let ready = eventually("PostgreSQL is ready or gives up", || {
            let ended = server.try_wait().expect("our own child").is_some();
            async move {
                if ended {
                    Some(false)
                } else {
                    connect(port).await.ok().map(|_| true)
                }
            }
        });
        let ready = ready.await;
        if ready {
            self.server = Some(server);
        } else {
            self.directory.forget();
        }
        ready
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Its URL, to which `?name=value&…` may be added.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A connection as superuser.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub async fn admin(&self) -> Admin {
        connect(self.port).await.expect("the server answers")
    }

    /// Sets a setting of the running server.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn configure(&self, setting: &str) {
        let admin = self.admin().await;
        admin
            .batch_execute(&format!("ALTER SYSTEM SET {setting}"))
            .await
            .expect("a setting");
        admin
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .expect("a reload");
    }

    /// Waits until the server serves: by itself, or started again if it has ended for what was wrong with its disk.
    ///
    /// # Panics
    /// When it does not.
    pub async fn serve_again(&mut self) {
        let give_up = Instant::now() + DEADLINE;
        loop {
            if self.has_ended() {
                return self.run().await;
            }
            if connect(self.port).await.is_ok() {
                return;
            }
            assert!(Instant::now() < give_up, "{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn has_ended(&mut self) -> bool {
        let server = self.server.as_mut().expect("it was started");
        let ended = server.try_wait().expect("our own child").is_some();
        if ended {
            self.server = None;
            self.directory.forget();
        }
        ended
    }

    /// Waits until a standby confirms what is committed.
    pub async fn wait_for_synchronous_standby(&self) {
        let admin = self.admin().await;
        let sql =
            "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'";
        eventually("a synchronous standby", async || {
            admin.maybe_text(sql).await
        })
        .await;
    }

    /// Makes a standby the primary.
    ///
    /// # Panics
    /// When it does not become one.
    pub async fn promote(&self) {
        let admin = self.admin().await;
        // Not to wait within the statement: if the standby must still replay the removal of rows, it cancels who may
        // see them, and a statement that waits may.
        admin.text("SELECT pg_promote(wait => false)").await;
        eventually("the standby to be promoted", async || {
            let recovers = admin.query_one("SELECT pg_is_in_recovery()", &[]).await;
            let recovers: bool = recovers.ok()?.get(0);
            (!recovers).then_some(())
        })
        .await;
    }

    /// Stops the server in an orderly way.
    pub async fn stop(&mut self) {
        self.end(Signal::INT).await;
    }

    /// Kills the server as a crash of its machine would: from one moment to the next.
    pub async fn kill(&mut self) {
        self.end(Signal::KILL).await;
    }

    /// Stops every process of the server from one moment to the next. Its sockets stay open, and nobody answers.
    ///
    /// # Panics
    /// When it goes on.
    pub async fn hang(&self) {
        // First the one that would start others.
        hang::hang(self.id()).await;
        for process in self.children() {
            hang::hang(process).await;
        }
    }

    /// Goes on after [`hang`](Self::hang).
    pub fn go_on(&self) {
        hang::go_on(self.id());
        for process in self.children() {
            hang::go_on(process);
        }
    }

    fn id(&self) -> Pid {
        Pid::from_child(self.server.as_ref().expect("a running server"))
    }

    fn children(&self) -> Vec<Pid> {
        let server = self.id().as_raw_nonzero();
        let children = format!("/proc/{server}/task/{server}/children");
        let children = std::fs::read_to_string(children).expect("the server's processes");
        let ids = children.split_whitespace();
        ids.map(|id| Pid::from_raw(id.parse().expect("a number")).expect("a process id"))
            .collect()
    }

    async fn end(&mut self, signal: Signal) {
        let mut server = self.server.take().expect("a running server");
        send(&server, signal);
        eventually("PostgreSQL ends", || {
            std::future::ready(server.try_wait().expect("our own child"))
        })
        .await;
        self.directory.forget();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_some() {
            // Whoever hangs would not end.
            self.go_on();
        }
        if let Some(mut server) = self.server.take() {
            send(&server, Signal::QUIT);
            let _ = server.wait();
            self.directory.forget();
        }
    }
}

/// Whichever of `clusters` takes writes.
#[must_use]
pub fn url_of_primary(clusters: &[&Cluster]) -> String {
    let hosts: Vec<_> = clusters
        .iter()
        .map(|cluster| format!("127.0.0.1:{}", cluster.port))
        .collect();
    format!(
        "postgres://postgres@{}/postgres?target_session_attrs=read-write",
        hosts.join(",")
    )
}

fn send(server: &Child, signal: Signal) {
    // It may have ended by itself.
    let _ended = kill_process(Pid::from_child(server), signal);
}

async fn connect(port: u16) -> Result<Admin, tokio_postgres::Error> {
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?connect_timeout=5");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    // It ends with the client; a server that goes away is the test's own doing.
    tokio::spawn(async { drop(connection.await) });
    Ok(Admin(client))
}

async fn run(command: std::process::Command) {
    let mut command = tokio::process::Command::from(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the command runs");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
