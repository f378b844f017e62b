//! Callers of both authorities, each of which calls its own and no other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use portcullis_contract::v1::{
    CreateSessionRequest, RefreshSessionRequest, RevokeSessionRequest, SessionUser,
    session_service_client::SessionServiceClient,
};
use portcullis_tests::authority::{TENANT, session_id};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    cluster::DEADLINE,
    installation::Installation,
    ledger::{Ledger, Operation, Session},
};

/// Callers of each kind at each authority.
const CALLERS: usize = 4;
/// The time between two calls of a caller.
const INTERVAL: Duration = Duration::from_millis(200);
/// The longest time that a caller waits for an answer. With four callers that begin at different times, the end of an
/// outage is seen within a fraction of it.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before another try.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// A refresh is tried for this long. After 30 s the authority takes a used refresh token for a stolen one.
const REFRESH_PATIENCE: Duration = Duration::from_secs(20);
/// Sessions that live when the scenarios begin.
const SESSIONS_AT_FIRST: usize = 300;

/// The callers.
#[derive(Clone)]
pub(crate) struct Traffic {
    authorities: [Authority; 2],
    ledger: Arc<Ledger>,
    users: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Authority {
    index: usize,
    client: SessionServiceClient<Channel>,
    login: MetadataValue<Ascii>,
    admin: MetadataValue<Ascii>,
}

/// The answer to a call.
enum Answer<T> {
    Done(T),
    /// The call itself is refused: no other try would change it.
    Refused(Status),
    /// Nobody knows whether it was done.
    Unknown,
}

impl Traffic {
    pub(crate) fn new(installation: &Installation, ledger: &Arc<Ledger>) -> Result<Self> {
        let endpoint = |index: usize| -> Result<Endpoint> {
            let name = format!("{}.internal", installation.applications[index].name);
            let certificate = Certificate::from_pem(&installation.ca_certificate);
            let tls = ClientTlsConfig::new().ca_certificate(certificate);
            Ok(Endpoint::from_shared(format!("https://{name}:7400"))?.tls_config(tls)?)
        };
        let secrets = &installation.secrets;
        let endpoints = [endpoint(0)?, endpoint(1)?];
        Self::at(&endpoints, &secrets.login, &secrets.admin, ledger)
    }

    /// Callers of two authorities, with the bearer strings of a service that signs in and of an administrator.
    pub(crate) fn at(
        endpoints: &[Endpoint; 2],
        login: &str,
        admin: &str,
        ledger: &Arc<Ledger>,
    ) -> Result<Self> {
        let authority = |index: usize| -> Result<Authority> {
            Ok(Authority {
                index,
                client: SessionServiceClient::new(endpoints[index].connect_lazy()),
                login: bearer(login)?,
                admin: bearer(admin)?,
            })
        };
        Ok(Self {
            authorities: [authority(0)?, authority(1)?],
            ledger: Arc::clone(ledger),
            users: Arc::default(),
        })
    }

    /// Waits until both authorities sign users in, and signs the first ones in.
    pub(crate) async fn fill(&self) -> Result<()> {
        let begun = Instant::now();
        for authority in &self.authorities {
            let mut signed_in = 0;
            while signed_in < SESSIONS_AT_FIRST / 2 {
                if self.sign_in(authority).await {
                    signed_in += 1;
                } else if begun.elapsed() < DEADLINE {
                    sleep(RETRY_PAUSE).await;
                } else {
                    bail!("an authority signs nobody in: see the logs of the machines");
                }
            }
        }
        Ok(())
    }

    /// Starts the callers. They end at `stop`.
    pub(crate) fn start(&self, stop: &CancellationToken, tasks: &TaskTracker) {
        for authority in &self.authorities {
            for operation in Operation::ALL {
                for number in 0..CALLERS {
                    let traffic = self.clone();
                    let authority = authority.clone();
                    let stop = stop.clone();
                    let delay = INTERVAL * number as u32 / CALLERS as u32;
                    tasks.spawn(async move {
                        sleep(delay).await;
                        traffic.repeat(&authority, operation, &stop).await;
                    });
                }
            }
        }
    }

    async fn repeat(&self, authority: &Authority, operation: Operation, stop: &CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            match operation {
                Operation::SignIn => {
                    self.sign_in(authority).await;
                }
                Operation::Refresh => self.refresh(authority).await,
                Operation::Revocation => self.revoke(authority, stop).await,
            }
        }
    }

    /// Signs a user in who has no session yet. Returns whether it was acknowledged.
    async fn sign_in(&self, authority: &Authority) -> bool {
        let user = self.users.fetch_add(1, Relaxed);
        let message = CreateSessionRequest {
            tenant_id: TENANT.to_owned(),
            user: Some(SessionUser {
                id: format!("user-{user}"),
                ..SessionUser::default()
            }),
            ..CreateSessionRequest::default()
        };
        let mut client = authority.client.clone();
        let request = with_bearer(message, &authority.login);
        match call(client.create_session(request)).await {
            Answer::Done(created) => {
                let id = session_id(&created);
                let session = Session::new(id, created.access_token, created.refresh_token);
                self.ledger.signed_in(session);
                self.ledger.succeeded(Operation::SignIn, authority.index);
                true
            }
            Answer::Refused(status) => {
                self.ledger
                    .violated(&format!("a sign-in was refused: {status}"));
                false
            }
            Answer::Unknown => false,
        }
    }

    async fn refresh(&self, authority: &Authority) {
        let Some(session) = self.ledger.take_any() else {
            return;
        };
        let begun = Instant::now();
        while begun.elapsed() < REFRESH_PATIENCE {
            let message = RefreshSessionRequest {
                tenant_id: TENANT.to_owned(),
                refresh_token: session.refresh_token(),
                ..RefreshSessionRequest::default()
            };
            let mut client = authority.client.clone();
            let request = with_bearer(message, &authority.login);
            match call(client.refresh_session(request)).await {
                Answer::Done(refreshed) => {
                    session.set_refresh_token(refreshed.refresh_token);
                    self.ledger.give_back(session);
                    self.ledger.succeeded(Operation::Refresh, authority.index);
                    return;
                }
                Answer::Refused(status) => {
                    let text = format!("the refresh of a live session was refused: {status}");
                    self.ledger.violated(&text);
                    return;
                }
                Answer::Unknown => sleep(RETRY_PAUSE).await,
            }
        }
        // The session is left alone: its next refresh may be taken for a theft.
    }

    async fn revoke(&self, authority: &Authority, stop: &CancellationToken) {
        let Some(session) = self.ledger.take_oldest() else {
            return;
        };
        session.begin_end();
        // A revocation without an answer is asked for again: only then somebody relies on it.
        while !stop.is_cancelled() {
            let message = RevokeSessionRequest {
                tenant_id: TENANT.to_owned(),
                session_id: session.id.clone(),
                reason: "ha".to_owned(),
                ..RevokeSessionRequest::default()
            };
            let mut client = authority.client.clone();
            let request = with_bearer(message, &authority.admin);
            match call(client.revoke_session(request)).await {
                Answer::Done(_) => {
                    self.ledger.ended(session);
                    self.ledger
                        .succeeded(Operation::Revocation, authority.index);
                    return;
                }
                Answer::Refused(status) => {
                    let text = format!("the revocation of a session was refused: {status}");
                    self.ledger.violated(&text);
                    return;
                }
                Answer::Unknown => sleep(RETRY_PAUSE).await,
            }
        }
    }
}

async fn call<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Answer<T> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(response)) => Answer::Done(response.into_inner()),
        Ok(Err(status)) if is_about_the_call(status.code()) => Answer::Refused(status),
        Ok(Err(_)) | Err(_) => Answer::Unknown,
    }
}

fn is_about_the_call(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
    )
}

fn bearer(secret: &str) -> Result<MetadataValue<Ascii>> {
    format!("Bearer {secret}").parse().context("a header value")
}

fn with_bearer<T>(message: T, bearer: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", bearer.clone());
    request
}
