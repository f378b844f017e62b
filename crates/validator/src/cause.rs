//! Causes of failures in words, bounded and on one line.

use std::error::Error;

/// The longest cause that is logged, in bytes. The peer's words are part of it.
const CAUSE_BYTES_MAX: usize = 512;

/// Describes an error with the errors that caused it, on one line and within [`CAUSE_BYTES_MAX`].
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their source.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    one_line(&text)
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(CAUSE_BYTES_MAX));
    for character in text.chars() {
        if line.len() + character.len_utf8() > CAUSE_BYTES_MAX {
            break;
        }
        // A peer that sends a line break could otherwise forge a line of the log.
        if character.is_control() {
            line.push(' ');
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_one_bounded_line() {
        let line = one_line(&format!("a\r\nforged line {}", "é".repeat(1_000)));
        assert!(line.starts_with("a  forged line é"), "{line}");
        assert!(line.len() <= CAUSE_BYTES_MAX);
    }
}
