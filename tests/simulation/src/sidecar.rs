//! A sidecar: a gate that decides about requests of a proxy, which asks over the simulated network. And the proxy.
//!
//! The decision is the real one of `portcullis-gate`, over the engine of the gate. What a sidecar says is judged as what
//! any gate says, at the moment when it decides: how old an answer may grow on its way is the proxy's own business.

use std::{io, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header::AUTHORIZATION};
use portcullis_gate::{Allow, Decision, Gate, RequestHead, Rules};
use tokio::time::{sleep, timeout};
use turmoil::net::{
    TcpListener, TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use crate::{
    GATES,
    gate::{GateView, Verdict, choose_token, mark, pause},
    store::database::elapsed,
    users, wire,
    world::World,
};

/// The gate that is a sidecar: the last one.
pub const SIDECAR: usize = GATES - 1;
/// The host of the proxy.
pub const PROXY: &str = "proxy";
/// The port of the sidecar.
const PORT: u16 = 7_100;
/// The longest wait of the proxy for a connection, and for an answer. It refuses the request then.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// The pause before the proxy connects again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// The header with the user's id.
const USER: &str = "x-portcullis-user";
/// The header with the session's id.
const SESSION: &str = "x-portcullis-session";

/// The question about a request.
#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    /// The number of the token in the history.
    #[prost(uint64, tag = "1")]
    token: u64,
    /// The value of `Authorization`.
    #[prost(string, tag = "2")]
    authorization: String,
}

/// The answer of the sidecar.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    /// The number of the token, as it was asked.
    #[prost(uint64, tag = "1")]
    token: u64,
    #[prost(bool, tag = "2")]
    is_admitted: bool,
    /// The identity headers that the upstream gets.
    #[prost(string, tag = "3")]
    user: String,
    #[prost(string, tag = "4")]
    session: String,
}

/// Answers the proxy, until the process is killed.
pub async fn serve(world: Arc<World>, life: u32, view: GateView) -> turmoil::Result {
    let gate = Gate::new(view.engine(), &Rules::default())?;
    let sidecar = Arc::new(Sidecar { world, life, gate });
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(Arc::clone(&sidecar).answer_all(stream));
    }
}

/// The process of the sidecar.
struct Sidecar {
    world: Arc<World>,
    life: u32,
    gate: Gate,
}

impl Sidecar {
    async fn answer_all(self: Arc<Self>, stream: TcpStream) {
        let (mut reading, mut writing) = stream.into_split();
        while let Ok(Some(question)) = wire::read::<Question>(&mut reading).await {
            self.world.links.wait_unpaused_gate(SIDECAR).await;
            let answer = self.answer(&question);
            if wire::write(&mut writing, &answer).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&question.authorization).expect("a token is ASCII");
        headers.insert(AUTHORIZATION, value);
        let head = RequestHead {
            method: &Method::GET,
            authority: "app.example.com",
            target: "/orders",
            headers: &headers,
            peer: None,
        };

        let loaded = elapsed();
        let pause = pause(&self.world);
        let clock = || mark(&self.world, SIDECAR, pause.seen);
        let decision = self.gate.decide_by_clock(&head, clock);

        let mut answer = Answer {
            token: question.token,
            ..Answer::default()
        };
        let refused = match decision {
            Decision::Allow(allow) => {
                answer.admit(allow, headers.clone());
                None
            }
            Decision::Deny(deny) => Some(deny.reason),
        };
        let verdict = Verdict {
            gate: SIDECAR,
            life: self.life,
            token: usize::try_from(question.token).unwrap_or(usize::MAX),
            loaded,
            at: loaded + pause.real,
        };
        verdict.record(&self.world, refused);
        answer
    }
}

impl Answer {
    fn admit(&mut self, allow: Allow, mut upstream: HeaderMap) {
        allow.headers.apply(&mut upstream);
        let header = |name| {
            let value = upstream.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        self.is_admitted = true;
        self.user = header(USER);
        self.session = header(SESSION);
    }
}

/// Runs the proxy: it asks about request after request, and connects anew when it gets no answer in time.
pub async fn run_proxy(world: Arc<World>) -> turmoil::Result {
    loop {
        let address = (format!("gate-{SIDECAR}"), PORT);
        if let Ok(Ok(stream)) = timeout(ANSWER_TIMEOUT, TcpStream::connect(address)).await {
            let (mut reading, mut writing) = stream.into_split();
            // An answer that comes too late is not taken for that of the next request.
            let _ = ask_all(&world, &mut reading, &mut writing).await;
        }
        sleep(RECONNECT_PAUSE).await;
    }
}

async fn ask_all(
    world: &World,
    reading: &mut OwnedReadHalf,
    writing: &mut OwnedWriteHalf,
) -> io::Result<()> {
    loop {
        sleep(world.dice.millis(10..=30)).await;
        let Some((token, text)) = choose_token(world) else {
            continue;
        };
        let question = Question {
            token: token as u64,
            authorization: format!("Bearer {text}"),
        };
        wire::write(writing, &question).await?;
        let answer = timeout(ANSWER_TIMEOUT, wire::read::<Answer>(reading)).await??;
        let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        if let Some(problem) = confused(world, token, &answer) {
            world.history.report(problem);
        }
    }
}

/// What is wrong with the identity that an upstream would see.
fn confused(world: &World, token: usize, answer: &Answer) -> Option<String> {
    let events = world.history.events();
    let row = &events.tokens[token].row;
    let is_right = match answer.is_admitted {
        true => {
            answer.user == users::id(row.subject.user).as_str()
                && answer.session == row.id.to_string()
        }
        false => answer.user.is_empty() && answer.session.is_empty(),
    };
    if is_right && answer.token == token as u64 {
        return None;
    }
    Some(format!(
        "the sidecar was asked about token {token} and said {answer:?}"
    ))
}
