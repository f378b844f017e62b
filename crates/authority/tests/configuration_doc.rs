//! `docs/reference/configuration.md` says what the code does: every key, its default, and configurations that can be used.

use std::{collections::BTreeMap, path::Path, time::Duration};

use portcullis_authority::config::{
    AuditExportConfig, CallerConfig, Config, FileExportConfig, IdentityProviderConfig,
    Pkcs11Config, Role, SyslogExportConfig, VaultConfig, WebhookExportConfig,
};
use portcullis_serving::config::Layers;
use serde_json::{Value, json};

fn read(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The rows of the tables of keys: the key, and the cell of its default. Headings hold the sections' names.
fn documented() -> BTreeMap<String, String> {
    let text = read("docs/reference/configuration.md");
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let keys = rows.filter(|(key, _)| key.contains('.'));
    let cell = |rest: &str| rest.split(" | ").nth(1).unwrap_or_default().to_owned();
    let listed: Vec<_> = keys
        .map(|(key, rest)| (key.to_owned(), cell(rest)))
        .collect();
    let count = listed.len();
    let map: BTreeMap<_, _> = listed.into_iter().collect();
    assert_eq!(map.len(), count, "a key stands twice");
    map
}

/// Every key of the configuration with its default, as `section.key`.
fn configured() -> BTreeMap<String, Value> {
    let whole = serde_json::to_value(Config::default()).expect("plain data");
    let sections = whole
        .as_object()
        .expect("sections")
        .iter()
        .filter(|(_, section)| section.is_object());
    let keys = sections.flat_map(|(name, section)| {
        let fields = section.as_object().expect("a section").iter();
        fields.map(move |(field, default)| (format!("{name}.{field}"), default.clone()))
    });
    keys.collect()
}

fn caller() -> CallerConfig {
    let bearer_sha256 = Some("ab".repeat(32));
    CallerConfig {
        name: "edge".into(),
        bearer_sha256,
        san: None,
        roles: vec![Role::Login],
        tenant: None,
        bearers: Vec::new(),
    }
}

fn caller_keys() -> Vec<String> {
    let caller = serde_json::to_value(caller()).expect("plain data");
    caller
        .as_object()
        .expect("a table")
        .keys()
        .map(|field| format!("callers.{field}"))
        .collect()
}

/// A table of `[[audit_exports]]` with the defaults of what is not set.
fn export<T: serde::de::DeserializeOwned>(set: Value) -> T {
    serde_json::from_value(set).expect("a table")
}

fn file_export() -> FileExportConfig {
    export(json!({"path": "/var/log/portcullis/audit.jsonl"}))
}

fn syslog_export() -> SyslogExportConfig {
    export(json!({"address": "logs.example.org:6514", "ca_file": "ca.pem"}))
}

fn webhook_export() -> WebhookExportConfig {
    export(json!({
        "url": "https://hooks.example.org/audit",
        "secret_files": ["secret"],
        "ca_file": "ca.pem",
    }))
}

/// An export to a file.
fn audit_export(name: &str) -> AuditExportConfig {
    AuditExportConfig {
        file: Some(file_export()),
        ..export(json!({"name": name}))
    }
}

/// The keys of a table, with the defaults of those that need not be set.
fn keys_of(table: &str, config: &impl serde::Serialize) -> BTreeMap<String, Value> {
    let fields = serde_json::to_value(config).expect("plain data");
    let fields = fields.as_object().expect("a table").clone();
    let keys = fields.into_iter();
    keys.map(|(field, default)| (format!("{table}.{field}"), default))
        .collect()
}

fn audit_export_keys() -> BTreeMap<String, Value> {
    let mut keys = keys_of("audit_exports", &audit_export("siem"));
    for destination in ["file", "syslog", "webhook"] {
        keys.remove(&format!("audit_exports.{destination}"));
    }
    keys.extend(keys_of("audit_exports.file", &file_export()));
    keys.extend(keys_of("audit_exports.syslog", &syslog_export()));
    keys.extend(keys_of("audit_exports.webhook", &webhook_export()));
    keys
}

/// The keys of the two tables that a master key may be.
fn master_key_tables() -> BTreeMap<String, Value> {
    let secret = json!({ "file": "secret" });
    let pkcs11: Pkcs11Config = export(json!({
        "module": "m.so", "token": "t", "key": "k", "pin": secret,
    }));
    let vault: VaultConfig = export(json!({
        "address": "https://vault", "ca_file": "ca.pem", "namespace": "n", "key": "k", "version": 1,
        "token": secret,
    }));
    let mut keys = keys_of("keys.master_key_pkcs11", &pkcs11);
    keys.extend(keys_of("keys.master_key_vault", &vault));
    keys
}

fn provider_keys() -> Vec<String> {
    let provider: IdentityProviderConfig =
        serde_json::from_value(json!({ "issuer": "i", "client_id": "c" })).expect("a provider");
    let provider = serde_json::to_value(provider).expect("plain data");
    let fields = provider.as_object().expect("a table").keys();
    fields
        .map(|field| format!("identity_providers.{field}"))
        .collect()
}

#[test]
fn every_key_stands_in_the_document_with_its_default() {
    let documented = documented();
    for (key, default) in configured() {
        let cell = documented
            .get(&key)
            .unwrap_or_else(|| panic!("{key} is not documented"));
        let expected = match default {
            Value::Null => "unset".to_owned(),
            Value::String(text) if text.is_empty() => "required".to_owned(),
            default => default.to_string(),
        };
        assert_eq!(
            cell.replace(['`', ' '], ""),
            expected.replace(' ', ""),
            "the default of {key}"
        );
    }
    for key in caller_keys().into_iter().chain(provider_keys()) {
        assert!(documented.contains_key(&key), "{key} is not documented");
    }
    for (key, value) in audit_export_keys().into_iter().chain(master_key_tables()) {
        let cell = documented
            .get(&key)
            .unwrap_or_else(|| panic!("{key} is not documented"));
        // What has no default is set in the examples here.
        if !["required", "unset"].contains(&&**cell) {
            assert_eq!(
                cell.replace(['`', ' '], ""),
                value.to_string().replace(' ', ""),
                "the default of {key}"
            );
        }
    }
}

#[test]
fn every_key_of_the_document_is_one() {
    let (configured, callers, exports) = (configured(), caller_keys(), audit_export_keys());
    let providers = provider_keys();
    let tables = master_key_tables();
    for key in documented().keys() {
        assert!(
            configured.contains_key(key)
                || callers.contains(key)
                || exports.contains_key(key)
                || providers.contains(key)
                || tables.contains_key(key),
            "there is no key {key}"
        );
    }
}

#[test]
fn every_role_stands_in_the_document() {
    let text = read("docs/reference/configuration.md");
    let row = text
        .lines()
        .find(|line| line.starts_with("| `callers.roles`"))
        .expect("the row of roles");
    for role in [
        Role::Login,
        Role::Gateway,
        Role::Support,
        Role::Admin,
        Role::Operator,
    ] {
        // A role that is added makes this match, and so the list above, incomplete.
        match role {
            Role::Login | Role::Gateway | Role::Support | Role::Admin | Role::Operator => {}
        }
        let name = serde_json::to_value(role).expect("a name");
        assert!(
            row.contains(&format!("`{}`", name.as_str().expect("text"))),
            "{role:?}"
        );
    }
}

fn parse(toml: &str) -> Result<Config, String> {
    Layers::of_text(toml, "PORTCULLIS_TEST_")
        .read(Config::check)
        .map_err(|error| error.to_string())
}

/// The blocks of a Markdown file that are marked as TOML.
fn blocks(file: &str) -> Vec<String> {
    let text = read(file);
    let begun = text.split("```toml\n").skip(1);
    begun
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// The digest in the examples.
const PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Puts a digest of its own in the place of each placeholder.
fn fill_placeholders(example: &str) -> String {
    let mut filled = String::new();
    for (index, part) in example.split(PLACEHOLDER).enumerate() {
        if index > 0 {
            filled += &format!("{index:064x}");
        }
        filled += part;
    }
    filled
}

#[test]
fn every_example_can_be_used() {
    let mut examples = Vec::new();
    for file in ["deploy/portcullis.toml", "deploy/ha/portcullis.toml"] {
        examples.push((file.to_owned(), read(file)));
    }
    for file in [
        "docs/operating/README.md",
        "docs/reference/configuration.md",
    ] {
        let found = blocks(file);
        assert!(!found.is_empty(), "{file} has no example");
        examples.extend(found.into_iter().map(|block| (file.to_owned(), block)));
    }
    for (file, example) in examples {
        // As they stand, the digests of zeros are refused: nobody runs an example by accident.
        if example.contains(PLACEHOLDER) {
            let error = parse(&example).expect_err("a placeholder");
            assert!(error.contains("bearer_sha256: is a placeholder"), "{error}");
        }
        let example = fill_placeholders(&example);
        parse(&example).unwrap_or_else(|error| panic!("{file}: {error}\n{example}"));
    }
}

#[test]
fn an_unknown_key_is_an_error_anywhere() {
    let sections = configured()
        .into_keys()
        .map(|key| key.split('.').next().unwrap_or_default().to_owned());
    for section in sections {
        let error = parse(&format!("[{section}]\nno_such_key = 1\n")).expect_err("an unknown key");
        assert!(error.contains("no_such_key"), "{error}");
    }
    assert!(parse("no_such_section = 1").is_err());
    assert!(
        parse("[[callers]]\nname = 'a'\nbearer_sha256 = 'b'\nroles = []\nno_such_key = 1").is_err()
    );
}

/// The default with one change, and the key that the error must name; none: the change is good.
fn checked(change: impl FnOnce(&mut Config), key: Option<&str>) {
    let mut config = Config::default();
    change(&mut config);
    let named = config.check().err().map(|error| error.key);
    assert_eq!(named.as_deref(), key);
}

#[test]
fn a_server_that_would_listen_in_the_clear_is_refused() {
    let public = || ([0, 0, 0, 0], 7400).into();
    checked(
        |config| config.server.grpc_listen = public(),
        Some("server.grpc_listen"),
    );
    checked(
        |config| (config.server.grpc_listen, config.server.insecure) = (public(), true),
        None,
    );
    checked(
        |config| config.server.http_listen = public(),
        Some("server.http_listen"),
    );
    checked(
        |config| {
            config.server.http_listen = public();
            config.server.tls_certificate_file = Some("chain.pem".into());
            config.server.tls_key_file = Some("key.pem".into());
        },
        Some("server.http_listen"),
    );
    checked(
        |config| (config.server.http_listen, config.server.insecure) = (public(), true),
        None,
    );
    checked(
        |config| config.server.tls_key_file = Some("key.pem".into()),
        Some("server.tls_key_file"),
    );
    checked(
        |config| config.server.tls_certificate_file = Some("chain.pem".into()),
        Some("server.tls_key_file"),
    );
    let encrypt = |config: &mut Config| {
        config.server.grpc_listen = public();
        config.server.tls_certificate_file = Some("chain.pem".into());
        config.server.tls_key_file = Some("key.pem".into());
    };
    checked(encrypt, None);
    checked(
        |config| config.server.grpc_listen = "[::1]:7400".parse().expect("an address"),
        None,
    );
}

#[test]
fn texts_that_cannot_be_used_are_named() {
    checked(|_| {}, None);
    checked(
        |config| config.store.url = "postgres://user@host/database".into(),
        None,
    );
    checked(
        |config| config.store.url = "mysql://user:hunter2@host/database".into(),
        Some("store.url"),
    );
    let owner =
        |url: &'static str| move |config: &mut Config| config.store.owner_url = Some(url.into());
    checked(owner("postgres://owner@host/database"), None);
    checked(owner("sqlite:data"), Some("store.owner_url"));
    checked(
        |config| config.tokens.issuer = String::new(),
        Some("tokens.issuer"),
    );
    checked(
        |config| config.tokens.default_audiences = vec![],
        Some("tokens.default_audiences"),
    );
    checked(
        |config| config.telemetry.service_name = String::new(),
        Some("telemetry.service_name"),
    );
    checked(
        |config| config.telemetry.otlp_endpoint = Some("http://127.0.0.1:4317".into()),
        None,
    );
    checked(
        |config| config.telemetry.otlp_endpoint = Some("127.0.0.1:4317".into()),
        Some("telemetry.otlp_endpoint"),
    );
}

#[test]
fn an_error_does_not_repeat_a_secret() {
    let store = parse("store.url = 'mysql://user:hunter2@host/database'").expect_err("not a store");
    assert!(
        store.starts_with("store.url: ") && !store.contains("hunter2"),
        "{store}"
    );
    let mut config = Config {
        callers: vec![caller()],
        ..Config::default()
    };
    config.callers[0].bearer_sha256 = Some("hunter2".into());
    let bearer = config.check().expect_err("not a digest").to_string();
    assert!(
        bearer.starts_with("callers[0].bearer_sha256: ") && !bearer.contains("hunter2"),
        "{bearer}"
    );
    assert!(
        !format!("{:?}", Config::default().store).contains("sqlite"),
        "a URL may hold a password"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
fn times_have_bounds() {
    type Set = fn(&mut Config) -> &mut Duration;
    let (day, year) = (24 * 60 * 60, 366 * 24 * 60 * 60);
    let cases: [(&str, Set, Duration, Duration); 12] = [
        (
            "server.drain_timeout",
            |c| &mut c.server.drain_timeout,
            Duration::ZERO,
            seconds(day),
        ),
        (
            "store.connect_timeout",
            |c| &mut c.store.connect_timeout,
            Duration::from_millis(1),
            seconds(3600),
        ),
        (
            "tokens.refresh_grace",
            |c| &mut c.tokens.refresh_grace,
            Duration::ZERO,
            seconds(day),
        ),
        (
            "log.append_timeout",
            |c| &mut c.log.append_timeout,
            Duration::from_millis(1),
            seconds(20),
        ),
        (
            "log.resume_window",
            |c| &mut c.log.resume_window,
            Duration::ZERO,
            seconds(year),
        ),
        (
            "tokens.access_token_lifetime",
            |c| &mut c.tokens.access_token_lifetime,
            seconds(1),
            seconds(year),
        ),
        (
            "sessions.lifetime",
            |c| &mut c.sessions.lifetime,
            seconds(1),
            seconds(3660 * day),
        ),
        (
            "sessions.remember_me_lifetime",
            |c| &mut c.sessions.remember_me_lifetime,
            seconds(1),
            seconds(3660 * day),
        ),
        (
            "sessions.retention",
            |c| &mut c.sessions.retention,
            seconds(3600),
            seconds(3660 * day),
        ),
        (
            "log.poll_interval",
            |c| &mut c.log.poll_interval,
            Duration::from_millis(1),
            seconds(10),
        ),
        (
            "log.checkpoint_interval",
            |c| &mut c.log.checkpoint_interval,
            Duration::from_millis(100),
            seconds(day),
        ),
        (
            "watch.staleness_max",
            |c| &mut c.watch.staleness_max,
            seconds(1),
            seconds(day),
        ),
    ];
    for (key, field, min, max) in cases {
        let set = |value: Duration| {
            move |config: &mut Config| {
                config.keys.activation_delay = seconds(2 * 24 * 60 * 60);
                *field(config) = value;
            }
        };
        checked(set(min), None);
        checked(set(max), None);
        if let Some(short) = min.checked_sub(Duration::from_nanos(1)) {
            checked(set(short), Some(key));
        }
        checked(set(max + Duration::from_nanos(1)), Some(key));
    }
    checked(
        |config| config.keys.activation_delay = seconds(59),
        Some("keys.activation_delay"),
    );
    checked(
        |config| config.keys.activation_delay = seconds(30 * day),
        None,
    );
    checked(
        |config| config.keys.activation_delay = seconds(30 * day + 1),
        Some("keys.activation_delay"),
    );
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn telemetry_that_cannot_be_sent_or_sampled_is_refused() {
    let endpoint = |text: &'static str| {
        move |config: &mut Config| config.telemetry.otlp_endpoint = Some(text.into())
    };
    checked(endpoint("http://127.0.0.1:4317"), None);
    for wrong in [
        "",
        "127.0.0.1:4317",
        "http://10.0.0.1:4317",
        "grpc://127.0.0.1:4317",
    ] {
        checked(endpoint(wrong), Some("telemetry.otlp_endpoint"));
    }
    let ca = Some("telemetry.otlp_ca_file");
    checked(endpoint("https://127.0.0.1:4317"), ca);
    checked(
        |config| config.telemetry.service_name = String::new(),
        Some("telemetry.service_name"),
    );
    for ratio in [0.0, 0.5, 1.0] {
        checked(|config| config.telemetry.trace_sample_ratio = ratio, None);
    }
    for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        checked(
            |config| config.telemetry.trace_sample_ratio = ratio,
            Some("telemetry.trace_sample_ratio"),
        );
    }
}

#[test]
fn counts_have_bounds() {
    type Set = fn(&mut Config) -> &mut usize;
    let cases: [(&str, Set, usize); 7] = [
        ("server.calls_max", |c| &mut c.server.calls_max, 1_000_000),
        (
            "store.connections_max",
            |c| &mut c.store.connections_max,
            10_000,
        ),
        (
            "store.search_connections_max",
            |c| &mut c.store.search_connections_max,
            1_000,
        ),
        (
            "log.queue_entries_max",
            |c| &mut c.log.queue_entries_max,
            1_000_000,
        ),
        (
            "log.batch_entries_max",
            |c| &mut c.log.batch_entries_max,
            1024,
        ),
        ("watch.streams_max", |c| &mut c.watch.streams_max, 1_000_000),
        (
            "watch.ring_frames_max",
            |c| &mut c.watch.ring_frames_max,
            100_000_000,
        ),
    ];
    for (key, field, max) in cases {
        let set = |value: usize| move |config: &mut Config| *field(config) = value;
        checked(set(1), None);
        checked(set(max), None);
        checked(set(0), Some(key));
        checked(set(max + 1), Some(key));
    }
}

#[test]
fn the_ring_has_room_for_some_batches() {
    let key = "watch.ring_bytes_max";
    for (bytes, refused) in [
        (0, Some(key)),
        ((64 << 10) - 1, Some(key)),
        (64 << 10, None),
        (1 << 40, None),
        ((1 << 40) + 1, Some(key)),
    ] {
        checked(|config| config.watch.ring_bytes_max = bytes, refused);
    }
}

#[test]
fn a_ratio_is_a_part_of_the_whole() {
    for ratio in [0.0, 1.0] {
        checked(|config| config.telemetry.trace_sample_ratio = ratio, None);
    }
    for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        checked(
            |config| config.telemetry.trace_sample_ratio = wrong,
            Some("telemetry.trace_sample_ratio"),
        );
    }
}

#[test]
fn a_caller_that_cannot_be_used_is_named_by_its_place() {
    let second = |change: fn(&mut CallerConfig), key: Option<&str>| {
        let mut wrong = caller();
        change(&mut wrong);
        checked(|config| config.callers = vec![caller(), wrong], key);
    };
    second(|_| {}, Some("callers[1].name"));
    second(
        |caller| caller.bearer_sha256 = Some("cd".repeat(32)),
        Some("callers[1].name"),
    );
    // The same digest in the other case.
    second(
        |caller| {
            caller.name = "second".into();
            caller.bearer_sha256 = Some("AB".repeat(32));
        },
        Some("callers[1].bearer_sha256"),
    );
    second(
        |caller| caller.bearer_sha256 = Some("0".repeat(64)),
        Some("callers[1].bearer_sha256"),
    );
    second(
        |caller| caller.name = String::new(),
        Some("callers[1].name"),
    );
    second(
        |caller| caller.name = "a".repeat(65),
        Some("callers[1].name"),
    );
    second(
        |caller| caller.name = "a\nb".into(),
        Some("callers[1].name"),
    );
    second(
        |caller| caller.bearer_sha256 = Some("ab".repeat(31)),
        Some("callers[1].bearer_sha256"),
    );
    second(
        |caller| caller.bearer_sha256 = Some("+1".repeat(32)),
        Some("callers[1].bearer_sha256"),
    );
    second(
        |caller| caller.bearer_sha256 = Some("é".repeat(32)),
        Some("callers[1].bearer_sha256"),
    );
    second(|caller| caller.roles = vec![], Some("callers[1].roles"));
    second(
        |caller| {
            caller.name = "second".into();
            caller.bearer_sha256 = Some("cd".repeat(32));
            caller.tenant = Some("acme".into());
        },
        None,
    );
    second(
        |caller| caller.tenant = Some(String::new()),
        Some("callers[1].tenant"),
    );
    for role in [Role::Gateway, Role::Operator] {
        let bound = CallerConfig {
            roles: vec![role],
            tenant: Some("acme".into()),
            ..caller()
        };
        checked(
            |config| config.callers = vec![bound],
            Some("callers[0].tenant"),
        );
    }
}

#[test]
fn a_caller_has_a_bearer_or_a_certificate_of_its_own() {
    let second = |change: fn(&mut CallerConfig), key: Option<&str>| {
        let edge = CallerConfig {
            san: Some("edge.example.org".into()),
            ..caller()
        };
        let mut wrong = CallerConfig {
            name: "second".into(),
            bearer_sha256: None,
            ..caller()
        };
        change(&mut wrong);
        let certified = |config: &mut Config| {
            config.server.tls_certificate_file = Some("chain.pem".into());
            config.server.tls_key_file = Some("key.pem".into());
            config.server.tls_client_ca_file = Some("clients.pem".into());
            config.callers = vec![edge, wrong];
        };
        checked(certified, key);
    };
    second(|_| {}, Some("callers[1].bearer_sha256"));
    second(
        |caller| caller.san = Some("spiffe://example.org/gate".into()),
        None,
    );
    second(
        |caller| {
            caller.san = Some("gate.example.org".into());
            caller.bearer_sha256 = Some("cd".repeat(32));
        },
        None,
    );
    for malformed in ["", "*.example.org", "spiffe://", "a b"] {
        let mut wrong = caller();
        wrong.san = Some(malformed.into());
        checked(
            |config| config.callers = vec![wrong],
            Some("callers[0].san"),
        );
    }
    // The same name in the other case.
    second(
        |caller| caller.san = Some("EDGE.example.org".into()),
        Some("callers[1].san"),
    );

    let unverified = CallerConfig {
        san: Some("gate.example.org".into()),
        ..caller()
    };
    checked(
        |config| config.callers = vec![unverified],
        Some("callers[0].san"),
    );
    checked(
        |config| config.server.tls_client_ca_file = Some("clients.pem".into()),
        Some("server.tls_client_ca_file"),
    );
}

#[test]
fn a_digest_is_read_in_both_cases() {
    let mut caller = caller();
    assert_eq!(caller.digest(), Some([0xab; 32]));
    caller.bearer_sha256 = Some("AB".repeat(32));
    assert_eq!(caller.digest(), Some([0xab; 32]));
    assert_eq!(
        serde_json::to_value(Role::Gateway).expect("a name"),
        json!("gateway")
    );
}

#[test]
fn an_audit_export_that_cannot_be_meant_is_named_by_its_place() {
    let second = |change: &dyn Fn(&mut AuditExportConfig), key: Option<&str>| {
        let mut wrong = audit_export("second");
        wrong.file = Some(export(json!({"path": "/var/log/second.jsonl"})));
        change(&mut wrong);
        let exports = vec![audit_export("first"), wrong];
        checked(|config| config.audit_exports = exports, key);
    };
    second(&|_| {}, None);
    for name in ["", "Siem", "a b", "a_b", "first", &"a".repeat(65)] {
        second(&|it| it.name = name.into(), Some("audit_exports[1].name"));
    }
    second(&|it| it.name = "a".repeat(64), None);
    second(
        &|it| it.tenants = vec!["acme".into(), "a\nb".into()],
        Some("audit_exports[1].tenants[1]"),
    );
    second(
        &|it| it.tenants = vec!["acme".into(); 1_001],
        Some("audit_exports[1].tenants"),
    );
    second(&|it| it.file = None, Some("audit_exports[1]"));
    second(
        &|it| it.syslog = Some(syslog_export()),
        Some("audit_exports[1]"),
    );
    for path in ["audit.jsonl", "", "/", "/var/log/portcullis/audit.jsonl"] {
        let file = FileExportConfig { path: path.into() };
        second(
            &|it| it.file = Some(file.clone()),
            Some("audit_exports[1].file.path"),
        );
    }
    let many: Vec<_> = (0..17)
        .map(|number| AuditExportConfig {
            file: None,
            webhook: Some(webhook_export()),
            ..audit_export(&format!("export-{number}"))
        })
        .collect();
    checked(|config| config.audit_exports = many, Some("audit_exports"));
}

#[test]
fn an_audit_export_by_syslog_is_checked() {
    let syslog = |change: &dyn Fn(&mut SyslogExportConfig), key: Option<&str>| {
        let mut wrong = syslog_export();
        change(&mut wrong);
        let export = AuditExportConfig {
            file: None,
            syslog: Some(wrong),
            ..audit_export("siem")
        };
        let key = key.map(|key| format!("audit_exports[0].syslog.{key}"));
        checked(|config| config.audit_exports = vec![export], key.as_deref());
    };
    syslog(&|_| {}, None);
    for address in [
        "",
        "logs.example.org",
        ":514",
        "logs:x",
        "a@logs:514",
        "logs:99999",
    ] {
        syslog(&|it| it.address = address.into(), Some("address"));
    }
    syslog(&|it| it.address = "[2001:db8::1]:6514".into(), None);
    syslog(&|it| it.ca_file = None, Some("ca_file"));
    for transport in ["tcp", "udp"] {
        let plain = |address: &'static str, insecure: bool| {
            move |it: &mut SyslogExportConfig| {
                it.address = address.into();
                it.insecure = insecure;
                it.ca_file = None;
                it.transport = serde_json::from_value(json!(transport)).expect("a transport");
            }
        };
        syslog(&plain("logs.example.org:514", false), Some("transport"));
        syslog(&plain("logs.example.org:514", true), None);
        syslog(&plain("127.0.0.1:514", false), None);
        syslog(&plain("[::1]:514", false), None);
        let with_ca = |it: &mut SyslogExportConfig| {
            plain("127.0.0.1:514", false)(it);
            it.ca_file = Some("ca.pem".into());
        };
        syslog(&with_ca, Some("ca_file"));
    }
    syslog(&|it| it.timeout = seconds(0), Some("timeout"));
    syslog(&|it| it.timeout = seconds(301), Some("timeout"));
}

#[test]
fn an_audit_export_by_webhook_is_checked() {
    let webhook = |change: &dyn Fn(&mut WebhookExportConfig), key: Option<&str>| {
        let mut wrong = webhook_export();
        change(&mut wrong);
        let export = AuditExportConfig {
            file: None,
            webhook: Some(wrong),
            ..audit_export("siem")
        };
        let key = key.map(|key| format!("audit_exports[0].webhook.{key}"));
        checked(|config| config.audit_exports = vec![export], key.as_deref());
    };
    webhook(&|_| {}, None);
    for url in [
        "",
        "hooks.example.org",
        "http://hooks.example.org/audit",
        "http://127.0.0.1.example.org/audit",
        "ftp://hooks.example.org",
        "https://user:hunter2@hooks.example.org",
        "https://",
        &format!("https://hooks.example.org/{}", "a".repeat(2_048)),
    ] {
        webhook(&|it| it.url = url.into(), Some("url"));
    }
    let local = |it: &mut WebhookExportConfig| it.url = "http://127.0.0.1:8080/audit".into();
    webhook(&local, Some("ca_file"));
    let local_and_plain = |it: &mut WebhookExportConfig| {
        local(it);
        it.ca_file = None;
    };
    webhook(&local_and_plain, None);
    webhook(&|it| it.ca_file = None, Some("ca_file"));
    webhook(&|it| it.secret_files = vec![], Some("secret_files"));
    webhook(
        &|it| it.secret_files = vec!["secret".into(); 5],
        Some("secret_files"),
    );
    webhook(&|it| it.timeout = seconds(121), Some("timeout"));
    webhook(
        &|it| it.retry_pause_max = seconds(0),
        Some("retry_pause_max"),
    );
    webhook(
        &|it| it.give_up_after = seconds(31 * 24 * 60 * 60),
        Some("give_up_after"),
    );
    webhook(&|it| it.give_up_after = seconds(0), Some("give_up_after"));
}
