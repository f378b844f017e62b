//! Text that others wrote, made harmless for a terminal.

use std::borrow::Cow;

/// Whether a character can command a terminal, or show text in another order than it stands.
///
/// Joiners (U+200C, U+200D) are not among them: names in Persian and emoji need them, and they move nothing.
pub(crate) fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Spaces without width, and the marks, embeddings, overrides and isolates of direction.
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Separators of lines and paragraphs, the mark of byte order, annotations.
            | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Invisible tags.
            | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with hostile characters written out, as in `\u{1b}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    // Almost all texts are harmless, and are not copied.
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_hostile(character) {
            cleaned.extend(character.escape_default());
        } else {
            cleaned.push(character);
        }
    }
    Cow::Owned(cleaned)
}

/// Most characters of a cell that only describes. Ids are never cut, because people copy them.
const CELL_CHARACTERS_MAX: usize = 48;

/// Harmless text for a cell: its end is cut off when it is long, and `-` stands for nothing.
pub(crate) fn cell(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let cleaned = visible(text);
    if cleaned.chars().count() <= CELL_CHARACTERS_MAX {
        return cleaned.into_owned();
    }
    let kept = cleaned.chars().take(CELL_CHARACTERS_MAX - 1);
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_are_written_out_and_others_stay() {
        for (text, shown) in [
            ("José 李 👩\u{200d}🚀", "José 李 👩\u{200d}🚀"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\r\nb\tc\u{7f}", "a\\r\\nb\\tc\\u{7f}"),
            ("moc.\u{202e}evil", "moc.\\u{202e}evil"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(visible(text), shown, "{text:?}");
        }
    }

    #[test]
    fn a_cell_is_bounded_and_never_empty() {
        assert_eq!(cell(""), "-");
        let long = cell(&"x".repeat(1_000));
        assert_eq!(long.chars().count(), CELL_CHARACTERS_MAX);
        assert!(long.ends_with('…'));
    }
}
