//! What a case works with: the authority, the upstream, one running door, and a tenant of the case's own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use portcullis_authority::{
    keys::{MasterKey, MasterKeys},
    open_store,
    store::Store,
};
use portcullis_contract::{
    key::{Algorithm, PrivateKey},
    v1,
};
use portcullis_tests::{
    authority::{ADMIN, LOGIN, TestAuthority, config, session_id, sign_in},
    door::{Abilities, Ability, Door, DoorOptions, RunningDoor},
    http3::{Certificate, Http3Client},
    proxy::{Link, Proxy},
    upstream::{Echo, Upstream},
    visitor::{Answer, Visit},
    wait::eventually,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OnceCell,
    time::timeout,
};
use uuid::Uuid;

/// The bound of freshness of the doors that cases share. Generous: machines of tests are busy.
const MAX_STALENESS: Duration = Duration::from_secs(10);

/// The time after which a connection that says nothing more is taken for one that will not.
const IDLE: Duration = Duration::from_millis(300);

/// The delay after which a new signing key is used. Every door knows the key by then.
const ACTIVATION_DELAY: Duration = MAX_STALENESS;

/// The rules of the doors that cases share.
const RULES: &str = include_str!("rules.toml");

/// The issuer and the audience of signed identities.
pub const IDENTITY_ISSUER: &str = "a door";
pub const IDENTITY_AUDIENCE: &str = "the upstream";

/// What all doors share. Each part starts when a case first needs it.
#[derive(Default)]
pub struct World {
    parts: OnceCell<Parts>,
}

/// One authority and one upstream.
pub struct Parts {
    pub authority: TestAuthority,
    pub store: Arc<dyn Store>,
    pub master_key: MasterKeys,
    pub upstream: Arc<Upstream>,
    pub identity_key: IdentityKey,
    certificate: Certificate,
    _directory: tempfile::TempDir,
}

impl World {
    async fn parts(&self) -> &Parts {
        self.parts.get_or_init(Parts::start).await
    }
}

impl Parts {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Cases that sign tokens of their own need the store and the master key.
        let config = config(directory.path());
        let store = open_store(&config.store).await.expect("a store");
        let key_file = config.keys.master_key_file.clone();
        let text = std::fs::read_to_string(&key_file).expect("a master key");
        let authority = TestAuthority::over(Arc::clone(&store), |own| {
            own.keys.master_key_file = key_file;
            own.keys.activation_delay = ACTIVATION_DELAY;
            own.watch.staleness_max = MAX_STALENESS;
        })
        .await;
        Self {
            authority,
            store,
            master_key: MasterKey::from_base64(text.trim())
                .expect("a master key")
                .into(),
            upstream: Arc::new(Upstream::start().await),
            identity_key: IdentityKey::generate(),
            certificate: Certificate::generate(),
            _directory: directory,
        }
    }
}

/// The key that signs identities for the upstream.
pub struct IdentityKey {
    /// PKCS #8 in PEM.
    pem: String,
    pub public: Vec<u8>,
}

impl IdentityKey {
    fn generate() -> Self {
        let key = PrivateKey::generate(Algorithm::Ed25519);
        let text = STANDARD.encode(&*key.to_pkcs8());
        Self {
            pem: format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"),
            public: key.public_bytes().to_vec(),
        }
    }
}

/// A kind of door, with the one that cases share once it runs.
pub struct Seat {
    pub door: Box<dyn Door>,
    shared: OnceCell<Arc<dyn RunningDoor>>,
    /// A client in HTTP/3 of the shared one.
    http3: OnceCell<Http3Client>,
}

impl Seat {
    pub fn new(door: Box<dyn Door>) -> Self {
        Self {
            door,
            shared: OnceCell::new(),
            http3: OnceCell::new(),
        }
    }
}

/// What one case works with.
pub struct Scene {
    world: Arc<World>,
    seat: Arc<Seat>,
    running: Arc<dyn RunningDoor>,
    /// Between the authority and a door of the case's own.
    proxy: Option<Proxy>,
    /// A tenant that no other case has.
    pub tenant: String,
}

/// A session, as a case needs it.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: String,
    pub token: String,
}

impl Session {
    fn new(created: &v1::CreateSessionResponse) -> Self {
        Self {
            id: session_id(created),
            token: created.access_token.clone(),
        }
    }
}

impl Scene {
    /// Sets the scene of a case: the shared door runs, and admits.
    pub async fn set(world: Arc<World>, seat: Arc<Seat>, case: &str) -> Self {
        let parts = world.parts().await;
        let options = options(parts, parts.authority.config.server.grpc_listen);
        let running = seat
            .shared
            .get_or_init(|| start(&*seat.door, &options))
            .await;
        let scene = Self {
            running: Arc::clone(running),
            proxy: None,
            tenant: format!("{}: {case}", seat.door.name()),
            world: Arc::clone(&world),
            seat: Arc::clone(&seat),
        };
        let first = scene.sign_in("first").await;
        scene.admitted(&Visit::get("/").bearer(&first.token)).await;
        scene
    }

    /// The same scene with a door of the case's own, which reaches the authority through a proxy, and admits.
    pub async fn own(self, max_staleness: Duration, best_effort: Option<Duration>) -> Self {
        let scene = self
            .own_through(max_staleness, best_effort, Link::default())
            .await;
        let own = scene.sign_in("own").await;
        scene.admitted(&Visit::get("/").bearer(&own.token)).await;
        scene
    }

    /// [`own`](Self::own) through a proxy with this link. It returns at once, before the door admits anybody.
    pub async fn own_through(
        self,
        max_staleness: Duration,
        best_effort: Option<Duration>,
        link: Link,
    ) -> Self {
        let proxy = Proxy::start(self.authority().config.server.grpc_listen).await;
        proxy.set(link);
        let options = DoorOptions {
            max_staleness,
            best_effort,
            ..options(self.parts(), proxy.address())
        };
        let running = start(&*self.seat.door, &options).await;
        Self {
            running,
            proxy: Some(proxy),
            ..self
        }
    }

    /// Whether the door is the one that cases share.
    pub fn is_shared(&self) -> bool {
        self.proxy.is_none()
    }

    /// The proxy between the authority and the door of the case's own.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a door of its own")
    }

    /// Kills the process that decides.
    pub async fn kill_decider(&self) {
        self.running.kill_decider().await;
    }

    /// Stops the process that decides, so that it never answers.
    pub async fn stop_decider(&self) {
        self.running.stop_decider().await;
    }

    /// The parts that all doors share.
    pub fn parts(&self) -> &Parts {
        self.world.parts.get().expect("the scene is set")
    }

    /// The authority.
    pub fn authority(&self) -> &TestAuthority {
        &self.parts().authority
    }

    /// What the door can do.
    pub fn abilities(&self) -> Abilities {
        self.seat.door.abilities()
    }

    /// The address of the door's HTTP/1.1 server.
    pub fn http(&self) -> SocketAddr {
        self.running.http()
    }

    /// The address of the door's HTTP/2 server.
    pub fn http2(&self) -> SocketAddr {
        self.running.http2()
    }

    /// The address at which a client takes requests for the shared door's HTTP/3 server.
    pub async fn http3(&self) -> SocketAddr {
        let client = self.seat.http3.get_or_init(|| async {
            let door = self.running.http3().expect("HTTP/3");
            Http3Client::start(door, &self.parts().certificate).await
        });
        client.await.address()
    }

    /// Signs a user of the case's tenant in.
    pub async fn sign_in(&self, user: &str) -> Session {
        self.sign_in_as(user, |_| {}).await
    }

    /// Signs a user in, with a request of the case's own.
    pub async fn sign_in_as(
        &self,
        user: &str,
        change: impl FnOnce(&mut v1::CreateSessionRequest),
    ) -> Session {
        let mut request = sign_in(user);
        request.tenant_id.clone_from(&self.tenant);
        change(&mut request);
        let mut sessions = self.authority().sessions(LOGIN);
        let created = sessions.create_session(request).await.expect("a sign-in");
        Session::new(created.get_ref())
    }

    /// Signs a user of another tenant in.
    pub async fn sign_in_elsewhere(&self, user: &str) -> Session {
        self.sign_in_as(user, |request| request.tenant_id.push_str(" (other)"))
            .await
    }

    /// A session as the authority has it.
    pub async fn session(&self, session: &Session) -> v1::Session {
        let request = v1::GetSessionRequest {
            tenant_id: self.tenant.clone(),
            session_id: session.id.clone(),
        };
        let mut sessions = self.authority().sessions(ADMIN);
        let got = sessions.get_session(request).await.expect("a session");
        got.into_inner().session.expect("a session")
    }

    /// Revokes a session, and returns once the authority has acknowledged that.
    pub async fn revoke(&self, session: &Session) {
        let request = v1::RevokeSessionRequest {
            tenant_id: self.tenant.clone(),
            session_id: session.id.clone(),
            ..Default::default()
        };
        let mut sessions = self.authority().sessions(ADMIN);
        sessions.revoke_session(request).await.expect("revoked");
    }

    /// Sends a request in HTTP/1.1 with a mark of its own.
    pub async fn send(&self, visit: &Visit) -> Marked {
        let mark = self.new_mark();
        let answer = visit.clone().mark(&mark).http1(self.http()).await;
        self.marked(answer, &mark)
    }

    /// Sends a request in HTTP/2 with a mark of its own.
    pub async fn send_http2(&self, visit: &Visit) -> Marked {
        let mark = self.new_mark();
        let answer = visit.clone().mark(&mark).http2(self.http2()).await;
        self.marked(answer, &mark)
    }

    /// Sends a request in HTTP/3 with a mark of its own.
    pub async fn send_http3(&self, visit: &Visit) -> Marked {
        let mark = self.new_mark();
        let client = self.http3().await;
        let answer = visit.clone().mark(&mark).http1(client).await;
        self.marked(answer, &mark)
    }

    /// A mark that no other request has.
    pub fn new_mark(&self) -> String {
        Uuid::now_v7().to_string()
    }

    /// Whether a request with this mark reached the upstream.
    pub fn reached(&self, mark: &str) -> bool {
        self.parts().upstream.reached(mark) > 0
    }

    /// An answer to a request with this mark.
    pub fn marked(&self, answer: Option<Answer>, mark: &str) -> Marked {
        Marked {
            answer,
            reached: self.reached(mark),
        }
    }

    /// Sends bytes, and reads until the door closes the connection or says nothing more.
    pub async fn send_bytes_until_idle(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.http()).await.expect("connects");
        // A door may refuse before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut buffer = [0; 4096];
        while let Ok(Ok(1..)) = timeout(IDLE, stream.read(&mut buffer)).await {}
    }

    /// The answer once the door can decide. On a busy machine a door may be stale for a moment.
    pub async fn settled(&self, visit: &Visit) -> Marked {
        eventually("the door to be able to decide", async || {
            let marked = self.send(visit).await;
            let status = marked.answer.as_ref().map(|answer| answer.status);
            (status != Some(StatusCode::SERVICE_UNAVAILABLE)).then_some(marked)
        })
        .await
    }

    /// [`settled`](Self::settled) in HTTP/2.
    pub async fn settled_http2(&self, visit: &Visit) -> Marked {
        eventually("the door to be able to decide", async || {
            let marked = self.send_http2(visit).await;
            let status = marked.answer.as_ref().map(|answer| answer.status);
            (status != Some(StatusCode::SERVICE_UNAVAILABLE)).then_some(marked)
        })
        .await
    }

    /// [`settled`](Self::settled) in HTTP/3.
    pub async fn settled_http3(&self, visit: &Visit) -> Marked {
        eventually("the door to be able to decide", async || {
            let marked = self.send_http3(visit).await;
            let status = marked.answer.as_ref().map(|answer| answer.status);
            (status != Some(StatusCode::SERVICE_UNAVAILABLE)).then_some(marked)
        })
        .await
    }

    /// Expects that the request is admitted, and returns it as it reached the upstream.
    pub async fn admitted(&self, visit: &Visit) -> Echo {
        let answer = self.settled(visit).await.answer.expect("an answer");
        assert_eq!(answer.status, 200, "refused: {}", answer.text());
        answer.echo()
    }

    /// Expects that the request is refused at once with this status and reason.
    pub async fn refused(&self, visit: &Visit, status: u16, reason: &str) -> Answer {
        let marked = self.settled(visit).await;
        self.expect_refusal(marked, status, reason)
    }

    /// Waits until the request is refused, and expects this status and reason.
    pub async fn refused_soon(&self, visit: &Visit, status: u16, reason: &str) -> Answer {
        let marked = eventually("the request to be refused", async || {
            let marked = self.settled(visit).await;
            (!marked.reached).then_some(marked)
        })
        .await;
        self.expect_refusal(marked, status, reason)
    }

    /// Checks a refusal: its parts as far as the door passes them, and that nothing reached the upstream.
    pub fn expect_refusal(&self, marked: Marked, status: u16, reason: &str) -> Answer {
        let answer = marked.answer.expect("an answer");
        let text = answer.text();
        assert_eq!(answer.status, status, "{reason}: {text}");
        assert!(!marked.reached, "{reason}: it reached the upstream");
        let abilities = self.abilities();
        if abilities.refusal_bodies == Ability::Yes {
            let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(body["reason"], reason, "{text}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        if abilities.refusal_headers == Ability::Yes {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{reason}");
        }
        answer
    }
}

/// An answer, and whether the request reached the upstream.
#[derive(Debug)]
pub struct Marked {
    pub answer: Option<Answer>,
    pub reached: bool,
}

/// The settings of the doors that cases share.
fn options(parts: &Parts, authority: SocketAddr) -> DoorOptions {
    DoorOptions {
        authority,
        upstream: Arc::clone(&parts.upstream),
        rules: rules(&parts.identity_key),
        max_staleness: MAX_STALENESS,
        best_effort: None,
        certificate: parts.certificate.clone(),
    }
}

async fn start(door: &dyn Door, options: &DoorOptions) -> Arc<dyn RunningDoor> {
    Arc::from(door.start(options).await)
}

fn rules(identity_key: &IdentityKey) -> toml::Table {
    let mut rules: toml::Table = RULES.parse().expect("rules");
    let signed = [
        ("key", identity_key.pem.as_str()),
        ("key_id", "door-1"),
        ("issuer", IDENTITY_ISSUER),
        ("audience", IDENTITY_AUDIENCE),
    ];
    let signed = signed.map(|(key, value)| (key.to_owned(), value.into()));
    let signed = toml::Table::from_iter(signed);
    rules.insert("signed_identity".to_owned(), signed.into());
    rules
}
