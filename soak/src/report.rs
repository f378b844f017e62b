//! The report: JSON for machines, HTML with plots for people.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{ledger::Counts, plots};

/// What a soak has seen.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) minutes: u64,
    pub(crate) seed: u64,
    /// Gates that joined, in all.
    pub(crate) gates: usize,
    pub(crate) counts: Counts,
    pub(crate) violations_count: u64,
    pub(crate) violations: Vec<String>,
    pub(crate) faults: Vec<FaultFigures>,
    #[serde(skip)]
    pub(crate) points: Vec<Point>,
}

/// What was seen during one kind of fault. Times are in milliseconds.
#[derive(Serialize)]
pub(crate) struct FaultFigures {
    pub(crate) fault: &'static str,
    pub(crate) times: u64,
    /// Ends that were acknowledged during it, times the gates.
    pub(crate) checks_of_ends: usize,
    /// From the acknowledgement to the first refusal.
    pub(crate) enforced_p50_ms: f64,
    pub(crate) enforced_p99_ms: f64,
    pub(crate) enforced_p999_ms: f64,
    pub(crate) enforced_max_ms: f64,
    /// The longest time for which a gate could tell nothing.
    pub(crate) unavailable_longest_ms: f64,
    /// The longest time from the mended fault until all gates were fresh.
    pub(crate) recovered_max_ms: f64,
    /// Calls that had to be tried again.
    pub(crate) refused_calls: u64,
}

/// One end at one gate.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    /// When it was acknowledged, since the begin.
    pub(crate) second: f64,
    /// How long the gate accepted it after that.
    pub(crate) milliseconds: f64,
    pub(crate) during: &'static str,
}

impl Report {
    /// Whether no promise was broken.
    pub(crate) fn is_clean(&self) -> bool {
        self.violations_count == 0
    }

    /// Writes `soak.json` and `soak.html`.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory).context("making the directory of the report")?;
        let json = serde_json::to_string_pretty(self)?;
        fs::write(directory.join("soak.json"), json)?;
        fs::write(directory.join("soak.html"), self.html()?)?;
        Ok(())
    }

    /// The figures for a terminal.
    pub(crate) fn summary(&self) -> String {
        let mut text = format!("soak: {}\n", self.sentence());
        for faults in &self.faults {
            let _ = writeln!(
                text,
                "  {:<42} x{:<3} ends {:>6}  p50 {:>7.1}  p99 {:>7.1}  p99.9 {:>7.1}  max {:>7.1} ms  away {:>6.0}  fresh again {:>6.0} ms",
                faults.fault,
                faults.times,
                faults.checks_of_ends,
                faults.enforced_p50_ms,
                faults.enforced_p99_ms,
                faults.enforced_p999_ms,
                faults.enforced_max_ms,
                faults.unavailable_longest_ms,
                faults.recovered_max_ms,
            );
        }
        text
    }

    fn sentence(&self) -> String {
        let counts = self.counts;
        format!(
            "{} minutes, seed {}: {} sign-ins, {} refreshes, {} revocations and {} sign-outs of users acknowledged; {} gates, {} checks; {} promises broken",
            self.minutes,
            self.seed,
            counts.sign_ins,
            counts.refreshes,
            counts.revocations,
            counts.sign_outs_of_users,
            self.gates,
            counts.checks,
            self.violations_count,
        )
    }

    fn html(&self) -> Result<String> {
        let mut rows = String::new();
        for faults in &self.faults {
            write!(
                rows,
                "<tr><th scope=row>{}<td>{}<td>{}<td>{:.1}<td>{:.1}<td>{:.1}<td>{:.1}<td>{:.0}<td>{:.0}<td>{}</tr>",
                faults.fault,
                faults.times,
                faults.checks_of_ends,
                faults.enforced_p50_ms,
                faults.enforced_p99_ms,
                faults.enforced_p999_ms,
                faults.enforced_max_ms,
                faults.unavailable_longest_ms,
                faults.recovered_max_ms,
                faults.refused_calls,
            )?;
        }
        let mut violations = String::new();
        for violation in &self.violations {
            write!(violations, "<li>{}", escaped(violation))?;
        }
        Ok(TEMPLATE
            .replace("{sentence}", &self.sentence())
            .replace("{rows}", &rows)
            .replace("{violations}", &violations)
            .replace("{distribution}", &plots::distribution(&self.faults)?)
            .replace("{course}", &plots::course(&self.points)?))
    }
}

const TEMPLATE: &str = include_str!("report.html");

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
