//! Names of people as lists search and sort them.
//!
//! A name is kept as it was given. Beside it is kept its *key*: the name without case, accents and differences of
//! encoding, with a mark before each word. Both engines compare keys byte for byte. So one key serves the search and the
//! order, no locale takes part, and both engines agree.
//!
//! A search is folded the same way, and split into parts. Every part has to occur in the key, in any order. A part of
//! one or two characters has to begin a word, because anywhere in a word it would match most names.

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, Script},
};

use super::Profile;

/// The most parts of a search.
pub const PARTS_MAX: usize = 8;

/// The longest key of one name, in bytes: the longest email address with a mark before every second byte. Only
/// characters that fold to many, such as U+FDFA, make a longer key. It is cut, because an index of PostgreSQL takes
/// rows of at most 2,704 bytes.
const KEY_BYTES_MAX: usize = 480;

/// The characters of the shortest part that is searched for anywhere in a word.
const INNER_PART_CHARACTERS_MIN: usize = 3;

/// Stands before each word of a key. No name has it, because the edge refuses control characters.
const WORD: char = '\u{1f}';

/// Stands between the family name and the given name of a key. It sorts before everything in a name.
const BETWEEN_NAMES: char = '\n';

/// The keys of a user's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameKeys {
    /// The key of the sign-in name.
    pub user_name: String,
    /// The keys of the family name and the given name.
    pub person: String,
    /// The key of the email address.
    pub email: String,
}

impl NameKeys {
    /// Returns the keys of a profile.
    #[must_use]
    pub fn of(profile: &Profile) -> Self {
        let family_name = key(&profile.family_name);
        let given_name = key(&profile.given_name);
        Self {
            user_name: key(&profile.user_name),
            person: format!("{family_name}{BETWEEN_NAMES}{given_name}"),
            email: key(&profile.email),
        }
    }
}

/// Splits a search into its parts. A key matches if it contains each of them, byte for byte.
#[must_use]
pub fn search_parts(search: &str) -> Vec<String> {
    let folded = fold(search);
    let words = folded.split_whitespace();
    words
        .map(|word| search_part(without_commas(word)))
        .collect()
}

/// A comma separates names, as in `Walker, Joan`. A word of nothing else is searched for as it is.
fn without_commas(word: &str) -> &str {
    match word.trim_matches(',') {
        "" => word,
        name => name,
    }
}

fn search_part(word: &str) -> String {
    let mut part = String::new();
    push_with_marks(&mut part, word);
    // A longer part may stand within a word, so it must not ask for the mark before one.
    if word.chars().count() >= INNER_PART_CHARACTERS_MIN && part.starts_with(WORD) {
        part.remove(0);
    }
    part
}

fn key(name: &str) -> String {
    let mut key = String::new();
    push_with_marks(&mut key, &fold(name));
    // Within a character the cut would panic.
    key.truncate(key.floor_char_boundary(KEY_BYTES_MAX));
    key
}

/// Appends a folded text with [`WORD`] before each word.
///
/// Whether there is a mark depends on one letter and the one before it. So the marks within a part of a text are those
/// within the whole text, and a part can be searched for with its marks.
fn push_with_marks(into: &mut String, folded: &str) {
    let mut is_within_word = false;
    for letter in folded.chars() {
        let continues_word = is_mark(letter) || letter == WORD;
        let is_letter = letter.is_alphanumeric() && !continues_word;
        if is_letter && (!is_within_word || is_word_by_itself(letter)) {
            into.push(WORD);
        }
        into.push(letter);
        is_within_word = is_letter || (is_within_word && continues_word);
    }
}

/// Folds a text: two texts that differ in case, accents or encoding fold to the same.
fn fold(text: &str) -> String {
    // Marks go first: the case of one of them, the iota subscript, is a letter.
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize_iter(text.chars());
    let bare: String = decomposed.filter(|letter| !is_ignored(*letter)).collect();
    let mut folded = String::with_capacity(bare.len());
    for letter in CaseMapper::new().fold_string(&bare).chars() {
        match plain_letters(letter) {
            Some(plain) => folded.push_str(plain),
            None => folded.push(letter),
        }
    }
    // Composed again, because syllables of Hangul are three times as long when decomposed.
    let composed = ComposingNormalizerBorrowed::new_nfkc().normalize(&folded);
    composed.into_owned()
}

/// The usual ASCII spelling of a letter that Unicode does not decompose. Those with a stroke and the ligatures are the
/// variants of a letter in the default collation of Unicode; thorn, eth and the dotless i are common in names.
fn plain_letters(letter: char) -> Option<&'static str> {
    let plain = match letter {
        'ı' => "i",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'ħ' => "h",
        'ŧ' => "t",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        // Typed or made by a word processor, an apostrophe is one.
        '‘' | '’' | 'ʻ' | 'ʼ' => "'",
        '‐' | '‑' | '–' => "-",
        _ => return None,
    };
    Some(plain)
}

/// Characters that a search does not see: accents, signs of vowels in Arabic and Hebrew, and invisible characters.
fn is_ignored(letter: char) -> bool {
    if letter.is_ascii() {
        return false;
    }
    if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter) {
        return true;
    }
    // Accents belong to no single script. Marks of other scripts, such as the vowels of Devanagari, tell names apart.
    is_mark(letter) && matches!(script(letter), Script::Inherited | Script::Hebrew)
}

/// Characters that belong to the letter before them.
fn is_mark(letter: char) -> bool {
    if letter.is_ascii() {
        return false;
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(letter);
    matches!(
        category,
        GeneralCategory::NonspacingMark
            | GeneralCategory::SpacingMark
            | GeneralCategory::EnclosingMark
    )
}

/// Letters of scripts that are written without spaces. A name of two such letters can be searched for by each.
fn is_word_by_itself(letter: char) -> bool {
    if letter.is_ascii() {
        return false;
    }
    matches!(
        script(letter),
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Bopomofo
            | Script::Hangul
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
    )
}

fn script(letter: char) -> Script {
    CodePointMapData::<Script>::new().get(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(name: &str, search: &str) -> bool {
        let key = key(name);
        let parts = search_parts(search);
        !parts.is_empty() && parts.iter().all(|part| key.contains(part))
    }

    #[test]
    fn what_people_write_alike_folds_alike() {
        // Each row: spellings of one name.
        let rows: [&[&str]; 27] = [
            &[
                "José",
                "Jose\u{301}",
                "jose",
                "JOSÉ",
                "JOSE\u{301}",
                "ＪＯＳＥ",
            ],
            &["Straße", "STRASSE", "strasse", "STRAẞE"],
            &["İstanbul", "istanbul", "ISTANBUL", "I\u{307}stanbul"],
            &["ışıl", "IŞIL", "isil", "İŞİL", "işil"],
            &["Οδυσσεύς", "ΟΔΥΣΣΕΎΣ", "οδυσσευς", "ΟΔΥΣΣΕΥΣ"],
            &["ᾅδης", "ΑΔΗΣ"],
            &["Øystein", "øystein", "Oystein"],
            &["Łukasz", "ŁUKASZ", "Lukasz"],
            &["Đorđe", "ĐORĐE", "Dorde"],
            &["Ħal Għaxaq", "ħal għaxaq", "Hal Ghaxaq"],
            &["Ŧoma", "ŧoma", "Toma"],
            &["Œuvrard", "œuvrard", "Oeuvrard"],
            &["Þórður", "ÞÓRÐUR", "Thordur"],
            &["Ærøskøbing", "ÆRØSKØBING", "Aeroskobing"],
            &["Müller", "Mu\u{308}ller", "MÜLLER", "Muller"],
            &["Nguyễn", "NGUYỄN", "Nguye\u{302}\u{303}n", "Nguyen"],
            &["Żółć", "ZOLC", "zo\u{301}łc"],
            &["Семён", "СЕМЕН", "Семе\u{308}н"],
            &["O'Brien", "O’Brien", "OʼBRIEN"],
            &["Anne-Marie", "Anne‐Marie", "ANNE–MARIE"],
            &["ﬁsher", "Fisher", "FISHER"],
            &["ガ", "ｶﾞ", "カ\u{3099}"],
            &["각", "\u{1100}\u{1161}\u{11a8}"],
            &["مُحَمَّد", "محمد"],
            &["שָׁלוֹם", "שלום"],
            &["ǅ", "ǆ", "DŽ", "dz"],
            &["Jo\u{ad}an", "Joan", "\u{feff}JOAN\u{200d}"],
        ];
        for spellings in rows {
            let first = fold(spellings[0]);
            for spelling in spellings {
                assert_eq!(fold(spelling), first, "{spelling} and {}", spellings[0]);
            }
        }
        // Names that differ stay apart.
        let apart = [
            ("李", "王"),
            ("कि", "की"),
            ("Ana", "Anna"),
            ("Müller", "Mueller"),
            ("100%_\\", "100"),
        ];
        for (one, other) in apart {
            assert_ne!(fold(one), fold(other), "{one} and {other}");
        }
        assert_eq!(fold("100%_\\"), "100%_\\");
    }

    #[test]
    fn folding_again_changes_nothing_and_encodings_fold_alike() {
        let composing = ComposingNormalizerBorrowed::new_nfc();
        let decomposing = DecomposingNormalizerBorrowed::new_nfd();
        for letter in
            ('\0'..='\u{1ffff}').filter(|letter| *letter < '\u{e000}' || *letter > '\u{f8ff}')
        {
            let text = format!("a{letter}b");
            let folded = fold(&text);
            assert_eq!(fold(&folded), folded, "{}", letter.escape_unicode());
            for encoded in [composing.normalize(&text), decomposing.normalize(&text)] {
                assert_eq!(fold(&encoded), folded, "{}", letter.escape_unicode());
            }
        }
    }

    #[test]
    fn names_are_found_by_their_parts() {
        let cases = [
            ("José", "jose", true),
            ("Joan", "oan", true),
            ("Joan", "o", false),
            ("Joan", "J", true),
            ("Li", "Li", true),
            ("Liam", "li", true),
            ("Julia", "li", false),
            ("Bo", "bo", true),
            ("Deborah", "bo", false),
            ("李", "李", true),
            ("王伟", "王伟", true),
            ("王伟", "王", true),
            ("王伟", "伟", true),
            ("王伟", "伟王", false),
            ("王伟明", "伟明", true),
            ("김민준", "민준", true),
            ("김민준", "김", true),
            ("Jo Ng", "Jo Ng", true),
            ("Jo Ng", "ng jo", true),
            ("Jo Ng", "n", true),
            ("Jo Ng", "o", false),
            ("Jon Ngo", "Jo Ng", true),
            ("Mojo Ong", "Jo Ng", false),
            ("j.li@example.com", "li", true),
            ("j.li@example.com", "j.li", true),
            ("j.li@example.com", "i@exa", true),
            ("j.li@example.com", ".com", true),
            ("j.li@example.com", "@", true),
            ("Anne-Marie", "Ma", true),
            ("Anne-Marie", "ne-ma", true),
            ("O'Brien", "br", true),
            ("van der Berg", "berg van", true),
            ("van der Berg", "van den", false),
            ("Walker", "walker,", true),
            ("100%_sure", "0%_", true),
            ("1000 sure", "0%_", false),
            ("1, 2", ",", true),
            ("क्षितिज", "क्षि", true),
            ("anna", "  ", false),
            ("anna", "\u{301}", false),
        ];
        for (name, search, expected) in cases {
            assert_eq!(is_found(name, search), expected, "{search} in {name}");
        }
    }

    #[test]
    fn given_and_family_name_are_found_together_in_either_order() {
        let profile = Profile {
            given_name: "Joan".into(),
            family_name: "Walker".into(),
            ..Profile::default()
        };
        let key = NameKeys::of(&profile).person;
        let is_found = |search: &str| search_parts(search).iter().all(|part| key.contains(part));
        for search in [
            "joan walker",
            "Walker Joan",
            "Walker, Joan",
            "J W",
            "wal oan",
        ] {
            assert!(is_found(search), "{search}");
        }
        for search in ["joan smith", "walkerjoan", "r j"] {
            assert!(!is_found(search), "{search}");
        }

        let apart = Profile {
            given_name: ".b".into(),
            family_name: "a.".into(),
            ..Profile::default()
        };
        let key = NameKeys::of(&apart).person;
        let across = search_parts("a..b");
        assert!(!across.iter().all(|part| key.contains(part)));
    }

    #[test]
    fn keys_sort_accents_and_case_beside_their_letters() {
        let sorted = [
            "", "Arzt", "ÄRZTE", "Ärztin", "Arzu", "de Vries", "Łukasz", "Lund", "Ōkami", "Østby",
            "Zoë", "Ζωή", "李",
        ];
        let mut names = sorted;
        names.reverse();
        names.sort_by_key(|name| key(name));
        assert_eq!(names, sorted);
    }

    #[test]
    fn a_key_is_bounded_whatever_folds() {
        for text in ["ﷺ".repeat(106), "a.".repeat(160), "伟".repeat(106)] {
            let key = key(&text);
            assert!(
                !key.is_empty() && key.len() <= KEY_BYTES_MAX,
                "{}",
                key.len()
            );
        }
    }

    #[test]
    fn a_mark_within_a_word_begins_no_other_word() {
        for (name, words) in [("क्षितिज", 1), ("ab", 1), ("a b", 2), ("a-b", 2), ("", 0)]
        {
            assert_eq!(key(name).matches(WORD).count(), words, "{name}");
        }
    }
}
