//! Lists of users with active sessions.

use std::sync::Arc;

use portcullis_authority::{
    domain::{
        PageCursor, Profile, SignIn, UserFilter, UserOrder, UserSummary,
        listing::{NameFilter, Period, USER_SESSIONS_COUNTED_MAX},
        names::search_parts,
    },
    store::{
        Store,
        postgres::{Postgres, PostgresOptions},
        sql::SqlStore,
    },
};
use portcullis_tests::{
    calls::{apply, open},
    given::{disable, enable, revoke, sign_in, sign_out, sign_out_tenant, tenant},
    postgres::shared,
};

use crate::Engine;

fn of_tenant() -> UserFilter {
    UserFilter {
        tenant_id: tenant("t"),
        names: NameFilter::default(),
        signed_in: Period::default(),
        signed_out: false,
        active_addresses_min: None,
    }
}

async fn pages(
    store: &dyn Store,
    filter: &UserFilter,
    order: UserOrder,
    size: u32,
) -> Vec<UserSummary> {
    let (mut users, mut after): (Vec<_>, Option<PageCursor>) = (Vec::new(), None);
    loop {
        let page = store
            .list_users(filter, order, after.as_ref(), size)
            .await
            .expect("a page");
        users.extend(page.items);
        after = page.next;
        if after.is_none() {
            return users;
        }
    }
}

async fn ids(store: &dyn Store, filter: &UserFilter, order: UserOrder, size: u32) -> Vec<String> {
    pages(store, filter, order, size)
        .await
        .into_iter()
        .map(|summary| summary.user.user_id.to_string())
        .collect()
}

fn named(user_id: &str, user_name: &str, given_name: &str, family_name: &str) -> SignIn {
    let profile = Profile {
        user_name: user_name.into(),
        given_name: given_name.into(),
        family_name: family_name.into(),
        ..Profile::default()
    };
    SignIn {
        profile,
        ..sign_in("t", user_id)
    }
}

async fn four_people(store: &dyn Store) {
    open(store, &named("1", "Zoe", "Zoe", "Adams")).await;
    open(store, &named("2", "ada", "Ada", "Young")).await;
    open(store, &named("3", "Bob", "Bob", "adams")).await;
    open(store, &named("4", "", "", "")).await;
    open(store, &sign_in("other", "5")).await;
}

async fn users_are_listed_in_each_order_page_by_page(engine: Engine) {
    let store = engine.place().await.store().await;
    four_people(&*store).await;
    for size in [1, 2, 3, 10] {
        assert_eq!(
            ids(&*store, &of_tenant(), UserOrder::SignIn, size).await,
            ["4", "3", "2", "1"]
        );
        assert_eq!(
            ids(&*store, &of_tenant(), UserOrder::UserName, size).await,
            ["4", "2", "3", "1"]
        );
        assert_eq!(
            ids(&*store, &of_tenant(), UserOrder::PersonName, size).await,
            ["4", "3", "1", "2"]
        );
    }
}

async fn users_are_found_by_name_and_by_sign_in(engine: Engine) {
    let store = engine.place().await.store().await;
    four_people(&*store).await;
    let all = pages(&*store, &of_tenant(), UserOrder::SignIn, 10).await;
    let names = |user_name: &str, person_name: &str| UserFilter {
        names: NameFilter {
            user_name: search_parts(user_name),
            person_name: search_parts(person_name),
            email: Vec::new(),
        },
        ..of_tenant()
    };
    let since = |from, until| UserFilter {
        signed_in: Period { from, until },
        ..of_tenant()
    };
    let [second, third] = [&all[2], &all[1]].map(|of| of.signed_in.expect("a time"));
    let cases = [
        (names("", "ADAMS"), vec!["3", "1"]),
        (names("bob", "adam"), vec!["3"]),
        (names("%%%", ""), vec![]),
        (since(Some(second), None), vec!["4", "3", "2"]),
        (since(None, Some(third)), vec!["2", "1"]),
        (since(Some(second), Some(third)), vec!["2"]),
        (
            UserFilter {
                signed_in: Period {
                    from: Some(third),
                    until: None,
                },
                ..names("", "adams")
            },
            vec!["3"],
        ),
    ];
    for (filter, expected) in cases {
        for size in [1, 10] {
            assert_eq!(
                ids(&*store, &filter, UserOrder::SignIn, size).await,
                expected,
                "{filter:?}"
            );
        }
    }
}

/// User id, sign-in name, given name, family name.
const NAMED: [[&str; 4]; 14] = [
    ["jose", "jgarcia", "Jose\u{301}", "García"],
    ["strasse", "STRASSE", "Uwe", "Straße"],
    ["istanbul", "istanbul", "Ayşe", "İstanbul"],
    ["isil", "isil", "IŞIL", "Demir"],
    ["li", "li.wei", "Wei", "Li"],
    ["bo", "bo", "Bo", "Berg"],
    ["deborah", "deborah", "Deborah", "Julia"],
    ["jong", "jo ng", "Jo", "Ng"],
    ["wang", "王伟", "伟", "王"],
    ["lihan", "李涵", "涵", "李"],
    ["joan", "jwalker", "Joan", "Walker"],
    ["walker", "walker", "Walker", "Joanssen"],
    ["odysseus", "od", "Οδυσσεύς", "ΛΑΕΡΤΙΆΔΗΣ"],
    ["soren", "søren", "Søren", "O’Brien"],
];

async fn people_are_found_by_their_names(engine: Engine) {
    let store = engine.place().await.store().await;
    for [user_id, user_name, given_name, family_name] in NAMED {
        open(&*store, &named(user_id, user_name, given_name, family_name)).await;
    }
    // A search, and the ids of those that it finds by their given and family names.
    let cases: [(&str, &[&str]); 33] = [
        ("jose", &["jose"]),
        ("José", &["jose"]),
        ("JOSE\u{301}", &["jose"]),
        ("garcia jose", &["jose"]),
        ("strasse", &["strasse"]),
        ("STRASSE", &["strasse"]),
        ("straße", &["strasse"]),
        ("istanbul", &["istanbul"]),
        ("ISTANBUL", &["istanbul"]),
        ("İSTANBUL", &["istanbul"]),
        ("ışıl", &["isil"]),
        ("IŞIL", &["isil"]),
        ("isil", &["isil"]),
        ("ayse", &["istanbul"]),
        ("Li", &["li"]),
        ("w", &["li", "joan", "walker"]),
        ("Bo", &["bo"]),
        ("Jo Ng", &["jong"]),
        ("ng jo", &["jong"]),
        ("李", &["lihan"]),
        ("涵", &["lihan"]),
        ("李 涵", &["lihan"]),
        ("王", &["wang"]),
        ("joan walker", &["joan", "walker"]),
        ("Walker Joan", &["joan", "walker"]),
        ("Walker, Joan", &["joan", "walker"]),
        ("joan walker li", &[]),
        ("walkerjoan", &[]),
        ("λαερτιαδης", &["odysseus"]),
        ("οδυσσευσ", &["odysseus"]),
        ("soren", &["soren"]),
        ("o'brien", &["soren"]),
        ("%", &[]),
    ];
    for (search, expected) in cases {
        assert_found(&*store, search, expected, |names, parts| {
            names.person_name = parts;
        })
        .await;
    }
    let by_user_name: [(&str, &[&str]); 6] = [
        ("王伟", &["wang"]),
        ("伟", &["wang"]),
        ("strasse", &["strasse"]),
        ("Jo Ng", &["jong"]),
        ("li", &["li"]),
        ("wei", &["li"]),
    ];
    for (search, expected) in by_user_name {
        assert_found(&*store, search, expected, |names, parts| {
            names.user_name = parts;
        })
        .await;
    }
}

async fn assert_found(
    store: &dyn Store,
    search: &str,
    expected: &[&str],
    set: impl Fn(&mut NameFilter, Vec<String>),
) {
    let mut filter = of_tenant();
    set(&mut filter.names, search_parts(search));
    let mut found = ids(store, &filter, UserOrder::SignIn, 10).await;
    // In the order of the table.
    found.reverse();
    assert_eq!(found, expected, "{search}");
}

/// Family names in the order of their letters, which is not that of any locale.
const FAMILY_NAMES: [&str; 13] = [
    "",
    "Arzt",
    "ÄRZTE",
    "a\u{308}rztin",
    "Arzu",
    "de Vries",
    "Łukasz",
    "Lund",
    "Ōkami",
    "Østby",
    "Zoë",
    "Ζωή",
    "李",
];

async fn assert_sorted(store: &dyn Store) {
    // Signed in in another order, with ids in a third one.
    for (number, name) in FAMILY_NAMES.iter().enumerate().rev() {
        let user_id = format!("u{}", number * 7 % FAMILY_NAMES.len());
        open(store, &named(&user_id, name, "Same", name)).await;
    }
    // The ids settle equal names, byte for byte.
    for user_id in ["a", "B", "c"] {
        open(store, &named(user_id, "zz", "", "zz")).await;
    }
    for order in [UserOrder::UserName, UserOrder::PersonName] {
        for size in [1, 4, 50] {
            let users = pages(store, &of_tenant(), order, size).await;
            let names: Vec<_> = users
                .iter()
                .map(|of| of.user.profile.family_name.as_str())
                .filter(|name| *name != "zz")
                .collect();
            assert_eq!(names, FAMILY_NAMES, "{order:?} by {size}");
            let ids: Vec<_> = users
                .iter()
                .filter(|of| of.user.profile.family_name == "zz")
                .map(|of| of.user.user_id.as_str())
                .collect();
            assert_eq!(ids, ["B", "a", "c"], "{order:?} by {size}");
        }
    }
}

async fn names_sort_by_their_letters_whatever_the_accents(engine: Engine) {
    assert_sorted(&*engine.place().await.store().await).await;
}

#[tokio::test]
async fn names_sort_alike_in_a_postgres_database_of_another_locale() {
    let cluster = shared().await;
    let admin = cluster.admin().await;
    // In this locale "B" is after "a".
    let create = "CREATE DATABASE of_locale TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'";
    admin.batch_execute(create).await.expect("a database");
    let url = format!("{}/of_locale", cluster.url().trim_end_matches("/postgres"));
    let engine = Postgres::connect(&url, &PostgresOptions::default()).await;
    let store = SqlStore::open(Arc::new(engine.expect("the database opens"))).await;
    assert_sorted(&store.expect("the store opens")).await;
}

async fn only_users_with_active_sessions_are_listed_with_how_many(engine: Engine) {
    let store = engine.place().await.store().await;
    let first = open(&*store, &sign_in("t", "a")).await;
    let second = open(&*store, &sign_in("t", "a")).await;
    for _ in 0..=USER_SESSIONS_COUNTED_MAX {
        open(&*store, &sign_in("t", "many")).await;
    }
    let counts = async || {
        let users = pages(&*store, &of_tenant(), UserOrder::UserName, 10).await;
        users
            .into_iter()
            .map(|of| (of.user.user_id.to_string(), of.sessions))
            .collect::<Vec<_>>()
    };
    let many = ("many".to_owned(), USER_SESSIONS_COUNTED_MAX + 1);
    assert_eq!(counts().await, [("a".to_owned(), 2), many.clone()]);
    assert_eq!(
        store
            .count_sessions(&tenant("t"), 1_000)
            .await
            .expect("a count"),
        103
    );
    assert_eq!(
        store
            .count_sessions(&tenant("t"), 50)
            .await
            .expect("a count"),
        50,
        "no further than asked for"
    );
    apply(&*store, revoke(&[&first])).await;
    assert_eq!(counts().await, [("a".to_owned(), 1), many.clone()]);
    let summary = pages(&*store, &of_tenant(), UserOrder::UserName, 1)
        .await
        .remove(0);
    assert!(
        summary.last_active == Some(second.created) && summary.signed_in >= Some(second.created)
    );
    apply(&*store, disable("t", "a")).await;
    assert_eq!(counts().await, std::slice::from_ref(&many));
    apply(&*store, enable("t", "a")).await;
    apply(&*store, sign_out("t", &["unknown"])).await;
    assert_eq!(counts().await, [many]);
    apply(&*store, sign_out_tenant("t")).await;
    assert!(counts().await.is_empty());
    assert_eq!(
        store
            .count_sessions(&tenant("t"), 1_000)
            .await
            .expect("a count"),
        0
    );
    open(&*store, &sign_in("t", "a")).await;
    assert_eq!(counts().await, [("a".to_owned(), 1)]);
}

async fn users_without_active_sessions_are_listed_on_request(engine: Engine) {
    let store = engine.place().await.store().await;
    open(&*store, &sign_in("t", "active")).await;
    open(&*store, &sign_in("t", "disabled")).await;
    open(&*store, &sign_in("other", "elsewhere")).await;
    apply(&*store, disable("t", "disabled")).await;
    // Known by name only, and never signed in.
    apply(&*store, sign_out("t", &["stranger"])).await;
    let all = UserFilter {
        signed_out: true,
        ..of_tenant()
    };
    for size in [1, 10] {
        let users = pages(&*store, &all, UserOrder::SignIn, size).await;
        let seen = users.iter().map(|of| {
            let id = of.user.user_id.as_str();
            (
                id,
                of.sessions,
                of.user.disabled.is_some(),
                of.signed_in.is_some(),
                of.last_active.is_some(),
            )
        });
        let expected = [
            ("disabled", 0, true, true, false),
            ("active", 1, false, true, true),
            ("stranger", 0, false, false, false),
        ];
        assert_eq!(seen.collect::<Vec<_>>(), expected);
    }
    assert_eq!(
        ids(&*store, &of_tenant(), UserOrder::SignIn, 10).await,
        ["active"]
    );
}

crate::on_every_engine! {
    users_are_listed_in_each_order_page_by_page,
    users_are_found_by_name_and_by_sign_in,
    people_are_found_by_their_names,
    names_sort_by_their_letters_whatever_the_accents,
    only_users_with_active_sessions_are_listed_with_how_many,
    users_without_active_sessions_are_listed_on_request,
}
