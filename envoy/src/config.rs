//! The configuration, as JSON: Envoy makes it of the YAML of its own configuration.

use std::time::Duration;

use portcullis_gate::{CompiledRules, Rules, RulesError};
use portcullis_validator::{
    Builder,
    settings::{SettingError, Settings},
};
use serde::{Deserialize, de::DeserializeOwned};

/// The longest [`FilterSettings::start_wait`]. Envoy's main thread waits.
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

impl From<SettingError> for ConfigError {
    fn from(SettingError { key, problem }: SettingError) -> Self {
        Self { key, problem }
    }
}

/// The configuration of a filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterSettings {
    /// The connection to the authority, and the tokens that the gate accepts. The sidecar has the same keys.
    pub(crate) authority: Settings,
    #[serde(default)]
    pub(crate) rules: Rules,
    /// The longest time for which Envoy waits for the first view before it takes the configuration into use.
    #[serde(with = "humantime_serde", default = "default_start_wait")]
    pub(crate) start_wait: Duration,
}

fn default_start_wait() -> Duration {
    Duration::from_secs(1)
}

/// The configuration of a route. It has no key that switches the gate off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSettings {
    pub(crate) rules: Rules,
}

impl FilterSettings {
    /// Reads the configuration and the files that it names. Certificates are read again at each connection; a
    /// credential that changed is a change of the settings.
    pub(crate) fn read(json: &[u8]) -> Result<Self, ConfigError> {
        let mut settings: Self = parse(json)?;
        settings.authority.read_bearer_file()?;
        let _checked = validator(&settings.authority)?;
        if settings.start_wait > START_WAIT_MAX {
            let problem = format!("must be at most {} s", START_WAIT_MAX.as_secs());
            return Err(ConfigError::new("start_wait", problem));
        }
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

/// Returns the settings of the validator, checked.
pub(crate) fn validator(authority: &Settings) -> Result<Builder, ConfigError> {
    Ok(authority.builder("envoy")?)
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
            },
            "start_wait": "0s",
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
            ("bearer", json!(null), "authority.bearer", "required"),
            ("bearer", json!(""), "authority.bearer", "empty"),
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
        let mut impatient = settings();
        impatient["start_wait"] = json!("1m");
        let error = read(&impatient).expect_err("a long wait");
        assert_eq!(error.key, "start_wait", "{error}");
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
