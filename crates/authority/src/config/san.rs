//! A subject alternative name, by which a client certificate names its owner.

/// The longest name in bytes. A SPIFFE id has at most 2,048.
const URI_BYTES_MAX: usize = 2_048;
/// The longest DNS name in bytes.
const DNS_BYTES_MAX: usize = 253;

/// A subject alternative name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum San {
    /// A DNS name, in lower case.
    Dns(String),
    /// A URI, such as a SPIFFE id. It is compared byte by byte.
    Uri(String),
}

impl San {
    /// Reads a name of the configuration. A text with `://` is a URI, any other a DNS name.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains("://") {
            Self::uri(text)
        } else {
            Self::dns(text)
        }
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn uri(text: &str) -> Result<Self, &'static str> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("must be a URI with a scheme");
        };
        let has_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !has_scheme || rest.is_empty() || !is_visible || text.len() > URI_BYTES_MAX {
            return Err("must be a URI of visible ASCII, at most 2,048 bytes");
        }
        Ok(Self::Uri(text.to_owned()))
    }

    /// Reads a DNS name. A wildcard names no single owner, so it is refused.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn dns(text: &str) -> Result<Self, &'static str> {
        let is_name = text.len() <= DNS_BYTES_MAX && text.split('.').all(is_label);
        if !is_name {
            return Err("must be a URI, or a DNS name without a wildcard");
        }
        // Certificates spell DNS names in either case, and both mean one host (RFC 4343).
        Ok(Self::Dns(text.to_ascii_lowercase()))
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(is_label_byte)
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_uri_or_a_dns_name() {
        let dns = |name: &str| Ok(San::Dns(name.to_owned()));
        let uri = |name: &str| Ok(San::Uri(name.to_owned()));
        assert_eq!(San::parse("gate.example.org"), dns("gate.example.org"));
        assert_eq!(San::parse("Gate.Example.ORG"), dns("gate.example.org"));
        assert_eq!(San::parse("gate"), dns("gate"));
        assert_eq!(
            San::parse("spiffe://example.org/Gate"),
            uri("spiffe://example.org/Gate")
        );
        for refused in [
            "",
            ".",
            "gate.",
            "*.example.org",
            "gate example",
            "gate.example.org/path",
            "10.0.0.1:443",
            "é.example.org",
            "://example.org",
            "spiffe://",
            "spiffe://example.org/a b",
            "spiffe://example.org/\n",
            &"a".repeat(64),
            &format!("spiffe://{}", "a".repeat(URI_BYTES_MAX)),
        ] {
            assert!(San::parse(refused).is_err(), "{refused:?}");
        }
        // A URI is no DNS name, and the reverse.
        assert!(San::dns("spiffe://example.org").is_err());
        assert!(San::uri("gate.example.org").is_err());
    }
}
