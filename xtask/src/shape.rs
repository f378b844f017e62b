//! `cargo xtask shape`: figures about how the code reads. It is a report, not a check.
//!
//! It reads the product's code: `crates/*/src` without tests and without generated code. With `--tests` it reads the
//! tests in `tests/` instead.

mod circles;
mod functions;
mod prose;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Args;

use self::{functions::Functions, prose::Prose};
use crate::shell::{self, command};

/// Options of `shape`.
#[derive(Args)]
pub(crate) struct Options {
    /// Also names this number of the longest functions.
    #[arg(long, value_name = "N")]
    longest: Option<usize>,
    /// Also names the functions with closures that `let` binds.
    #[arg(long)]
    closures: bool,
    /// Counts the functions of `tests/` instead of the product's.
    #[arg(long)]
    tests: bool,
    /// Counts only files under these paths.
    paths: Vec<PathBuf>,
}

/// A file of the product.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
}

impl Source {
    fn is_under(&self, paths: &[PathBuf]) -> bool {
        paths.iter().any(|path| self.path.starts_with(path))
    }
}

/// Prints the figures.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut sources = match options.tests {
        true => read_all(&[PathBuf::from("tests")])?,
        false => read_all(&source_directories(Path::new("crates"))?)?,
    };
    if !options.paths.is_empty() {
        sources.retain(|source| source.is_under(&options.paths));
    }
    let functions = Functions::of(&sources);
    let prose = Prose::of(&sources);

    println!("files                               {:>7}", sources.len());
    functions.print();
    prose.print();
    // Files of one test binary name each other freely, and no gateway embeds them.
    if !options.tests {
        circles::print(&sources);
        print_crates()?;
    }

    if let Some(count) = options.longest {
        functions.print_longest(count);
    }
    if options.closures {
        functions.print_let_closures();
    }
    Ok(())
}

fn source_directories(crates: &Path) -> Result<Vec<PathBuf>> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(crates).context("reading crates/")? {
        directories.push(entry?.path().join("src"));
    }
    Ok(directories)
}

fn read_all(directories: &[PathBuf]) -> Result<Vec<Source>> {
    let mut paths = Vec::new();
    for directory in directories {
        collect_paths(directory, &mut paths)?;
    }
    paths.sort();

    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let syntax =
            syn::parse_file(&text).with_context(|| format!("parsing {}", path.display()))?;
        sources.push(Source { path, text, syntax });
    }
    Ok(sources)
}

/// Adds the Rust files under a directory, except for tests and generated code.
fn collect_paths(directory: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?
    {
        let path = entry?.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if matches!(name, "generated" | "tests" | "target") {
            continue;
        }
        if path.is_dir() {
            collect_paths(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// Counts the dependencies of each embeddable crate.
fn print_crates() -> Result<()> {
    for package in [
        "portcullis-contract",
        "portcullis-validator-core",
        "portcullis-validator",
    ] {
        let tree = [
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--no-dedupe",
        ];
        let listed = shell::answer(command("cargo", tree)).context("cargo tree")?;
        let mut crates: Vec<_> = listed
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        crates.sort_unstable();
        crates.dedup();
        println!("crates below {package:<22} {:>7}", crates.len() - 1);
    }
    Ok(())
}

/// Returns a part of a whole, in percent.
fn percent(part: usize, whole: usize) -> f64 {
    per(part, whole, 100.0)
}

/// Returns the number of `part` for each `unit` of `whole`.
fn per(part: usize, whole: usize, unit: f64) -> f64 {
    part as f64 * unit / whole.max(1) as f64
}
