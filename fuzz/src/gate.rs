//! Requests and rules at a gate. A first byte of 0: the rest is rules in TOML; of 1: in JSON. Else it is the head of a
//! request, line by line: the method, the authority, the target, and headers as `name: value`.

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_gate::{
    Decision, Gate, RequestHead, Rules, RulesError, Subject, is_identity_header,
};
use portcullis_validator_core::{Engine, Settings};

use crate::{
    Seed, mode, with_mode,
    world::{AUDIENCE, ISSUER},
};

const RULES: &str = r#"
    cookie = "session"
    sign_in = "/sign-in"
    rules = [
        { path = "/admin/{*rest}", access = "session" },
        { path = "/read/{*rest}", access = "public", upstream_reads = { encoded_slash = "literal", semicolon = "literal" } },
        { path = "/{*rest}", access = "public" },
    ]
"#;

/// Nobody signs in here, so what passes is public.
static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let (engine, _) = Engine::new(Settings::new(ISSUER, AUDIENCE)).expect("good settings");
    let rules = Rules::from_toml(RULES).expect("rules");
    Gate::new(Arc::new(engine), &rules).expect("good rules")
});

/// Throws rules or a request at a gate.
pub fn check(data: &[u8]) -> bool {
    let Some((mode, text)) = mode(data) else {
        return false;
    };
    match (mode, std::str::from_utf8(text)) {
        (0, Ok(text)) => is_usable(Rules::from_toml(text)),
        (1, Ok(text)) => is_usable(Rules::from_json(text)),
        (0 | 1, Err(_)) => false,
        _ => passes(text).unwrap_or(false),
    }
}

/// Rules are usable, or the error says what is wrong.
fn is_usable(rules: Result<Rules, RulesError>) -> bool {
    match rules.and_then(|rules| rules.compile()) {
        Ok(compiled) => {
            let explained = compiled.explain("GET", "https://a.example/admin");
            assert!(!explained.expect("a question").to_string().is_empty());
            true
        }
        Err(error) => {
            assert!(!error.problem.is_empty());
            false
        }
    }
}

/// Whether a request passes. `None` when it cannot be the head of one.
fn passes(text: &[u8]) -> Option<bool> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let method = Method::from_bytes(lines.next()?).ok()?;
    let authority = std::str::from_utf8(lines.next()?).ok()?;
    let target = std::str::from_utf8(lines.next()?).ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        headers.append(name, value);
    }
    let head = RequestHead {
        method: &method,
        authority,
        target,
        headers: &headers,
        peer: None,
    };
    match GATE.decide(&head) {
        Decision::Allow(allow) => {
            assert!(matches!(allow.subject, Subject::Anyone), "nobody signed in");
            assert!(!is_admin(target), "{target}");
            let mut seen = headers.clone();
            allow.headers.apply(&mut seen);
            assert!(!seen.keys().any(|name| is_identity_header(name.as_str())));
            Some(true)
        }
        Decision::Deny(deny) => {
            assert!(!deny.reason.is_empty());
            let mut names = deny.headers.iter().map(|(name, _)| name);
            assert!(names.any(|name| name == "cache-control"));
            let travels = deny.for_auth_request();
            assert!([401, 403].contains(&travels.status.as_u16()));
            Some(false)
        }
    }
}

/// Whether a server that decodes again and again would look below `/admin`.
fn is_admin(target: &str) -> bool {
    let mut path = target.split('?').next().unwrap_or_default().to_lowercase();
    for _ in 0..3 {
        path = path
            .replace("%2f", "/")
            .replace("%2e", ".")
            .replace("%25", "%")
            .replace("%61", "a")
            .replace('\\', "/");
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        // The rule below `/read` says that its upstream takes all of this for names.
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    segments.first() == Some(&"admin") && !path.starts_with("/read/")
}

/// Rules and requests, good and bad ones.
pub fn seeds() -> Vec<Seed> {
    let request = |text: &str| with_mode(2, text);
    vec![
        Seed::good("rules-toml", with_mode(0, RULES)),
        Seed::good(
            "rules-json",
            with_mode(
                1,
                r#"{"rules": [{"path": "/a/{b}", "access": "either", "max_age": "5m"}]}"#,
            ),
        ),
        Seed::bad("rules-unknown", with_mode(0, "no_such_key = 1")),
        Seed::bad(
            "rules-shadow",
            with_mode(
                0,
                "rules = [{ path = '/{*a}', access = 'public' }, { path = '/b', access = 'session' }]",
            ),
        ),
        Seed::bad(
            "rules-pattern",
            with_mode(1, r#"{"rules": [{"path": "/{a", "access": "public"}]}"#),
        ),
        Seed::good(
            "public",
            request("GET\na.example\n/x?y=1\nX-Portcullis-User: root"),
        ),
        Seed::good("reading", request("GET\na.example\n/read/a%2fb;c")),
        Seed::good(
            "twins",
            request("GET\na.example\n/\nx_portcullis.user: root\nCookie: session=a; b=c"),
        ),
        Seed::bad(
            "session",
            request("GET\na.example\n/admin/x\nAccept: text/html"),
        ),
        Seed::bad("dots", request("GET\na.example\n/x/../admin")),
        Seed::bad("encoded", request("GET\na.example\n/x%2f..%2fadmin")),
        Seed::bad("twice", request("GET\na.example\n/%2561dmin")),
        Seed::bad("absolute", request("GET\na.example\nhttp://a.example/")),
        Seed::bad("hosts", request("GET\na.example\n/\nHost: b.example")),
        Seed::bad(
            "connection",
            request("GET\na.example\n/\nConnection: X-Portcullis-User"),
        ),
    ]
}
