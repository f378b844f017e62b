//! Gates, each behind a link of its own to each authority, and compared with the ledger all along.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER},
    proxy::Proxy,
    wait::DEADLINE,
};
use portcullis_validator::{Rejection, Validator};
use rand::Rng;
use tokio::{
    sync::mpsc::Receiver,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ledger::{Ended, Ledger, Session},
    world::World,
};

/// Gates at a time.
const GATES: usize = 6;
/// The age up to which a proof of freshness counts: the bound of the promise.
pub(crate) const STALENESS: Duration = Duration::from_secs(2);
/// The pause between two comparisons, and so the accuracy of the times.
const PAUSE: Duration = Duration::from_millis(1);
/// Tokens of each kind that one comparison checks, beside those whose end is new.
const SAMPLES: usize = 4;
/// Refused tokens that a gate is asked about again and again.
const REFUSED_MAX: usize = 5_000;

/// The gates that there are.
pub(crate) struct Gates {
    seats: Vec<Gate>,
    /// How many there were in all.
    seen: usize,
}

/// One gate with its links.
pub(crate) struct Gate {
    name: String,
    /// To each authority.
    pub(crate) links: [Proxy; 2],
    validator: Validator,
    stop: CancellationToken,
    comparing: JoinHandle<Comparison>,
}

impl Gates {
    pub(crate) async fn start(world: &World, ledger: &Arc<Ledger>) -> Self {
        let mut gates = Self {
            seats: Vec::new(),
            seen: 0,
        };
        for _ in 0..GATES {
            gates.join(world, ledger).await;
        }
        gates
    }

    /// A gate that may be away without the others.
    pub(crate) fn any(&self) -> &Gate {
        &self.seats[rand::rng().random_range(0..self.seats.len())]
    }

    pub(crate) fn all(&self) -> &[Gate] {
        &self.seats
    }

    /// The gate that has been here longest leaves, and a new one joins.
    pub(crate) async fn replace_one(&mut self, world: &World, ledger: &Arc<Ledger>) {
        self.seats.remove(0).close(ledger, false).await;
        self.join(world, ledger).await;
    }

    /// Waits until every gate is fresh.
    pub(crate) async fn become_fresh(&self, ledger: &Ledger) {
        let begun = Instant::now();
        for gate in &self.seats {
            if timeout(DEADLINE, gate.validator.ready()).await.is_err() {
                let freshness = gate.validator.freshness();
                let text = format!(
                    "{} is not fresh after {DEADLINE:?}: {freshness:?}",
                    gate.name
                );
                ledger.violated(&text);
            }
        }
        ledger.recovered(begun.elapsed());
    }

    /// Closes all gates. Each has to refuse everything that was ended.
    pub(crate) async fn close(self, ledger: &Arc<Ledger>) -> usize {
        for gate in self.seats {
            gate.close(ledger, true).await;
        }
        self.seen
    }

    async fn join(&mut self, world: &World, ledger: &Arc<Ledger>) {
        self.seen += 1;
        let gate = Gate::start(format!("gate {}", self.seen), world, ledger).await;
        self.seats.push(gate);
    }
}

impl Gate {
    async fn start(name: String, world: &World, ledger: &Arc<Ledger>) -> Self {
        let [first, second] = world.addresses();
        let links = [Proxy::start(first).await, Proxy::start(second).await];
        let validator = Validator::builder(format!("http://{}", links[0].address()))
            .endpoint(format!("http://{}", links[1].address()))
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .name(&name)
            .max_staleness(STALENESS)
            .start()
            .expect("good settings");
        let comparison = Comparison {
            gate: name.clone(),
            validator: validator.clone(),
            ledger: Arc::clone(ledger),
            ends: ledger.ends(),
            pending: Vec::new(),
            refused: VecDeque::new(),
            away: None,
        };
        let stop = CancellationToken::new();
        Self {
            name,
            links,
            validator,
            comparing: tokio::spawn(comparison.run(stop.clone())),
            stop,
        }
    }

    async fn close(self, ledger: &Ledger, must_have_all: bool) {
        if must_have_all && timeout(DEADLINE, self.validator.ready()).await.is_err() {
            ledger.violated(&format!("{} is not fresh at the end", self.name));
        }
        self.stop.cancel();
        let mut comparison = self.comparing.await.expect("it does not panic");
        if must_have_all {
            comparison.refuses_all().await;
        }
        self.validator.close().await;
    }
}

/// Compares one gate with the ledger.
struct Comparison {
    gate: String,
    validator: Validator,
    ledger: Arc<Ledger>,
    ends: Receiver<Arc<Ended>>,
    /// Ended, and not yet refused for a reason of the token's own.
    pending: Vec<Pending>,
    refused: VecDeque<Arc<Ended>>,
    /// Since when it could tell nothing, and the fault of that moment.
    away: Option<(Instant, &'static str)>,
}

struct Pending {
    ended: Arc<Ended>,
    was_enforced: bool,
    was_late: bool,
}

impl Comparison {
    async fn run(mut self, stop: CancellationToken) -> Self {
        let mut position = self.validator.position();
        while !stop.is_cancelled() {
            self.compare();
            tokio::select! {
                () = sleep(PAUSE) => {}
                _ = position.changed() => {}
            }
        }
        self
    }

    fn compare(&mut self) {
        while let Ok(ended) = self.ends.try_recv() {
            self.pending.push(Pending {
                ended,
                was_enforced: false,
                was_late: false,
            });
        }
        self.check_ended();
        for _ in 0..SAMPLES {
            self.check_refused_again();
            if let Some(session) = self.ledger.any_live() {
                self.check_live(&session);
            }
        }
        let checks = (self.pending.len() + 2 * SAMPLES) as u64;
        self.ledger.count(|counts| counts.checks += checks);
    }

    /// A token whose end was acknowledged is accepted for at most the bound.
    fn check_ended(&mut self) {
        for mut pending in std::mem::take(&mut self.pending) {
            let asked = Instant::now();
            let verdict = self.validator.check(&pending.ended.token);
            let Err(rejection) = verdict else {
                let age = asked.duration_since(pending.ended.acknowledged);
                if age > STALENESS && !pending.was_late {
                    pending.was_late = true;
                    let during = pending.ended.during;
                    let text = format!(
                        "{} accepts a token {age:?} after its end, which was acknowledged during: {during}",
                        self.gate
                    );
                    self.ledger.violated(&text);
                }
                self.pending.push(pending);
                continue;
            };
            if !pending.was_enforced {
                pending.was_enforced = true;
                self.ledger.enforced(&pending.ended);
            }
            if rejection.is_unavailable() {
                self.pending.push(pending);
            } else {
                self.refused.push_back(pending.ended);
            }
        }
        if self.refused.len() > REFUSED_MAX {
            self.refused.drain(..self.refused.len() - REFUSED_MAX);
        }
    }

    /// What was refused once is never accepted again.
    fn check_refused_again(&self) {
        if self.refused.is_empty() {
            return;
        }
        let index = rand::rng().random_range(0..self.refused.len());
        if self.validator.check(&self.refused[index].token).is_ok() {
            let text = format!("{} accepts a token that it had refused", self.gate);
            self.ledger.violated(&text);
        }
    }

    /// A session that lives is refused only while the gate can tell nothing.
    fn check_live(&mut self, session: &Session) {
        let Some(token) = session.live_token() else {
            return;
        };
        let verdict = self.validator.check(&token);
        match verdict {
            Err(rejection) if rejection.is_unavailable() => self.is_away(),
            Err(rejection) => {
                // Somebody may have asked for its end meanwhile.
                if session.is_live() {
                    self.refused_live(&rejection);
                }
            }
            Ok(_) => self.is_back(),
        }
    }

    fn refused_live(&self, rejection: &Rejection) {
        let text = format!("{} refuses a session that lives: {rejection}", self.gate);
        self.ledger.violated(&text);
    }

    fn is_away(&mut self) {
        if self.away.is_none() {
            self.away = Some((Instant::now(), self.ledger.during()));
        }
    }

    fn is_back(&mut self) {
        if let Some((since, during)) = self.away.take() {
            self.ledger.unavailable(during, since.elapsed());
        }
    }

    /// At the end, with a fresh gate, everything that was ended is refused.
    async fn refuses_all(&mut self) {
        let give_up = Instant::now() + DEADLINE;
        self.compare();
        while !self.pending.is_empty() && Instant::now() < give_up {
            sleep(PAUSE).await;
            self.compare();
        }
        for pending in &self.pending {
            let during = pending.ended.during;
            let text = format!(
                "{} lost an end that was acknowledged during: {during}",
                self.gate
            );
            self.ledger.violated(&text);
        }
    }
}
