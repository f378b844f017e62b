//! An engine that knows its keys and is fresh, and tokens for it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_contract::{
    delta::{self, Change},
    id::{ApiKeyId, Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
    position::{Incarnation, Revision, sha256},
    token::{ApiKeyClaims, Claims, Signer},
    v1::{self, watch_response::Message as Answer},
    view::{Frame, Subject, View},
    watch::{AnyStream, Checksummed, StreamId},
};
use portcullis_gate::{Allow, Decision, Deny, Gate, RequestHead, Rules};
use portcullis_validator_core::{Engine, Follower, Freshness, Line, Mark, Mode, Reports, Settings};

pub const ISSUER: &str = "https://issuer";
pub const AUDIENCE: &str = "gate";
pub const HOST: &str = "app.example.com";
/// The serial of the session of [`World::token`].
pub const SERIAL: u64 = 11;

pub struct World {
    pub engine: Arc<Engine>,
    pub reports: Reports,
    follower: Follower,
    stream: StreamId,
    view: View,
    session_signer: Signer,
    api_key_signer: Signer,
}

impl World {
    /// A world with a strict engine.
    pub fn new() -> Self {
        Self::in_mode(Mode::Strict)
    }

    pub fn in_mode(mode: Mode) -> Self {
        let settings = Settings {
            mode,
            max_staleness: match mode {
                Mode::Strict => Duration::from_secs(60),
                Mode::BestEffort { .. } => Duration::from_millis(100),
            },
            ..Settings::new(ISSUER, AUDIENCE)
        };
        let (engine, reports) = Engine::new(settings).expect("good settings");
        let engine = Arc::new(engine);
        let session_signer = signer("sessions");
        let api_key_signer = signer("keys");
        let mut follower = Follower::new(Arc::clone(&engine), 1 << 20, |_| {});
        let hello = follower.begin(Line::First);
        let view = View::empty(Incarnation([1; 16]))
            .apply(&frame(
                1,
                &[
                    Change::Trust(verification_key(&session_signer, CredentialKind::Session)),
                    Change::Trust(verification_key(&api_key_signer, CredentialKind::ApiKey)),
                ],
            ))
            .expect("applies");
        let mut world = Self {
            engine,
            reports: reports.expect("reports"),
            follower,
            stream: hello.stream.as_ref().try_into().expect("16 bytes"),
            view,
            session_signer: session_signer.signer,
            api_key_signer: api_key_signer.signer,
        };
        world.welcome();
        world.prove();
        assert!(world.engine.is_ready());
        world
    }

    fn welcome(&mut self) {
        let welcome = v1::WatchWelcome {
            incarnation: vec![1; 16].into(),
            ..Default::default()
        };
        self.hear(Answer::Welcome(welcome.sealed(&self.stream)));
        let bytes = self.view.encode();
        let chunk = v1::SnapshotChunk {
            total_bytes: bytes.len() as u64,
            sha256: sha256(&bytes).to_vec().into(),
            data: bytes,
            ..Default::default()
        };
        self.hear(Answer::SnapshotChunk(chunk.sealed(&AnyStream)));
    }

    fn hear(&mut self, answer: Answer) {
        self.follower
            .receive(Line::First, answer, Mark::now())
            .expect("a good answer");
    }

    /// Proves the view fresh.
    pub fn prove(&mut self) {
        let probe = self
            .follower
            .probe(Line::First, Mark::now())
            .expect("a good stream")
            .expect("a probe");
        let beat = v1::WatchBeat {
            nonce: probe.nonce,
            head: Some(self.view.position().into()),
            database_time: Some(SystemTime::now().into()),
            ..Default::default()
        };
        self.hear(Answer::Beat(beat.sealed(&self.stream)));
    }

    /// Applies a change of the log.
    pub fn apply(&mut self, change: Change) {
        let frame = frame(self.view.position().revision.0 + 1, &[change]);
        self.view = self.view.apply(&frame).expect("applies");
        self.hear(Answer::Delta((&frame).into()));
        self.engine.wake_ended();
    }

    pub fn revoke(&mut self, credential: CredentialKind) {
        self.apply(Change::Revoke {
            credential,
            serials: vec![Serial(SERIAL)],
        });
    }

    /// Waits until the engine has no proof of freshness any more.
    pub fn wait_until_stale(&self) {
        let begun = std::time::Instant::now();
        while !matches!(self.engine.freshness(), Freshness::Stale { .. }) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it stays fresh");
            std::thread::yield_now();
        }
    }

    pub fn token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let now = unix_seconds();
        let mut claims = Claims {
            tenant_id: TenantId::parse("acme").expect("an id"),
            user_id: UserId::parse("ada").expect("an id"),
            session_id: SessionId::from_bytes([7; 16]),
            subject: subject(),
            token_id: "t".into(),
            audiences: vec![AUDIENCE.into()],
            issued_at: now,
            expires_at: now + 300,
            auth_time: now,
            amr: vec!["pwd".into()],
            acr: "low".into(),
            client_id: "web".into(),
        };
        change(&mut claims);
        self.session_signer.sign(ISSUER, &claims).expect("signs")
    }

    pub fn api_key(&self, change: impl FnOnce(&mut ApiKeyClaims)) -> String {
        let mut claims = ApiKeyClaims {
            tenant_id: TenantId::parse("acme").expect("an id"),
            owner_id: UserId::parse("ada").expect("an id"),
            api_key_id: ApiKeyId::from_bytes([8; 16]),
            subject: subject(),
            scopes: vec!["orders:read".into(), "orders:write".into()],
            audiences: vec![AUDIENCE.into()],
            issued_at: unix_seconds(),
            expires_at: None,
        };
        change(&mut claims);
        self.api_key_signer.sign(ISSUER, &claims).expect("signs")
    }

    pub fn gate(&self, rules: &Rules) -> Gate {
        Gate::new(Arc::clone(&self.engine), rules).expect("good rules")
    }

    /// A gate with rules in TOML.
    pub fn gate_of(&self, toml: &str) -> Gate {
        self.gate(&Rules::from_toml(toml).expect("rules"))
    }
}

fn subject() -> Subject {
    Subject {
        serial: Serial(SERIAL),
        user: UserSerial(22),
        tenant: TenantSerial(33),
        opened: Revision(1),
    }
}

struct NamedSigner {
    signer: Signer,
    public: Vec<u8>,
}

fn signer(id: &str) -> NamedSigner {
    let key = PrivateKey::generate(Algorithm::Ed25519);
    NamedSigner {
        public: key.public_bytes().to_vec(),
        signer: Signer::new(KeyId::parse(id).expect("an id"), key),
    }
}

fn verification_key(signer: &NamedSigner, credential: CredentialKind) -> VerificationKey {
    let id = signer.signer.key_id().clone();
    VerificationKey::new(id, Algorithm::Ed25519, &signer.public, credential).expect("a good key")
}

fn frame(revision: u64, changes: &[Change]) -> Frame {
    Frame {
        revision: Revision(revision),
        delta: delta::encode(changes, vec![]),
        audit_digest: [3; 32],
    }
}

pub fn unix_seconds() -> u64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs()
}

/// A request. [`get`] has the usual one.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub authority: String,
    pub target: String,
    pub headers: HeaderMap,
}

pub fn get(target: &str) -> Request {
    Request {
        method: Method::GET,
        authority: HOST.into(),
        target: target.into(),
        headers: HeaderMap::new(),
    }
}

impl Request {
    pub fn method(mut self, method: &str) -> Self {
        self.method = Method::from_bytes(method.as_bytes()).expect("a method");
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
        self.headers.append(name, value);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn navigates(self) -> Self {
        self.header("accept", "text/html,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
    }

    pub fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            authority: &self.authority,
            target: &self.target,
            headers: &self.headers,
            peer: Some([192, 0, 2, 1].into()),
        }
    }

    pub fn decide(&self, gate: &Gate) -> Decision {
        gate.decide(&self.head())
    }

    #[track_caller]
    pub fn allowed(&self, gate: &Gate) -> Allow {
        match self.decide(gate) {
            Decision::Allow(allow) => allow,
            Decision::Deny(deny) => panic!("refused: {deny:?}"),
        }
    }

    #[track_caller]
    pub fn denied(&self, gate: &Gate) -> Deny {
        match self.decide(gate) {
            Decision::Allow(allow) => panic!("admitted: {allow:?}"),
            Decision::Deny(deny) => deny,
        }
    }

    /// `allowed`, or the reason of the refusal.
    pub fn verdict(&self, gate: &Gate) -> &'static str {
        match self.decide(gate) {
            Decision::Allow(_) => "allowed",
            Decision::Deny(deny) => deny.reason,
        }
    }

    /// The headers that the upstream sees.
    #[track_caller]
    pub fn upstream_headers(&self, gate: &Gate) -> HeaderMap {
        let mut headers = self.headers.clone();
        self.allowed(gate).headers.apply(&mut headers);
        headers
    }
}
