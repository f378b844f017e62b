//! Findings about a sign-in, compared with the user's earlier ones.

// `core::net` has addresses without the sockets of `std::net`.
use core::net::IpAddr;
use std::collections::BTreeSet;

use super::{DeviceNetworks, Finding, FindingCode};
use crate::{
    Micros,
    device::Device,
    place::{Place, network, prefix},
};

/// The fastest possible travel, in kilometres an hour. Airliners cruise at some 900, and people also have to get to an
/// airport and away from it.
pub const TRAVEL_KM_PER_HOUR_MAX: f64 = 1_000.0;
/// The shortest distance that counts as travel, in kilometres. Databases place an address in its provider's town.
pub const TRAVEL_KM_MIN: f64 = 100.0;

/// A sign-in as the rules see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SignInObservation {
    /// The time of the sign-in.
    pub at: Micros,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The place of the address.
    pub place: Place,
    /// The caller's id of the device. Empty when it has none.
    pub device_id: String,
    /// The device by its own description.
    pub device: Device,
}

/// A trace of a sign-in that later ones are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Footprint {
    /// The kind of trace.
    pub kind: FootprintKind,
    /// The value, never empty.
    pub value: String,
}

/// The kind of a footprint.
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
    /// A network of the operator's own that has a place, by its prefix.
    PrivateNetwork,
    /// The device, by its description without versions and without the model, once the model is known.
    ModelledLook,
}

/// The user's earlier sign-ins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The footprints that the new sign-in shares, and at least one of each kind that the user has.
    ///
    /// A kind without any footprint yields no finding. Otherwise the first sign-in, and the first one with a database of
    /// places, would be suspicious.
    pub footprints: BTreeSet<Footprint>,
    /// The last sign-in whose place has coordinates.
    pub last: Option<LastPlace>,
    /// The networks that the device of the new sign-in was seen in.
    pub device_networks: DeviceNetworks,
}

/// A sign-in whose place is known.
#[derive(Clone, Debug, PartialEq)]
pub struct LastPlace {
    /// The time of the sign-in.
    pub at: Micros,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The place of the address.
    pub place: Place,
    /// The network of the other version of IP, if the device of that sign-in was seen lately in both. Empty: none.
    pub network_beside: String,
}

impl SignInObservation {
    /// The footprints of the sign-in.
    #[must_use]
    pub fn footprints(&self) -> Vec<Footprint> {
        // A place without a city is named by its country, which has a kind of its own.
        let city = if self.place.city.is_empty() {
            String::new()
        } else {
            // With the country: cities of one name in two countries must not count as the same city.
            self.place.name()
        };
        let values = [
            (FootprintKind::DeviceId, self.device_id.clone()),
            (FootprintKind::DeviceLook, self.device.to_string()),
            (FootprintKind::Country, self.place.country.clone()),
            (FootprintKind::City, city),
            (FootprintKind::Network, self.network()),
            (FootprintKind::PrivateNetwork, self.private_network()),
            (
                FootprintKind::ModelledLook,
                self.device.name_without_model(),
            ),
        ];

        let mut footprints = Vec::with_capacity(values.len());
        for (kind, value) in values {
            if !value.is_empty() {
                footprints.push(Footprint { kind, value });
            }
        }
        footprints
    }

    /// The footprints whose history matters for this sign-in: its own, and that of the device while its model was unknown.
    #[must_use]
    pub fn questions(&self) -> Vec<Footprint> {
        let mut footprints = self.footprints();
        footprints.extend(self.earlier_look());
        footprints
    }

    /// The footprint that the device left before its model became known.
    fn earlier_look(&self) -> Option<Footprint> {
        let value = self.device.name_without_model();
        let kind = FootprintKind::DeviceLook;
        (!value.is_empty()).then_some(Footprint { kind, value })
    }

    /// The findings, without those in `disabled`. `history` excludes this sign-in.
    #[must_use]
    pub fn findings(&self, history: &History, disabled: &BTreeSet<FindingCode>) -> Vec<Finding> {
        let footprints = self.footprints();
        let mut codes = Vec::new();
        if self.is_new_device(history, &footprints) {
            codes.push(FindingCode::NewDevice);
        }
        // A network does not travel. Its place became another one because the database did.
        if !self.is_known_network(history) {
            if history.misses_any(&footprints, FootprintKind::Country) {
                codes.push(FindingCode::NewCountry);
            }
            if history.misses_any(&footprints, FootprintKind::City) {
                codes.push(FindingCode::NewCity);
            }
        }
        if history.misses_any(&footprints, FootprintKind::Network) {
            codes.push(FindingCode::NewNetwork);
        }

        let is_known_device = self.is_known_device(history, &footprints);
        let mut findings = Vec::new();
        for code in codes {
            findings.push(self.new_finding(code, is_known_device));
        }
        findings.extend(self.impossible_travel(history));
        // Filtered last, so that a rule need not know whether it is switched off.
        findings.retain(|finding| !disabled.contains(&finding.code));
        findings
    }

    /// The kind of footprint by which the device is recognized.
    fn device_kind(&self, history: &History) -> FootprintKind {
        // Ids only compare with ids. A caller that begins to send them must not make every known device a new one.
        if !self.device_id.is_empty() && history.knows(FootprintKind::DeviceId) {
            FootprintKind::DeviceId
        } else {
            FootprintKind::DeviceLook
        }
    }

    fn is_new_device(&self, history: &History, footprints: &[Footprint]) -> bool {
        let kind = self.device_kind(history);
        history.misses_any(footprints, kind)
            && !(kind == FootprintKind::DeviceLook && self.is_model_new(history))
    }

    /// Whether the device is known by its look, and only its model is new: a browser began to send it, or newer data
    /// recognizes it.
    fn is_model_new(&self, history: &History) -> bool {
        let Some(earlier) = self.earlier_look() else {
            return false;
        };
        // Once a device with this look had a model, another model is another device.
        let modelled = Footprint {
            kind: FootprintKind::ModelledLook,
            value: earlier.value.clone(),
        };
        history.footprints.contains(&earlier) && !history.footprints.contains(&modelled)
    }

    /// Whether the user signed in on this device before. A sign-in that describes no device is on an unknown one.
    fn is_known_device(&self, history: &History, footprints: &[Footprint]) -> bool {
        let kind = self.device_kind(history);
        let is_described = footprints.iter().any(|footprint| footprint.kind == kind);
        is_described && history.knows(kind) && !self.is_new_device(history, footprints)
    }

    /// Whether the user signed in from this network before.
    fn is_known_network(&self, history: &History) -> bool {
        let networks = [
            (FootprintKind::Network, self.network()),
            (FootprintKind::PrivateNetwork, self.private_network()),
        ];
        networks
            .into_iter()
            .any(|(kind, value)| history.footprints.contains(&Footprint { kind, value }))
    }

    fn new_finding(&self, code: FindingCode, is_known_device: bool) -> Finding {
        let mut facts = self.facts(code);
        facts.push(("ip", self.ip_text()));
        Finding {
            level: code.level(is_known_device),
            ..Finding::new(code, facts)
        }
    }

    fn facts(&self, code: FindingCode) -> Vec<(&'static str, String)> {
        let place = &self.place;
        match code {
            FindingCode::NewDevice => vec![
                ("device", self.device.to_string()),
                ("device_id", self.device_id.clone()),
            ],
            FindingCode::NewCountry => vec![
                ("country", place.country.clone()),
                ("country_name", place.country_name.clone()),
            ],
            FindingCode::NewCity => vec![
                ("city", place.city.clone()),
                ("country", place.country.clone()),
            ],
            // Only `NewNetwork` is left: the other codes have no footprint and never come here.
            _ => vec![
                ("network", self.network()),
                ("network_operator", place.network_operator.clone()),
            ],
        }
    }

    fn impossible_travel(&self, history: &History) -> Option<Finding> {
        // A first sign-in, or a place without coordinates, proves no journey.
        let last = history.last.as_ref()?;
        let LastPlace {
            at, place: from, ..
        } = last;
        let start = from.coordinates?;
        let end = self.place.coordinates?;
        if self.is_where_it_was(last, &history.device_networks) {
            return None;
        }

        // Coordinates are the middles of areas. The shortest way between the two areas gives the benefit of the doubt.
        let accuracy = f64::from(start.accuracy_km) + f64::from(end.accuracy_km);
        // Areas that overlap have no distance.
        let distance = (start.distance_km(end) - accuracy).max(0.0);
        let elapsed = self.at.since(*at);
        let possible = TRAVEL_KM_PER_HOUR_MAX * elapsed.as_secs_f64() / 3600.0;
        // After a step back of the clock no travel seems possible. The least distance still excuses the next town.
        if distance < TRAVEL_KM_MIN || distance <= possible {
            return None;
        }

        let facts = [
            ("from", from.name()),
            ("to", self.place.name()),
            ("distance_km", format!("{distance:.0}")),
            ("elapsed_seconds", elapsed.as_secs().to_string()),
            ("ip", self.ip_text()),
        ];
        Some(Finding::new(FindingCode::ImpossibleTravel, facts))
    }

    /// Whether the sign-in is where the last one was, wherever a database sees the two: in its network, or in the other
    /// network of its household, as this device or that one knows it.
    fn is_where_it_was(&self, last: &LastPlace, device: &DeviceNetworks) -> bool {
        let (Some(before), Some(now)) = (last.ip, self.ip) else {
            return false;
        };
        let network = prefix(now);
        prefix(before) == network
            || last.network_beside == network
            || device.has_both(before, now, self.at)
    }

    fn network(&self) -> String {
        self.ip.and_then(network).unwrap_or_default()
    }

    /// The network of an address that is not public, if the operator's database has its place.
    fn private_network(&self) -> String {
        let is_placed = self.place != Place::default();
        match self.ip {
            Some(ip) if is_placed && network(ip).is_none() => prefix(ip),
            _ => String::new(),
        }
    }

    fn ip_text(&self) -> String {
        self.ip.map(|ip| ip.to_string()).unwrap_or_default()
    }
}

impl History {
    /// Whether any footprint of this kind is known.
    fn knows(&self, kind: FootprintKind) -> bool {
        self.footprints
            .iter()
            .any(|footprint| footprint.kind == kind)
    }

    /// Whether one of these footprints of a kind is unknown, while others of the kind are known.
    fn misses_any(&self, footprints: &[Footprint], kind: FootprintKind) -> bool {
        // Everything is new to a user without a footprint of the kind, and a finding that everybody gets says nothing.
        if !self.knows(kind) {
            return false;
        }
        footprints
            .iter()
            .any(|footprint| footprint.kind == kind && !self.footprints.contains(footprint))
    }
}
