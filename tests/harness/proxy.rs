//! A TCP proxy between a client and its server, which makes the faults of a network.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

/// Bytes that one direction forwards at once.
const CHUNK_BYTES_MAX: usize = 16 * 1024;

/// Connections that one proxy forwards at once.
const CONNECTIONS_MAX: usize = 8_192;

/// The state of one direction of every connection of a proxy. The default forwards what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Reads and writes nothing and keeps every connection open, as a network does that drops packets.
    pub black_hole: bool,
    /// Holds every chunk for this long.
    pub delay: Duration,
    /// Bytes a second of each connection; 0: no limit.
    pub bytes_per_second: u64,
    /// Bytes a second of all connections together; 0: no limit.
    pub shared_bytes_per_second: u64,
    /// Flips one random bit in every so many bytes, on average; 0: none.
    pub flip_one_in: u64,
}

impl Link {
    /// A network that drops every packet.
    pub const BLACK_HOLE: Self = Self {
        black_hole: true,
        delay: Duration::ZERO,
        bytes_per_second: 0,
        shared_bytes_per_second: 0,
        flip_one_in: 0,
    };
}

/// A proxy on a free port of this machine. It ends, with its connections, when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream: watch::Sender<SocketAddr>,
    requests: watch::Sender<Link>,
    answers: watch::Sender<Link>,
    /// Counts the calls of [`Proxy::reset`]; a connection of an earlier count ends.
    resets: watch::Sender<u64>,
    open: Semaphore,
    /// When the link that all connections share is free again, for requests and for answers.
    free: [Mutex<Instant>; 2],
}

impl Proxy {
    /// Starts a proxy that forwards to `upstream`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            upstream: watch::Sender::new(upstream),
            requests: watch::Sender::new(Link::default()),
            answers: watch::Sender::new(Link::default()),
            resets: watch::Sender::new(0),
            open: Semaphore::new(CONNECTIONS_MAX),
            free: [Mutex::new(Instant::now()), Mutex::new(Instant::now())],
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            accepting,
        }
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards connections that come from now on to another server.
    pub fn forward_to(&self, upstream: SocketAddr) {
        self.shared.upstream.send_replace(upstream);
    }

    /// Changes both directions of every connection, open ones and those to come.
    pub fn set(&self, link: Link) {
        self.set_requests(link);
        self.set_answers(link);
    }

    /// Changes the direction from the client to the server.
    pub fn set_requests(&self, link: Link) {
        self.shared.requests.send_replace(link);
    }

    /// Changes the direction from the server to the client.
    pub fn set_answers(&self, link: Link) {
        self.shared.answers.send_replace(link);
    }

    /// Closes every open connection.
    pub fn reset(&self) {
        self.shared.resets.send_modify(|resets| *resets += 1);
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        CONNECTIONS_MAX - self.shared.open.available_permits()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        tokio::spawn(forward(client, Arc::clone(&shared)));
    }
}

/// Forwards one connection until an end closes it or [`Proxy::reset`] does.
async fn forward(client: TcpStream, shared: Arc<Shared>) {
    let _open = shared.open.acquire().await.expect("never closed");
    let mut resets = shared.resets.subscribe();
    let mut requests = shared.requests.subscribe();
    let mut answers = shared.answers.subscribe();
    let forwarding = async {
        leave_black_hole(&mut requests).await;
        let upstream = *shared.upstream.borrow();
        let Ok(server) = TcpStream::connect(upstream).await else {
            return;
        };
        // Small messages are not held back: only what a test asked for delays.
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            copy(from_client, to_server, &mut requests, &shared.free[0]),
            copy(from_server, to_client, &mut answers, &shared.free[1]),
        );
    };
    tokio::select! {
        () = forwarding => {}
        _ = resets.changed() => {}
    }
}

/// Forwards one direction until its sender closes it.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    links: &mut watch::Receiver<Link>,
    free: &Mutex<Instant>,
) {
    let mut chunk = vec![0; CHUNK_BYTES_MAX];
    loop {
        leave_black_hole(links).await;
        let room = room(*links.borrow());
        let read = tokio::select! {
            read = from.read(&mut chunk[..room]) => read,
            changed = links.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        // A connection that closes in a black hole looks open from the other end.
        leave_black_hole(links).await;
        let Ok(length @ 1..) = read else {
            let _ = to.shutdown().await;
            return;
        };
        let link = *links.borrow();
        hold(link, length).await;
        share(link, length, free).await;
        flip_bits(&mut chunk[..length], link.flip_one_in);
        leave_black_hole(links).await;
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

/// The bytes to forward at once: no more than a slow link takes in a second, so that it is slow all the time.
fn room(link: Link) -> usize {
    match usize::try_from(link.bytes_per_second) {
        Ok(bytes @ 1..) => bytes.min(CHUNK_BYTES_MAX),
        _ => CHUNK_BYTES_MAX,
    }
}

async fn leave_black_hole(links: &mut watch::Receiver<Link>) {
    // An error says that the proxy is gone, and then the connection ends too.
    let _ = links.wait_for(|link| !link.black_hole).await;
}

async fn hold(link: Link, length: usize) {
    let mut time = link.delay;
    let nanos = (length as u64 * 1_000_000_000).checked_div(link.bytes_per_second);
    time += Duration::from_nanos(nanos.unwrap_or_default());
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// Waits until the bytes are through the link that all connections share.
async fn share(link: Link, length: usize, free: &Mutex<Instant>) {
    if link.shared_bytes_per_second == 0 {
        return;
    }
    let nanos = length as u64 * 1_000_000_000 / link.shared_bytes_per_second;
    let mut free = free.lock().await;
    *free = Instant::now().max(*free) + Duration::from_nanos(nanos);
    let through = *free;
    drop(free);
    sleep_until(through).await;
}

fn flip_bits(bytes: &mut [u8], one_in: u64) {
    if one_in == 0 {
        return;
    }
    for byte in bytes {
        if rand::random_range(0..one_in) == 0 {
            *byte ^= 1 << rand::random_range(0..8);
        }
    }
}
