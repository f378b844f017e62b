//! The credential of a request.

use http::{HeaderMap, HeaderValue, header};
use portcullis_contract::rejection::Rejection;

/// Returns the one token of a request: of `Authorization: Bearer …`, or else of the named cookie.
///
/// Headers are read as bytes: a cookie of another application may hold any text, and only that cookie is skipped. An
/// `Authorization` header of another scheme, such as `Basic`, belongs to the service behind the gate and is ignored. The
/// same token twice counts as one.
///
/// # Errors
/// [`Rejection::Missing`] when the request carries no token. [`Rejection::Malformed`] when it carries two different ones
/// of a kind, or text in the place of a token that can be none.
pub fn find_token<'a>(headers: &'a HeaderMap, cookie: Option<&str>) -> Result<&'a str, Rejection> {
    // Before the cookie: a browser sends cookies by itself, and a header is set on purpose.
    if let Some(token) = bearer_token(headers)? {
        return Ok(token);
    }
    let Some(name) = cookie else {
        return Err(Rejection::Missing);
    };
    cookie_token(headers, name)?.ok_or(Rejection::Missing)
}

/// Returns whether an `Authorization` header of the request is of the scheme `Bearer`, with whatever credential.
#[must_use]
pub fn has_bearer(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::AUTHORIZATION);
    values
        .iter()
        .any(|value| bearer_credential(value).is_some())
}

/// Returns the cookies of a request without those named `name`, in one header value: the others as they were, byte for
/// byte. An empty value means that no other cookie is left.
///
/// `None` when the request has no such cookie, so that its headers can stay as they are.
#[must_use]
pub fn cookies_without(headers: &HeaderMap, name: &str) -> Option<HeaderValue> {
    if !has_cookie(headers, name) {
        return None;
    }
    let mut rest: Vec<u8> = Vec::new();
    for value in headers.get_all(header::COOKIE) {
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            if pair.is_empty() || cookie_value(pair, name).is_some() {
                continue;
            }
            // RFC 9113, section 8.2.3: several fields become one with this delimiter.
            if !rest.is_empty() {
                rest.extend_from_slice(b"; ");
            }
            rest.extend_from_slice(pair);
        }
    }
    // Parts of header values make a header value. If they did not, no cookie at all would be the safe answer.
    Some(HeaderValue::from_bytes(&rest).unwrap_or(HeaderValue::from_static("")))
}

fn has_cookie(headers: &HeaderMap, name: &str) -> bool {
    let values = headers.get_all(header::COOKIE);
    values.iter().any(|value| {
        let mut pairs = value.as_bytes().split(|byte| *byte == b';');
        pairs.any(|pair| cookie_value(pair, name).is_some())
    })
}

/// Returns the token of `Authorization: Bearer …`, or `None` when every such header is of another scheme.
fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, Rejection> {
    let mut only = Only::default();
    let mut other_scheme = false;
    for value in headers.get_all(header::AUTHORIZATION) {
        match bearer_credential(value) {
            Some(credential) => only.add(credential)?,
            None => other_scheme = true,
        }
    }

    // Two headers are ambiguous: the gates on the way of one request must not disagree about which counts.
    if only.token.is_some() && other_scheme {
        return Err(Rejection::Malformed);
    }
    Ok(only.token)
}

/// Returns the text after `Bearer`, or `None` for a header of another scheme.
fn bearer_credential(value: &HeaderValue) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = value
        .as_bytes()
        .trim_ascii()
        .split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    match rest.first() {
        // RFC 9110, section 11.4: one or more spaces. A tab stays, and makes the credential malformed.
        Some(b' ') => {
            let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
            Some(&rest[spaces..])
        }
        // `BearerX` is another scheme. `Bearer` without a credential, or with a tab, is a malformed one of this scheme.
        Some(byte) if byte.is_ascii_graphic() => None,
        _ => Some(rest),
    }
}

/// Returns the token of the named cookie, or `None` when there is no such cookie or it is empty.
fn cookie_token<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Rejection> {
    let mut only = Only::default();
    for value in headers.get_all(header::COOKIE) {
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            let Some(token) = cookie_value(pair, name) else {
                continue;
            };
            // An application may clear its cookie by an empty one, which then is no credential.
            if !token.is_empty() {
                only.add(token)?;
            }
        }
    }
    Ok(only.token)
}

/// Returns the value of a `name=value` pair, or `None` for another cookie.
fn cookie_value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let pair = pair.trim_ascii();
    let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    // RFC 6265, section 4.1.1: a value may stand in quotes, which are no part of the token.
    let unquoted = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    Some(unquoted.unwrap_or(value))
}

/// The one token of a request, however often it is repeated.
#[derive(Default)]
struct Only<'a> {
    token: Option<&'a str>,
}

impl<'a> Only<'a> {
    fn add(&mut self, text: &'a [u8]) -> Result<(), Rejection> {
        if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
            return Err(Rejection::Malformed);
        }
        let token = std::str::from_utf8(text).map_err(|_| Rejection::Malformed)?;
        // Another path or domain may have planted the second one, and nothing tells which of them that is.
        if self.token.is_some_and(|known| known != token) {
            return Err(Rejection::Malformed);
        }
        self.token = Some(token);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    type Header = (&'static str, Vec<u8>);

    fn headers(pairs: &[Header]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            map.append(HeaderName::from_static(name), value);
        }
        map
    }

    fn found(pairs: &[(&'static str, &str)]) -> Result<String, Rejection> {
        let pairs: Vec<Header> = pairs
            .iter()
            .map(|(name, value)| (*name, value.as_bytes().to_vec()))
            .collect();
        find_token(&headers(&pairs), Some("session")).map(str::to_owned)
    }

    fn token(text: &str) -> Result<String, Rejection> {
        Ok(text.to_owned())
    }

    #[test]
    fn the_session_leaves_and_other_cookies_stay_as_they_were() {
        for (sent, left) in [
            (&["a=1"][..], None),
            (&[], None),
            (&["sessions=x; xsession=y; session; Session=z"], None),
            (&["session=t"], Some("")),
            (&["session="], Some("")),
            (&["session=\"t\""], Some("")),
            (&["a=1; session=t; b=2"], Some("a=1; b=2")),
            (
                &["a=\"1 ,x\";session=t;b=2=3;;c"],
                Some("a=\"1 ,x\"; b=2=3; c"),
            ),
            (&["session=t; session=u", "a=1"], Some("a=1")),
            (&["a=1", "session=t", "b=2"], Some("a=1; b=2")),
            (&["a=Z\u{fc}rich; session=t"], Some("a=Z\u{fc}rich")),
        ] {
            let mut map = HeaderMap::new();
            for value in sent {
                let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
                map.append(header::COOKIE, value);
            }
            let rest = cookies_without(&map, "session");
            assert_eq!(
                rest.as_ref().map(HeaderValue::as_bytes),
                left.map(str::as_bytes),
                "{sent:?}"
            );
        }
    }

    #[test]
    fn a_cookie_of_another_application_hides_nothing() {
        for (cookie, expected) in [
            ("session=a.b.c", token("a.b.c")),
            ("x=1; session=a.b.c; y=2", token("a.b.c")),
            ("city=Zürich; session=a.b.c", token("a.b.c")),
            ("session=a.b.c; city=Zürich", token("a.b.c")),
            ("Größe=3;session=a.b.c", token("a.b.c")),
            ("theme; session=a.b.c", token("a.b.c")),
            ("x=a=b;;  session=a.b.c ;", token("a.b.c")),
            ("\tsession=a.b.c\t", token("a.b.c")),
            ("session=\"a.b.c\"", token("a.b.c")),
            ("sessions=b; xsession=c", Err(Rejection::Missing)),
            ("Session=a.b.c", Err(Rejection::Missing)),
            ("session =a.b.c", Err(Rejection::Missing)),
            ("session", Err(Rejection::Missing)),
            ("session=", Err(Rejection::Missing)),
            ("session=; session=a", token("a")),
            ("session=Zürich", Err(Rejection::Malformed)),
            ("session=Zürich; session=a", Err(Rejection::Malformed)),
            ("session=a b", Err(Rejection::Malformed)),
        ] {
            assert_eq!(found(&[("cookie", cookie)]), expected, "{cookie}");
        }
    }

    #[test]
    fn any_byte_of_another_cookie_is_skipped() {
        for byte in (0x80..=0xff).chain(0x20..0x7f).chain([b'\t']) {
            let cookie = [b"city=Z", [byte].as_slice(), b"rich; session=a.b.c"].concat();
            let map = headers(&[("cookie", cookie)]);
            assert_eq!(find_token(&map, Some("session")), Ok("a.b.c"), "{byte:#x}");
        }
    }

    #[test]
    fn a_bearer_is_there_or_not() {
        for (value, expected) in [("Bearer a.b.c", true), ("Basic YTpi", false)] {
            let mut headers = HeaderMap::new();
            assert!(!has_bearer(&headers));
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(has_bearer(&headers), expected, "{value}");
        }
    }

    #[test]
    fn a_bearer_is_read_by_rfc_9110() {
        for (header, expected) in [
            ("Bearer a.b.c", token("a.b.c")),
            ("Bearer   a.b.c", token("a.b.c")),
            ("bearer a.b.c", token("a.b.c")),
            ("BEARER a.b.c ", token("a.b.c")),
            ("Bearer", Err(Rejection::Malformed)),
            ("Bearer ", Err(Rejection::Malformed)),
            ("Bearer\ta.b.c", Err(Rejection::Malformed)),
            ("Bearer \ta.b.c", Err(Rejection::Malformed)),
            ("Bearer a.b.c d", Err(Rejection::Malformed)),
            ("Bearer a.b.c, Bearer a.b.c", Err(Rejection::Malformed)),
            ("Bearer Zürich", Err(Rejection::Malformed)),
            ("BearerX a.b.c", Err(Rejection::Missing)),
            ("Basic YTpi", Err(Rejection::Missing)),
            ("", Err(Rejection::Missing)),
        ] {
            assert_eq!(found(&[("authorization", header)]), expected, "{header:?}");
        }
        assert_eq!(found(&[]), Err(Rejection::Missing));
    }

    #[test]
    fn another_scheme_beside_a_cookie_belongs_to_the_upstream() {
        for scheme in [
            "Basic YTpi",
            "Digest username=\"Zürich\"",
            "DPoP a.b.c",
            "Negotiate",
            "BearerX a",
            "Basic Bearer",
            "",
        ] {
            let pairs = [("authorization", scheme), ("cookie", "session=a.b.c")];
            assert_eq!(found(&pairs), token("a.b.c"), "{scheme:?}");
        }
        // A malformed bearer was still meant for this gate.
        let pairs = [("authorization", "Bearer"), ("cookie", "session=a.b.c")];
        assert_eq!(found(&pairs), Err(Rejection::Malformed));
        let map = headers(&[("cookie", b"session=a".to_vec())]);
        assert_eq!(find_token(&map, None), Err(Rejection::Missing));
    }

    #[test]
    fn equal_credentials_are_one_and_different_ones_are_refused() {
        const BOTH: Result<String, Rejection> = Err(Rejection::Malformed);
        let bearer = |text| ("authorization", text);
        let cookie = |text| ("cookie", text);
        for (pairs, expected) in [
            (vec![cookie("session=a; session=a")], token("a")),
            (vec![cookie("session=a"), cookie("session=a")], token("a")),
            (vec![cookie("session=a; session=\"a\"")], token("a")),
            (vec![cookie("session=a; session=b")], BOTH),
            (vec![cookie("session=a"), cookie("session=b")], BOTH),
            (vec![cookie("session=a; session=b; session=a")], BOTH),
            (vec![bearer("Bearer a"), bearer("bearer  a")], token("a")),
            (vec![bearer("Bearer a"), bearer("Bearer b")], BOTH),
            (vec![bearer("Bearer a"), bearer("Basic b")], BOTH),
            (vec![bearer("Basic b"), bearer("Bearer a")], BOTH),
            // The header was set on purpose; the browser sent the cookie by itself.
            (vec![bearer("Bearer a"), cookie("session=b")], token("a")),
        ] {
            assert_eq!(found(&pairs), expected, "{pairs:?}");
        }
    }

    /// Pieces that say something to a reader of headers, and bytes that say nothing.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let known: [&[u8]; 12] = [
            b"Bearer",
            b"Basic",
            b"session",
            b"sess",
            b"=",
            b";",
            b" ",
            b"\t",
            b"\"",
            b",",
            b"a.b.c",
            "ü".as_bytes(),
        ];
        let byte = any::<u8>().prop_filter("a byte of a header", |byte| {
            *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f)
        });
        let piece = prop_oneof![
            select(known.to_vec()).prop_map(<[u8]>::to_vec),
            byte.prop_map(|byte| vec![byte]),
        ];
        vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// The token is part of the request, of one piece, and stays the same beside cookies of others.
        #[test]
        fn a_token_is_found_whatever_others_send(
            authorization in vec(text(), 0..3),
            cookies in vec(text(), 0..3),
            foreign in text(),
        ) {
            let mut pairs: Vec<Header> = Vec::new();
            pairs.extend(authorization.into_iter().map(|value| ("authorization", value)));
            pairs.extend(cookies.into_iter().map(|value| ("cookie", value)));
            let map = headers(&pairs);
            let verdict = find_token(&map, Some("session"));
            if let Ok(token) = verdict {
                prop_assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
                let sent = |value: &[u8]| value.windows(token.len()).any(|part| part == token.as_bytes());
                prop_assert!(pairs.iter().any(|(_, value)| sent(value)));
            }

            // Without a `;` it is one cookie, of another name.
            let foreign: Vec<u8> = foreign.into_iter().filter(|byte| *byte != b';').collect();
            pairs.push(("cookie", [b"x".as_slice(), &foreign].concat()));
            let beside = headers(&pairs);
            prop_assert_eq!(find_token(&beside, Some("session")), verdict);

            // Each header twice says nothing else.
            let twice = headers(&[pairs.clone(), pairs].concat());
            prop_assert_eq!(find_token(&twice, Some("session")), verdict);
        }
    }
}
