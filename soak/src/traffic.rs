//! Callers that sign users in, refresh sessions and end them, at whichever authority answers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use portcullis_contract::v1::{
    CreateSessionRequest, ForceSignOutRequest, RefreshSessionRequest, RevokeSessionRequest,
    SessionUser, session_service_client::SessionServiceClient,
    user_service_client::UserServiceClient,
};
use portcullis_tests::authority::{ADMIN, LOGIN, TENANT, Transport, session_id, transport};
use rand::Rng;
use tokio::{
    sync::Mutex,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Code, Status};

use crate::ledger::{Access, Ledger, Session};

/// Users of the one tenant.
const USERS: usize = 200;
/// Sessions that live at a time. Beyond it nobody signs in.
const SESSIONS_MAX: usize = 2_000;
/// The time between two sign-ins.
const SIGN_IN_INTERVAL: Duration = Duration::from_millis(40);
/// The time between two refreshes.
const REFRESH_INTERVAL: Duration = Duration::from_millis(50);
/// The time between two revocations of one session.
const REVOKE_INTERVAL: Duration = Duration::from_millis(60);
/// The time between two sign-outs of a user.
const SIGN_OUT_INTERVAL: Duration = Duration::from_millis(500);
/// The longest time that a caller waits for an answer before it tries the other authority.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause before another try.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// A token is not checked so shortly before its end.
const END_MARGIN: Duration = Duration::from_secs(30);

/// Clients of both authorities. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Callers {
    authorities: [Clients; 2],
    /// The one that answered last.
    current: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Clients {
    login: SessionServiceClient<Transport>,
    admin: SessionServiceClient<Transport>,
    users: UserServiceClient<Transport>,
}

impl Callers {
    pub(crate) fn new(addresses: [SocketAddr; 2]) -> Self {
        Self {
            authorities: addresses.map(|address| {
                let endpoint = format!("http://{address}");
                Clients {
                    login: SessionServiceClient::new(transport(&endpoint, LOGIN)),
                    admin: SessionServiceClient::new(transport(&endpoint, ADMIN)),
                    users: UserServiceClient::new(transport(&endpoint, ADMIN)),
                }
            }),
            current: Arc::default(),
        }
    }

    /// Calls until an authority answers. An error is an answer about the call itself, which no other try would change.
    async fn call<T, F>(&self, ledger: &Ledger, call: impl Fn(Clients) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        loop {
            let index = self.current.load(Relaxed) % 2;
            let answer = timeout(CALL_TIMEOUT, call(self.authorities[index].clone())).await;
            match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) if !is_about_the_server(status.code()) => return Err(status),
                Ok(Err(_)) | Err(_) => {
                    ledger.refused_call();
                    self.current.store(index + 1, Relaxed);
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}

fn is_about_the_server(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    )
}

/// A user, who becomes another one when nobody can know any more which of their sessions live.
#[derive(Default)]
struct User {
    generation: u64,
}

/// What the callers share.
struct Traffic {
    callers: Callers,
    ledger: Arc<Ledger>,
    /// One caller at a time changes the sessions of a user, so that the ledger knows which sign-in came first.
    users: Vec<Mutex<User>>,
}

/// Starts the callers. They end at `stop`, each after its last answer.
pub(crate) fn start(
    callers: &Callers,
    ledger: &Arc<Ledger>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let traffic = Arc::new(Traffic {
        callers: callers.clone(),
        ledger: Arc::clone(ledger),
        users: (0..USERS).map(|_| Mutex::default()).collect(),
    });
    let every = |interval: Duration, act: fn(Arc<Traffic>) -> Acting| {
        let traffic = Arc::clone(&traffic);
        tasks.spawn(repeat(interval, stop.clone(), move || {
            act(Arc::clone(&traffic))
        }));
    };
    every(SIGN_IN_INTERVAL, |traffic| {
        Box::pin(async move { traffic.sign_in().await })
    });
    every(REFRESH_INTERVAL, |traffic| {
        Box::pin(async move { traffic.refresh().await })
    });
    every(REVOKE_INTERVAL, |traffic| {
        Box::pin(async move { traffic.revoke().await })
    });
    every(SIGN_OUT_INTERVAL, |traffic| {
        Box::pin(async move { traffic.sign_out().await })
    });
}

type Acting = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn repeat(time: Duration, stop: CancellationToken, act: impl Fn() -> Acting) {
    let mut ticks = interval(time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        act().await;
    }
}

impl Traffic {
    async fn sign_in(&self) {
        if self.ledger.live_count() >= SESSIONS_MAX {
            return;
        }
        let user = rand::rng().random_range(0..USERS);
        let turn = self.users[user].lock().await;
        let request = CreateSessionRequest {
            tenant_id: TENANT.to_owned(),
            user: Some(SessionUser {
                id: turn.id(user),
                ..SessionUser::default()
            }),
            ..CreateSessionRequest::default()
        };
        let created = self
            .callers
            .call(&self.ledger, |mut clients| {
                let request = request.clone();
                async move { clients.login.create_session(request).await }
            })
            .await;
        match created {
            Ok(created) => {
                let created = created.into_inner();
                let access = access(&created.access_token, created.access_token_expire_time);
                let id = session_id(&created);
                let session = Session::new(id, user, access, created.refresh_token);
                self.ledger.add(Arc::new(session));
            }
            Err(status) => self
                .ledger
                .violated(&format!("a sign-in was refused: {status}")),
        }
    }

    async fn refresh(&self) {
        let Some(session) = self.ledger.any_live() else {
            return;
        };
        let _turn = self.users[session.user].lock().await;
        if !session.is_live() {
            return;
        }
        let request = RefreshSessionRequest {
            tenant_id: TENANT.to_owned(),
            refresh_token: session.refresh_token(),
            ..RefreshSessionRequest::default()
        };
        let refreshed = self
            .callers
            .call(&self.ledger, |mut clients| {
                let request = request.clone();
                async move { clients.login.refresh_session(request).await }
            })
            .await;
        match refreshed {
            Ok(refreshed) => {
                let refreshed = refreshed.into_inner();
                let access = access(&refreshed.access_token, refreshed.access_token_expire_time);
                session.refreshed(access, refreshed.refresh_token);
                self.ledger.count(|counts| counts.refreshes += 1);
            }
            Err(status) => {
                let text = format!("the refresh of a live session was refused: {status}");
                self.ledger.violated(&text);
            }
        }
    }

    async fn revoke(&self) {
        let Some(session) = self.ledger.any_live() else {
            return;
        };
        let _turn = self.users[session.user].lock().await;
        if !session.begin_end() {
            return;
        }
        let request = RevokeSessionRequest {
            tenant_id: TENANT.to_owned(),
            session_id: session.id.clone(),
            ..RevokeSessionRequest::default()
        };
        let revoked = self
            .callers
            .call(&self.ledger, |mut clients| {
                let request = request.clone();
                async move { clients.admin.revoke_session(request).await }
            })
            .await;
        match revoked {
            Ok(_) => {
                self.ledger.ended(&session);
                self.ledger.count(|counts| counts.revocations += 1);
            }
            Err(status) => {
                let text = format!("the revocation of a session was refused: {status}");
                self.ledger.violated(&text);
            }
        }
    }

    async fn sign_out(&self) {
        let user = rand::rng().random_range(0..USERS);
        let mut turn = self.users[user].lock().await;
        let sessions = self.ledger.live_of(user);
        for session in &sessions {
            session.begin_end();
        }
        let request = ForceSignOutRequest {
            tenant_id: TENANT.to_owned(),
            user_ids: vec![turn.id(user)],
            reason: "soak".to_owned(),
            ..ForceSignOutRequest::default()
        };
        let tries = AtomicUsize::new(0);
        let signed_out = self
            .callers
            .call(&self.ledger, |mut clients| {
                tries.fetch_add(1, Relaxed);
                let request = request.clone();
                async move { clients.users.force_sign_out(request).await }
            })
            .await;
        if tries.into_inner() > 1 {
            // A try without an answer may yet come to an authority that hangs, and end what was signed in meanwhile.
            turn.generation += 1;
        }
        match signed_out {
            Ok(_) => {
                for session in &sessions {
                    self.ledger.ended(session);
                }
                self.ledger.count(|counts| counts.sign_outs_of_users += 1);
            }
            Err(status) => {
                let text = format!("the sign-out of a user was refused: {status}");
                self.ledger.violated(&text);
            }
        }
    }
}

impl User {
    fn id(&self, user: usize) -> String {
        format!("user-{user}-{}", self.generation)
    }
}

fn access(token: &str, expire_time: Option<prost_types::Timestamp>) -> Access {
    let expires = expire_time.and_then(|time| SystemTime::try_from(time).ok());
    let left = expires.and_then(|time| time.duration_since(SystemTime::now()).ok());
    Access {
        token: token.into(),
        usable_until: Instant::now() + left.unwrap_or_default().saturating_sub(END_MARGIN),
    }
}
