//! `docs/reference/rules.md` and `docs/reference/rules.schema.json` say what the code does.

use std::{collections::BTreeSet, fs, path::Path};

use portcullis_gate::{Refused, Rules, rules_schema};
use serde_json::Value;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn the_schema_in_the_tree_is_that_of_the_code() {
    let committed: Value =
        serde_json::from_str(&read("docs/reference/rules.schema.json")).expect("JSON");
    // As values: the order of members differs between builds.
    assert_eq!(committed, schema(), "run `cargo xtask gen`");
}

fn schema() -> Value {
    serde_json::from_str(&rules_schema()).expect("JSON")
}

/// All keys of the schema, as `rules[].upstream_reads.semicolon`.
fn keys(schema: &Value) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    collect(schema, schema, "", &mut keys);
    keys
}

fn collect(root: &Value, schema: &Value, prefix: &str, keys: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.strip_prefix("#/$defs/").expect("a definition");
        collect(root, &root["$defs"][name], prefix, keys);
    }
    for option in schema["anyOf"].as_array().into_iter().flatten() {
        collect(root, option, prefix, keys);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let key = format!("{prefix}{name}");
        collect(root, property, &format!("{key}."), keys);
        collect(root, &property["items"], &format!("{key}[]."), keys);
        keys.insert(key);
    }
}

#[test]
fn every_key_is_documented_once() {
    let known = keys(&schema());
    let text = read("docs/reference/rules.md");
    let rows: Vec<String> = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned()))
        .collect();
    let mut found = BTreeSet::new();
    for row in rows {
        // The tables of reasons and of headers have other words in their first cell.
        if known.contains(&row) {
            assert!(found.insert(row.clone()), "`{row}` stands twice");
        }
    }
    assert_eq!(found, known);
}

#[test]
fn the_examples_of_the_page_can_be_used() {
    let text = read("docs/reference/rules.md");
    let mut examples = 0;
    for (start, read) in [
        ("```toml\n", Rules::from_toml as fn(&str) -> _),
        ("```json\n", Rules::from_json),
    ] {
        for part in text.split(start).skip(1) {
            let example = part.split("```").next().expect("an end");
            let rules = read(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
            if let Err(error) = rules.compile() {
                panic!("{error}\n{example}");
            }
            examples += 1;
        }
    }
    assert!(examples >= 3, "{examples}");
}

#[test]
fn every_reason_of_a_gate_is_documented() {
    let text = read("docs/reference/errors.md");
    for refused in Refused::ALL {
        let row = format!("| `{}` |", refused.reason());
        assert!(text.contains(&row), "{row}");
    }
}
