//! The model: a package outside the workspace, because its checker asks for features of shared crates that would make the
//! whole workspace build anew. It shares the target directory, so most crates are built once.

use anyhow::Result;

use crate::{
    shell::{self, command},
    tools,
};

const MODEL: &str = "tests/model/Cargo.toml";
const MANIFESTS: [&str; 1] = [MODEL];

/// Runs the model whole.
pub(crate) fn test() -> Result<()> {
    for manifest in MANIFESTS {
        let mut test = cargo("test", manifest);
        test.arg("--locked");
        shell::run(test)?;
    }
    Ok(())
}

/// Checks the format of the model.
pub(crate) fn check_format() -> Result<()> {
    for manifest in MANIFESTS {
        let options = ["fmt", "--manifest-path", manifest, "--check"];
        shell::run(command("cargo", options))?;
    }
    Ok(())
}

/// Checks the code of the model.
pub(crate) fn clippy() -> Result<()> {
    for manifest in MANIFESTS {
        let mut clippy = cargo("clippy", manifest);
        clippy.args(["--all-targets", "--locked", "--", "-D", "warnings"]);
        shell::run(clippy)?;
    }
    Ok(())
}

/// Checks the dependencies by the rules of the workspace.
pub(crate) fn deny(checks: &[&str]) -> Result<()> {
    for manifest in MANIFESTS {
        let options = [
            "--manifest-path",
            manifest,
            "check",
            "--hide-inclusion-graph",
        ];
        // It needs fewer licences and has other duplicates than the rules know.
        let allow = [
            "--allow",
            "license-not-encountered",
            "--allow",
            "unmatched-skip",
        ];
        shell::run(tools::cargo_deny(&[&options, &allow[..], checks].concat())?)?;
    }
    Ok(())
}

fn cargo(chore: &str, manifest: &str) -> std::process::Command {
    let mut cargo = command("cargo", [chore, "--manifest-path", manifest]);
    cargo.args(["--target-dir", "target"]);
    cargo
}
