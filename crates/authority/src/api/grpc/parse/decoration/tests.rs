//! Decoration as browsers, proxies and directories send it.

use super::*;

/// The value that is kept, and the warnings about it.
fn read(text: &str, read: impl FnOnce(&mut Fields, &str, &str) -> String) -> (String, Vec<Repair>) {
    let mut fields = Fields::default();
    let kept = read(&mut fields, "field", text);
    let mut repairs = Vec::new();
    for warning in fields.take_warnings() {
        assert_eq!(warning.field, "field");
        repairs.push(warning.repair);
    }
    fields.finish(()).expect("no decoration is refused");
    (kept, repairs)
}

#[test]
fn an_address_is_cleaned_or_ignored_and_never_refused() {
    use Repair::{Cleaned, Ignored};
    let long_zone = format!("fe80::1%{}", "x".repeat(200));
    let cases: &[(&str, &str, Option<Repair>)] = &[
        ("", "", None),
        ("203.0.113.7", "203.0.113.7", None),
        ("2001:DB8:0:0::1", "2001:db8::1", None),
        // One client, however its socket writes the address.
        ("::ffff:203.0.113.7", "203.0.113.7", None),
        ("::FFFF:cb00:7107", "203.0.113.7", None),
        ("203.0.113.7:4711", "203.0.113.7", Some(Cleaned)),
        ("203.0.113.7:0", "203.0.113.7", Some(Cleaned)),
        (" 203.0.113.7\t", "203.0.113.7", Some(Cleaned)),
        ("203.0.113.7\r\n", "203.0.113.7", Some(Cleaned)),
        ("\"203.0.113.7:80\"", "203.0.113.7", Some(Cleaned)),
        ("[2001:db8::1]", "2001:db8::1", Some(Cleaned)),
        ("[2001:db8::1]:443", "2001:db8::1", Some(Cleaned)),
        ("\"[2001:db8::1]:443\"", "2001:db8::1", Some(Cleaned)),
        (" 2001:db8::1 ", "2001:db8::1", Some(Cleaned)),
        ("fe80::1%eth0", "fe80::1", Some(Cleaned)),
        ("fe80::1%12", "fe80::1", Some(Cleaned)),
        ("[fe80::1%eth0]:443", "fe80::1", Some(Cleaned)),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7", Some(Cleaned)),
        ("::ffff:203.0.113.7%3", "203.0.113.7", Some(Cleaned)),
        ("unknown", "", Some(Ignored)),
        ("Unknown", "", Some(Ignored)),
        ("_hidden", "", Some(Ignored)),
        ("-", "", Some(Ignored)),
        ("null", "", Some(Ignored)),
        ("localhost", "", Some(Ignored)),
        ("300.1.1.1", "", Some(Ignored)),
        ("8.8.8", "", Some(Ignored)),
        ("010.1.1.1", "", Some(Ignored)),
        ("203.0.113.7:99999", "", Some(Ignored)),
        ("203.0.113.7:x", "", Some(Ignored)),
        ("203.0.113.7%eth0", "", Some(Ignored)),
        ("[203.0.113.7]", "", Some(Ignored)),
        ("[2001:db8::1]x", "", Some(Ignored)),
        ("[2001:db8::1]:", "", Some(Ignored)),
        ("[2001:db8::1", "", Some(Ignored)),
        ("2001:db8::1%", "", Some(Ignored)),
        ("%eth0", "", Some(Ignored)),
        ("203.0.113.7, 10.0.0.1", "", Some(Ignored)),
        ("203.0.113.7 10.0.0.1", "", Some(Ignored)),
        ("203.0.113.7\u{0}", "", Some(Ignored)),
        (" ", "", Some(Ignored)),
        (&long_zone, "", Some(Ignored)),
    ];
    for (text, kept, repair) in cases {
        let expected = ((*kept).to_owned(), Vec::from_iter(*repair));
        assert_eq!(read(text, Fields::ip), expected, "{text:?}");
    }
}

#[test]
fn texts_for_people_are_cut_and_cleaned() {
    use Repair::{Cleaned, Cut};
    let long = "x".repeat(20);
    let wide = "\u{1f600}".repeat(4);
    let cases: &[(&str, &str, &[Repair])] = &[
        ("", "", &[]),
        (" a b ", " a b ", &[]),
        ("0123456789", "0123456789", &[]),
        ("a\tb", "a b", &[Cleaned]),
        ("a\r\nb", "a b", &[Cleaned]),
        ("\u{7}a\u{85}", "a", &[Cleaned]),
        ("\n", "", &[Cleaned]),
        (&long, "xxxxxxxxxx", &[Cut]),
        // No letter is cut in two.
        (&wide, "\u{1f600}\u{1f600}", &[Cut]),
        ("a\tb\tc\td\te\tf\tg", "a b c d e", &[Cut, Cleaned]),
        // A control character behind the cut is not there any more.
        ("0123456789\t", "0123456789", &[Cut]),
    ];
    for (text, kept, repairs) in cases {
        let expected = ((*kept).to_owned(), repairs.to_vec());
        assert_eq!(read(text, Fields::decoration::<10>), expected, "{text:?}");
    }
}

#[test]
fn texts_that_need_their_end_are_ignored_when_they_are_too_long() {
    use Repair::{Cleaned, Ignored};
    let long = "x".repeat(11);
    for (text, kept, repairs) in [
        ("\"a\"", "\"a\"", vec![]),
        ("\"a\",\t\"b\"", "\"a\", \"b\"", vec![Cleaned]),
        (&long, "", vec![Ignored]),
    ] {
        let expected = (kept.to_owned(), repairs);
        assert_eq!(
            read(text, Fields::whole_decoration::<10>),
            expected,
            "{text:?}"
        );
    }
    // Another address would be worse than none.
    for (text, kept, repairs) in [
        ("a@b.example", "a@b.example", vec![]),
        (" a@b.example\n", "a@b.example", vec![]),
        ("a\t@b.example", "", vec![Ignored]),
        ("a@bb.example.org", "", vec![Ignored]),
    ] {
        let expected = (kept.to_owned(), repairs);
        assert_eq!(
            read(text, Fields::email_decoration::<11>),
            expected,
            "{text:?}"
        );
    }
}

#[test]
fn the_address_of_an_acting_person_is_evidence() {
    for (text, kept) in [
        ("", ""),
        ("unknown", ""),
        ("_hidden", ""),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ] {
        assert_eq!(
            read(text, Fields::acting_ip),
            (kept.to_owned(), vec![]),
            "{text:?}"
        );
    }
    for text in ["x", "203.0.113.7, 10.0.0.1", "-"] {
        let mut fields = Fields::default();
        fields.acting_ip("field", text);
        fields.finish(()).expect_err(text);
    }
}

#[test]
fn an_answer_has_few_warnings() {
    let mut fields = Fields::default();
    for _ in 0..PROBLEMS_MAX * 2 {
        fields.ip("field", "unknown");
    }
    assert_eq!(fields.take_warnings().len(), PROBLEMS_MAX);
}
