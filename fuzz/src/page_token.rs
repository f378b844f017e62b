//! Page tokens. A first byte says how many of the bytes after it are the context; the rest is the token.

use portcullis_authority::keys::PageTokens;

use crate::{Seed, mode};

const CONTEXT: &[u8] = b"ada lists hers";

fn tokens() -> PageTokens {
    PageTokens::new(b"a secret of the fuzzer's")
}

/// Throws bytes at the reader.
pub fn check(data: &[u8]) -> bool {
    let Some((length, rest)) = mode(data) else {
        return false;
    };
    let Some((context, token)) = rest.split_at_checked(length.into()) else {
        return false;
    };
    let Ok(token) = std::str::from_utf8(token) else {
        return false;
    };
    let Some(position) = tokens().read::<Vec<u8>>(context, token) else {
        return false;
    };
    assert_eq!(
        tokens().make(context, &position),
        token,
        "a text that was not made is read"
    );
    true
}

/// A good token, and the same in other contexts.
pub fn seeds() -> Vec<Seed> {
    let made = |context: &[u8]| tokens().make(context, &[9; 16]);
    let input = |context: &[u8], token: &str| {
        let length = u8::try_from(context.len()).expect("a short context");
        [&[length], context, token.as_bytes()].concat()
    };
    vec![
        Seed::good("good", input(CONTEXT, &made(CONTEXT))),
        Seed::good("no-context", input(b"", &made(b""))),
        Seed::bad("other-context", input(b"eve lists hers", &made(CONTEXT))),
        // The context's first byte handed over to the position, as it were.
        Seed::bad("shifted-context", input(&CONTEXT[1..], &made(CONTEXT))),
        Seed::bad("truncated", input(CONTEXT, &made(CONTEXT)[1..])),
    ]
}
