//! How upstreams read paths, as rules say it.

use serde::Deserialize;

/// How an upstream reads paths that servers read in different ways.
///
/// Say only what is true of the upstream: a wrong word here opens paths that other rules close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamReads {
    /// `%2F`.
    pub encoded_slash: Option<SlashReading>,
    /// `%2E`.
    pub encoded_dot: Option<DotReading>,
    /// `%25`, `%3F` and `%23`.
    pub encoded_delimiters: Option<EncodedReading>,
    /// Several slashes in a row.
    pub double_slash: Option<DoubleSlashReading>,
    /// `.` and `..` as segments.
    pub dot_segments: Option<DotSegmentReading>,
    /// `\` and `%5C`.
    pub backslash: Option<BackslashReading>,
    /// `;` and `%3B`.
    pub semicolon: Option<SemicolonReading>,
    /// Encoded characters that some upstreams fold to a separator, such as the full-width `／`.
    pub lookalikes: Option<LookalikeReading>,
}

/// The reading of `%2F`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SlashReading {
    /// As `/`.
    Separator,
    /// As a part of its segment. It stays `%2F` where the path is compared with patterns.
    Literal,
}

/// The reading of `%2E`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DotReading {
    /// As `.`. Segments of dots are read by `dot_segments`.
    Dot,
}

/// The reading of `%25`, `%3F` and `%23`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EncodedReading {
    /// Decoded once, as characters of their segment.
    Literal,
}

/// The reading of several slashes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DoubleSlashReading {
    /// As one slash.
    Merged,
    /// As slashes with empty segments between them.
    Kept,
}

/// The reading of `.` and `..` as segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DotSegmentReading {
    /// By RFC 3986, section 5.2.4. A path above the root is refused.
    Resolved,
    /// As names.
    Literal,
}

/// The reading of `\` and `%5C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BackslashReading {
    /// As `/`.
    Separator,
    /// As a character of its segment.
    Literal,
}

/// The reading of `;` and `%3B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SemicolonReading {
    /// As the begin of parameters, which are no part of the path up to the next slash. `%3B` stays refused.
    Parameters,
    /// As a character of its segment.
    Literal,
}

/// The reading of characters that some upstreams fold to a separator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LookalikeReading {
    /// As characters of their segment.
    Literal,
}
