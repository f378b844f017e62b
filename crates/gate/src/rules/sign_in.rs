//! Sign-in addresses.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::host::Host;

/// The longest sign-in address, in bytes.
const ADDRESS_BYTES_MAX: usize = 2_048;
/// All bytes that would end a query parameter, or that servers could read in two ways.
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The address to which a navigation without a good session is redirected.
#[derive(Clone, Debug)]
pub(crate) struct SignIn {
    address: String,
    /// The host and port. `None` for the host of the request.
    host: Option<(String, u16)>,
    /// The path, without the query.
    path: String,
    /// The query parameter that has the target to return to.
    return_parameter: String,
}

impl SignIn {
    pub(crate) fn parse(address: &str, return_parameter: &str) -> Result<Self, String> {
        if address.len() > ADDRESS_BYTES_MAX {
            return Err(format!("must be at most {ADDRESS_BYTES_MAX} bytes"));
        }
        let Some((host, path)) = split_address(address) else {
            return Err(
                "must be a path as `/sign-in`, or a URL as `https://login.example.com/`".to_owned(),
            );
        };
        Ok(Self {
            address: address.to_owned(),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            host,
            return_parameter: return_parameter.to_owned(),
        })
    }

    /// Returns the address for a request, or `None` when the request is for the sign-in page itself.
    ///
    /// `parameters` are the demands that a new sign-in has to meet. The target of the request becomes the address to
    /// return to, if the page is on the same host: so it can lead to no other host.
    pub(crate) fn location(
        &self,
        host: Host<'_>,
        target: &str,
        parameters: &[(&str, String)],
    ) -> Option<String> {
        let is_same_host = self.is_at(host);
        // A redirect to the page that was asked for would never end.
        if is_same_host && target.split('?').next() == Some(&self.path) {
            return None;
        }

        let mut location = self.address.clone();
        // A sign-in page elsewhere would get a path without its host, and lead the person to a page
        // of its own.
        if is_same_host && leads_to_this_host(target) {
            push_parameter(&mut location, &self.return_parameter, target);
        }
        for (name, value) in parameters {
            push_parameter(&mut location, name, value);
        }
        Some(location)
    }

    fn is_at(&self, host: Host<'_>) -> bool {
        let Some((name, port)) = &self.host else {
            return true;
        };
        // A request without a port came to the default port of its scheme, which the gate does not know.
        let same_port = host.port.is_none_or(|own| own == *port);
        same_port && name.eq_ignore_ascii_case(host.name)
    }
}

/// Returns whether a browser that follows `target` stays on its host: `//host` and `/\host` are other hosts.
fn leads_to_this_host(target: &str) -> bool {
    target.starts_with('/') && !target[1..].starts_with(['/', '\\'])
}

fn is_address_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte)
}

/// Returns the host with its port, if the address names one, and the path. `None` for what is neither a path nor a URL.
fn split_address(address: &str) -> Option<(Option<(String, u16)>, &str)> {
    if !address.bytes().all(is_address_byte) {
        return None;
    }
    let (host, rest) = match split_origin(address) {
        None => (None, address),
        Some((authority, default_port, rest)) => {
            let host = Host::parse(authority).ok()?;
            let port = host.port.unwrap_or(default_port);
            (Some((host.name.to_owned(), port)), rest)
        }
    };
    let path = rest.split('?').next().unwrap_or_default();
    // `//host` would be another host.
    let is_path = path.starts_with('/') && !path.starts_with("//");
    let is_origin_alone = path.is_empty() && host.is_some();
    (is_path || is_origin_alone).then_some((host, path))
}

/// Returns the authority, the default port and the rest of a URL.
fn split_origin(address: &str) -> Option<(&str, u16, &str)> {
    let (rest, port) = match address.strip_prefix("https://") {
        Some(rest) => (rest, 443),
        None => (address.strip_prefix("http://")?, 80),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    Some((authority, port, rest))
}

fn push_parameter(location: &mut String, name: &str, value: &str) {
    location.push(if location.contains('?') { '&' } else { '?' });
    location.push_str(name);
    location.push('=');
    location.extend(utf8_percent_encode(value, PARAMETER));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(address: &str, authority: &str, target: &str) -> Option<String> {
        let host = Host::parse(authority).expect("a host");
        SignIn::parse(address, "return_to")
            .expect(address)
            .location(host, target, &[])
    }

    #[test]
    fn the_return_address_stays_on_the_host() {
        const APP: &str = "app.example.com";
        for (address, authority, target, expected) in [
            (
                "/login",
                APP,
                "/a?b=c&d",
                Some("/login?return_to=/a%3Fb%3Dc%26d"),
            ),
            ("/login?x=1", APP, "/a", Some("/login?x=1&return_to=/a")),
            ("/login", APP, "/", Some("/login?return_to=/")),
            ("/login", APP, "//evil.example/", Some("/login")),
            ("/login", APP, "/\\evil.example/", Some("/login")),
            (
                "/login",
                APP,
                "/%2F%2Fevil",
                Some("/login?return_to=/%252F%252Fevil"),
            ),
            ("/login", APP, "/login?again", None),
            (
                "https://app.example.com/login",
                APP,
                "/a",
                Some("https://app.example.com/login?return_to=/a"),
            ),
            (
                "https://APP.example.com/login",
                "app.example.com.",
                "/a",
                Some("https://APP.example.com/login?return_to=/a"),
            ),
            (
                "https://app.example.com/login",
                "app.example.com:443",
                "/login",
                None,
            ),
            (
                "https://app.example.com/login",
                "app.example.com:8443",
                "/a",
                Some("https://app.example.com/login"),
            ),
            (
                "https://login.example.com",
                APP,
                "/a",
                Some("https://login.example.com"),
            ),
            (
                "https://login.example.com?x",
                APP,
                "/",
                Some("https://login.example.com?x"),
            ),
        ] {
            let found = location(address, authority, target);
            assert_eq!(found.as_deref(), expected, "{address} {target}");
        }
    }

    #[test]
    fn an_address_is_a_path_or_a_url() {
        for bad in [
            "",
            "login",
            "//login.example.com",
            "ftp://a/",
            "https://",
            "https:///a",
            "https://u@a/",
            "https://a:x/",
            "javascript:alert(1)",
            "/a b",
            "/a#b",
            "/a\\b",
            "/\u{e4}",
            "/a\"b",
            "https://a//b",
        ] {
            assert!(SignIn::parse(bad, "r").is_err(), "{bad}");
        }
        let long = format!("/{}", "a".repeat(ADDRESS_BYTES_MAX));
        assert!(SignIn::parse(&long, "r").is_err());
    }

    #[test]
    fn demands_travel_with_the_redirect() {
        let sign_in = SignIn::parse("https://login.example.com/", "return_to").expect("a URL");
        let host = Host::parse("app.example.com").expect("a host");
        let demands = [
            ("acr_values", "urn:a urn:b".to_owned()),
            ("max_age", "300".to_owned()),
        ];
        assert_eq!(
            sign_in.location(host, "/a", &demands).as_deref(),
            Some("https://login.example.com/?acr_values=urn%3Aa%20urn%3Ab&max_age=300")
        );
    }
}
