//! The table of the results: a row for each case, a column for each door.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path, sync::Mutex};

use crate::cases::CASES;

/// The result of a case for a door.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    NotRun,
    Cannot(&'static str),
}

/// The results so far.
#[derive(Default)]
pub struct Table {
    outcomes: Mutex<BTreeMap<(&'static str, &'static str), Outcome>>,
}

impl Table {
    /// Records that a door cannot do what a case needs.
    pub fn cannot(&self, door: &'static str, case: &'static str, reason: &'static str) {
        self.put(door, case, Outcome::Cannot(reason));
    }

    /// Records that a case is a test of this door.
    pub fn will_run(&self, door: &'static str, case: &'static str) {
        self.put(door, case, Outcome::NotRun);
    }

    /// Records how a case ended.
    pub fn ran(&self, door: &'static str, case: &'static str, passed: bool) {
        let outcome = if passed {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        self.put(door, case, outcome);
    }

    fn put(&self, door: &'static str, case: &'static str, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock().expect("whole");
        outcomes.insert((door, case), outcome);
    }

    /// Prints the table, and writes it to `target/doors.md`.
    pub fn print(&self) {
        let markdown = self.markdown();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = tests
            .parent()
            .expect("the workspace")
            .join("target/doors.md");
        fs::write(file, &markdown).expect("written");
        #[expect(clippy::print_stdout, reason = "the table is what the suite is for")]
        {
            println!("\n{markdown}");
        }
    }

    fn markdown(&self) -> String {
        let outcomes = self.outcomes.lock().expect("whole");
        let mut doors: Vec<_> = outcomes.keys().map(|(door, _)| *door).collect();
        doors.dedup();
        let mut reasons: Vec<&str> = Vec::new();
        let mut rows = vec![header(&doors)];
        for case in CASES {
            let mut row = vec![case.name.to_owned()];
            for door in &doors {
                row.push(cell(outcomes.get(&(*door, case.name)), &mut reasons));
            }
            rows.push(row);
        }

        let mut text = String::new();
        for (number, row) in rows.iter().enumerate() {
            writeln!(text, "{}", line(row, &widths(&rows))).expect("a string");
            if number == 0 {
                let dashes: Vec<_> = row.iter().map(|_| "-".to_owned()).collect();
                writeln!(text, "{}", line(&dashes, &widths(&rows))).expect("a string");
            }
        }
        text.push('\n');
        for (number, reason) in reasons.iter().enumerate() {
            writeln!(text, "{}. {reason}", number + 1).expect("a string");
        }
        text
    }
}

fn header(doors: &[&str]) -> Vec<String> {
    let mut row = vec!["case".to_owned()];
    row.extend(doors.iter().map(|door| (*door).to_owned()));
    row
}

fn cell(outcome: Option<&Outcome>, reasons: &mut Vec<&'static str>) -> String {
    match outcome {
        Some(Outcome::Passed) => "yes".to_owned(),
        Some(Outcome::Failed) => "FAILED".to_owned(),
        Some(Outcome::NotRun) | None => "not run".to_owned(),
        Some(Outcome::Cannot(reason)) => {
            let known = reasons.iter().position(|known| known == reason);
            let number = known.unwrap_or_else(|| {
                reasons.push(reason);
                reasons.len() - 1
            });
            format!("no ({})", number + 1)
        }
    }
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = 0..rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    columns
        .map(|column| width(column).unwrap_or_default())
        .collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths);
    let cells: Vec<_> = cells
        .map(|(cell, width)| format!("{cell:<width$}"))
        .collect();
    format!("| {} |", cells.join(" | "))
}
