//! `portcullis dev --demo`: real calls that sign in, are admitted, revoke, and are refused, with their times.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use portcullis_contract::v1::{
    CreateSessionRequest, RevokeSessionRequest, SessionUser,
    session_service_client::SessionServiceClient,
};
use tokio::{net::TcpStream, time::sleep};
use tonic::transport::Channel;

use super::calls::authorized;
use crate::credentials::Credentials;

/// Longest wait for the first refusal after the revocation. A gate that admits for longer is a failure.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for a gate that has just started.
const VIEW_TIMEOUT: Duration = Duration::from_secs(5);

const VIEW_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Plays the demonstration and prints each step.
pub(crate) async fn play(
    authority: SocketAddr,
    gateway: SocketAddr,
    credentials: &Credentials,
) -> Result<()> {
    let channel = Channel::from_shared(format!("http://{authority}"))?
        .connect()
        .await?;
    let mut sessions = SessionServiceClient::new(channel);
    let mut gateway = Gateway::connect(gateway).await?;

    let (session_id, token) = sign_in(&mut sessions, &credentials.login).await?;
    println!("\nsigned in    ada of acme, session {session_id}");

    let (status, body) = wait_for_view(&mut gateway, &token).await?;
    ensure!(
        status == StatusCode::OK,
        "the gateway answered {status} to a good token: {body}"
    );
    println!("admitted     GET /whoami -> {status} {body}");

    // Before the call, so that the printed time contains the durable write.
    let begun = Instant::now();
    revoke(&mut sessions, &credentials.admin, &session_id).await?;
    let acknowledged = begun.elapsed();
    let body = wait_for_refusal(&mut gateway, &token, begun).await?;
    let refused = begun.elapsed();
    print_times(acknowledged, refused, &body);
    Ok(())
}

fn print_times(acknowledged: Duration, refused: Duration, body: &str) {
    println!(
        "revoked      RevokeSession acknowledged, durable, after {}",
        milliseconds(acknowledged)
    );
    println!(
        "refused      GET /whoami -> 401 {body} after {}",
        milliseconds(refused)
    );
    println!(
        "\nfrom the call to the closed gate: {}, of which after the acknowledgement: {}",
        milliseconds(refused),
        milliseconds(refused - acknowledged)
    );
}

/// Returns the first answer of a gate that has a view.
async fn wait_for_view(gateway: &mut Gateway, token: &str) -> Result<(StatusCode, String)> {
    let begun = Instant::now();
    loop {
        let (status, body) = gateway.whoami(token).await?;
        // 503 is the answer of a gate that cannot know yet. The last answer is returned also when
        // the time is over, so that the message has it.
        if status != StatusCode::SERVICE_UNAVAILABLE || begun.elapsed() > VIEW_TIMEOUT {
            return Ok((status, body));
        }
        sleep(VIEW_POLL_INTERVAL).await;
    }
}

async fn sign_in(
    sessions: &mut SessionServiceClient<Channel>,
    bearer: &str,
) -> Result<(String, String)> {
    let user = SessionUser {
        id: "ada".into(),
        user_name: "ada".into(),
        ..Default::default()
    };
    let request = CreateSessionRequest {
        tenant_id: "acme".into(),
        user: Some(user),
        ..Default::default()
    };
    let created = sessions
        .create_session(authorized(request, bearer)?)
        .await?
        .into_inner();
    let session = created
        .session
        .context("the authority answered without a session")?;
    Ok((session.id, created.access_token))
}

async fn revoke(
    sessions: &mut SessionServiceClient<Channel>,
    bearer: &str,
    session_id: &str,
) -> Result<()> {
    let request = RevokeSessionRequest {
        tenant_id: "acme".into(),
        session_id: session_id.into(),
        reason: "the demo's end".into(),
        ..Default::default()
    };
    sessions
        .revoke_session(authorized(request, bearer)?)
        .await?;
    Ok(())
}

/// Repeats the request until the gate refuses it, and returns the body of the refusal. `begun` is the time of the
/// revocation.
async fn wait_for_refusal(gateway: &mut Gateway, token: &str, begun: Instant) -> Result<String> {
    loop {
        let (status, body) = gateway.whoami(token).await?;
        match status {
            StatusCode::UNAUTHORIZED => return Ok(body),
            // No pause: a sleep would add to the time that the demonstration measures.
            StatusCode::OK if begun.elapsed() < REFUSAL_TIMEOUT => {}
            // Anything else is no decision about the session: a gate that cannot know must not
            // count as one that refused.
            status => bail!(
                "the gateway answered {status} {:?} after the revocation",
                begun.elapsed()
            ),
        }
    }
}

/// One connection to the gateway, so that connecting is not part of the times.
struct Gateway {
    sender: http1::SendRequest<Empty<Bytes>>,
    host: String,
}

impl Gateway {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        // A delayed packet would show up in the printed times.
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The connection makes progress only in this task. Requests would wait forever without it.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: address.to_string(),
        })
    }

    async fn whoami(&mut self, token: &str) -> Result<(StatusCode, String)> {
        let request = Request::get("/whoami")
            .header("host", &self.host)
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::new())?;
        // The connection takes one request at a time.
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}
