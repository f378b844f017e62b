//! What is found, and what is not.

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
        last: sign_ins.last().map(|last| (last.at, last.place.clone())),
    }
}

fn changed(change: impl FnOnce(&mut SignInObservation)) -> SignInObservation {
    let mut sign_in = sign_in();
    sign_in.at = Micros(DAY);
    change(&mut sign_in);
    sign_in
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.name()).collect()
}

#[test]
fn what_is_new_about_a_sign_in_is_found() {
    let cases: [(SignInObservation, &[&str]); 14] = [
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
        (changed(|s| s.place = munich()), &["new_city"]),
        (
            changed(|s| s.place = sydney()),
            &["new_country", "new_city"],
        ),
        // A town of the same name elsewhere is another.
        (
            changed(|s| s.place.country = "US".into()),
            &["new_country", "new_city"],
        ),
        (changed(|s| s.place = Place::default()), &[]),
        (
            changed(|s| s.ip = Some("8.8.9.8".parse().expect("an address"))),
            &["new_network"],
        ),
        (
            changed(|s| s.ip = Some("8.8.8.200".parse().expect("an address"))),
            &[],
        ),
        (
            changed(|s| s.ip = Some("10.0.0.1".parse().expect("an address"))),
            &[],
        ),
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
            place,
            ..sign_in()
        };
        let found =
            codes(&next.findings(&history, &BTreeSet::new())).contains(&"impossible_travel");
        assert_eq!(found, expected, "{:?} after {elapsed} µs", next.place);
    }
    let unknown = History {
        last: Some((Micros(0), Place::default())),
        ..history
    };
    assert!(
        !codes(&changed(|s| s.place = sydney()).findings(&unknown, &BTreeSet::new()))
            .contains(&"impossible_travel")
    );
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

#[test]
fn a_session_shows_its_age_its_travels_and_its_theft() {
    let session = SessionObservation {
        created: Micros(0),
        active: true,
        ended_by: None,
        opened_in: berlin(),
        used_in: berlin(),
        used_from: None,
        refresh_token_shared: false,
    };
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
fn each_rule_can_be_switched_off() {
    let next = changed(|s| {
        s.at = Micros(HOUR);
        s.device_id = "d2".into();
        s.place = sydney();
        s.ip = Some("1.1.1.1".parse().expect("an address"));
    });
    let session = SessionObservation {
        created: Micros(0),
        active: true,
        ended_by: Some(Cause::RefreshTokenReused),
        opened_in: berlin(),
        used_in: sydney(),
        used_from: next.ip,
        refresh_token_shared: true,
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
    let serious = FindingCode::ALL
        .into_iter()
        .filter(|code| code.level() == Level::High);
    assert!(
        serious
            .into_iter()
            .all(|code| code.advice()[0] == Advice::EndAllSessions)
    );
}
