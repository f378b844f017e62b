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
    resolve(&decoded, reads).map(Cow::Owned)
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
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match (digit(*high), digit(*low)) {
        (Some(high), Some(low)) => {
            let value = u8::try_from(high * 16 + low).map_err(|_| PathProblem::InvalidPercent)?;
            Ok((value, behind))
        }
        _ => Err(PathProblem::InvalidPercent),
    }
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
            "." | ".." => match reads.dot_segments {
                None => return Err(PathProblem::DotSegment),
                Some(DotSegmentReading::Literal) => segments.push(segment),
                Some(DotSegmentReading::Resolved) => {
                    if segment == ".." {
                        segments.pop().ok_or(PathProblem::AboveRoot)?;
                    }
                    // `/a/..` is `/`, and `/a/.` is `/a/`.
                    if is_last {
                        segments.push("");
                    }
                }
            },
            _ => segments.push(segment),
        }
    }

    let mut path = String::with_capacity(decoded.len());
    for segment in segments {
        path.push('/');
        path.push_str(segment);
    }
    Ok(path)
}
