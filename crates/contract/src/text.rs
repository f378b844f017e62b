//! Bounded text: checked once at the edge, a type from then on.

use std::{fmt, ops::Deref};

/// Text of at most `MAX` bytes without control characters. It may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Checks `text`.
    ///
    /// # Errors
    /// When it is longer than `MAX` bytes or contains a control character (Unicode category Cc).
    pub fn parse(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        if text.len() > MAX {
            return Err(TextError::TooLong { bytes_max: MAX });
        }
        if text.chars().any(char::is_control) {
            return Err(TextError::ControlCharacter);
        }
        Ok(Self(text))
    }

    /// The text itself.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text was refused. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Something is required here.
    #[error("must not be empty")]
    Empty,
    /// The bound is in bytes of UTF-8.
    #[error("must be at most {bytes_max} bytes")]
    TooLong {
        /// The most that is allowed.
        bytes_max: usize,
    },
    /// Tabs and line breaks included.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// The text is not of the form that this id or address has.
    #[error("is not {expected}")]
    Malformed {
        /// What would be.
        expected: &'static str,
    },
}
