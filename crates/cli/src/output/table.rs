//! Tables for people: a head, no borders, lines that can be selected and copied whole.

use comfy_table::presets::NOTHING;

/// The style of heads and labels. It stays on a terminal only.
const BOLD: anstyle::Style = anstyle::Style::new().bold();

/// A table that grows by rows.
pub(crate) struct Table {
    columns: &'static [&'static str],
    inner: comfy_table::Table,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &'static [&'static str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_preset(NOTHING);
        inner.set_header(columns.iter().map(|name| name.to_uppercase()));
        Self { columns, inner }
    }

    /// Adds a row of harmless cells.
    pub(crate) fn add(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.inner.add_row(cells);
    }

    /// The text, with a style for the head.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for (index, line) in self.inner.lines().enumerate() {
            // The library pads every cell. Spaces at the ends of a line would be copied with it.
            let line = line.strip_prefix(' ').unwrap_or(&line).trim_end();
            if index == 0 {
                text.push_str(&format!("{BOLD}{line}{BOLD:#}\n"));
            } else {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

/// Lines of a label and a value.
pub(crate) fn details(lines: &[(&'static str, String)]) -> String {
    let width = lines.iter().map(|(label, _)| label.chars().count()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for (label, value) in lines {
        // By hand, because the escapes of the style would count as characters of the width.
        let padding = width - label.chars().count();
        text.push_str(&format!("{BOLD}{label}{BOLD:#}{:padding$}  {value}\n", ""));
    }
    text
}
