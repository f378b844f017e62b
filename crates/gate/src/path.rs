//! Paths: one reading, or none.
//!
//! A gate and its upstream must read a path alike. If they do not, a request passes by a rule for one resource and gets
//! another: `/public/..%2fadmin`. So a path that servers read in different ways is refused, unless the rule that decides
//! says how its upstream reads it.

use std::borrow::Cow;

use crate::reads::{
    BackslashReading, DotReading, DotSegmentReading, DoubleSlashReading, EncodedReading,
    SemicolonReading, SlashReading, UpstreamReads,
};

/// The problem with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// `%2F`.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `%2E`.
    #[error("the path has an encoded dot")]
    EncodedDot,
    /// `%25`, `%3F` or `%23`: an upstream that decodes twice would read another path.
    #[error("the path has an encoded percent sign, question mark or number sign")]
    EncodedDelimiter,
    /// `//`.
    #[error("the path has an empty segment")]
    DoubleSlash,
    /// `.` or `..` as a segment.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `\` or `%5C`.
    #[error("the path has a backslash")]
    Backslash,
    /// `;` or `%3B`.
    #[error("the path has a semicolon")]
    Semicolon,
    /// A character that some upstreams fold to a separator, such as the full-width `／`, or a segment that they fold to
    /// `.` or `..`.
    #[error("the path has a character that some servers read as a separator")]
    Lookalike,
    /// A segment that begins or ends with an encoded space or another white space: some servers trim it.
    #[error("the path has a segment with white space at its edge")]
    SpaceAtEdge,
    /// A percent sign without two hexadecimal digits.
    #[error("the path has an invalid percent-encoding")]
    InvalidPercent,
    /// A control character or a space, encoded or not. An encoded space is allowed.
    #[error("the path has a control character")]
    ControlCharacter,
    /// A character beyond ASCII that is not encoded.
    #[error("the path has a character that must be encoded")]
    NotAscii,
    /// Encoded bytes that are not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// More `..` than segments.
    #[error("the path leads above its root")]
    AboveRoot,
}

impl PathProblem {
    /// Returns the machine-readable reason.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::EncodedSlash => "encoded_slash",
            Self::EncodedDot => "encoded_dot",
            Self::EncodedDelimiter => "encoded_delimiter",
            Self::DoubleSlash => "double_slash",
            Self::DotSegment => "dot_segment",
            Self::Backslash => "backslash",
            Self::Semicolon => "semicolon",
            Self::Lookalike => "lookalike",
            Self::SpaceAtEdge => "space_at_edge",
            Self::InvalidPercent => "invalid_percent",
            Self::ControlCharacter => "control_character",
            Self::NotAscii => "not_ascii",
            Self::NotUtf8 => "not_utf8",
            Self::AboveRoot => "above_root",
        }
    }
}

/// Reads a path as the upstream does: decoded once, with `/` between segments and nowhere else.
///
/// A path of the usual characters costs one pass and no allocation.
pub(crate) fn read<'a>(path: &'a str, reads: &UpstreamReads) -> Result<Cow<'a, str>, PathProblem> {
    if is_plain(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path.as_bytes(), reads)?;
    let decoded = String::from_utf8(decoded).map_err(|_| PathProblem::NotUtf8)?;
    // Beyond ASCII there are more of them.
    if decoded.chars().any(char::is_control) {
        return Err(PathProblem::ControlCharacter);
    }
    // Before the segments are looked at: for an upstream that folds them, these characters would
    // make other segments.
    if reads.lookalikes.is_none() && has_lookalike(&decoded) {
        return Err(PathProblem::Lookalike);
    }
    // After decoding: an upstream resolves the dots and slashes that it sees then.
    resolve(&decoded, reads).map(Cow::Owned)
}

/// Returns whether an upstream that folds characters would find another structure in the path.
fn has_lookalike(decoded: &str) -> bool {
    !decoded.is_ascii() && (decoded.contains(folds_to_separator) || has_dot_lookalike(decoded))
}

/// Returns whether some servers fold a character to one of `/ \ ; % ? #`: by the compatibility forms of Unicode (NFKC), or
/// by the tables that Windows has for its older character sets.
fn folds_to_separator(character: char) -> bool {
    matches!(
        character,
        // /
        '\u{ff0f}' | '\u{2044}' | '\u{2215}' | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}'
        // \
        | '\u{ff3c}' | '\u{fe68}' | '\u{2216}'
        // ;
        | '\u{ff1b}' | '\u{fe54}' | '\u{fe14}' | '\u{37e}'
        // %
        | '\u{ff05}' | '\u{fe6a}'
        // ?
        | '\u{ff1f}' | '\u{fe56}' | '\u{fe16}' | '\u{2047}' | '\u{2048}' | '\u{2049}'
        // #
        | '\u{ff03}' | '\u{fe5f}'
    )
}

/// Returns whether a segment would be `.` or `..` after folding, and is not yet.
fn has_dot_lookalike(decoded: &str) -> bool {
    decoded.split('/').any(|segment| {
        let dots: Option<usize> = segment.chars().map(folded_dots).sum();
        !segment.is_ascii() && matches!(dots, Some(1 | 2))
    })
}

/// Returns the number of dots that a character is after folding. `None`: it is something else.
fn folded_dots(character: char) -> Option<usize> {
    match character {
        '.' | '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => Some(1),
        '\u{2025}' | '\u{fe30}' => Some(2),
        _ => None,
    }
}

/// Returns whether a path has no byte and no pair of bytes that needs a closer look.
fn is_plain(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        match byte {
            b'/' | b'.' if after_slash => return false,
            b'%' | b';' | b'\\' => return false,
            _ if !byte.is_ascii_graphic() => return false,
            _ => after_slash = byte == b'/',
        }
    }
    true
}

/// Decodes percent-encodings, and writes the separators that the upstream sees as `/`.
fn decode(path: &[u8], reads: &UpstreamReads) -> Result<Vec<u8>, PathProblem> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'%' => {
                // Decoded once, as the upstream does. What was decoded is never looked at for
                // another encoding.
                let (value, behind) = decode_byte(rest)?;
                rest = behind;
                push_encoded(&mut decoded, value, reads)?;
            }
            b'\\' => push_backslash(&mut decoded, reads)?,
            b';' => match reads.semicolon {
                None => return Err(PathProblem::Semicolon),
                Some(SemicolonReading::Literal) => decoded.push(b';'),
                Some(SemicolonReading::Parameters) => rest = skip_parameters(rest)?,
            },
            0x80.. => return Err(PathProblem::NotAscii),
            _ if byte.is_ascii_graphic() => decoded.push(byte),
            _ => return Err(PathProblem::ControlCharacter),
        }
    }
    Ok(decoded)
}

fn decode_byte(rest: &[u8]) -> Result<(u8, &[u8]), PathProblem> {
    let [high, low, behind @ ..] = rest else {
        return Err(PathProblem::InvalidPercent);
    };
    match (hex_digit(*high), hex_digit(*low)) {
        (Some(high), Some(low)) => {
            let value = u8::try_from(high * 16 + low).map_err(|_| PathProblem::InvalidPercent)?;
            Ok((value, behind))
        }
        _ => Err(PathProblem::InvalidPercent),
    }
}

fn hex_digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

fn push_encoded(
    decoded: &mut Vec<u8>,
    value: u8,
    reads: &UpstreamReads,
) -> Result<(), PathProblem> {
    match value {
        b'/' => match reads.encoded_slash {
            None => return Err(PathProblem::EncodedSlash),
            Some(SlashReading::Separator) => decoded.push(b'/'),
            // Not decoded: a slash here would be a separator.
            Some(SlashReading::Literal) => decoded.extend_from_slice(b"%2F"),
        },
        b'.' => match reads.encoded_dot {
            None => return Err(PathProblem::EncodedDot),
            Some(DotReading::Dot) => decoded.push(b'.'),
        },
        b'%' | b'?' | b'#' => match reads.encoded_delimiters {
            None => return Err(PathProblem::EncodedDelimiter),
            Some(EncodedReading::Literal) => decoded.push(value),
        },
        b'\\' => push_backslash(decoded, reads)?,
        b';' => match reads.semicolon {
            Some(SemicolonReading::Literal) => decoded.push(b';'),
            // Servers differ in whether they decode or cut parameters first.
            None | Some(SemicolonReading::Parameters) => return Err(PathProblem::Semicolon),
        },
        0..=0x1f | 0x7f => return Err(PathProblem::ControlCharacter),
        _ => decoded.push(value),
    }
    Ok(())
}

fn push_backslash(decoded: &mut Vec<u8>, reads: &UpstreamReads) -> Result<(), PathProblem> {
    match reads.backslash {
        None => return Err(PathProblem::Backslash),
        Some(BackslashReading::Separator) => decoded.push(b'/'),
        Some(BackslashReading::Literal) => decoded.push(b'\\'),
    }
    Ok(())
}

/// Skips the parameters of a segment, up to the next slash.
fn skip_parameters(rest: &[u8]) -> Result<&[u8], PathProblem> {
    let end = rest
        .iter()
        .position(|byte| *byte == b'/')
        .unwrap_or(rest.len());
    let (parameters, behind) = rest.split_at(end);
    // An encoded slash or a backslash in them could end the segment for the upstream.
    for &byte in parameters {
        match byte {
            b'%' | b'\\' => return Err(PathProblem::Semicolon),
            0x80.. => return Err(PathProblem::NotAscii),
            _ if !byte.is_ascii_graphic() => return Err(PathProblem::ControlCharacter),
            _ => {}
        }
    }
    Ok(behind)
}

/// Merges slashes and resolves dot segments, where the upstream does.
fn resolve(decoded: &str, reads: &UpstreamReads) -> Result<String, PathProblem> {
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = decoded.split('/');
    // Before the first slash there is nothing.
    parts.next();
    let mut parts = parts.peekable();
    while let Some(segment) = parts.next() {
        let is_last = parts.peek().is_none();
        match segment {
            "" if !is_last => match reads.double_slash {
                None => return Err(PathProblem::DoubleSlash),
                Some(DoubleSlashReading::Merged) => {}
                Some(DoubleSlashReading::Kept) => segments.push(""),
            },
            "." | ".." => push_dots(&mut segments, segment, is_last, reads)?,
            _ if segment.trim().len() < segment.len() => return Err(PathProblem::SpaceAtEdge),
            _ => segments.push(segment),
        }
    }
    Ok(join(&segments))
}

fn push_dots<'a>(
    segments: &mut Vec<&'a str>,
    dots: &'a str,
    is_last: bool,
    reads: &UpstreamReads,
) -> Result<(), PathProblem> {
    match reads.dot_segments {
        None => return Err(PathProblem::DotSegment),
        Some(DotSegmentReading::Literal) => segments.push(dots),
        Some(DotSegmentReading::Resolved) => {
            if dots == ".." {
                segments.pop().ok_or(PathProblem::AboveRoot)?;
            }
            // `/a/..` is `/`, and `/a/.` is `/a/`.
            if is_last {
                segments.push("");
            }
        }
    }
    Ok(())
}

fn join(segments: &[&str]) -> String {
    let bytes = segments.iter().map(|segment| segment.len() + 1).sum();
    let mut path = String::with_capacity(bytes);
    for segment in segments {
        path.push('/');
        path.push_str(segment);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reads::LookalikeReading;

    const NOTHING: UpstreamReads = UpstreamReads {
        encoded_slash: None,
        encoded_dot: None,
        encoded_delimiters: None,
        double_slash: None,
        dot_segments: None,
        backslash: None,
        semicolon: None,
        lookalikes: None,
    };

    fn check(reads: UpstreamReads, cases: &[(&str, Result<&str, PathProblem>)]) {
        for (path, expected) in cases {
            let found = read(path, &reads);
            let found = match &found {
                Ok(path) => Ok(path.as_ref()),
                Err(problem) => Err(*problem),
            };
            assert_eq!(found, *expected, "{path}");
        }
    }

    #[test]
    fn a_path_with_one_reading_is_decoded_and_any_other_is_refused() {
        use PathProblem::*;
        check(
            NOTHING,
            &[
                ("/", Ok("/")),
                ("/a/b", Ok("/a/b")),
                ("/a/", Ok("/a/")),
                ("/A-_.~!$&'()*+,=:@", Ok("/A-_.~!$&'()*+,=:@")),
                ("/.well-known/x", Ok("/.well-known/x")),
                ("/a/..b/.c/...", Ok("/a/..b/.c/...")),
                ("/%61dmin", Ok("/admin")),
                ("/a%20b", Ok("/a b")),
                ("/%C3%A4", Ok("/\u{e4}")),
                ("/%c3%a4", Ok("/\u{e4}")),
                ("/a%2fb", Err(EncodedSlash)),
                ("/a%2Fb", Err(EncodedSlash)),
                ("/a%2eb", Err(EncodedDot)),
                ("/%2e%2e/a", Err(EncodedDot)),
                ("/a%252fb", Err(EncodedDelimiter)),
                ("/a%3fb", Err(EncodedDelimiter)),
                ("/a%23b", Err(EncodedDelimiter)),
                ("//a", Err(DoubleSlash)),
                ("/a//b", Err(DoubleSlash)),
                ("/a//", Err(DoubleSlash)),
                ("/./a", Err(DotSegment)),
                ("/a/.", Err(DotSegment)),
                ("/a/..", Err(DotSegment)),
                ("/a/../b", Err(DotSegment)),
                ("/a\\b", Err(Backslash)),
                ("/a%5cb", Err(Backslash)),
                ("/a;b", Err(Semicolon)),
                ("/a%3Bb", Err(Semicolon)),
                ("/%20a", Err(SpaceAtEdge)),
                ("/a%20/b", Err(SpaceAtEdge)),
                ("/a%C2%A0", Err(SpaceAtEdge)),
                ("/%", Err(InvalidPercent)),
                ("/%a", Err(InvalidPercent)),
                ("/%zz", Err(InvalidPercent)),
                ("/%+1", Err(InvalidPercent)),
                ("/%u002f", Err(InvalidPercent)),
                ("/%00", Err(ControlCharacter)),
                ("/%0d%0a", Err(ControlCharacter)),
                ("/%7f", Err(ControlCharacter)),
                ("/%C2%85", Err(ControlCharacter)),
                ("/a b", Err(ControlCharacter)),
                ("/a\tb", Err(ControlCharacter)),
                ("/a\0b", Err(ControlCharacter)),
                ("/\u{e4}", Err(NotAscii)),
                // Full-width `/`, `\`, `.` and `;`, and what else folds to them.
                ("/a%EF%BC%8Fb", Err(Lookalike)),
                ("/..%ef%bc%8fa", Err(Lookalike)),
                ("/a%EF%BC%BCb", Err(Lookalike)),
                ("/a%EF%BC%9Bb", Err(Lookalike)),
                ("/a%EF%BC%852fb", Err(Lookalike)),
                ("/a%E2%88%95b", Err(Lookalike)),
                ("/%EF%BC%8E%EF%BC%8E/a", Err(Lookalike)),
                ("/a/.%E2%80%A4", Err(Lookalike)),
                ("/a/%E2%80%A5/b", Err(Lookalike)),
                ("/a%E2%80%A6", Ok("/a\u{2026}")),
                ("/%E2%80%A6/a", Ok("/\u{2026}/a")),
                ("/%EF%BC%A1%EF%BC%8E", Ok("/\u{ff21}\u{ff0e}")),
                // An overlong slash, a half of a pair, a byte alone.
                ("/%c0%af", Err(NotUtf8)),
                ("/%ed%a0%80", Err(NotUtf8)),
                ("/%ff", Err(NotUtf8)),
            ],
        );
    }

    #[test]
    fn each_reading_is_for_its_own_spelling() {
        use PathProblem::*;
        let slash = |reading| UpstreamReads {
            encoded_slash: Some(reading),
            ..NOTHING
        };
        check(
            slash(SlashReading::Separator),
            &[
                ("/a%2fb", Ok("/a/b")),
                ("/a%2f", Ok("/a/")),
                ("/a/%2fb", Err(DoubleSlash)),
                ("/a%2f..%2fb", Err(DotSegment)),
                ("/a%252fb", Err(EncodedDelimiter)),
                ("/a%5cb", Err(Backslash)),
            ],
        );
        check(
            slash(SlashReading::Literal),
            &[
                ("/a%2fb", Ok("/a%2Fb")),
                ("/a/%2f/b", Ok("/a/%2F/b")),
                ("/a/..%2fb", Ok("/a/..%2Fb")),
                ("/a/..", Err(DotSegment)),
            ],
        );
        let dots = |reading| UpstreamReads {
            dot_segments: Some(reading),
            ..NOTHING
        };
        check(
            dots(DotSegmentReading::Resolved),
            &[
                ("/a/./b", Ok("/a/b")),
                ("/a/../b", Ok("/b")),
                ("/a/b/..", Ok("/a/")),
                ("/a/..", Ok("/")),
                ("/a/.", Ok("/a/")),
                ("/..", Err(AboveRoot)),
                ("/a/../../b", Err(AboveRoot)),
                ("/a/%2e%2e/b", Err(EncodedDot)),
                ("/a//../b", Err(DoubleSlash)),
            ],
        );
        check(
            dots(DotSegmentReading::Literal),
            &[("/a/../b", Ok("/a/../b"))],
        );
        let encoded_dots = UpstreamReads {
            encoded_dot: Some(DotReading::Dot),
            ..NOTHING
        };
        check(
            encoded_dots,
            &[("/a%2eb", Ok("/a.b")), ("/%2e%2e/a", Err(DotSegment))],
        );
        check(
            UpstreamReads {
                dot_segments: Some(DotSegmentReading::Resolved),
                ..encoded_dots
            },
            &[("/a/%2e%2E/b", Ok("/b")), ("/a/.%2e/b", Ok("/b"))],
        );
    }

    #[test]
    fn a_reading_of_one_spelling_opens_no_other() {
        use PathProblem::*;
        let slashes = |reading| UpstreamReads {
            double_slash: Some(reading),
            ..NOTHING
        };
        check(
            slashes(DoubleSlashReading::Merged),
            &[
                ("//a///b", Ok("/a/b")),
                ("/a//", Ok("/a/")),
                ("//", Ok("/")),
            ],
        );
        check(
            slashes(DoubleSlashReading::Kept),
            &[("//a//b", Ok("//a//b")), ("//", Ok("//"))],
        );
        let backslash = |reading| UpstreamReads {
            backslash: Some(reading),
            ..NOTHING
        };
        check(
            backslash(BackslashReading::Separator),
            &[
                ("/a\\b", Ok("/a/b")),
                ("/a%5cb", Ok("/a/b")),
                ("/a\\..\\b", Err(DotSegment)),
            ],
        );
        check(
            backslash(BackslashReading::Literal),
            &[("/a\\b", Ok("/a\\b")), ("/a%5Cb", Ok("/a\\b"))],
        );
        let semicolon = |reading| UpstreamReads {
            semicolon: Some(reading),
            ..NOTHING
        };
        check(
            semicolon(SemicolonReading::Parameters),
            &[
                ("/a;v=1/b;x", Ok("/a/b")),
                ("/;x/a", Err(DoubleSlash)),
                ("/..;/a", Err(DotSegment)),
                ("/a;%2f", Err(Semicolon)),
                ("/a;\\", Err(Semicolon)),
                ("/a%3bb", Err(Semicolon)),
                ("/a;\u{e4}", Err(NotAscii)),
            ],
        );
        check(
            semicolon(SemicolonReading::Literal),
            &[("/a;b", Ok("/a;b")), ("/a%3bb", Ok("/a;b"))],
        );
        check(
            UpstreamReads {
                encoded_delimiters: Some(EncodedReading::Literal),
                ..NOTHING
            },
            &[
                ("/100%25", Ok("/100%")),
                ("/a%3fb%23", Ok("/a?b#")),
                ("/%252f", Ok("/%2f")),
            ],
        );
        check(
            UpstreamReads {
                lookalikes: Some(LookalikeReading::Literal),
                ..NOTHING
            },
            &[
                ("/a%ef%bc%8fb", Ok("/a\u{ff0f}b")),
                ("/%ef%bc%8e", Ok("/\u{ff0e}")),
                ("/a%2fb", Err(EncodedSlash)),
                ("/a%ef%bc%8f/../b", Err(DotSegment)),
            ],
        );
    }
}
