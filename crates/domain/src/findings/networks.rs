//! The networks of one device: a household reaches the internet by IPv4 and by IPv6, and a database may place the two far
//! apart.

// `core::net` has addresses without the sockets of `std::net`.
use core::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Micros, place::prefix};

/// The time for which a device is taken to be still in a network that it was seen in.
pub const SEEN_LATELY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The networks that a device was last seen in, one of each version of IP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceNetworks {
    #[serde(skip_serializing_if = "Option::is_none")]
    v4: Option<SeenNetwork>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v6: Option<SeenNetwork>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SeenNetwork {
    network: String,
    at: Micros,
}

impl DeviceNetworks {
    /// The networks after the device was seen at an address. One that was not seen lately is forgotten.
    #[must_use]
    pub fn with(mut self, ip: IpAddr, now: Micros) -> Self {
        for network in [&mut self.v4, &mut self.v6] {
            network.take_if(|seen| !is_lately(seen.at, now));
        }
        let seen = Some(SeenNetwork {
            network: prefix(ip),
            at: now,
        });
        // The network of the other version stays: a household has one of each.
        if ip.to_canonical().is_ipv4() {
            self.v4 = seen;
        } else {
            self.v6 = seen;
        }
        self
    }

    /// Whether the device was seen lately in the networks of both addresses, one of each version of IP.
    #[must_use]
    pub fn has_both(&self, one: IpAddr, other: IpAddr, now: Micros) -> bool {
        let are_both_versions = one.to_canonical().is_ipv4() != other.to_canonical().is_ipv4();
        are_both_versions && self.has(one, now) && self.has(other, now)
    }

    /// The network of the other version of IP, if the device was seen in it lately and in that of `ip` too. Empty
    /// otherwise.
    #[must_use]
    pub fn counterpart(&self, ip: IpAddr, now: Micros) -> &str {
        if !self.has(ip, now) {
            return "";
        }
        let other = match ip.to_canonical() {
            IpAddr::V4(_) => &self.v6,
            IpAddr::V6(_) => &self.v4,
        };
        match other {
            Some(seen) if is_lately(seen.at, now) => &seen.network,
            _ => "",
        }
    }

    fn has(&self, ip: IpAddr, now: Micros) -> bool {
        let seen = match ip.to_canonical() {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        seen.as_ref()
            .is_some_and(|seen| is_lately(seen.at, now) && seen.network == prefix(ip))
    }
}

fn is_lately(at: Micros, now: Micros) -> bool {
    now.since(at) <= SEEN_LATELY
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600 * 1_000_000;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_household_is_two_networks_that_one_device_was_seen_in_lately() {
        let seen = |pairs: &[(&str, i64)]| {
            let networks = DeviceNetworks::default();
            pairs.iter().fold(networks, |networks, (address, day)| {
                networks.with(ip(address), Micros(day * DAY))
            })
        };
        let both = seen(&[("8.8.8.8", 0), ("2a02:8109:9a00::1", 1)]);
        let cases = [
            (&both, "8.8.8.8", "2a02:8109:9a00::1", 2, true),
            (&both, "2a02:8109:9a00::1", "8.8.8.8", 2, true),
            // Another address in each network.
            (&both, "8.8.8.9", "2a02:8109:9a00:7::2", 2, true),
            (&both, "::ffff:8.8.8.9", "2a02:8109:9a00:7::2", 2, true),
            // Another network, or the same version twice.
            (&both, "8.8.9.8", "2a02:8109:9a00::1", 2, false),
            (&both, "8.8.8.8", "2a02:8109:9b00::1", 2, false),
            (&both, "8.8.8.8", "8.8.8.8", 2, false),
            (&both, "8.8.8.8", "::ffff:8.8.8.8", 2, false),
            (&both, "8.8.8.8", "2a02:8109:9a00::1", 30, true),
            (&both, "8.8.8.8", "2a02:8109:9a00::1", 31, false),
            (&seen(&[]), "8.8.8.8", "2a02:8109:9a00::1", 0, false),
            (
                &seen(&[("8.8.8.8", 0)]),
                "8.8.8.8",
                "2a02:8109:9a00::1",
                0,
                false,
            ),
            // The device moved on.
            (
                &seen(&[("8.8.8.8", 0), ("2a02:8109:9a00::1", 0), ("9.9.9.9", 1)]),
                "8.8.8.8",
                "2a02:8109:9a00::1",
                1,
                false,
            ),
        ];
        for (networks, one, other, day, expected) in cases {
            let now = Micros(day * DAY);
            assert_eq!(
                networks.has_both(ip(one), ip(other), now),
                expected,
                "{one} {other} on day {day} of {networks:?}"
            );
        }
    }

    #[test]
    fn the_counterpart_of_an_address_is_in_the_same_household() {
        let networks = DeviceNetworks::default()
            .with(ip("8.8.8.8"), Micros(0))
            .with(ip("2a02:8109:9a00::1"), Micros(DAY));
        for (address, day, expected) in [
            ("8.8.8.9", 2, "2a02:8109:9a00::/48"),
            ("2a02:8109:9a00::9", 2, "8.8.8.0/24"),
            ("2a02:8109:9a00::9", 31, ""),
            ("8.8.9.9", 2, ""),
        ] {
            let found = networks.counterpart(ip(address), Micros(day * DAY));
            assert_eq!(found, expected, "{address} on day {day}");
        }
        let forgotten = networks.with(ip("8.8.8.8"), Micros(40 * DAY));
        let stored = serde_json::to_value(&forgotten).expect("JSON");
        assert_eq!(
            stored,
            serde_json::json!({ "v4": { "network": "8.8.8.0/24", "at": 40 * DAY } })
        );
    }
}
