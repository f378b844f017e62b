//! `[session]`: the cookie that has the access token, and the application's addresses.

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_serving::config::ConfigError;
use serde::Deserialize;

/// The longest address of the application, in bytes.
const ADDRESS_BYTES_MAX: usize = 2_048;
/// The longest name of a cookie or a parameter, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// All bytes that would end a query parameter, or that servers could read in two ways.
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// `[session]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// The cookie with the access token, as the application's sign-in sets it.
    pub cookie: String,
    /// The application's sign-in page: a path of this host, or a URL. Required.
    pub sign_in_url: String,
    /// The query parameter of the sign-in page that has the address to return to.
    pub return_parameter: String,
    /// The application's page that removes its cookies after a sign-out: a path of this host, or a URL. Unset: the pages
    /// lead to `sign_in_url`.
    pub sign_out_url: Option<String>,
    /// The application's page for a person's password, second factor and recent changes. Unset: the advice has no link.
    pub account_url: Option<String>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            cookie: "__Host-session".to_owned(),
            sign_in_url: String::new(),
            return_parameter: "return_to".to_owned(),
            sign_out_url: None,
            account_url: None,
        }
    }
}

impl SessionConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.sign_in_url.is_empty() {
            return Err(ConfigError::new("session.sign_in_url", "required"));
        }
        check_address("session.sign_in_url", &self.sign_in_url)?;
        if let Some(address) = &self.sign_out_url {
            check_address("session.sign_out_url", address)?;
        }
        if let Some(address) = &self.account_url {
            check_address("session.account_url", address)?;
        }
        check_name("session.cookie", &self.cookie)?;
        check_name("session.return_parameter", &self.return_parameter)
    }

    /// The sign-in page, with the way back to `target`, a path of the console.
    pub(crate) fn sign_in_location(&self, public_url: Option<&str>, target: &str) -> String {
        let mut location = self.sign_in_url.clone();
        location.push(if location.contains('?') { '&' } else { '?' });
        location.push_str(&self.return_parameter);
        location.push('=');
        // Without a public URL the way back is a path. That is enough for a sign-in page on the
        // same host.
        let back = format!("{}{target}", public_url.unwrap_or_default());
        location.extend(utf8_percent_encode(&back, PARAMETER));
        location
    }
}

fn check_address(key: &str, address: &str) -> Result<(), ConfigError> {
    const FORM: &str = "must be a path as /sign-in, or a URL as https://app.example.com/sign-in";
    if address.len() > ADDRESS_BYTES_MAX {
        let problem = format!("must be at most {ADDRESS_BYTES_MAX} bytes");
        return Err(ConfigError::new(key, problem));
    }
    let Ok(uri) = address.parse::<Uri>() else {
        return Err(ConfigError::new(key, FORM));
    };
    let is_good = match uri.scheme_str() {
        Some("http" | "https") => uri.host().is_some_and(|host| !host.is_empty()),
        Some(_) => false,
        // `//host` would be another host.
        None => address.starts_with('/') && !address.starts_with("//"),
    };
    if !is_good || !address.bytes().all(is_address_byte) {
        return Err(ConfigError::new(key, FORM));
    }
    Ok(())
}

fn is_address_byte(byte: u8) -> bool {
    // A `#` would move the way back into the fragment, which no server sees. Whoever needs one of
    // the other characters writes it encoded.
    byte.is_ascii_graphic() && !b"\"#<>\\^`{|}'".contains(&byte)
}

fn check_name(key: &str, name: &str) -> Result<(), ConfigError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_name_byte) {
        let problem = "must be 1 to 128 letters, digits, `-`, `_` or `.`";
        return Err(ConfigError::new(key, problem));
    }
    Ok(())
}

fn is_name_byte(byte: u8) -> bool {
    // RFC 9110: the characters of a token, of which cookies and plain parameters are made.
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(sign_in_url: &str) -> SessionConfig {
        SessionConfig {
            sign_in_url: sign_in_url.to_owned(),
            ..SessionConfig::default()
        }
    }

    #[test]
    fn an_address_is_a_path_or_a_url() {
        for good in ["/sign-in", "/sign-in?x=1", "https://app.example.com/in"] {
            config(good).check().expect(good);
        }
        for bad in [
            "",
            "//evil.example/",
            "javascript:alert(1)",
            "sign-in",
            "/a\"b",
        ] {
            let refused = config(bad).check().expect_err(bad);
            assert_eq!(refused.key, "session.sign_in_url");
        }
    }

    #[test]
    fn the_way_back_is_one_parameter() {
        let location = config("/in?x=1").sign_in_location(None, "/sessions?a=b&c");
        assert_eq!(location, "/in?x=1&return_to=/sessions%3Fa%3Db%26c");
        let public = Some("https://console.example.com");
        let location = config("https://app.example.com/in").sign_in_location(public, "/");
        assert_eq!(
            location,
            "https://app.example.com/in?return_to=https%3A//console.example.com/"
        );
    }
}
