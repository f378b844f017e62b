//! The changes of code that only servers can test: all in one build, each behind a switch.
//!
//! A build for each change would take days. A copy of the tree has all of them, and each change is a run of the tests
//! that are built once. A process of its own namespaces runs them, so that nothing is left of tests that were stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    ops::Range,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    Group,
    results::Results,
    switches::{self, ALLOW, Change, SWITCH, VARIABLE},
};
use crate::shell::{self, command};

const DIRECTORY: &str = "target/mutants/suite";
/// The programs that tests read besides the files of the tree.
const TOOLS: &str = "target/tools";
/// The threads of a test binary. Most tests wait most of the time.
const THREADS: &str = "4";
/// Cases of a property test: a change that these notice is noticed by more.
const CASES: &str = "60";
/// A change may make the tests slower by this factor, and this much, before it counts as running for ever.
const SLOWER: u32 = 3;
const SLOWER_BY: Duration = Duration::from_secs(60);

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

/// The result of one run of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    TimedOut,
}

/// Makes every change of a group, and runs suites for each until one notices it.
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

    let suites: Vec<_> = suites
        .iter()
        .map(|suite| Bounded::of(suite, &tree, &binaries))
        .collect::<Result<_>>()?;
    if output.exists() {
        fs::remove_dir_all(output).context("removing the results of before")?;
    }
    fs::create_dir_all(output)?;
    for (number, change) in changes.iter().enumerate() {
        if unmade.contains(&number) {
            record(output, "unviable", &change.name)?;
            continue;
        }
        let begun = Instant::now();
        let (verdict, by) = ask(&suites, number)?;
        let file = match verdict {
            Verdict::Passed => "missed",
            Verdict::Failed => "caught",
            Verdict::TimedOut => "timeout",
        };
        record(output, file, &change.name)?;
        println!(
            "{file} {by} {} s: {}",
            begun.elapsed().as_secs(),
            change.name
        );
    }
    Results::read(output)
}

/// Asks one suite after the other.
fn ask(suites: &[Bounded], number: usize) -> Result<(Verdict, &'static str)> {
    for suite in suites {
        let verdict = suite.run(Some(number))?;
        if verdict != Verdict::Passed {
            return Ok((verdict, suite.name));
        }
    }
    Ok((Verdict::Passed, "by all"))
}

/// A copy of this tree, in which the changes are made.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    fn copy() -> Result<Self> {
        let directory = std::env::current_dir()?.join(DIRECTORY);
        let root = directory.join("tree");
        if root.exists() {
            fs::remove_dir_all(&root).context("removing the copy of before")?;
        }
        let args = [
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ];
        let files = shell::answer(command("git", args)).context("git does not list the files")?;
        for file in files.split('\0').filter(|file| Path::new(file).is_file()) {
            copy_file(Path::new(file), &root.join(file))?;
        }
        fs::create_dir_all(root.join("target"))?;
        symlink(std::env::current_dir()?.join(TOOLS), root.join(TOOLS))?;
        let target = directory.join("build");
        Ok(Self { root, target })
    }

    /// Puts all changes behind switches, and takes out those that do not compile. Returns these.
    fn switch_all(&self, group: &Group, changes: &[Change]) -> Result<BTreeSet<usize>> {
        let crate_root = Path::new(group.directory).join("src/lib.rs");
        let text = fs::read_to_string(&crate_root)?;
        fs::write(
            self.root.join(&crate_root),
            format!("{ALLOW}{text}{SWITCH}"),
        )?;

        let mut unmade = BTreeSet::new();
        loop {
            self.switch(changes, &mut unmade)?;
            let errors = self.check(group)?;
            if errors.is_empty() {
                return Ok(unmade);
            }
            let before = unmade.len();
            for error in &errors {
                unmade.extend(self.blamed(error)?);
            }
            println!("{} changes do not compile", unmade.len());
            if unmade.len() == before {
                bail!("the tree does not compile: {}", errors[0].text);
            }
        }
    }

    fn switch(&self, changes: &[Change], unmade: &mut BTreeSet<usize>) -> Result<()> {
        let mut files: BTreeMap<&str, Vec<(usize, &Change)>> = BTreeMap::new();
        for (number, change) in changes.iter().enumerate() {
            let of_file = files.entry(&change.file).or_default();
            if !unmade.contains(&number) {
                of_file.push((number, change));
            }
        }
        for (file, changes) in files {
            let source = fs::read_to_string(file)?;
            let switched = switches::switch(&source, &changes).with_context(|| file.to_owned())?;
            fs::write(self.root.join(file), switched.text)?;
            unmade.extend(switched.skipped);
        }
        Ok(())
    }

    /// The errors of the compiler.
    fn check(&self, group: &Group) -> Result<Vec<CompileError>> {
        let package = ["check", "--locked", "--package", group.package];
        let messages = self.cargo(&package, false)?;
        let errors = messages.iter().filter_map(CompileError::of);
        Ok(errors.collect())
    }

    /// The changes that an error is about: those at its first place that has any.
    fn blamed(&self, error: &CompileError) -> Result<Vec<usize>> {
        for (file, range) in &error.places {
            let file = self.root.join(file);
            if file.starts_with(&self.root) && file.is_file() {
                let blamed = switches::blamed(&fs::read_to_string(file)?, range.clone());
                if !blamed.is_empty() {
                    return Ok(blamed);
                }
            }
        }
        Ok(Vec::new())
    }

    /// Builds the programs and the tests. Returns the test binaries by the names of their targets.
    fn build(&self) -> Result<BTreeMap<String, PathBuf>> {
        let build = ["build", "--locked", "--bins", "--tests", "--workspace"];
        // Neither has a test that these changes could fail, and the second compiles some of the files by itself.
        let others = [
            "--exclude",
            "portcullis-bench",
            "--exclude",
            "portcullis-interleavings",
        ];
        let messages = self.cargo(&[&build[..], &others].concat(), true)?;
        let mut binaries = BTreeMap::new();
        for message in &messages {
            let is_test = message["profile"]["test"] == Value::Bool(true);
            let (name, file) = (&message["target"]["name"], &message["executable"]);
            if let (true, Some(name), Some(file)) = (is_test, name.as_str(), file.as_str()) {
                binaries.insert(name.to_owned(), PathBuf::from(file));
            }
        }
        Ok(binaries)
    }

    /// Runs cargo in the copy, and returns its messages.
    fn cargo(&self, args: &[&str], must_succeed: bool) -> Result<Vec<Value>> {
        let format = if must_succeed {
            "json-render-diagnostics"
        } else {
            "json"
        };
        let output = command("cargo", args)
            .args(["--message-format", format])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("CARGO_INCREMENTAL", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cargo does not start")?;
        ensure!(
            output.status.success() || !must_succeed,
            "the copy with the changes does not build"
        );
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages = lines.lines().map(serde_json::from_str);
        Ok(messages.collect::<Result<_, _>>()?)
    }
}

/// Copies a file with its time, by which cargo sees what is new.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a file has a directory")?;
    fs::create_dir_all(parent)?;
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    let modified = fs::metadata(from)?.modified()?;
    File::options()
        .write(true)
        .open(to)?
        .set_modified(modified)?;
    Ok(())
}

/// An error of the compiler.
struct CompileError {
    text: String,
    /// Its places, the most important first.
    places: Vec<(String, Range<usize>)>,
}

impl CompileError {
    fn of(message: &Value) -> Option<Self> {
        let message = &message["message"];
        let spans = message["spans"].as_array()?;
        // The last error only counts the others.
        if message["level"] != "error" || spans.is_empty() {
            return None;
        }
        let (primary, others): (Vec<_>, Vec<_>) = spans
            .iter()
            .partition(|span| span["is_primary"] == Value::Bool(true));
        let place = |span: &&Value| {
            let bound = |name: &str| usize::try_from(span[name].as_u64()?).ok();
            let file = span["file_name"].as_str()?.to_owned();
            Some((file, bound("byte_start")?..bound("byte_end")?))
        };
        Some(Self {
            text: message["rendered"].as_str().unwrap_or_default().to_owned(),
            places: primary.iter().chain(&others).filter_map(place).collect(),
        })
    }
}

/// A suite, and the longest that it may take.
struct Bounded {
    name: &'static str,
    binary: PathBuf,
    directory: PathBuf,
    without: &'static [&'static str],
    time_max: Duration,
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
        };
        let begun = Instant::now();
        let verdict = bounded.run(None)?;
        ensure!(
            verdict == Verdict::Passed,
            "{name}: a test fails without any change"
        );
        let took = begun.elapsed();
        println!("{name} passes without a change, in {} s", took.as_secs());
        bounded.time_max = took * SLOWER + SLOWER_BY;
        Ok(bounded)
    }

    /// Runs the suite until its end or its first failure.
    fn run(&self, change: Option<usize>) -> Result<Verdict> {
        let mut tests = isolated(&self.binary);
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
        match verdict {
            Verdict::Passed if !status.success() => Ok(Verdict::Failed),
            verdict => Ok(verdict),
        }
    }

    fn wait(&self, lines: &Receiver<String>) -> Verdict {
        let end = Instant::now() + self.time_max;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) if is_failure(&line) => {
                    println!("{line}");
                    return Verdict::Failed;
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Verdict::TimedOut,
                Err(RecvTimeoutError::Disconnected) => return Verdict::Passed,
            }
        }
    }
}

fn is_failure(line: &str) -> bool {
    line.starts_with("test ") && line.ends_with(" FAILED")
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

/// Writes a result down, in the file that cargo-mutants would write.
fn record(directory: &Path, file: &str, name: &str) -> Result<()> {
    let file = directory.join(format!("{file}.txt"));
    let mut file = File::options().create(true).append(true).open(file)?;
    writeln!(file, "{name}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_compiler_has_its_places_in_order() {
        let span = |file: &str, primary: bool| {
            serde_json::json!({
                "file_name": file, "byte_start": 2, "byte_end": 5, "is_primary": primary
            })
        };
        let message = |level: &str, spans: Vec<Value>| serde_json::json!({ "message": { "level": level, "rendered": "no", "spans": spans } });
        let error = CompileError::of(&message(
            "error",
            vec![span("b.rs", false), span("a.rs", true)],
        ));
        let error = error.expect("an error");
        assert_eq!(error.text, "no");
        assert_eq!(error.places, [("a.rs".into(), 2..5), ("b.rs".into(), 2..5)]);
        assert!(CompileError::of(&message("warning", vec![span("a.rs", true)])).is_none());
        assert!(CompileError::of(&message("error", vec![])).is_none());
    }

    #[test]
    fn only_a_failed_test_is_a_failure() {
        assert!(is_failure("test a::b ... FAILED"));
        assert!(!is_failure("test a::b ... ok"));
        assert!(!is_failure("test result: FAILED. 1 passed"));
    }
}
