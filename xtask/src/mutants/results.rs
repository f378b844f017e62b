//! The results of the changes of a group, and the list of the survivors that are known.

use std::{collections::BTreeSet, fs, io, path::Path};

use anyhow::{Context, Result, ensure};

use super::Group;

/// The survivors that are known, each with a reason.
pub(super) const SURVIVORS: &str = "xtask/survivors.txt";

/// The files of the results, by the names that cargo-mutants gives them.
pub(super) const CAUGHT: &str = "caught.txt";
pub(super) const TIMEOUT: &str = "timeout.txt";
pub(super) const MISSED: &str = "missed.txt";
pub(super) const UNVIABLE: &str = "unviable.txt";

/// The known survivors.
pub(super) struct Survivors(BTreeSet<String>);

impl Survivors {
    /// Reads a file of lines. A line that begins with `#` is the reason of the survivors after it.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut survivors = BTreeSet::new();
        let mut has_reason = false;
        for line in text.lines().map(str::trim) {
            if line.is_empty() {
                // A reason is about the lines right after it.
                has_reason = false;
            } else if line.starts_with('#') {
                has_reason = true;
            } else {
                ensure!(has_reason, "{SURVIVORS}: `{line}` has no reason");
                survivors.insert(line.to_owned());
            }
        }
        Ok(Self(survivors))
    }

    /// The survivors in the files of a group.
    fn of<'a>(&'a self, group: &Group) -> impl Iterator<Item = &'a String> {
        let directory = match group.files {
            Some(files) => files.trim_end_matches("**").to_owned(),
            None => format!("{}/", group.directory),
        };
        let is_ours = move |line: &&String| line.starts_with(&directory);
        self.0.iter().filter(is_ours)
    }
}

/// The changes of a group by their results.
#[derive(Default)]
pub(super) struct Results {
    pub(super) caught: Vec<String>,
    /// Changes that made the tests run for too long.
    pub(super) timeout: Vec<String>,
    pub(super) missed: Vec<String>,
    /// Changes that do not compile: nobody could make them.
    pub(super) unviable: Vec<String>,
}

impl Results {
    pub(super) fn read(directory: &Path) -> Result<Self> {
        let lines = |file: &str| -> Result<Vec<String>> {
            let names = read_lines(&directory.join(file))?;
            Ok(names.iter().map(|name| without_position(name)).collect())
        };
        Ok(Self {
            caught: lines(CAUGHT)?,
            timeout: lines(TIMEOUT)?,
            missed: lines(MISSED)?,
            unviable: lines(UNVIABLE)?,
        })
    }

    fn noticed(&self) -> usize {
        self.caught.len() + self.timeout.len()
    }

    fn viable(&self) -> usize {
        self.noticed() + self.missed.len()
    }

    /// The share of the viable changes that the tests notice.
    fn percent(&self) -> f64 {
        match self.viable() {
            0 => 100.0,
            viable => self.noticed() as f64 * 100.0 / viable as f64,
        }
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} of {} viable changes noticed ({:.1} %), {} of them by a time limit; {} do not compile",
            self.noticed(),
            self.viable(),
            self.percent(),
            self.timeout.len(),
            self.unviable.len()
        )
    }

    /// Lists the problems. Only a whole run can tell that too few are noticed, or that a survivor is none any more.
    pub(super) fn problems(&self, group: &Group, known: &Survivors, is_whole: bool) -> Vec<String> {
        let mut problems = Vec::new();
        let missed: BTreeSet<_> = self.missed.iter().collect();
        for survivor in &missed {
            if !known.0.contains(*survivor) {
                problems.push(format!("survives: {survivor}"));
            }
        }
        if !is_whole {
            return problems;
        }

        for listed in known.of(group) {
            if !missed.contains(listed) {
                problems.push(format!("is noticed, and still in {SURVIVORS}: {listed}"));
            }
        }
        if self.percent() < group.percent_min {
            problems.push(format!(
                "{}: {:.1} % noticed, and {:.1} % are wanted",
                group.name,
                self.percent(),
                group.percent_min
            ));
        }
        problems
    }
}

/// The changes that have a result, by their whole names.
pub(super) fn made(directory: &Path) -> Result<BTreeSet<String>> {
    let mut made = BTreeSet::new();
    for file in [CAUGHT, TIMEOUT, MISSED, UNVIABLE] {
        made.extend(read_lines(&directory.join(file))?);
    }
    Ok(made)
}

/// The lines of a file. One that is not there has none.
fn read_lines(file: &Path) -> Result<Vec<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// The name of a change without its line and column, which move with every edit above it.
fn without_position(name: &str) -> String {
    let mut parts = name.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_line), Some(_column), Some(change)) => format!("{file}:{change}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::CRATES, *};

    const CHANGE: &str = "crates/domain/src/a.rs: replace < with > in f";

    fn results(missed: &[&str], caught: usize) -> Results {
        Results {
            caught: vec![String::new(); caught],
            missed: missed.iter().map(|name| without_position(name)).collect(),
            ..Results::default()
        }
    }

    #[test]
    fn a_survivor_without_a_reason_is_refused() {
        assert!(Survivors::parse(CHANGE).is_err());
        assert!(Survivors::parse(&format!("# why\n\n{CHANGE}")).is_err());
        let known = Survivors::parse(&format!("# why\n{CHANGE}\n")).expect("a good file");
        assert!(known.0.contains(CHANGE));
    }

    #[test]
    fn a_survivor_that_is_not_listed_is_a_problem_wherever_its_line_is() {
        let [.., domain] = &CRATES;
        let missed = "crates/domain/src/a.rs:10:5: replace < with > in f";
        let results = results(&[missed], 99);
        let nothing = Survivors::parse("").expect("a good file");
        assert_eq!(
            results.problems(domain, &nothing, false),
            [format!("survives: {CHANGE}")]
        );
        let known = Survivors::parse(&format!("# why\n{CHANGE}\n")).expect("a good file");
        assert!(results.problems(domain, &known, true).is_empty());
    }

    #[test]
    fn a_whole_run_notices_a_low_share_and_a_survivor_that_is_none_any_more() {
        let [.., domain] = &CRATES;
        let known = Survivors::parse(&format!("# why\n{CHANGE}\n")).expect("a good file");
        assert_eq!(results(&[], 1).problems(domain, &known, true).len(), 1);
        assert!(results(&[], 1).problems(domain, &known, false).is_empty());
        assert_eq!(
            results(&[CHANGE], 18).problems(domain, &known, true).len(),
            1
        );
        assert!(
            results(&[CHANGE], 19)
                .problems(domain, &known, true)
                .is_empty()
        );
        // A listed survivor of another crate is not this one's business.
        let [contract, ..] = &CRATES;
        assert!(results(&[], 1).problems(contract, &known, true).is_empty());
    }

    #[test]
    fn the_list_of_survivors_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Survivors::read(&root.join(SURVIVORS)).expect("a good file");
    }
}
