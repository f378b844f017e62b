//! `cargo xtask packages`: the Debian packages, the images and the chart, each checked by its own tools and started from
//! its own files.

mod charts;
mod debian;
mod image;
mod sbom;
mod service;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::dist;

/// Output of this chore.
const DIRECTORY: &str = "target/packages";
/// The version of everything that is packaged.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Options of `packages`.
#[derive(Args)]
pub(crate) struct Options {
    /// Take the programs from this directory instead of building them as `dist` does.
    #[arg(long, value_name = "DIRECTORY")]
    binaries: Option<PathBuf>,
    /// Make deploy/kubernetes anew from the chart.
    #[arg(long)]
    write_manifests: bool,
    /// Make only these.
    #[arg(long, value_enum)]
    only: Vec<Kind>,
}

/// A kind of package.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Debian,
    Images,
    Charts,
}

/// Makes and checks the packages.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wants = |kind| options.only.is_empty() || options.only.contains(&kind);
    if wants(Kind::Charts) {
        charts::check(options.write_manifests)?;
    }
    if !wants(Kind::Debian) && !wants(Kind::Images) {
        return Ok(());
    }

    let programs = match &options.binaries {
        Some(directory) => directory.clone(),
        None => dist::programs()?.into(),
    };
    for program in [dist::AUTHORITY, dist::SIDECAR] {
        let file = programs.join(program);
        ensure!(file.is_file(), "there is no {}", file.display());
    }
    if wants(Kind::Debian) {
        debian::make(&programs)?;
    }
    if wants(Kind::Images) {
        image::make(&programs)?;
    }
    Ok(())
}

/// Makes an empty directory.
fn fresh(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("emptying {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))
}

/// Copies a file, or a directory with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
        return Ok(());
    }
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
