//! redis-server, spoken to over plain sockets: nothing of a client library is counted against it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::ports::free_port;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

/// A server on a free port, without persistence.
pub(crate) struct Redis {
    _child: Child,
    port: u16,
}

impl Redis {
    pub(crate) async fn start() -> Result<Self> {
        let port = free_port();
        let child = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--port",
                &port.to_string(),
            ])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting redis-server")?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(Instant::now() < deadline, "redis-server does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self {
            _child: child,
            port,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Nanoseconds of one `GET` round trip from this process; the median.
    pub(crate) fn get_nanoseconds(&self, count: usize) -> Result<f64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        let mut answer = [0; 512];
        let mut call = |command: &[u8]| -> Result<f64> {
            let begun = Instant::now();
            stream.write_all(command)?;
            ensure!(stream.read(&mut answer)? > 0, "redis closed the connection");
            Ok(begun.elapsed().as_nanos() as f64)
        };
        call(b"*3\r\n$3\r\nSET\r\n$7\r\nsession\r\n$5\r\nalive\r\n")?;
        let all = (0..count).map(|_| call(b"*2\r\n$3\r\nGET\r\n$7\r\nsession\r\n"));
        Ok(crate::measure::median(all.collect::<Result<_>>()?))
    }

    /// Milliseconds from `PUBLISH` until the last of `subscribers` has the message; the median of `rounds`.
    pub(crate) async fn publish_milliseconds(
        &self,
        subscribers: usize,
        rounds: usize,
    ) -> Result<f64> {
        let (heard, mut hearing) = tokio::sync::mpsc::channel(subscribers);
        for _ in 0..subscribers {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.set_nodelay(true)?;
            stream
                .write_all(b"*2\r\n$9\r\nSUBSCRIBE\r\n$3\r\nout\r\n")
                .await?;
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut answer = [0; 256];
                // The first answer confirms the subscription.
                while stream.read(&mut answer).await.is_ok_and(|bytes| bytes > 0) {
                    if heard.send(Instant::now()).await.is_err() {
                        return;
                    }
                }
            });
        }
        let mut all = async || -> Result<Instant> {
            let mut last = Instant::now();
            for _ in 0..subscribers {
                last = last.max(hearing.recv().await.context("a subscriber ended")?);
            }
            Ok(last)
        };
        all().await?;
        let mut publisher = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
        publisher.set_nodelay(true)?;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let begun = Instant::now();
            publisher
                .write_all(b"*3\r\n$7\r\nPUBLISH\r\n$3\r\nout\r\n$36\r\n01h455vb-4pex-5vsk-nk08-4sn02q-revok\r\n")
                .await?;
            times.push(all().await?.duration_since(begun).as_secs_f64() * 1000.0);
            ensure!(
                publisher.read(&mut [0; 64]).await? > 0,
                "redis closed the connection"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(crate::measure::median(times))
    }
}
