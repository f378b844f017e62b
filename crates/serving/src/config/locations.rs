//! Line and column of a setting in a TOML file.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A configuration file, parsed for the positions of its settings only.
pub(super) struct Locations<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
}

impl<'t> Locations<'t> {
    /// Parses the file's text.
    ///
    /// # Errors
    /// If the text is not TOML: the parser's message and the position. The message repeats no values.
    pub(super) fn parse(text: &'t str) -> Result<Self, String> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Self { text, root }),
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                Err(format!("{} ({})", error.message(), position(text, start)))
            }
        }
    }

    /// Finds the line and column of a key like `server.grpc_listen` or `callers[1].name`. For a key that is missing it
    /// is the position of the innermost table around it, which is where the key must be added.
    pub(super) fn find(&self, key: &str) -> Option<String> {
        let steps = key.split(['.', '[', ']']).filter(|step| !step.is_empty());
        let mut found: Option<&Spanned<DeValue<'_>>> = None;
        for step in steps {
            let next = match found {
                None => self.root.get_ref().get(step),
                Some(parent) => child(parent.get_ref(), step),
            };
            // The key is missing from here on. The table found so far is where it belongs.
            if next.is_none() {
                break;
            }
            found = next;
        }
        found.map(|value| position(self.text, value.span().start))
    }
}

/// The value of a key in a table, or at an index in an array.
fn child<'v, 't>(parent: &'v DeValue<'t>, step: &str) -> Option<&'v Spanned<DeValue<'t>>> {
    match parent {
        DeValue::Table(table) => table.get(step),
        DeValue::Array(values) => {
            let index: usize = step.parse().ok()?;
            values.get(index)
        }
        _ => None,
    }
}

/// Line and column of a byte, counted from 1 as editors do. Columns count characters.
fn position(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[server]\n  grpc_listen = 5\n\n[[callers]]\nname = \"a\"\n[[callers]]\nname = \"é\"\nroles = []\n";

    #[test]
    fn a_setting_is_found_by_line_and_column() {
        let locations = Locations::parse(FILE).expect("TOML");
        for (key, place) in [
            ("server.grpc_listen", "line 2, column 17"),
            ("callers[1].roles", "line 8, column 9"),
            ("callers.0.name", "line 5, column 8"),
            // A missing key has the position of its table.
            ("callers[1].bearer_sha256", "line 6, column 1"),
        ] {
            assert_eq!(locations.find(key).as_deref(), Some(place), "{key}");
        }
        assert_eq!(locations.find("store.url"), None);
    }

    #[test]
    fn a_syntax_error_has_a_line_and_a_column_and_no_value() {
        let refused = |text| Locations::parse(text).err().expect("not TOML");
        assert!(refused("a = 1\nnot toml\n").contains("line 2, column"));
        for text in [
            "[store]\nurl = \"postgres://u:hunter2@h\n",
            "[store]\nurl = hunter2\n",
            "[store]\nurl = \"\"\nurl = \"hunter2\"\n",
            "[store]\nurl = \"\\hunter2\"\n",
        ] {
            let error = refused(text);
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("line "), "{error}");
        }
    }
}
