//! The file of contexts. Only its owner may read or change it: it names programs that we run.

use std::{
    collections::BTreeMap,
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{credential, entry::Context};
use crate::{
    credentials::{create_directory, write_secret},
    failure::{Exit, Failure, Result},
};

/// All contexts of a person.
#[derive(Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that holds when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// Longest name of a context, in bytes.
const NAME_BYTES_MAX: usize = 64;

impl Contexts {
    /// The context of a name, or the current one.
    pub(crate) fn choose(mut self, name: Option<&str>) -> Result<(String, Context)> {
        // No default: a command that ends sessions must not choose the authority by itself.
        let Some(name) = name.map(str::to_owned).or(self.current) else {
            let failure = Failure::usage("no context is chosen");
            return Err(
                failure.hint("make one with `portcullis context set`, or name one with --context")
            );
        };
        match self.contexts.remove(&name) {
            Some(context) => Ok((name, context)),
            None => Err(no_such_context(&name)),
        }
    }
}

/// The failure for a name without a context.
pub(crate) fn no_such_context(name: &str) -> Failure {
    let failure = Failure::new(Exit::NotFound, format!("there is no context {name}"));
    failure.hint("`portcullis context list` shows all")
}

/// Fails if a name is not made of letters, digits, `.`, `-` and `_`.
pub(crate) fn check_name(name: &str) -> Result<String, String> {
    // A name becomes part of a file name in `credential_file`, so it must not have a slash.
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_name_byte) {
        return Err(format!(
            "must be 1 to {NAME_BYTES_MAX} letters, digits, points, hyphens and underscores"
        ));
    }
    Ok(name.to_owned())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

/// Where the contexts are kept.
pub(crate) struct ContextsFile(PathBuf);

impl ContextsFile {
    /// `PORTCULLIS_CONTEXTS_FILE`, or `portcullis/contexts.toml` where a person keeps settings.
    pub(crate) fn locate() -> Result<Self> {
        if let Some(file) = env::var_os("PORTCULLIS_CONTEXTS_FILE") {
            return Ok(Self(file.into()));
        }
        let settings = match env::var_os("XDG_CONFIG_HOME") {
            // The XDG specification has relative paths ignored: they would mean another file in
            // each directory.
            Some(directory) if Path::new(&directory).is_absolute() => PathBuf::from(directory),
            _ => match env::var_os("HOME") {
                Some(home) => Path::new(&home).join(".config"),
                None => {
                    return Err(Failure::usage(
                        "neither PORTCULLIS_CONTEXTS_FILE nor HOME is set",
                    ));
                }
            },
        };
        Ok(Self(settings.join("portcullis/contexts.toml")))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Reads it. Without a file there are no contexts.
    pub(crate) fn read(&self) -> Result<Contexts> {
        if !self.0.exists() {
            return Ok(Contexts::default());
        }
        // Somebody who may change the file may name a program that the next command runs.
        credential::check_private(&self.0)?;
        let text = fs::read_to_string(&self.0)
            .map_err(|error| Failure::usage(format!("{}: {error}", self.0.display())))?;
        toml::from_str(&text).map_err(|error| {
            // The message alone: the error's other form repeats the line.
            Failure::usage(format!("{}: {}", self.0.display(), error.message()))
        })
    }

    /// Replaces it as a whole.
    pub(crate) fn write(&self, contexts: &Contexts) -> Result<()> {
        let text =
            toml::to_string_pretty(contexts).map_err(|error| Failure::failed(error.to_string()))?;
        write_private(&self.0, &text)
    }

    /// Keeps a credential beside it, and returns the file.
    pub(crate) fn keep_credential(&self, name: &str, bearer: &str) -> Result<PathBuf> {
        let file = self.credential_file(name)?;
        write_private(&file, bearer)?;
        Ok(file)
    }

    /// Removes a credential that was kept.
    pub(crate) fn forget_credential(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.credential_file(name)?) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn credential_file(&self, name: &str) -> Result<PathBuf> {
        let directory = self.0.parent().unwrap_or(Path::new("."));
        let file = directory.join("credentials").join(format!("{name}.bearer"));
        // The context keeps this path, and later commands start in other directories.
        Ok(std::path::absolute(file)?)
    }
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    if !directory.as_os_str().is_empty() {
        create_directory(directory).map_err(|error| Failure::failed(format!("{error:#}")))?;
    }
    write_secret(file, text).map_err(|error| Failure::failed(format!("{error:#}")))
}
