//! What the authority and the validator agree on: the generated messages, ids and texts parsed once, token
//! claims, the log's chain, and the view of the revocations in force.
//!
//! No I/O, no clock, no async runtime: everything here is a function of its arguments.

pub mod delta;
pub mod id;
pub mod key;
pub mod position;
pub mod text;
pub mod token;
pub mod trace;
pub mod verdict;
pub mod view;
pub mod watch;

/// The generated messages and service stubs of package `portcullis.v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod v1 {
    include!("generated/portcullis.v1.rs");
}

/// The encoded `FileDescriptorSet` of `proto/`, for reflection and for tests that walk every rpc.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor.bin");

/// Random bytes from the system's generator.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}
