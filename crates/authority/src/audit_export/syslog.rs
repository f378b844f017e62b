//! A syslog server that gets each event as a message of RFC 5424.

mod message;

use std::{io, process, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
    time::timeout,
};

use self::message::Header;
use super::{
    delivery::{Delivery, DeliveryError},
    json,
};
use crate::{
    config::{ConfigError, SyslogExportConfig, SyslogTransport},
    domain::AuditEvent,
    net::{Remote, Stream},
};

/// The largest datagram, in bytes: the most that RFC 5426 wants every receiver to take.
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// The largest message of a stream, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// A syslog server.
pub(super) struct SyslogDestination {
    remote: Remote,
    transport: SyslogTransport,
    timeout: Duration,
    header: Header,
}

impl SyslogDestination {
    /// # Errors
    /// When a file cannot be used.
    pub(super) fn open(section: &str, config: &SyslogExportConfig) -> Result<Self, ConfigError> {
        let Some((host, port)) = config.host_and_port() else {
            let key = format!("{section}.syslog.address");
            return Err(ConfigError::new(key, "must be a host and a port"));
        };
        let remote = match &config.ca_file {
            Some(file) => {
                Remote::with_tls(&host, port, &format!("{section}.syslog.ca_file"), file)?
            }
            None => Remote::plain(&host, port),
        };
        let machine = rustix::system::uname();
        Ok(Self {
            remote,
            transport: config.transport,
            timeout: config.timeout,
            header: Header::new(&machine.nodename().to_string_lossy(), process::id()),
        })
    }

    /// Sends events. With TCP and TLS the server has read all of them when it returns; by UDP nobody knows.
    pub(super) async fn send(
        &self,
        events: &[AuditEvent],
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        let mut messages = Vec::with_capacity(events.len());
        for event in events {
            let message = self.header.message(event, &json::of_event(event)?);
            if message.len() > self.message_bytes_max() {
                let problem = format!("is larger than {} bytes", self.message_bytes_max());
                delivery.bury(event, &problem).await?;
                continue;
            }
            messages.push(message);
        }
        self.transmit(&messages).await?;
        delivery.count_delivered(messages.len());
        Ok(())
    }

    fn message_bytes_max(&self) -> usize {
        match self.transport {
            SyslogTransport::Udp => DATAGRAM_BYTES_MAX,
            SyslogTransport::Tcp | SyslogTransport::Tls => MESSAGE_BYTES_MAX,
        }
    }

    async fn transmit(&self, messages: &[String]) -> Result<(), DeliveryError> {
        if messages.is_empty() {
            return Ok(());
        }
        let sent = match self.transport {
            SyslogTransport::Udp => self.send_datagrams(messages).await,
            SyslogTransport::Tcp | SyslogTransport::Tls => self.send_stream(messages).await,
        };
        sent.map_err(|error| DeliveryError::Failed(format!("the syslog server: {error}")))
    }

    async fn send_datagrams(&self, messages: &[String]) -> io::Result<()> {
        let mut addresses = tokio::net::lookup_host(self.remote.address()).await?;
        let address = addresses
            .next()
            .ok_or_else(|| io::Error::other("its name has no address"))?;
        let any = match address.is_ipv4() {
            true => "0.0.0.0:0",
            false => "[::]:0",
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        for message in messages {
            socket.send(message.as_bytes()).await?;
        }
        Ok(())
    }

    async fn send_stream(&self, messages: &[String]) -> io::Result<()> {
        let mut stream = self.in_time(self.remote.connect()).await?;
        for message in messages {
            // Octet counting: a line break within a message begins no other one.
            let frame = format!("{} {message}", message.len());
            self.in_time(stream.write_all(frame.as_bytes())).await?;
        }
        // Syslog has no acknowledgement, and bytes that the kernel took may never be read. A server closes its side when
        // it has read to the end of this one. If it dies before, the connection is reset instead.
        self.in_time(stream.shutdown()).await?;
        self.in_time(read_to_end(&mut *stream)).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        match timeout(self.timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
}

async fn read_to_end(stream: &mut dyn Stream) -> io::Result<()> {
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Some servers end TLS without saying so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
