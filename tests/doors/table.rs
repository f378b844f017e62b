//! The table of the results: a row for each case, a column for each door.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::cases::CASES;

/// The page of the documentation that has the table.
const PAGE: &str = "docs/reference/doors.md";

/// The line before the table, which ends the page.
const MARK: &str = "<!-- The table is written by a test: see tests/doors/main.rs. -->";

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
    /// In the order of the columns.
    doors: Mutex<Vec<&'static str>>,
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

    /// Adds a column.
    pub fn add_door(&self, door: &'static str) {
        self.doors.lock().expect("whole").push(door);
    }

    fn put(&self, door: &'static str, case: &'static str, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock().expect("whole");
        outcomes.insert((door, case), outcome);
    }

    /// Prints the table, and writes it to `target/doors.md`.
    pub fn print(&self) {
        let markdown = self.markdown(cell);
        fs::write(root().join("target/doors.md"), &markdown).expect("written");
        #[expect(clippy::print_stdout, reason = "the table is what the suite is for")]
        {
            println!("\n{markdown}");
        }
    }

    /// Checks that the documentation has the table as it is when every case passes.
    ///
    /// # Errors
    /// What to do about a table that differs.
    pub fn check_documentation(&self) -> Result<(), String> {
        if self.documentation()? == read_page()? {
            return Ok(());
        }
        Err(format!(
            "{PAGE} differs: run `cargo test -p portcullis-tests --test doors -- --ignored documentation::`"
        ))
    }

    /// Writes the table into the documentation.
    ///
    /// # Errors
    /// When the page is not there, or lacks the mark before the table.
    pub fn write_documentation(&self) -> Result<(), String> {
        let text = self.documentation()?;
        fs::write(root().join(PAGE), text).map_err(|error| format!("{PAGE}: {error}"))
    }

    /// The page as it has to be: what stands before the mark, and the table.
    fn documentation(&self) -> Result<String, String> {
        let page = read_page()?;
        let (head, _) = page
            .split_once(MARK)
            .ok_or_else(|| format!("{PAGE} has no `{MARK}`"))?;
        let table = self.markdown(promise);
        Ok(format!("{head}{MARK}\n\n{table}"))
    }

    fn markdown(&self, cell: fn(Outcome) -> Cell) -> String {
        let outcomes = self.outcomes.lock().expect("whole");
        let doors = self.doors.lock().expect("whole").clone();
        let mut reasons: Vec<&str> = Vec::new();
        let mut rows = vec![header(&doors)];
        for case in CASES {
            let mut row = vec![case.name.to_owned()];
            for door in &doors {
                let outcome = outcomes.get(&(*door, case.name)).copied();
                row.push(match cell(outcome.unwrap_or(Outcome::NotRun)) {
                    Cell::Word(word) => word.to_owned(),
                    Cell::Reason(reason) => format!("no ({})", number_of(reason, &mut reasons)),
                });
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

/// A cell of the table.
enum Cell {
    Word(&'static str),
    /// The number of a reason.
    Reason(&'static str),
}

/// The cell of a result.
fn cell(outcome: Outcome) -> Cell {
    match outcome {
        Outcome::Passed => Cell::Word("yes"),
        Outcome::Failed => Cell::Word("FAILED"),
        Outcome::NotRun => Cell::Word("not run"),
        Outcome::Cannot(reason) => Cell::Reason(reason),
    }
}

/// The cell of a result when every case passes that can.
fn promise(outcome: Outcome) -> Cell {
    match outcome {
        Outcome::Passed | Outcome::Failed | Outcome::NotRun => Cell::Word("yes"),
        Outcome::Cannot(reason) => Cell::Reason(reason),
    }
}

/// The number of a reason in the list below the table. A new one is added to it.
fn number_of(reason: &'static str, reasons: &mut Vec<&'static str>) -> usize {
    let known = reasons.iter().position(|known| *known == reason);
    let position = known.unwrap_or_else(|| {
        reasons.push(reason);
        reasons.len() - 1
    });
    position + 1
}

fn read_page() -> Result<String, String> {
    fs::read_to_string(root().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_owned()
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
