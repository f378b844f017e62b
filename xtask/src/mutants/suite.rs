//! The changes of code that only servers can test: one build has all of them, and each is a run of its tests.
//!
//! A process of its own namespaces runs the tests, so that nothing is left of those that were stopped.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Group,
    results::{self, CAUGHT, MISSED, Results, TIMEOUT, UNVIABLE},
    switches::{Change, VARIABLE},
    tree::Tree,
};
use crate::shell::{self, command};

/// The threads of a test binary. Most tests wait most of the time.
const THREADS: &str = "4";
/// Cases of a property test: a change that these notice is noticed by more.
const CASES: &str = "60";
/// A change may make the tests slower by this factor, and this much, before it counts as running for ever.
const SLOWER: u32 = 3;
const SLOWER_BY: Duration = Duration::from_secs(60);

/// Tests of one suite that are asked first.
const FIRST_MAX: usize = 16;
/// Lines of the tests that wait to be read.
const LINES_MAX: usize = 64;

/// Tests of one binary.
pub(super) struct Suite {
    /// The target of the binary.
    pub(super) binary: &'static str,
    /// Where it runs.
    pub(super) directory: &'static str,
    /// The tests that need more than servers.
    pub(super) without: &'static [&'static str],
}

/// The result of one run of tests.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// The first test that failed. None: the tests ended without naming one.
    Failed(Option<String>),
    TimedOut,
}

/// Makes every change of a group that has no result yet, and runs suites for each until one notices it.
pub(super) fn run(
    group: &Group,
    suites: &[Suite],
    changes: &[Change],
    output: &Path,
) -> Result<Results> {
    ensure!(
        Path::new("/proc/self/ns/pid").exists() && shell::on_path("unshare"),
        "Linux and `unshare` (package util-linux) are needed: they end what a stopped test leaves"
    );
    let status = isolated(Path::new("true")).status()?;
    ensure!(
        status.success(),
        "`unshare` may not make namespaces: run this as root"
    );
    let tree = Tree::copy()?;
    let unmade = tree.switch_all(group, changes)?;
    let binaries = tree.build()?;

    let mut suites: Vec<_> = suites
        .iter()
        .map(|suite| Bounded::of(suite, &tree, &binaries))
        .collect::<Result<_>>()?;
    fs::create_dir_all(output)?;
    let made = results::made(output)?;
    for (number, change) in changes.iter().enumerate() {
        if made.contains(&change.name) {
            continue;
        }
        if unmade.contains(&number) {
            record(output, UNVIABLE, &change.name)?;
            continue;
        }
        let begun = Instant::now();
        let (verdict, by) = ask(&mut suites, number)?;
        let file = match verdict {
            Verdict::Passed => MISSED,
            Verdict::Failed(_) => CAUGHT,
            Verdict::TimedOut => TIMEOUT,
        };
        record(output, file, &change.name)?;
        let seconds = begun.elapsed().as_secs();
        let result = file.trim_end_matches(".txt");
        println!("{result} {by} {seconds} s: {}", change.name);
    }
    Results::read(output)
}

/// Asks the tests that noticed other changes, then one suite after the other.
fn ask(suites: &mut [Bounded], number: usize) -> Result<(Verdict, &'static str)> {
    // Neighbours in the code are noticed by the same tests, and most of these stand late in a suite.
    for suite in suites.iter_mut() {
        let first = suite.first.clone();
        if first.is_empty() {
            continue;
        }
        let verdict = suite.run(Some(number), &first)?;
        if verdict != Verdict::Passed {
            return Ok((verdict, suite.name));
        }
    }
    for suite in suites {
        let verdict = suite.run(Some(number), &[])?;
        if verdict != Verdict::Passed {
            return Ok((verdict, suite.name));
        }
    }
    Ok((Verdict::Passed, "by all"))
}

/// A suite, and the longest that it may take.
struct Bounded {
    name: &'static str,
    binary: PathBuf,
    directory: PathBuf,
    without: &'static [&'static str],
    time_max: Duration,
    /// The tests that noticed a change, the last of them first.
    first: Vec<String>,
}

impl Bounded {
    /// Runs the suite without a change. It must pass, and says how long it takes.
    fn of(suite: &Suite, tree: &Tree, binaries: &BTreeMap<String, PathBuf>) -> Result<Self> {
        let name = suite.binary;
        let binary = binaries
            .get(name)
            .with_context(|| format!("no tests {name}"))?;
        let mut bounded = Self {
            name,
            binary: binary.clone(),
            directory: tree.root.join(suite.directory),
            without: suite.without,
            time_max: Duration::from_secs(60 * 60),
            first: Vec::new(),
        };
        let begun = Instant::now();
        let verdict = bounded.run(None, &[])?;
        ensure!(
            verdict == Verdict::Passed,
            "{name}: a test fails without any change"
        );
        let took = begun.elapsed();
        println!("{name} passes without a change, in {} s", took.as_secs());
        bounded.time_max = took * SLOWER + SLOWER_BY;
        Ok(bounded)
    }

    /// Runs some of the tests, or all without a name, until their end or the first failure.
    fn run(&mut self, change: Option<usize>, names: &[String]) -> Result<Verdict> {
        let mut tests = isolated(&self.binary);
        if !names.is_empty() {
            tests.arg("--exact").args(names);
        }
        for test in self.without {
            tests.args(["--skip", test]);
        }
        tests
            .args(["--test-threads", THREADS])
            .current_dir(&self.directory)
            .env("PROPTEST_CASES", CASES)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(number) = change {
            tests.env(VARIABLE, number.to_string());
        }
        let mut child = tests.spawn().context("unshare does not start")?;
        let lines = lines(&mut child)?;
        let verdict = self.wait(&lines);
        if verdict != Verdict::Passed {
            // With it ends all that it has started.
            child.kill()?;
        }
        let status = child.wait()?;
        // A process that aborts prints no failed test.
        if verdict == Verdict::Passed && !status.success() {
            return Ok(Verdict::Failed(None));
        }
        if let Verdict::Failed(Some(test)) = &verdict {
            self.ask_first(test);
        }
        Ok(verdict)
    }

    fn ask_first(&mut self, test: &str) {
        self.first.retain(|other| other != test);
        self.first.insert(0, test.to_owned());
        self.first.truncate(FIRST_MAX);
    }

    fn wait(&self, lines: &Receiver<String>) -> Verdict {
        let end = Instant::now() + self.time_max;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(test) = failed_test(&line) {
                        println!("{test} fails");
                        return Verdict::Failed(Some(test.to_owned()));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Verdict::TimedOut,
                Err(RecvTimeoutError::Disconnected) => return Verdict::Passed,
            }
        }
    }
}

/// The name of the test, if a line says that one failed.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// A program whose processes end with it, and whose temporary files do.
fn isolated(program: &Path) -> Command {
    let namespaces = ["--pid", "--mount", "--fork", "--kill-child", "--mount-proc"];
    let mut isolated = command("unshare", namespaces);
    // The shell is the first process of the namespace, and so the one that orphans are handed to.
    isolated.args([
        "sh",
        "-c",
        "mount -t tmpfs tmpfs /tmp && \"$@\"; exit $?",
        "sh",
    ]);
    isolated.arg(program);
    isolated
}

/// The lines that a child prints, until it closes its output.
fn lines(child: &mut Child) -> Result<Receiver<String>> {
    let output = child.stdout.take().context("the output is a pipe")?;
    let (sender, receiver) = mpsc::sync_channel(LINES_MAX);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody listens any more when the tests were stopped.
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Writes a result down, in the file that cargo-mutants would write. A run that goes on reads it.
fn record(directory: &Path, file: &str, name: &str) -> Result<()> {
    let path = directory.join(file);
    let mut file = File::options().create(true).append(true).open(path)?;
    writeln!(file, "{name}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_test_is_a_failure() {
        assert_eq!(failed_test("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failed_test("test a::b ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 1 passed"), None);
    }

    #[test]
    fn the_test_that_noticed_the_last_change_is_asked_first() {
        let mut suite = Bounded {
            name: "e2e",
            binary: PathBuf::new(),
            directory: PathBuf::new(),
            without: &[],
            time_max: Duration::ZERO,
            first: Vec::new(),
        };
        for test in ["a", "b", "a"] {
            suite.ask_first(test);
        }
        assert_eq!(suite.first, ["a", "b"]);
        for number in 0..FIRST_MAX {
            suite.ask_first(&number.to_string());
        }
        assert_eq!(suite.first.len(), FIRST_MAX);
        assert_eq!(suite.first[0], (FIRST_MAX - 1).to_string());
    }
}
