//! Checkpoints. A first byte of 0: a code of 40 bytes, then the checkpoint. 1: the code is computed first, so that what
//! follows it is reached.

use portcullis_authority::keys::{MasterKey, MasterKeys};
use prost::bytes::Bytes;

use crate::{Seed, mode, snapshot, with_mode, world::VIEW};

/// The id of the master key, and 32 bytes.
const CODE_BYTES: usize = 8 + 32;

fn master() -> MasterKeys {
    MasterKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        .expect("32 bytes")
        .into()
}

/// Throws bytes at authentication and decoder.
pub fn check(data: &[u8]) -> bool {
    match mode(data) {
        Some((0, data)) => {
            let Some((code, bytes)) = data.split_at_checked(CODE_BYTES) else {
                return false;
            };
            let opened = master()
                .open_checkpoint(Bytes::copy_from_slice(bytes), code)
                .is_ok();
            assert!(
                !opened || master().authenticate(bytes) == code,
                "a forged checkpoint is opened"
            );
            opened
        }
        Some((1, bytes)) => {
            let code = master().authenticate(bytes);
            let opened = master()
                .open_checkpoint(Bytes::copy_from_slice(bytes), &code)
                .is_ok();
            assert_eq!(opened, snapshot::check(bytes));
            opened
        }
        _ => false,
    }
}

/// An authentic checkpoint, and some that are not.
pub fn seeds() -> Vec<Seed> {
    let bytes = VIEW.encode();
    let code = master().authenticate(&bytes);
    let sealed = |code: &[u8], bytes: &[u8]| with_mode(0, [code, bytes].concat());
    let mut flipped = code.clone();
    flipped[0] ^= 1;
    vec![
        Seed::good("good", sealed(&code, &bytes)),
        Seed::bad("flipped", sealed(&flipped, &bytes)),
        Seed::bad("truncated", sealed(&code, &bytes[..bytes.len() - 1])),
        Seed::good("authentic", with_mode(1, &bytes)),
        Seed::bad("authentic-garbage", with_mode(1, "garbage")),
    ]
}
