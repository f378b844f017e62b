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
    clean[..clean.floor_char_boundary(TIDY_BYTES_MAX)]
        .trim_end()
        .to_owned()
}
