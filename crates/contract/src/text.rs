//! Bounded text: checked once at the edge, a type from then on.

use std::{fmt, ops::Deref};

/// Text of at most `MAX` bytes without control characters. It may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Parses `text`.
    ///
    /// # Errors
    /// When it is longer than `MAX` bytes or contains a control character (Unicode category Cc).
    pub fn parse(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        // The length comes first, so that a huge text is not searched for control characters.
        if text.len() > MAX {
            return Err(TextError::TooLong { bytes_max: MAX });
        }
        // A line break in a name could forge a line of a log or of an exported audit trail.
        if text.chars().any(char::is_control) {
            return Err(TextError::ControlCharacter);
        }
        Ok(Self(text))
    }

    /// Returns the text itself.
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

/// The reason for which a text was refused. It never repeats the text, which may be private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The text is empty where one is required.
    #[error("required")]
    Empty,
    /// The text has more bytes of UTF-8 than allowed.
    #[error("must be at most {bytes_max} bytes")]
    TooLong {
        /// The bound, in bytes.
        bytes_max: usize,
    },
    /// The text has a control character. Tabs and line breaks are control characters.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// The text does not have the form of this id or address.
    #[error("must be {expected}")]
    Malformed {
        /// The form that is expected.
        expected: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_as_many_bytes_as_allowed_and_no_more() {
        let parse = |text: &str| Text::<4>::parse(text).map(Text::into_string);
        for good in ["", "abcd", "éé"] {
            assert_eq!(parse(good).as_deref(), Ok(good));
        }
        let too_long = TextError::TooLong { bytes_max: 4 };
        for long in ["abcde", "ééé"] {
            assert_eq!(parse(long), Err(too_long));
        }
        assert_eq!(parse("a\nb"), Err(TextError::ControlCharacter));
    }
}
