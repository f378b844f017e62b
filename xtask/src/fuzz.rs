//! `cargo xtask fuzz`: hostile bytes against every decoder, one target after the other. A run keeps the inputs that it
//! finds under `target/fuzz` for the next run, so that the corpus in the tree stays small.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    install,
    shell::{self, command},
    tools,
};

/// The largest input, in bytes: twice the largest access token.
const INPUT_BYTES_MAX: u32 = 16 * 1024;
/// An input that takes longer is a finding.
const INPUT_SECONDS_MAX: u32 = 10;
const MEMORY_MIB_MAX: u32 = 2048;
const BUILD: &str = "target/fuzz/build";
const ARTIFACTS: &str = "target/fuzz/artifacts";

/// Options of `fuzz`.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds that each target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// The targets to run; none: all of them.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// Builds the targets and runs all of them, also after a finding. Fails at the end if there was one.
pub(crate) fn run(options: &Options) -> Result<()> {
    let targets = chosen(&options.targets)?;
    install::ensure(&[tools::C_COMPILER, tools::CXX_COMPILER])?;
    shell::run(tools::cargo_fuzz(&["build", "--target-dir", BUILD])?)?;
    let host = shell::answer(command("rustc", ["+nightly", "--print", "host-tuple"]))
        .context("rustc names no host")?;
    let programs = PathBuf::from(format!("{BUILD}/{host}/release"));

    let mut outcomes = Vec::new();
    for target in &targets {
        print!("{target} for {} s ... ", options.seconds);
        io::stdout().flush()?;
        let outcome = fuzz(&programs, target, options.seconds)?;
        println!("{}", outcome.verdict());
        outcomes.push(outcome);
    }
    print_table(&outcomes);
    let findings: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !outcome.clean)
        .map(|outcome| &*outcome.target)
        .collect();
    ensure!(
        findings.is_empty(),
        "fuzzing found something in {}; {ARTIFACTS} has the inputs",
        findings.join(", ")
    );
    Ok(())
}

/// Returns the named targets; all if none is named.
fn chosen(named: &[String]) -> Result<Vec<String>> {
    let directory = "fuzz/fuzz_targets";
    let entries = fs::read_dir(directory).with_context(|| format!("reading {directory}"))?;
    let files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    let mut all: Vec<_> = files
        .iter()
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .collect();
    all.sort();
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        anyhow::bail!(
            "there is no fuzz target `{unknown}`; there are {}",
            all.join(", ")
        );
    }
    Ok(if named.is_empty() {
        all
    } else {
        named.to_vec()
    })
}

/// The result of a target's run.
struct Outcome {
    target: String,
    clean: bool,
    runs: u64,
    /// Edges of the program that inputs reached.
    coverage: u64,
    log: PathBuf,
}

impl Outcome {
    fn verdict(&self) -> String {
        if self.clean {
            "clean".into()
        } else {
            format!("FINDING, see {}", self.log.display())
        }
    }
}

/// Runs the built program, not `cargo fuzz run`, which would rebuild it when the tree has changed meanwhile.
fn fuzz(programs: &Path, target: &str, seconds: u32) -> Result<Outcome> {
    let learned = format!("target/fuzz/corpus/{target}");
    let artifacts = format!("{ARTIFACTS}/{target}");
    for directory in [&learned, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("creating {directory}"))?;
    }
    let log = PathBuf::from(format!("target/fuzz/{target}.log"));
    let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;

    // libFuzzer writes to the first directory, and only reads the other.
    let mut fuzz = Command::new(programs.join(target));
    fuzz.args([
        learned,
        format!("fuzz/corpus/{target}"),
        "-print_final_stats=1".into(),
    ])
    .args([
        format!("-artifact_prefix={artifacts}/"),
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
    ]);
    let status = fuzz
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .status();
    let clean = status
        .with_context(|| format!("{target} does not start"))?
        .success();
    let (runs, coverage) = statistics(&log)?;
    Ok(Outcome {
        target: target.to_owned(),
        clean,
        runs,
        coverage,
        log,
    })
}

/// Reads the number of inputs and the coverage from the end of libFuzzer's output.
fn statistics(log: &Path) -> Result<(u64, u64)> {
    let bytes = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
    // The output has inputs too, which need not be text.
    let text = String::from_utf8_lossy(&bytes);
    let last = |name: &str| {
        let after = text.rsplit_once(name)?.1;
        after.split_whitespace().next()?.parse().ok()
    };
    Ok((
        last("stat::number_of_executed_units:").unwrap_or_default(),
        last(" cov: ").unwrap_or_default(),
    ))
}

fn print_table(outcomes: &[Outcome]) {
    println!(
        "\n{:<16} {:>12} {:>9}  outcome",
        "target", "inputs", "coverage"
    );
    for outcome in outcomes {
        let Outcome {
            target,
            runs,
            coverage,
            ..
        } = outcome;
        println!(
            "{target:<16} {runs:>12} {coverage:>9}  {}",
            outcome.verdict()
        );
    }
}
