//! Refreshes as the rows see them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use portcullis_authority::{
    domain::{ClientInfo, SignIn},
    store::RefreshOutcome,
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    calls::{apply, open, proof_of, rotate, session},
    given::{revoke, sign_in, sign_out, sign_out_tenant, tenant},
    rows::query,
    wait::{eventually, within},
};
use tokio::task::JoinSet;

use crate::Engine;

async fn twenty_concurrent_refreshes_rotate_once(engine: Engine) {
    let place = engine.place().await;
    let stores = [place.store().await, place.store().await];
    let opened = open(&*stores[0], &sign_in("t", "u")).await;
    for generation in 0..3 {
        let mut refreshing = JoinSet::new();
        for caller in 0..20 {
            let (store, opened) = (stores[caller % 2].clone(), opened.clone());
            refreshing.spawn(async move { rotate(&*store, &opened, generation).await });
        }
        let rotated = within("all refreshes", refreshing.join_all()).await;
        let won = rotated
            .iter()
            .filter(|rotated| matches!(rotated, RefreshOutcome::Won(..)))
            .count();
        assert_eq!(won, 1);
        let seen: BTreeSet<_> = rotated.iter().map(generation_of).collect();
        assert_eq!(
            seen,
            [generation + 1].into(),
            "the losers see the winner's row"
        );
    }
}

fn generation_of(rotated: &RefreshOutcome) -> u64 {
    match rotated {
        RefreshOutcome::Won(session, _) | RefreshOutcome::Lost(session, _) => session.generation,
        RefreshOutcome::NotFound => panic!("the session is there"),
    }
}

async fn a_refresh_advances_the_generation_and_nothing_else(engine: Engine) {
    let store = engine.place().await.store().await;
    let opened = open(&*store, &sign_in("t", "u")).await;
    let RefreshOutcome::Won(row, now) = rotate(&*store, &opened, 0).await else {
        panic!("the first wins")
    };
    assert_eq!((row.generation, row.rotated), (1, Some(now)));
    assert_eq!(
        (row.subject, row.expires, row.salt),
        (opened.subject, opened.expires, opened.salt)
    );
    assert!(row.end.is_none());
    for stale in [0, 2, 9] {
        assert!(
            matches!(rotate(&*store, &opened, stale).await, RefreshOutcome::Lost(row, _) if row.generation == 1)
        );
    }
    assert!(
        matches!(rotate(&*store, &opened, 1).await, RefreshOutcome::Won(row, _) if row.generation == 2)
    );
}

async fn a_session_that_is_not_there_is_not_refreshed(engine: Engine) {
    let store = engine.place().await.store().await;
    let opened = open(&*store, &sign_in("t", "u")).await;
    let elsewhere = store
        .refresh(
            &tenant("other"),
            opened.id,
            0,
            proof_of(&opened),
            &ClientInfo::default(),
        )
        .await
        .expect("an answer");
    assert!(matches!(elsewhere, RefreshOutcome::NotFound));
    let absent = store
        .refresh(
            &tenant("t"),
            SessionId::generate(),
            0,
            proof_of(&opened),
            &ClientInfo::default(),
        )
        .await
        .expect("an answer");
    assert!(matches!(absent, RefreshOutcome::NotFound));
    assert_eq!(session(&*store, &opened).await.generation, 0);
}

async fn a_forged_token_changes_nothing_and_delays_no_other_token(engine: Engine) {
    let store = engine.place().await.store().await;
    let [one, two, three] = [
        open(&*store, &sign_in("t", "a")).await,
        open(&*store, &sign_in("t", "b")).await,
        open(&*store, &sign_in("t", "c")).await,
    ];
    let forged = || Arc::new(|_: &[u8; 16]| false);
    // All at once, so that they go out together.
    let client = ClientInfo::default();
    let rotated = join_all([
        store.refresh(&one.tenant_id, one.id, 0, forged(), &client),
        store.refresh(&one.tenant_id, one.id, 0, proof_of(&one), &client),
        store.refresh(&two.tenant_id, two.id, 0, proof_of(&two), &client),
        store.refresh(&three.tenant_id, three.id, 0, forged(), &client),
    ]);
    let rotated: Vec<_> = rotated
        .await
        .into_iter()
        .map(|rotated| rotated.expect("an answer"))
        .collect();
    assert!(matches!(&rotated[0], RefreshOutcome::NotFound));
    assert!(matches!(&rotated[1], RefreshOutcome::Won(row, _) if row.generation == 1));
    assert!(matches!(&rotated[2], RefreshOutcome::Won(row, _) if row.generation == 1));
    assert!(matches!(&rotated[3], RefreshOutcome::NotFound));
    // By whatever generation: who cannot prove it is not told of the session.
    for generation in [0, 1, 9] {
        let unproven = store
            .refresh(
                &one.tenant_id,
                one.id,
                generation,
                forged(),
                &ClientInfo::default(),
            )
            .await
            .expect("an answer");
        assert!(matches!(unproven, RefreshOutcome::NotFound));
    }
    let generations = [
        session(&*store, &one).await,
        session(&*store, &two).await,
        session(&*store, &three).await,
    ];
    assert_eq!(
        generations.map(|session| (session.generation, session.rotated.is_some())),
        [(1, true), (1, true), (0, false)]
    );
}

async fn a_session_that_has_ended_is_not_refreshed(engine: Engine) {
    let store = engine.place().await.store().await;
    let revoked = open(&*store, &sign_in("t", "a")).await;
    apply(&*store, revoke(&[&revoked])).await;
    let cut = open(&*store, &sign_in("t", "b")).await;
    apply(&*store, sign_out("t", &["b"])).await;
    let of_tenant = open(&*store, &sign_in("t", "c")).await;
    apply(&*store, sign_out_tenant("t")).await;
    for ended in [&revoked, &cut, &of_tenant] {
        let RefreshOutcome::Lost(row, _) = rotate(&*store, ended, 0).await else {
            panic!("refreshed after its end")
        };
        assert!(row.end.is_some() && row.generation == 0);
    }
    let short = open(
        &*store,
        &SignIn {
            lifetime: Duration::from_millis(1),
            ..sign_in("t", "u")
        },
    )
    .await;
    let lost = async || {
        let RefreshOutcome::Lost(row, now) = rotate(&*store, &short, 5).await else {
            panic!("no such generation")
        };
        (row.expires <= now).then_some(())
    };
    eventually("the session expires", lost).await;
    assert!(
        matches!(rotate(&*store, &short, 0).await, RefreshOutcome::Lost(row, _) if row.generation == 0)
    );
}

async fn the_client_of_a_rotation_is_kept_and_a_shared_token_is_noted_once(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let opened = open(&*store, &sign_in("t", "u")).await;
    let client = ClientInfo {
        ip: "192.0.2.1".into(),
        user_agent: "Fire\"fox".into(),
        device_id: "phone".into(),
        app_name: String::new(),
    };
    let key = (&opened.tenant_id, opened.id);
    let Ok(RefreshOutcome::Won(row, now)) = store
        .refresh(key.0, key.1, 0, proof_of(&opened), &client)
        .await
    else {
        panic!("it rotates")
    };
    assert!(row.rotated_by == client);
    assert_eq!(
        (row.rotated, row.rotated_before, row.shared_generation),
        (Some(now), Some(opened.created), None)
    );

    for generation in [1, 1, 0, 2] {
        let event = row.refreshed(now);
        let noted = store
            .record_shared_token(key.0, key.1, generation, &event)
            .await;
        noted.expect("the store answers");
    }
    assert_eq!(session(&*store, &opened).await.shared_generation, Some(1));
    let waiting = query(
        &place,
        "SELECT CAST(count(*) AS BIGINT) FROM audit_outbox",
        &[],
    )
    .await;
    let count = waiting
        .first()
        .expect("a count")
        .int(portcullis_authority::store::sql::ONLY)
        .expect("a number");
    assert_eq!(count, 3, "the sign-in, the refresh, and one shared token");

    rotate(&*store, &opened, 1).await;
    let row = session(&*store, &opened).await;
    assert!(row.rotated_by == ClientInfo::default());
    assert_eq!(row.rotated_before, Some(now));
}

crate::on_every_engine! {
    twenty_concurrent_refreshes_rotate_once,
    a_refresh_advances_the_generation_and_nothing_else,
    a_session_that_is_not_there_is_not_refreshed,
    a_forged_token_changes_nothing_and_delays_no_other_token,
    a_session_that_has_ended_is_not_refreshed,
    the_client_of_a_rotation_is_kept_and_a_shared_token_is_noted_once,
}
