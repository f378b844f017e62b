//! The layers of a configuration. A later one overrides those before it.

use std::{fs, path::Path};

use figment2::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{ConfigError, explain::explain, locations::Locations};

/// The other programs, whose variables begin with the prefix of the authority too. A shell may have both.
const OTHER_PROGRAMS: [&str; 2] = ["sidecar_", "console_"];

/// Whether a variable is one of another program: `SIDECAR_AUTHORITY__BEARER`, and not `SIDECAR__BEARER`.
fn is_of_another_program(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    OTHER_PROGRAMS.iter().any(|program| {
        let rest = name.strip_prefix(program);
        rest.is_some_and(|rest| !rest.starts_with('_'))
    })
}

/// The layers of a configuration: a file, the environment over it, and flags over both.
pub struct Layers {
    text: String,
    environment: Figment,
    flags: Figment,
}

impl Layers {
    /// The layers of a file, and of the variables with a prefix: `PORTCULLIS_SIDECAR_` takes
    /// `PORTCULLIS_SIDECAR_AUTHORITY__BEARER` for `authority.bearer`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_file(file: &Path, prefix: &str) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file).map_err(|error| {
            let problem = format!("cannot read {}: {error}", file.display());
            ConfigError::new("--config", problem)
        })?;
        Ok(Self::of_text(&text, prefix))
    }

    /// The layers of a file's text, and of the variables with a prefix.
    #[must_use]
    pub fn of_text(text: &str, prefix: &str) -> Self {
        // Kubernetes sets variables like PORTCULLIS_PORT beside a Service named `portcullis`. A setting has a section,
        // and so two underscores: without the filter such a variable would be an unknown key.
        let environment = Env::prefixed(prefix)
            .filter(|name| name.as_str().contains("__") && !is_of_another_program(name.as_str()))
            .split("__");
        Self {
            text: text.to_owned(),
            environment: Figment::from(environment),
            flags: Figment::new(),
        }
    }

    /// Takes a variable for a whole section too: `PORTCULLIS_CALLERS` for the list `callers`.
    #[must_use]
    pub fn with_list(mut self, prefix: &str, list: &'static str) -> Self {
        let variable = Env::prefixed(prefix).filter(move |name| name == list);
        self.environment = self.environment.merge(variable);
        self
    }

    /// Sets a key by a flag, which wins: a flag is typed for this one start.
    #[must_use]
    pub fn with_flag(mut self, key: &str, value: impl Serialize) -> Self {
        self.flags = self.flags.merge(Serialized::default(key, value));
        self
    }

    /// Reads a configuration, and lets `check` judge it. Errors name the key and its place: a line and column of the file,
    /// the environment, or a flag.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn read<T: DeserializeOwned>(
        &self,
        check: impl FnOnce(&T) -> Result<(), ConfigError>,
    ) -> Result<T, ConfigError> {
        // Parsed for itself first: figment's own error about a file that is not TOML has no line and no column.
        let locations = Locations::parse(&self.text)
            .map_err(|problem| ConfigError::new("configuration", problem))?;
        let layers = Figment::from(Toml::string(&self.text))
            .merge(&self.environment)
            .merge(&self.flags);

        let config: T = layers
            .extract()
            .map_err(|error| self.located(explain(&error), &locations))?;
        // The types accept values that no server can run with, such as a count of zero.
        check(&config).map_err(|error| self.located(error, &locations))?;
        Ok(config)
    }

    /// Adds the place of the setting to an error.
    fn located(&self, error: ConfigError, locations: &Locations<'_>) -> ConfigError {
        // figment knows `callers`, not `callers[1]`.
        let key = error.key.split('[').next().unwrap_or_default();
        // The strongest layer first: it has the value that counts, so its place is the one to mend.
        let place = if self.flags.contains(key) {
            Some("set by a flag".to_owned())
        } else if self.environment.contains(key) {
            Some("set in the environment".to_owned())
        } else {
            locations.find(&error.key)
        };
        match place {
            Some(place) => ConfigError::new(error.key, format!("{} ({place})", error.problem)),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        server: Server,
        callers: Vec<Server>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Server {
        port: u16,
        mode: Mode,
    }

    #[derive(Debug, Default, Deserialize)]
    enum Mode {
        #[default]
        Plain,
        Secure,
    }

    fn refused(layers: &Layers) -> ConfigError {
        let read: Result<Config, _> = layers.read(|config: &Config| match config.server.port {
            7 => Err(ConfigError::new("server.port", "must not be 7")),
            _ => Ok(()),
        });
        read.expect_err("it cannot be used")
    }

    fn refused_file(text: &str) -> ConfigError {
        refused(&Layers::of_text(text, "PORTCULLIS_TEST_"))
    }

    #[test]
    fn variables_of_another_program_are_left_out() {
        for name in ["SIDECAR_AUTHORITY__BEARER", "CONSOLE_TLS__CA_FILE"] {
            assert!(is_of_another_program(name), "{name}");
        }
        for name in ["SIDECAR__BEARER", "SERVER__SIDECAR_X", "STORE__URL"] {
            assert!(!is_of_another_program(name), "{name}");
        }
    }

    #[test]
    fn every_error_names_a_key_and_a_problem() {
        for file in [
            "[\"\"]",
            "\"\" = 1",
            "= 1",
            "[server]\n\"\" = 1",
            "[[callers]]\nport = \"x\"",
            "server = 1",
            "[server]\nport = \"hunter2\"",
        ] {
            let error = refused_file(file);
            assert!(
                !error.key.is_empty() && !error.problem.is_empty(),
                "{file}: {error}"
            );
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn errors_of_the_file_have_a_line_and_a_column() {
        for (file, error) in [
            (
                "[server]\nport = 7",
                "server.port: must not be 7 (line 2, column 8)",
            ),
            (
                "[server]\nmode = \"Odd\"",
                "server.mode: must be one of Plain, Secure (line 2, column 8)",
            ),
            (
                "[[callers]]\n[[callers]]\nprt = 1",
                "callers[1].prt: unknown key `prt`; known are port, mode (line 3, column 7)",
            ),
        ] {
            assert_eq!(refused_file(file).to_string(), error, "{file}");
        }
        assert!(
            refused_file("[server]\nport")
                .to_string()
                .contains("line 2")
        );
    }

    #[test]
    fn errors_of_a_flag_say_so() {
        let layers = Layers::of_text("[server]\nport = 1", "PORTCULLIS_TEST_");
        let error = refused(&layers.with_flag("server.port", 7));
        assert_eq!(
            error.to_string(),
            "server.port: must not be 7 (set by a flag)"
        );
    }
}
