//! Reading of a configuration from layers of settings.

use figment2::{Figment, error::Kind};

use super::{Config, ConfigError};

impl Config {
    /// Reads and checks a configuration. The caller chooses the layers: files, the environment, flags.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn read(layers: &Figment) -> Result<Self, ConfigError> {
        let config: Self = layers.extract().map_err(|error| explain(&error))?;
        // The types accept values that no authority can run with, such as a count of zero.
        config.check()?;
        Ok(config)
    }
}

/// Turns an error of figment2 into one of ours. Its own text repeats the invalid value, which may be a secret: only the
/// key and the kind of the error are kept.
fn explain(error: &figment2::Error) -> ConfigError {
    ConfigError::new(key(error), problem(error))
}

fn problem(error: &figment2::Error) -> String {
    match &error.kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("must be {expected}")
        }
        Kind::UnknownField(field, known) => {
            format!("unknown key `{field}`; known are {}", known.join(", "))
        }
        Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
        Kind::MissingField(field) => format!("`{field}` is missing"),
        Kind::DuplicateField(field) => format!("`{field}` is set twice"),
        Kind::Message(_) if error.path.is_empty() => "the file is not TOML, or not readable".into(),
        // The texts of all other kinds come from parsers, which may repeat the value.
        _ => "has an invalid value".into(),
    }
}

fn key(error: &figment2::Error) -> String {
    let mut path = error.path.clone();
    if let Kind::UnknownField(field, _) = &error.kind
        && path.last() != Some(field)
    {
        path.push(field.clone());
    }
    let key = path.join(".");
    // TOML allows an empty key, and an error without a key would name nothing.
    if key.is_empty() {
        return "configuration".into();
    }
    key
}

#[cfg(test)]
mod tests {
    use figment2::providers::{Format, Toml};

    use super::*;

    fn refused(file: &str) -> ConfigError {
        Config::read(&Figment::from(Toml::string(file))).expect_err("it cannot be used")
    }

    #[test]
    fn every_error_names_a_key_and_a_problem() {
        for file in [
            "[\"\"]",
            "\"\" = 1",
            "= 1",
            "[server]\n\"\" = 1",
            "[[callers]]",
            "store = 1",
            "[store]\nurl = 1",
        ] {
            let error = refused(file);
            assert!(
                !error.key.is_empty() && !error.problem.is_empty(),
                "{file}: {error}"
            );
        }
    }

    #[test]
    fn an_unknown_algorithm_is_told_the_known_ones() {
        let error = refused("[keys]\nalgorithm = \"HS256\"");
        assert_eq!(
            error.to_string(),
            "keys.algorithm: must be one of EdDSA, ES256, RS256"
        );
    }
}
