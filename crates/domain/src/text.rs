//! Text from callers and databases that is shown to people.

/// The longest text that is kept, in bytes. Longer text is cut.
pub const TIDY_BYTES_MAX: usize = 128;

/// Removes control characters and outer spaces, and cuts the text at [`TIDY_BYTES_MAX`] bytes.
#[must_use]
pub fn tidy(text: &str) -> String {
    // Control characters could forge lines in a log or a terminal.
    let clean: String = text
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    let clean = clean.trim();
    // The cut may leave a space at the end.
    clean[..clean.floor_char_boundary(TIDY_BYTES_MAX)]
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_loses_what_could_forge_a_line_and_what_is_too_long() {
        assert_eq!(tidy("  a\u{7}\nb  "), "ab");
        assert_eq!(tidy("\n \t"), "");
        assert_eq!(tidy(&"x".repeat(500)).len(), TIDY_BYTES_MAX);
        // No character is cut in two, and no space is left at the cut.
        assert_eq!(tidy(&"ä".repeat(100)).len(), TIDY_BYTES_MAX);
        assert_eq!(tidy(&format!("{}€", "x".repeat(127))), "x".repeat(127));
        assert_eq!(tidy(&format!("{} y", "x".repeat(127))), "x".repeat(127));
    }
}
