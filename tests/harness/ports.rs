//! Ports that a test may choose for a server of another program.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddr, UnixListener},
    },
    sync::Mutex,
};

use rand::Rng;

/// Ports below the range from which systems choose ports for connections, so that no connection takes one meanwhile.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Far more than are needed while any port is free.
const TRIES_MAX: usize = 10_000;

/// The names of the ports that this process has chosen.
static CHOSEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// Returns a port of the loopback interface that nobody uses now, and that no other test chooses while this process lives.
/// A server may stop and come back to it.
///
/// # Panics
/// When none is found: the system gives no sockets.
#[must_use]
pub fn free_port() -> u16 {
    for _ in 0..TRIES_MAX {
        let port = rand::rng().random_range(PORTS);
        if let Some(name) = choose(port)
            && is_free(port)
        {
            CHOSEN.lock().expect("whole").push(name);
            return port;
        }
    }
    panic!("no free port after {TRIES_MAX} tries");
}

/// Returns an address with a [`free_port`].
#[must_use]
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A name that one process of this machine can have. The system takes it back when the process ends.
fn choose(port: u16) -> Option<UnixListener> {
    let name = UnixAddr::from_abstract_name(format!("portcullis-tests-port-{port}"));
    UnixListener::bind_addr(&name.expect("a short name")).ok()
}

fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
