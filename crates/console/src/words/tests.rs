//! Every word exists in each language, with the same values, and every word that a page uses exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use fluent_syntax::{
    ast::{Entry, Expression, InlineExpression, Pattern, PatternElement},
    parser::parse,
};

use super::*;

/// The messages of a language: the id, with the values that it uses.
type Messages = BTreeMap<String, BTreeSet<String>>;

/// The files of a language by name, each with its messages.
fn files(locale: Locale) -> BTreeMap<String, Messages> {
    let directory = format!("{}/", locale.tag());
    let mut files = BTreeMap::new();
    for path in Files::iter() {
        let Some(name) = path.strip_prefix(&directory) else {
            continue;
        };
        let file = Files::get(&path).expect("a file");
        let text = String::from_utf8(file.data.into_owned()).expect("UTF-8");
        files.insert(name.to_owned(), messages(&path, &text));
    }
    files
}

fn messages(path: &str, text: &str) -> Messages {
    let resource = parse(text).unwrap_or_else(|(_, errors)| panic!("{path}: {errors:?}"));
    let mut messages = Messages::new();
    for entry in resource.body {
        let Entry::Message(message) = entry else {
            continue;
        };
        let id = message.id.name.to_owned();
        let pattern = message
            .value
            .unwrap_or_else(|| panic!("{path}: {id} is empty"));
        let mut values = BTreeSet::new();
        collect(&pattern, &mut values);
        assert!(
            messages.insert(id.clone(), values).is_none(),
            "{path}: {id} stands twice"
        );
    }
    messages
}

fn collect(pattern: &Pattern<&str>, values: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        let PatternElement::Placeable { expression } = element else {
            continue;
        };
        match expression {
            Expression::Inline(inline) => collect_inline(inline, values),
            Expression::Select { selector, variants } => {
                collect_inline(selector, values);
                for variant in variants {
                    collect(&variant.value, values);
                }
            }
        }
    }
}

fn collect_inline(expression: &InlineExpression<&str>, values: &mut BTreeSet<String>) {
    match expression {
        InlineExpression::VariableReference { id } => {
            values.insert(id.name.to_owned());
        }
        InlineExpression::Placeable { expression } => match &**expression {
            Expression::Inline(inline) => collect_inline(inline, values),
            Expression::Select { .. } => panic!("a choice within a choice"),
        },
        _ => {}
    }
}

#[test]
fn every_language_has_the_same_words_with_the_same_values() {
    let english = files(Locale::English);
    assert!(english.contains_key("frame.ftl"));
    for locale in Locale::ALL {
        let other = files(locale);
        let names = |files: &BTreeMap<String, Messages>| Vec::from_iter(files.keys().cloned());
        assert_eq!(names(&other), names(&english), "{locale:?}");
        for (name, messages) in &english {
            for (id, values) in messages {
                let translated = other[name].get(id);
                let translated =
                    translated.unwrap_or_else(|| panic!("{locale:?}: {name} lacks {id}"));
                // A form for one may leave its number out: "one day".
                assert_eq!(translated, values, "{locale:?}: the values of {id}");
            }
            let surplus = other[name].keys().find(|id| !messages.contains_key(*id));
            assert_eq!(surplus, None, "{locale:?}: {name} has a word of its own");
        }
    }
}

#[test]
fn no_word_stands_in_two_files() {
    let mut seen = BTreeMap::new();
    for (name, messages) in files(Locale::English) {
        let room = name.trim_end_matches(".ftl").replace('_', "-");
        for id in messages.into_keys() {
            assert!(
                id.starts_with(&format!("{room}-")),
                "{name}: {id} must begin with {room}-"
            );
            assert_eq!(seen.insert(id.clone(), name.clone()), None, "{id}");
        }
    }
}

/// The files below a directory of this crate, with their text.
fn sources(directory: &str) -> Vec<(String, String)> {
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .expect("a directory")
                    .map(|entry| entry.expect("an entry").path()),
            );
        } else {
            let text = fs::read_to_string(&path).expect("text");
            found.push((path.display().to_string(), text));
        }
    }
    assert!(!found.is_empty(), "nothing in {directory}");
    found
}

/// Literals that look like a word of a room: its name, a hyphen, and a rest in small letters.
fn used_words<'a>(text: &'a str, rooms: &BTreeSet<String>) -> Vec<&'a str> {
    let literals = text.split('"').skip(1).step_by(2);
    let is_word = |literal: &&str| {
        let is_plain = literal
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        is_plain
            && rooms.iter().any(|room| {
                literal
                    .strip_prefix(&format!("{room}-"))
                    .is_some_and(|rest| !rest.is_empty())
            })
    };
    literals.filter(is_word).collect()
}

#[test]
fn every_word_that_a_page_uses_exists() {
    let known: BTreeSet<String> = files(Locale::English)
        .into_values()
        .flat_map(Messages::into_keys)
        .collect();
    let rooms: BTreeSet<String> = files(Locale::English)
        .into_keys()
        .map(|name| name.trim_end_matches(".ftl").replace('_', "-"))
        .collect();
    let mut used = BTreeSet::new();
    for (path, text) in sources("src") {
        // Tests name words that do not exist.
        if path.ends_with("tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in used_words(code, &rooms) {
            assert!(known.contains(word), "{path}: there is no word {word}");
            used.insert(word.to_owned());
        }
    }
    for (path, text) in sources("templates") {
        // In markup a literal is a class or an id as well, so that only the calls count.
        for call in text.split("words.").skip(1) {
            let Some(word) = call.split('"').nth(1) else {
                continue;
            };
            let is_call = ["text(\"", "with(\""]
                .iter()
                .any(|name| call.starts_with(name));
            if is_call {
                assert!(known.contains(word), "{path}: there is no word {word}");
                used.insert(word.to_owned());
            }
        }
    }
    // A word that nothing uses is dead, and translated for nothing. The frame's ones are for rooms to come too.
    let unused: Vec<_> = known
        .difference(&used)
        .filter(|word| !word.starts_with("frame-"))
        .collect();
    assert!(unused.is_empty(), "nothing uses {unused:?}");
}

#[test]
fn a_value_cannot_turn_the_words_around_it() {
    let english = Words::of(Locale::English);
    assert_eq!(english.isolated("Ada Lovelace"), "Ada Lovelace");
    assert_eq!(english.isolated("Õnne"), "Õnne");
    // An override, and the end of an isolation, are removed.
    let hostile = english.isolated("x\u{202e}gpj.exe\u{2069}\u{2066}");
    assert_eq!(hostile, "\u{2068}xgpj.exe\u{2069}");
    assert_eq!(english.isolated("أحمد"), "\u{2068}أحمد\u{2069}");
    let arabic = Words::of(Locale::Arabic);
    assert_eq!(arabic.isolated("Ada"), "\u{2068}Ada\u{2069}");
}

#[test]
fn numbers_choose_the_form_of_their_language() {
    let minutes =
        |locale, count: i64| Words::of(locale).with("frame-time-minutes-ago", [("count", count)]);
    assert_eq!(minutes(Locale::English, 1), "1 minute ago");
    assert_eq!(minutes(Locale::English, 1_234), "1,234 minutes ago");
    assert_eq!(minutes(Locale::Spanish, 2), "hace 2 minutos");
    assert_eq!(minutes(Locale::Arabic, 2), "قبل دقيقتين");
    assert_eq!(minutes(Locale::Arabic, 3), "قبل 3 دقائق");
    assert_eq!(minutes(Locale::Arabic, 11), "قبل 11 دقيقة");
}

#[test]
fn a_word_that_is_missing_shows_its_id() {
    assert_eq!(
        Words::of(Locale::English).text("frame-nothing"),
        "frame-nothing"
    );
}
