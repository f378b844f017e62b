//! Rude callers, one of each kind. All but the forger run in a process of their own, until their standard input ends.
//!
//! That process has the lowest priority: an attacker brings machines of its own, and here they are the same two cores.
//! It takes what the authority and the quiet tenant leave, so a flood is as large as the machine can bear. Each kind
//! comes from an address of its own, as it would from a network.

use std::{
    io::{Read, stdin},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::v1::{self, user_service_client::UserServiceClient};
use portcullis_tests::authority::OTHER_ADMIN;
use portcullis_validator::Validator;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    process::{Child, Command},
    task::JoinSet,
    time::sleep,
};
use tonic::transport::{Channel, Endpoint};

use crate::world::{World, authorized};

/// The tenant of the rude administrator.
const TENANT: &str = "other";
/// Streams whose request never ends.
const HALF_OPEN_STREAMS: usize = 4_096;
const HALF_OPEN_CONNECTIONS: usize = 16;
/// Sockets that say nothing, to each port.
const SILENT_SOCKETS: usize = 300;
const SIGN_OUTS: usize = 64;
const SIGN_OUT_USERS: usize = 1_000;
const SEARCHES: usize = 60;
/// Forged tokens that the gate gets each tick: 5,000 a second.
const FORGED_PER_TICK: u64 = 50;
const FORGED_TICK: Duration = Duration::from_millis(10);
/// Between two attempts of one rude caller.
const BREATH: Duration = Duration::from_millis(10);
/// Between two floods of half-open streams of one connection, and until a silent socket is opened again. Without it the
/// floods are as large as the cores allow: 13,000 streams a second.
const FLOOD_INTERVAL: Duration = Duration::from_secs(1);
/// The lowest priority that there is.
const NICENESS: i32 = 19;

/// Where each kind of rude caller comes from.
const HALF_OPEN_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SILENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const ADMINISTRATOR_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

/// The kinds of callers in the process of the rude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    HalfOpen,
    Silent,
    SignOut,
    Search,
}

/// Options of the process of the rude callers.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    grpc: SocketAddr,
    #[arg(long)]
    http: SocketAddr,
    /// The kinds that misbehave; none: all.
    kinds: Vec<Kind>,
}

/// The rude callers at work.
pub(super) struct Rude {
    process: Child,
    forger: Forger,
}

impl Rude {
    /// Starts them all. `ended` is a token of a session that was revoked.
    pub(super) async fn start(
        world: &World,
        gate: &Validator,
        ended: &str,
        kinds: &[Kind],
    ) -> Result<Self> {
        let (grpc, http) = world.authority.addresses();
        let mut process = Command::new(std::env::current_exe()?)
            .arg("rude")
            .args(["--grpc".to_owned(), grpc.to_string()])
            .args(["--http".to_owned(), http.to_string()])
            .args(kinds.iter().map(|kind| {
                let value = clap::ValueEnum::to_possible_value(kind);
                value.map_or_else(String::new, |value| value.get_name().to_owned())
            }))
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = process.stdin.as_mut().context("its standard input")?;
        input.write_all(format!("{ended}\n").as_bytes()).await?;
        let forger = Forger::start(gate.clone(), ended)?;
        Ok(Self { process, forger })
    }

    /// Ends them. They say what they did.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait().await?;
        ensure!(status.success(), "the rude callers failed: {status}");
        eprintln!("  rude: {} forged tokens", self.forger.stop());
        Ok(())
    }
}

#[derive(Default)]
struct Counts {
    streams: AtomicU64,
    sockets: AtomicU64,
    sign_outs: AtomicU64,
    searches: AtomicU64,
    refused: AtomicU64,
}

/// The process of the rude callers. Its first line of input is the token of an ended session.
pub(crate) async fn run(options: &Options) -> Result<()> {
    rustix::process::nice(NICENESS)?;
    let ended = tokio::task::spawn_blocking(read_token).await??;

    let counts = Arc::new(Counts::default());
    let tasks = start(options, &ended, &counts).await?;
    tokio::task::spawn_blocking(wait_for_end_of_input).await??;
    drop(tasks);

    let count = |number: &AtomicU64| number.load(Relaxed);
    eprintln!(
        "  rude: {} half-open streams, {} silent sockets, {} bulk sign-outs, {} searches; {} calls refused",
        count(&counts.streams),
        count(&counts.sockets),
        count(&counts.sign_outs),
        count(&counts.searches),
        count(&counts.refused),
    );
    Ok(())
}

fn read_token() -> Result<String> {
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn wait_for_end_of_input() -> Result<()> {
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

async fn start(options: &Options, ended: &str, counts: &Arc<Counts>) -> Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    let wanted = |kind| options.kinds.is_empty() || options.kinds.contains(&kind);
    let (grpc, http) = (options.grpc, options.http);

    if wanted(Kind::HalfOpen) {
        for _ in 0..HALF_OPEN_CONNECTIONS {
            let (counts, ended) = (Arc::clone(counts), ended.to_owned());
            tasks.spawn(async move { hold_streams_open(grpc, &ended, &counts).await });
        }
    }
    if wanted(Kind::Silent) {
        for address in [grpc, http] {
            for _ in 0..SILENT_SOCKETS {
                tasks.spawn(stay_silent(address, Arc::clone(counts)));
            }
        }
    }
    if wanted(Kind::SignOut) {
        for caller in 0..SIGN_OUTS {
            let users = connect_administrator(grpc).await?;
            tasks.spawn(sign_out_many(users, caller, Arc::clone(counts)));
        }
    }
    if wanted(Kind::Search) {
        for caller in 0..SEARCHES {
            let users = connect_administrator(grpc).await?;
            tasks.spawn(search(users, caller, Arc::clone(counts)));
        }
    }
    Ok(tasks)
}

async fn connect_administrator(grpc: SocketAddr) -> Result<Users> {
    let channel = Endpoint::from_shared(format!("http://{grpc}"))?
        .local_address(Some(IpAddr::V4(ADMINISTRATOR_ADDRESS)))
        .connect()
        .await?;
    Ok(UserServiceClient::new(channel))
}

async fn connect_from(address: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    socket.connect(to).await
}

/// Opens streams whose message never ends, as many as the server takes; begins again when it ends them.
async fn hold_streams_open(address: SocketAddr, token: &str, counts: &Counts) {
    loop {
        if let Ok(socket) = connect_from(HALF_OPEN_ADDRESS, address).await
            && let Ok((client, connection)) = h2::client::handshake(socket).await
        {
            let driver = tokio::spawn(connection);
            // The server's refusals end the connection or the streams; both are begun again.
            let _ = open_streams(client, address, token, counts).await;
            driver.abort();
        }
        counts.refused.fetch_add(1, Relaxed);
        sleep(FLOOD_INTERVAL).await;
    }
}

async fn open_streams(
    mut client: h2::client::SendRequest<prost::bytes::Bytes>,
    address: SocketAddr,
    token: &str,
    counts: &Counts,
) -> Result<()> {
    let uri = format!("http://{address}/portcullis.v1.SessionService/IntrospectToken");
    let mut held = Vec::new();
    for _ in 0..HALF_OPEN_STREAMS / HALF_OPEN_CONNECTIONS {
        client = tokio::time::timeout(Duration::from_secs(5), client.ready()).await??;
        let request = http::Request::post(&uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(())?;
        held.push(client.send_request(request, false)?);
        counts.streams.fetch_add(1, Relaxed);
    }
    for (answer, _body) in held {
        let _ = answer.await;
    }
    Ok(())
}

async fn stay_silent(address: SocketAddr, counts: Arc<Counts>) {
    loop {
        if let Ok(mut socket) = connect_from(SILENT_ADDRESS, address).await {
            counts.sockets.fetch_add(1, Relaxed);
            // Ends when the server closes it.
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
        sleep(FLOOD_INTERVAL).await;
    }
}

type Users = UserServiceClient<Channel>;

async fn sign_out_many(mut users: Users, caller: usize, counts: Arc<Counts>) {
    loop {
        let request = v1::ForceSignOutRequest {
            tenant_id: TENANT.into(),
            user_ids: (0..SIGN_OUT_USERS)
                .map(|user| format!("user-{caller}-{user}"))
                .collect(),
            reason: "rude".into(),
            ..Default::default()
        };
        let answer = users.force_sign_out(authorized(request, OTHER_ADMIN)).await;
        counts.count(&counts.sign_outs, answer.is_ok());
        sleep(BREATH).await;
    }
}

async fn search(mut users: Users, caller: usize, counts: Arc<Counts>) {
    loop {
        let request = v1::ListUsersRequest {
            tenant_id: TENANT.into(),
            filter: Some(v1::UserFilter {
                person_name: format!("nobody-{caller}"),
                ..Default::default()
            }),
            show_signed_out: true,
            ..Default::default()
        };
        let answer = users.list_users(authorized(request, OTHER_ADMIN)).await;
        counts.count(&counts.searches, answer.is_ok());
        sleep(BREATH).await;
    }
}

/// Shows a gate tokens whose signatures nobody made, each another, from a thread of its own.
struct Forger {
    stop: mpsc::SyncSender<()>,
    thread: thread::JoinHandle<u64>,
}

impl Forger {
    fn start(gate: Validator, genuine: &str) -> Result<Self> {
        let unsigned = unsigned(genuine)?.to_owned();
        let (stop, stopped) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || forge(&gate, &unsigned, &stopped));
        Ok(Self { stop, thread })
    }

    /// Ends it; how many tokens it forged.
    fn stop(self) -> u64 {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

fn forge(gate: &Validator, unsigned: &str, stopped: &mpsc::Receiver<()>) -> u64 {
    let mut forged = 0_u64;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(FORGED_TICK) {
        for _ in 0..FORGED_PER_TICK {
            forged += 1;
            let mut signature = [0x5a; 64];
            signature[..8].copy_from_slice(&forged.to_be_bytes());
            let token = format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature));
            let _ = gate.check(&token);
        }
    }
    forged
}

fn unsigned(token: &str) -> Result<&str> {
    let (unsigned, _) = token.rsplit_once('.').context("a JWT has three parts")?;
    Ok(unsigned)
}

impl Counts {
    fn count(&self, done: &AtomicU64, is_ok: bool) {
        let number = if is_ok { done } else { &self.refused };
        number.fetch_add(1, Relaxed);
    }
}
