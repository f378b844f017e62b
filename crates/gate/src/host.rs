//! Hosts: the one that a request names, and the patterns of rules.

use std::{fmt, net::Ipv6Addr};

use http::{HeaderMap, header};

use crate::refused::{HeadProblem, Refused};

/// The host that a request names. Its name is compared without regard to letter case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host<'a> {
    /// Without the port and without a dot at the end.
    pub(crate) name: &'a str,
    pub(crate) port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `api.example.com`, `api.example.com:8443` and `[::1]:80`.
    pub(crate) fn parse(authority: &'a str) -> Result<Self, HeadProblem> {
        if authority.is_empty() {
            return Err(HeadProblem::NoHost);
        }
        let (name, port) = split_port(authority).ok_or(HeadProblem::InvalidHost)?;
        // The root of DNS: `example.com.` is `example.com`.
        let name = name.strip_suffix('.').unwrap_or(name);
        if !is_name(name) && !is_bracketed_address(name) {
            return Err(HeadProblem::InvalidHost);
        }
        Ok(Self { name, port })
    }

    /// Returns whether both name the same host, and the same port if both name one.
    fn agrees_with(&self, other: &Self) -> bool {
        let same_port = match (self.port, other.port) {
            (Some(one), Some(other)) => one == other,
            // A proxy may leave the port of its scheme out.
            _ => true,
        };
        same_port && self.name.eq_ignore_ascii_case(other.name)
    }
}

/// Finds the host of a request. `Host` headers must agree with the authority: a gate and an upstream that read different
/// ones would apply the rules of one host to another.
pub(crate) fn find_host<'a>(authority: &'a str, headers: &HeaderMap) -> Result<Host<'a>, Refused> {
    let host = Host::parse(authority)?;
    let mut values = headers.get_all(header::HOST).iter();
    let Some(value) = values.next() else {
        return Ok(host);
    };
    // Servers differ in which one they take.
    if values.next().is_some() {
        return Err(HeadProblem::SeveralHosts.into());
    }
    // Nearly always the same text.
    // A second parse of equal bytes would find the same host.
    if value.as_bytes() == authority.as_bytes() {
        return Ok(host);
    }
    let text = value.to_str().map_err(|_| HeadProblem::InvalidHost)?;
    if !Host::parse(text)?.agrees_with(&host) {
        return Err(HeadProblem::SeveralHosts.into());
    }
    Ok(host)
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    // Inside of brackets a colon is part of the address.
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[after_address..].find(':') else {
        return Some((authority, None));
    };
    let (name, port) = authority.split_at(after_address + colon);
    let digits = &port[1..];
    // `parse` would take a sign.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((name, Some(digits.parse().ok()?)))
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Returns whether `name` is labels of letters, digits, `-` and `_`, separated by single dots.
pub(crate) fn is_name(name: &str) -> bool {
    let mut label_is_empty = true;
    for byte in name.bytes() {
        if byte == b'.' {
            if label_is_empty {
                return false;
            }
            label_is_empty = true;
        } else if is_label_byte(byte) {
            label_is_empty = false;
        } else {
            return false;
        }
    }
    !label_is_empty
}

fn is_bracketed_address(name: &str) -> bool {
    let inner = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// The hosts of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    Any,
    /// In small letters.
    Exact(String),
    /// `*.example.com`: all names below. The text begins with the dot.
    Below(String),
}

impl HostPattern {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else {
            return Ok(Self::Any);
        };
        let text = text.to_ascii_lowercase();
        if let Some(domain) = text.strip_prefix("*.")
            && is_name(domain)
        {
            return Ok(Self::Below(format!(".{domain}")));
        }
        if is_name(&text) || is_bracketed_address(&text) {
            return Ok(Self::Exact(text));
        }
        Err("must be a name without a port, as `api.example.com` or `*.example.com`".to_owned())
    }

    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Below(suffix) => match host.len().checked_sub(suffix.len()) {
                // The domain itself is not below itself.
                None | Some(0) => false,
                // Bytes, because a pattern could end inside of a character. Hosts of requests are ASCII.
                Some(at) => host.as_bytes()[at..].eq_ignore_ascii_case(suffix.as_bytes()),
            },
        }
    }

    /// Returns whether this pattern matches every host that `other` matches.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) | (Self::Exact(_), Self::Below(_)) => false,
            (Self::Exact(one), Self::Exact(other)) => one == other,
            (Self::Below(_), Self::Exact(name)) => self.matches(name),
            (Self::Below(one), Self::Below(other)) => other.ends_with(one.as_str()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_one_way_or_refused() {
        for (authority, expected) in [
            ("api.example.com", Ok(("api.example.com", None))),
            ("API.example.COM:8443", Ok(("API.example.COM", Some(8443)))),
            ("api.example.com.", Ok(("api.example.com", None))),
            ("api.example.com.:80", Ok(("api.example.com", Some(80)))),
            ("localhost", Ok(("localhost", None))),
            ("a_b-c", Ok(("a_b-c", None))),
            ("192.0.2.1:80", Ok(("192.0.2.1", Some(80)))),
            ("[::1]", Ok(("[::1]", None))),
            ("[::1]:443", Ok(("[::1]", Some(443)))),
            ("", Err(HeadProblem::NoHost)),
            ("a..b", Err(HeadProblem::InvalidHost)),
            (".", Err(HeadProblem::InvalidHost)),
            (".a", Err(HeadProblem::InvalidHost)),
            ("a:", Err(HeadProblem::InvalidHost)),
            (":80", Err(HeadProblem::InvalidHost)),
            ("a:+80", Err(HeadProblem::InvalidHost)),
            ("a:65536", Err(HeadProblem::InvalidHost)),
            ("a:80:80", Err(HeadProblem::InvalidHost)),
            ("user@a", Err(HeadProblem::InvalidHost)),
            ("a:80@b", Err(HeadProblem::InvalidHost)),
            ("a/b", Err(HeadProblem::InvalidHost)),
            ("a\\b", Err(HeadProblem::InvalidHost)),
            ("a b", Err(HeadProblem::InvalidHost)),
            ("a,b", Err(HeadProblem::InvalidHost)),
            ("a%2eb", Err(HeadProblem::InvalidHost)),
            ("a?", Err(HeadProblem::InvalidHost)),
            ("\u{e4}.example", Err(HeadProblem::InvalidHost)),
            ("::1", Err(HeadProblem::InvalidHost)),
            ("[::1", Err(HeadProblem::InvalidHost)),
            ("[::1]x", Err(HeadProblem::InvalidHost)),
            ("x[::1]", Err(HeadProblem::InvalidHost)),
            ("[127.0.0.1]", Err(HeadProblem::InvalidHost)),
        ] {
            let read = Host::parse(authority).map(|host| (host.name, host.port));
            assert_eq!(read, expected, "{authority}");
        }
    }

    #[test]
    fn host_headers_agree_with_the_authority_or_are_refused() {
        for (headers, agrees) in [
            (&[][..], true),
            (&["api.example.com"], true),
            (&["API.example.com."], true),
            (&["api.example.com:443"], true),
            (&["api.example.com:80"], false),
            (&["other.example.com"], false),
            (&[""], false),
            (&["user@api.example.com"], false),
            (&["api.example.com", "api.example.com"], false),
            (&["api.example.com", "other.example.com"], false),
        ] {
            let mut map = HeaderMap::new();
            for value in headers {
                map.append(header::HOST, value.parse().expect("a value"));
            }
            let found = find_host("api.example.com:443", &map);
            assert_eq!(found.is_ok(), agrees, "{headers:?}");
        }
    }

    #[test]
    fn a_pattern_matches_its_hosts_and_no_neighbours() {
        for (pattern, host, expected) in [
            (None, "anything", true),
            (Some("api.example.com"), "api.example.com", true),
            (Some("API.example.com"), "api.EXAMPLE.com", true),
            (Some("api.example.com"), "xapi.example.com", false),
            (Some("api.example.com"), "api.example.com.evil", false),
            (Some("*.example.com"), "a.example.com", true),
            (Some("*.example.com"), "a.b.EXAMPLE.com", true),
            (Some("*.example.com"), "example.com", false),
            (Some("*.example.com"), ".example.com", false),
            (Some("*.example.com"), "badexample.com", false),
            (Some("[::1]"), "[::1]", true),
        ] {
            let compiled = HostPattern::parse(pattern).expect("a pattern");
            assert_eq!(compiled.matches(host), expected, "{pattern:?} {host}");
        }
        for bad in [
            "",
            "*",
            "*.",
            "a.*.b",
            "*a.b",
            "a:80",
            "https://a",
            "a/",
            "a.",
            "\u{e4}",
        ] {
            assert!(HostPattern::parse(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_matches() {
        let pattern =
            |text: &str| HostPattern::parse((!text.is_empty()).then_some(text)).expect("a pattern");
        for (one, other, expected) in [
            ("", "a.b", true),
            ("", "*.b", true),
            ("a.b", "", false),
            ("*.b", "", false),
            ("a.b", "A.B", true),
            ("a.b", "c.b", false),
            ("*.b", "a.b", true),
            ("*.b", "b", false),
            ("*.b", "*.a.b", true),
            ("*.a.b", "*.b", false),
            ("*.b", "*.b", true),
            ("*.b", "*.ab", false),
        ] {
            assert_eq!(
                pattern(one).covers(&pattern(other)),
                expected,
                "{one} {other}"
            );
        }
    }
}
