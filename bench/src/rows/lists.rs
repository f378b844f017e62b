//! What lists cost in a large database, beside the same tenants in a small one.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{LOGIN, SUPPORT},
    postgres::Cluster,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    measure::median,
    report::Report,
    seed::{self, LARGE, tenant_id, user_id},
    world::{Process, authorized},
};

/// A tenant has as many in both databases.
const TENANT_SESSIONS: u64 = 10_000;
const TENANT_USERS: u64 = 2_000;
/// Tenants of the small database, and those of the large one that are asked for: as many, so that the caches hold as
/// much of what is looked at.
const SMALL_TENANTS: u64 = 10;
/// One tenant is a hundred times as large, in a database that is at least ten times as large again.
const LARGE_SESSIONS: u64 = 1_000_000;

const PAGE: i32 = 10;
/// Rows before the thousandth page.
const DEEP_ROWS: usize = 9_990;
/// Calls of each kind to each database.
const CALLS: usize = 200;

const PEER: &str = "in a database of 100,000 (ms)";

/// A database with an authority over it.
struct Place {
    authority: Process,
    /// By number, as many as the small database has.
    tenants: Vec<u64>,
    /// How many there are.
    count: u64,
}

pub(crate) async fn run(sessions: u64, report: &mut Report) -> Result<()> {
    let settings = [
        "fsync=off",
        "shared_buffers=4GB",
        "max_wal_size=1GB",
        "wal_level=minimal",
        "max_wal_senders=0",
        "work_mem=16MB",
    ];
    let cluster = Cluster::start(&settings).await;
    let small = Place::new(&cluster, "small", SMALL_TENANTS, 0).await?;
    let tenants = (sessions / TENANT_SESSIONS).max(1);
    let large_tenant = LARGE_SESSIONS.min(sessions / 10);
    let big = Place::new(&cluster, "big", tenants, large_tenant).await?;
    eprintln!("  {tenants} tenants of {TENANT_SESSIONS} sessions, and one of {large_tenant}");

    own(&big, &small, report).await?;
    tenant(&big, &small, report).await?;
    filtered(&big, &small, report).await?;
    users(&big, &small, report).await?;
    big_tenant(&big, &small, report).await
}

impl Place {
    async fn new(cluster: &Cluster, name: &str, tenants: u64, large_tenant: u64) -> Result<Self> {
        cluster
            .admin()
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await?;
        let server = cluster.url();
        let url = format!("{}/{name}", server.trim_end_matches("/postgres"));
        let (sessions, users) = (tenants * TENANT_SESSIONS, tenants * TENANT_USERS);
        seed::run(&seed::Options {
            url: url.clone(),
            sessions,
            users,
            tenants,
            large_tenant,
        })
        .await?;
        // What was written is on its way to the disk for a while.
        cluster.admin().await.batch_execute("CHECKPOINT").await?;
        let authority = Process::start(|config, _| config.store.url = url).await?;
        let asked = (0..SMALL_TENANTS.min(tenants))
            .map(|number| number * tenants / SMALL_TENANTS.min(tenants));
        Ok(Self {
            authority,
            tenants: asked.collect(),
            count: tenants,
        })
    }

    fn any_tenant(&self, random: &mut StdRng) -> String {
        tenant_id(*self.tenants.choose(random).expect("there are some"))
    }

    /// A user of such a tenant, by number.
    fn any_user(&self, random: &mut StdRng) -> (String, u64) {
        let tenant = *self.tenants.choose(random).expect("there are some");
        (
            tenant_id(tenant),
            tenant + self.count * random.random_range(0..TENANT_USERS),
        )
    }
}

/// Medians over calls to the large and the small place in turns, after as many to warm up.
async fn compare(
    random: &mut StdRng,
    mut call: impl AsyncFnMut(bool, &mut StdRng) -> Result<()>,
) -> Result<(f64, f64)> {
    let (mut big, mut small) = (Vec::new(), Vec::new());
    for round in 0..2 * CALLS {
        for (is_big, times) in [(true, &mut big), (false, &mut small)] {
            let begun = Instant::now();
            call(is_big, random).await?;
            if round >= CALLS {
                times.push(begun.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
    Ok((median(big), median(small)))
}

/// Users' own lists, with their own tokens.
async fn own(big: &Place, small: &Place, report: &mut Report) -> Result<()> {
    let mut random = StdRng::seed_from_u64(1);
    let mut tokens: HashMap<bool, Vec<String>> = HashMap::new();
    for (is_big, place) in [(true, big), (false, small)] {
        let mut sessions = place.authority.sessions().await?;
        for _ in 0..CALLS {
            let (tenant_id, number) = place.any_user(&mut random);
            let request = v1::CreateSessionRequest {
                tenant_id,
                user: Some(v1::SessionUser {
                    id: user_id(number),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let opened = sessions
                .create_session(authorized(request, LOGIN))
                .await?
                .into_inner();
            tokens.entry(is_big).or_default().push(opened.access_token);
        }
    }
    let (mut of_big, mut of_small) = (
        big.authority.sessions().await?,
        small.authority.sessions().await?,
    );
    let (large, one) = compare(&mut random, async |is_big, random| {
        let sessions = if is_big { &mut of_big } else { &mut of_small };
        let token = tokens[&is_big].choose(random).context("a token")?;
        sessions
            .list_sessions(authorized(v1::ListSessionsRequest::default(), token))
            .await?;
        Ok(())
    })
    .await?;
    report.compare("list_own", large, "ms", PEER, one);
    Ok(())
}

/// A list of one page of ten, of a tenant at random.
async fn page(big: &Place, small: &Place, request: &v1::ListSessionsRequest) -> Result<(f64, f64)> {
    let mut random = StdRng::seed_from_u64(2);
    let (mut of_big, mut of_small) = (
        big.authority.sessions().await?,
        small.authority.sessions().await?,
    );
    compare(&mut random, async |is_big, random| {
        let (sessions, place) = if is_big {
            (&mut of_big, big)
        } else {
            (&mut of_small, small)
        };
        let request = v1::ListSessionsRequest {
            tenant_id: place.any_tenant(random),
            page_size: PAGE,
            ..request.clone()
        };
        sessions.list_sessions(authorized(request, SUPPORT)).await?;
        Ok(())
    })
    .await
}

async fn tenant(big: &Place, small: &Place, report: &mut Report) -> Result<()> {
    let all = v1::ListSessionsRequest {
        show_ended: true,
        ..Default::default()
    };
    let (large, one) = page(big, small, &v1::ListSessionsRequest::default()).await?;
    report.compare("list_tenant", large, "ms", PEER, one);
    let (large, one) = deep_page(big, small, &all).await?;
    report.compare("list_tenant_1000th", large, "ms", PEER, one);
    Ok(())
}

/// The thousandth page of a list; of a shorter one, the last page but one: the last may be short, and then is searched for
/// through all that is left of the tenant.
async fn deep_page(
    big: &Place,
    small: &Place,
    request: &v1::ListSessionsRequest,
) -> Result<(f64, f64)> {
    let mut random = StdRng::seed_from_u64(3);
    let mut pages: HashMap<bool, Vec<v1::ListSessionsRequest>> = HashMap::new();
    for (is_big, place) in [(true, big), (false, small)] {
        for tenant in &place.tenants {
            let request = v1::ListSessionsRequest {
                tenant_id: tenant_id(*tenant),
                ..request.clone()
            };
            pages
                .entry(is_big)
                .or_default()
                .push(thousandth(place, request).await?);
        }
    }
    let (mut of_big, mut of_small) = (
        big.authority.sessions().await?,
        small.authority.sessions().await?,
    );
    compare(&mut random, async |is_big, random| {
        let sessions = if is_big { &mut of_big } else { &mut of_small };
        let request = pages[&is_big].choose(random).context("a page")?.clone();
        sessions.list_sessions(authorized(request, SUPPORT)).await?;
        Ok(())
    })
    .await
}

async fn thousandth(
    place: &Place,
    request: v1::ListSessionsRequest,
) -> Result<v1::ListSessionsRequest> {
    let (rows, deep) = after(place, request.clone(), DEEP_ROWS).await?;
    let whole = usize::try_from(PAGE)?;
    Ok(if rows < DEEP_ROWS {
        after(place, request, rows.saturating_sub(2 * whole))
            .await?
            .1
    } else {
        deep
    })
}

/// How many of `rows` there are, and the page after them.
async fn after(
    place: &Place,
    mut request: v1::ListSessionsRequest,
    wanted: usize,
) -> Result<(usize, v1::ListSessionsRequest)> {
    let mut sessions = place.authority.sessions().await?;
    let mut rows = 0;
    while rows < wanted {
        request.page_size = i32::try_from((wanted - rows).min(200))?;
        let listed = sessions
            .list_sessions(authorized(request.clone(), SUPPORT))
            .await?
            .into_inner();
        rows += listed.sessions.len();
        if listed.next_page_token.is_empty() {
            break;
        }
        request.page_token = listed.next_page_token;
    }
    Ok((
        rows,
        v1::ListSessionsRequest {
            page_size: PAGE,
            ..request
        },
    ))
}

/// Each filter with the names of its two rows.
fn filters() -> Vec<(&'static str, &'static str, v1::ListSessionsRequest)> {
    let ago = |days: u64| {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let then = now - Duration::from_secs(days * 86_400);
        Some(prost_types::Timestamp {
            seconds: i64::try_from(then.as_secs()).unwrap_or_default(),
            nanos: 0,
        })
    };
    let mut started = with(|_| {});
    let mut active = started.clone();
    started.filter = Some(v1::SessionFilter {
        started_after: ago(20),
        started_before: ago(10),
        ..Default::default()
    });
    active.filter = Some(v1::SessionFilter {
        last_active_after: ago(20),
        last_active_before: ago(10),
        ..Default::default()
    });
    let state = |state: v1::SessionState| v1::ListSessionsRequest {
        state: state.into(),
        ..with(|_| {})
    };
    let user = v1::ListSessionsRequest {
        order: v1::SessionOrder::User.into(),
        ..with(|_| {})
    };
    let mut all = name_filters();
    all.extend([
        (
            "list_address",
            "list_address_1000th",
            with(|filter| filter.network = "80.1.0.9".into()),
        ),
        (
            "list_network",
            "list_network_1000th",
            with(|filter| filter.network = "80.0.0.0/14".into()),
        ),
        (
            "list_country",
            "list_country_1000th",
            with(|filter| filter.country_code = "US".into()),
        ),
        (
            "list_device_type",
            "list_device_type_1000th",
            with(|filter| filter.device_type = v1::DeviceType::Tablet.into()),
        ),
        ("list_started", "list_started_1000th", started),
        ("list_active", "list_active_1000th", active),
        (
            "list_expired",
            "list_expired_1000th",
            state(v1::SessionState::Expired),
        ),
        (
            "list_revoked",
            "list_revoked_1000th",
            state(v1::SessionState::Revoked),
        ),
        (
            "list_end_cause",
            "list_end_cause_1000th",
            with(|filter| filter.end_cause = v1::SessionEndCause::User.into()),
        ),
        ("list_by_user", "list_by_user_1000th", user),
    ]);
    all
}

/// A list of all sessions that a filter leaves.
fn with(change: fn(&mut v1::SessionFilter)) -> v1::ListSessionsRequest {
    let mut filter = v1::SessionFilter::default();
    change(&mut filter);
    v1::ListSessionsRequest {
        filter: Some(filter),
        show_ended: true,
        ..Default::default()
    }
}

fn name_filters() -> Vec<(&'static str, &'static str, v1::ListSessionsRequest)> {
    vec![
        (
            "list_user_name",
            "list_user_name_1000th",
            with(|filter| filter.user_name = "anna".into()),
        ),
        (
            "list_person_name",
            "list_person_name_1000th",
            with(|filter| filter.person_name = "schunova".into()),
        ),
        (
            "list_short_name",
            "list_short_name_1000th",
            with(|filter| filter.person_name = "Li".into()),
        ),
        (
            "list_one_letter",
            "list_one_letter_1000th",
            with(|filter| filter.person_name = "z".into()),
        ),
        (
            "list_two_names",
            "list_two_names_1000th",
            with(|filter| filter.person_name = "anna schu".into()),
        ),
        (
            "list_email",
            "list_email_1000th",
            with(|filter| filter.email = "ada.".into()),
        ),
    ]
}

/// Every filter, and the one that the size of the database touches most.
async fn filtered(big: &Place, small: &Place, report: &mut Report) -> Result<()> {
    let mut worst = (0.0, 1.0);
    for (first, deep, request) in filters() {
        let pages = [
            (first, page(big, small, &request).await?),
            (deep, deep_page(big, small, &request).await?),
        ];
        for (name, (large, one)) in pages {
            report.compare(name, large, "ms", PEER, one);
            if large / one > worst.0 / worst.1 {
                worst = (large, one);
            }
        }
    }
    report.compare("list_filtered", worst.0, "ms", PEER, worst.1);
    Ok(())
}

async fn users(big: &Place, small: &Place, report: &mut Report) -> Result<()> {
    let orders = [
        ("list_users", v1::UserOrder::SignIn, ""),
        ("list_users_by_name", v1::UserOrder::UserName, ""),
        ("list_users_by_person", v1::UserOrder::PersonName, ""),
        ("list_users_named", v1::UserOrder::SignIn, "anna"),
        ("list_users_short_name", v1::UserOrder::SignIn, "Li"),
    ];
    for (name, order, user_name) in orders {
        let mut random = StdRng::seed_from_u64(5);
        let (mut of_big, mut of_small) =
            (big.authority.users().await?, small.authority.users().await?);
        let filter = v1::UserFilter {
            user_name: user_name.into(),
            ..Default::default()
        };
        let (large, one) = compare(&mut random, async |is_big, random| {
            let (users, place) = if is_big {
                (&mut of_big, big)
            } else {
                (&mut of_small, small)
            };
            let request = v1::ListUsersRequest {
                tenant_id: place.any_tenant(random),
                order: order.into(),
                filter: Some(filter.clone()),
                page_size: PAGE,
                ..Default::default()
            };
            users.list_users(authorized(request, SUPPORT)).await?;
            Ok(())
        })
        .await?;
        report.compare(name, large, "ms", PEER, one);
    }
    Ok(())
}

/// The first page of the large tenant, beside that of a tenant of the small database.
async fn big_tenant(big: &Place, small: &Place, report: &mut Report) -> Result<()> {
    let mut random = StdRng::seed_from_u64(6);
    let (mut of_big, mut of_small) = (
        big.authority.sessions().await?,
        small.authority.sessions().await?,
    );
    let (large, one) = compare(&mut random, async |is_big, random| {
        let (sessions, tenant_id) = match is_big {
            true => (&mut of_big, LARGE.to_owned()),
            false => (&mut of_small, small.any_tenant(random)),
        };
        let request = v1::ListSessionsRequest {
            tenant_id,
            page_size: PAGE,
            ..Default::default()
        };
        sessions.list_sessions(authorized(request, SUPPORT)).await?;
        Ok(())
    })
    .await?;
    report.compare("list_big_tenant", large, "ms", PEER, one);
    Ok(())
}
