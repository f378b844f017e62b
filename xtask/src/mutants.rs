//! `cargo xtask mutants`: changes the code in one small way after the other, and counts how many of the changes the tests
//! notice.
//!
//! `xtask/survivors.txt` lists the changes that no test notices, each with a reason. A change that survives and is not
//! listed fails the chore, and so does a share of noticed changes that is too small.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{shell, tools};

/// The survivors that are known, each with a reason.
const SURVIVORS: &str = "xtask/survivors.txt";
/// The results, a directory for each group.
const RESULTS: &str = "target/mutants";
/// The longest that the tests of a crate may take. A change that makes them run for ever is noticed.
const TESTS_SECONDS_MAX: u32 = 60;
/// The same for the whole suite.
const SUITE_SECONDS_MAX: u32 = 3_600;

/// Options of `mutants`.
#[derive(Args)]
pub(crate) struct Options {
    /// Run one part of several, as in `1/8`: the parts are numbered from 0.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// Change the log, the feed and the statements of a batch, and run the whole suite for each change. Takes days.
    #[arg(long)]
    suite: bool,
    /// The groups to run; none: all of them.
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
}

/// Code that is changed together, and the share that tests have to notice.
struct Group {
    name: &'static str,
    package: &'static str,
    /// The files to change. None: those of the whole package.
    files: Option<&'static str>,
    percent_min: f64,
}

/// The crates that are tested by their own tests.
const CRATES: [Group; 3] = [
    Group {
        name: "contract",
        package: "portcullis-contract",
        files: None,
        percent_min: 95.0,
    },
    Group {
        name: "validator-core",
        package: "portcullis-validator-core",
        files: None,
        percent_min: 95.0,
    },
    Group {
        name: "domain",
        package: "portcullis-domain",
        files: None,
        percent_min: 95.0,
    },
];

/// The code that only the whole suite can test.
const SUITE: [Group; 3] = [
    Group {
        name: "log",
        package: "portcullis-authority",
        files: Some("crates/authority/src/log/**"),
        percent_min: 90.0,
    },
    Group {
        name: "feed",
        package: "portcullis-authority",
        files: Some("crates/authority/src/feed/**"),
        percent_min: 90.0,
    },
    Group {
        name: "append",
        package: "portcullis-store",
        files: Some("crates/store/src/sql/append/**"),
        percent_min: 90.0,
    },
];

/// The packages whose tests are the whole suite.
const SUITE_PACKAGES: &str = "portcullis-authority,portcullis-store,portcullis-tests";

/// Runs the groups one after the other, also after one that fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let known = Survivors::read(Path::new(SURVIVORS))?;
    let mut problems = Vec::new();
    for group in chosen(options)? {
        let directory = PathBuf::from(RESULTS).join(group.name);
        change(group, options, &directory)?;

        let results = Results::read(&directory.join("mutants.out"))?;
        println!("{}: {}", group.name, results.summary());
        problems.extend(results.problems(group, &known, options.shard.is_none()));
    }
    for problem in &problems {
        println!("{problem}");
    }
    ensure!(
        problems.is_empty(),
        "the tests do not notice enough: add a test, or a reason to {SURVIVORS}"
    );
    Ok(())
}

/// Returns the groups that are asked for.
fn chosen(options: &Options) -> Result<Vec<&'static Group>> {
    let all: &[Group] = match options.suite {
        true => &SUITE,
        false => &CRATES,
    };
    for name in &options.groups {
        let is_known = all.iter().any(|group| group.name == name);
        ensure!(is_known, "there is no group `{name}`");
    }
    let is_chosen = |group: &&Group| {
        options.groups.is_empty() || options.groups.iter().any(|name| name == group.name)
    };
    Ok(all.iter().filter(is_chosen).collect())
}

/// Makes the changes of a group in a copy of the tree, and runs the tests for each.
fn change(group: &Group, options: &Options, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    let mut mutants = tools::cargo_mutants()?;
    mutants.args(["--package", group.package, "--output"]);
    mutants.arg(directory);
    // Generated code is tested by its generator, and the format of an error or of a debug line decides nothing.
    mutants.args(["--exclude", "**/generated/**", "--exclude", "**/tests/**"]);
    mutants.args(["--exclude-re", "impl (fmt::)?(Debug|Display) for"]);
    match options.suite {
        true => {
            mutants.args(["--test-package", SUITE_PACKAGES, "--cargo-arg=--tests"]);
            mutants.args(["--timeout", &SUITE_SECONDS_MAX.to_string()]);
        }
        // Without the examples of the documentation, each of which is a program to build.
        false => {
            mutants.args([
                "--cargo-arg=--lib",
                "--timeout",
                &TESTS_SECONDS_MAX.to_string(),
            ]);
        }
    }
    if let Some(files) = group.files {
        mutants.args(["--file", files]);
    }
    if let Some(shard) = &options.shard {
        mutants.args(["--shard", shard]);
    }
    // The copy of the tree has another place each time. With one place for what is built, only our own crates are built
    // again. And debug information would only cost time.
    let build = env::current_dir()?.join(RESULTS).join("build");
    mutants.env("CARGO_TARGET_DIR", build);
    mutants.env("CARGO_PROFILE_DEV_DEBUG", "false");

    // The status says that something survived, which the results say with its name.
    let finished = shell::run(mutants);
    let has_results = directory.join("mutants.out/outcomes.json").is_file();
    match has_results {
        true => Ok(()),
        false => finished,
    }
}

/// The known survivors.
struct Survivors(BTreeSet<String>);

impl Survivors {
    /// Reads a file of lines. A line that begins with `#` is the reason of the survivors after it.
    fn read(file: &Path) -> Result<Self> {
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
            None => format!("crates/{}/", group.name),
        };
        let is_ours = move |line: &&String| line.starts_with(&directory);
        self.0.iter().filter(is_ours)
    }
}

/// What became of the changes of a group, by their names.
#[derive(Default)]
struct Results {
    caught: Vec<String>,
    /// Changes that made the tests run for too long.
    timeout: Vec<String>,
    missed: Vec<String>,
    /// Changes that do not compile: nobody could make them.
    unviable: Vec<String>,
}

impl Results {
    fn read(directory: &Path) -> Result<Self> {
        let lines = |name: &str| {
            let file = directory.join(name);
            match fs::read_to_string(&file) {
                Ok(text) => Ok(text.lines().map(without_position).collect()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
            }
        };
        Ok(Self {
            caught: lines("caught.txt")?,
            timeout: lines("timeout.txt")?,
            missed: lines("missed.txt")?,
            unviable: lines("unviable.txt")?,
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

    fn summary(&self) -> String {
        format!(
            "{} of {} viable changes noticed ({:.1} %), {} of them by a time limit; {} do not compile",
            self.noticed(),
            self.viable(),
            self.percent(),
            self.timeout.len(),
            self.unviable.len()
        )
    }

    /// What is wrong. Only a whole run can tell that too few are noticed, or that a survivor is none any more.
    fn problems(&self, group: &Group, known: &Survivors, is_whole: bool) -> Vec<String> {
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
    use super::*;

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
