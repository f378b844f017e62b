//! Paths: no spelling reaches a rule that the path itself would not reach.

use portcullis_gate::{Decision, Gate, Subject};
use proptest::{collection::vec, prelude::*};

use crate::world::{World, get};

#[test]
fn a_head_that_could_be_read_in_two_ways_is_refused_with_its_reason() {
    let world = World::new();
    // Even where everything is public.
    let gate = world.gate_of("rules = [{ path = '/{*rest}', access = 'public' }]");
    for (target, expected) in [
        ("/", "allowed"),
        ("/a?b=//../%2f;\\", "allowed"),
        ("/a?", "allowed"),
        ("/a?\u{e4}", "allowed"),
        ("/a//b", "double_slash"),
        ("/a/../b", "dot_segment"),
        ("/a%2fb", "encoded_slash"),
        ("/%2e%2e", "encoded_dot"),
        ("/a;b", "semicolon"),
        ("/a\\b", "backslash"),
        ("/%00", "control_character"),
        ("/%zz", "invalid_percent"),
        ("/%ff", "not_utf8"),
        ("/\u{e4}", "not_ascii"),
        ("/a%ef%bc%8fb", "lookalike"),
        ("/%25", "encoded_delimiter"),
        ("/a b", "control_character"),
        ("/a#b", "invalid_target"),
        ("/a?b#c", "invalid_target"),
        ("/a?b c", "invalid_target"),
        ("/a?\r\nx: y", "invalid_target"),
        ("/a?\0", "invalid_target"),
        ("", "target_not_a_path"),
        ("*", "target_not_a_path"),
        ("?a", "target_not_a_path"),
        ("http://app.example.com/", "target_not_a_path"),
        ("app.example.com:443", "target_not_a_path"),
        ("a/b", "target_not_a_path"),
        ("\\a", "target_not_a_path"),
    ] {
        let request = get(target);
        assert_eq!(request.verdict(&gate), expected, "{target:?}");
        if let Decision::Deny(deny) = request.decide(&gate) {
            assert_eq!(deny.status, 400, "{target:?}");
            assert_eq!(deny.error, "invalid_request");
        }
    }

    for (authority, host, expected) in [
        ("", None, "no_host"),
        ("a@b", None, "invalid_host"),
        ("a..b", None, "invalid_host"),
        ("a", Some("b"), "several_hosts"),
        ("a", Some("a"), "allowed"),
        ("", Some("a"), "no_host"),
    ] {
        let mut request = get("/");
        request.authority = authority.into();
        if let Some(host) = host {
            request = request.header("host", host);
        }
        assert_eq!(request.verdict(&gate), expected, "{authority} {host:?}");
    }
    let twice = get("/")
        .header("host", "app.example.com")
        .header("host", "app.example.com");
    assert_eq!(twice.verdict(&gate), "several_hosts");
}

#[test]
fn a_head_beyond_the_bound_is_refused() {
    let world = World::new();
    let gate = world.gate_of("rules = [{ path = '/{*rest}', access = 'public' }]");
    for (bytes, expected) in [(60_000, "allowed"), (65_536, "head_too_large")] {
        let request = get("/").header("a", &"x".repeat(bytes));
        assert_eq!(request.verdict(&gate), expected, "{bytes}");
        let request = get(&format!("/{}", "x".repeat(bytes)));
        assert_eq!(request.verdict(&gate), expected, "{bytes}");
    }
    let deny = get("/").header("a", &"x".repeat(70_000)).denied(&gate);
    assert_eq!(deny.status, 431);
}

#[test]
fn a_rule_says_how_its_upstream_reads() {
    let world = World::new();
    let gate = world.gate_of(
        r#"
        rules = [
            { path = "/files/private/{*rest}", access = "session" },
            { path = "/files/{*rest}", access = "public", upstream_reads = { encoded_slash = "separator" } },
            { path = "/names/{name}", access = "public", upstream_reads = { encoded_slash = "literal" } },
            { path = "/merged/secret", access = "session", upstream_reads = { double_slash = "merged" } },
            { path = "/merged/{*rest}", access = "public", upstream_reads = { double_slash = "merged" } },
        ]
        "#,
    );
    for (target, expected) in [
        ("/files/a", "allowed"),
        ("/files%2fa", "allowed"),
        ("/files/a%2Fb", "allowed"),
        // Another ambiguity than the one that the rule is about.
        ("/files/a%2f%2e", "encoded_slash"),
        ("/files/a%2f..", "encoded_slash"),
        ("/files//a", "double_slash"),
        // An earlier rule would match what the upstream reads, and does not say how it is read.
        ("/files/private/a", "missing"),
        ("/files/private%2fa", "encoded_slash"),
        ("/files%2fprivate%2fa", "encoded_slash"),
        ("/files/PRIVATE%2fa", "encoded_slash"),
        ("/names/a%2fb", "allowed"),
        ("/names/a%2f..%2fb", "allowed"),
        ("/names%2fa", "encoded_slash"),
        ("/merged//x", "allowed"),
        ("//merged/x", "allowed"),
        ("/merged/secret", "missing"),
        ("/merged//secret", "missing"),
        ("//merged///secret/", "missing"),
        ("/other//x", "double_slash"),
        ("/other%2fx", "encoded_slash"),
    ] {
        assert_eq!(get(target).verdict(&gate), expected, "{target}");
    }
}

/// The readings of a path by the servers of this world: each does some of these steps.
#[derive(Clone, Copy, Debug)]
struct Upstream {
    decodes: u32,
    cuts_parameters_first: bool,
    cuts_parameters: bool,
    reads_backslashes: bool,
    merges_slashes: bool,
    resolves_dots: bool,
    ignores_case: bool,
    trims: bool,
    cuts_at_delimiters: bool,
    ends_at_nul: bool,
    folds: bool,
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let digits = behind
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if byte == b'%' => {
                decoded.push(value);
                rest = &behind[2..];
            }
            _ => decoded.push(byte),
        }
    }
    decoded
}

fn cut(path: &str) -> String {
    let segments = path.split('/');
    let cut: Vec<&str> = segments
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    cut.join("/")
}

/// Full-width characters as ASCII, as by the compatibility forms of Unicode.
fn fold(path: &str) -> String {
    let fold = |character| match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or_default()
        }
        '\u{2024}' => '.',
        '\u{2215}' => '/',
        other => other,
    };
    path.chars()
        .map(fold)
        .collect::<String>()
        .replace('\u{2025}', "..")
}

impl Upstream {
    /// The resource that a server with these habits serves.
    fn resource(&self, path: &str) -> String {
        let mut path = path.to_owned();
        if self.cuts_parameters_first {
            path = cut(&path);
        }
        for _ in 0..self.decodes {
            path = String::from_utf8_lossy(&decode(path.as_bytes())).into_owned();
        }
        if self.ends_at_nul {
            path = path.split('\0').next().unwrap_or_default().to_owned();
        }
        if self.folds {
            path = fold(&path);
        }
        if self.cuts_at_delimiters {
            path = path.split(['?', '#']).next().unwrap_or_default().to_owned();
        }
        if self.reads_backslashes {
            path = path.replace('\\', "/");
        }
        if self.cuts_parameters {
            path = cut(&path);
        }
        let mut segments: Vec<&str> = Vec::new();
        for segment in path.split('/') {
            let segment = if self.trims { segment.trim() } else { segment };
            match segment {
                "" if self.merges_slashes => {}
                "." if self.resolves_dots => {}
                ".." if self.resolves_dots => {
                    segments.pop();
                }
                _ => segments.push(segment),
            }
        }
        let joined = segments.join("/");
        let path = format!("/{}", joined.trim_start_matches('/'));
        if self.ignores_case {
            path.to_lowercase()
        } else {
            path
        }
    }
}

fn upstream() -> impl Strategy<Value = Upstream> {
    (0_u32..3, any::<[bool; 10]>()).prop_map(|(decodes, habits)| Upstream {
        decodes,
        cuts_parameters_first: habits[0],
        cuts_parameters: habits[1],
        reads_backslashes: habits[2],
        merges_slashes: habits[3],
        resolves_dots: habits[4],
        ignores_case: habits[5],
        trims: habits[6],
        cuts_at_delimiters: habits[7],
        ends_at_nul: habits[8],
        folds: habits[9],
    })
}

/// A path of pieces that servers disagree about, around the words that the rules know.
fn hostile_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => Just("/"),
        4 => Just("admin"),
        2 => Just("public"),
        1 => Just("ADMIN"),
        1 => Just("%61dmin"),
        1 => Just("%2561dmin"),
        1 => Just("a"),
        1 => Just("."),
        2 => Just(".."),
        1 => Just("%2e"),
        1 => Just("%2f"),
        1 => Just("%252f"),
        1 => Just("\\"),
        1 => Just("%5c"),
        1 => Just(";"),
        1 => Just(";x=1"),
        1 => Just("%3b"),
        1 => Just("%3f"),
        1 => Just("%23"),
        1 => Just("%20"),
        1 => Just("%00"),
        1 => Just("%09"),
        1 => Just("%c0%af"),
        1 => Just("%ef%bc%8f"),
        1 => Just("%ef%bc%8e"),
        1 => Just("%ef%bc%bc"),
        1 => Just("%ef%bc%9b"),
        1 => Just("%ef%bc%85"),
        1 => Just("%e2%80%a5"),
        1 => Just("%e2%88%95"),
        1 => Just("%"),
    ];
    vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn is_admin(resource: &str) -> bool {
    resource == "/admin" || resource.starts_with("/admin/")
}

fn passes_without_a_credential(gate: &Gate, target: &str) -> bool {
    match get(target).decide(gate) {
        Decision::Allow(allow) => matches!(allow.subject, Subject::Anyone),
        Decision::Deny(_) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Whatever habits the upstream has, its protected resources are never served to anyone.
    #[test]
    fn no_spelling_reaches_a_public_rule(path in hostile_path(), upstream in upstream()) {
        thread_local! {
            static GATES: [Gate; 2] = {
                let world = World::new();
                // The public part around the protected one, and beside it.
                [
                    "rules = [{ path = '/admin/{*rest}', access = 'session' }, { path = '/{*rest}', access = 'public' }]",
                    "rules = [{ path = '/public/{*rest}', access = 'public' }]",
                ]
                .map(|rules| world.gate_of(rules))
            };
        }
        let resource = upstream.resource(&path);
        if is_admin(&resource) {
            let passes = GATES.with(|gates| {
                gates.iter().any(|gate| passes_without_a_credential(gate, &path))
            });
            prop_assert!(!passes, "{path} is {resource} for {upstream:?}");
        }
    }

    /// A rule that says how its upstream reads keeps the promise for an upstream that reads so.
    #[test]
    fn a_reading_that_is_true_opens_nothing(path in hostile_path()) {
        thread_local! {
            static GATE: Gate = {
                let reads = "encoded_slash = 'separator', encoded_dot = 'dot', double_slash = 'merged', \
                    dot_segments = 'resolved', backslash = 'separator', semicolon = 'parameters', \
                    encoded_delimiters = 'literal'";
                let rules = format!(
                    "rules = [
                        {{ path = '/admin/{{*rest}}', access = 'session', upstream_reads = {{ {reads} }} }},
                        {{ path = '/{{*rest}}', access = 'public', upstream_reads = {{ {reads} }} }},
                    ]"
                );
                World::new().gate_of(&rules)
            };
        }
        let upstream = Upstream {
            decodes: 1,
            cuts_parameters_first: true,
            cuts_parameters: false,
            reads_backslashes: true,
            merges_slashes: true,
            resolves_dots: true,
            ignores_case: true,
            trims: false,
            cuts_at_delimiters: false,
            ends_at_nul: false,
            folds: false,
        };
        if is_admin(&upstream.resource(&path)) {
            let passes = GATE.with(|gate| passes_without_a_credential(gate, &path));
            prop_assert!(!passes, "{path}");
        }
    }
}
