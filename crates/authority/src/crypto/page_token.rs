//! Page tokens: opaque, and good for one caller, one rpc and one set of arguments only.

use aws_lc_rs::hmac;
use base64::{Engine, encoded_len, engine::general_purpose::URL_SAFE_NO_PAD};

/// Makes and reads page tokens.
pub struct PageTokens(hmac::Key);

const TAG_BYTES: usize = 32;

impl PageTokens {
    /// Page tokens under this secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A token for the page after `position`, bound to `context` (the caller, the rpc and its arguments).
    #[must_use]
    pub fn make<const N: usize>(&self, context: &[u8], position: &[u8; N]) -> String {
        let tag = hmac::sign(&self.0, &message(context, position));
        URL_SAFE_NO_PAD.encode([position, tag.as_ref()].concat())
    }

    /// The position that a token of this context holds.
    #[must_use]
    pub fn read<const N: usize>(&self, context: &[u8], token: &str) -> Option<[u8; N]> {
        if Some(token.len()) != encoded_len(N + TAG_BYTES, false) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (position, tag) = bytes.split_at_checked(N)?;
        let position = position.try_into().ok()?;
        hmac::verify(&self.0, &message(context, &position), tag).ok()?;
        Some(position)
    }
}

fn message<const N: usize>(context: &[u8], position: &[u8; N]) -> Vec<u8> {
    // The length first: a longer position must not pass for a shorter one and the beginning of a context.
    [&N.to_be_bytes()[..], position, context].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_is_good_whole_and_in_its_context_only() {
        let tokens = PageTokens::new(b"secret");
        let token = tokens.make(b"ada lists hers", &[9; 16]);
        assert_eq!(tokens.read(b"ada lists hers", &token), Some([9; 16]));
        assert_eq!(tokens.read::<16>(b"eve lists hers", &token), None);
        assert_eq!(PageTokens::new(b"other").read::<16>(b"ada lists hers", &token), None);
        assert_eq!(tokens.read::<28>(b"ada lists hers", &token), None);
        for index in 0..token.len() {
            assert_eq!(tokens.read::<16>(b"ada lists hers", &token[..index]), None);
        }
        for bit in 0..token.len() * 8 {
            let mut flipped = token.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A request's strings are text; what is not does not get here.
            let Ok(flipped) = String::from_utf8(flipped) else { continue };
            assert_eq!(tokens.read::<16>(b"ada lists hers", &flipped), None, "bit {bit}");
        }
        for garbage in [format!("{token}A"), format!("{token}="), "é".repeat(32), "A".repeat(1 << 20)] {
            assert_eq!(tokens.read::<16>(b"ada lists hers", &garbage), None);
        }
    }
}
