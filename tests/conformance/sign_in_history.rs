//! The memory of a user's sign-ins: the last known place, and the networks of a device.

use std::time::Duration;

use futures::future::join_all;
use portcullis_authority::{
    domain::{
        ClientInfo, Micros, SessionActivity, Sight, SignIn,
        findings::{DeviceNetworks, Footprint, FootprintKind, LastPlace},
        place::{Coordinates, Place},
    },
    store::{SignInHistory, Store, sql::ONLY},
};
use portcullis_tests::{
    calls::{open, session},
    given::{sign_in, tenant, user},
    rows::query,
};

use crate::Engine;

fn place(city: &str, coordinates: Option<Coordinates>) -> Place {
    Place {
        city: city.into(),
        coordinates,
        ..Place::default()
    }
}

fn berlin() -> Place {
    let coordinates = Coordinates {
        latitude: 52.5,
        longitude: 13.25,
        accuracy_km: 20,
    };
    place("Berlin", Some(coordinates))
}

fn from(ip: &str, place: Place) -> SignIn {
    SignIn {
        client: ClientInfo {
            ip: ip.into(),
            ..ClientInfo::default()
        },
        sight: Sight {
            place,
            ..Sight::default()
        },
        ..sign_in("t", "u")
    }
}

fn footprint(kind: FootprintKind, value: &str) -> Footprint {
    Footprint {
        kind,
        value: value.into(),
    }
}

async fn known(store: &dyn Store, footprints: &[Footprint]) -> SignInHistory {
    store
        .sign_in_history(&tenant("t"), &user("u"), footprints)
        .await
        .expect("an answer")
}

async fn the_last_known_place_outlives_sign_ins_without_one(engine: Engine) {
    let store = engine.place().await.store().await;
    assert_eq!(known(&*store, &[]).await.history.last, None);
    open(&*store, &sign_in("t", "u")).await;
    assert_eq!(known(&*store, &[]).await.history.last, None);

    let mut new = from("8.8.8.8", berlin());
    new.sight.network_beside = "2a02:8109:9a00::/48".into();
    let placed = open(&*store, &new).await;
    let first = known(&*store, &[]).await;
    let last = first.history.last.expect("a place");
    assert!((placed.created..=first.now).contains(&last.at));
    let expected = LastPlace {
        at: last.at,
        ip: Some("8.8.8.8".parse().expect("an address")),
        place: berlin(),
        network_beside: "2a02:8109:9a00::/48".into(),
    };
    assert_eq!(last, expected);
    // A country without coordinates is no place that a distance can be told from.
    for next in [sign_in("t", "u"), from("9.9.9.9", place("Sydney", None))] {
        let opened = open(&*store, &next).await;
        assert!(opened.created >= placed.created);
        let last = known(&*store, &[]).await.history.last;
        assert_eq!(last.as_ref(), Some(&expected));
    }

    let munich = Place {
        city: "Munich".into(),
        ..berlin()
    };
    let moved = open(&*store, &from("9.9.9.9", munich.clone())).await;
    let last = known(&*store, &[]).await.history.last.expect("a place");
    assert!(last.at >= moved.created);
    assert_eq!(last.place, munich);
}

async fn of_sign_ins_that_wait_together_the_known_place_counts(engine: Engine) {
    let store = engine.place().await.store().await;
    open(&*store, &sign_in("t", "u")).await;
    let mut all = vec![from("8.8.8.8", berlin())];
    all.extend((0..7).map(|_| sign_in("t", "u")));
    for opened in join_all(all.iter().map(|new| store.sign_in(new))).await {
        opened.expect("opened");
    }
    let last = known(&*store, &[]).await.history.last.expect("a place");
    assert_eq!(last.place, berlin());
}

async fn a_device_keeps_the_networks_that_it_was_seen_in(engine: Engine) {
    use FootprintKind::{Country, DeviceId, DeviceLook};
    let store = engine.place().await.store().await;
    let seen = |ip: &str| {
        let ip = ip.parse().expect("an address");
        DeviceNetworks::default().with(ip, Micros(7))
    };
    let on = |footprints: &[Footprint], networks: DeviceNetworks| SignIn {
        footprints: footprints.to_vec(),
        device_networks: networks,
        ..sign_in("t", "u")
    };
    let laptop = [
        footprint(DeviceId, "laptop"),
        footprint(DeviceLook, "Firefox on Linux"),
        footprint(Country, "DE"),
    ];
    let unnamed = [footprint(DeviceLook, "Firefox on Linux")];
    let networks = async |asked: &[Footprint]| known(&*store, asked).await.history.device_networks;

    open(&*store, &on(&laptop, seen("8.8.8.8"))).await;
    assert_eq!(networks(&laptop).await, seen("8.8.8.8"));
    // The networks are those of the device with the id, and no word about all that look like it.
    assert_eq!(networks(&unnamed).await, DeviceNetworks::default());
    // A sign-in without an address says nothing about networks.
    open(&*store, &on(&laptop, DeviceNetworks::default())).await;
    assert_eq!(networks(&laptop).await, seen("8.8.8.8"));
    assert_eq!(known(&*store, &laptop).await.device_sign_ins, 2);
    open(&*store, &on(&laptop, seen("9.9.9.9"))).await;
    assert_eq!(networks(&laptop).await, seen("9.9.9.9"));

    open(&*store, &on(&unnamed, seen("2001:db8::1"))).await;
    assert_eq!(networks(&unnamed).await, seen("2001:db8::1"));
    let now_with_model = [
        footprint(DeviceLook, "Firefox on Linux (Model 7)"),
        footprint(DeviceLook, "Firefox on Linux"),
    ];
    let history = known(&*store, &now_with_model).await.history;
    assert!(history.footprints.contains(&unnamed[0]));
    assert!(!history.footprints.contains(&now_with_model[0]));
    assert_eq!(history.device_networks, DeviceNetworks::default());
}

async fn a_session_keeps_where_it_was_opened(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut new = from("8.8.8.8", berlin());
    new.sight.network_beside = "2a02:8109:9a00::/48".into();
    let opened = open(&*store, &new).await;
    let kept = session(&*store, &opened).await;
    assert_eq!(kept.sight.network_beside, new.sight.network_beside);

    let used = SessionActivity {
        tenant_id: opened.tenant_id.clone(),
        session_id: opened.id,
        requests: 1,
        age: std::time::Duration::ZERO,
        ip: "9.9.9.9".into(),
        page: String::new(),
    };
    let moved = store.record_activity(&[used]).await.expect("recorded");
    let [moved] = &moved[..] else {
        panic!("one session moved: {moved:?}")
    };
    assert_eq!(
        (
            moved.opened_from.as_str(),
            moved.opened_beside.as_str(),
            &moved.opened_in
        ),
        ("8.8.8.8", "2a02:8109:9a00::/48", &berlin())
    );
}

/// A whole round, in steps of two rows.
async fn remove_old(store: &dyn Store, keep: Duration) -> u64 {
    let (mut removed, mut after) = (0, None);
    loop {
        let step = store.remove_old_history(after.as_ref(), keep, 2).await;
        let step = step.expect("a step");
        removed += step.rows;
        after = step.next;
        if after.is_none() {
            return removed;
        }
    }
}

async fn what_no_sign_in_has_seen_for_long_is_forgotten(engine: Engine) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let place = engine.place().await;
    let store = place.store().await;
    for user_id in ["u", "v", "w"] {
        let seen = SignIn {
            footprints: vec![
                footprint(FootprintKind::Country, "DE"),
                footprint(FootprintKind::City, "Berlin"),
            ],
            ..sign_in("t", user_id)
        };
        open(&*store, &seen).await;
    }
    assert_eq!(remove_old(&*store, DAY).await, 0);
    let age = "UPDATE user_history SET seen_us = seen_us - 90000000000 WHERE user_id <> 'v' OR value = 'DE'";
    query(&place, age, &[]).await;
    // Seen again in the meantime.
    let again = SignIn {
        footprints: vec![footprint(FootprintKind::City, "Berlin")],
        ..sign_in("t", "w")
    };
    open(&*store, &again).await;
    // Ninety thousand seconds are 25 hours.
    let kept = store.remove_old_history(None, 2 * DAY, 9).await;
    let oldest = kept.expect("a step").oldest.expect("an age");
    assert!(oldest > DAY && oldest < 2 * DAY, "{oldest:?}");
    assert_eq!(remove_old(&*store, DAY).await, 4);
    let kept = store.remove_old_history(None, DAY, 9).await;
    let oldest = kept.expect("a step").oldest.expect("an age");
    assert!(oldest < DAY, "{oldest:?}");
    let left = query(
        &place,
        "SELECT user_id FROM user_history ORDER BY user_id",
        &[],
    )
    .await;
    let left: Vec<_> = left
        .iter()
        .map(|row| row.text(ONLY).expect("an id"))
        .collect();
    assert_eq!(left, ["v", "w"]);
    assert_eq!(remove_old(&*store, DAY).await, 0);
}

crate::on_every_engine! {
    what_no_sign_in_has_seen_for_long_is_forgotten,
    the_last_known_place_outlives_sign_ins_without_one,
    of_sign_ins_that_wait_together_the_known_place_counts,
    a_device_keeps_the_networks_that_it_was_seen_in,
    a_session_keeps_where_it_was_opened,
}
