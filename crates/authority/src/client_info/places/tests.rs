//! Databases as they are sold, and as disks and hurried operators leave them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use maxminddb_writer::{Database as Writer, metadata::IpVersion, paths::IpAddrWithMask};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

fn writer(kind: &str) -> Writer {
    let mut writer = Writer::default();
    writer.metadata.ip_version = IpVersion::V6;
    writer.metadata.database_type = kind.into();
    writer.metadata.binary_format_major_version = 2;
    writer.metadata.description = [("en".to_owned(), "a test".to_owned())].into();
    writer
}

/// A database of networks and what it says of each. Wide prefixes come first; IPv4 is below `::/96`.
fn database(kind: &str, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut writer = writer(kind);
    for (network, record) in networks {
        let data = writer.insert_value(record).expect("a value");
        writer.insert_node(network.parse::<IpAddrWithMask>().expect("a network"), data);
    }
    writer.write_to(Vec::new()).expect("a database")
}

fn cities(city: &str) -> Vec<u8> {
    let record = json!({
        "city": { "geoname_id": 1, "names": { "en": city, "de": "Stadt" } },
        "country": { "iso_code": "DE", "names": { "en": "Germany" } },
        "location": { "latitude": 52.52, "longitude": 13.405, "accuracy_radius": 20, "time_zone": "Europe/Berlin" },
        "subdivisions": [{ "iso_code": "BE" }],
    });
    database(
        "GeoIP2-City",
        &[
            ("2a02:8109::/32", record.clone()),
            ("::8.8.8.0/120", record),
        ],
    )
}

fn networks() -> Vec<u8> {
    let isp = json!({
        "isp": "Acme Net",
        "organization": "Acme",
        "autonomous_system_number": 64_500,
        "autonomous_system_organization": "ACME-AS",
    });
    let asn =
        json!({ "autonomous_system_number": 64_501, "autonomous_system_organization": "Other-AS" });
    database(
        "GeoIP2-ISP",
        &[("::8.8.8.0/120", isp), ("::9.9.9.0/120", asn)],
    )
}

fn file(directory: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    replace(&path, content);
    path
}

/// As an update does it: by a rename.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).expect("written");
    fs::rename(&new, path).expect("renamed");
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn berlin() -> Place {
    Place {
        city: "Berlin".into(),
        country: "DE".into(),
        country_name: "Germany".into(),
        coordinates: Some(Coordinates {
            latitude: 52.52,
            longitude: 13.405,
            accuracy_km: 20,
        }),
        ..Place::default()
    }
}

#[test]
fn both_databases_tell_of_an_address() {
    let directory = directory();
    let city = file(&directory, "city.mmdb", &cities("Berlin"));
    let network = file(&directory, "isp.mmdb", &networks());
    let both = Places::open(Some(&city), Some(&network)).expect("open");
    let operated = |operator: &str, asn, place| Place {
        network_operator: operator.into(),
        asn: Some(asn),
        ..place
    };
    let cases = [
        ("8.8.8.8", operated("Acme Net", 64_500, berlin())),
        ("::ffff:8.8.8.8", operated("Acme Net", 64_500, berlin())),
        ("9.9.9.9", operated("Other-AS", 64_501, Place::default())),
        ("2a02:8109::1", berlin()),
        ("1.1.1.1", Place::default()),
        ("2600::1", Place::default()),
        ("127.0.0.1", Place::default()),
    ];
    for (address, expected) in cases {
        assert_eq!(both.lookup(ip(address)), expected, "{address}");
    }
    assert_eq!(
        Places::open(Some(&city), None)
            .expect("open")
            .lookup(ip("8.8.8.8")),
        berlin()
    );
    assert_eq!(Places::default().lookup(ip("8.8.8.8")), Place::default());
}

#[test]
fn what_a_record_does_not_say_is_empty() {
    let cases = [
        (
            json!({ "country": { "iso_code": "DE" } }),
            Place {
                country: "DE".into(),
                ..Place::default()
            },
        ),
        (json!({}), Place::default()),
        // Half a position, one off the earth, and no country's code.
        (json!({ "location": { "latitude": 1.0 } }), Place::default()),
        (
            json!({ "location": { "latitude": 91.0, "longitude": 1.0 } }),
            Place::default(),
        ),
        (
            json!({ "country": { "iso_code": "Germany" } }),
            Place::default(),
        ),
        (
            json!({ "city": { "names": { "en": "B\u{7}erlin " } } }),
            Place {
                city: "Berlin".into(),
                ..Place::default()
            },
        ),
        // Other schemas.
        (
            json!({ "city": "Berlin", "country": "DE" }),
            Place::default(),
        ),
        (json!("Berlin"), Place::default()),
    ];
    for (record, expected) in cases {
        let directory = directory();
        let path = file(
            &directory,
            "a.mmdb",
            &database("any", &[("::8.8.8.0/120", record.clone())]),
        );
        assert_eq!(
            Places::open(Some(&path), None)
                .expect("open")
                .lookup(ip("8.8.8.8")),
            expected,
            "{record}"
        );
    }
}

#[test]
fn an_operator_names_the_places_of_private_and_documentation_ranges() {
    let directory = directory();
    let country = json!({ "country": { "iso_code": "DE" } });
    let own = file(
        &directory,
        "own.mmdb",
        &database(
            "any",
            &[
                ("::10.0.0.0/104", country.clone()),
                ("::100.64.0.0/106", country.clone()),
                ("::192.168.0.0/112", country.clone()),
                ("::203.0.113.0/120", country.clone()),
                ("::127.0.0.0/104", country.clone()),
                ("2001:db8::/32", country.clone()),
                ("fd00::/8", country.clone()),
                ("2001::/32", country),
            ],
        ),
    );
    let places = Places::open(Some(&own), None).expect("open");
    for (address, expected) in [
        ("10.1.2.3", "DE"),
        ("::ffff:10.1.2.3", "DE"),
        ("100.64.0.1", "DE"),
        ("192.168.1.1", "DE"),
        ("203.0.113.7", "DE"),
        ("2001:db8::1", "DE"),
        ("fd00::1", "DE"),
        // The range of a machine for itself, and that of a transition mechanism.
        ("127.0.0.1", ""),
        ("2001::1", ""),
        // It has no entry.
        ("172.16.0.1", ""),
    ] {
        assert_eq!(places.lookup(ip(address)).country, expected, "{address}");
    }
}

#[test]
fn numbers_may_have_any_width() {
    #[derive(serde::Serialize)]
    struct Narrow {
        location: NarrowLocation,
        autonomous_system_number: u16,
    }
    #[derive(serde::Serialize)]
    struct NarrowLocation {
        latitude: f32,
        longitude: i32,
        accuracy_radius: u16,
    }
    let location = NarrowLocation {
        latitude: 52.5,
        longitude: 13,
        accuracy_radius: 20,
    };
    let mut writer = writer("any");
    let data = writer
        .insert_value(Narrow {
            location,
            autonomous_system_number: 7,
        })
        .expect("a value");
    writer.insert_node(
        "::8.8.8.0/120"
            .parse::<IpAddrWithMask>()
            .expect("a network"),
        data,
    );
    let directory = directory();
    let path = file(
        &directory,
        "a.mmdb",
        &writer.write_to(Vec::new()).expect("a database"),
    );
    let place = Places::open(Some(&path), None)
        .expect("open")
        .lookup(ip("8.8.8.8"));
    let coordinates = Some(Coordinates {
        latitude: 52.5,
        longitude: 13.0,
        accuracy_km: 20,
    });
    assert_eq!(
        place,
        Place {
            coordinates,
            asn: Some(7),
            ..Place::default()
        }
    );
}

#[test]
fn a_replaced_file_is_taken_and_a_corrupt_one_is_not() {
    let directory = directory();
    let path = file(&directory, "city.mmdb", &cities("Berlin"));
    let places = Places::open(Some(&path), None).expect("open");
    let city = || places.lookup(ip("8.8.8.8")).city;
    let reloaded = || -> Vec<bool> {
        places
            .reload_if_changed()
            .iter()
            .map(Result::is_ok)
            .collect()
    };
    assert_eq!((reloaded(), city()), (vec![], "Berlin".into()));

    replace(&path, &cities("Munich"));
    assert_eq!((reloaded(), city()), (vec![true], "Munich".into()));
    assert!(reloaded().is_empty());

    // Each of these is reported once, and changes nothing.
    replace(&path, &cities("Vienna")[..200]);
    assert_eq!(
        (reloaded(), reloaded(), city()),
        (vec![false], vec![], "Munich".into())
    );
    fs::remove_file(&path).expect("removed");
    assert_eq!(
        (reloaded(), reloaded(), city()),
        (vec![false], vec![], "Munich".into())
    );
    fs::create_dir(&path).expect("created");
    assert_eq!(
        (reloaded(), reloaded(), city()),
        (vec![false], vec![], "Munich".into())
    );
    fs::remove_dir(&path).expect("removed");

    // The same length, written in place.
    fs::write(&path, cities("Vienna")).expect("written");
    assert_eq!((reloaded(), city()), (vec![true], "Vienna".into()));
}

#[test]
fn a_look_up_goes_on_while_files_are_replaced() {
    let directory = directory();
    let path = file(&directory, "city.mmdb", &cities("Berlin"));
    let places = Places::open(Some(&path), None).expect("open");
    let replacing = || {
        for round in 0..50 {
            let content = if round % 3 == 2 {
                vec![0; 100]
            } else {
                cities(["Berlin", "Munich"][round % 2])
            };
            replace(&path, &content);
            assert_eq!(places.reload_if_changed().len(), 1, "round {round}");
        }
    };
    std::thread::scope(|scope| {
        let replacing = scope.spawn(replacing);
        while !replacing.is_finished() {
            assert!(["Berlin", "Munich"].contains(&places.lookup(ip("8.8.8.8")).city.as_str()));
        }
    });
}

#[test]
fn at_start_a_missing_or_corrupt_file_is_an_error_that_names_it() {
    let directory = directory();
    let sound = file(&directory, "sound.mmdb", &cities("Berlin"));
    // Only what is said of a network is damaged: nothing but a verification notices.
    let mut damaged = cities("Berlin");
    let text = damaged
        .windows(6)
        .position(|bytes| bytes == b"Berlin")
        .expect("the city's name");
    damaged[text] = 0xff;
    for content in [
        &b""[..],
        b"garbage",
        &[0xff; 4096],
        &cities("Berlin")[..300],
        &damaged,
    ] {
        let path = file(&directory, "corrupt.mmdb", content);
        let error = Places::open(Some(&sound), Some(&path))
            .err()
            .expect("refused");
        assert!(
            matches!(&error, PlacesError::Corrupt { .. })
                && error.to_string().contains("corrupt.mmdb"),
            "{error}"
        );
    }
    let missing = directory.path().join("missing.mmdb");
    let error = Places::open(Some(&missing), None).err().expect("refused");
    assert!(
        matches!(&error, PlacesError::Unreadable { .. })
            && error.to_string().contains("missing.mmdb"),
        "{error}"
    );
}

/// What passes for sound after a flip may say something else; it never panics.
#[test]
fn truncated_and_bit_flipped_files_never_panic() {
    let directory = directory();
    let sound = cities("Berlin");
    let addresses = ["8.8.8.8", "9.9.9.9", "255.0.0.1", "2a02:8109::1", "2600::1"].map(ip);
    let path = directory.path().join("damaged.mmdb");
    let mut refused = 0;
    let mut attempt = |content: &[u8]| {
        fs::write(&path, content).expect("written");
        match Places::open(Some(&path), None) {
            Ok(places) => addresses
                .iter()
                .for_each(|address| drop(places.lookup(*address))),
            Err(_) => refused += 1,
        }
    };
    for length in 0..sound.len() {
        attempt(&sound[..length]);
    }
    for byte in 0..sound.len() {
        for flip in [1 << (byte % 8), 0xff] {
            let mut flipped = sound.clone();
            flipped[byte] ^= flip;
            attempt(&flipped);
        }
    }
    assert!(
        refused > sound.len(),
        "{refused} of {} refused",
        sound.len() * 3
    );
}
