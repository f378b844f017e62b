//! The address of a client behind proxies.

use std::{net::IpAddr, str::FromStr};

use http::HeaderMap;
use ipnet::IpNet;
use portcullis_validator_core::BuildError;

/// The most networks of trusted proxies.
const NETWORKS_MAX: usize = 256;
/// The most proxies between a client and the gate.
const HOPS_MAX: usize = 32;
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of the proxies that are trusted to tell a client's address in `X-Forwarded-For`.
///
/// Each proxy appends the address that it was called from. So the list is believed from its right end, and only as far
/// as trusted proxies wrote it: everything to the left may be the client's own invention. The default trusts nobody.
///
/// ```
/// use portcullis_gate::TrustedProxies;
///
/// let proxies: TrustedProxies = "10.0.0.0/8, ::1".parse()?;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.0.0.2".parse()?);
/// let client = proxies.client_address([10, 0, 0, 1].into(), &headers);
/// assert_eq!(client, Some([198, 51, 100, 7].into()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl FromStr for TrustedProxies {
    type Err = BuildError;

    /// Reads addresses and networks, separated by commas: `10.0.0.0/8, ::1`.
    fn from_str(text: &str) -> Result<Self, BuildError> {
        let mut networks = Vec::new();
        for entry in text.split(',').map(str::trim) {
            if entry.is_empty() {
                continue;
            }
            networks.push(parse_network(entry)?);
        }
        if networks.len() > NETWORKS_MAX {
            return Err(refused(format!("has more than {NETWORKS_MAX} networks")));
        }
        Ok(Self { networks })
    }
}

impl TrustedProxies {
    /// Returns the address of the client: the first one from the right that is no trusted proxy's.
    ///
    /// `peer` is the address that the request came from. An untrusted peer is the client itself, whatever its headers
    /// say. If all addresses are trusted, the leftmost one is the client. Ports, brackets and zones are left out.
    ///
    /// `None` when a trusted proxy does not know the address (`unknown`, a made-up name, garbage), or when the list names
    /// more than 32 trusted proxies. A wrong address is worse than none.
    #[must_use]
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        // A socket that listens on IPv6 shows peers of IPv4 as `::ffff:…`.
        let mut nearest = peer.to_canonical();
        let mut hops = 0;
        for value in headers.get_all(FORWARDED_FOR).iter().rev() {
            for entry in value.as_bytes().rsplit(|byte| *byte == b',') {
                let entry = entry.trim_ascii();
                // RFC 9110, section 5.6.1: empty elements of a list are ignored.
                if entry.is_empty() {
                    continue;
                }
                if !self.trusts(nearest) {
                    return Some(nearest);
                }
                if hops == HOPS_MAX {
                    return None;
                }
                hops += 1;
                nearest = parse_address(entry)?;
            }
        }
        Some(nearest)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

fn parse_network(entry: &str) -> Result<IpNet, BuildError> {
    let network = match entry.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => entry
            .parse()
            .map_err(|_| refused(format!("`{entry}` is not an address or a network")))?,
    };
    // With everybody trusted, every client could choose its own address.
    if network.prefix_len() == 0 {
        return Err(refused(format!(
            "`{entry}` trusts everybody: name the networks of your own proxies"
        )));
    }
    Ok(network)
}

fn refused(problem: String) -> BuildError {
    BuildError {
        setting: "trusted_proxies",
        problem,
    }
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80` and `fe80::1%eth0`.
fn parse_address(entry: &[u8]) -> Option<IpAddr> {
    let host = without_port(std::str::from_utf8(entry).ok()?)?;
    let host = match host.split_once('%') {
        Some((address, zone)) if address.contains(':') && !zone.is_empty() => address,
        _ => host,
    };
    let address = host.parse::<IpAddr>().ok()?.to_canonical();
    // No client calls from such an address. A wrong one is worse than none.
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}

/// Takes the brackets and the port from an address. `None` when they are malformed.
fn without_port(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        if !rest.is_empty() {
            check_port(rest.strip_prefix(':')?)?;
        }
        // Only IPv6 is written in brackets.
        return host.contains(':').then_some(host);
    }
    match text.split_once(':') {
        // One colon separates a port. An address of IPv6 has two at least.
        Some((host, port)) if !port.contains(':') => {
            check_port(port)?;
            Some(host)
        }
        _ => Some(text),
    }
}

fn check_port(text: &str) -> Option<()> {
    text.parse::<u16>().is_ok().then_some(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            headers.append(FORWARDED_FOR, value);
        }
        headers
    }

    fn client(trusted: &str, peer: &str, values: &[&str]) -> Option<String> {
        let proxies: TrustedProxies = trusted.parse().expect("networks");
        let peer = peer.parse().expect("an address");
        let client = proxies.client_address(peer, &headers(values))?;
        Some(client.to_string())
    }

    #[test]
    fn only_trusted_proxies_tell_the_client() {
        const OURS: &str = "10.0.0.0/8, 2001:db8:aa::/48, 127.0.0.1";
        let cases: [(&str, &[&str], Option<&str>); 19] = [
            // An untrusted peer is the client.
            ("192.0.2.1", &["203.0.113.9"], Some("192.0.2.1")),
            ("192.0.2.1", &["garbage"], Some("192.0.2.1")),
            ("::1", &["203.0.113.9"], Some("::1")),
            // A trusted peer that tells nothing is the client: it may call by itself.
            ("10.0.0.1", &[], Some("10.0.0.1")),
            ("10.0.0.1", &["", " , ,"], Some("10.0.0.1")),
            ("10.0.0.1", &["203.0.113.9"], Some("203.0.113.9")),
            ("127.0.0.1", &["203.0.113.9"], Some("203.0.113.9")),
            ("::ffff:10.0.0.1", &["203.0.113.9"], Some("203.0.113.9")),
            ("2001:db8:aa::5", &["2001:db8::9"], Some("2001:db8::9")),
            // What a client invents stands on the left.
            ("10.0.0.1", &["1.1.1.1, 203.0.113.9"], Some("203.0.113.9")),
            ("10.0.0.1", &["10.9.9.9, 203.0.113.9"], Some("203.0.113.9")),
            ("10.0.0.1", &["garbage,,203.0.113.9"], Some("203.0.113.9")),
            // Two proxies of ours.
            (
                "10.0.0.1",
                &["1.1.1.1, 203.0.113.9, 10.0.0.2"],
                Some("203.0.113.9"),
            ),
            // Several headers are one list.
            (
                "10.0.0.1",
                &["1.1.1.1", "203.0.113.9", "10.0.0.2"],
                Some("203.0.113.9"),
            ),
            (
                "10.0.0.1",
                &["203.0.113.9", "10.0.0.2, 10.0.0.3"],
                Some("203.0.113.9"),
            ),
            // All of them ours: the farthest one is the client.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
            // A proxy of ours that does not know.
            ("10.0.0.1", &["203.0.113.9, unknown"], None),
            ("10.0.0.1", &["203.0.113.9, garbage, 10.0.0.2"], None),
            ("10.0.0.1", &["_hidden"], None),
        ];
        for (peer, values, expected) in cases {
            let found = client(OURS, peer, values);
            assert_eq!(found.as_deref(), expected, "{peer} {values:?}");
            let trusts_nobody = client("", peer, values).expect("the peer");
            let peer: IpAddr = peer.parse().expect("an address");
            assert_eq!(trusts_nobody, peer.to_canonical().to_string());
        }
    }

    #[test]
    fn an_address_is_read_as_proxies_write_it() {
        for (written, expected) in [
            ("192.0.2.7", Some("192.0.2.7")),
            (" 192.0.2.7\t", Some("192.0.2.7")),
            ("192.0.2.7:443", Some("192.0.2.7")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("[2001:db8::7]", Some("2001:db8::7")),
            ("[2001:DB8::7]:443", Some("2001:db8::7")),
            ("fe80::7%eth0", Some("fe80::7")),
            ("[fe80::7%25eth0]:443", Some("fe80::7")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("[::ffff:192.0.2.7]:443", Some("192.0.2.7")),
            ("192.0.2.7:", None),
            ("192.0.2.7:65536", None),
            ("192.0.2.7:http", None),
            ("192.0.2", None),
            ("192.0.2.007", None),
            ("192.0.2.7/24", None),
            ("192.0.2.7%eth0", None),
            ("[192.0.2.7]", None),
            ("[2001:db8::7", None),
            ("[2001:db8::7]443", None),
            ("2001:db8::7]", None),
            ("fe80::7%", None),
            ("0.0.0.0", None),
            ("::", None),
            ("224.0.0.1", None),
            ("unknown", None),
            ("Zürich", None),
            ("\"192.0.2.7\"", None),
        ] {
            let found = client("10.0.0.1", "10.0.0.1", &[written]);
            assert_eq!(found.as_deref(), expected, "{written}");
        }
    }

    #[test]
    fn networks_are_read_and_nobody_trusts_everybody() {
        for (text, expected) in [
            ("", Ok(0)),
            ("10.0.0.0/8", Ok(1)),
            ("10.0.0.1, ::1 ,2001:db8::/32,", Ok(3)),
            ("10.0.0.0/33", Err("not an address or a network")),
            ("proxy.example", Err("not an address or a network")),
            ("10.0.0.1:80", Err("not an address or a network")),
            ("0.0.0.0/0", Err("trusts everybody")),
            ("10.0.0.1,::/0", Err("trusts everybody")),
        ] {
            match (text.parse::<TrustedProxies>(), expected) {
                (Ok(proxies), Ok(count)) => assert_eq!(proxies.networks.len(), count, "{text}"),
                (Err(error), Err(problem)) => {
                    assert!(error.to_string().contains(problem), "{text}: {error}");
                }
                (read, expected) => panic!("{text}: {read:?}, not {expected:?}"),
            }
        }
        let many = "10.0.0.1,".repeat(NETWORKS_MAX + 1);
        assert!(many.parse::<TrustedProxies>().is_err());
    }

    #[test]
    fn a_list_without_end_names_no_client() {
        let proxies = vec!["10.0.0.2"; HOPS_MAX - 1].join(",");
        let nearest = format!("203.0.113.9,{proxies}");
        assert_eq!(
            client("10.0.0.0/8", "10.0.0.1", &[&nearest]).as_deref(),
            Some("203.0.113.9")
        );
        let too_far = format!("{nearest},10.0.0.2");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[&too_far]), None);
    }

    proptest! {
        /// The text that a client sends changes nothing about what our proxies tell of it.
        #[test]
        fn nothing_that_a_client_sends_changes_its_address(
            invented in vec("[ -~]{0,20}", 0..4),
            beside in "[ -~]{0,20}",
            proxies in 0_u8..3,
        ) {
            let mut values: Vec<String> = invented;
            let told: String = (0..proxies).map(|proxy| format!(", 10.0.0.{proxy}")).collect();
            values.push(format!("{beside},203.0.113.9{told}"));
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let found = client("10.0.0.0/8", "10.9.9.9", &values);
            prop_assert_eq!(found.as_deref(), Some("203.0.113.9"));
        }
    }
}
