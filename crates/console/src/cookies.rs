//! Cookies of requests, and the console's own ones.

use http::{HeaderMap, HeaderValue, header::COOKIE};

// Browsers take a name with `__Host-` only from this very host, with `Secure` and for all paths. So
// no other host of the domain can set or replace one of these.
/// The reader's language.
pub(crate) const LANGUAGE: &str = "__Host-portcullis-language";
/// The reader's theme.
pub(crate) const THEME: &str = "__Host-portcullis-theme";
/// The reader's time zone, as a script of the pages sets it.
pub(crate) const ZONE: &str = "__Host-portcullis-zone";

/// How long a browser keeps a choice: a year, in seconds.
const KEPT_SECONDS: u32 = 365 * 24 * 60 * 60;

/// The value of a cookie. None also when it was sent twice with two values, so that nobody has to guess which counts.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut found = None;
    for header in headers.get_all(COOKIE) {
        // A header with other bytes makes the request one without a cookie. A guess could find
        // another value than the application does.
        for pair in header.to_str().ok()?.split(';') {
            let Some((key, value)) = pair.trim().split_once('=') else {
                continue;
            };
            if key != name {
                continue;
            }
            // Another site of the same domain may have set the second one.
            if found.is_some_and(|other| other != value) {
                return None;
            }
            found = Some(value);
        }
    }
    found.filter(|value| !value.is_empty())
}

/// A header that keeps a choice. `value` is a word of a fixed list.
pub(crate) fn keep(name: &str, value: &'static str) -> Option<HeaderValue> {
    let cookie =
        // No script reads the two choices, so no script gets them. The time zone has a cookie
        // without `HttpOnly`, because a script sets it and compares it.
        format!("{name}={value}; Path=/; Max-Age={KEPT_SECONDS}; Secure; HttpOnly; SameSite=Lax");
    cookie.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_cookie_counts_if_it_has_one_value() {
        let cases: [(&[&'static str], Option<&str>); 7] = [
            (&["a=1; session=x; b=2"], Some("x")),
            (&["a=1", "session=x"], Some("x")),
            (&["session=x; session=x"], Some("x")),
            (&["session=x; session=y"], None),
            (&["session=x", "session=y"], None),
            (&["session="], None),
            (&["xsession=x; session2=y"], None),
        ];
        for (values, expected) in cases {
            assert_eq!(cookie(&headers(values), "session"), expected, "{values:?}");
        }
    }
}
