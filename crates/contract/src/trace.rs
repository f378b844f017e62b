//! Trace context: the trace that a call belongs to (W3C Trace Context, section 3.2).

use std::fmt;

/// A `traceparent`: a trace, the calling span in it, and whether the trace is recorded.
///
/// The state and the baggage that may travel beside it are not read: they could carry personal data into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace. Not zero.
    pub trace_id: u128,
    /// The calling span. Not zero.
    pub span_id: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

/// The bytes of version, trace, span, flags, and the dashes between them.
const LENGTH: usize = 55;

impl TraceParent {
    /// Parses a header's value. A later version may append fields to the four of version 00: they are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Split by bytes: a header with other than ASCII text is not a trace parent, and must not panic.
        let (known, later) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let version = parse_hexadecimal(parts.next()?, 2)?;
        let trace_id = parse_hexadecimal(parts.next()?, 32)?;
        let span_id = parse_hexadecimal(parts.next()?, 16)?;
        let flags = parse_hexadecimal(parts.next()?, 2)?;

        let ends_well = match version {
            0 => later.is_empty(),
            // The standard reserves this version to mean that the header is invalid.
            0xff => false,
            _ => later.is_empty() || later.starts_with('-'),
        };
        // All zeros is how the standard writes an absent trace or span.
        if !ends_well || trace_id == 0 || span_id == 0 {
            return None;
        }
        Some(Self {
            trace_id,
            span_id: u64::try_from(span_id).ok()?,
            // The other flags say nothing about recording.
            sampled: flags & 1 == 1,
        })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id,
            self.span_id,
            u8::from(self.sampled)
        )
    }
}

/// Parses exactly this many digits. The standard allows small letters only.
fn parse_hexadecimal(text: &str, digits: usize) -> Option<u128> {
    // `from_str_radix` alone would also take capital letters and a sign.
    let is_plain = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != digits || !is_plain {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_parent_is_read_and_written_as_the_standard_says() {
        let parsed = TraceParent::parse(GOOD).expect("the standard's own example");
        assert_eq!(parsed.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(parsed.span_id, 0xb7ad_6b71_6920_3331);
        assert!(parsed.sampled);
        assert_eq!(parsed.to_string(), GOOD);
        let unsampled = TraceParent {
            sampled: false,
            ..parsed
        };
        assert_eq!(
            TraceParent::parse(&GOOD.replace("-01", "-00")),
            Some(unsampled)
        );
        assert_eq!(TraceParent::parse(&unsampled.to_string()), Some(unsampled));
    }

    #[test]
    fn a_later_version_may_say_more_and_this_one_may_not() {
        let parsed = TraceParent::parse(GOOD);
        assert_eq!(TraceParent::parse(&GOOD.replacen("00-", "01-", 1)), parsed);
        assert_eq!(
            TraceParent::parse(&format!("{}-more", GOOD.replacen("00-", "cc-", 1))),
            parsed
        );
        assert_eq!(
            TraceParent::parse(&format!("{}more", GOOD.replacen("00-", "cc-", 1))),
            None
        );
        assert_eq!(TraceParent::parse(&format!("{GOOD}-more")), None);
        assert_eq!(TraceParent::parse(&GOOD.replacen("00-", "ff-", 1)), None);
    }

    #[test]
    fn what_is_malformed_is_none() {
        let zeros = |digits: usize| "0".repeat(digits);
        let malformed = [
            String::new(),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &zeros(32)),
            GOOD.replace("b7ad6b7169203331", &zeros(16)),
            GOOD.replace("0af7", "+af7"),
            GOOD.replace("31-01", "3-101"),
            "é".repeat(40),
        ];
        for text in malformed {
            assert_eq!(TraceParent::parse(&text), None, "{text:?}");
        }
        for length in 0..GOOD.len() {
            assert_eq!(TraceParent::parse(&GOOD[..length]), None);
        }
    }
}
