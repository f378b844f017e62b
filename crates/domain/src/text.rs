//! Text from elsewhere that is shown to people.

/// The longest text that is kept, in bytes; longer ones are cut.
pub const TIDY_BYTES_MAX: usize = 128;

/// At most [`TIDY_BYTES_MAX`] bytes, without control characters and outer spaces.
#[must_use]
pub fn tidy(text: &str) -> String {
    let clean: String = text
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    let clean = clean.trim();
    clean[..clean.floor_char_boundary(TIDY_BYTES_MAX)]
        .trim_end()
        .to_owned()
}
