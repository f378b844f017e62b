//! Credentials of requests. Each line of an input is a header: `a` and a value of `Authorization`, or `c` and one of
//! `Cookie`.

use http::{HeaderMap, HeaderValue, header};
use portcullis_validator_core::http::find_token;

use crate::Seed;

const COOKIE: &str = "session";

fn headers(data: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let (name, value) = match line.split_first()? {
            (b'a', value) => (header::AUTHORIZATION, value),
            (b'c', value) => (header::COOKIE, value),
            _ => return None,
        };
        headers.append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}

/// Throws headers at the finder.
pub fn check(data: &[u8]) -> bool {
    let Some(mut headers) = headers(data) else {
        return false;
    };
    let found = find_token(&headers, Some(COOKIE)).map(str::to_owned);
    if let Ok(token) = &found {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        let sent = |part: &[u8]| part == token.as_bytes();
        assert!(
            data.windows(token.len()).any(sent),
            "a token that nobody sent"
        );
    }

    // A cookie of another application changes nothing, whatever it says.
    let foreign = HeaderValue::from_bytes(b"city=Z\xfcrich; =; x").expect("a value");
    headers.append(header::COOKIE, foreign);
    let beside = find_token(&headers, Some(COOKIE)).map(str::to_owned);
    assert_eq!(beside, found);
    found.is_ok()
}

/// Requests with one token, with none, and with two.
pub fn seeds() -> Vec<Seed> {
    vec![
        Seed::good("bearer", "aBearer   a.b.c"),
        Seed::good("cookie", "cx=1; session=a.b.c"),
        Seed::good("beside-text", "ccity=Zürich; session=a.b.c"),
        Seed::good("beside-basic", "aBasic YTpi\ncsession=a.b.c"),
        Seed::good("twice", "csession=a.b.c\ncsession=\"a.b.c\""),
        Seed::bad("two", "csession=a.b.c; session=d.e.f"),
        Seed::bad("two-schemes", "aBearer a.b.c\naBasic YTpi"),
        Seed::bad("none", "csessions=a.b.c"),
    ]
}
