//! Hostile characters as escapes of JSON and YAML: the reader gets every character back, a terminal gets none.

use std::{fmt::Write as _, io};

use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use super::text::is_hostile;

/// A formatter that escapes characters which JSON itself lets through: control characters beyond ASCII, and those that
/// reverse the direction of text.
pub(super) struct EscapingFormatter<F>(F);

impl EscapingFormatter<PrettyFormatter<'static>> {
    /// Over several lines.
    pub(super) fn pretty() -> Self {
        Self(PrettyFormatter::new())
    }
}

impl EscapingFormatter<CompactFormatter> {
    /// In one line.
    pub(super) fn compact() -> Self {
        Self(CompactFormatter)
    }
}

impl<F: Formatter> Formatter for EscapingFormatter<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, c)| is_hostile(*c)) {
            self.0.write_string_fragment(writer, &rest[..at])?;
            writer.write_all(utf16_escape(character).as_bytes())?;
            rest = &rest[at + character.len_utf8()..];
        }
        self.0.write_string_fragment(writer, rest)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        // All of these are passed on, because the trait's own are those of the compact form.
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// `\u` with the units of UTF-16, as JSON has it.
fn utf16_escape(character: char) -> String {
    let mut units = [0; 2];
    let mut escape = String::new();
    // JSON's escapes have 16 bits. A character beyond them is a pair.
    for unit in character.encode_utf16(&mut units) {
        write!(escape, "\\u{unit:04x}").expect("a string takes everything");
    }
    escape
}

/// Escapes the hostile characters of a YAML document, which stand in double quotes only. Its own line ends stay.
pub(super) fn escape_quoted(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        // Inside of quotes the library has escaped line ends itself. Those that are left separate
        // lines of the document.
        if character == '\n' || !is_hostile(character) {
            escaped.push(character);
        } else {
            write!(escaped, "\\U{:08x}", u32::from(character)).expect("a string takes everything");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{json, json_line, yaml};

    const HOSTILE: &str = "\u{1b}[2J\u{9b}31m \u{202e}moc\u{7f}\u{e0041}\n\"";

    #[test]
    fn json_and_yaml_carry_hostile_text_without_a_raw_character() {
        let data = json!({ "name": HOSTILE, HOSTILE: [HOSTILE, "plain", 7, null] });
        let pretty = json(&data).expect("JSON");
        let line = json_line(&data).expect("JSON");
        let yaml = yaml(&data).expect("YAML");
        for text in [&pretty, &line, &yaml] {
            let raw = |c: char| c != '\n' && super::is_hostile(c);
            assert!(!text.chars().any(raw), "{text:?}");
        }
        for text in [&pretty, &line] {
            let read: serde_json::Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(read, data);
        }
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_saphyr::from_str(&yaml).expect("YAML");
        assert_eq!(read, data);
    }
}
