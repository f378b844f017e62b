//! Page tokens: opaque, and bound to one caller, one rpc and one set of arguments.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Makes and reads page tokens.
pub struct PageTokens {
    /// The one that makes tokens.
    current: hmac::Key,
    /// Those that others were made with.
    others: Vec<hmac::Key>,
}

const TAG_BYTES: usize = 32;
/// The longest token that is read, in bytes: more than any position takes.
const TOKEN_BYTES_MAX: usize = 4096;

impl PageTokens {
    /// Makes and reads tokens with this secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self {
            current: hmac::Key::new(hmac::HMAC_SHA256, secret),
            others: Vec::new(),
        }
    }

    /// Also reads tokens of another secret.
    #[must_use]
    pub fn and_reads(mut self, secret: &[u8]) -> Self {
        self.others.push(hmac::Key::new(hmac::HMAC_SHA256, secret));
        self
    }

    /// Makes a token for the page after `position`, bound to `context` (the caller, the rpc and its arguments).
    #[must_use]
    pub fn make(&self, context: &[u8], position: &[u8]) -> String {
        let tag = hmac::sign(&self.current, &message(context, position));
        URL_SAFE_NO_PAD.encode([position, tag.as_ref()].concat())
    }

    /// Reads the position in a token of this context. None: the token is invalid, or its position is no `P`.
    #[must_use]
    pub fn read<P: TryFrom<Vec<u8>>>(&self, context: &[u8], token: &str) -> Option<P> {
        // Compared before decoding, so that a huge token costs nothing.
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (position, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        // A token of another caller, rpc or filter fails here, because its context is another.
        let message = message(context, position);
        let mut keys = std::iter::once(&self.current).chain(&self.others);
        // A token carries no number of its secret. There are few, so each is tried.
        if !keys.any(|key| hmac::verify(key, &message, tag).is_ok()) {
            return None;
        }
        position.to_vec().try_into().ok()
    }
}

/// The bytes that a tag covers. The length in front keeps a position from being taken for the beginning of a context.
fn message(context: &[u8], position: &[u8]) -> Vec<u8> {
    [&(position.len() as u64).to_be_bytes(), position, context].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_is_good_whole_and_in_its_context_only() {
        let tokens = PageTokens::new(b"secret");
        let token = tokens.make(b"ada lists hers", &[9; 16]);
        assert_eq!(tokens.read(b"ada lists hers", &token), Some([9_u8; 16]));
        assert_eq!(tokens.read::<[u8; 8]>(b"ada lists hers", &token), None);
        assert_eq!(tokens.read::<Vec<u8>>(b"eve lists hers", &token), None);
        assert_eq!(
            PageTokens::new(b"other").read::<Vec<u8>>(b"ada lists hers", &token),
            None
        );
        let rotated = PageTokens::new(b"other").and_reads(b"secret");
        assert_eq!(rotated.read(b"ada lists hers", &token), Some([9_u8; 16]));
        assert_eq!(rotated.read::<Vec<u8>>(b"eve lists hers", &token), None);
        for index in 0..token.len() {
            assert_eq!(
                tokens.read::<Vec<u8>>(b"ada lists hers", &token[..index]),
                None
            );
        }
        for bit in 0..token.len() * 8 {
            let mut flipped = token.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A request's strings are text; what is not does not get here.
            let Ok(flipped) = String::from_utf8(flipped) else {
                continue;
            };
            assert_eq!(
                tokens.read::<Vec<u8>>(b"ada lists hers", &flipped),
                None,
                "bit {bit}"
            );
        }
        for garbage in [
            format!("{token}A"),
            format!("{token}="),
            "é".repeat(32),
            "A".repeat(1 << 20),
        ] {
            assert_eq!(tokens.read::<Vec<u8>>(b"ada lists hers", &garbage), None);
        }
    }
}
