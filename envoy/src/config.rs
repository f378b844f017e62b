//! The configuration, as JSON: Envoy makes it of the YAML of its own configuration.

use std::{fs::File, io::Read, path::PathBuf, time::Duration};

use portcullis_gate::{CompiledRules, Rules, RulesError};
use portcullis_validator::{Builder, TlsFiles, Validator};
use portcullis_validator_core::BuildError;
use serde::{Deserialize, de::DeserializeOwned};

/// The most addresses of authorities.
const ENDPOINTS_MAX: usize = 16;
/// The largest file of a credential, in bytes.
const BEARER_BYTES_MAX: u64 = 4 << 10;
/// The largest file of certificates, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// The longest [`AuthoritySettings::start_wait`]. Envoy's main thread waits.
const START_WAIT_MAX: Duration = Duration::from_secs(10);

/// A setting that is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{key}: {problem}")]
pub(crate) struct ConfigError {
    /// The key in the configuration.
    pub(crate) key: String,
    /// The rule that it breaks.
    pub(crate) problem: String,
}

impl ConfigError {
    pub(crate) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }
}

/// The configuration of a filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterSettings {
    pub(crate) authority: AuthoritySettings,
    #[serde(default)]
    pub(crate) rules: Rules,
}

/// The configuration of a route. It has no key that switches the gate off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSettings {
    pub(crate) rules: Rules,
}

/// The connection to the authority, and what the gate expects of tokens. The sidecar has the same keys.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuthoritySettings {
    /// The addresses: `http://127.0.0.1:7400`.
    endpoints: Vec<String>,
    /// The credential of the role `gateway`.
    bearer: String,
    /// The file that has it instead.
    bearer_file: Option<PathBuf>,
    /// The certificate (PEM) that signs the authority's.
    ca_certificate: Option<String>,
    /// The file that has it instead. It may be replaced while Envoy runs.
    ca_certificate_file: Option<PathBuf>,
    /// The gate's own certificate (PEM), which may take the place of the credential. It may be replaced.
    client_certificate_file: Option<PathBuf>,
    /// Its private key.
    client_key_file: Option<PathBuf>,
    /// Permits `http://` addresses beyond this machine.
    insecure: bool,
    /// The `iss` of tokens.
    issuer: String,
    /// The `aud` of tokens.
    audience: String,
    /// The name that operators see.
    name: String,
    /// The age up to which a proof of freshness counts.
    #[serde(with = "humantime_serde")]
    max_staleness: Duration,
    /// Accepts tokens without a proof of freshness up to this age. Unset: strict.
    #[serde(with = "humantime_serde")]
    best_effort: Option<Duration>,
    /// The most by which the machine's clock may differ from the database's.
    #[serde(with = "humantime_serde")]
    clock_skew_max: Duration,
    /// Whether the use of sessions is reported.
    activity: bool,
    /// The interval between two reports.
    #[serde(with = "humantime_serde")]
    activity_interval: Duration,
    /// Verified tokens in the cache.
    cached_tokens_max: usize,
    /// Verified API keys in the cache.
    cached_api_keys_max: usize,
    /// Tokens with a tracked use.
    activity_tokens_max: usize,
    /// Bytes of the largest snapshot.
    snapshot_bytes_max: u64,
    /// The longest time for which Envoy waits for the first view before it takes the configuration into use.
    #[serde(with = "humantime_serde")]
    start_wait: Duration,
}

impl Default for AuthoritySettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            bearer: String::new(),
            bearer_file: None,
            ca_certificate: None,
            ca_certificate_file: None,
            client_certificate_file: None,
            client_key_file: None,
            insecure: false,
            issuer: String::new(),
            audience: String::new(),
            name: "envoy".into(),
            max_staleness: Duration::from_secs(5),
            best_effort: None,
            clock_skew_max: Duration::from_secs(5 * 60),
            activity: true,
            activity_interval: Duration::from_secs(10),
            cached_tokens_max: 100_000,
            cached_api_keys_max: 10_000,
            activity_tokens_max: 200_000,
            snapshot_bytes_max: 1 << 30,
            start_wait: Duration::from_secs(1),
        }
    }
}

impl std::fmt::Debug for AuthoritySettings {
    /// Leaves the credential out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthoritySettings")
            .field("endpoints", &self.endpoints)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl FilterSettings {
    /// Reads the configuration and the files that it names.
    pub(crate) fn read(json: &[u8]) -> Result<Self, ConfigError> {
        let mut settings: Self = parse(json)?;
        settings.authority.read_files()?;
        settings.authority.check()?;
        Ok(settings)
    }
}

impl RouteSettings {
    /// Reads the configuration of a route.
    pub(crate) fn read(json: &[u8]) -> Result<Self, ConfigError> {
        parse(json)
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, ConfigError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let key = error.path().to_string();
        ConfigError::new(key, error.into_inner().to_string())
    })
}

impl AuthoritySettings {
    /// Reads the credential's file, so that one that changed is a change of the settings. The validator itself reads
    /// certificates, at each connection.
    fn read_files(&mut self) -> Result<(), ConfigError> {
        if let Some(file) = self.bearer_file.take() {
            if !self.bearer.is_empty() {
                return Err(both("authority.bearer"));
            }
            let text = read_file("authority.bearer_file", &file, BEARER_BYTES_MAX)?;
            text.trim().clone_into(&mut self.bearer);
        }
        Ok(())
    }

    /// Checks what the builder of the validator does not.
    fn check(&self) -> Result<(), ConfigError> {
        if self.endpoints.is_empty() || self.endpoints.len() > ENDPOINTS_MAX {
            let problem = format!("must be 1 to {ENDPOINTS_MAX} addresses");
            return Err(ConfigError::new("authority.endpoints", problem));
        }
        if self.bearer.is_empty() && self.client_certificate_file.is_none() {
            let problem = "required, or authority.bearer_file";
            return Err(ConfigError::new("authority.bearer", problem));
        }
        if self.client_certificate_file.is_some() != self.client_key_file.is_some() {
            let problem = "needs authority.client_certificate_file, and the reverse";
            return Err(ConfigError::new("authority.client_key_file", problem));
        }
        match (&self.ca_certificate, &self.ca_certificate_file) {
            (Some(_), Some(_)) => return Err(both("authority.ca_certificate")),
            (_, None) if self.client_certificate_file.is_some() => {
                let problem = "needs authority.ca_certificate_file";
                return Err(ConfigError::new(
                    "authority.client_certificate_file",
                    problem,
                ));
            }
            _ => {}
        }
        // Read here only to name the key of a file that cannot be.
        for (key, file) in [
            ("authority.ca_certificate_file", &self.ca_certificate_file),
            (
                "authority.client_certificate_file",
                &self.client_certificate_file,
            ),
            ("authority.client_key_file", &self.client_key_file),
        ] {
            if let Some(file) = file {
                read_file(key, file, PEM_BYTES_MAX)?;
            }
        }
        if self.start_wait > START_WAIT_MAX {
            let problem = format!("must be at most {} s", START_WAIT_MAX.as_secs());
            return Err(ConfigError::new("authority.start_wait", problem));
        }
        Ok(())
    }

    /// The longest wait for the first view.
    pub(crate) fn start_wait(&self) -> Duration {
        self.start_wait
    }

    /// Returns the settings of the validator.
    pub(crate) fn builder(&self) -> Builder {
        let mut endpoints = self.endpoints.iter();
        let first = endpoints.next().map(String::as_str).unwrap_or_default();
        let mut builder = Validator::builder(first)
            .bearer(&self.bearer)
            .issuer(&self.issuer)
            .audience(&self.audience)
            .name(&self.name)
            .max_staleness(self.max_staleness)
            .clock_skew_max(self.clock_skew_max)
            .cached_tokens_max(self.cached_tokens_max)
            .cached_api_keys_max(self.cached_api_keys_max)
            .activity_tokens_max(self.activity_tokens_max)
            .snapshot_bytes_max(self.snapshot_bytes_max)
            .activity_interval(self.activity_interval);
        for endpoint in endpoints {
            builder = builder.endpoint(endpoint);
        }
        if let Some(pem) = &self.ca_certificate {
            builder = builder.ca_certificate(pem.as_bytes());
        }
        if let Some(stale_max) = self.best_effort {
            builder = builder.best_effort(stale_max);
        }
        if !self.activity {
            builder = builder.without_activity();
        }
        if let Some(files) = self.tls_files() {
            builder = builder.tls_files(files);
        }
        if self.insecure {
            builder = builder.insecure();
        }
        builder
    }

    fn tls_files(&self) -> Option<TlsFiles> {
        let mut files = TlsFiles::new(self.ca_certificate_file.as_ref()?);
        if let (Some(certificate), Some(key)) =
            (&self.client_certificate_file, &self.client_key_file)
        {
            files = files.client_certificate(certificate, key);
        }
        Some(files)
    }
}

/// Names the key of a setting that the validator refused.
pub(crate) fn refused_setting(error: &BuildError) -> ConfigError {
    let key = match error.setting {
        "endpoint" => "endpoints",
        "stale_max" => "best_effort",
        setting => setting,
    };
    // The setting has another name here.
    let problem = error.problem.replace("insecure()", "authority.insecure");
    ConfigError::new(format!("authority.{key}"), problem)
}

/// Compiles rules. An error names the key.
pub(crate) fn compile(rules: &Rules) -> Result<CompiledRules, ConfigError> {
    rules.compile().map_err(refused_rules)
}

/// Names the key of rules that the gate refused.
pub(crate) fn refused_rules(error: RulesError) -> ConfigError {
    let error = error.within("rules");
    ConfigError::new(error.key, error.problem)
}

fn both(key: &str) -> ConfigError {
    ConfigError::new(key, format!("must not be set beside {key}_file"))
}

fn read_file(key: &str, file: &PathBuf, bytes_max: u64) -> Result<String, ConfigError> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text));
    match read {
        Err(error) => {
            let problem = format!("{}: {error}", file.display());
            Err(ConfigError::new(key, problem))
        }
        Ok(_) if text.len() as u64 > bytes_max => {
            let problem = format!("{}: must be at most {bytes_max} bytes", file.display());
            Err(ConfigError::new(key, problem))
        }
        Ok(_) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{filter_config::FilterConfig, route::RouteConfig, testing::FakeHost};

    fn settings() -> Value {
        json!({
            "authority": {
                "endpoints": ["http://127.0.0.1:1"],
                "bearer": "secret",
                "issuer": "https://issuer.test",
                "audience": "gateway",
                "start_wait": "0s",
            },
        })
    }

    /// Reads the settings as Envoy would have them read.
    fn read(settings: &Value) -> Result<(), ConfigError> {
        let json = settings.to_string();
        FilterConfig::new(json.as_bytes(), &mut FakeHost::default()).map(drop)
    }

    #[test]
    fn a_wrong_setting_is_named() {
        assert_eq!(read(&settings()), Ok(()));
        for (key, value, named, problem) in [
            ("endpoints", json!([]), "authority.endpoints", "1 to 16"),
            (
                "endpoints",
                json!("http://a"),
                "authority.endpoints",
                "sequence",
            ),
            ("endpoints", json!(["not a url"]), "authority.endpoints", ""),
            ("bearer", json!(""), "authority.bearer", "required"),
            ("bearer", json!("a\nb"), "authority.bearer", "ASCII"),
            ("bearer", json!(7), "authority.bearer", "string"),
            ("bearer_file", json!("/none"), "authority.bearer", "beside"),
            (
                "ca_certificate_file",
                json!("/none"),
                "authority.ca_certificate_file",
                "/none",
            ),
            (
                "client_key_file",
                json!("/none"),
                "authority.client_key_file",
                "client_certificate_file",
            ),
            (
                "endpoints",
                json!(["http://10.0.0.1:1"]),
                "authority.endpoints",
                "",
            ),
            ("issuer", json!(""), "authority.issuer", ""),
            ("audience", json!(""), "authority.audience", ""),
            (
                "max_staleness",
                json!("1ms"),
                "authority.max_staleness",
                "100 ms",
            ),
            (
                "max_staleness",
                json!("soon"),
                "authority.max_staleness",
                "",
            ),
            ("best_effort", json!("soon"), "authority.best_effort", ""),
            (
                "activity_interval",
                json!("1ms"),
                "authority.activity_interval",
                "100 ms",
            ),
            ("start_wait", json!("1m"), "authority.start_wait", "10 s"),
            ("isuer", json!("a"), "authority", "isuer"),
        ] {
            let mut settings = settings();
            settings["authority"][key] = value.clone();
            let error = read(&settings).expect_err(key);
            assert!(error.key.starts_with(named), "{key} {value}: {error}");
            assert!(error.problem.contains(problem), "{key} {value}: {error}");
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        for (text, named) in [
            ("", ""),
            ("{}", "authority"),
            ("[]", ""),
            (r#"{"authority":{},"rule":{}}"#, "rule"),
        ] {
            let error = FilterSettings::read(text.as_bytes()).expect_err(text);
            assert!(error.to_string().contains(named), "{text}: {error}");
        }
        let mut unknown_rule = settings();
        unknown_rule["rules"] = json!({ "rules": [{ "path": "/a", "acess": "public" }] });
        let error = read(&unknown_rule).expect_err("a misspelt key");
        assert!(error.to_string().contains("acess"), "{error}");
        let mut bad_rule = settings();
        bad_rule["rules"] = json!({ "rules": [{ "path": "no slash", "access": "public" }] });
        let error = read(&bad_rule).expect_err("a path without a slash");
        assert!(error.key.starts_with("rules"), "{error}");
    }

    #[test]
    fn a_route_has_rules_and_nothing_else() {
        for text in [
            "{}",
            r#"{"disabled":true}"#,
            r#"{"rules":{},"authority":{}}"#,
            "null",
        ] {
            assert!(RouteConfig::new(text.as_bytes()).is_err(), "{text}");
        }
        assert!(RouteConfig::new(br#"{"rules":{}}"#).is_ok());
    }

    #[test]
    fn a_host_that_defines_no_counters_gets_no_gate() {
        let mut frozen = FakeHost {
            frozen: true,
            ..FakeHost::default()
        };
        let json = settings().to_string();
        assert!(FilterConfig::new(json.as_bytes(), &mut frozen).is_err());
    }

    #[test]
    fn the_credential_is_in_no_debug_output() {
        let json = settings().to_string();
        let settings = FilterSettings::read(json.as_bytes()).expect("good settings");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
