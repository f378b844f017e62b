//! The error for rules that cannot be used.

/// The error for rules that cannot be used: the key, and the problem with it.
///
/// It never repeats a value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", Prefix(key))]
pub struct RulesError {
    /// The key, as `rules[3].path`. Empty when the text as a whole is unreadable.
    pub key: String,
    /// The problem and its remedy.
    pub problem: String,
}

struct Prefix<'a>(&'a str);

impl std::fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "{}: ", self.0)
    }
}

impl RulesError {
    pub(crate) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }

    /// Names the key as one of a larger configuration: `gate.rules[3].path`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.key = if self.key.is_empty() {
            parent.to_owned()
        } else {
            format!("{parent}.{}", self.key)
        };
        self
    }
}
