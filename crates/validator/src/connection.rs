//! Connections to the authority: endpoints, keepalive and TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use hyper_util::rt::TokioIo;
use portcullis_validator_core::BuildError;
use tokio::net::{TcpStream, lookup_host};
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tower::service_fn;

use crate::tls::Tls;

/// The longest time for a connection, its TLS included, and for the addresses of a name.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest and the longest silence after which a peer is asked whether it is there.
const PING_INTERVAL_MIN: Duration = Duration::from_millis(100);
const PING_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// The shortest and the longest time for the answer.
const PING_TIMEOUT_MIN: Duration = Duration::from_millis(250);
const PING_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// The most addresses of one endpoint that are used. More are left out.
const ADDRESSES_MAX: usize = 64;

/// Makes connections to the endpoints of a validator.
pub(crate) struct Connector {
    endpoints: Vec<Endpoint>,
    tls: Tls,
}

/// A connection, and the end of the certificate that it was made with.
pub(crate) struct Connection {
    pub(crate) channel: Channel,
    pub(crate) expires: Option<SystemTime>,
}

impl Connector {
    /// Parses the endpoints. Plain text beyond this machine must be asked for by `insecure`.
    pub(crate) fn new(
        addresses: &[String],
        tls: Tls,
        insecure: bool,
        max_staleness: Duration,
    ) -> Result<Self, BuildError> {
        let mut endpoints = Vec::with_capacity(addresses.len());
        for address in addresses {
            let endpoint = parse_endpoint(address, max_staleness)?;
            check_security(endpoint.uri(), insecure, &tls)?;
            endpoints.push(endpoint);
        }
        Ok(Self { endpoints, tls })
    }

    /// The number of endpoints.
    pub(crate) fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    pub(crate) fn uri(&self, endpoint: usize) -> &Uri {
        self.endpoints[endpoint].uri()
    }

    /// Returns whether the name of an endpoint can have other addresses later.
    pub(crate) fn has_name(&self, endpoint: usize) -> bool {
        ip_of(self.uri(endpoint)).is_none()
    }

    /// The end of the newest certificate of the gate. None: it has none.
    pub(crate) fn newest_expiry(&self) -> Option<SystemTime> {
        self.tls.newest().expires
    }

    /// Returns the reason for which the newest TLS files are not used. None: they are.
    pub(crate) fn unused_files(&self) -> Option<String> {
        self.tls.problem()
    }

    /// Asks for the addresses of an endpoint, in the resolver's order. Each connection asks anew, so changes are seen.
    pub(crate) async fn resolve(&self, endpoint: usize) -> io::Result<Vec<SocketAddr>> {
        let uri = self.uri(endpoint);
        let port = port_of(uri);
        if let Some(ip) = ip_of(uri) {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let host = uri.host().unwrap_or_default();
        // The system's resolver may ask one name server after the other for many seconds. Meanwhile
        // the stream could be at another endpoint.
        let looked_up = tokio::time::timeout(CONNECT_TIMEOUT, lookup_host((host, port))).await;
        let found = looked_up.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found.take(ADDRESSES_MAX) {
            // A resolver may answer once for each kind of socket.
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }

    /// Connects to the first address of an endpoint that takes the connection, and that `hold` permits. Its certificate
    /// must have the name of the endpoint.
    pub(crate) async fn connect(
        &self,
        endpoint: usize,
        addresses: Vec<SocketAddr>,
        hold: impl Fn(SocketAddr) -> bool + Clone + Send + 'static,
    ) -> Result<Connection, Error> {
        let mut endpoint = self.endpoints[endpoint].clone();
        let mut expires = None;
        if is_https(endpoint.uri()) {
            // Read for each connection, so that a renewed certificate counts from the next one.
            let material = self.tls.newest();
            endpoint = endpoint.tls_config(material.config)?;
            expires = material.expires;
        }
        // The transport may dial more than once, so each time gets a copy of its own.
        let connector = service_fn(move |_: Uri| dial(addresses.clone(), hold.clone()));
        let channel = endpoint.connect_with_connector(connector).await?;
        Ok(Connection { channel, expires })
    }
}

async fn dial(
    addresses: Vec<SocketAddr>,
    hold: impl Fn(SocketAddr) -> bool,
) -> io::Result<TokioIo<TcpStream>> {
    // The error that remains if the other stream holds every address.
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    // `CONNECT_TIMEOUT` bounds the loop as a whole. An address that drops packets may use all of
    // it, and the next attempt then begins with the next address.
    for address in addresses {
        // The other stream took the address after the choice. Two streams to one machine would fail
        // together.
        if !hold(address) {
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without this a small message waits until the peer has acknowledged the one before it.
                stream.set_nodelay(true)?;
                return Ok(TokioIo::new(stream));
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn parse_endpoint(address: &str, max_staleness: Duration) -> Result<Endpoint, BuildError> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|error| invalid_endpoint(&error.to_string()))?;
    let uri = endpoint.uri();
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_known || uri.host().is_none_or(str::is_empty) {
        return Err(invalid_endpoint(
            "must be http:// or https:// with a host, for example https://authority.example.org:7400",
        ));
    }

    let (interval, timeout) = keepalive(max_staleness);
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(interval)
        .keep_alive_timeout(timeout)
        .keep_alive_while_idle(true))
}

/// The silence after which a peer is asked whether it is there, and the time for its answer: together three quarters
/// of the staleness, so that a gate leaves a peer that is gone while its last proof still counts.
fn keepalive(max_staleness: Duration) -> (Duration, Duration) {
    let interval = (max_staleness / 4).clamp(PING_INTERVAL_MIN, PING_INTERVAL_MAX);
    let timeout = (max_staleness / 2).clamp(PING_TIMEOUT_MIN, PING_TIMEOUT_MAX);
    (interval, timeout)
}

/// Refuses an address to which a credential, or the names of sessions, would go in the clear, unless `insecure` allows
/// it.
fn check_security(uri: &Uri, insecure: bool, tls: &Tls) -> Result<(), BuildError> {
    if is_https(uri) {
        return Ok(());
    }
    // It is never presented without TLS, so the authority would not know the gate.
    if tls.has_client_certificate() {
        return Err(BuildError {
            setting: "client_certificate",
            problem: "needs endpoints with https://".into(),
        });
    }
    if !insecure && !is_loopback(uri) {
        return Err(invalid_endpoint(
            "is plain http:// beyond this machine: use https://, or ask for it by insecure()",
        ));
    }
    Ok(())
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

fn is_loopback(uri: &Uri) -> bool {
    match ip_of(uri) {
        // `::ffff:127.0.0.1` does not leave this machine either.
        Some(ip) => ip.to_canonical().is_loopback(),
        // RFC 6761, section 6.3: resolvers answer it with loopback addresses.
        None => uri.host() == Some("localhost"),
    }
}

fn ip_of(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?;
    let host = host.strip_prefix('[').unwrap_or(host);
    host.strip_suffix(']').unwrap_or(host).parse().ok()
}

fn port_of(uri: &Uri) -> u16 {
    let default = if is_https(uri) { 443 } else { 80 };
    uri.port_u16().unwrap_or(default)
}

fn invalid_endpoint(problem: &str) -> BuildError {
    BuildError {
        setting: "endpoint",
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Pems;

    fn connector(address: &str, insecure: bool) -> Result<Connector, BuildError> {
        let tls = Tls::given(&Pems::default()).expect("no certificates");
        Connector::new(&[address.to_owned()], tls, insecure, Duration::from_secs(5))
    }

    #[test]
    fn plain_text_beyond_this_machine_must_be_asked_for() {
        for address in [
            "http://127.0.0.1:7400",
            "http://127.8.8.8:7400",
            "http://[::1]:7400",
            "http://[::ffff:127.0.0.1]:7400",
            "http://localhost:7400",
            "https://authority.example.org",
            "https://192.0.2.1:7400",
        ] {
            assert!(connector(address, false).is_ok(), "{address}");
        }
        for address in [
            "http://192.0.2.1:7400",
            "http://0.0.0.0:7400",
            "http://[2001:db8::1]:7400",
            "http://authority:7400",
            "http://localhost.example.org:7400",
        ] {
            let refused = connector(address, false).err().expect("refused");
            assert_eq!(refused.setting, "endpoint");
            assert!(refused.problem.contains("insecure()"), "{refused}");
            assert!(connector(address, true).is_ok(), "{address}");
        }
        for address in [
            "",
            "authority:7400",
            "ftp://127.0.0.1",
            "http://",
            "/path",
            "127.0.0.1",
        ] {
            assert!(connector(address, true).is_err(), "{address}");
        }
    }

    #[test]
    fn a_peer_that_is_gone_is_found_within_the_staleness() {
        for millis in [500, 1_000, 2_000, 5_000, 60_000] {
            let staleness = Duration::from_millis(millis);
            let (interval, timeout) = keepalive(staleness);
            assert!(interval + timeout < staleness, "{staleness:?}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_has_the_addresses_of_its_name_once_each() {
        let port = |address: &str| {
            let connector = connector(address, true).expect("an endpoint");
            port_of(connector.uri(0))
        };
        assert_eq!(port("http://localhost"), 80);
        assert_eq!(port("https://localhost"), 443);

        let named = connector("http://localhost:7400", false).expect("an endpoint");
        assert!(named.has_name(0));
        let mut addresses = named.resolve(0).await.expect("addresses");
        let count = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        assert!(count > 0 && count == addresses.len(), "{addresses:?}");
        for address in addresses {
            assert!(address.ip().is_loopback() && address.port() == 7_400);
        }

        let literal = connector("http://[::1]:7400", false).expect("an endpoint");
        assert!(!literal.has_name(0));
        let address = "[::1]:7400".parse().expect("an address");
        assert_eq!(literal.resolve(0).await.expect("an address"), [address]);
    }
}
