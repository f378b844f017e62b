//! What was measured: one table, and one file.

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

/// One row. A row without a peer has no ratio, and a row that only reports has no bar.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    name: &'static str,
    value: f64,
    unit: &'static str,
    peer: Option<&'static str>,
    peer_value: Option<f64>,
    ratio: Option<f64>,
    bar: Option<Bar>,
    met: Option<bool>,
}

/// The condition that a row has to meet.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    /// The value, in the row's unit.
    ValueAtMost(f64),
    /// The value by the peer's value.
    RatioAtMost(f64),
    /// The value by the peer's value.
    RatioAtLeast(f64),
}

impl Bar {
    fn is_met(self, row: &Row) -> bool {
        match self {
            Self::ValueAtMost(most) => row.value <= most,
            Self::RatioAtMost(most) => row.ratio.is_some_and(|ratio| ratio <= most),
            Self::RatioAtLeast(least) => row.ratio.is_some_and(|ratio| ratio >= least),
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ValueAtMost(most) => write!(f, "at most {most}"),
            Self::RatioAtMost(most) => write!(f, "ratio at most {most}"),
            Self::RatioAtLeast(least) => write!(f, "ratio at least {least}"),
        }
    }
}

/// All rows so far.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    /// A row without a peer.
    pub(crate) fn add(&mut self, name: &'static str, value: f64, unit: &'static str) {
        self.push(Row::new(name, value, unit));
    }

    /// A row without a peer that has to meet a bar.
    pub(crate) fn add_within(
        &mut self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        bar: Bar,
    ) {
        self.push(Row::new(name, value, unit).within(bar));
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
        self.push(Row::new(name, value, unit).beside(peer, peer_value));
    }

    /// A row beside its peer that has to meet a bar.
    pub(crate) fn compare_within(
        &mut self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        (peer, peer_value): (&'static str, f64),
        bar: Bar,
    ) {
        let row = Row::new(name, value, unit).beside(peer, peer_value);
        self.push(row.within(bar));
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

impl Row {
    fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            value,
            unit,
            peer: None,
            peer_value: None,
            ratio: None,
            bar: None,
            met: None,
        }
    }

    fn beside(self, peer: &'static str, peer_value: f64) -> Self {
        Self {
            peer: Some(peer),
            peer_value: Some(peer_value),
            ratio: Some(self.value / peer_value),
            ..self
        }
    }

    fn within(self, bar: Bar) -> Self {
        Self {
            met: Some(bar.is_met(&self)),
            bar: Some(bar),
            ..self
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<26}{:>10} {:<10}",
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
        if let (Some(bar), Some(met)) = (self.bar, self.met) {
            let verdict = if met { "met" } else { "MISSED" };
            write!(f, "  ({bar}: {verdict})")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_bar_is_met() {
        let row = |value| Row::new("row", value, "ms").beside("peer", 10.0);
        let cases = [
            (5.0, Bar::ValueAtMost(5.0), true),
            (5.1, Bar::ValueAtMost(5.0), false),
            (7.0, Bar::RatioAtMost(0.7), true),
            (7.1, Bar::RatioAtMost(0.7), false),
            (9.0, Bar::RatioAtLeast(0.9), true),
            (8.9, Bar::RatioAtLeast(0.9), false),
            (f64::NAN, Bar::ValueAtMost(5.0), false),
            (f64::NAN, Bar::RatioAtLeast(0.9), false),
        ];
        for (value, bar, met) in cases {
            let text = row(value).within(bar).to_string();
            assert_eq!(!text.contains("MISSED"), met, "{text}");
        }
    }
}
