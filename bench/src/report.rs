//! What was measured: one table, and one file.

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

/// One row. Without a peer the last three are null.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    name: &'static str,
    value: f64,
    unit: &'static str,
    peer: Option<&'static str>,
    peer_value: Option<f64>,
    ratio: Option<f64>,
}

/// All rows so far.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    /// A row without a peer.
    pub(crate) fn add(&mut self, name: &'static str, value: f64, unit: &'static str) {
        self.push(Row {
            name,
            value,
            unit,
            peer: None,
            peer_value: None,
            ratio: None,
        });
    }

    /// A row beside its peer, in the same unit.
    pub(crate) fn compare(
        &mut self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        peer: &'static str,
        peer_value: f64,
    ) {
        let ratio = Some(value / peer_value);
        self.push(Row {
            name,
            value,
            unit,
            peer: Some(peer),
            peer_value: Some(peer_value),
            ratio,
        });
    }

    fn push(&mut self, row: Row) {
        eprintln!("  {row}");
        self.0.push(row);
    }

    /// Writes the rows as JSON.
    pub(crate) fn write(&self, file: impl AsRef<Path>) -> Result<()> {
        let file = file.as_ref();
        fs::create_dir_all(file.parent().context("a directory")?)?;
        fs::write(file, serde_json::to_string_pretty(&self.0)?)
            .with_context(|| format!("writing {}", file.display()))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<22}{:>14} {:<10}",
            self.name,
            number(self.value),
            self.unit
        )?;
        if let (Some(peer), Some(value), Some(ratio)) = (self.peer, self.peer_value, self.ratio) {
            write!(
                f,
                "{:<34}{:>12}  ratio {}",
                peer,
                number(value),
                number(ratio)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// Four significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}
