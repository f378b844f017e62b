//! Lists of users with active sessions.

use portcullis_authority::{
    domain::{
        PageCursor, Profile, SignIn, UserFilter, UserOrder, UserSummary,
        listing::{NameFilter, Period, USER_SESSIONS_COUNTED_MAX, fold},
    },
    store::Store,
};
use portcullis_tests::{
    calls::{apply, open},
    given::{disable, enable, revoke, sign_in, sign_out, sign_out_tenant, tenant},
};

use crate::Engine;

fn of_tenant() -> UserFilter {
    UserFilter {
        tenant_id: tenant("t"),
        names: NameFilter::default(),
        signed_in: Period::default(),
        signed_out: false,
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
    let names = |user_name: Option<&str>, person_name: Option<&str>| UserFilter {
        names: NameFilter {
            user_name: user_name.map(fold),
            person_name: person_name.map(fold),
            email: None,
        },
        ..of_tenant()
    };
    let since = |from, until| UserFilter {
        signed_in: Period { from, until },
        ..of_tenant()
    };
    let [second, third] = [&all[2], &all[1]].map(|of| of.signed_in.expect("a time"));
    let cases = [
        (names(None, Some("ADAMS")), vec!["3", "1"]),
        (names(Some("bob"), Some("adam")), vec!["3"]),
        (names(Some("%%%"), None), vec![]),
        (since(Some(second), None), vec!["4", "3", "2"]),
        (since(None, Some(third)), vec!["2", "1"]),
        (since(Some(second), Some(third)), vec!["2"]),
        (
            UserFilter {
                signed_in: Period {
                    from: Some(third),
                    until: None,
                },
                ..names(None, Some("adams"))
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
    only_users_with_active_sessions_are_listed_with_how_many,
    users_without_active_sessions_are_listed_on_request,
}
