//! One run: the hosts, the schedule, and the judgement of the history.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_authority::keys::{MasterKey, MasterKeys};
use portcullis_contract::{
    delta::{self, Change, Scope},
    key::CredentialKind,
    position::{Incarnation, Position, Revision},
    simulation::seed_random,
    view::Frame,
};
use portcullis_domain::Micros;
use tokio::sync::mpsc;
use turmoil::{Builder, Sim};

use crate::{
    AUTHORITIES, GATES, TICK, authority,
    bug::Bug,
    dice::Dice,
    gate,
    history::{Counts, History, Revocation, Target},
    operations::Operation,
    reference,
    schedule::{self, Ask, END, Fault, REPAIR, Step},
    sidecar::{PROXY, SIDECAR, run_proxy},
    store::{
        cluster::{Cluster, EPOCH_US},
        database::{Database, Job, after},
        rows::{Batch, Record, Rows},
    },
    world::{World, signing_key},
};

/// The distance between the numbers of two histories.
const RECOVERY_STRIDE: u64 = 1 << 32;
/// The network's latency.
const LATENCY_MIN: Duration = Duration::from_millis(1);
const LATENCY_MAX: Duration = Duration::from_millis(25);

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What the promise does not allow. None: the history is good.
    pub violation: Option<String>,
    /// How much happened.
    pub counts: Counts,
    /// A digest of the history: the same seed gives the same.
    pub digest: u64,
    /// What was asked for and what went wrong, in the order of time. For a history with a violation only.
    pub story: Vec<String>,
}

/// Runs the schedule of a seed.
///
/// # Panics
/// When a host cannot be simulated.
#[must_use]
pub fn run(seed: u64, bug: Option<Bug>) -> Outcome {
    // Nonces, names of streams and pauses between tries. Keys and ids of events decide nothing.
    seed_random(Some(seed));
    let mut run = Run::new(seed, bug);
    for (at, step) in schedule::plan(&Dice::new(seed)) {
        run.advance(at);
        run.carry_out(step);
    }
    run.advance(REPAIR);
    run.repair_everything();
    run.advance(END);
    let mut outcome = run.judge(seed);
    if outcome.violation.is_some() {
        outcome.story = run.tell(seed);
    }
    outcome
}

struct Run {
    sim: Sim<'static>,
    world: Arc<World>,
    lives: Vec<Rc<Cell<u32>>>,
}

impl Run {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let dice = Dice::new(seed ^ 0x5eed);
        let (signer, key) = signing_key();
        let first = Rows::new(Incarnation(dice.bytes()), Micros(EPOCH_US));
        let trust = first_batch(first.head(), Change::Trust(key), &dice);
        let cluster = Cluster::new(first, &[Record::Batch(Arc::new(trust))]);
        let history = Arc::<History>::default();
        let (database, jobs) = Database::new(cluster, dice.clone(), Arc::clone(&history), bug);
        let world = Arc::new(World {
            bug,
            dice,
            links: Arc::default(),
            history,
            database,
            master: Arc::new(MasterKeys::from(MasterKey::generate())),
            signer,
            inboxes: Default::default(),
            gates: Default::default(),
        });
        let mut run = Self {
            sim: network(seed),
            world,
            lives: (0..GATES).map(|_| Rc::default()).collect(),
        };
        run.add_hosts(jobs);
        run
    }

    fn add_hosts(&mut self, jobs: mpsc::Receiver<Job>) {
        let jobs = Mutex::new(Some(jobs));
        self.sim.host("database", move || {
            let jobs = jobs.lock().expect("not poisoned").take();
            async move {
                let mut jobs = jobs.expect("the host of the database never crashes");
                while let Some(job) = jobs.recv().await {
                    tokio::spawn(job);
                }
                Ok(())
            }
        });
        for number in 0..AUTHORITIES {
            let world = Arc::clone(&self.world);
            self.sim.host(format!("authority-{number}"), move || {
                authority::run(Arc::clone(&world), number)
            });
        }
        for number in 0..GATES {
            let world = Arc::clone(&self.world);
            let lives = Rc::clone(&self.lives[number]);
            self.sim.host(format!("gate-{number}"), move || {
                lives.set(lives.get() + 1);
                gate::run(Arc::clone(&world), number, lives.get())
            });
        }
        let world = Arc::clone(&self.world);
        self.sim.host(PROXY, move || run_proxy(Arc::clone(&world)));
    }

    /// Lets simulated time pass.
    fn advance(&mut self, until: Duration) {
        while self.sim.elapsed() < until {
            if let Err(error) = self.sim.step() {
                self.world.history.report(format!("a host failed: {error}"));
                return;
            }
        }
    }

    fn carry_out(&mut self, step: Step) {
        match step {
            Step::Ask(authority, ask) => {
                if let Some(operation) = self.operation(ask) {
                    self.world.submit(authority, operation);
                }
            }
            Step::Break(fault) => {
                self.world.history.events().counts.faults += 1;
                self.break_it(&fault);
            }
            Step::Repair(fault) => self.repair(&fault),
        }
    }

    fn operation(&self, ask: Ask) -> Option<Operation> {
        let tokens = self.world.history.events().tokens.len();
        let token = || match tokens {
            0 => None,
            // Mostly new ones: old tokens have expired.
            _ => Some(tokens.saturating_sub(1 + self.world.dice.index(tokens.min(16)))),
        };
        Some(match ask {
            Ask::SignIn(user) => Operation::SignIn(user),
            Ask::Refresh => Operation::Refresh(self.any_token(tokens)?),
            Ask::Revoke => Operation::Revoke(token()?),
            Ask::SignOut(user) => Operation::SignOut(user, None),
            Ask::SignOutOthers(user) => Operation::SignOut(user, Some(token()?)),
            Ask::Disable(user) => Operation::Disable(user),
            Ask::Enable(user) => Operation::Enable(user),
            Ask::SignOutEveryone => Operation::SignOutEveryone,
        })
    }

    fn any_token(&self, tokens: usize) -> Option<usize> {
        (tokens > 0).then(|| self.world.dice.index(tokens))
    }

    fn break_it(&mut self, fault: &Fault) {
        let links = &self.world.links;
        match fault {
            Fault::Partition { gate, authority } => {
                self.sim
                    .partition(gate_name(*gate), authority_name(*authority));
            }
            Fault::DropsAnswers { gate, authority } => {
                self.sim
                    .partition_oneway(authority_name(*authority), gate_name(*gate));
            }
            Fault::DropsProbes { gate, authority } => {
                self.sim
                    .partition_oneway(gate_name(*gate), authority_name(*authority));
            }
            Fault::Holds { gate, authority } => {
                self.sim.hold(gate_name(*gate), authority_name(*authority));
            }
            Fault::ProxyHolds => self.sim.hold(PROXY, gate_name(SIDECAR)),
            Fault::AuthorityKilled(authority) => self.kill_authority(*authority),
            Fault::GateKilled(gate) => self.sim.crash(gate_name(*gate)),
            Fault::AuthorityPaused(authority, until) => links.pause_authority(*authority, *until),
            Fault::GatePaused(gate, until) => links.pause_gate(*gate, *until),
            Fault::DatabaseLink {
                authority,
                loses_statements,
                loses_answers,
            } => links.set_database(*authority, *loses_statements, *loses_answers),
            Fault::GateClock { gate, ahead_us } => links.set_wall(*gate, *ahead_us),
            fault => self.break_database(fault),
        }
    }

    fn break_database(&mut self, fault: &Fault) {
        let mut cluster = self.world.database.cluster();
        match fault {
            Fault::StandbyCutOff => cluster.replicates = false,
            Fault::DatabaseCrash { kept_percent } => cluster.crash(*kept_percent),
            Fault::Failover {
                kills_primary,
                has_spare,
                stuck,
            } => {
                if *kills_primary {
                    cluster.crash(100);
                }
                cluster.promote(*has_spare);
                drop(cluster);
                for (authority, stuck) in stuck.iter().enumerate() {
                    self.world.links.set_stuck(authority, *stuck);
                }
            }
            Fault::Restore { lost, sign_out } => {
                drop(cluster);
                self.restore(*lost, *sign_out);
            }
            Fault::DatabaseClock { ahead_us } => {
                cluster.clock_ahead_us = *ahead_us;
                drop(cluster);
                // A step that is taken back before any count sees it is an assumption of the product (docs/internals/
                // failures.md): tokens of that moment may outlive the second turn.
                // Asked of the simulation: outside of its hosts nobody else knows the time.
                self.world.database.count_time(self.sim.elapsed());
            }
            _ => {}
        }
    }

    fn kill_authority(&mut self, authority: usize) {
        *self.world.inboxes[authority].lock().expect("not poisoned") = None;
        self.sim.crash(authority_name(authority));
    }

    fn repair(&mut self, fault: &Fault) {
        let links = &self.world.links;
        match fault {
            Fault::Partition { gate, authority } => {
                self.sim
                    .repair(gate_name(*gate), authority_name(*authority));
            }
            Fault::DropsAnswers { gate, authority } => {
                self.sim
                    .repair_oneway(authority_name(*authority), gate_name(*gate));
            }
            Fault::DropsProbes { gate, authority } => {
                self.sim
                    .repair_oneway(gate_name(*gate), authority_name(*authority));
            }
            Fault::Holds { gate, authority } => {
                self.sim
                    .release(gate_name(*gate), authority_name(*authority));
            }
            Fault::ProxyHolds => self.sim.release(PROXY, gate_name(SIDECAR)),
            Fault::AuthorityKilled(authority) => self.sim.bounce(authority_name(*authority)),
            Fault::GateKilled(gate) => self.sim.bounce(gate_name(*gate)),
            // A pause ends by itself.
            Fault::AuthorityPaused(..) | Fault::GatePaused(..) => {}
            Fault::DatabaseLink { authority, .. } => links.set_database(*authority, false, false),
            Fault::GateClock { gate, .. } => links.set_wall(*gate, 0),
            fault => self.repair_database(fault),
        }
    }

    fn repair_database(&mut self, fault: &Fault) {
        let mut cluster = self.world.database.cluster();
        match fault {
            Fault::StandbyCutOff => cluster.replicates = true,
            Fault::DatabaseCrash { .. } => cluster.start(),
            Fault::Failover { .. } => {
                cluster.rejoin();
                drop(cluster);
                for authority in 0..AUTHORITIES {
                    self.world.links.set_stuck(authority, false);
                }
            }
            Fault::Restore { .. } => {
                drop(cluster);
                for authority in 0..AUTHORITIES {
                    self.sim.bounce(authority_name(authority));
                }
            }
            Fault::DatabaseClock { .. } => cluster.clock_ahead_us = 0,
            _ => {}
        }
    }

    /// Stops the authorities, goes back to a backup, and begins another history, as `portcullis recover` does.
    fn restore(&mut self, lost: usize, sign_out: bool) {
        for authority in 0..AUTHORITIES {
            self.kill_authority(authority);
        }
        let mut cluster = self.world.database.cluster();
        cluster.restore(lost);
        self.forgive(&cluster);
        let old = cluster.rows().head();
        let before = Position {
            incarnation: Incarnation(self.world.dice.bytes()),
            revision: Revision(old.revision.0 + RECOVERY_STRIDE - 1),
            chain: old.chain,
        };
        let changes = match sign_out {
            true => vec![Change::Cut {
                credential: CredentialKind::Session,
                scope: Scope::Everyone,
                exempt: None,
            }],
            false => Vec::new(),
        };
        let batch = batch(before, changes, &self.world.dice);
        if sign_out {
            self.record_sign_out(batch.head.revision);
        }
        let view = cluster.rows().view().rebased(before).apply(&batch.frame);
        let bytes = view.expect("the first batch").encode();
        let code = self.world.master.authenticate(&bytes).into();
        let revision = batch.head.revision;
        cluster.write_alone(Record::Recover(before, Arc::new(batch)));
        cluster.write_alone(Record::Checkpoint(revision, bytes, code));
    }

    /// Marks the acknowledged revocations that the backup does not have.
    fn forgive(&self, cluster: &Cluster) {
        let head = cluster.rows().head().revision;
        for revocation in &mut self.world.history.events().revocations {
            revocation.lost |= match revocation.acknowledged {
                Some((_, revision)) => revision > head,
                // It may be acknowledged by nobody any more: its authority is dead.
                None => false,
            };
        }
    }

    fn record_sign_out(&self, revision: Revision) {
        let now = self.sim.elapsed();
        self.world.history.events().revocations.push(Revocation {
            target: Target::Everyone,
            requested: now,
            acknowledged: Some((now, revision)),
            lost: false,
        });
    }

    fn repair_everything(&mut self) {
        for gate in 0..GATES {
            self.world.links.set_wall(gate, 0);
        }
        self.world.database.cluster().clock_ahead_us = 0;
    }

    /// Judges the history, and what became of it: every gate is fresh and has the whole log.
    fn judge(&self, seed: u64) -> Outcome {
        let events = self.world.history.events();
        let cluster = self.world.database.cluster();
        let violation = reference::judge(&events, &cluster);
        let violation = violation.or_else(|| self.unsettled(&cluster));
        Outcome {
            seed,
            violation,
            counts: events.counts,
            digest: events.digest(),
            story: Vec::new(),
        }
    }

    /// Tells the faults, the revocations, and where the gates were.
    fn tell(&self, seed: u64) -> Vec<String> {
        let mut story = Vec::new();
        for (at, step) in schedule::plan(&Dice::new(seed)) {
            if !matches!(step, Step::Ask(..)) {
                story.push((at, format!("{step:?}")));
            }
        }
        let events = self.world.history.events();
        for revocation in &events.revocations {
            story.push((revocation.requested, format!("{revocation:?}")));
        }
        for token in &events.tokens {
            story.push((token.issued, format!("a token of {:?}", token.row)));
        }
        for (gate, life, at) in &events.forks {
            story.push((*at, format!("gate {gate}.{life} replaces its history")));
        }
        for seen in &events.positions {
            story.push((
                seen.at,
                format!("gate {}.{} is at {:?}", seen.gate, seen.life, seen.position),
            ));
        }
        story.sort();
        let lines = story
            .into_iter()
            .map(|(at, line)| format!("{at:?}: {line}"));
        lines.collect()
    }

    fn unsettled(&self, cluster: &Cluster) -> Option<String> {
        for gate in 0..GATES {
            let view = self.world.gates[gate].lock().expect("not poisoned").clone();
            let now = self.world.links.mark_at(gate, self.sim.elapsed());
            let (position, is_fresh) = view?.state(&now);
            let head = cluster.rows().head();
            let has_all = position.is_some_and(|at| at.revision <= head.revision)
                && position.is_some_and(|at| cluster.rows().chain(at.revision) == Some(at.chain));
            if !is_fresh || !has_all {
                return Some(format!(
                    "gate {gate} did not settle: it is at {position:?}, fresh: {is_fresh}; the head is {head:?}"
                ));
            }
        }
        None
    }
}

fn network(seed: u64) -> Sim<'static> {
    Builder::new()
        .tick_duration(TICK)
        .min_message_latency(LATENCY_MIN)
        .max_message_latency(LATENCY_MAX)
        .simulation_duration(END * 2)
        .rng_seed(seed)
        .build()
}

fn first_batch(before: Position, change: Change, dice: &Dice) -> Batch {
    batch(before, vec![change], dice)
}

fn batch(before: Position, changes: Vec<Change>, dice: &Dice) -> Batch {
    let frame = Frame {
        revision: before.revision.next(),
        delta: delta::encode(&changes, Vec::new()),
        audit_digest: dice.bytes(),
    };
    Batch {
        head: after(before, &frame),
        frame,
        changes,
        disabled: Vec::new(),
        outcomes: Vec::new(),
        turned: None,
        clock_floor: None,
    }
}

fn gate_name(gate: usize) -> String {
    format!("gate-{gate}")
}

fn authority_name(authority: usize) -> String {
    format!("authority-{authority}")
}
