//! The words of the pages, in each language.

use std::{borrow::Cow, sync::LazyLock};

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use rust_embed::RustEmbed;

use crate::{locale::Locale, numbers};

/// The files of words: a directory a language, a file a room.
#[derive(RustEmbed)]
#[folder = "words/"]
struct Files;

type Bundle = FluentBundle<FluentResource>;

static BUNDLES: LazyLock<[Bundle; 4]> = LazyLock::new(|| Locale::ALL.map(bundle));

/// A value in a message: a text or a number.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

macro_rules! from_number {
    ($($number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                // Every count of the contract fits. The bound keeps a very large one from becoming
                // negative.
                Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
        impl From<&$number> for Value {
            fn from(number: &$number) -> Self {
                Self::from(*number)
            }
        }
    )*};
}

from_number!(i32, i64, u32, u64, usize);

/// The words of one language.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    locale: Locale,
}

impl Words {
    /// The words of a language.
    pub(crate) fn of(locale: Locale) -> Self {
        Self { locale }
    }

    /// The language.
    pub(crate) fn locale(&self) -> Locale {
        self.locale
    }

    /// A message without values. It is plain text, and not markup.
    pub(crate) fn text(&self, id: &str) -> String {
        self.with(id, [] as [(&'static str, Value); 0])
    }

    /// A message with values: `words.with("frame-length-days", [("count", 3)])`. It is plain text, and not markup.
    pub(crate) fn with<V: Clone + Into<Value>>(
        &self,
        id: &str,
        values: impl AsRef<[(&'static str, V)]>,
    ) -> String {
        let mut arguments = FluentArgs::new();
        for (name, value) in values.as_ref() {
            let value = match value.clone().into() {
                Value::Text(text) => FluentValue::from(self.isolated(&text).into_owned()),
                // Digits cannot turn the words around them, so a number needs no isolation.
                Value::Number(number) => FluentValue::from(number),
            };
            arguments.set(*name, value);
        }
        self.formatted(id, &arguments)
    }

    fn formatted(&self, id: &str, arguments: &FluentArgs<'_>) -> String {
        let bundle = &BUNDLES[self.locale as usize];
        let pattern = bundle.get_message(id).and_then(|message| message.value());
        let Some(pattern) = pattern else {
            // A test finds every word that a page uses, so this is a defect. The id says more than nothing.
            tracing::error!(id, locale = self.locale.tag(), "a word is missing");
            return id.to_owned();
        };
        let mut errors = Vec::new();
        let text = bundle.format_pattern(pattern, Some(arguments), &mut errors);
        if !errors.is_empty() {
            tracing::error!(id, locale = self.locale.tag(), "a word lacks a value");
        }
        text.into_owned()
    }

    /// A number in the digits of the language.
    pub(crate) fn number(&self, number: impl Into<Value>) -> String {
        match number.into() {
            Value::Number(number) => numbers::format(self.locale, number),
            Value::Text(text) => text,
        }
    }

    /// Keeps a text from changing the order of the words around it: marks of direction are removed, and a text that may
    /// run the other way is isolated.
    fn isolated<'a>(&self, text: &'a str) -> Cow<'a, str> {
        const FIRST_STRONG_ISOLATE: char = '\u{2068}';
        const POP_ISOLATE: char = '\u{2069}';
        let is_plain = self.locale.direction() == "ltr" && text.chars().all(runs_left_to_right);
        if is_plain {
            return Cow::Borrowed(text);
        }
        let kept = text
            .chars()
            .filter(|character| !is_direction_mark(*character));
        let mut isolated = String::from(FIRST_STRONG_ISOLATE);
        isolated.extend(kept);
        isolated.push(POP_ISOLATE);
        Cow::Owned(isolated)
    }
}

/// Whether a character belongs to a script that runs from left to right, and is no mark. The blocks from Hebrew to Arabic
/// Extended, their presentation forms, and everything beyond the basic plane may run the other way.
fn runs_left_to_right(character: char) -> bool {
    !is_direction_mark(character)
        && !matches!(character, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}')
        && character < '\u{10000}'
}

fn is_direction_mark(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

fn bundle(locale: Locale) -> Bundle {
    // Fluent chooses the rules of plurals by the language.
    let language = locale.tag().parse().unwrap_or_default();
    let mut bundle = Bundle::new_concurrent(vec![language]);
    // `isolated` does it where it is needed. Everywhere it would put marks around each number.
    bundle.set_use_isolating(false);
    // A function for each language, because the bundle takes a plain function pointer, which holds
    // no locale.
    bundle.set_formatter(Some(match locale {
        Locale::English => format_english,
        Locale::Spanish => format_spanish,
        Locale::Estonian => format_estonian,
        Locale::Arabic => format_arabic,
    }));

    add_files(&mut bundle, locale);
    bundle
}

/// Adds all messages of a language.
fn add_files(bundle: &mut Bundle, locale: Locale) {
    let directory = format!("{}/", locale.tag());
    for path in Files::iter().filter(|path| path.starts_with(&directory)) {
        let Some(file) = Files::get(&path) else {
            continue;
        };
        let text = String::from_utf8_lossy(&file.data).into_owned();
        // Messages that parse are kept. Tests refuse files with others, and words that stand twice.
        let resource = FluentResource::try_new(text).unwrap_or_else(|(resource, _)| resource);
        if bundle.add_resource(resource).is_err() {
            tracing::error!(file = &*path, "a word stands twice");
        }
    }
}

fn format_english<M>(value: &FluentValue<'_>, _: &M) -> Option<String> {
    format_number(Locale::English, value)
}

fn format_spanish<M>(value: &FluentValue<'_>, _: &M) -> Option<String> {
    format_number(Locale::Spanish, value)
}

fn format_estonian<M>(value: &FluentValue<'_>, _: &M) -> Option<String> {
    format_number(Locale::Estonian, value)
}

fn format_arabic<M>(value: &FluentValue<'_>, _: &M) -> Option<String> {
    format_number(Locale::Arabic, value)
}

fn format_number(locale: Locale, value: &FluentValue<'_>) -> Option<String> {
    match value {
        // Only whole numbers get here, from `Value::Number`.
        FluentValue::Number(number) => Some(numbers::format(locale, number.value as i64)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
