//! The credential of a request.

use http::{HeaderMap, header};
use portcullis_contract::rejection::Rejection;

/// Returns the one token of a request: of `Authorization: Bearer …`, or else of the named cookie.
///
/// # Errors
/// [`Rejection::Missing`] when the request carries no token. [`Rejection::Malformed`] when it carries two of a kind, or
/// another scheme than `Bearer`.
pub fn find_token<'a>(headers: &'a HeaderMap, cookie: Option<&str>) -> Result<&'a str, Rejection> {
    if headers.contains_key(header::AUTHORIZATION) {
        return bearer_token(headers);
    }
    // Only without the header: a browser sends cookies by itself, and a header is set on purpose.
    match cookie {
        Some(name) => cookie_token(headers, name),
        None => Err(Rejection::Missing),
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, Rejection> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Rejection::Missing)?;
    // Two headers are ambiguous, and the gates on the way of one request must not disagree about which counts.
    if values.next().is_some() {
        return Err(Rejection::Malformed);
    }
    let text = value.to_str().map_err(|_| Rejection::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Rejection::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Rejection::Malformed);
    }
    Ok(token)
}

fn cookie_token<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Rejection> {
    let mut found = None;
    for value in headers.get_all(header::COOKIE) {
        // Cookies of other applications may be anything. One that is not text cannot have ours beside it.
        let Ok(text) = value.to_str() else {
            continue;
        };
        for pair in text.split(';') {
            let Some((key, token)) = pair.trim().split_once('=') else {
                continue;
            };
            if key != name {
                continue;
            }
            // Two cookies are as ambiguous as two headers: another path or domain may have planted one.
            if found.is_some() {
                return Err(Rejection::Malformed);
            }
            found = Some(token);
        }
    }
    found.ok_or(Rejection::Missing)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("a header value"),
            )
        });
        pairs.fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        })
    }

    #[test]
    fn one_token_is_taken_and_two_are_none() {
        let take = |pairs: &[(&'static str, &str)]| {
            find_token(&headers(pairs), Some("session")).map(str::to_owned)
        };
        assert_eq!(
            take(&[("authorization", "Bearer a.b.c")]),
            Ok("a.b.c".into())
        );
        assert_eq!(
            take(&[("cookie", "x=1; session=a.b.c; y=2")]),
            Ok("a.b.c".into())
        );
        assert_eq!(
            take(&[("authorization", "Bearer a"), ("cookie", "session=b")]),
            Ok("a".into())
        );
        assert_eq!(take(&[]), Err(Rejection::Missing));
        assert_eq!(take(&[("cookie", "sessions=b")]), Err(Rejection::Missing));
        assert_eq!(
            take(&[("authorization", "Basic a")]),
            Err(Rejection::Malformed)
        );
        assert_eq!(
            take(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]),
            Err(Rejection::Malformed)
        );
        assert_eq!(
            take(&[("cookie", "session=a"), ("cookie", "session=b")]),
            Err(Rejection::Malformed)
        );
        assert_eq!(
            find_token(&headers(&[("cookie", "session=a")]), None),
            Err(Rejection::Missing)
        );
    }
}
