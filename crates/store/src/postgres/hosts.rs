//! The hosts of a URL. Each is tried with a deadline of its own, and a host that hangs does not delay the next one.

use std::{net::IpAddr, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{sleep, timeout};
use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

use crate::sql::DbError;

/// The time for which a host is tried alone. Then the next one is tried beside it, because a host that hangs or drops packets
/// must not use up the time of the others.
const ALONE: Duration = Duration::from_millis(250);

/// The time after which a silent connection is probed, unless the URL sets it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;

/// The time that sent data may stay without confirmation by the other machine, unless the URL sets it.
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// The driver's default: that of the operating system, far too long to notice a failover.
const DRIVER_KEEPALIVE_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// Opens a session at the first host, in the order of the URL, at which `open` succeeds within `limit`.
pub(super) async fn open_first<T: Send>(
    config: &Config,
    limit: Duration,
    open: &(impl Fn(Config) -> BoxFuture<'static, Result<T, DbError>> + Sync),
) -> Result<T, DbError> {
    let hosts = hosts(config)?;
    let mut attempts: Vec<BoxFuture<'_, _>> = Vec::with_capacity(hosts.len());
    for host in &hosts {
        attempts.push(Box::pin(open_in_time(config, host, limit, open)));
    }
    race(attempts).await
}

async fn open_in_time<T: Send>(
    config: &Config,
    named: &NamedHost,
    limit: Duration,
    open: &(impl Fn(Config) -> BoxFuture<'static, Result<T, DbError>> + Sync),
) -> Result<T, DbError> {
    // Around the lookup of the name too, which has no timeout of its own.
    match timeout(limit, open_at_host(config, named, limit, open)).await {
        Ok(opened) => opened,
        Err(_) => Err(unreachable("no answer in time")),
    }
}

/// The port of a host for which the URL names none.
const DEFAULT_PORT: u16 = 5432;

/// One host of a URL.
struct NamedHost {
    host: Option<Host>,
    address: Option<IpAddr>,
    port: u16,
}

fn hosts(config: &Config) -> Result<Vec<NamedHost>, DbError> {
    let names = config.get_hosts();
    let addresses = config.get_hostaddrs();
    let ports = config.get_ports();
    let count = names.len().max(addresses.len());
    check_counts(names.len(), addresses.len(), ports.len())?;

    let mut hosts = Vec::with_capacity(count);
    for at in 0..count {
        let port = ports.get(at).or(ports.first()).copied();
        hosts.push(NamedHost {
            host: names.get(at).cloned(),
            address: addresses.get(at).copied(),
            port: port.unwrap_or(DEFAULT_PORT),
        });
    }
    Ok(hosts)
}

/// Fails when the URL does not have as many names, addresses and ports as belong together.
fn check_counts(names: usize, addresses: usize, ports: usize) -> Result<(), DbError> {
    let count = names.max(addresses);
    if count == 0 {
        return Err(DbError::Other("the URL names no host".into()));
    }
    if !fits(names, count) || !fits(addresses, count) {
        return Err(DbError::Other(
            "the URL must have one hostaddr for each host, or none".into(),
        ));
    }
    // One port serves every host, as in libpq.
    if ports != 1 && !fits(ports, count) {
        return Err(DbError::Other(
            "the URL names neither one port nor one for each host".into(),
        ));
    }
    Ok(())
}

fn fits(length: usize, count: usize) -> bool {
    length == 0 || length == count
}

/// Opens a session at one host, which may have several addresses.
async fn open_at_host<T: Send>(
    config: &Config,
    named: &NamedHost,
    limit: Duration,
    open: &(impl Fn(Config) -> BoxFuture<'static, Result<T, DbError>> + Sync),
) -> Result<T, DbError> {
    let mut attempts: Vec<BoxFuture<'_, _>> = Vec::new();
    for address in addresses_of(named).await? {
        attempts.push(Box::pin(open(single(config, named, address, limit))));
    }
    race(attempts).await
}

/// The addresses to try. None where the driver finds the host by itself, such as a Unix socket.
async fn addresses_of(named: &NamedHost) -> Result<Vec<Option<IpAddr>>, DbError> {
    let (Some(Host::Tcp(name)), None) = (&named.host, named.address) else {
        return Ok(vec![named.address]);
    };
    let found = tokio::net::lookup_host((name.as_str(), named.port))
        .await
        .map_err(|_| unreachable("its name is not known"))?;
    Ok(found.map(|address| Some(address.ip())).collect())
}

/// The settings of `config` for one address, with bounds.
fn single(config: &Config, named: &NamedHost, address: Option<IpAddr>, limit: Duration) -> Config {
    let mut single = Config::new();
    set_host(&mut single, named, address);
    set_identity(&mut single, config);
    single.ssl_mode(match &named.host {
        // As in libpq: nobody listens in between, and the server has no TLS there.
        #[cfg(unix)]
        Some(Host::Unix(_)) => SslMode::Disable,
        _ => config.get_ssl_mode(),
    });
    single.ssl_negotiation(config.get_ssl_negotiation());
    single.channel_binding(config.get_channel_binding());
    // `open` checks each session itself, and refuses it with a reason.
    single.target_session_attrs(TargetSessionAttrs::Any);
    let timeout = config.get_connect_timeout().copied().unwrap_or(limit);
    single.connect_timeout(timeout.min(limit));
    set_tcp(&mut single, config);
    single
}

fn set_host(single: &mut Config, named: &NamedHost, address: Option<IpAddr>) {
    match &named.host {
        Some(Host::Tcp(name)) => {
            single.host(name);
        }
        #[cfg(unix)]
        Some(Host::Unix(directory)) => {
            single.host_path(directory);
        }
        // A certificate may be for an address. Without a name the driver would make no handshake.
        None => {
            if let Some(address) = address {
                single.host(address.to_string());
            }
        }
    }
    if let Some(address) = address {
        single.hostaddr(address);
    }
    single.port(named.port);
}

fn set_identity(single: &mut Config, config: &Config) {
    if let Some(user) = config.get_user() {
        single.user(user);
    }
    if let Some(password) = config.get_password() {
        single.password(password);
    }
    if let Some(name) = config.get_dbname() {
        single.dbname(name);
    }
    if let Some(options) = config.get_options() {
        single.options(options);
    }
    if let Some(name) = config.get_application_name() {
        single.application_name(name);
    }
}

/// Sets the timeouts of TCP. A machine that drops packets never closes its connections.
fn set_tcp(single: &mut Config, config: &Config) {
    single.keepalives(config.get_keepalives());
    let idle = config.get_keepalives_idle();
    single.keepalives_idle(match idle {
        DRIVER_KEEPALIVE_IDLE => KEEPALIVE_IDLE,
        idle => idle,
    });
    let interval = config.get_keepalives_interval();
    single.keepalives_interval(interval.unwrap_or(KEEPALIVE_INTERVAL));
    let retries = config.get_keepalives_retries();
    single.keepalives_retries(retries.unwrap_or(KEEPALIVE_RETRIES));
    let user_timeout = config.get_tcp_user_timeout().copied();
    single.tcp_user_timeout(user_timeout.unwrap_or(USER_TIMEOUT));
}

/// The first success of attempts. Each begins when the one before it has failed or was alone for [`ALONE`].
async fn race<T>(attempts: Vec<BoxFuture<'_, Result<T, DbError>>>) -> Result<T, DbError> {
    let mut waiting = attempts.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    running.extend(waiting.next());
    while !running.is_empty() {
        tokio::select! {
            done = running.next() => match done {
                // The attempts that are still under way are dropped, and their connections with
                // them.
                Some(Ok(won)) => return Ok(won),
                Some(Err(failure)) => {
                    // A failure starts the next attempt at once.
                    failures.push(failure);
                    running.extend(waiting.next());
                }
                None => {}
            },
            () = sleep(ALONE), if waiting.len() > 0 => running.extend(waiting.next()),
        }
    }
    Err(merge_failures(failures))
}

/// Merges the failures of all attempts into one error. A failure that no retry can change goes first.
fn merge_failures(mut failures: Vec<DbError>) -> DbError {
    let lasting = failures
        .iter()
        .position(|failure| !matches!(failure, DbError::Unavailable(_)));
    // For example a wrong password: waiting for the other hosts would hide it.
    if let Some(at) = lasting {
        return failures.swap_remove(at);
    }
    let mut texts: Vec<String> = Vec::new();
    for failure in failures {
        if let DbError::Unavailable(text) = failure
            && !texts.contains(&text)
        {
            texts.push(text);
        }
    }
    // No attempt was made: the lookup of the name succeeded without an address.
    if texts.is_empty() {
        return unreachable("its name has no address");
    }
    DbError::Unavailable(texts.join("; "))
}

fn unreachable(why: &str) -> DbError {
    DbError::Unavailable(format!("connecting: {why}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);

    fn config(url: &str) -> Config {
        url.parse().expect("a URL")
    }

    /// Opens "sessions" that are ports: hosts of port 1 hang, of port 2 fail.
    async fn port(url: &str) -> (Result<u16, DbError>, Vec<u16>) {
        let tried = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&tried);
        let open = move |single: Config| -> BoxFuture<'static, Result<u16, DbError>> {
            let port = single.get_ports()[0];
            seen.lock().expect("whole").push(port);
            Box::pin(async move {
                match port {
                    1 => std::future::pending().await,
                    2 => Err(unreachable("it only reads")),
                    port => Ok(port),
                }
            })
        };
        let opened = open_first(&config(url), LIMIT, &open).await;
        let tried = tried.lock().expect("whole").clone();
        (opened, tried)
    }

    #[tokio::test]
    async fn a_host_that_hangs_or_only_reads_does_not_keep_the_next_one_waiting() {
        let begun = tokio::time::Instant::now();
        let (opened, tried) = port("postgres://u@127.0.0.1:1,127.0.0.1:2,127.0.0.1:7/d").await;
        assert_eq!((opened.expect("opened"), tried), (7, vec![1, 2, 7]));
        assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_host_that_answers_is_the_only_one_tried() {
        let (opened, tried) = port("postgres://u@127.0.0.1:7,127.0.0.1:8/d").await;
        assert_eq!((opened.expect("opened"), tried), (7, vec![7]));
    }

    #[tokio::test]
    async fn each_host_says_why_it_was_not_taken() {
        let (opened, _) = port("postgres://u@127.0.0.1:1,127.0.0.1:2/d").await;
        let error = opened.expect_err("no host").to_string();
        assert!(
            error.contains("only reads") && error.contains("no answer"),
            "{error}"
        );
    }

    #[test]
    fn hosts_that_do_not_fit_together_are_named_as_what_they_are() {
        let cases = [
            ("postgres:///d", "names no host"),
            (
                "host=a,b hostaddr=127.0.0.1 dbname=d",
                "one hostaddr for each host",
            ),
            (
                "host=a,b,c port=1,2 dbname=d",
                "neither one port nor one for each host",
            ),
        ];
        for (url, expected) in cases {
            let Err(error) = hosts(&config(url)) else {
                panic!("{url} is refused")
            };
            assert!(error.to_string().contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn one_host_s_settings_are_those_of_the_url_with_bounds() {
        let config = config("postgres://u:p@h1:1,h2:2/d?application_name=a&options=-cx%3Dy");
        let all = hosts(&config).expect("hosts");
        let second = single(&config, &all[1], None, Duration::from_secs(3));
        assert_eq!(second.get_hosts(), [Host::Tcp("h2".into())]);
        assert_eq!(second.get_ports(), [2]);
        assert_eq!(second.get_user(), Some("u"));
        assert_eq!(second.get_password(), Some(&b"p"[..]));
        assert_eq!(second.get_dbname(), Some("d"));
        assert_eq!(second.get_options(), Some("-cx=y"));
        assert_eq!(second.get_application_name(), Some("a"));
        assert_eq!(second.get_keepalives_idle(), KEEPALIVE_IDLE);
        assert_eq!(second.get_tcp_user_timeout(), Some(&USER_TIMEOUT));
        assert_eq!(second.get_connect_timeout(), Some(&Duration::from_secs(3)));
    }
}
