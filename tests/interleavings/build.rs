//! Chooses the primitives of `crates/validator-core/src/sync.rs`. A feature would be there for every other package too.

#![allow(
    clippy::print_stdout,
    reason = "this is how a build script speaks to cargo"
)]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(interleavings)");
    println!("cargo:rustc-cfg=interleavings");
}
