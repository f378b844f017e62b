//! Addresses of the lists, and of pages about one user or one session. Ids stand in them; names and email addresses never do.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The bytes that stand for themselves in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Stands before an id that a browser would take for a step in the path, or that begins with it.
const PLAIN: char = '=';

/// The list of users.
pub(super) const USERS: &str = "/team";
/// The list of sessions.
pub(super) const SESSIONS: &str = "/team/sessions";

/// The page of a user.
pub(crate) fn user(id: &str) -> String {
    // Browsers remove `.` and `..` from a path also when they are written with percent signs, so
    // encoding does not help.
    let needs_mark = matches!(id, "." | "..") || id.starts_with(PLAIN);
    let mark = if needs_mark { "=" } else { "" };
    format!("/team/users/{mark}{}", utf8_percent_encode(id, SEGMENT))
}

/// The id in a segment that [`user`] made.
pub(super) fn user_id(segment: &str) -> &str {
    segment.strip_prefix(PLAIN).unwrap_or(segment)
}

/// The page of a session. Its id is of letters and digits.
pub(crate) fn session(id: &str) -> String {
    format!("/sessions/{}", utf8_percent_encode(id, SEGMENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_address_whatever_it_is() {
        for id in [
            "ada", "a/b", "..", ".", "=", "=..", "a?b#c", "é ü", "100%", "a%2Fb", "<script>",
        ] {
            let address = user(id);
            let segment = address.strip_prefix("/team/users/").expect("a user's page");
            assert!(
                !segment.contains(['/', '?', '#', '<', '"', '\'', ' ']),
                "{segment}"
            );
            assert!(!matches!(segment, "." | ".."), "{segment}");
            let decoded = percent_encoding::percent_decode_str(segment)
                .decode_utf8()
                .expect("UTF-8");
            assert_eq!(user_id(&decoded), id);
        }
    }
}
