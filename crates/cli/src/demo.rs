//! The story, told once with real calls: sign in, admitted, revoke, refused.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use portcullis_contract::v1::{
    CreateSessionRequest, RevokeSessionRequest, SessionUser,
    session_service_client::SessionServiceClient,
};
use tokio::net::TcpStream;
use tonic::transport::Channel;

use crate::dev::Dev;

/// How long the gate may take to drop before the story is called a failure.
const PATIENCE: Duration = Duration::from_secs(5);

/// Plays the story and prints it.
pub(crate) async fn play(dev: &Dev) -> Result<()> {
    let channel = Channel::from_shared(format!("http://{}", dev.authority.grpc_address))?
        .connect()
        .await?;
    let mut sessions = SessionServiceClient::new(channel);
    let mut gateway = Gateway::connect(dev).await?;

    let (session_id, token) = sign_in(&mut sessions, &dev.credentials.login).await?;
    println!("\nsigned in    ada of acme, session {session_id}");
    let (status, body) = gateway.whoami(&token).await?;
    ensure!(
        status == StatusCode::OK,
        "the gateway answered {status} to a good token: {body}"
    );
    println!("admitted     GET /whoami -> {status} {body}");

    let begun = Instant::now();
    revoke(&mut sessions, &dev.credentials.admin, &session_id).await?;
    let acknowledged = begun.elapsed();
    let (refused, body) = loop {
        let (status, body) = gateway.whoami(&token).await?;
        match status {
            StatusCode::UNAUTHORIZED => break (begun.elapsed(), body),
            StatusCode::OK if begun.elapsed() < PATIENCE => {}
            status => bail!(
                "the gateway answered {status} {:?} after the revocation",
                begun.elapsed()
            ),
        }
    };
    println!(
        "revoked      RevokeSession acknowledged, durable, after {}",
        milliseconds(acknowledged)
    );
    println!(
        "refused      GET /whoami -> 401 {body} after {}",
        milliseconds(refused)
    );
    println!(
        "\nfrom the call to the closed gate: {}",
        milliseconds(refused)
    );
    Ok(())
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
    Ok((
        created.session.context("an answer without a session")?.id,
        created.access_token,
    ))
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

fn authorized<T>(message: T, bearer: &str) -> Result<tonic::Request<T>> {
    let mut request = tonic::Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {bearer}").parse()?);
    Ok(request)
}

/// One connection to the gateway.
struct Gateway {
    sender: http1::SendRequest<Empty<Bytes>>,
    host: String,
}

impl Gateway {
    async fn connect(dev: &Dev) -> Result<Self> {
        let stream = TcpStream::connect(dev.gateway).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: dev.gateway.to_string(),
        })
    }

    async fn whoami(&mut self, token: &str) -> Result<(StatusCode, String)> {
        let request = Request::get("/whoami")
            .header("host", &self.host)
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::new())?;
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
