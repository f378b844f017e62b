//! Lists of users by what their active sessions add up to.

use portcullis_authority::{
    domain::{
        PageCursor, Profile, Session, SignIn, UserFilter, UserOrder, UserSummary,
        listing::{NameFilter, Period},
        names::search_parts,
    },
    store::{Store, sql::Value},
};
use portcullis_tests::{
    calls::{apply, open},
    given::{disable, revoke, sign_in, sign_out, tenant},
    place::Place,
    rows::query,
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
    let mut users = Vec::new();
    let mut after: Option<PageCursor> = None;
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
    let users = pages(store, filter, order, size).await;
    users
        .into_iter()
        .map(|summary| summary.user.user_id.to_string())
        .collect()
}

/// Has the session used some seconds ago from an address. An empty one is unknown.
async fn use_session(place: &Place, session: &Session, seconds_ago: i64, ip: &str) {
    let sql =
        "UPDATE sessions SET active_us = created_us - $1, active_ip = $2 WHERE session_id = $3";
    let values: [Value; 3] = [
        (seconds_ago * 1_000_000).into(),
        ip.into(),
        session.id.to_bytes()[..].into(),
    ];
    query(place, sql, &values).await;
}

fn at(user: &str, ip: &str) -> SignIn {
    let mut new = sign_in("t", user);
    new.client.ip = ip.into();
    new
}

async fn users_are_ordered_by_their_number_of_sessions_and_by_their_last_activity(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let store = &*store;
    // The number of sessions, and how long ago the newest use was.
    let people = [
        ("one", 1, 10),
        ("three", 3, 5_000),
        ("two", 2, 300),
        ("also two", 2, 40),
    ];
    for (user, sessions, seconds_ago) in people {
        for older in 0..sessions {
            let session = open(store, &sign_in("t", user)).await;
            use_session(&place, &session, seconds_ago + 100_000 * older, "").await;
        }
    }
    // Ended sessions do not count, and neither do those of other tenants.
    for user in ["one", "gone"] {
        for _ in 0..5 {
            let ended = open(store, &sign_in("t", user)).await;
            apply(store, revoke(&[&ended])).await;
        }
        open(store, &sign_in("other", user)).await;
    }
    open(store, &sign_in("t", "cut")).await;
    apply(store, sign_out("t", &["cut", "stranger"])).await;

    for size in [1, 2, 3, 50] {
        assert_eq!(
            ids(store, &of_tenant(), UserOrder::Sessions, size).await,
            ["three", "two", "also two", "one"]
        );
        assert_eq!(
            ids(store, &of_tenant(), UserOrder::LastActive, size).await,
            ["one", "also two", "two", "three"]
        );
        let all = UserFilter {
            signed_out: true,
            ..of_tenant()
        };
        assert_eq!(
            ids(store, &all, UserOrder::Sessions, size).await,
            ["three", "two", "also two", "one", "stranger", "gone", "cut"]
        );
        assert_eq!(
            ids(store, &all, UserOrder::LastActive, size).await,
            ["one", "also two", "two", "three", "stranger", "gone", "cut"]
        );
    }
    let summaries = pages(store, &of_tenant(), UserOrder::Sessions, 50).await;
    let numbers: Vec<_> = summaries.iter().map(|summary| summary.sessions).collect();
    assert_eq!(numbers, [3, 2, 2, 1]);
    assert!(
        summaries
            .iter()
            .all(|summary| summary.last_active.is_some())
    );
}

async fn filters_hold_in_these_orders_too(engine: Engine) {
    let store = engine.place().await.store().await;
    let store = &*store;
    for (user, name) in [("1", "Ada Young"), ("2", "Ada Old"), ("3", "Bob Young")] {
        let profile = Profile {
            user_name: name.into(),
            ..Profile::default()
        };
        open(
            store,
            &SignIn {
                profile,
                ..sign_in("t", user)
            },
        )
        .await;
    }
    open(store, &sign_in("t", "1")).await;
    apply(store, disable("t", "3")).await;
    let named = |part: &str| UserFilter {
        names: NameFilter {
            user_name: search_parts(part),
            ..NameFilter::default()
        },
        ..of_tenant()
    };
    for order in [UserOrder::Sessions, UserOrder::LastActive] {
        assert_eq!(ids(store, &named("ada"), order, 1).await, ["1", "2"]);
        assert_eq!(ids(store, &named("young"), order, 1).await, ["1"]);
        let nobody = UserFilter {
            signed_in: Period {
                from: None,
                until: Some(portcullis_authority::domain::Micros(1)),
            },
            ..of_tenant()
        };
        assert!(ids(store, &nobody, order, 1).await.is_empty());
    }
}

/// The address of a sign-in, that of the last use, and how long ago that was, in seconds.
type Uses = (&'static str, &'static str, i64);

async fn users_who_are_active_from_several_addresses_at_once_are_found(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let store = &*store;
    let (here, there, third) = ("192.0.2.1", "198.51.100.1", "2001:db8::1");
    let people: [(&str, &[Uses], u32); 8] = [
        ("home and work", &[(here, "", 0), (there, "", 0)], 2),
        (
            "three",
            &[(here, "", 0), (there, "", 10), (here, third, 20)],
            3,
        ),
        ("moved", &[(here, there, 0), (here, "", 1)], 2),
        ("one address", &[(here, "", 0), (there, here, 0)], 1),
        ("one after the other", &[(here, "", 0), (there, "", 400)], 1),
        ("unknown address", &[(here, "", 0), ("", "", 0)], 1),
        ("long ago", &[(here, "", 1_000), (there, "", 1_000)], 0),
        ("one session", &[(here, there, 0)], 1),
    ];
    for (user, sessions, _) in people {
        for (signed_in_at, used_at, seconds_ago) in sessions {
            let session = open(store, &at(user, signed_in_at)).await;
            use_session(&place, &session, *seconds_ago, used_at).await;
        }
    }
    let ended = open(store, &at("one session", here)).await;
    apply(store, revoke(&[&ended])).await;

    for addresses in [2, 3, 4] {
        let filter = UserFilter {
            active_addresses_min: Some(addresses),
            ..of_tenant()
        };
        let mut expected: Vec<_> = people
            .iter()
            .filter(|(.., number)| *number >= addresses)
            .map(|(user, ..)| (*user).to_owned())
            .collect();
        expected.sort_unstable();
        for order in [
            UserOrder::SignIn,
            UserOrder::UserName,
            UserOrder::PersonName,
            UserOrder::Sessions,
            UserOrder::LastActive,
        ] {
            for size in [1, 50] {
                let mut found = ids(store, &filter, order, size).await;
                found.sort_unstable();
                assert_eq!(found, expected, "{addresses} {order:?}");
            }
        }
    }
    let summaries = pages(store, &of_tenant(), UserOrder::Sessions, 50).await;
    for (user, _, addresses) in people {
        let summary = summaries
            .iter()
            .find(|summary| summary.user.user_id.as_str() == user)
            .expect("the user is listed");
        assert_eq!(summary.active_addresses, addresses, "{user}");
    }
}

crate::on_every_engine! {
    users_are_ordered_by_their_number_of_sessions_and_by_their_last_activity,
    filters_hold_in_these_orders_too,
    users_who_are_active_from_several_addresses_at_once_are_found,
}
