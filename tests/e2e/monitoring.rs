//! The alerts and dashboards of `deploy/monitoring`: each name and label in them is served by the real programs, and each
//! alert has a page for the operator and a case for promtool.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use portcullis_authority::{
    config::Config,
    store::{
        postgres::{Postgres, PostgresOptions},
        sql::{Lane, SqlStore},
    },
};
use portcullis_contract::v1;
use portcullis_tests::{
    audit_export,
    authority::{ADMIN, TENANT, TestAuthority, sign_in, write_private},
    fault::{Faults, Point, wrap},
    gateways::program::root,
    postgres::Cluster,
    prometheus::Prometheus,
    sidecar::TestSidecar,
    telemetry::Scraped,
    wait::eventually,
};
use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{self, Expr, LabelModifier, VectorSelector},
    util::{ExprVisitor, walk_expr},
};
use rcgen::generate_simple_self_signed;
use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::Code;

const DIRECTORY: &str = "deploy/monitoring";
/// Labels that Prometheus adds to every series by itself.
const OF_TARGETS: [&str; 2] = ["job", "instance"];
/// Series that Prometheus makes by itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// The series that the programs serve: for each name the labels and their values.
#[derive(Default)]
struct Served(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Served {
    fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let series = line.rsplit_once(' ').expect("a value").0;
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let known = self.0.entry(name.to_owned()).or_default();
            for (label, value) in labels_of(labels) {
                known.entry(label).or_default().insert(value);
            }
        }
    }

    /// Says what is wrong with a selector of an expression.
    fn problem(&self, selector: &VectorSelector) -> Option<String> {
        let name = selector.name.as_deref().unwrap_or_default();
        if OF_PROMETHEUS.contains(&name) {
            return None;
        }
        let Some(labels) = self.0.get(name) else {
            return Some(format!("no program serves {name}"));
        };
        let matchers = selector.matchers.matchers.iter();
        matchers
            .filter(|matcher| !OF_TARGETS.contains(&matcher.name.as_str()))
            .find_map(|matcher| match labels.get(&matcher.name) {
                None => Some(format!("{name} has no label {}", matcher.name)),
                Some(values) => unmatched(matcher, values),
            })
    }
}

/// The labels of a line, of which no value here has a quotation mark.
fn labels_of(text: &str) -> Vec<(String, String)> {
    let text = text.trim_end_matches('}');
    let pairs = text.split("\",").filter_map(|pair| pair.split_once("=\""));
    pairs
        .map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned()))
        .collect()
}

/// Says which word of a matcher is no value that was served. Words of a list may be absent from a short run, if the
/// documents name them.
fn unmatched(matcher: &Matcher, values: &BTreeSet<String>) -> Option<String> {
    let is_list = matcher
        .value
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'|'));
    let missing = match &matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => {
            !matcher.value.is_empty() && !values.contains(&matcher.value)
        }
        MatchOp::Re(_) | MatchOp::NotRe(_) if is_list => {
            let mut words = matcher.value.split('|').filter(|word| !word.is_empty());
            !words.all(|word| values.contains(word) || is_documented(word))
        }
        MatchOp::Re(pattern) => !values.iter().any(|value| pattern.is_match(value)),
        // It excludes what a short run may not have, such as a stream that has ended.
        MatchOp::NotRe(_) => false,
    };
    missing.then(|| format!("{matcher} fits none of {values:?}"))
}

fn is_documented(word: &str) -> bool {
    let pages = ["observability.md", "errors.md"];
    pages.iter().any(|page| {
        let file = root().join("docs/reference").join(page);
        let page = fs::read_to_string(file).expect("a page");
        page.contains(&format!("`{word}`"))
    })
}

/// What an expression names.
#[derive(Default)]
struct Named {
    selectors: Vec<VectorSelector>,
    /// Labels of `by`, `without`, `on` and `ignoring`.
    labels: BTreeSet<String>,
}

impl Named {
    fn of(expression: &str) -> Self {
        // Variables of Grafana, which puts a value in before Prometheus reads it.
        let expression = expression
            .replace("$__rate_interval", "5m")
            .replace("$instance", ".*");
        let parsed = parser::parse(&expression);
        let parsed = parsed.unwrap_or_else(|error| panic!("{expression}: {error}"));
        let mut named = Self::default();
        let Ok(_) = walk_expr(&mut named, &parsed);
        assert!(!named.selectors.is_empty(), "{expression} names no metric");
        named
    }

    fn add_labels(&mut self, modifier: Option<&LabelModifier>) {
        for label in modifier.iter().flat_map(|them| &them.labels().labels) {
            self.labels.insert(label.clone());
        }
    }
}

impl ExprVisitor for Named {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
        match expression {
            Expr::VectorSelector(selector) => self.selectors.push(selector.clone()),
            Expr::MatrixSelector(matrix) => self.selectors.push(matrix.vs.clone()),
            Expr::Aggregate(aggregate) => self.add_labels(aggregate.modifier.as_ref()),
            Expr::Binary(binary) => {
                let matching = binary.modifier.as_ref().and_then(|it| it.matching.as_ref());
                self.add_labels(matching);
            }
            _ => {}
        }
        Ok(true)
    }
}

/// Says everything that is wrong with an expression.
fn problems(served: &Served, expression: &str) -> Vec<String> {
    let named = Named::of(expression);
    let selectors = named.selectors.iter();
    let mut problems: Vec<String> = selectors
        .clone()
        .filter_map(|selector| served.problem(selector))
        .collect();
    let known: BTreeSet<&str> = selectors
        .filter_map(|selector| served.0.get(selector.name.as_deref()?))
        .flat_map(|labels| labels.keys().map(String::as_str))
        .chain(OF_TARGETS)
        .collect();
    for label in &named.labels {
        if !known.contains(label.as_str()) {
            problems.push(format!("nothing has the label {label}"));
        }
    }
    problems
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(DIRECTORY).join(file)).expect(file)
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).expect(file)
}

/// The alerts, in their order.
fn alerts() -> Vec<Value> {
    let groups = yaml("portcullis.rules.yaml");
    let groups = groups["groups"].as_array().expect("groups").clone();
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules").clone())
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} in {value}"))
}

/// Every expression of a dashboard: of its panels, its variables and its annotations.
fn collect_expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match (key.as_str(), member) {
                    ("expr", Value::String(expression)) => found.push(expression.clone()),
                    ("definition", Value::String(definition)) => {
                        found.push(metric_of_definition(definition));
                    }
                    _ => collect_expressions(member, found),
                }
            }
        }
        Value::Array(elements) => {
            for element in elements {
                collect_expressions(element, found);
            }
        }
        _ => {}
    }
}

/// The metric of a variable, whose definition reads `label_values(metric, label)`.
fn metric_of_definition(definition: &str) -> String {
    let inner = definition.strip_prefix("label_values(").expect(definition);
    inner.split_once(',').expect(definition).0.to_owned()
}

/// Every expression with the place where it is.
fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for alert in alerts() {
        all.push((
            text(&alert, "alert").to_owned(),
            text(&alert, "expr").to_owned(),
        ));
    }
    let directory = root().join(DIRECTORY).join("dashboards");
    for entry in fs::read_dir(directory).expect("dashboards") {
        let file = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("a name");
        let dashboard: Value =
            serde_json::from_str(&read(&format!("dashboards/{file}"))).expect(&file);
        let mut found = Vec::new();
        collect_expressions(&dashboard, &mut found);
        assert!(found.len() > 10, "{file} has panels");
        all.extend(
            found
                .into_iter()
                .map(|expression| (file.clone(), expression)),
        );
    }
    all
}

/// The authority on SQLite, with TLS and a connection that does not speak it.
async fn scrape_sqlite() -> String {
    let authority = TestAuthority::with(speak_tls).await;
    let mut stream = TcpStream::connect(authority.config.server.grpc_listen)
        .await
        .expect("connects");
    stream.write_all(b"no handshake\r\n").await.expect("sent");

    let http = authority.config.server.http_listen;
    eventually(
        "a measure of the store, and the end of the connection",
        async || {
            let scraped = Scraped::of(http).await;
            scraped.value("portcullis_store_disk_free_bytes", &[])?;
            scraped.value("portcullis_connections_ended_total", &[])?;
            scraped.value("portcullis_audit_export_lag_seconds", &[])?;
            Some(scraped.text().to_owned())
        },
    )
    .await
}

fn speak_tls(config: &mut Config) {
    let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let directory = config.keys.master_key_file.parent().expect("a directory");
    let (chain, key) = (directory.join("chain.pem"), directory.join("key.pem"));
    fs::write(&chain, made.cert.pem()).expect("written");
    write_private(&key, &made.signing_key.serialize_pem());
    config.server.tls_certificate_file = Some(chain);
    config.server.tls_key_file = Some(key);
    let export = audit_export::to_file("archive", &directory.join("audit.jsonl"));
    config.audit_exports = vec![export];
}

/// The authority on PostgreSQL with a standby, with a gate, a commit that failed, and callers that were refused; and the
/// sidecar that watches it.
async fn scrape_postgres_and_sidecar() -> [String; 2] {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let _standby = cluster.asynchronous_standby("standby1").await;
    let engine = Postgres::connect(&cluster.url(), &PostgresOptions::default()).await;
    let (backend, faults) = wrap(Arc::new(engine.expect("connects")));
    let store = SqlStore::open(backend).await.expect("opens");
    let authority = TestAuthority::over(Arc::new(store), |config| {
        config.limits.tenant_named_users_per_minute = 1;
        config.limits.tenant_named_users_burst = 1_000;
        config.watch.canary_interval = Duration::from_secs(1);
    })
    .await;
    let sidecar = TestSidecar::ready(&authority).await;
    make_traffic(&authority, &sidecar, &faults).await;

    let http = authority.config.server.http_listen;
    let served = eventually("the delay of enforcement, and a standby", async || {
        let scraped = Scraped::of(http).await;
        scraped.value("portcullis_store_standby_lag_seconds", &[])?;
        let measured = [("portcullis_enforcement_source", "measured")];
        scraped.value("portcullis_enforcement_delay_seconds_count", &measured)?;
        let failed = [("error_type", "unavailable")];
        scraped.value("db_client_operation_duration_seconds_count", &failed)?;
        Some(scraped.text().to_owned())
    })
    .await;
    let operations = sidecar.operation("/metrics").await.expect("an answer");
    [served, operations.body]
}

async fn make_traffic(authority: &TestAuthority, sidecar: &TestSidecar, faults: &Faults) {
    let ada = authority.sign_in("ada").await;
    let unknown = authority
        .sessions("an unknown bearer")
        .create_session(sign_in("ada"))
        .await;
    assert!(unknown.is_err());
    assert!(sign_out_many(authority).await.is_ok());
    assert!(sign_out_many(authority).await.is_err(), "beyond the burst");
    fail_a_read(authority, faults).await;
    sidecar.verify(&ada.access_token).await;

    faults.fail(Lane::Append, Point::BeforeCommit);
}

/// Names most of the users that the bound allows.
async fn sign_out_many(authority: &TestAuthority) -> Result<(), tonic::Status> {
    let request = v1::ForceSignOutRequest {
        tenant_id: TENANT.into(),
        user_ids: (0..900).map(|number| format!("user-{number}")).collect(),
        reason: "a test".into(),
        ..Default::default()
    };
    let mut users = authority.users(ADMIN);
    users.force_sign_out(request).await.map(drop)
}

/// A call that fails because of the server: it has no connection to the database.
async fn fail_a_read(authority: &TestAuthority, faults: &Faults) {
    let request = v1::GetUserRequest {
        tenant_id: TENANT.into(),
        user_id: "ada".into(),
    };
    faults.cut_off(Lane::Read);
    let failed = authority.users(ADMIN).get_user(request).await;
    faults.mend(Lane::Read);
    assert_eq!(failed.expect_err("no database").code(), Code::Unavailable);
}

#[tokio::test]
async fn every_metric_of_a_panel_and_of_an_alert_is_served_with_its_labels() {
    let mut served = Served::default();
    served.add(&scrape_sqlite().await);
    for text in scrape_postgres_and_sidecar().await {
        served.add(&text);
    }
    let mut wrong = Vec::new();
    for (place, expression) in expressions() {
        for problem in problems(&served, &expression) {
            wrong.push(format!("{place}: {problem}: {expression}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn prometheus_reads_the_delay_of_enforcement_as_a_native_histogram() {
    let authority = TestAuthority::with(|config| {
        config.watch.canary_interval = Duration::from_secs(1);
    })
    .await;
    let _sidecar = TestSidecar::ready(&authority).await;
    authority.sign_in("ada").await;
    let prometheus = Prometheus::reading(authority.config.server.http_listen).await;

    // An expression of native histograms only: it has no value for a series of buckets.
    let measured = "{portcullis_enforcement_source='measured'}";
    let name = format!("portcullis_enforcement_delay_seconds{measured}");
    let median = format!("histogram_quantile(0.5, {name})");
    let counted = eventually("a third measured delay", async || {
        let count = prometheus
            .value(&format!("histogram_count({name})"))
            .await?;
        (count >= 3.0).then_some(count)
    })
    .await;
    let median = prometheus.value(&median).await.expect("a median");
    let mean = format!("histogram_sum({name}) / histogram_count({name})");
    let mean = prometheus.value(&mean).await.expect("a mean");
    assert!(median > 0.0 && median < mean * counted, "{median} {mean}");

    // Gauges, counters and histograms of buckets arrive in the same form.
    let head = prometheus.value("portcullis_log_head").await;
    assert!(head.expect("a head") >= counted, "{head:?}");
    let sign_outs = prometheus.value("portcullis_clock_sign_outs_total").await;
    assert_eq!(sign_outs, Some(0.0));
    let buckets = "sum(rpc_server_call_duration_seconds_bucket{le='+Inf'})";
    assert!(prometheus.value(buckets).await.expect("calls") > 0.0);
}

#[test]
fn every_alert_has_a_runbook_with_three_parts_and_says_whom_it_wakes() {
    let mut named = BTreeSet::from(["README.md".to_owned()]);
    for alert in alerts() {
        let name = text(&alert, "alert");
        let severity = text(&alert["labels"], "severity");
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        let file = text(&alert["annotations"], "runbook");
        let page = fs::read_to_string(root().join(file)).expect(file);
        assert!(page.contains(&format!("`{name}`")), "{file} names {name}");
        for part in ["What it means", "What to look at", "What to do"] {
            assert!(page.contains(&format!("\n## {part}\n")), "{file}: {part}");
        }
        let name = Path::new(file).file_name().and_then(|name| name.to_str());
        named.insert(name.expect("a name").to_owned());
    }
    let pages = fs::read_dir(root().join("docs/operating/runbooks")).expect("pages");
    let pages: BTreeSet<String> = pages
        .map(|page| {
            page.expect("a page")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    assert_eq!(pages, named, "a page for each alert, and no other");
}

#[test]
fn every_alert_has_a_case_in_which_it_is_quiet_and_one_in_which_it_fires() {
    let cases = yaml("portcullis.rules.test.yaml");
    let mut seen: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for test in cases["tests"].as_array().expect("tests") {
        for case in test["alert_rule_test"].as_array().expect("cases") {
            let expected = case["exp_alerts"].as_array().expect("alerts");
            let (quiet, fires) = seen.entry(text(case, "alertname").to_owned()).or_default();
            *quiet |= expected.is_empty();
            *fires |= !expected.is_empty();
        }
    }
    for alert in alerts() {
        let name = text(&alert, "alert");
        assert_eq!(seen.get(name), Some(&(true, true)), "{name}");
    }
}
