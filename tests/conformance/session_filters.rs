//! Filters and orders of lists of sessions, against a model that knows nothing of SQL.

use std::net::IpAddr;

use portcullis_authority::{
    domain::{
        Cause, Micros, Mutation, Profile, Session, SessionFilter, SessionOrder, SessionState,
        SignIn,
        listing::{NameFilter, Network, Period, address_key},
        names::{NameKeys, search_parts},
    },
    store::{
        Store,
        sql::{Backend, Lane},
    },
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    calls::{apply, open},
    given::{entry, sign_in, sign_out_but, tenant, user},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::Engine;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Sign-in name, given name, family name, email.
const PEOPLE: [[&str; 4]; 10] = [
    ["ada", "Ada", "Lovelace", "ada@example.com"],
    ["Ada2", "Adalbert", "", "ADA.B@example.org"],
    ["100%_sure", "Per", "Cent", "100%@example.com"],
    ["1000 sure", "Under", "Score", "under_score@example.com"],
    [r"back\slash", r"B\", r"\S", r"b\@example.com"],
    ["odysseus", "Οδυσσεύς", "ΛΑΕΡΤΙΆΔΗΣ", "od@example.gr"],
    [
        "'; DROP TABLE sessions; --",
        "Bobby",
        "Tables",
        "bobby@example.com",
    ],
    ["jo ng", "Jo", "Ng", "j.ng@example.com"],
    ["王伟", "伟", "王", "wang.wei@example.cn"],
    ["", "", "", ""],
];
const PARTS: [&str; 18] = [
    "ADA",
    "ada",
    "0%_",
    "%%%",
    "___",
    "sure",
    r"\sl",
    "τιάδης",
    "example",
    "drop table",
    "ace ada",
    "ΔΥΣ",
    "n",
    "ng jo",
    "伟",
    "王伟",
    "a",
    "lovelace, ÁDA",
];

/// A session, and what is known of it.
struct Known {
    session: Session,
    person: usize,
    created: i64,
    active: i64,
    address: Option<&'static str>,
    country: &'static str,
    device: i64,
    state: SessionState,
    cause: Option<Cause>,
}

/// A tenant whose sessions were opened over a week, some hours apart, by ten users.
async fn populate(store: &dyn Store, engine: &dyn Backend, random: &mut StdRng) -> Vec<Known> {
    let mut all = Vec::new();
    let today = 20_000 * DAY_US;
    for number in 0..60 {
        let person = random.random_range(0..PEOPLE.len());
        let created = today + number * 3 * HOUR_US + random.random_range(0..HOUR_US);
        let new = SignIn {
            id: id_at(created, random),
            profile: profile(person),
            ..sign_in("t", &format!("u{person}"))
        };
        let session = open(store, &new).await;
        let known = Known {
            person,
            created,
            active: created + random.random_range(0..2 * DAY_US),
            address: [
                None,
                Some("192.0.2.7"),
                Some("192.0.2.9"),
                Some("198.51.100.1"),
                Some("2001:db8::1"),
            ][random.random_range(0..5)],
            country: ["", "DE", "FR", "GB"][random.random_range(0..4)],
            device: random.random_range(0..4),
            state: SessionState::Active,
            cause: None,
            session,
        };
        dress(engine, &known).await;
        all.push(known);
    }
    end_some(store, engine, random, &mut all).await;
    // Another tenant has the same, and none of it is seen.
    for (person, names) in PEOPLE.iter().enumerate() {
        let [user_name, ..] = names.map(str::to_owned);
        let profile = Profile {
            user_name,
            ..Profile::default()
        };
        open(
            store,
            &SignIn {
                profile,
                ..sign_in("other", &format!("u{person}"))
            },
        )
        .await;
    }
    all
}

fn profile(person: usize) -> Profile {
    let [user_name, given_name, family_name, email] = PEOPLE[person].map(str::to_owned);
    Profile {
        user_name,
        given_name,
        family_name,
        email,
    }
}

fn id_at(time: i64, random: &mut StdRng) -> SessionId {
    let mut bytes: [u8; 16] = random.random();
    bytes[..6].copy_from_slice(&(time / 1_000).to_be_bytes()[2..]);
    (bytes[6], bytes[8]) = (0x70 | bytes[6] & 0x0f, 0x80 | bytes[8] & 0x3f);
    SessionId::from_bytes(bytes)
}

async fn dress(engine: &dyn Backend, known: &Known) {
    let address = known
        .address
        .map(|address| address_key(address.parse::<IpAddr>().expect("an address")).to_vec());
    let sql = "UPDATE sessions SET created_us = $2, active_us = $3, network = $4, country = $5, device_type = $6 \
         WHERE session_id = $1 AND tenant_id = 't'";
    let values = [
        known.session.id.to_bytes()[..].into(),
        known.created.into(),
        known.active.into(),
        portcullis_authority::store::sql::Value::Blob(address),
        known.country.into(),
        known.device.into(),
    ];
    engine
        .connection(Lane::Write)
        .await
        .expect("a connection")
        .query(sql, &values)
        .await
        .expect("dressed");
}

async fn end_some(store: &dyn Store, engine: &dyn Backend, random: &mut StdRng, all: &mut [Known]) {
    let kept = all
        .iter()
        .rev()
        .find(|known| known.person == 3)
        .map(|known| known.session.id);
    apply(store, sign_out_but("t", &["u3"], kept)).await;
    for known in all.iter_mut() {
        if known.person == 3 && Some(known.session.id) != kept {
            (known.state, known.cause) = (SessionState::Revoked, Some(Cause::Administrator));
            continue;
        }
        let cause = match random.random_range(0..6) {
            0 => Cause::User,
            1 => Cause::Replaced,
            2 => {
                known.state = SessionState::Expired;
                let sql = "UPDATE sessions SET expires_us = created_us + 1 WHERE session_id = $1 AND tenant_id = 't'";
                let id = [known.session.id.to_bytes()[..].into()];
                engine
                    .connection(Lane::Write)
                    .await
                    .expect("a connection")
                    .query(sql, &id)
                    .await
                    .expect("expired");
                continue;
            }
            _ => continue,
        };
        let (tenant, sessions) = (tenant("t"), vec![known.session.id]);
        apply(
            store,
            entry(Mutation::RevokeSessions {
                tenant,
                sessions,
                owner: None,
                cause,
            }),
        )
        .await;
        known.state = if cause == Cause::User {
            SessionState::SignedOut
        } else {
            SessionState::Revoked
        };
        known.cause = Some(cause);
    }
}

fn any_filter(random: &mut StdRng, all: &[Known]) -> SessionFilter {
    let mut filter = SessionFilter::of(tenant("t"));
    let states = [
        SessionState::Active,
        SessionState::Expired,
        SessionState::SignedOut,
        SessionState::Revoked,
    ];
    let parts = |random: &mut StdRng| search_parts(PARTS.choose(random).expect("a part"));
    let time = |random: &mut StdRng| Micros(all.choose(random).expect("a session").created);
    let day = |random: &mut StdRng| Micros((20_000 + random.random_range(0..10)) * DAY_US);
    for _ in 0..random.random_range(0..4) {
        match random.random_range(0..12) {
            0 => filter.user_id = Some(user(&format!("u{}", random.random_range(0..11)))),
            1 => filter.state = states.choose(random).copied(),
            2 => filter.names.user_name = parts(random),
            3 => filter.names.person_name = parts(random),
            4 => filter.names.email = parts(random),
            5 => {
                let networks = [
                    "192.0.2.7",
                    "192.0.2.0/24",
                    "0.0.0.0/0",
                    "::/0",
                    "2001:db8::/32",
                    "203.0.113.1",
                ];
                filter.network = networks
                    .choose(random)
                    .and_then(|text| Network::parse(text));
            }
            6 => filter.country = ["DE", "FR", "XX"].choose(random).map(|code| (*code).into()),
            7 => filter.device_type = Some(random.random_range(1..4)),
            8 => filter.started.from = Some(time(random)),
            9 => filter.started.until = Some(time(random)),
            10 => {
                filter.active = Period {
                    from: Some(day(random)),
                    until: filter.active.until,
                }
            }
            _ => filter.active.until = Some(day(random)),
        }
    }
    if random.random_ratio(1, 8) {
        filter.end_cause = [Cause::User, Cause::Administrator, Cause::Replaced]
            .choose(random)
            .copied();
    }
    filter
}

fn matches(known: &Known, filter: &SessionFilter) -> bool {
    let keys = NameKeys::of(&profile(known.person));
    let NameFilter {
        user_name,
        person_name,
        email,
    } = &filter.names;
    let has = |key: &str, parts: &[String]| parts.iter().all(|part| key.contains(part));
    let within = |time: i64, period: Period| {
        period.from.is_none_or(|from| time >= from.0)
            && period.until.is_none_or(|until| time < until.0)
    };
    let address = known
        .address
        .map(|address| address_key(address.parse().expect("an address")));
    filter
        .user_id
        .as_ref()
        .is_none_or(|user| *user == known.session.user_id)
        && filter.state.is_none_or(|state| state == known.state)
        && has(&keys.user_name, user_name)
        && has(&keys.person, person_name)
        && has(&keys.email, email)
        && filter.network.is_none_or(|network| {
            let (first, last) = network.range();
            address.is_some_and(|address| first <= address && address <= last)
        })
        && filter
            .country
            .as_deref()
            .is_none_or(|country| country == known.country)
        && filter
            .device_type
            .is_none_or(|device| device == known.device)
        && within(known.created, filter.started)
        && within(known.active, filter.active)
        && filter
            .end_cause
            .is_none_or(|cause| known.cause == Some(cause))
}

/// What a list has to be, all pages together.
fn expected(all: &[Known], filter: &SessionFilter, order: SessionOrder) -> Vec<SessionId> {
    let mut matching: Vec<_> = all.iter().filter(|known| matches(known, filter)).collect();
    matching.sort_by_key(|known| std::cmp::Reverse(known.session.id.to_bytes()));
    match order {
        SessionOrder::Start => {}
        SessionOrder::User => matching.sort_by_key(|known| known.session.user_id.to_string()),
        SessionOrder::LastActive(first) => {
            matching.sort_by_key(|known| {
                std::cmp::Reverse((first == Some(known.session.id), known.active))
            });
        }
    }
    matching.into_iter().map(|known| known.session.id).collect()
}

async fn pages(
    store: &dyn Store,
    filter: &SessionFilter,
    order: SessionOrder,
    size: u32,
) -> Vec<SessionId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = store
            .list_sessions(filter, order, after.as_ref(), size)
            .await
            .expect("a page");
        assert!(
            page.items.len() <= size as usize && (page.next.is_none() || !page.items.is_empty())
        );
        ids.extend(page.items.iter().map(|session| session.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

async fn every_filter_in_every_order_lists_exactly_the_matching_sessions(engine: Engine) {
    let place = engine.place().await;
    let (store, engine) = (place.store().await, place.engine().await);
    let mut random = StdRng::seed_from_u64(4);
    let all = populate(&*store, &*engine, &mut random).await;
    let mut found = 0;
    for _ in 0..400 {
        let filter = any_filter(&mut random, &all);
        let order = match random.random_range(0..3) {
            0 if filter.user_id.is_some() => {
                let first = all.choose(&mut random).map(|known| known.session.id);
                SessionOrder::LastActive(first.filter(|_| random.random()))
            }
            1 => SessionOrder::User,
            _ => SessionOrder::Start,
        };
        let expected = expected(&all, &filter, order);
        found += expected.len();
        let size = random.random_range(1..30);
        assert_eq!(
            pages(&*store, &filter, order, size).await,
            expected,
            "{filter:?} {order:?} by {size}"
        );
    }
    assert!(found > 1_000, "the filters are not all too narrow: {found}");
}

async fn names_are_found_as_they_are_now(engine: Engine) {
    let store = engine.place().await.store().await;
    let named = |given: &str, family: &str| Profile {
        given_name: given.into(),
        family_name: family.into(),
        ..Profile::default()
    };
    let of = |part: &str| {
        let names = NameFilter {
            person_name: search_parts(part),
            ..NameFilter::default()
        };
        SessionFilter {
            names,
            ..SessionFilter::of(tenant("t"))
        }
    };
    let count = async |part: &str| {
        pages(&*store, &of(part), SessionOrder::Start, 10)
            .await
            .len()
    };
    open(
        &*store,
        &SignIn {
            profile: named("Augusta", "Byron"),
            ..sign_in("t", "ada")
        },
    )
    .await;
    assert_eq!((count("BYRON").await, count("lovelace").await), (1, 0));
    open(
        &*store,
        &SignIn {
            profile: named("", "Lovelace"),
            ..sign_in("t", "ada")
        },
    )
    .await;
    assert_eq!(
        (
            count("byron").await,
            count("LoveLace").await,
            count("gust").await
        ),
        (0, 2, 2)
    );
}

crate::on_every_engine! {
    every_filter_in_every_order_lists_exactly_the_matching_sessions,
    names_are_found_as_they_are_now,
}
