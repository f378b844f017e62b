//! What a page of the console costs beside the call that it shows.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{GATEWAY, ISSUER, LOGIN},
    ports::free_address,
    postgres::Cluster,
    visitor::Visit,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    load::{self, BlockingConnection},
    measure::median,
    report::{Bar, Report},
    seed::{self, LARGE},
    world::{Process, authorized},
};

/// Sessions of the tenant, and of all others.
const TENANT_SESSIONS: u64 = 1_000_000;
const OTHER_SESSIONS: u64 = 10_000;
const OTHER_USERS: u64 = 2_000;
/// Sessions of one page.
const PAGE_SESSIONS: usize = 50;
/// Pairs of a call and a page that count, after as many to warm up.
const PAIRS: usize = 200;
/// A page costs at most so many times its call, and so many milliseconds.
const RATIO_MAX: f64 = 1.3;
const ADDED_MS_MAX: f64 = 5.0;
/// The largest page, compressed, in bytes.
const PAGE_BYTES_MAX: usize = 1 << 20;
const START_TIMEOUT: Duration = Duration::from_secs(20);

const PATH: &str = "/team/sessions";

/// `portcullis console`, in a process of its own.
struct Console {
    _child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

pub(crate) async fn run(sessions: u64, report: &mut Report) -> Result<()> {
    let cluster = Cluster::start(&["fsync=off", "shared_buffers=1GB", "max_wal_size=1GB"]).await;
    let large_tenant = sessions.min(TENANT_SESSIONS);
    let options = seed::Options {
        url: cluster.url(),
        sessions: OTHER_SESSIONS,
        users: OTHER_USERS,
        tenants: 1,
        large_tenant,
    };
    let authority = seeded(&cluster, options).await?;
    let token = administrator(&authority).await?;
    let console = Console::start(&authority).await?;
    console.expect_page(&authority, &token).await?;
    eprintln!("  {PAGE_SESSIONS} of {large_tenant} sessions");

    let (page, call) = measure(&authority, &console, &token).await?;
    report.compare_within(
        "page_sessions",
        page,
        "ms",
        ("the page's ListSessions (ms)", call),
        Bar::ValueAtMost(RATIO_MAX * call + ADDED_MS_MAX),
    );
    Ok(())
}

/// An authority over a database with these sessions.
async fn seeded(cluster: &Cluster, options: seed::Options) -> Result<Process> {
    let url = options.url.clone();
    seed::run(&options).await?;
    // What was written is on its way to the disk for a while.
    cluster.admin().await.batch_execute("CHECKPOINT").await?;
    Process::start(|config, _| config.store.url = url).await
}

/// The access token of an administrator of the large tenant.
async fn administrator(authority: &Process) -> Result<String> {
    let request = v1::CreateSessionRequest {
        tenant_id: LARGE.into(),
        user: Some(v1::SessionUser {
            id: "bench-administrator".into(),
            roles: Some(v1::UserRoles {
                roles: vec![v1::UserRole::Admin.into()],
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut sessions = authority.sessions().await?;
    let created = sessions.create_session(authorized(request, LOGIN)).await?;
    Ok(created.into_inner().access_token)
}

/// The call that the page makes for its list, with its arguments.
fn list() -> v1::ListSessionsRequest {
    v1::ListSessionsRequest {
        tenant_id: LARGE.into(),
        filter: Some(v1::SessionFilter::default()),
        ..Default::default()
    }
}

impl Console {
    async fn start(authority: &Process) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let address = free_address();
        let file = directory.path().join("console.toml");
        let endpoint = authority.endpoint();
        let settings = format!(
            "[server]\nlisten = \"{address}\"\n\n\
             [authority]\nendpoints = [\"{endpoint}\"]\nbearer = \"{GATEWAY}\"\nissuer = \"{ISSUER}\"\n\n\
             [session]\nsign_in_url = \"/sign-in\"\n"
        );
        std::fs::write(&file, settings)?;
        let binary = std::env::current_exe()?.with_file_name("portcullis");
        let child = Command::new(&binary)
            .args(["console", "--config"])
            .arg(&file)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        Ok(Self {
            _child: child,
            address,
            _directory: directory,
        })
    }

    /// Waits until the page is there, and makes sure that it has every session of the call.
    async fn expect_page(&self, authority: &Process, token: &str) -> Result<()> {
        let visit = Visit::get(PATH).header("cookie", cookie(token));
        let deadline = Instant::now() + START_TIMEOUT;
        let page = loop {
            // Until it listens there is no connection, and until its gate is ready it says that the authority is away.
            if tokio::net::TcpStream::connect(self.address).await.is_ok()
                && let Some(answer) = visit.http1(self.address).await
                && answer.status == 200
            {
                break String::from_utf8(answer.body)?;
            }
            ensure!(Instant::now() < deadline, "the console has no page");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let mut calls = authority.sessions().await?;
        let listed = calls.list_sessions(authorized(list(), token)).await?;
        let sessions = listed.into_inner().sessions;
        ensure!(
            sessions.len() == PAGE_SESSIONS,
            "{} sessions",
            sessions.len()
        );
        let missing = sessions.iter().find(|session| !page.contains(&session.id));
        ensure!(
            missing.is_none(),
            "the page does not show what the call lists"
        );
        Ok(())
    }
}

fn cookie(token: &str) -> String {
    format!("__Host-session={token}")
}

/// Medians in milliseconds: of the page, and of its call. They take turns.
async fn measure(authority: &Process, console: &Console, token: &str) -> Result<(f64, f64)> {
    let mut calls = authority.sessions().await?;
    let mut browser = BlockingConnection::open_for(console.address, PAGE_BYTES_MAX)?;
    // As a browser asks.
    let headers = [
        format!("Cookie: {}", cookie(token)),
        "Accept-Encoding: gzip".to_owned(),
    ];
    let request = load::get(PATH, &headers);
    let mut of_page = Vec::with_capacity(PAIRS);
    let mut of_call = Vec::with_capacity(PAIRS);
    for pair in 0..2 * PAIRS {
        let begun = Instant::now();
        let listed = calls.list_sessions(authorized(list(), token)).await?;
        let call = begun.elapsed();
        ensure!(listed.into_inner().sessions.len() == PAGE_SESSIONS);

        // Console and authority are processes of their own, so nothing here waits for this thread.
        let begun = Instant::now();
        let status = browser.exchange(&request)?;
        let page = begun.elapsed();
        ensure!(status == 200, "the page answers {status}");
        if pair >= PAIRS {
            of_call.push(call.as_secs_f64() * 1000.0);
            of_page.push(page.as_secs_f64() * 1000.0);
        }
    }
    Ok((median(of_page), median(of_call)))
}
