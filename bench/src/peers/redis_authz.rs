//! An `ext_authz` service as many companies have it: for every request it asks Redis for the session.
//!
//! It runs in a process of its own, as the sidecar does. The call to Redis goes over plain sockets that stay open, so
//! nothing of a client library is counted against it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use envoy_types::ext_authz::v3::{
    CheckRequestExt, CheckResponseExt, OkHttpResponseBuilder,
    pb::{Authorization, AuthorizationServer, CheckRequest, CheckResponse},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
    process::{Child, Command},
    sync::Mutex,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use super::redis::Redis;

/// Sockets to Redis that are kept open.
const IDLE_SOCKETS_MAX: usize = 64;

/// The cookie of the session's id.
const COOKIE: &str = "session";

/// Options of the process.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    socket: PathBuf,
    #[arg(long)]
    redis: SocketAddr,
}

/// Serves checks on a Unix socket until the process is killed.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let listener = UnixListener::bind(&options.socket)?;
    let service = Service {
        redis: options.redis,
        idle: Arc::default(),
    };
    Server::builder()
        .add_service(AuthorizationServer::new(service))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await?;
    Ok(())
}

/// A running service with a Redis of its own.
pub(crate) struct RedisAuthz {
    _child: Child,
    _redis: Redis,
    /// The headers of the sessions' requests.
    pub(crate) sessions: Vec<String>,
}

impl RedisAuthz {
    /// Starts it on `socket`, with this many sessions in its Redis.
    pub(crate) async fn start(socket: &Path, sessions: usize) -> Result<Self> {
        let redis = Redis::start().await?;
        let mut stream = TcpStream::connect(redis.address()).await?;
        let mut headers = Vec::with_capacity(sessions);
        for number in 0..sessions {
            let id = format!("{number:064x}");
            let user = format!("user-{number}");
            ask(&mut stream, &["SET", &key(&id), &user]).await?;
            headers.push(format!("Cookie: {COOKIE}={id}"));
        }

        let child = Command::new(std::env::current_exe()?)
            .arg("redis-authz")
            .arg("--socket")
            .arg(socket)
            .args(["--redis", &redis.address().to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(socket).await.is_err() {
            ensure!(Instant::now() < deadline, "the service does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self {
            _child: child,
            _redis: redis,
            sessions: headers,
        })
    }
}

struct Service {
    redis: SocketAddr,
    idle: Arc<Mutex<Vec<TcpStream>>>,
}

#[tonic::async_trait]
impl Authorization for Service {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let user = match session_id(request.get_ref()) {
            Some(id) => self.user(id).await.map_err(|error| unavailable(&error))?,
            None => None,
        };
        let mut answer = CheckResponse::new();
        match user {
            Some(user) => {
                let mut changes = OkHttpResponseBuilder::new();
                changes.add_header("x-user", user, None, false);
                answer.set_status(Status::ok("")).set_http_response(changes);
            }
            None => {
                answer.set_status(Status::unauthenticated("no session"));
            }
        }
        Ok(Response::new(answer))
    }
}

impl Service {
    async fn user(&self, id: &str) -> Result<Option<String>> {
        let idle = self.idle.lock().await.pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.redis).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let user = ask(&mut stream, &["GET", &key(id)]).await?;
        let mut idle = self.idle.lock().await;
        if idle.len() < IDLE_SOCKETS_MAX {
            idle.push(stream);
        }
        Ok(user)
    }
}

fn unavailable(error: &anyhow::Error) -> Status {
    Status::unavailable(error.to_string())
}

fn key(id: &str) -> String {
    format!("session:{id}")
}

/// The session that the cookie names.
fn session_id(request: &CheckRequest) -> Option<&str> {
    let cookies = request.get_client_headers()?.get("cookie")?;
    let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, id)| id)
}

/// Sends a command; the value of the answer, if there is one.
async fn ask(stream: &mut TcpStream, words: &[&str]) -> Result<Option<String>> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(command.as_bytes()).await?;
    let mut answer = Vec::with_capacity(256);
    loop {
        let read = stream.read_buf(&mut answer).await?;
        ensure!(read > 0, "redis closed the connection");
        if let Some(value) = parse(&answer)? {
            return Ok(value);
        }
    }
}

/// The answer to `GET` or `SET`. The outer `None`: more has to come.
fn parse(answer: &[u8]) -> Result<Option<Option<String>>> {
    let text = std::str::from_utf8(answer)?;
    let Some((head, rest)) = text.split_once("\r\n") else {
        return Ok(None);
    };
    if let Some(length) = head.strip_prefix('$') {
        let length: i64 = length.parse()?;
        let Ok(length) = usize::try_from(length) else {
            return Ok(Some(None));
        };
        let whole = rest.len() >= length + 2;
        return Ok(whole.then(|| Some(rest[..length].to_owned())));
    }
    let status = head.strip_prefix('+').context("redis refuses")?;
    Ok(Some(Some(status.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_redis_is_read_whole() {
        let cases: [(&str, Option<Option<&str>>); 6] = [
            ("$3\r\nada\r\n", Some(Some("ada"))),
            ("$3\r\nad", None),
            ("$3", None),
            ("$-1\r\n", Some(None)),
            ("+OK\r\n", Some(Some("OK"))),
            ("$0\r\n\r\n", Some(Some(""))),
        ];
        for (answer, expected) in cases {
            let found = parse(answer.as_bytes()).expect("an answer");
            let found = found.as_ref().map(|value| value.as_deref());
            assert_eq!(found, expected, "{answer:?}");
        }
        assert!(parse(b"-ERR no\r\n").is_err());
    }
}
