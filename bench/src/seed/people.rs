//! Names, devices and places to draw from.

use portcullis_authority::domain::{
    device::{Device, DeviceKind},
    place::{Coordinates, Place},
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

const GIVEN: [&str; 40] = [
    "Ada", "Adam", "Amara", "Ana", "Anna", "Bao", "Ben", "Carla", "Chen", "Daniel", "David",
    "Elif", "Emma", "Fatima", "Felix", "Giulia", "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jonas",
    "José", "Karin", "Lea", "Liam", "Mai", "Maria", "Noah", "Olga", "Omar", "Paul", "Priya",
    "Rosa", "Sara", "Søren", "Tariq", "Vera", "Yuki", "Zoë",
];
const FAMILY_BEGIN: [&str; 50] = [
    "Al", "An", "Ba", "Be", "Bra", "Bro", "Ca", "Cho", "Da", "Del", "Du", "Fa", "Fer", "Fi", "Ga",
    "Gar", "Gon", "Ha", "Her", "Hof", "Iva", "Jan", "Jo", "Ka", "Kim", "Kov", "La", "Le", "Lin",
    "Ma", "Mar", "Mei", "Mo", "Mül", "Na", "Ng", "Ok", "Pa", "Pe", "Ra", "Rey", "Ro", "Sa", "Schu",
    "Sil", "Smi", "Ta", "To", "Wa", "Wil",
];
const FAMILY_END: [&str; 30] = [
    "bert", "ding", "dez", "feld", "ga", "garten", "grin", "ham", "ić", "ini", "ko", "land", "ler",
    "lin", "man", "mann", "mura", "nandez", "ner", "nova", "o", "quist", "ra", "rez", "sen", "son",
    "stein", "th", "va", "wala",
];
const DEVICES: [(&str, &str, DeviceKind, &str); 8] = [
    (
        "Chrome",
        "Windows",
        DeviceKind::Desktop,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
    ),
    (
        "Edge",
        "Windows",
        DeviceKind::Desktop,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36 Edg/128.0.0.0",
    ),
    (
        "Safari",
        "macOS",
        DeviceKind::Desktop,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
    ),
    (
        "Firefox",
        "Linux",
        DeviceKind::Desktop,
        "Mozilla/5.0 (X11; Linux x86_64; rv:129.0) Gecko/20100101 Firefox/129.0",
    ),
    (
        "Safari",
        "iOS",
        DeviceKind::Phone,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    ),
    (
        "Chrome",
        "Android",
        DeviceKind::Phone,
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Mobile Safari/537.36",
    ),
    (
        "Safari",
        "iPadOS",
        DeviceKind::Tablet,
        "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    ),
    ("curl", "", DeviceKind::Program, "curl/8.9.1"),
];
/// Country, its name, city, operator, and the first byte of its addresses here.
const PLACES: [(&str, &str, &str, &str, u8); 10] = [
    ("DE", "Germany", "Berlin", "Deutsche Telekom AG", 80),
    ("DE", "Germany", "Munich", "Vodafone GmbH", 81),
    ("FR", "France", "Paris", "Orange S.A.", 82),
    (
        "GB",
        "United Kingdom",
        "London",
        "British Telecommunications PLC",
        83,
    ),
    ("US", "United States", "New York", "Comcast Cable", 84),
    ("US", "United States", "Austin", "AT&T Services", 85),
    ("BR", "Brazil", "São Paulo", "Claro NXT", 86),
    ("IN", "India", "Bengaluru", "Reliance Jio", 87),
    ("JP", "Japan", "Tokyo", "NTT Communications", 88),
    ("", "", "", "", 10),
];

/// A sign-in name, a given name and a family name.
pub(super) fn name(random: &mut StdRng) -> [String; 3] {
    let (given, begin, end) = (
        any(random, &GIVEN),
        any(random, &FAMILY_BEGIN),
        any(random, &FAMILY_END),
    );
    let number = random.random_range(1..100_u32);
    [
        format!("{}.{begin}{end}{number}", given.to_lowercase()),
        given.into(),
        format!("{begin}{end}"),
    ]
}

/// A device as a session keeps it.
pub(super) struct SeededDevice {
    pub(super) json: String,
    pub(super) kind: i64,
    pub(super) user_agent: &'static str,
}

pub(super) fn devices() -> Vec<SeededDevice> {
    let device =
        |(kind, (browser, os, of, user_agent)): (i64, &(&str, &str, DeviceKind, &'static str))| {
            let (browser, os) = ((*browser).to_owned(), (*os).to_owned());
            let device = Device {
                browser,
                browser_version: "128".into(),
                os,
                kind: *of,
                ..Device::default()
            };
            SeededDevice {
                json: serde_json::to_string(&device).expect("text keys"),
                kind,
                user_agent,
            }
        };
    // The contract's numbers: phone, tablet, desktop, program.
    [3, 3, 3, 3, 1, 1, 2, 4]
        .into_iter()
        .zip(&DEVICES)
        .map(device)
        .collect()
}

/// A place as a session keeps it.
pub(super) struct SeededPlace {
    pub(super) json: String,
    pub(super) country: &'static str,
    pub(super) network: u8,
}

pub(super) fn places() -> Vec<SeededPlace> {
    let place = |(country, country_name, city, network_operator, network): &(
        &'static str,
        &str,
        &str,
        &str,
        u8,
    )| {
        let place = Place {
            city: (*city).into(),
            country: (*country).into(),
            country_name: (*country_name).into(),
            coordinates: (!city.is_empty()).then_some(Coordinates {
                latitude: 50.0,
                longitude: 10.0,
                accuracy_km: 20,
            }),
            network_operator: (*network_operator).into(),
            asn: None,
        };
        SeededPlace {
            json: serde_json::to_string(&place).expect("text keys"),
            country,
            network: *network,
        }
    };
    PLACES.iter().map(place).collect()
}

/// One of these.
pub(super) fn any<T: Copy>(random: &mut StdRng, of: &[T]) -> T {
    *of.choose(random).expect("there are some")
}
