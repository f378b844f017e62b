//! RELIABILITY.md is held to the tests: each fault names one, and each test that it names exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of all Rust files below a directory of the workspace.
fn sources(directory: &str) -> String {
    let (mut text, mut open) = (String::new(), vec![root().join(directory)]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("text"));
            }
        }
    }
    text
}

/// The names of all test functions in a text, with those that run only when asked for.
fn tests_in(text: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut tests, mut long) = (BTreeSet::new(), BTreeSet::new());
    let mut is_long = false;
    for line in text.lines() {
        let line = line.trim_start();
        is_long |= line.starts_with("#[ignore");
        let function = line.trim_start_matches("pub ").trim_start_matches("async ");
        if let Some(name) = function
            .strip_prefix("fn ")
            .and_then(|rest| rest.split('(').next())
        {
            tests.insert(name);
            if std::mem::take(&mut is_long) {
                long.insert(name);
            }
        }
    }
    (tests, long)
}

/// The words in backticks that look like names of tests: several words, joined.
fn named(text: &str) -> Vec<&str> {
    let inside = text.split('`').skip(1).step_by(2);
    let is_test = |word: &&str| {
        word.matches('_').count() >= 3
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && *word != "synchronous_standby_names"
    };
    inside.filter(is_test).collect()
}

#[test]
fn every_fault_of_the_table_has_a_test_and_every_named_test_exists() {
    let page = fs::read_to_string(root().join("RELIABILITY.md")).expect("the page");
    let text = sources("tests") + &sources("crates");
    let (tests, long) = tests_in(&text);
    for name in named(&page) {
        assert!(tests.contains(name), "there is no test {name}");
    }

    let (_, faults) = page.split_once("## Faults").expect("the table");
    let faults = faults.split("\n## ").next().expect("its end");
    let rows: Vec<_> = faults
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    let is_fault = |row: &&&str| !row.ends_with("| | |");
    for row in rows[1..].iter().filter(is_fault) {
        let names = named(row);
        assert!(!names.is_empty(), "no test: {row}");
        let is_long = names.iter().any(|name| long.contains(name));
        assert_eq!(is_long, row.contains("*long*"), "{row}");
    }
}

#[test]
fn every_long_fault_is_in_the_table() {
    let page = fs::read_to_string(root().join("RELIABILITY.md")).expect("the page");
    let text = sources("tests/faults");
    let (_, long) = tests_in(&text);
    for name in long {
        assert!(
            page.contains(&format!("`{name}`")),
            "{name} is not in RELIABILITY.md"
        );
    }
}
