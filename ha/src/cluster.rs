//! The database cluster, as Patroni tells about it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use portcullis_tests::sidecar::{Answer, Ask};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use crate::{
    installation::{Installation, patroni},
    machines::{Machine, Program},
};

/// The longest time that the cluster may take to do anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// A machine that is cut off answers nothing at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The program `patronictl`.
const PATRONICTL: &str = "from patroni.ctl import ctl; ctl()";

/// The answer of Patroni's `/cluster`.
#[derive(Deserialize)]
struct Cluster {
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    role: String,
    state: String,
    timeline: Option<u64>,
}

impl Member {
    fn is_up(&self) -> bool {
        matches!(self.state.as_str(), "running" | "streaming")
    }
}

async fn ask(machine: &Machine, path: &str) -> Option<Answer> {
    let address = format!("{}:8008", machine.address);
    timeout(ANSWER_TIMEOUT, Ask::new(path).send(&address))
        .await
        .ok()?
}

/// The machine that is primary, among all but some.
async fn look_for_primary(installation: &Installation, but: &[usize]) -> Option<usize> {
    for (index, machine) in installation.databases.iter().enumerate() {
        if but.contains(&index) {
            continue;
        }
        if let Some(answer) = ask(machine, "/primary").await
            && answer.status == 200
        {
            return Some(index);
        }
    }
    None
}

/// Waits for a primary among all machines but some.
pub(crate) async fn primary(installation: &Installation, but: &[usize]) -> Result<usize> {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        if let Some(index) = look_for_primary(installation, but).await {
            return Ok(index);
        }
        sleep(POLL_INTERVAL).await;
    }
    bail!("no primary after {DEADLINE:?}")
}

async fn members(installation: &Installation, but: &[usize]) -> Option<Vec<Member>> {
    let primary = look_for_primary(installation, but).await?;
    let answer = ask(&installation.databases[primary], "/cluster").await?;
    let cluster: Cluster = serde_json::from_str(&answer.body).ok()?;
    Some(cluster.members)
}

/// Waits for a synchronous standby among all machines but some.
pub(crate) async fn synchronous_standby(
    installation: &Installation,
    but: &[usize],
) -> Result<usize> {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        let members = members(installation, &[]).await.unwrap_or_default();
        for member in members {
            let machines = &installation.databases;
            let index = machines.iter().position(|is| is.name == member.name);
            if let Some(index) = index
                && !but.contains(&index)
                && member.role == "sync_standby"
                && member.is_up()
            {
                return Ok(index);
            }
        }
        sleep(POLL_INTERVAL).await;
    }
    bail!("no synchronous standby after {DEADLINE:?}")
}

/// Waits until all machines follow one primary, and a standby confirms what it commits.
pub(crate) async fn become_healthy(installation: &Installation) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        let members = members(installation, &[]).await.unwrap_or_default();
        if is_healthy(&members, installation) && all_stream(installation).await {
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
    bail!("the cluster is not whole after {DEADLINE:?}: see the logs of the machines")
}

fn is_healthy(members: &[Member], installation: &Installation) -> bool {
    let Some(leader) = members.iter().find(|member| member.role == "leader") else {
        return false;
    };
    let all_follow = members
        .iter()
        .all(|member| member.is_up() && member.timeline == leader.timeline);
    let is_confirmed = members.iter().any(|member| member.role == "sync_standby");
    members.len() == installation.databases.len()
        && all_follow
        && (is_confirmed || !installation.synchronous)
}

/// Asks the primary itself: what Patroni knows of a machine that was cut off is from before.
async fn all_stream(installation: &Installation) -> bool {
    let Some(primary) = look_for_primary(installation, &[]).await else {
        return false;
    };
    let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    let standbys = (installation.databases.len() - 1).to_string();
    query(&installation.databases[primary], streaming)
        .await
        .is_ok_and(|count| count == [standbys])
}

/// Hands the primary's role over, as an operator does before maintenance.
pub(crate) async fn switch_over(installation: &Installation, candidate: usize) -> Result<()> {
    let name = installation.databases[candidate].name;
    let command = [
        "/usr/bin/python3",
        "-c",
        PATRONICTL,
        "-c",
        "/etc/patroni/config.yml",
        "switchover",
        "portcullis",
        "--candidate",
        name,
        "--force",
    ];
    let switch = patroni(&command);
    installation.databases[candidate].run(&switch).await?;
    Ok(())
}

/// The rows of a statement, each a line, from the database of the authorities on a machine.
pub(crate) async fn query(machine: &Machine, statement: &str) -> Result<Vec<String>> {
    let command = [
        "psql",
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--dbname=portcullis",
        "--command",
        statement,
    ];
    let rows = machine
        .run(&Program {
            user: "postgres",
            environment: "",
            command: &command,
        })
        .await?;
    Ok(rows.lines().map(str::to_owned).collect())
}
