//! The scenarios: each makes one fault, waits until everything serves, mends it, and waits again.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;
use tokio::time::sleep;

use crate::{
    cluster::{self, DEADLINE},
    installation::Installation,
    ledger::{Ledger, Operation},
    machines::Machine,
    report::Phase,
};

/// How long it is watched without a fault.
const QUIET: Duration = Duration::from_secs(15);
/// How long a fault goes on after everything serves again, or did never stop.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// How long it is watched after it was mended.
const SETTLE: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// One thing that goes wrong, or is done to the installation.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Nothing.
    Quiet,
    /// An operator hands the primary's role over.
    Promote,
    /// `kill -9` of PostgreSQL on the primary's machine.
    Kill,
    /// The primary's machine loses its power, and comes back.
    Machine,
    /// The primary's machine is cut off from the other database machines. The authorities still reach it.
    Partition,
    /// The primary's machine is cut off from everybody.
    Isolation,
    /// The synchronous standby's machine is cut off from everybody.
    Standby,
    /// `kill -9` of one authority, and its start ten seconds later.
    Authority,
}

impl Scenario {
    /// Those that were asked for, or all.
    pub(crate) fn chosen(chosen: &[Self]) -> Vec<Self> {
        match chosen.is_empty() {
            true => Self::value_variants().to_vec(),
            false => chosen.to_vec(),
        }
    }

    /// Goes through it, and returns what was seen in each part.
    pub(crate) async fn run(
        self,
        installation: &mut Installation,
        ledger: &Ledger,
    ) -> Result<Vec<Phase>> {
        let mut watch = Watch {
            ledger,
            phases: Vec::new(),
        };
        match self {
            Self::Quiet => watch.quiet().await,
            Self::Promote => watch.promote(installation).await?,
            Self::Kill => watch.kill(installation).await?,
            Self::Machine => watch.machine(installation).await?,
            Self::Partition => watch.partition(installation).await?,
            Self::Isolation => watch.isolation(installation).await?,
            Self::Standby => watch.standby(installation).await?,
            Self::Authority => watch.authority(installation).await?,
        }
        Ok(watch.phases)
    }
}

/// Goes through the parts of a scenario and keeps what was seen.
struct Watch<'a> {
    ledger: &'a Ledger,
    phases: Vec<Phase>,
}

impl Watch<'_> {
    async fn quiet(&mut self) {
        let from = begin("nothing happens");
        sleep(QUIET).await;
        self.end("quiet", "", from);
    }

    async fn promote(&mut self, installation: &Installation) -> Result<()> {
        let old = cluster::primary(installation, &[]).await?;
        let new = cluster::synchronous_standby(installation, &[]).await?;
        let from = begin("patronictl switchover");
        cluster::switch_over(installation, new).await?;
        cluster::become_healthy(installation).await?;
        self.serve().await?;
        self.end("promote", &moved(installation, old, new), from);
        Ok(())
    }

    async fn kill(&mut self, installation: &Installation) -> Result<()> {
        let old = cluster::primary(installation, &[]).await?;
        let from = begin("kill -9 of PostgreSQL on the primary's machine");
        installation.databases[old]
            .kill(|program| program == "postgres")
            .await?;
        self.serve().await?;
        cluster::become_healthy(installation).await?;
        self.serve().await?;
        let new = cluster::primary(installation, &[]).await?;
        self.end("kill", &moved(installation, old, new), from);
        Ok(())
    }

    async fn machine(&mut self, installation: &Installation) -> Result<()> {
        let old = cluster::primary(installation, &[]).await?;
        let from = begin("the primary's machine loses its power");
        installation.databases[old].kill(|_| true).await?;
        let new = cluster::primary(installation, &[old]).await?;
        self.serve().await?;
        sleep(AFTERWARDS).await;
        self.end("machine", &moved(installation, old, new), from);

        let from = begin("it comes back");
        installation.start_database(old)?;
        self.rejoin("machine rejoins", installation, old, from)
            .await
    }

    async fn partition(&mut self, installation: &Installation) -> Result<()> {
        let old = cluster::primary(installation, &[]).await?;
        let machine = &installation.databases[old];
        let others = others(installation, old);
        let from = begin("the primary's machine is cut off from the other database machines");
        machine.cut_from(&others).await?;
        let new = cluster::primary(installation, &[old]).await?;
        self.serve().await?;
        sleep(AFTERWARDS).await;
        self.end("partition", &moved(installation, old, new), from);

        let from = begin("the partition ends");
        machine.mend().await?;
        self.rejoin("partition rejoins", installation, old, from)
            .await
    }

    async fn isolation(&mut self, installation: &Installation) -> Result<()> {
        let old = cluster::primary(installation, &[]).await?;
        let machine = &installation.databases[old];
        let from = begin("the primary's machine is cut off from everybody");
        machine.cut_from_all().await?;
        let new = cluster::primary(installation, &[old]).await?;
        self.serve().await?;
        sleep(AFTERWARDS).await;
        self.end("isolation", &moved(installation, old, new), from);

        let from = begin("the isolation ends");
        machine.mend().await?;
        self.rejoin("isolation rejoins", installation, old, from)
            .await
    }

    async fn standby(&mut self, installation: &Installation) -> Result<()> {
        let old = cluster::synchronous_standby(installation, &[]).await?;
        let machine = &installation.databases[old];
        let from = begin("the synchronous standby's machine is cut off from everybody");
        machine.cut_from_all().await?;
        let new = cluster::synchronous_standby(installation, &[old]).await?;
        self.serve().await?;
        sleep(AFTERWARDS).await;
        self.end("standby", &moved(installation, old, new), from);

        let from = begin("it comes back");
        machine.mend().await?;
        self.rejoin("standby rejoins", installation, old, from)
            .await
    }

    async fn authority(&mut self, installation: &mut Installation) -> Result<()> {
        let from = begin("kill -9 of authority 1");
        installation.kill_authority(0).await?;
        sleep(AFTERWARDS).await;
        installation.start_authority(0)?;
        self.serve().await?;
        sleep(SETTLE).await;
        self.end("authority", "authority 1", from);
        Ok(())
    }

    async fn rejoin(
        &mut self,
        name: &'static str,
        installation: &Installation,
        machine: usize,
        from: Instant,
    ) -> Result<()> {
        cluster::become_healthy(installation).await?;
        self.serve().await?;
        sleep(SETTLE).await;
        self.end(name, installation.databases[machine].name, from);
        Ok(())
    }

    async fn serve(&self) -> Result<()> {
        serve(self.ledger).await
    }

    fn end(&mut self, name: &'static str, what: &str, from: Instant) {
        let phase = Phase::seen(name, what, from, Instant::now(), self.ledger);
        println!("{}", phase.text());
        self.phases.push(phase);
    }
}

/// Waits until both authorities answer calls of each kind that begin from now on.
pub(crate) async fn serve(ledger: &Ledger) -> Result<()> {
    let since = Instant::now();
    while since.elapsed() < DEADLINE {
        if have_served_since(ledger, since) {
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
    bail!("an authority does not serve after {DEADLINE:?}: see its log")
}

fn have_served_since(ledger: &Ledger, since: Instant) -> bool {
    let successes = ledger.successes();
    let recent: Vec<_> = successes.iter().filter(|it| it.at > since).collect();
    [0, 1].iter().all(|authority| {
        Operation::ALL.iter().all(|operation| {
            let served = recent
                .iter()
                .find(|it| it.authority == *authority && it.operation == *operation);
            served.is_some()
        })
    })
}

fn begin(what: &str) -> Instant {
    println!("ha: {what}");
    Instant::now()
}

fn others(installation: &Installation, one: usize) -> Vec<&Machine> {
    let mut others = Vec::new();
    for (index, machine) in installation.databases.iter().enumerate() {
        if index != one {
            others.push(machine);
        }
    }
    others
}

fn moved(installation: &Installation, old: usize, new: usize) -> String {
    let name = |index: usize| installation.databases[index].name;
    match old == new {
        true => format!("{} stays", name(old)),
        false => format!("{} to {}", name(old), name(new)),
    }
}
