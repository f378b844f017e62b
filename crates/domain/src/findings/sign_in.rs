//! What a sign-in shows, beside what is known of its user.

// Addresses without the sockets of `std::net`.
use core::net::IpAddr;
use std::collections::BTreeSet;

use super::{Finding, FindingCode};
use crate::{
    Micros,
    device::Device,
    place::{Place, network},
};

/// Faster than this nobody travels, in kilometres an hour: airliners cruise at some 900, and people also have to get to
/// an airport and away from it.
pub const TRAVEL_KM_PER_HOUR_MAX: f64 = 1_000.0;
/// Nearer than this, in kilometres, is no travel: databases place an address in its provider's town.
pub const TRAVEL_KM_MIN: f64 = 100.0;
/// A sign-in, as the rules see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SignInObservation {
    /// When.
    pub at: Micros,
    /// From which address.
    pub ip: Option<IpAddr>,
    /// Where that is.
    pub place: Place,
    /// The caller's id of the device; empty: none.
    pub device_id: String,
    /// The device, as it describes itself.
    pub device: Device,
}

/// What a sign-in leaves behind, for later ones to be compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Footprint {
    /// What it tells of.
    pub kind: FootprintKind,
    /// Its value, never empty.
    pub value: String,
}

/// What a footprint tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FootprintKind {
    /// The device, by the caller's id.
    DeviceId,
    /// The device, by its description without versions.
    DeviceLook,
    /// The country, by its code.
    Country,
    /// The city, with the country's code.
    City,
    /// The public network, by its prefix.
    Network,
}

/// What is known of a user from earlier sign-ins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Their footprints: those that this sign-in has too, and of each kind at least one if there was any. A kind of
    /// which nothing is known finds nothing new: the first sign-in, and the first with a database of places.
    pub footprints: BTreeSet<Footprint>,
    /// When and where the last sign-in was.
    pub last: Option<(Micros, Place)>,
}

impl SignInObservation {
    /// What it leaves behind.
    #[must_use]
    pub fn footprints(&self) -> Vec<Footprint> {
        let place = &self.place;
        let city = if place.city.is_empty() {
            String::new()
        } else {
            place.name()
        };
        let values = [
            (FootprintKind::DeviceId, self.device_id.clone()),
            (FootprintKind::DeviceLook, self.device.to_string()),
            (FootprintKind::Country, place.country.clone()),
            (FootprintKind::City, city),
            (
                FootprintKind::Network,
                self.ip.and_then(network).unwrap_or_default(),
            ),
        ];
        let left = values.into_iter().filter(|(_, value)| !value.is_empty());
        left.map(|(kind, value)| Footprint { kind, value })
            .collect()
    }

    /// What the rules find about it, but for those that are `disabled`. `history` is of before it.
    #[must_use]
    pub fn findings(&self, history: &History, disabled: &BTreeSet<FindingCode>) -> Vec<Finding> {
        let footprints = self.footprints();
        let rules = [
            (FindingCode::NewDevice, self.device_kind(history)),
            (FindingCode::NewCountry, FootprintKind::Country),
            (FindingCode::NewCity, FootprintKind::City),
            (FindingCode::NewNetwork, FootprintKind::Network),
        ];
        let is_new = |kind| {
            footprints
                .iter()
                .any(|footprint| footprint.kind == kind && history.misses(footprint))
        };
        let new = rules
            .into_iter()
            .filter(|(_, kind)| is_new(*kind))
            .map(|(code, _)| self.new_finding(code));
        new.chain(self.impossible_travel(history))
            .filter(|finding| !disabled.contains(&finding.code))
            .collect()
    }

    /// By what the device is known: the caller's id where earlier sign-ins had one, too.
    fn device_kind(&self, history: &History) -> FootprintKind {
        let by_id = !self.device_id.is_empty() && history.knows(FootprintKind::DeviceId);
        if by_id {
            FootprintKind::DeviceId
        } else {
            FootprintKind::DeviceLook
        }
    }

    fn new_finding(&self, code: FindingCode) -> Finding {
        let place = &self.place;
        let country = ("country", place.country.clone());
        let facts = match code {
            FindingCode::NewDevice => vec![
                ("device", self.device.to_string()),
                ("device_id", self.device_id.clone()),
            ],
            FindingCode::NewCountry => vec![country, ("country_name", place.country_name.clone())],
            FindingCode::NewCity => vec![("city", place.city.clone()), country],
            _ => {
                let network = self.ip.and_then(network).unwrap_or_default();
                vec![
                    ("network", network),
                    ("network_operator", place.network_operator.clone()),
                ]
            }
        };
        Finding::new(code, facts.into_iter().chain([("ip", self.ip_text())]))
    }

    /// Both places are the middles of areas: the way is taken to be the shortest between the two.
    fn impossible_travel(&self, history: &History) -> Option<Finding> {
        let (at, from) = history.last.as_ref()?;
        let (start, end) = (from.coordinates?, self.place.coordinates?);
        let accuracy = f64::from(start.accuracy_km) + f64::from(end.accuracy_km);
        let distance = (start.distance_km(end) - accuracy).max(0.0);
        let elapsed = self.at.since(*at);
        let possible = TRAVEL_KM_PER_HOUR_MAX * elapsed.as_secs_f64() / 3600.0;
        let facts = [
            ("from", from.name()),
            ("to", self.place.name()),
            ("distance_km", format!("{distance:.0}")),
            ("elapsed_seconds", elapsed.as_secs().to_string()),
            ("ip", self.ip_text()),
        ];
        (distance >= TRAVEL_KM_MIN && distance > possible)
            .then(|| Finding::new(FindingCode::ImpossibleTravel, facts))
    }

    fn ip_text(&self) -> String {
        self.ip.map(|ip| ip.to_string()).unwrap_or_default()
    }
}

impl History {
    /// Whether anything of this kind is known.
    fn knows(&self, kind: FootprintKind) -> bool {
        self.footprints
            .iter()
            .any(|footprint| footprint.kind == kind)
    }

    /// Whether others of its kind are known, but not this one.
    fn misses(&self, footprint: &Footprint) -> bool {
        self.knows(footprint.kind) && !self.footprints.contains(footprint)
    }
}
