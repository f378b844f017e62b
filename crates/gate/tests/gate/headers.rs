//! What the upstream sees of the caller.

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_contract::id::{ApiKeyId, SessionId, UserId};
use portcullis_gate::{Access, Gate, IDENTITY_HEADERS, Rule, Rules, is_identity_header};
use proptest::{collection::vec, prelude::*};

use crate::world::{Request, World, get};

fn rules() -> Rules {
    Rules {
        cookie: Some("session".into()),
        rules: vec![
            Rule::new("/public", Access::Public),
            Rule::new("/either", Access::Either),
            Rule {
                forward_credential: true,
                ..Rule::new("/forward", Access::Either)
            },
            Rule {
                forward_overrides: true,
                ..Rule::new("/overrides", Access::Public)
            },
        ],
        ..Rules::default()
    }
}

/// The identity headers that an upstream sees, in any spelling that it could fold.
fn identity(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, value) in headers {
        let folded: String = name
            .as_str()
            .chars()
            .map(|character| {
                if character.is_alphanumeric() {
                    character
                } else {
                    '-'
                }
            })
            .collect();
        if folded.starts_with("x-portcullis-") {
            let value = value.to_str().expect("ASCII").to_owned();
            found.push((name.to_string(), value));
        }
    }
    found.sort();
    found
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = expected
        .iter()
        .map(|(name, value)| (format!("x-portcullis-{name}"), (*value).to_owned()))
        .collect();
    pairs.sort();
    pairs
}

#[test]
fn the_upstream_sees_the_identity_of_the_verdict() {
    let world = World::new();
    let gate = world.gate(&rules());
    let token = world.token(|claims| claims.amr = vec!["pwd".into(), "otp".into()]);
    let seen = get("/either").bearer(&token).upstream_headers(&gate);
    let session = SessionId::from_bytes([7; 16]).to_string();
    assert_eq!(
        identity(&seen),
        pairs(&[
            ("tenant", "acme"),
            ("user", "ada"),
            ("session", &session),
            ("acr", "low"),
            ("amr", "pwd otp"),
        ])
    );
    let plain = world.token(|claims| {
        claims.amr = vec![];
        claims.acr = String::new();
    });
    let seen = get("/either").bearer(&plain).upstream_headers(&gate);
    assert_eq!(
        identity(&seen),
        pairs(&[("tenant", "acme"), ("user", "ada"), ("session", &session)])
    );

    let key = world.api_key(|_| {});
    let seen = get("/either").bearer(&key).upstream_headers(&gate);
    let id = ApiKeyId::from_bytes([8; 16]).to_string();
    assert_eq!(
        identity(&seen),
        pairs(&[
            ("tenant", "acme"),
            ("user", "ada"),
            ("api-key", &id),
            ("scopes", "orders:read orders:write"),
        ])
    );
    assert!(identity(&get("/public").upstream_headers(&gate)).is_empty());
}

#[test]
fn a_value_that_is_no_header_is_encoded_and_never_missing() {
    let world = World::new();
    let gate = world.gate(&rules());
    for (user, expected) in [
        ("ada@example.com", "ada@example.com"),
        ("u:7/b+c;d\"e\\f", "u:7/b+c;d\"e\\f"),
        ("Zo\u{eb}", "Zo%C3%AB"),
        ("\u{8a9e}", "%E8%AA%9E"),
        ("\u{1f600}", "%F0%9F%98%80"),
        (" a b ", "%20a%20b%20"),
        ("50%", "50%25"),
        ("%41", "%2541"),
        ("a,b", "a%2Cb"),
        (" ", "%20"),
    ] {
        let token = world.token(|claims| claims.user_id = UserId::parse(user).expect("an id"));
        let seen = get("/either").bearer(&token).upstream_headers(&gate);
        assert_eq!(seen["x-portcullis-user"], expected, "{user}");
    }
    let odd = world.token(|claims| {
        claims.amr = vec!["a b".into(), "\u{e4}".into()];
        claims.acr = "\n".into();
    });
    let seen = get("/either").bearer(&odd).upstream_headers(&gate);
    assert_eq!(seen["x-portcullis-amr"], "a%20b %C3%A4");
    assert_eq!(seen["x-portcullis-acr"], "%0A");
}

#[test]
fn what_a_client_says_about_itself_is_removed_in_every_spelling() {
    let world = World::new();
    let gate = world.gate(&rules());
    let token = world.token(|_| {});
    for name in [
        "X-Portcullis-User",
        "x-portcullis-user",
        "x_portcullis_user",
        "x-portcullis_user",
        "x_portcullis-user",
        "X_PORTCULLIS_USER",
        "x.portcullis.user",
        "x~portcullis!user",
        "x-portcullis-api_key",
        "x_portcullis_api-key",
        "x-portcullis-roles",
        "x-portcullis-scopes",
        "x-portcullis-identity",
        "x-portcullis-status",
        "x-portcullis-anything",
        "x-portcullis-",
    ] {
        let honest = get("/either").bearer(&token);
        let expected = identity(&honest.upstream_headers(&gate));
        let spoofed = honest.header(name, "root").header(name, "other");
        assert_eq!(
            identity(&spoofed.upstream_headers(&gate)),
            expected,
            "{name}"
        );
        let public = get("/public").header(name, "root").upstream_headers(&gate);
        assert!(public.is_empty(), "{name}: {public:?}");
        assert!(is_identity_header(name));
    }
    for name in [
        "x-portculli-user",
        "xportcullis-user",
        "xx-portcullis-user",
        "x-portcullis",
        "x",
    ] {
        let kept = get("/public").header(name, "kept").upstream_headers(&gate);
        assert_eq!(kept[name], "kept");
        assert!(!is_identity_header(name));
    }
}

#[test]
fn the_list_has_every_spelling_that_folds_dashes() {
    let spellings = IDENTITY_HEADERS;
    let list: Vec<&str> = spellings.iter().map(HeaderName::as_str).collect();
    let unique: std::collections::BTreeSet<&str> = list.iter().copied().collect();
    assert_eq!(unique.len(), list.len());
    for name in &list {
        assert!(is_identity_header(name));
    }
    for suffix in [
        "tenant", "user", "session", "roles", "scopes", "acr", "amr", "identity",
    ] {
        for one in ['-', '_'] {
            for two in ['-', '_'] {
                let name = format!("x{one}portcullis{two}{suffix}");
                assert!(unique.contains(name.as_str()), "{name}");
            }
        }
    }
    assert_eq!(list.iter().filter(|name| name.ends_with("key")).count(), 8);
}

#[test]
fn a_connection_header_cannot_take_the_identity_out() {
    let world = World::new();
    let gate = world.gate(&rules());
    for (value, expected) in [
        ("close", "allowed"),
        ("Upgrade, keep-alive, x-portcullisuser", "allowed"),
        ("X-Portcullis-User", "connection_header"),
        ("close, x-portcullis-tenant", "connection_header"),
        ("close,\tx_portcullis_tenant ,", "connection_header"),
    ] {
        let request = get("/public").header("connection", value);
        assert_eq!(request.verdict(&gate), expected, "{value}");
    }
}

#[test]
fn headers_that_replace_the_request_are_removed_unless_the_rule_forwards_them() {
    let world = World::new();
    let gate = world.gate(&rules());
    for name in [
        "X-Original-URL",
        "x_original_url",
        "X-Rewrite-Url",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
    ] {
        let removed = get("/public")
            .header(name, "/admin")
            .upstream_headers(&gate);
        assert!(removed.is_empty(), "{name}");
        let kept = get("/overrides")
            .header(name, "/admin")
            .upstream_headers(&gate);
        assert_eq!(kept[name], "/admin");
    }
    let other = get("/public")
        .header("x-original-urls", "a")
        .upstream_headers(&gate);
    assert_eq!(other.len(), 1);
}

fn seen(request: &Request, gate: &Gate, name: &str) -> Vec<String> {
    let headers = request.upstream_headers(gate);
    let values = headers.get_all(name).iter();
    values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

#[test]
fn the_credential_stays_at_the_gate_unless_the_rule_forwards_it() {
    let world = World::new();
    let gate = world.gate(&rules());
    let token = world.token(|_| {});
    let bearer = format!("Bearer {token}");
    let cookies = format!("a=\"1, 2\"; session={token}; b=3=4");
    for path in ["/public", "/either"] {
        let request = get(path).bearer(&token);
        assert!(seen(&request, &gate, "authorization").is_empty(), "{path}");
        let request = get(path).header("cookie", &cookies);
        assert_eq!(
            seen(&request, &gate, "cookie"),
            ["a=\"1, 2\"; b=3=4"],
            "{path}"
        );
        let request = get(path).header("cookie", &format!("session={token}"));
        assert!(seen(&request, &gate, "cookie").is_empty(), "{path}");
        // The header wins, and the cookie leaves as well.
        let request = get(path)
            .bearer(&token)
            .header("cookie", "session=old; a=1");
        assert_eq!(seen(&request, &gate, "cookie"), ["a=1"], "{path}");
        // HTTP/2 splits cookies.
        let request = get(path)
            .header("cookie", "a=1")
            .header("cookie", &format!("session={token}"))
            .header("cookie", "b=2");
        assert_eq!(seen(&request, &gate, "cookie"), ["a=1; b=2"], "{path}");
        // Those of others stay as they are.
        let request = get(path)
            .header("authorization", "Basic YTpi")
            .header("cookie", "a=1;b=2")
            .header("cookie", &format!("session={token}"));
        assert_eq!(
            seen(&request, &gate, "authorization"),
            ["Basic YTpi"],
            "{path}"
        );
    }
    let request = get("/public")
        .header("cookie", "a=1;b=2")
        .header("cookie", "c");
    assert_eq!(seen(&request, &gate, "cookie"), ["a=1;b=2", "c"]);

    let request = get("/forward").bearer(&token).header("cookie", &cookies);
    assert_eq!(seen(&request, &gate, "authorization"), [bearer]);
    assert_eq!(seen(&request, &gate, "cookie"), [cookies]);
}

fn header_name() -> impl Strategy<Value = String> {
    let separator = prop_oneof!["-", "_", "\\.", "~", ""];
    let word = prop_oneof![
        Just("tenant"),
        Just("user"),
        Just("session"),
        Just("api-key"),
        Just("roles"),
        Just("scopes"),
        Just("identity"),
        Just("x"),
    ];
    let spoofed =
        (separator.clone(), separator, word, any::<bool>()).prop_map(|(one, two, word, upper)| {
            let name = format!("x{one}portcullis{two}{word}");
            if upper { name.to_uppercase() } else { name }
        });
    prop_oneof![
        4 => spoofed,
        1 => Just("cookie".to_owned()),
        1 => Just("accept".to_owned()),
        1 => "[a-z_.-]{1,12}",
    ]
}

proptest! {
    /// Whatever headers a client sends, the upstream sees exactly the identity of the verdict.
    #[test]
    fn the_identity_is_the_verdicts(
        sent in vec((header_name(), "[ -~]{0,12}"), 0..12),
        path in prop_oneof![Just("/public"), Just("/either")],
    ) {
        // One world for all cases would need a lock; making one takes a millisecond.
        let world = World::new();
        let gate = world.gate(&rules());
        let honest = get(path).bearer(&world.token(|_| {}));
        let expected = identity(&honest.upstream_headers(&gate));
        let mut request = honest;
        for (name, value) in &sent {
            if ["host", "connection", "authorization"].contains(&name.as_str()) {
                continue;
            }
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let headers = request.upstream_headers(&gate);
        prop_assert_eq!(identity(&headers), expected);
        prop_assert!(!headers.contains_key("authorization"));

        // All that is not the gate's own arrives as it was sent.
        for name in request.headers.keys() {
            let own = is_identity_header(name.as_str()) || name == "cookie" || name == "authorization";
            let replaced = name.as_str().contains("original") || name.as_str().contains("override");
            if !own && !replaced {
                let before: Vec<_> = request.headers.get_all(name).iter().collect();
                let after: Vec<_> = headers.get_all(name).iter().collect();
                prop_assert_eq!(before, after);
            }
        }
    }
}
