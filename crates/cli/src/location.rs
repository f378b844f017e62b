//! Where in a TOML file a setting stands, as line and column.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A parsed configuration file, for its positions only.
pub(crate) struct Locations<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
}

impl<'t> Locations<'t> {
    /// Parses the file's text.
    ///
    /// # Errors
    /// When it is not TOML: what was expected, and where. The parser's message does not repeat values.
    pub(crate) fn parse(text: &'t str) -> Result<Self, String> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Self { text, root }),
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                Err(format!("{} ({})", error.message(), position(text, start)))
            }
        }
    }

    /// Line and column of a key like `server.grpc_listen` or `callers[1].name`. A key that is not there is looked for
    /// in the tables around it: a missing field belongs to its table.
    pub(crate) fn find(&self, key: &str) -> Option<String> {
        let steps = key.split(['.', '[', ']']).filter(|step| !step.is_empty());
        let mut value: Option<&Spanned<DeValue<'_>>> = None;

        for step in steps {
            let next = match value.map(Spanned::get_ref) {
                None => self.root.get_ref().get(step),
                Some(DeValue::Table(table)) => table.get(step),
                Some(DeValue::Array(values)) => {
                    step.parse().ok().and_then(|at: usize| values.get(at))
                }
                Some(_) => None,
            };
            match next {
                Some(next) => value = Some(next),
                None => break,
            }
        }
        value.map(|value| position(self.text, value.span().start))
    }
}

/// The place of a byte, counted from 1 as editors do. Columns count characters.
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
            // What is missing belongs to its table.
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
