//! The list of what a program is made of (CycloneDX), by cargo-cyclonedx from the lock file.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::copy;
use crate::{shell, tools};

/// The name that the tool is told to use. It writes such a file beside the manifest of every package.
const NAME: &str = "portcullis-sbom";
const ENDING: &str = ".json";

/// Writes the list of a package of the workspace.
pub(super) fn write(package: &str, file: &Path) -> Result<()> {
    let mut cyclonedx = tools::cargo_cyclonedx()?;
    cyclonedx.args(["--format", "json", "--override-filename", NAME]);
    cyclonedx.args(["--target", "all", "--no-build-deps", "--quiet"]);
    let written = shell::run(cyclonedx).and_then(|()| take(package, file));
    remove_all(Path::new("."))?;
    written
}

/// Copies the list of one package.
fn take(package: &str, file: &Path) -> Result<()> {
    let directory = package.strip_prefix("portcullis-").unwrap_or(package);
    let written = format!("crates/{directory}/{NAME}{ENDING}");
    copy(Path::new(&written), file)
}

/// Removes the lists beside the manifests. They are in no package of the workspace deeper than three directories.
fn remove_all(root: &Path) -> Result<()> {
    for pattern in ["", "crates", "examples"] {
        let directory = root.join(pattern);
        for entry in fs::read_dir(&directory).context("looking for lists")? {
            let list = entry?.path().join(format!("{NAME}{ENDING}"));
            if list.is_file() {
                fs::remove_file(&list).with_context(|| format!("removing {}", list.display()))?;
            }
        }
    }
    Ok(())
}
