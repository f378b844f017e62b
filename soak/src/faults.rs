//! The faults: one every few seconds, each mended again before the next.

use std::{sync::Arc, time::Duration};

use portcullis_tests::proxy::{Link, Proxy};
use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use tokio::time::{Instant, sleep};

use crate::{
    gates::{Gate, Gates},
    ledger::{Ledger, QUIET},
    world::World,
};

/// The shortest and the longest time without a fault.
const QUIET_MIN: Duration = Duration::from_secs(2);
const QUIET_MAX: Duration = Duration::from_secs(5);
/// The shortest and the longest time of a fault.
const FAULT_MIN: Duration = Duration::from_secs(1);
const FAULT_MAX: Duration = Duration::from_secs(6);

/// A kind of fault.
#[derive(Clone, Copy)]
enum Fault {
    GateCut,
    GateBlackHole,
    GateRequestsLost,
    GateAnswersLost,
    GateDelayed,
    GateTrickle,
    AuthorityUnreachable,
    AuthorityKilled,
    AuthorityHangs,
    AuthoritiesKilled,
    AuthoritiesHang,
    BackendsTerminated,
    HeadHeld,
    DatabaseHangs,
    DatabaseKilled,
}

impl Fault {
    const ALL: [Self; 15] = [
        Self::GateCut,
        Self::GateBlackHole,
        Self::GateRequestsLost,
        Self::GateAnswersLost,
        Self::GateDelayed,
        Self::GateTrickle,
        Self::AuthorityUnreachable,
        Self::AuthorityKilled,
        Self::AuthorityHangs,
        Self::AuthoritiesKilled,
        Self::AuthoritiesHang,
        Self::BackendsTerminated,
        Self::HeadHeld,
        Self::DatabaseHangs,
        Self::DatabaseKilled,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::GateCut => "one gate: connections cut",
            Self::GateBlackHole => "one gate: black hole",
            Self::GateRequestsLost => "one gate: requests lost",
            Self::GateAnswersLost => "one gate: answers lost",
            Self::GateDelayed => "one gate: 1 s of delay",
            Self::GateTrickle => "one gate: 200 bytes a second",
            Self::AuthorityUnreachable => "one authority: black hole for all gates",
            Self::AuthorityKilled => "one authority: kill -9",
            Self::AuthorityHangs => "one authority: SIGSTOP",
            Self::AuthoritiesKilled => "both authorities: kill -9",
            Self::AuthoritiesHang => "both authorities: SIGSTOP",
            Self::BackendsTerminated => "database: all connections ended",
            Self::HeadHeld => "database: the head is locked",
            Self::DatabaseHangs => "database: SIGSTOP",
            Self::DatabaseKilled => "database: kill -9",
        }
    }

    /// Makes the fault, lets it last, and mends it.
    async fn strike(self, world: &mut World, gates: &Gates, time: Duration, index: usize) {
        let delayed = Link {
            delay: Duration::from_secs(1),
            ..Link::default()
        };
        let trickle = Link {
            bytes_per_second: 200,
            ..Link::default()
        };
        match self {
            Self::GateCut => gates.any().links.iter().for_each(Proxy::reset),
            Self::GateBlackHole => set_links(gates.any(), Link::BLACK_HOLE, time).await,
            Self::GateDelayed => set_links(gates.any(), delayed, time).await,
            Self::GateTrickle => set_links(gates.any(), trickle, time).await,
            Self::GateRequestsLost => lose(gates.any(), Direction::Requests, time).await,
            Self::GateAnswersLost => lose(gates.any(), Direction::Answers, time).await,
            Self::AuthorityUnreachable => {
                let links = || gates.all().iter().map(|gate| &gate.links[index]);
                links().for_each(|link| link.set(Link::BLACK_HOLE));
                sleep(time).await;
                links().for_each(|link| link.set(Link::default()));
            }
            Self::AuthorityKilled => {
                world.kill(index).await;
                sleep(time).await;
            }
            Self::AuthoritiesKilled => {
                world.kill(0).await;
                world.kill(1).await;
                sleep(time).await;
            }
            Self::AuthorityHangs => {
                world.hang(index).await;
                sleep(time).await;
                world.go_on(index);
            }
            Self::AuthoritiesHang => {
                world.hang(0).await;
                world.hang(1).await;
                sleep(time).await;
                world.go_on(0);
                world.go_on(1);
            }
            Self::BackendsTerminated => world.terminate_backends().await,
            Self::HeadHeld => world.hold_head(time).await,
            Self::DatabaseHangs => {
                world.database.hang().await;
                sleep(time).await;
                world.database.go_on();
            }
            Self::DatabaseKilled => {
                world.database.kill().await;
                sleep(time).await;
                world.database.run().await;
            }
        }
        world.revive().await;
    }
}

/// A direction of a link, seen from the gate.
#[derive(Clone, Copy)]
enum Direction {
    Requests,
    Answers,
}

async fn set_links(gate: &Gate, link: Link, time: Duration) {
    gate.links.iter().for_each(|proxy| proxy.set(link));
    sleep(time).await;
    gate.links
        .iter()
        .for_each(|proxy| proxy.set(Link::default()));
}

/// Loses what goes in one direction. The other one works, so that neither end sees the connection break.
async fn lose(gate: &Gate, direction: Direction, time: Duration) {
    let set = |link| {
        for proxy in &gate.links {
            match direction {
                Direction::Requests => proxy.set_requests(link),
                Direction::Answers => proxy.set_answers(link),
            }
        }
    };
    set(Link::BLACK_HOLE);
    sleep(time).await;
    set(Link::default());
}

/// Makes faults until the time is over. Every kind comes once before any comes again.
pub(crate) async fn run(
    world: &mut World,
    gates: &mut Gates,
    ledger: &Arc<Ledger>,
    duration: Duration,
    random: &mut StdRng,
) {
    let end = Instant::now() + duration;
    let mut kinds = Fault::ALL;
    loop {
        kinds.shuffle(random);
        for fault in kinds {
            ledger.set_fault(QUIET);
            sleep(random.random_range(QUIET_MIN..QUIET_MAX)).await;
            if Instant::now() >= end {
                return;
            }
            gates.replace_one(world, ledger).await;
            gates.become_fresh(ledger).await;

            let time = random.random_range(FAULT_MIN..FAULT_MAX);
            let index = random.random_range(0..2);
            println!("soak: {} for {time:.1?}", fault.name());
            ledger.set_fault(fault.name());
            fault.strike(world, gates, time, index).await;
            gates.become_fresh(ledger).await;
        }
    }
}
