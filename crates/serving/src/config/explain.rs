//! Errors of figment2 in our words.

use figment2::{Error, error::Kind};

use super::ConfigError;

/// The beginnings of messages of our own, which repeat no value.
const OWN_MESSAGES: [&str; 2] = ["must ", "required"];

/// Turns an error of figment2 into one of ours. Its own text repeats the invalid value, which may be a secret: only the
/// key and the kind of the error are kept.
pub(super) fn explain(error: &Error) -> ConfigError {
    ConfigError::new(key(error), problem(error))
}

fn problem(error: &Error) -> String {
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
        // The texts of all other kinds come from parsers, which may repeat the value.
        _ => "has an invalid value".into(),
    }
}

fn key(error: &Error) -> String {
    let mut path = error.path.clone();
    if let Some(field) = field(&error.kind)
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

/// The key that the error is about, which its path does not end with in every version of figment2.
fn field(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::UnknownField(field, _) => Some(field),
        Kind::MissingField(field) => Some(field),
        _ => None,
    }
}
