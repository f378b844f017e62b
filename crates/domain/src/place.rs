//! Places of addresses, as far as a database knows them.

// `core::net` has addresses without the sockets of `std::net`.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The mean radius of the earth, in kilometres (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.0;

/// The place of an address. An unknown field is empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Place {
    /// The city's English name.
    pub city: String,
    /// The country's code (ISO 3166-1 alpha-2, upper case).
    pub country: String,
    /// The country's English name.
    pub country_name: String,
    /// The middle of the area in which the address probably is.
    pub coordinates: Option<Coordinates>,
    /// The operator of the network: the ISP, or else the organisation of the autonomous system.
    pub network_operator: String,
    /// The number of the autonomous system.
    pub asn: Option<u32>,
}

/// A point on the earth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Coordinates {
    /// Degrees north, from -90 to 90.
    pub latitude: f64,
    /// Degrees east, from -180 to 180.
    pub longitude: f64,
    /// The possible error, in kilometres. 0 when the database names none.
    pub accuracy_km: u16,
}

impl Coordinates {
    /// The distance along the great circle, in kilometres. Haversine is exact to about 0.5 %, because the earth is not a
    /// sphere.
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let from = self.latitude.to_radians();
        let to = other.latitude.to_radians();
        let north = half_chord(from, to);
        let east = half_chord(self.longitude.to_radians(), other.longitude.to_radians());
        let haversine = north + from.cos() * to.cos() * east;
        // Rounding may take opposite points slightly beyond 1, where the distance would not be a number.
        2.0 * EARTH_RADIUS_KM * haversine.clamp(0.0, 1.0).sqrt().asin()
    }
}

fn half_chord(from: f64, to: f64) -> f64 {
    ((to - from) / 2.0).sin().powi(2)
}

impl Place {
    /// The name for people: "Berlin, DE", "DE", or empty.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.city.as_str(), self.country.as_str()) {
            (city, "") => city.to_owned(),
            ("", country) => country.to_owned(),
            (city, country) => format!("{city}, {country}"),
        }
    }
}

/// Where an address was used by somebody, and its place at the time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnownPlace {
    /// The address.
    pub ip: Option<IpAddr>,
    /// The place of the address.
    pub place: Place,
    /// The network of the other version of IP in the same household. Empty: none is known.
    pub network_beside: String,
}

/// Whether an address belongs to the public internet, so that it can have a place and a network of its own. Excludes the
/// ranges that the IANA registries of special-purpose addresses (RFC 6890) call not globally reachable.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    // An IPv4 address in IPv6 notation is the same address.
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// Whether a database may name the place of an address: that of a public one, and that of a range that operators use
/// themselves. A transition mechanism's address is not its user's own, so it has no place (RFC 2928).
#[must_use]
pub fn may_have_place(ip: IpAddr) -> bool {
    if is_public(ip) {
        return true;
    }
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && (64..128).contains(&second); // RFC 6598, carriers' NAT
            let benchmarks = first == 198 && (18..20).contains(&second); // RFC 2544
            shared || benchmarks || ip.is_private() || ip.is_link_local() || ip.is_documentation()
        }
        IpAddr::V6(ip) => {
            let local = ip.is_unique_local() || ip.is_unicast_link_local();
            local || is_documentation_v6(ip)
        }
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [first, second, third, _] = ip.octets();
    let this_network = first == 0;
    let shared = first == 100 && (64..128).contains(&second); // RFC 6598, carriers' NAT
    let protocols = (first, second, third) == (192, 0, 0); // RFC 6890
    let benchmarks = first == 198 && (18..20).contains(&second); // RFC 2544
    let multicast_or_reserved = first >= 224;
    let local = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation();
    !(this_network || shared || protocols || benchmarks || multicast_or_reserved || local)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let global_unicast = segments[0] & 0xe000 == 0x2000; // RFC 4291: every assigned address is in 2000::/3
    let protocols = segments[0] == 0x2001 && segments[1] < 0x0200; // RFC 2928: Teredo, benchmarks, ORCHID
    global_unicast && !is_documentation_v6(ip) && !protocols
}

fn is_documentation_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    segments[..2] == [0x2001, 0x0db8] || segments[0] == 0x3fff && segments[1] < 0x1000 // RFC 9637
}

/// The public network of an address, as text. None for an address that is not public.
#[must_use]
pub fn network(ip: IpAddr) -> Option<String> {
    is_public(ip).then(|| prefix(ip))
}

/// The network of any address, as text.
#[must_use]
pub fn prefix(ip: IpAddr) -> String {
    // A user's history keeps this text as a footprint. Another form of it would make every known network a new one.
    match ip.to_canonical() {
        // A /24 is the smallest network that is routed on the internet.
        IpAddr::V4(ip) => {
            let [first, second, third, _] = ip.octets();
            format!("{first}.{second}.{third}.0/24")
        }
        // A /48 is the largest network that one site is given (RFC 6177).
        IpAddr::V6(ip) => {
            let [first, second, third, ..] = ip.segments();
            format!("{}/48", Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates {
            latitude,
            longitude,
            accuracy_km: 0,
        }
    }

    #[test]
    fn distances_are_those_of_the_great_circle() {
        let (berlin, paris, sydney) = (
            at(52.52, 13.405),
            at(48.8566, 2.3522),
            at(-33.8688, 151.2093),
        );
        let cases = [
            (berlin, berlin, 0.0),
            (berlin, paris, 878.0),
            (paris, berlin, 878.0),
            (berlin, sydney, 16_090.0),
            // Over the date line, and to the other side of the earth.
            (at(0.0, 179.5), at(0.0, -179.5), 111.2),
            (at(90.0, 0.0), at(-90.0, 0.0), 20_015.0),
            (at(0.0, 0.0), at(0.0, 180.0), 20_015.0),
        ];
        for (from, to, expected) in cases {
            let distance = from.distance_km(to);
            assert!(
                (distance - expected).abs() <= expected * 0.005,
                "{from:?} to {to:?}: {distance}"
            );
        }
    }

    #[test]
    fn only_public_addresses_have_a_network() {
        let cases = [
            ("8.8.8.8", Some("8.8.8.0/24")),
            ("172.15.255.255", Some("172.15.255.0/24")),
            ("172.32.0.1", Some("172.32.0.0/24")),
            ("100.63.255.255", Some("100.63.255.0/24")),
            ("100.128.0.1", Some("100.128.0.0/24")),
            ("::ffff:8.8.8.8", Some("8.8.8.0/24")),
            ("2a02:8109:9a00:1234::1", Some("2a02:8109:9a00::/48")),
            ("2001:4860:4860::8888", Some("2001:4860:4860::/48")),
            // The neighbours of ranges, and addresses that share one part with them.
            ("198.17.255.255", Some("198.17.255.0/24")),
            ("198.20.0.1", Some("198.20.0.0/24")),
            ("8.18.0.1", Some("8.18.0.0/24")),
            ("8.64.0.1", Some("8.64.0.0/24")),
            ("192.0.1.1", Some("192.0.1.0/24")),
            ("223.255.255.255", Some("223.255.255.0/24")),
            ("2001:200::1", Some("2001:200::/48")),
            ("2001:db9::1", Some("2001:db9::/48")),
            ("3fff:1000::1", Some("3fff:1000::/48")),
            ("0.0.0.0", None),
            ("2001:1ff::1", None),
            ("3fff:fff::1", None),
            ("4000::1", None),
            ("10.1.2.3", None),
            ("100.64.0.1", None),
            ("127.0.0.1", None),
            ("169.254.1.1", None),
            ("172.16.0.1", None),
            ("192.0.0.8", None),
            ("192.0.2.1", None),
            ("192.168.1.1", None),
            ("198.18.0.1", None),
            ("198.51.100.7", None),
            ("203.0.113.7", None),
            ("224.0.0.1", None),
            ("255.255.255.255", None),
            ("::ffff:10.0.0.1", None),
            ("::", None),
            ("::1", None),
            ("fe80::1", None),
            ("fd00::1", None),
            ("ff02::1", None),
            ("2001:db8::1", None),
            ("3fff::1", None),
            ("2001::1", None),
        ];
        for (ip, expected) in cases {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(network(ip).as_deref(), expected, "{ip}");
            assert_eq!(is_public(ip), expected.is_some(), "{ip}");
        }
    }

    #[test]
    fn operators_name_places_of_their_own_ranges() {
        for (ip, expected) in [
            ("8.8.8.8", true),
            ("2a02:8109:9a00::1", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("192.168.1.1", true),
            ("100.64.0.1", true),
            ("169.254.1.1", true),
            ("198.18.0.1", true),
            ("192.0.2.1", true),
            ("198.51.100.7", true),
            ("203.0.113.7", true),
            ("::ffff:10.0.0.1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", true),
            ("3fff::1", true),
            ("0.0.0.0", false),
            ("127.0.0.1", false),
            ("127.64.0.1", false),
            ("224.0.0.1", false),
            ("224.18.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("ff02::1", false),
            // Teredo: the database would be asked about somebody else's server.
            ("2001::1", false),
        ] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(may_have_place(ip), expected, "{ip}");
        }
    }

    #[test]
    fn a_place_is_named_by_what_is_known() {
        let place = |city: &str, country: &str| Place {
            city: city.into(),
            country: country.into(),
            ..Place::default()
        };
        assert_eq!(place("Berlin", "DE").name(), "Berlin, DE");
        assert_eq!(place("", "DE").name(), "DE");
        assert_eq!(Place::default().name(), "");
    }
}
