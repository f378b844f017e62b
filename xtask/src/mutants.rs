//! `cargo xtask mutants`: changes the code in one small way after the other, and counts how many of the changes the tests
//! notice.
//!
//! Three crates are changed by cargo-mutants, with a build for each change. What only servers can test is changed in one
//! build, by [`suite`].
//!
//! `xtask/survivors.txt` lists the changes that no test notices, each with a reason. A change that survives and is not
//! listed fails the chore, and so does a share of noticed changes that is too small.

mod results;
mod suite;
mod switches;
mod tree;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::{
    results::{Results, SURVIVORS, Survivors},
    suite::Suite,
    switches::Change,
};
use crate::{shell, tools};

/// The results, a directory for each group.
const RESULTS: &str = "target/mutants";
/// The longest that the tests of a crate may take. A change that makes them run for ever is noticed.
const TESTS_SECONDS_MAX: u32 = 60;

/// Options of `mutants`.
#[derive(Args)]
pub(crate) struct Options {
    /// Run one part of several, as in `1/8`: the parts are numbered from 0.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// Change the log, the feed and the statements of a batch, and run one suite after the other until one notices. Takes
    /// hours, and needs root.
    #[arg(long)]
    suite: bool,
    /// With `--suite`: ask no suite after this one. What survives it may be noticed by the others.
    #[arg(long, value_name = "SUITE", requires = "suite")]
    through: Option<String>,
    /// With `--suite`: keep the results of a run that was stopped, and make the changes that it did not. The changed code has
    /// to be the same.
    #[arg(long, requires = "suite")]
    resume: bool,
    /// The groups to run; none: all of them.
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
}

/// Code that is changed together, and the share that tests have to notice.
struct Group {
    name: &'static str,
    package: &'static str,
    /// The directory of the package.
    directory: &'static str,
    /// The files to change. None: those of the whole package.
    files: Option<&'static str>,
    percent_min: f64,
    /// The tests, in the order in which they are asked. None: those of the package alone.
    suites: &'static [Suite],
}

/// The crates that are tested by their own tests.
const CRATES: [Group; 3] = [
    Group {
        name: "contract",
        package: "portcullis-contract",
        directory: "crates/contract",
        files: None,
        percent_min: 95.0,
        suites: &[],
    },
    Group {
        name: "validator-core",
        package: "portcullis-validator-core",
        directory: "crates/validator-core",
        files: None,
        percent_min: 95.0,
        suites: &[],
    },
    Group {
        name: "domain",
        package: "portcullis-domain",
        directory: "crates/domain",
        files: None,
        percent_min: 95.0,
        suites: &[],
    },
];

/// The code that only the whole suite can test.
const SUITE: [Group; 3] = [
    Group {
        name: "log",
        package: "portcullis-authority",
        directory: "crates/authority",
        files: Some("crates/authority/src/log/**"),
        percent_min: 90.0,
        suites: &[AUTHORITY, E2E, FAULTS, CONFORMANCE],
    },
    Group {
        name: "feed",
        package: "portcullis-authority",
        directory: "crates/authority",
        files: Some("crates/authority/src/feed/**"),
        percent_min: 90.0,
        suites: &[AUTHORITY, E2E, FAULTS, CONFORMANCE],
    },
    Group {
        name: "append",
        package: "portcullis-store",
        directory: "crates/store",
        files: Some("crates/store/src/sql/append/**"),
        percent_min: 90.0,
        suites: &[STORE, CONFORMANCE, E2E, FAULTS],
    },
];

const AUTHORITY: Suite = Suite {
    binary: "portcullis_authority",
    directory: "crates/authority",
    without: &[],
};
const STORE: Suite = Suite {
    binary: "portcullis_store",
    directory: "crates/store",
    without: &[],
};
const CONFORMANCE: Suite = Suite {
    binary: "conformance",
    directory: "tests",
    without: &[],
};
const FAULTS: Suite = Suite {
    binary: "faults",
    directory: "tests",
    without: &[],
};
const E2E: Suite = Suite {
    binary: "e2e",
    directory: "tests",
    // Pages in a browser show what the other tests ask for.
    without: &["browser", "examples"],
};

/// Runs the groups one after the other, also after one that fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let known = Survivors::read(Path::new(SURVIVORS))?;
    let mut problems = Vec::new();
    let is_whole = options.shard.is_none() && options.through.is_none();
    for group in chosen(options)? {
        let directory = PathBuf::from(RESULTS).join(group.name);
        let results = match options.suite {
            true => change_at_once(group, options, &directory)?,
            false => change_one_by_one(group, options, &directory)?,
        };
        println!("{}: {}", group.name, results.summary());
        problems.extend(results.problems(group, &known, is_whole));
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

/// Makes the changes of a group in a copy of the tree, with a build for each, and runs the tests of its package.
fn change_one_by_one(group: &Group, options: &Options, directory: &Path) -> Result<Results> {
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    let mut mutants = cargo_mutants(group, options)?;
    mutants.arg("--output").arg(directory);
    mutants.args(["--timeout", &TESTS_SECONDS_MAX.to_string()]);
    // Without the examples of the documentation, each of which is a program to build.
    mutants.arg("--cargo-arg=--lib");
    // The copy of the tree has another place each time. With one place for what is built, only our own crates are built
    // again. And debug information would only cost time.
    let build = env::current_dir()?.join(RESULTS).join("build");
    mutants.env("CARGO_TARGET_DIR", build);
    mutants.env("CARGO_PROFILE_DEV_DEBUG", "false");

    // The status says that something survived, which the results say with its name.
    let finished = shell::run(mutants);
    let results = directory.join("mutants.out");
    if !results.join("outcomes.json").is_file() {
        finished?;
    }
    Results::read(&results)
}

/// Makes the changes of a group in one build, and runs its suites for each.
fn change_at_once(group: &Group, options: &Options, directory: &Path) -> Result<Results> {
    let mut list = cargo_mutants(group, options)?;
    list.args(["--list", "--json"]);
    let listed = shell::answer(list).context("cargo-mutants does not list the changes")?;
    let changes: Vec<Change> = serde_json::from_str(&listed)?;
    let suites = suites(group, options)?;
    let output = directory.join("mutants.out");
    if output.exists() && !options.resume {
        fs::remove_dir_all(&output).context("removing the results of before")?;
    }
    suite::run(group, suites, &changes, &output)
}

/// The suites to ask.
fn suites(group: &Group, options: &Options) -> Result<&'static [Suite]> {
    let Some(last) = &options.through else {
        return Ok(group.suites);
    };
    let position = group.suites.iter().position(|suite| suite.binary == last);
    let last = position.with_context(|| format!("{} is not tested by `{last}`", group.name))?;
    Ok(&group.suites[..=last])
}

/// cargo-mutants with the changes that are of interest.
fn cargo_mutants(group: &Group, options: &Options) -> Result<Command> {
    let mut mutants = tools::cargo_mutants()?;
    mutants.args(["--package", group.package]);
    // Generated code is tested by its generator, and the format of an error or of a debug line decides nothing.
    mutants.args(["--exclude", "**/generated/**", "--exclude", "**/tests/**"]);
    // Switches that only tests have: no release is built with them.
    mutants.args(["--exclude", "**/seeded.rs", "--exclude", "**/simulation.rs"]);
    mutants.args(["--exclude-re", "impl (fmt::)?(Debug|Display) for"]);
    if let Some(files) = group.files {
        mutants.args(["--file", files]);
    }
    if let Some(shard) = &options.shard {
        mutants.args(["--shard", shard]);
    }
    Ok(mutants)
}
