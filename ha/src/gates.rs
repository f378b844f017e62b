//! Visitors of both gates, who bring tokens of sessions that live and of sessions that have ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use portcullis_tests::sidecar::Ask;
use tokio::{
    sync::{Semaphore, broadcast::error::RecvError},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cluster::DEADLINE,
    installation::Installation,
    ledger::{Away, Ended, Enforced, Ledger, Session},
};

/// `max_staleness` of `deploy/ha/sidecar.toml`: the bound of the promise.
const STALENESS: Duration = Duration::from_secs(5);
/// The pause between two requests of people whose sessions live.
const REQUEST_INTERVAL: Duration = Duration::from_millis(10);
/// The pause between two questions about one ended session, and so the accuracy of the times.
const QUESTION_INTERVAL: Duration = Duration::from_millis(2);
/// A gate that can tell nothing is asked less often.
const AWAY_INTERVAL: Duration = Duration::from_millis(100);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Ended sessions that one gate is asked about at a time.
const QUESTIONS_MAX: usize = 256;

/// A gate, as its visitors see it.
#[derive(Clone)]
pub(crate) struct Gate {
    index: usize,
    socket: String,
    ledger: Arc<Ledger>,
}

/// What a gate says to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    /// 401: the token is not good.
    Refused,
    /// 503, or no answer: it can tell nothing.
    Unavailable,
}

impl Gate {
    pub(crate) fn new(installation: &Installation, index: usize, ledger: &Arc<Ledger>) -> Self {
        Self::at(&installation.gate_socket(index), index, ledger)
    }

    /// A gate that listens there.
    pub(crate) fn at(socket: &str, index: usize, ledger: &Arc<Ledger>) -> Self {
        Self {
            index,
            socket: socket.to_owned(),
            ledger: Arc::clone(ledger),
        }
    }

    /// Its number, as the report has it.
    pub(crate) fn number(&self) -> usize {
        self.index + 1
    }

    /// Starts the visitors. They end at `stop`, after the last end was enforced.
    pub(crate) fn start(&self, stop: &CancellationToken, tasks: &TaskTracker) {
        let gate = self.clone();
        let until = stop.clone();
        tasks.spawn(async move { gate.visit(&until).await });
        let gate = self.clone();
        let until = stop.clone();
        let questions = tasks.clone();
        tasks.spawn(async move { gate.follow_ends(&until, &questions).await });
    }

    /// Asks about one request with a token.
    pub(crate) async fn ask(&self, token: &str) -> Verdict {
        let ask = Ask::verify("GET", "/").header("authorization", &format!("Bearer {token}"));
        let Ok(Some(answer)) = timeout(ANSWER_TIMEOUT, ask.send(&self.socket)).await else {
            return Verdict::Unavailable;
        };
        match answer.status.as_u16() {
            200 => Verdict::Admitted,
            401 => Verdict::Refused,
            _ => Verdict::Unavailable,
        }
    }

    /// Waits until it admits a session that lives.
    pub(crate) async fn become_ready(&self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            if let Some(session) = self.ledger.any_live()
                && self.ask(&session.access_token).await == Verdict::Admitted
            {
                return Ok(());
            }
            sleep(AWAY_INTERVAL).await;
        }
        bail!("gate {} admits nobody", self.number())
    }

    /// People whose sessions live come all the time.
    async fn visit(&self, stop: &CancellationToken) {
        let mut away: Option<Away> = None;
        while !stop.is_cancelled() {
            sleep(REQUEST_INTERVAL).await;
            let Some(session) = self.ledger.any_live() else {
                continue;
            };
            let asked = Instant::now();
            match self.ask(&session.access_token).await {
                Verdict::Admitted => {
                    self.ledger.admitted();
                    if let Some(away) = away.take() {
                        self.ledger.away(away);
                    }
                }
                Verdict::Refused => self.refused(&session),
                Verdict::Unavailable => {
                    let away = away.get_or_insert(Away {
                        gate: self.index,
                        from: asked,
                        to: asked,
                        refused: 0,
                    });
                    away.to = Instant::now();
                    away.refused += 1;
                }
            }
        }
        if let Some(away) = away {
            self.ledger.away(away);
        }
    }

    fn refused(&self, session: &Session) {
        // Somebody may have asked for its end meanwhile.
        if session.is_live() {
            let text = format!("gate {} refuses a session that lives", self.number());
            self.ledger.violated(&text);
        }
    }

    async fn follow_ends(&self, stop: &CancellationToken, questions: &TaskTracker) {
        let mut ends = self.ledger.ends();
        let room = Arc::new(Semaphore::new(QUESTIONS_MAX));
        while let Some(ended) = stop.run_until_cancelled(ends.recv()).await {
            let ended = match ended {
                Ok(ended) => ended,
                Err(RecvError::Lagged(missed)) => {
                    let text = format!("{missed} ends were not compared: the rig is too slow");
                    self.ledger.violated(&text);
                    continue;
                }
                Err(RecvError::Closed) => return,
            };
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let gate = self.clone();
            questions.spawn(async move {
                gate.follow_end(&ended).await;
                drop(permit);
            });
        }
    }

    /// Asks about an ended session until it is refused for good.
    async fn follow_end(&self, ended: &Ended) {
        let mut took = None;
        let mut was_late = false;
        while ended.acknowledged.elapsed() < DEADLINE {
            let age = ended.acknowledged.elapsed();
            match self.ask(&ended.session.access_token).await {
                Verdict::Admitted => {
                    if age > STALENESS && !was_late {
                        was_late = true;
                        let number = self.number();
                        let text = format!("gate {number} admits a token {age:?} after its end");
                        self.ledger.violated(&text);
                    }
                    took = None;
                    sleep(QUESTION_INTERVAL).await;
                }
                Verdict::Unavailable => {
                    took.get_or_insert_with(|| ended.acknowledged.elapsed());
                    sleep(AWAY_INTERVAL).await;
                }
                Verdict::Refused => {
                    let took = took.unwrap_or_else(|| ended.acknowledged.elapsed());
                    self.ledger.enforced(Enforced {
                        acknowledged: ended.acknowledged,
                        took,
                    });
                    return;
                }
            }
        }
        let text = format!("gate {} never refused an ended session", self.number());
        self.ledger.violated(&text);
    }
}
