//! What is found, and what is not.

// `core::net` has addresses without the sockets of `std::net`.
use core::net::IpAddr;
use std::collections::BTreeSet;

use super::*;
use crate::{
    Cause, Micros,
    device::Device,
    place::{Coordinates, Place},
};

const HOUR: i64 = 3_600 * 1_000_000;
const DAY: i64 = 24 * HOUR;

fn place(city: &str, country: &str, latitude: f64, longitude: f64) -> Place {
    Place {
        city: city.into(),
        country: country.into(),
        country_name: format!("the country {country}"),
        coordinates: Some(Coordinates {
            latitude,
            longitude,
            accuracy_km: 20,
        }),
        network_operator: "Acme Net".into(),
        asn: Some(64_500),
    }
}

fn berlin() -> Place {
    place("Berlin", "DE", 52.52, 13.405)
}

fn munich() -> Place {
    place("Munich", "DE", 48.137, 11.575)
}

fn sydney() -> Place {
    place("Sydney", "AU", -33.8688, 151.2093)
}

/// In Berlin, with Firefox on Linux.
fn sign_in() -> SignInObservation {
    SignInObservation {
        at: Micros(0),
        ip: Some("8.8.8.8".parse().expect("an address")),
        place: berlin(),
        device_id: "d1".into(),
        device: Device {
            browser: "Firefox".into(),
            browser_version: "128".into(),
            os: "Linux".into(),
            ..Device::default()
        },
    }
}

fn after(sign_ins: &[SignInObservation]) -> History {
    History {
        footprints: sign_ins
            .iter()
            .flat_map(SignInObservation::footprints)
            .collect(),
        last: sign_ins.iter().rev().find_map(last_place),
        device_networks: DeviceNetworks::default(),
    }
}

fn last_place(sign_in: &SignInObservation) -> Option<LastPlace> {
    sign_in.place.coordinates?;
    Some(LastPlace {
        at: sign_in.at,
        ip: sign_in.ip,
        place: sign_in.place.clone(),
        network_beside: String::new(),
    })
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

fn changed(change: impl FnOnce(&mut SignInObservation)) -> SignInObservation {
    let mut sign_in = sign_in();
    sign_in.at = Micros(DAY);
    change(&mut sign_in);
    sign_in
}

fn elsewhere(address: &str, place: Place) -> SignInObservation {
    changed(|s| {
        s.ip = ip(address);
        s.place = place;
    })
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.name()).collect()
}

#[test]
fn what_is_new_about_a_sign_in_is_found() {
    let cases: [(SignInObservation, &[&str]); 17] = [
        (changed(|_| ()), &[]),
        (changed(|s| s.device_id = "d2".into()), &["new_device"]),
        // The device is the one of that id, whatever it looks like.
        (changed(|s| s.device.browser = "Chrome".into()), &[]),
        (changed(|s| s.device_id.clear()), &[]),
        (changed(|s| s.device.browser_version = "129".into()), &[]),
        (
            changed(|s| {
                s.device_id.clear();
                s.device.browser = "Chrome".into();
            }),
            &["new_device"],
        ),
        // Nothing is said about the device: nothing is found.
        (
            changed(|s| {
                s.device_id.clear();
                s.device = Device::default();
            }),
            &[],
        ),
        (elsewhere("9.9.9.9", munich()), &["new_city", "new_network"]),
        (
            elsewhere("9.9.9.9", sydney()),
            &["new_country", "new_city", "new_network"],
        ),
        // A town of the same name elsewhere is another.
        (
            elsewhere("9.9.9.9", place("Berlin", "US", 52.52, 13.405)),
            &["new_country", "new_city", "new_network"],
        ),
        // The operator's own range.
        (
            elsewhere("10.0.0.1", sydney()),
            &["new_country", "new_city"],
        ),
        // A network does not travel: the database became another one.
        (changed(|s| s.place = munich()), &[]),
        (elsewhere("8.8.8.200", sydney()), &[]),
        (changed(|s| s.place = Place::default()), &[]),
        (changed(|s| s.ip = ip("8.8.9.8")), &["new_network"]),
        (changed(|s| s.ip = ip("8.8.8.200")), &[]),
        (changed(|s| s.ip = ip("10.0.0.1")), &[]),
    ];
    let history = after(&[sign_in()]);
    for (sign_in, expected) in cases {
        assert_eq!(
            codes(&sign_in.findings(&history, &BTreeSet::new())),
            expected,
            "{sign_in:?}"
        );
        // A user's first sign-in, and the same again, are never new.
        assert_eq!(
            codes(&sign_in.findings(&History::default(), &BTreeSet::new())),
            [""; 0],
            "{sign_in:?}"
        );
        let again = SignInObservation {
            at: Micros(2 * DAY),
            ..sign_in.clone()
        };
        assert_eq!(
            codes(&again.findings(&after(&[sign_in]), &BTreeSet::new())),
            [""; 0],
            "{again:?}"
        );
    }
}

#[test]
fn a_kind_that_was_never_known_is_not_new() {
    let nowhere = SignInObservation {
        place: Place::default(),
        ip: None,
        device_id: String::new(),
        ..sign_in()
    };
    let history = after(&[nowhere]);
    // The first sign-in with a database of places, and with ids of devices.
    assert_eq!(
        codes(&changed(|_| ()).findings(&history, &BTreeSet::new())),
        [""; 0]
    );
    let other = changed(|s| s.device.browser = "Chrome".into());
    assert_eq!(
        codes(&other.findings(&history, &BTreeSet::new())),
        ["new_device"]
    );
}

#[test]
fn nobody_travels_faster_than_an_aircraft() {
    let known = |change: &dyn Fn(&mut Place)| {
        let mut place = sydney();
        change(&mut place);
        place
    };
    let vague = |place: &mut Place| place.coordinates.as_mut().expect("known").accuracy_km = 9_000;
    let cases = [
        // 16,094 km, less 20 km at both ends, at 1,000 km an hour.
        (sydney(), 16 * HOUR, true),
        (sydney(), 16 * HOUR + 6 * HOUR / 100, false),
        (sydney(), 0, true),
        // A sign-in that was recorded before the last one.
        (sydney(), -HOUR, true),
        (sydney(), DAY, false),
        // Some 504 km.
        (munich(), HOUR / 4, true),
        (munich(), HOUR, false),
        // 137 km, less 40: near enough to be the same place.
        (place("Stettin", "PL", 53.4285, 14.8), 0, false),
        (place("Stettin", "PL", 53.4285, 15.1), 0, true),
        (known(&vague), 8 * HOUR, false),
        (known(&vague), 6 * HOUR, true),
        (known(&|place| place.coordinates = None), 0, false),
    ];
    let history = after(&[sign_in()]);
    for (place, elapsed, expected) in cases {
        let next = SignInObservation {
            at: Micros(elapsed),
            ip: ip("9.9.9.9"),
            place,
            ..sign_in()
        };
        let found =
            codes(&next.findings(&history, &BTreeSet::new())).contains(&"impossible_travel");
        assert_eq!(found, expected, "{:?} after {elapsed} µs", next.place);
    }
    let unknown = History {
        last: None,
        ..history
    };
    let far = elsewhere("9.9.9.9", sydney());
    assert!(!codes(&far.findings(&unknown, &BTreeSet::new())).contains(&"impossible_travel"));
}

#[test]
fn a_private_network_is_known_where_an_operator_s_database_has_its_place() {
    let private = |address: &str, place: Place| {
        let sign_in = elsewhere(address, place);
        let mut footprints = sign_in.footprints().into_iter();
        footprints
            .find(|footprint| footprint.kind == FootprintKind::PrivateNetwork)
            .map(|footprint| footprint.value)
    };
    assert_eq!(
        private("10.0.0.7", berlin()).as_deref(),
        Some("10.0.0.0/24")
    );
    assert_eq!(private("10.0.0.7", Place::default()), None);
    assert_eq!(private("9.9.9.9", berlin()), None, "a public one");
    assert_eq!(private("9.9.9.9", Place::default()), None);
}

#[test]
fn a_network_and_a_household_do_not_travel() {
    let home = "2a02:8109:9a00::1";
    let seen = |addresses: &[&str]| {
        let networks = DeviceNetworks::default();
        addresses.iter().fold(networks, |networks, address| {
            networks.with(address.parse().expect("an address"), Micros(0))
        })
    };
    let both = ["8.8.8.8", home];
    // The address before, those that the device was seen at, the address now, and whether that is travel.
    let cases: [(&str, &[&str], &str, bool); 11] = [
        ("8.8.8.8", &[], "9.9.9.9", true),
        ("8.8.8.8", &[], "8.8.8.8", false),
        ("8.8.8.8", &[], "8.8.8.200", false),
        ("8.8.8.8", &[], "::ffff:8.8.8.8", false),
        ("10.0.0.1", &[], "10.0.0.200", false),
        ("10.0.0.1", &[], "10.0.1.1", true),
        (home, &[], "2a02:8109:9a00:ffff::2", false),
        ("8.8.8.8", &both, home, false),
        (home, &both, "8.8.8.200", false),
        // The device was not seen in the network where it is now: a thief may be there.
        ("8.8.8.8", &["8.8.8.8"], home, true),
        ("8.8.8.8", &both, "2a02:8109:9b00::1", true),
    ];
    for (before, device, now, expected) in cases {
        let first = SignInObservation {
            ip: ip(before),
            ..sign_in()
        };
        let history = History {
            device_networks: seen(device),
            ..after(&[first])
        };
        let next = SignInObservation {
            at: Micros(HOUR),
            ..elsewhere(now, sydney())
        };
        let found = codes(&next.findings(&history, &BTreeSet::new()));
        assert_eq!(
            found.contains(&"impossible_travel"),
            expected,
            "{before} {device:?} {now}"
        );
    }
    // Another device of the household was seen in both of its networks.
    let mut history = after(&[sign_in()]);
    let last = history.last.as_mut().expect("a place");
    last.network_beside = "2a02:8109:9a00::/48".into();
    for (now, expected) in [(home, false), ("2a02:8109:9b00::1", true)] {
        let next = SignInObservation {
            at: Micros(HOUR),
            ..elsewhere(now, sydney())
        };
        let found = codes(&next.findings(&history, &BTreeSet::new()));
        assert_eq!(found.contains(&"impossible_travel"), expected, "{now}");
    }
}

#[test]
fn a_model_that_becomes_known_is_not_a_new_device() {
    let with_model = |model: &str| {
        changed(|s| {
            s.device_id.clear();
            s.device.os = "Android".into();
            s.device.model = model.into();
        })
    };
    let cases: [(&[&str], &str, bool); 8] = [
        (&[""], "", false),
        (&[""], "Pixel 8", false),
        (&["Pixel 8"], "Pixel 8", false),
        (&["", "Pixel 8"], "", false),
        (&["", "Pixel 8"], "Pixel 8", false),
        // The look had a model before: this one is another device.
        (&["", "Pixel 8"], "Pixel 9", true),
        (&["Pixel 8"], "Pixel 9", true),
        // Nothing shows that it is the same device.
        (&["Pixel 8"], "", true),
    ];
    for (before, now, expected) in cases {
        let earlier: Vec<_> = before.iter().map(|model| with_model(model)).collect();
        let next = with_model(now);
        let found = codes(&next.findings(&after(&earlier), &BTreeSet::new()));
        assert_eq!(
            found.contains(&"new_device"),
            expected,
            "{before:?}, then {now:?}"
        );
    }
    let questions = with_model("Pixel 8").questions();
    assert_eq!(
        questions.last(),
        Some(&Footprint {
            kind: FootprintKind::DeviceLook,
            value: "Firefox on Android".into()
        })
    );
    let other = SignInObservation {
        device: Device {
            browser: "Chrome".into(),
            ..with_model("Pixel 8").device
        },
        ..with_model("")
    };
    let found = codes(&other.findings(&after(&[with_model("")]), &BTreeSet::new()));
    assert!(found.contains(&"new_device"), "another browser");
}

#[test]
fn levels_say_how_rarely_a_finding_is_innocent() {
    let on = |device_id: &str, address: &str, place: Place| {
        let mut next = elsewhere(address, place);
        next.device_id = device_id.into();
        next
    };
    let undescribed = SignInObservation {
        device_id: String::new(),
        device: Device::default(),
        ..elsewhere("9.9.9.9", sydney())
    };
    type Levels<'a> = &'a [(&'a str, Level)];
    let cases: [(SignInObservation, Levels<'_>); 6] = [
        (
            on("d2", "8.8.8.8", berlin()),
            &[("new_device", Level::High)],
        ),
        (
            on("d2", "9.9.9.9", sydney()),
            &[
                ("new_device", Level::High),
                ("new_country", Level::High),
                ("new_city", Level::High),
                ("new_network", Level::Medium),
            ],
        ),
        (
            undescribed,
            &[
                ("new_country", Level::High),
                ("new_city", Level::High),
                ("new_network", Level::Medium),
            ],
        ),
        // A known device at a new place stays below.
        (
            on("d1", "9.9.9.9", sydney()),
            &[
                ("new_country", Level::Medium),
                ("new_city", Level::Low),
                ("new_network", Level::Medium),
            ],
        ),
        (
            on("d1", "9.9.9.9", munich()),
            &[("new_city", Level::Low), ("new_network", Level::Medium)],
        ),
        (
            on("d1", "9.9.9.9", berlin()),
            &[("new_network", Level::Medium)],
        ),
    ];
    for (next, expected) in cases {
        let found = next.findings(&after(&[sign_in()]), &BTreeSet::new());
        let levels: Vec<_> = found
            .iter()
            .map(|finding| (finding.code.name(), finding.level))
            .collect();
        assert_eq!(levels, expected, "{next:?}");
    }

    let old = SessionObservation {
        active: true,
        ..session()
    };
    let found = old.findings(Micros(31 * DAY), &BTreeSet::new());
    assert_eq!(found[0].level, Level::Medium, "{found:?}");
    for (code, steps) in [
        (
            FindingCode::NewDevice,
            &[Advice::EndSession, Advice::ChangePassword][..],
        ),
        (FindingCode::NewCountry, &[Advice::EndSession]),
        (FindingCode::NewCity, &[Advice::EndSession]),
        (FindingCode::OldSession, &[Advice::EndSession]),
        (FindingCode::NewNetwork, &[Advice::CheckRecentChanges]),
    ] {
        assert!(code.advice().starts_with(steps), "{code:?}");
    }
}

#[test]
fn findings_say_what_they_rest_on() {
    let next = changed(|s| {
        s.at = Micros(HOUR);
        s.device_id = "d2".into();
        s.place = sydney();
        s.ip = Some("1.1.1.1".parse().expect("an address"));
    });
    let facts = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let expected = [
        facts(&[
            ("device", "Firefox on Linux"),
            ("device_id", "d2"),
            ("ip", "1.1.1.1"),
        ]),
        facts(&[
            ("country", "AU"),
            ("country_name", "the country AU"),
            ("ip", "1.1.1.1"),
        ]),
        facts(&[("city", "Sydney"), ("country", "AU"), ("ip", "1.1.1.1")]),
        facts(&[
            ("network", "1.1.1.0/24"),
            ("network_operator", "Acme Net"),
            ("ip", "1.1.1.1"),
        ]),
        facts(&[
            ("from", "Berlin, DE"),
            ("to", "Sydney, AU"),
            ("distance_km", "16054"),
            ("elapsed_seconds", "3600"),
            ("ip", "1.1.1.1"),
        ]),
    ];
    let findings = next.findings(&after(&[sign_in()]), &BTreeSet::new());
    assert_eq!(
        findings
            .iter()
            .map(|finding| finding.facts.clone())
            .collect::<Vec<_>>(),
        expected
    );
}

fn session() -> SessionObservation {
    SessionObservation {
        created: Micros(0),
        active: true,
        ended_by: None,
        opened_in: berlin(),
        opened_from: None,
        opened_beside: String::new(),
        used_in: berlin(),
        used_from: None,
        refresh_token_shared: false,
    }
}

#[test]
fn a_session_travels_only_to_another_network() {
    // The address of the sign-in, the network beside it, the address of the use, and whether that is a move.
    for (opened, beside, used, expected) in [
        ("8.8.8.8", "", "9.9.9.9", true),
        ("8.8.8.8", "", "8.8.8.8", false),
        ("8.8.8.8", "", "8.8.8.200", false),
        ("8.8.8.8", "", "::ffff:8.8.8.200", false),
        ("10.0.0.1", "", "10.0.0.2", false),
        ("8.8.8.8", "", "2a02:8109:9a00::1", true),
        ("8.8.8.8", "2a02:8109:9a00::/48", "2a02:8109:9a00::1", false),
        ("8.8.8.8", "2a02:8109:9a00::/48", "2a02:8109:9b00::1", true),
        ("2a02:8109:9a00::1", "8.8.8.0/24", "8.8.8.8", false),
    ] {
        let moved = SessionObservation {
            opened_from: ip(opened),
            opened_beside: beside.into(),
            used_in: sydney(),
            used_from: ip(used),
            ..session()
        };
        let found = codes(&moved.findings(Micros(HOUR), &BTreeSet::new()));
        let codes: &[&str] = if expected { &["country_changed"] } else { &[] };
        assert_eq!(found, codes, "{opened} {beside} {used}");
    }
}

#[test]
fn a_session_shows_its_age_its_travels_and_its_theft() {
    let session = session();
    let ended = |cause| SessionObservation {
        active: false,
        ended_by: Some(cause),
        ..session.clone()
    };
    let cases: [(SessionObservation, i64, &[&str]); 9] = [
        (session.clone(), 30 * DAY, &[]),
        (session.clone(), 30 * DAY + 1, &["old_session"]),
        (ended(Cause::User), 31 * DAY, &[]),
        (
            ended(Cause::RefreshTokenReused),
            HOUR,
            &["refresh_token_reused"],
        ),
        (
            SessionObservation {
                refresh_token_shared: true,
                ..session.clone()
            },
            HOUR,
            &["refresh_token_shared"],
        ),
        (
            SessionObservation {
                used_in: munich(),
                ..session.clone()
            },
            HOUR,
            &[],
        ),
        (
            SessionObservation {
                used_in: sydney(),
                ..session.clone()
            },
            HOUR,
            &["country_changed"],
        ),
        (
            SessionObservation {
                used_in: Place::default(),
                ..session.clone()
            },
            HOUR,
            &[],
        ),
        (
            SessionObservation {
                opened_in: Place::default(),
                ..session.clone()
            },
            HOUR,
            &[],
        ),
    ];
    for (session, now, expected) in cases {
        assert_eq!(
            codes(&session.findings(Micros(now), &BTreeSet::new())),
            expected,
            "{session:?} at {now}"
        );
    }
}

#[test]
fn an_old_session_says_how_many_days_it_has() {
    let found = session().findings(Micros(45 * DAY + 5 * HOUR), &BTreeSet::new());
    let days = ("age_days".to_owned(), "45".to_owned());
    assert_eq!(found[0].facts, [days]);
}

#[test]
fn each_rule_can_be_switched_off() {
    let next = changed(|s| {
        s.at = Micros(HOUR);
        s.device_id = "d2".into();
        s.place = sydney();
        s.ip = Some("1.1.1.1".parse().expect("an address"));
    });
    let session = SessionObservation {
        ended_by: Some(Cause::RefreshTokenReused),
        used_in: sydney(),
        used_from: next.ip,
        refresh_token_shared: true,
        ..session()
    };
    let found = |disabled: &BTreeSet<FindingCode>| -> BTreeSet<FindingCode> {
        let findings = next.findings(&after(&[sign_in()]), disabled).into_iter();
        findings
            .chain(session.findings(Micros(40 * DAY), disabled))
            .map(|finding| finding.code)
            .collect()
    };
    let all = BTreeSet::from(FindingCode::ALL);
    assert_eq!(found(&BTreeSet::new()), all);
    for code in FindingCode::ALL {
        let others: BTreeSet<_> = all.iter().copied().filter(|other| *other != code).collect();
        assert_eq!(found(&[code].into()), others, "without {}", code.name());
    }
    assert_eq!(found(&all), BTreeSet::new());
}

#[test]
fn every_finding_has_advice_and_its_name_is_that_of_json() {
    for code in FindingCode::ALL {
        assert!(!code.advice().is_empty(), "{code:?}");
        assert_eq!(serde_json::to_value(code).expect("JSON"), code.name());
    }
    for code in FindingCode::ALL {
        let ends = [Advice::EndSession, Advice::EndAllSessions].contains(&code.advice()[0]);
        assert!(ends || code.level(false) < Level::High, "{code:?}");
        assert!(code.level(true) <= code.level(false), "{code:?}");
    }
}
