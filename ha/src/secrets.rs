//! The passwords and bearers of one run.

use std::fmt::Write;

/// What an operator would draw once and keep.
pub(crate) struct Secrets {
    pub(crate) superuser: String,
    pub(crate) replication: String,
    pub(crate) database: String,
    /// The bearer that signs in and refreshes.
    pub(crate) login: String,
    /// The bearer that revokes.
    pub(crate) admin: String,
    /// The bearer of the gates.
    pub(crate) gateway: String,
}

impl Secrets {
    pub(crate) fn draw() -> Self {
        Self {
            superuser: draw_text(),
            replication: draw_text(),
            database: draw_text(),
            login: draw_text(),
            admin: draw_text(),
            gateway: draw_text(),
        }
    }
}

/// 32 random bytes in hexadecimal digits.
fn draw_text() -> String {
    let bytes: [u8; 32] = rand::random();
    let mut text = String::with_capacity(64);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
