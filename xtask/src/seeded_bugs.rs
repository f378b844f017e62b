//! `cargo xtask seeded-bugs`: makes the classic mistakes one after the other, and fails unless the tests catch each.
//!
//! The mistakes are behind the feature `seeded-bugs` of `portcullis-contract`. The tests are built with it once, and a
//! variable of the environment says which mistake their process makes. Programs are not built: nothing in
//! `target/debug` has a mistake afterwards but test binaries of their own names.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::shell::command;

/// Names the mistake that a test process makes.
const VARIABLE: &str = "PORTCULLIS_SEEDED_BUG";
/// The longest time that the tests of one binary may take. All of them have deadlines of their own.
const TESTS_MAX: Duration = Duration::from_secs(180);
const LOGS: &str = "target/seeded-bugs";

/// Options of `seeded-bugs`.
#[derive(Args)]
pub(crate) struct Options {
    /// The mistakes to make; none: all of them.
    #[arg(value_name = "MISTAKE")]
    mistakes: Vec<String>,
}

/// A mistake, and the tests of which at least one has to fail when it is made.
struct Seeded {
    name: &'static str,
    tests: &'static [Test],
}

/// A test: its binary, and its path there.
type Test = (&'static str, &'static str);

const CONTRACT: &str = "portcullis_contract";
const CORE: &str = "portcullis_validator_core";
const DOMAIN: &str = "portcullis_domain";
const AUTHORITY: &str = "portcullis_authority";
const CONFORMANCE: &str = "conformance";
const E2E: &str = "e2e";
const FAULTS: &str = "faults";

const SEEDED: [Seeded; 14] = [
    Seeded {
        name: "sequence-as-cursor",
        tests: &[(
            CONFORMANCE,
            "append::postgres::a_tail_reader_sees_every_acknowledged_revision_in_order",
        )],
    },
    Seeded {
        name: "clear-then-fill",
        tests: &[(
            CORE,
            "follower::tests::what_a_gate_refuses_stays_refused_while_a_snapshot_arrives",
        )],
    },
    Seeded {
        name: "head-from-standby",
        tests: &[
            (
                FAULTS,
                "standby::without_the_standby_nothing_is_acknowledged_and_no_beat_returns",
            ),
            (
                FAULTS,
                "standby::a_deposed_primary_neither_acknowledges_nor_beats",
            ),
        ],
    },
    Seeded {
        name: "one-way-heartbeat",
        tests: &[
            (
                CORE,
                "follower::tests::fresh_is_as_of_the_probe_and_only_once_its_head_is_applied",
            ),
            (
                CORE,
                "follower::tests::a_beat_that_answers_no_probe_of_this_stream_proves_nothing",
            ),
        ],
    },
    Seeded {
        name: "lagged-receiver",
        tests: &[
            (
                AUTHORITY,
                "feed::ring::tests::both_bounds_hold_and_the_rest_stays_dense",
            ),
            (
                FAULTS,
                "slow_readers::a_gate_that_fell_out_of_the_ring_misses_nothing",
            ),
        ],
    },
    Seeded {
        name: "commit-notice",
        tests: &[
            (
                FAULTS,
                "standby::a_commit_whose_wait_for_the_standby_was_cancelled_is_not_acknowledged",
            ),
            (
                FAULTS,
                "postgres::a_sign_in_or_refresh_on_one_disk_only_is_not_acknowledged_when_it_is_repeated",
            ),
        ],
    },
    Seeded {
        name: "prune-too-early",
        tests: &[
            (CONTRACT, "view::tests::two_turns_forget_and_one_does_not"),
            (
                CONFORMANCE,
                "turns::sqlite::two_turns_forget_in_the_view_and_never_in_the_rows",
            ),
        ],
    },
    Seeded {
        name: "refresh-ignores-cutoff",
        tests: &[
            (
                CONFORMANCE,
                "refresh::sqlite::a_session_that_has_ended_is_not_refreshed",
            ),
            (
                CONFORMANCE,
                "races::postgres::a_refreshed_session_dies_whenever_the_sign_out_was_held",
            ),
        ],
    },
    Seeded {
        name: "future-resume",
        tests: &[
            (
                E2E,
                "watch::a_cursor_of_another_history_or_of_the_future_is_a_fork",
            ),
            (
                FAULTS,
                "watch::a_gate_that_invents_a_cursor_does_not_take_the_authority_out_of_service",
            ),
        ],
    },
    Seeded {
        name: "unknown-kind",
        tests: &[
            (
                CONTRACT,
                "view::tests::a_gap_a_repetition_and_an_unknown_kind_change_nothing",
            ),
            (
                CORE,
                "follower::tests::an_unknown_kind_of_entry_ends_readiness_until_a_view_is_understood",
            ),
        ],
    },
    Seeded {
        name: "limit-after-insert",
        tests: &[
            (
                CONFORMANCE,
                "session_limits::sqlite::at_once_as_many_known_users_sign_in_as_there_is_room_for",
            ),
            (
                CONFORMANCE,
                "session_limits::postgres::at_once_as_many_known_users_sign_in_as_there_is_room_for",
            ),
        ],
    },
    Seeded {
        name: "shed-activity",
        tests: &[
            (
                DOMAIN,
                "sweep::tests::idleness_is_counted_up_to_when_every_gate_that_may_admit_has_reported",
            ),
            (
                FAULTS,
                "idleness::a_session_in_use_is_not_idle_while_reports_of_use_are_refused",
            ),
        ],
    },
    Seeded {
        name: "snapshot-from-zero",
        tests: &[
            (
                CORE,
                "follower::tests::a_snapshot_goes_on_in_the_next_stream",
            ),
            (
                FAULTS,
                "watch::a_snapshot_goes_on_where_a_broken_connection_left_it",
            ),
        ],
    },
    Seeded {
        name: "equal-heads",
        tests: &[
            (
                CORE,
                "follower::tests::another_chain_or_history_at_the_head_is_a_fork_and_no_freshness",
            ),
            (
                FAULTS,
                "heal::a_failover_that_lost_a_batch_is_a_fork_when_the_new_head_has_the_same_revision",
            ),
        ],
    },
];

/// Builds the tests with the switch, runs them without a mistake, and then with each.
pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen = choose(&options.mistakes)?;
    fs::create_dir_all(LOGS).with_context(|| format!("creating {LOGS}"))?;
    let binaries = build()?;

    let none = run_tests(&binaries, &chosen, None)?;
    for (test, verdict) in &none.verdicts {
        // A test that fails anyway catches nothing.
        ensure!(verdict == "ok", "{test} fails without any mistake");
    }
    println!(
        "without a mistake {} tests pass, in {:.0} s\n",
        none.verdicts.len(),
        none.took.as_secs_f64()
    );
    println!("| mistake | tests that fail | of | seconds |\n|---|---|---|---|");
    let mut missed = Vec::new();
    for seeded in chosen {
        let outcome = run_tests(&binaries, &[seeded], Some(seeded.name))?;
        let failed = outcome.failed();
        println!(
            "| `{}` | {} | {} | {:.0} |",
            seeded.name,
            words(&failed),
            outcome.verdicts.len(),
            outcome.took.as_secs_f64()
        );
        if failed.is_empty() {
            missed.push(seeded.name);
        }
    }
    ensure!(
        missed.is_empty(),
        "no test catches {}: {LOGS} has what they said",
        missed.join(", ")
    );
    println!("\nevery mistake is caught");
    Ok(())
}

fn choose(named: &[String]) -> Result<Vec<&'static Seeded>> {
    for name in named {
        if !SEEDED.iter().any(|seeded| seeded.name == name) {
            bail!("there is no mistake `{name}`");
        }
    }
    let is_chosen = |seeded: &&Seeded| named.is_empty() || named.iter().any(|n| n == seeded.name);
    Ok(SEEDED.iter().filter(is_chosen).collect())
}

/// Builds the test binaries. Returns their files by the names of their targets.
fn build() -> Result<BTreeMap<String, PathBuf>> {
    // The whole workspace, for the features that `cargo xtask test` builds with: the dependencies are there then.
    let mut cargo = command(
        "cargo",
        [
            "test",
            "--workspace",
            "--exclude",
            "portcullis-bench",
            "--locked",
            "--no-run",
            "--features",
            "portcullis-contract/seeded-bugs",
            "--lib",
            "--message-format",
            "json-render-diagnostics",
        ],
    );
    for target in [CONFORMANCE, E2E, FAULTS] {
        cargo.args(["--test", target]);
    }
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start")?;
    ensure!(output.status.success(), "the tests do not build");

    let mut binaries = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line).unwrap_or_default();
        let is_test = message["profile"]["test"] == Value::Bool(true);
        if let (true, Some(name), Some(file)) = (
            is_test,
            message["target"]["name"].as_str(),
            message["executable"].as_str(),
        ) {
            binaries.insert(name.to_owned(), PathBuf::from(file));
        }
    }
    Ok(binaries)
}

/// The results of some tests.
#[derive(Default)]
struct Outcome {
    /// By the test's path: `ok` or `FAILED`.
    verdicts: BTreeMap<String, String>,
    took: Duration,
}

impl Outcome {
    fn failed(&self) -> Vec<&str> {
        let failed = self.verdicts.iter().filter(|(_, verdict)| *verdict != "ok");
        failed.map(|(test, _)| &**test).collect()
    }
}

/// Runs the tests of mistakes, and makes one.
fn run_tests(
    binaries: &BTreeMap<String, PathBuf>,
    seeded: &[&Seeded],
    made: Option<&str>,
) -> Result<Outcome> {
    let mut by_binary = BTreeMap::<&str, Vec<&str>>::new();
    for (binary, test) in seeded.iter().flat_map(|seeded| seeded.tests) {
        by_binary.entry(binary).or_default().push(test);
    }
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    for (binary, tests) in by_binary {
        let file = binaries
            .get(binary)
            .with_context(|| format!("{binary} was not built"))?;
        let log = PathBuf::from(format!("{LOGS}/{}-{binary}.log", made.unwrap_or("none")));
        run_binary(file, &tests, made, &log)?;
        let verdicts = read_verdicts(&log)?;
        for test in tests {
            let verdict = verdicts
                .get(test)
                .with_context(|| format!("{binary} has no verdict on {test}: {}", log.display()))?;
            outcome.verdicts.insert(test.to_owned(), verdict.clone());
        }
    }
    outcome.took = begun.elapsed();
    Ok(outcome)
}

/// Runs tests of a binary to their end. Whether they pass is in the log.
fn run_binary(file: &Path, tests: &[&str], made: Option<&str>, log: &Path) -> Result<()> {
    let output = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let mut running = Command::new(file);
    running
        .args(tests)
        .args(["--exact", "--test-threads", "2"])
        // Where cargo runs the tests of that package. Those of the others read no files.
        .current_dir("tests")
        .env_remove(VARIABLE)
        .stdin(Stdio::null())
        .stderr(output.try_clone()?)
        .stdout(output);
    if let Some(made) = made {
        running.env(VARIABLE, made);
    }
    let child = running
        .spawn()
        .with_context(|| format!("{} does not start", file.display()))?;
    wait(child, log)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a child is asked whether it has ended"
)]
fn wait(mut child: Child, log: &Path) -> Result<()> {
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > TESTS_MAX {
            child.kill()?;
            child.wait()?;
            bail!("tests do not end within {TESTS_MAX:?}: {}", log.display());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Reads the lines `test <path> ... <verdict>`.
fn read_verdicts(log: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
    let mut verdicts = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let test = line.strip_prefix("test ");
        if let Some((path, verdict)) = test.and_then(|test| test.split_once(" ... ")) {
            verdicts.insert(path.to_owned(), verdict.to_owned());
        }
    }
    Ok(verdicts)
}

/// The last part of each test's path, which is its name.
fn words(tests: &[&str]) -> String {
    if tests.is_empty() {
        return "**none**".to_owned();
    }
    let mut words = Vec::new();
    for test in tests {
        words.push(format!("`{}`", name_of(test)));
    }
    words.join(", ")
}

fn name_of(test: &str) -> &str {
    test.rsplit("::").next().unwrap_or(test)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn root() -> &'static Path {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        manifest.parent().expect("xtask sits inside the workspace")
    }

    /// The files below a directory that end in `name`, with their text.
    fn files(directory: &Path, name: &str) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let skipped = ["target", "node_modules", ".git"].map(OsStr::new);
            if path.is_dir() && !skipped.contains(&path.file_name().unwrap_or_default()) {
                found.extend(files(&path, name));
            } else if path.is_file() && path.to_string_lossy().ends_with(name) {
                let text = fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
        found
    }

    #[test]
    fn every_mistake_of_the_switch_is_made_in_the_product_and_in_the_table() {
        let home = root().join("crates/contract/src/seeded.rs");
        let switch = fs::read_to_string(&home).expect("the switch");
        let crates = files(&root().join("crates"), ".rs");
        let mut known = Vec::new();
        for line in switch.lines() {
            let Some((name, variant)) = line.trim().split_once("\", Self::") else {
                continue;
            };
            known.push(name.trim_start_matches("(\"").to_owned());
            let used = format!("Mistake::{}", variant.trim_end_matches("),"));
            let is_made = |(file, text): &(PathBuf, String)| *file != home && text.contains(&used);
            assert!(crates.iter().any(is_made), "nobody makes {used}");
        }
        let listed: Vec<_> = SEEDED.iter().map(|seeded| seeded.name).collect();
        assert_eq!(known, listed);
    }

    #[test]
    fn no_manifest_has_the_switch_on() {
        for (file, text) in files(root(), "Cargo.toml") {
            let is_home = file.ends_with("crates/contract/Cargo.toml");
            assert_eq!(
                text.matches("seeded-bugs").count(),
                if is_home { 2 } else { 0 },
                "{}",
                file.display()
            );
        }
    }

    #[test]
    fn every_named_test_exists_and_the_page_names_every_mistake() {
        let mut sources = files(&root().join("crates"), ".rs");
        sources.extend(files(&root().join("tests"), ".rs"));
        let page = root().join("docs/internals/seeded-bugs.md");
        let page = fs::read_to_string(page).expect("the page");
        for seeded in &SEEDED {
            assert!(
                page.contains(&format!("| `{}` |", seeded.name)),
                "{}",
                seeded.name
            );
            for (_, test) in seeded.tests {
                let function = format!("fn {}(", name_of(test));
                let exists = sources.iter().any(|(_, text)| text.contains(&function));
                assert!(exists, "{test}");
            }
        }
    }
}
