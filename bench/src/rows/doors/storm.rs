//! From the acknowledgement of an end to the last request that a door still admits, under load.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::proxy::{Link, Proxy};
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    doors::{Door, Kind, Session, Settings, admits, sign_in_many},
    effort::Effort,
    load::{Connection, with_token},
    measure::percentile,
    peers::nginx::Nginx,
    report::{Bar, Report},
    world::{World, revoke},
};

/// A kind of door with the names of its rows.
struct Subject {
    kind: Kind,
    storm: &'static str,
    cut: &'static str,
}

const SUBJECTS: [Subject; 7] = [
    Subject {
        kind: Kind::Module,
        storm: "revoke_storm_module",
        cut: "revoke_cut_module",
    },
    Subject {
        kind: Kind::ExtAuthz,
        storm: "revoke_storm_ext_authz",
        cut: "revoke_cut_ext_authz",
    },
    Subject {
        kind: Kind::Nginx,
        storm: "revoke_storm_nginx",
        cut: "revoke_cut_nginx",
    },
    Subject {
        kind: Kind::Caddy,
        storm: "revoke_storm_caddy",
        cut: "revoke_cut_caddy",
    },
    Subject {
        kind: Kind::Traefik,
        storm: "revoke_storm_traefik",
        cut: "revoke_cut_traefik",
    },
    Subject {
        kind: Kind::Haproxy,
        storm: "revoke_storm_haproxy",
        cut: "revoke_cut_haproxy",
    },
    Subject {
        kind: Kind::Layer,
        storm: "revoke_storm_layer",
        cut: "revoke_cut_layer",
    },
];

/// Sessions that are ended, one after the other.
const ENDS: usize = 200;
/// Ends with a cut stream: each takes the bound of freshness.
const CUT_ENDS: usize = 2;
/// Connections on which the session that is ended asks all the time.
const PROBES: usize = 2;
/// Connections of other sessions.
const LOAD: usize = 6;
/// The bound of freshness while the stream is cut.
const MAX_STALENESS: Duration = Duration::from_secs(1);
/// Requests after the first refusal, which must all be refused.
const AFTERWARDS: usize = 3;

/// Milliseconds of the 99th percentile.
const STORM_MAX: f64 = 20.0;

pub(crate) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let world = World::start().await?;
    let upstream = Nginx::upstream().await?;
    for subject in &SUBJECTS {
        let ended = storm(&world, &upstream, subject.kind, effort.count(ENDS));
        let late = ended
            .await
            .with_context(|| format!("{:?} under load", subject.kind))?;
        report.add_within(
            subject.storm,
            percentile(&late, 0.99),
            "ms, p99",
            Bar::ValueAtMost(STORM_MAX),
        );
        let cut = cut(&world, &upstream, subject.kind, effort.count(CUT_ENDS));
        let late = cut
            .await
            .with_context(|| format!("{:?} with a cut stream", subject.kind))?;
        report.add_within(
            subject.cut,
            percentile(&late, 1.0),
            "ms, most",
            Bar::ValueAtMost(MAX_STALENESS.as_secs_f64() * 1000.0),
        );
    }
    Ok(())
}

/// Milliseconds of each end while other sessions ask too.
async fn storm(world: &World, upstream: &Nginx, kind: Kind, ends: usize) -> Result<Vec<f64>> {
    let settings = Settings {
        endpoint: world.authority.endpoint().to_owned(),
        upstream: upstream.address(),
        max_staleness: Duration::from_secs(5),
    };
    let door = Door::start(kind, &settings).await?;
    let mut sessions = sign_in_many(&world.authority, ends + LOAD).await?;
    let others = sessions.split_off(ends);
    admits(door.address, &others[0].token).await?;
    let load = Load::start(door.address, &others);

    let mut late = Vec::with_capacity(ends);
    for session in &sessions {
        let end = end(world, door.address, session).await?;
        ensure!(end.status == 401, "an ended session gets {}", end.status);
        late.push(end.late.as_secs_f64() * 1000.0);
    }
    load.stop().await?;
    Ok(late)
}

/// Milliseconds of each end when the network between the authority and the gate stops just before.
async fn cut(world: &World, upstream: &Nginx, kind: Kind, ends: usize) -> Result<Vec<f64>> {
    let proxy = Proxy::start(world.authority.addresses().0).await;
    let settings = Settings {
        endpoint: format!("http://{}", proxy.address()),
        upstream: upstream.address(),
        max_staleness: MAX_STALENESS,
    };
    let door = Door::start(kind, &settings).await?;
    let mut sessions = sign_in_many(&world.authority, ends + 1).await?;
    let other = sessions.pop().context("a session that lives on")?;

    let mut late = Vec::with_capacity(ends);
    for session in &sessions {
        admits(door.address, &other.token).await?;
        proxy.set(Link::BLACK_HOLE);
        let end = end(world, door.address, session).await?;
        ensure!(end.status == 503, "a stale door answers {}", end.status);
        late.push(end.late.as_secs_f64() * 1000.0);
        proxy.set(Link::default());
        admits(door.address, &other.token).await?;
        let status = Connection::new(door.address)
            .exchange(&with_token(&session.token))
            .await?;
        ensure!(status == 401, "an ended session gets {status}");
    }
    Ok(late)
}

/// How a door took the end of a session.
struct End {
    /// From the acknowledgement to the answer of the last request that was sent after it and admitted.
    late: Duration,
    /// The status of the first refusal.
    status: u16,
}

/// Ends a session that asks all the time.
async fn end(world: &World, address: SocketAddr, session: &Session) -> Result<End> {
    let mut probes = Vec::new();
    let mut admitted = Vec::new();
    for _ in 0..PROBES {
        let (first, heard) = oneshot::channel();
        probes.push(tokio::spawn(probe(
            address,
            with_token(&session.token),
            first,
        )));
        admitted.push(heard);
    }
    for heard in admitted {
        heard.await.context("a live session is refused")?;
    }
    let mut sessions = world.authority.sessions().await?;
    revoke(&mut sessions, session.id.clone()).await?;
    let acknowledged = Instant::now();

    let mut late = Duration::ZERO;
    let mut status = 0;
    for probe in probes {
        let probed = probe.await??;
        if probed.sent > acknowledged {
            late = late.max(probed.answered - acknowledged);
        }
        status = status.max(probed.status);
    }
    Ok(End { late, status })
}

/// The last admitted request of a connection, and the status of the refusals after it.
struct Probed {
    sent: Instant,
    answered: Instant,
    status: u16,
}

async fn probe(
    address: SocketAddr,
    request: Vec<u8>,
    first: oneshot::Sender<()>,
) -> Result<Probed> {
    let mut connection = Connection::new(address);
    let mut first = Some(first);
    let now = Instant::now();
    let mut last = Probed {
        sent: now,
        answered: now,
        status: 0,
    };
    loop {
        let sent = Instant::now();
        let status = connection.exchange(&request).await?;
        last.status = status;
        if status != 200 {
            break;
        }
        last.sent = sent;
        last.answered = Instant::now();
        if let Some(first) = first.take() {
            // The caller may have failed meanwhile.
            let _ = first.send(());
        }
    }
    for _ in 0..AFTERWARDS {
        let status = connection.exchange(&request).await?;
        ensure!(status != 200, "admitted after a refusal");
    }
    Ok(last)
}

/// Requests of sessions that live on.
struct Load {
    tasks: JoinSet<Result<()>>,
    stopping: CancellationToken,
}

impl Load {
    fn start(address: SocketAddr, sessions: &[Session]) -> Self {
        let stopping = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for session in sessions {
            let request = with_token(&session.token);
            let stopping = stopping.clone();
            tasks.spawn(async move {
                let mut connection = Connection::new(address);
                while !stopping.is_cancelled() {
                    let status = connection.exchange(&request).await?;
                    ensure!(status == 200, "a live session gets {status}");
                }
                Ok(())
            });
        }
        Self { tasks, stopping }
    }

    /// Ends the load, of which every request must have been admitted.
    async fn stop(mut self) -> Result<()> {
        self.stopping.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}
