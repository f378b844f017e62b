//! Help, usage and errors as they are written, and the manual pages.

use std::{collections::BTreeMap, fs, path::Path};

use portcullis_tests::process::{binary, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
}

/// `TRYCMD=overwrite` writes the cases anew.
#[test]
fn help_usage_and_errors_are_as_they_were() {
    let nowhere = tempfile::tempdir().expect("a directory");
    trycmd::TestCases::new()
        .register_bin("portcullis", binary())
        .env(
            "PORTCULLIS_CONTEXTS_FILE",
            nowhere.path().join("contexts.toml").display().to_string(),
        )
        .env("TZ", "UTC")
        .env("COLUMNS", "100")
        .case(root().join("tests/e2e/command_line/cases/*.trycmd"));
}

fn pages(directory: &Path) -> BTreeMap<String, String> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let pages = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let text = fs::read_to_string(entry.path()).expect("text");
        (entry.file_name().into_string().expect("a name"), text)
    });
    pages.collect()
}

#[tokio::test]
async fn the_manual_pages_are_those_of_the_commands() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("a path");
    let (code, _, stderr) = run(&["manual", path]).await;
    assert_eq!(code, Some(0), "{stderr}");
    let (fresh, kept) = (
        pages(directory.path()),
        pages(&root().join("docs/reference/man")),
    );
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    let mend = "remove docs/reference/man and run `cargo run -- manual docs/reference/man`";
    assert_eq!(names(&fresh), names(&kept), "{mend}");
    for (name, text) in &fresh {
        assert!(kept[name] == *text, "{name} is out of date: {mend}");
    }
    assert!(
        fresh.contains_key("portcullis-sessions-end.1"),
        "{:?}",
        names(&fresh)
    );
}

#[test]
fn the_reference_names_every_command_and_exit_code() {
    let text =
        fs::read_to_string(root().join("docs/reference/command-line.md")).expect("the reference");
    for page in pages(&root().join("docs/reference/man")).keys() {
        let command = page
            .trim_end_matches(".1")
            .replace("portcullis-", "portcullis ");
        let words: Vec<&str> = command.split(' ').collect();
        // The names of groups have hyphens of their own: look for the last word.
        let last = words
            .last()
            .expect("a word")
            .rsplit('-')
            .next()
            .expect("a word");
        assert!(
            text.contains(last),
            "{page}: {last} is not in the reference"
        );
    }
    for code in 0..=7 {
        assert!(
            text.contains(&format!("| {code} |")),
            "exit code {code} is not in the reference"
        );
    }
}
