//! Rules that cannot be used, and the explanation of those that can.

use std::time::Duration;

use portcullis_gate::{
    Access, ExplainError, HeadProblem, PathProblem, PrivateKeyText, RULES_MAX, Refused, Rule,
    Rules, SignedIdentity,
};

use crate::world::{HOST, World};

fn key_of(rules: &Rules) -> String {
    rules
        .compile()
        .err()
        .map(|error| error.key)
        .unwrap_or_default()
}

/// Rules that are added to a good one, and the key that is wrong about them.
const RULES: [(&str, &str); 34] = [
    ("path = '/a', access = 'session'", ""),
    ("path = '/a', access = 'session', host = 'a:80'", "host"),
    ("path = 'a', access = 'session'", "path"),
    ("path = '/{a', access = 'session'", "path"),
    ("path = '/a/{*b}/c', access = 'session'", "path"),
    ("path = '/a//b', access = 'public'", "path"),
    (
        "path = '/a', access = 'session', methods = ['get']",
        "methods[0]",
    ),
    (
        "path = '/a', access = 'session', methods = ['GET', 'A B']",
        "methods[1]",
    ),
    (
        "path = '/a', access = 'session', methods = ['GET', 'GET']",
        "methods[1]",
    ),
    ("path = '/a', access = 'api_key', scopes = ['a']", ""),
    ("path = '/a', access = 'either', scopes = ['a']", ""),
    ("path = '/a', access = 'session', scopes = ['a']", "scopes"),
    ("path = '/a', access = 'public', scopes = ['a']", "scopes"),
    (
        "path = '/a', access = 'api_key', scopes = ['a b']",
        "scopes[0]",
    ),
    (
        "path = '/a', access = 'api_key', scopes = ['a', '\"']",
        "scopes[1]",
    ),
    (
        "path = '/a', access = 'session', tenants = ['']",
        "tenants[0]",
    ),
    ("path = '/a', access = 'public', tenants = ['a']", "tenants"),
    ("path = '/a', access = 'either', acr = 'mid'", ""),
    ("path = '/a', access = 'api_key', acr = 'mid'", "acr"),
    ("path = '/a', access = 'session', acr = 'other'", "acr"),
    ("path = '/a', access = 'session', acr = 'a\"b'", "acr"),
    ("path = '/a', access = 'session', amr = ['a b']", "amr[0]"),
    ("path = '/a', access = 'public', amr = ['a']", "amr"),
    (
        "path = '/a', access = 'session', max_age = '10ms'",
        "max_age",
    ),
    (
        "path = '/a', access = 'api_key', max_age = '10s'",
        "max_age",
    ),
    ("path = '/a', access = 'public', mode = 'strict'", "mode"),
    (
        "path = '/a', access = 'public', background = true",
        "background",
    ),
    (
        "path = '/a', access = 'session', sign_in = '//x'",
        "sign_in",
    ),
    ("path = '/a', access = 'api_key', sign_in = '/x'", "sign_in"),
    (
        "path = '/a', access = 'session', sign_in = '/x', redirect = false",
        "redirect",
    ),
    ("path = '/a', access = 'session', redirect = false", ""),
    (
        "path = '/a', access = 'session', identity_audience = 'a'",
        "identity_audience",
    ),
    (
        "path = '/a', access = 'public', identity_audience = 'a'",
        "identity_audience",
    ),
    (
        "path = '/a', access = 'public', forward_credential = true",
        "",
    ),
];

#[test]
fn a_rule_that_cannot_be_used_is_named() {
    for (rule, key) in RULES {
        let text = format!(
            "acr_order = ['low', 'mid']\nrules = [{{ path = '/first', access = 'public' }}, {{ {rule} }}]"
        );
        let expected = match key {
            "" => String::new(),
            key => format!("rules[1].{key}"),
        };
        let rules = Rules::from_toml(&text).expect(rule);
        assert_eq!(key_of(&rules), expected, "{rule}");
    }
}

#[test]
fn what_all_rules_share_is_checked() {
    let long = "x".repeat(300);
    let long_path = format!(
        "rules = [{{ path = '/{}', access = 'public' }}]",
        "a".repeat(1_024)
    );
    let many = |count: usize| {
        let values: Vec<String> = (0..count).map(|number| format!("'s{number}'")).collect();
        values.join(",")
    };
    let rules = |count: usize| {
        let each = |number| format!("{{ path = '/{number}', access = 'public' }}");
        let values: Vec<String> = (0..count).map(each).collect();
        format!("rules = [{}]", values.join(","))
    };
    for (text, key) in [
        ("cookie = '__Host-session'".to_owned(), ""),
        ("cookie = ''".to_owned(), "cookie"),
        ("cookie = 'a=b'".to_owned(), "cookie"),
        (format!("cookie = '{long}'"), "cookie"),
        ("trusted_proxies = ['10.0.0.1', '::1']".to_owned(), ""),
        (
            "trusted_proxies = ['10.0.0.1', '0.0.0.0/0']".to_owned(),
            "trusted_proxies[1]",
        ),
        ("acr_order = ['a b']".to_owned(), "acr_order[0]"),
        ("acr_order = ['a', 'a']".to_owned(), "acr_order[1]"),
        (format!("acr_order = [{}]", many(33)), "acr_order"),
        ("sign_in = 'x'".to_owned(), "sign_in"),
        ("return_parameter = 'a&b'".to_owned(), "return_parameter"),
        (
            format!(
                "rules = [{{ path = '/', access = 'api_key', scopes = [{}] }}]",
                many(65)
            ),
            "rules[0].scopes",
        ),
        (long_path, "rules[0].path"),
        (rules(RULES_MAX), ""),
        (rules(RULES_MAX + 1), "rules"),
    ] {
        let rules = Rules::from_toml(&text).expect("keys that are known");
        assert_eq!(key_of(&rules), key, "{text:.60}");
    }
}

#[test]
fn a_signed_identity_needs_a_good_key_and_a_short_life() {
    let good = crate::signed::settings();
    type Break = fn(&mut SignedIdentity);
    let cases: [(&str, Break); 10] = [
        ("", |_| {}),
        ("key", |settings| {
            settings.key = PrivateKeyText("hunter2".into());
        }),
        ("key", |settings| {
            settings.key = PrivateKeyText(
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".into(),
            );
        }),
        ("key_id", |settings| settings.key_id = "a b".into()),
        ("issuer", |settings| settings.issuer = String::new()),
        ("audience", |settings| settings.audience = "x".repeat(257)),
        ("lifetime", |settings| {
            settings.lifetime = Duration::from_secs(61);
        }),
        ("lifetime", |settings| settings.lifetime = Duration::ZERO),
        ("lifetime", |settings| {
            settings.lifetime = Duration::from_millis(1_500);
        }),
        ("", |settings| settings.lifetime = Duration::from_secs(60)),
    ];
    for (key, change) in cases {
        let mut settings = good.clone();
        change(&mut settings);
        let rules = Rules {
            signed_identity: Some(settings),
            ..Rules::default()
        };
        let expected = if key.is_empty() {
            String::new()
        } else {
            format!("signed_identity.{key}")
        };
        assert_eq!(key_of(&rules), expected);
        let error = rules
            .compile()
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(!error.contains("hunter2") && !format!("{rules:?}").contains("hunter2"));
    }
}

#[test]
fn rules_that_take_each_others_requests_are_named() {
    let rule = |methods: &[&str], host: &str, path: &str, access: Access| Rule {
        host: (!host.is_empty()).then(|| host.to_owned()),
        methods: methods.iter().map(ToString::to_string).collect(),
        ..Rule::new(path, access)
    };
    let public =
        |methods: &[&str], host: &str, path: &str| rule(methods, host, path, Access::Public);
    let session =
        |methods: &[&str], host: &str, path: &str| rule(methods, host, path, Access::Session);
    for (earlier, later, key) in [
        // The later one never decides.
        (
            session(&[], "", "/a"),
            public(&[], "", "/a"),
            "rules[1].path",
        ),
        (
            session(&[], "", "/a"),
            session(&[], "", "/a"),
            "rules[1].path",
        ),
        (
            public(&[], "", "/{*x}"),
            session(&[], "a.b", "/admin"),
            "rules[1].path",
        ),
        (
            public(&[], "*.b", "/{x}"),
            session(&["GET"], "a.b", "/admin"),
            "rules[1].path",
        ),
        (
            public(&["GET"], "", "/a"),
            session(&["HEAD"], "", "/a"),
            "rules[1].path",
        ),
        (
            session(&[], "", "/admin"),
            public(&[], "", "/Admin"),
            "rules[1].path",
        ),
        (
            session(&[], "", "/{id}"),
            public(&[], "", "/{name}"),
            "rules[1].path",
        ),
        // They contradict each other at a method.
        (
            public(&["GET", "PUT"], "", "/a"),
            session(&["PUT", "POST"], "", "/a"),
            "rules[1].methods",
        ),
        // The later one is for the rest.
        (public(&["GET"], "", "/a"), session(&[], "", "/a"), ""),
        (
            public(&["PUT"], "", "/a"),
            session(&["PUT", "POST"], "", "/a"),
            "",
        ),
        (public(&["GET"], "", "/a"), session(&["POST"], "", "/a"), ""),
        (session(&[], "a.b", "/{*x}"), public(&[], "", "/{*x}"), ""),
        (
            session(&[], "", "/admin/{*x}"),
            public(&[], "", "/{*x}"),
            "",
        ),
        (session(&[], "", "/{x}/a"), public(&[], "", "/b/{y}"), ""),
        (public(&[], "", "/Admin"), session(&[], "", "/admin"), ""),
    ] {
        let described = format!("{earlier:?} {later:?}");
        let rules = Rules {
            rules: vec![earlier, later],
            ..Rules::default()
        };
        assert_eq!(key_of(&rules), key, "{described}");
        if let Err(error) = rules.compile() {
            assert!(error.to_string().contains("rules[0] ("), "{error}");
        }
    }
    let rules = Rules::from_toml(
        "rules = [{ path = '/a', access = 'public', methods = ['GET'], host = '*.b' }, { path = '/a', access = 'session', methods = ['GET'], host = 'x.b' }]",
    )
    .expect("rules");
    assert_eq!(
        rules.compile().err().expect("refused").to_string(),
        "rules[1].path: never decides, because rules[0] (GET,HEAD *.b/a) matches all of its requests: remove one of the \
         two, or put the narrower one first"
    );
}

#[test]
fn an_explanation_names_the_rule_and_its_demands() {
    let world = World::new();
    let gate = world.gate_of(&format!(
        r#"
        acr_order = ["low", "mid", "high"]
        sign_in = "/sign-in"
        rules = [
            {{ host = "{HOST}", path = "/orders/{{id}}", methods = ["GET"], access = "either", scopes = ["orders:read"],
               tenants = ["acme"], acr = "mid", amr = ["otp"], max_age = "5m", mode = "strict", background = true }},
            {{ path = "/assets/{{*rest}}", access = "public", forward_credential = true }},
        ]
        "#
    ));
    let explain = |method: &str, url: &str| gate.explain(method, url).expect("a question");
    let first = explain("GET", "https://app.example.com/orders/7?x");
    assert_eq!(first.rule, Some(0));
    assert_eq!(
        first.to_string(),
        "rules[0] (GET,HEAD app.example.com/orders/{id}) decides: a session or an API key is required
  tenants: acme
  scopes of an API key: orders:read
  acr, one of: mid high
  amr, all of: otp
  authenticated within: 300 s
  also: refuses without a proof of freshness
  also: is no use of the session
  also: redirects navigations to the sign-in address"
    );
    let second = explain("POST", "http://anything/assets");
    assert_eq!((second.rule, second.refused), (Some(1), None));
    assert_eq!(
        second.to_string(),
        "rules[1] (/assets/{*rest}) decides: anyone may pass\n  also: forwards the credential"
    );
    let none = explain("POST", "https://app.example.com");
    assert_eq!(none.rule, None);
    assert!(
        none.to_string()
            .starts_with("no rule matches: a session is required")
    );
    let refused = explain("GET", "https://app.example.com/assets/..%2forders/7");
    assert_eq!(
        refused.refused,
        Some(Refused::Path(PathProblem::EncodedSlash))
    );
    assert_eq!(
        refused.to_string(),
        "refused (encoded_slash): the path has an encoded slash, and no rule for it says how the upstream reads that \
         (`upstream_reads`)"
    );
    let backslash = explain("GET", "https://app.example.com\\orders");
    assert_eq!(
        backslash.refused,
        Some(Refused::Head(HeadProblem::TargetNotAPath))
    );
    for (method, url, error) in [
        ("GET", "/orders", ExplainError::Url),
        ("GET", "app.example.com/orders", ExplainError::Url),
        ("G T", "https://a/", ExplainError::Method),
    ] {
        assert_eq!(gate.explain(method, url).err(), Some(error), "{url}");
    }
}
