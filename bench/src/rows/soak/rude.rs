//! Rude callers, one of each kind. They run until they are stopped.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::v1;
use portcullis_tests::authority::OTHER_ADMIN;
use portcullis_validator::Validator;
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet, time::sleep};

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

/// The rude callers at work.
pub(super) struct Rude {
    tasks: JoinSet<()>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    streams: AtomicU64,
    sockets: AtomicU64,
    sign_outs: AtomicU64,
    searches: AtomicU64,
    forged: AtomicU64,
    refused: AtomicU64,
}

impl Rude {
    /// Ends them; says what they did.
    pub(super) fn stop(mut self) -> String {
        self.tasks.abort_all();
        let count = |number: &AtomicU64| number.load(Relaxed);
        format!(
            "rude: {} half-open streams, {} silent sockets, {} bulk sign-outs, {} searches, {} forged tokens; \
             {} calls refused",
            count(&self.counts.streams),
            count(&self.counts.sockets),
            count(&self.counts.sign_outs),
            count(&self.counts.searches),
            count(&self.counts.forged),
            count(&self.counts.refused),
        )
    }
}

/// Starts them all. `ended` is a token of a session that was revoked.
pub(super) async fn start(world: &World, gate: &Validator, ended: String) -> Result<Rude> {
    let mut tasks = JoinSet::new();
    let counts = Arc::new(Counts::default());
    let (grpc, http) = world.authority.addresses();

    for _ in 0..HALF_OPEN_CONNECTIONS {
        let (counts, ended) = (Arc::clone(&counts), ended.clone());
        tasks.spawn(async move { hold_streams_open(grpc, &ended, &counts).await });
    }
    for address in [grpc, http] {
        for _ in 0..SILENT_SOCKETS {
            tasks.spawn(stay_silent(address, Arc::clone(&counts)));
        }
    }
    for caller in 0..SIGN_OUTS {
        let users = world.authority.users().await?;
        tasks.spawn(sign_out_many(users, caller, Arc::clone(&counts)));
    }
    for caller in 0..SEARCHES {
        let users = world.authority.users().await?;
        tasks.spawn(search(users, caller, Arc::clone(&counts)));
    }
    tasks.spawn(forge(gate.clone(), ended, Arc::clone(&counts)));
    Ok(Rude { tasks, counts })
}

/// Opens streams whose message never ends, as many as the server takes; begins again when it ends them.
async fn hold_streams_open(address: SocketAddr, token: &str, counts: &Counts) {
    loop {
        if let Ok(socket) = TcpStream::connect(address).await
            && let Ok((client, connection)) = h2::client::handshake(socket).await
        {
            let driver = tokio::spawn(connection);
            // The server's refusals end the connection or the streams; both are begun again.
            let _ = open_streams(client, address, token, counts).await;
            driver.abort();
        }
        counts.refused.fetch_add(1, Relaxed);
        sleep(BREATH).await;
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
        if let Ok(mut socket) = TcpStream::connect(address).await {
            counts.sockets.fetch_add(1, Relaxed);
            // Ends when the server closes it.
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
        sleep(BREATH).await;
    }
}

type Users = v1::user_service_client::UserServiceClient<tonic::transport::Channel>;

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

/// Shows the gate tokens whose signatures nobody made, each another.
async fn forge(gate: Validator, genuine: String, counts: Arc<Counts>) {
    let Ok(unsigned) = unsigned(&genuine) else {
        return;
    };
    let mut number = 0_u64;
    loop {
        for _ in 0..FORGED_PER_TICK {
            number += 1;
            let mut signature = [0x5a; 64];
            signature[..8].copy_from_slice(&number.to_be_bytes());
            let forged = format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature));
            let _ = gate.check(&forged);
            counts.forged.fetch_add(1, Relaxed);
        }
        sleep(FORGED_TICK).await;
    }
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
