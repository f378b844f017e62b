//! The directory of a new authority: one that `init` makes, or that of the Debian package.

use std::{
    ffi::OsString,
    fs,
    io::ErrorKind,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use crate::failure::{Exit, Failure, Result};

/// The group of the packaged service (`packaging/debian`), and the only directory that its unit may write.
const PACKAGED_GROUP: &str = "portcullis";
const PACKAGED_STORE: &str = "sqlite:/var/lib/portcullis";

/// The configuration in the directory, and the sample of the sidecar's package beside it.
const CONFIGURATION: &str = "portcullis.toml";
const SAMPLES: [&str; 2] = [CONFIGURATION, "sidecar.toml"];

/// The digest in the sample. No authority starts with it, so a file that has it was never in use.
const PLACEHOLDER: &str = "\"0000000000000000000000000000000000000000000000000000000000000000\"";

/// The files of an authority, in the order in which they are put into a directory that exists. The configuration is the
/// last, because without it nothing starts.
const PARTS: [&str; 3] = ["tls", "master.key", CONFIGURATION];

/// Rights of the files that the service reads by its group. Certificates are for everybody: contexts name them.
const SHARED: [(&str, u32); 6] = [
    (".", 0o750),
    (CONFIGURATION, 0o640),
    ("tls", 0o755),
    ("tls/ca.pem", 0o644),
    ("tls/chain.pem", 0o644),
    ("tls/key.pem", 0o640),
];

/// A place for the files of a new authority.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A directory that does not exist yet, or is empty.
    New,
    /// The directory of the Debian package, with nothing but its samples.
    Packaged,
}

impl Place {
    /// Looks at a directory. Nothing is ever overwritten: a lost master key locks the database for good.
    pub(super) fn find(directory: &Path) -> Result<Self> {
        let names = match list(directory) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::New),
            // Not looked into further: what cannot be read may hold an installation.
            Err(_) => return Err(refusal(directory, "is no directory that can be used")),
        };
        if names.is_empty() {
            return Ok(Self::New);
        }
        let only_samples = names
            .iter()
            .all(|name| SAMPLES.iter().any(|sample| name == sample));
        // By the placeholder and not by the name: an operator's own configuration has the same
        // name.
        if only_samples && is_sample(&directory.join(CONFIGURATION)) {
            return Ok(Self::Packaged);
        }
        Err(refusal(directory, "is not empty"))
    }

    /// The database if none is named.
    pub(super) fn default_store(self, directory: &Path) -> String {
        match self {
            Self::New => format!("sqlite:{}", directory.join("data").display()),
            Self::Packaged => PACKAGED_STORE.to_owned(),
        }
    }

    /// The group that reads the files if none is named.
    pub(super) fn default_group(self) -> Option<&'static str> {
        match self {
            Self::New => None,
            Self::Packaged => Some(PACKAGED_GROUP),
        }
    }

    /// Puts files that are whole into the place.
    pub(super) fn take(self, part: &Path, directory: &Path) -> Result<()> {
        match self {
            Self::New => fs::rename(part, directory)?,
            Self::Packaged => {
                // File by file, because the package's own directory has to stay.
                for name in PARTS {
                    fs::rename(part.join(name), directory.join(name))?;
                }
                fs::remove_dir(part)?;
            }
        }
        Ok(())
    }
}

/// Lets a group read the files that a service of that group needs. The master key is not one of them: systemd reads it.
pub(super) fn share(directory: &Path, group: &str) -> Result<()> {
    let id = find_group(group)?;
    for (name, mode) in SHARED {
        let file = directory.join(name);
        // The group first. With the wider mode first, the group of the person who runs `init` could
        // read the key for a moment.
        chown(&file, None, Some(id))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn list(directory: &Path) -> std::io::Result<Vec<OsString>> {
    fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name()))
        .collect()
}

fn is_sample(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.contains(PLACEHOLDER))
}

fn refusal(directory: &Path, problem: &str) -> Failure {
    let message = format!("{} {problem}", directory.display());
    Failure::new(Exit::Conflict, message).hint("init overwrites nothing: name a new directory")
}

/// The number of a group, from `/etc/group`, where packages put the groups of their services.
fn find_group(name: &str) -> Result<u32> {
    let groups = fs::read_to_string("/etc/group")?;
    for line in groups.lines() {
        // name:password:number:members
        let mut fields = line.split(':');
        if fields.next() == Some(name)
            && let Some(number) = fields.nth(1)
            && let Ok(number) = number.parse()
        {
            return Ok(number);
        }
    }
    Err(Failure::usage(format!("--group: there is no group {name}")))
}
