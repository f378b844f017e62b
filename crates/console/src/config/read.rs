//! Reading of a configuration: a file, overridden by the environment.

use figment2::{
    Figment,
    error::Kind,
    providers::{Env, Format, Toml},
};

use super::{Config, ConfigError};

/// The prefix of variables that override the file: `PORTCULLIS_CONSOLE_AUTHORITY__BEARER`.
const ENVIRONMENT: &str = "PORTCULLIS_CONSOLE_";
/// The beginnings of messages of our own, which repeat no value.
const OWN_MESSAGES: [&str; 2] = ["must ", "required"];

impl Config {
    /// Reads and checks a configuration from the text of its file and from the environment.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        // Kubernetes sets variables beside a Service of our name. A setting has a section, and so two underscores.
        let environment = Env::prefixed(ENVIRONMENT)
            .filter(|name| name.as_str().contains("__"))
            .split("__");
        let layers = Figment::from(Toml::string(text)).merge(environment);
        let config: Self = layers.extract().map_err(|error| explain(&error))?;
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
        Kind::MissingField(_) => "required".into(),
        Kind::DuplicateField(field) => format!("`{field}` is set twice"),
        Kind::Message(text) if OWN_MESSAGES.iter().any(|own| text.starts_with(own)) => text.clone(),
        Kind::Message(_) if error.path.is_empty() => "the file is not TOML, or not readable".into(),
        // The texts of all other kinds come from parsers, which may repeat the value.
        _ => "has an invalid value".into(),
    }
}

fn key(error: &figment2::Error) -> String {
    let mut path = error.path.clone();
    let field = match &error.kind {
        Kind::UnknownField(field, _) => Some(field.as_str()),
        Kind::MissingField(field) => Some(field.as_ref()),
        _ => None,
    };
    if let Some(field) = field
        && path.last().map(String::as_str) != Some(field)
    {
        path.push(field.to_owned());
    }
    let key = path.iter().fold(String::new(), |key, step| {
        match step.parse::<usize>() {
            // As the rules write it: `rules.rules[3].path`.
            Ok(index) => format!("{key}[{index}]"),
            Err(_) if key.is_empty() => step.clone(),
            Err(_) => format!("{key}.{step}"),
        }
    });
    // TOML allows an empty key, and an error without a key would name nothing.
    if key.is_empty() {
        return "configuration".into();
    }
    key
}
