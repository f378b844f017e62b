//! A copy of the tree with all changes of a group in it, each behind a switch. A build for each change would take days.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    ops::Range,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    Group,
    switches::{self, ALLOW, Change, SWITCH},
};
use crate::shell::{self, command};

const DIRECTORY: &str = "target/mutants/suite";
/// The programs that tests read besides the files of the tree.
const TOOLS: &str = "target/tools";

/// A copy of this tree, in which the changes are made.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    target: PathBuf,
}

impl Tree {
    pub(super) fn copy() -> Result<Self> {
        let directory = std::env::current_dir()?.join(DIRECTORY);
        let root = directory.join("tree");
        let before = directory.join("before");
        remove(&before)?;
        if root.exists() {
            fs::rename(&root, &before).context("keeping the copy of before")?;
        }
        let args = [
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ];
        let files = shell::answer(command("git", args)).context("git does not list the files")?;
        for file in files.split('\0').filter(|file| Path::new(file).is_file()) {
            copy_file(Path::new(file), &root.join(file), &before.join(file))?;
        }
        remove(&before)?;
        fs::create_dir_all(root.join("target"))?;
        symlink(std::env::current_dir()?.join(TOOLS), root.join(TOOLS))?;
        let target = directory.join("build");
        Ok(Self { root, target })
    }

    /// Puts all changes behind switches, and takes out those that do not compile. Returns these.
    pub(super) fn switch_all(&self, group: &Group, changes: &[Change]) -> Result<BTreeSet<usize>> {
        let crate_root = Path::new(group.directory).join("src/lib.rs");
        let text = fs::read_to_string(&crate_root)?;
        fs::write(
            self.root.join(&crate_root),
            format!("{ALLOW}{text}{SWITCH}"),
        )?;

        let mut unmade = BTreeSet::new();
        loop {
            self.switch(changes, &mut unmade)?;
            let errors = self.check(group)?;
            if errors.is_empty() {
                return Ok(unmade);
            }
            let before = unmade.len();
            for error in &errors {
                unmade.extend(self.blamed(error)?);
            }
            println!("{} changes do not compile", unmade.len());
            if unmade.len() == before {
                bail!("the tree does not compile: {}", errors[0].text);
            }
        }
    }

    fn switch(&self, changes: &[Change], unmade: &mut BTreeSet<usize>) -> Result<()> {
        let mut files: BTreeMap<&str, Vec<(usize, &Change)>> = BTreeMap::new();
        for (number, change) in changes.iter().enumerate() {
            let of_file = files.entry(&change.file).or_default();
            if !unmade.contains(&number) {
                of_file.push((number, change));
            }
        }
        for (file, changes) in files {
            let source = fs::read_to_string(file)?;
            let switched = switches::switch(&source, &changes).with_context(|| file.to_owned())?;
            fs::write(self.root.join(file), switched.text)?;
            unmade.extend(switched.skipped);
        }
        Ok(())
    }

    /// The errors of the compiler.
    fn check(&self, group: &Group) -> Result<Vec<CompileError>> {
        let package = ["check", "--locked", "--package", group.package];
        let messages = self.cargo(&package, false)?;
        let errors = messages.iter().filter_map(CompileError::of);
        Ok(errors.collect())
    }

    /// The changes that an error is about: those at its first place that has any.
    fn blamed(&self, error: &CompileError) -> Result<Vec<usize>> {
        for (file, range) in &error.places {
            let file = self.root.join(file);
            if file.starts_with(&self.root) && file.is_file() {
                let blamed = switches::blamed(&fs::read_to_string(file)?, range.clone());
                if !blamed.is_empty() {
                    return Ok(blamed);
                }
            }
        }
        Ok(Vec::new())
    }

    /// Builds the programs and the tests. Returns the test binaries by the names of their targets.
    pub(super) fn build(&self) -> Result<BTreeMap<String, PathBuf>> {
        let build = ["build", "--locked", "--bins", "--tests", "--workspace"];
        // Neither has a test that these changes could fail, and the second compiles some of the files by itself.
        let others = [
            "--exclude",
            "portcullis-bench",
            "--exclude",
            "portcullis-interleavings",
        ];
        let messages = self.cargo(&[&build[..], &others].concat(), true)?;
        let mut binaries = BTreeMap::new();
        for message in &messages {
            let is_test = message["profile"]["test"] == Value::Bool(true);
            let (name, file) = (&message["target"]["name"], &message["executable"]);
            if let (true, Some(name), Some(file)) = (is_test, name.as_str(), file.as_str()) {
                binaries.insert(name.to_owned(), PathBuf::from(file));
            }
        }
        Ok(binaries)
    }

    /// Runs cargo in the copy, and returns its messages.
    fn cargo(&self, args: &[&str], must_succeed: bool) -> Result<Vec<Value>> {
        let format = if must_succeed {
            "json-render-diagnostics"
        } else {
            "json"
        };
        let output = command("cargo", args)
            .args(["--message-format", format])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("CARGO_INCREMENTAL", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cargo does not start")?;
        ensure!(
            output.status.success() || !must_succeed,
            "the copy with the changes does not build"
        );
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages = lines.lines().map(serde_json::from_str);
        Ok(messages.collect::<Result<_, _>>()?)
    }
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).context("removing the copy of before")?;
    }
    Ok(())
}

/// Copies a file. One that is as it was `before` keeps that time, by which cargo sees what is new.
fn copy_file(from: &Path, to: &Path, before: &Path) -> Result<()> {
    let parent = to.parent().context("a file has a directory")?;
    fs::create_dir_all(parent)?;
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    // Not the time of the file itself: an edit during the build of before would be older than what was built.
    if before.is_file() && fs::read(before)? == fs::read(from)? {
        let modified = fs::metadata(before)?.modified()?;
        File::options()
            .write(true)
            .open(to)?
            .set_modified(modified)?;
    }
    Ok(())
}

/// An error of the compiler.
struct CompileError {
    text: String,
    /// Its places, the most important first.
    places: Vec<(String, Range<usize>)>,
}

impl CompileError {
    fn of(message: &Value) -> Option<Self> {
        let message = &message["message"];
        let spans = message["spans"].as_array()?;
        // The last error only counts the others.
        if message["level"] != "error" || spans.is_empty() {
            return None;
        }
        let (primary, others): (Vec<_>, Vec<_>) = spans
            .iter()
            .partition(|span| span["is_primary"] == Value::Bool(true));
        let place = |span: &&Value| {
            let bound = |name: &str| usize::try_from(span[name].as_u64()?).ok();
            let file = span["file_name"].as_str()?.to_owned();
            Some((file, bound("byte_start")?..bound("byte_end")?))
        };
        Some(Self {
            text: message["rendered"].as_str().unwrap_or_default().to_owned(),
            places: primary.iter().chain(&others).filter_map(place).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_compiler_has_its_places_in_order() {
        let span = |file: &str, primary: bool| {
            serde_json::json!({
                "file_name": file, "byte_start": 2, "byte_end": 5, "is_primary": primary
            })
        };
        let message = |level: &str, spans: Vec<Value>| serde_json::json!({ "message": { "level": level, "rendered": "no", "spans": spans } });
        let error = CompileError::of(&message(
            "error",
            vec![span("b.rs", false), span("a.rs", true)],
        ));
        let error = error.expect("an error");
        assert_eq!(error.text, "no");
        assert_eq!(error.places, [("a.rs".into(), 2..5), ("b.rs".into(), 2..5)]);
        assert!(CompileError::of(&message("warning", vec![span("a.rs", true)])).is_none());
        assert!(CompileError::of(&message("error", vec![])).is_none());
    }
}
