//! The files of a `dev` data directory: its master key and the bearer strings of its callers.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_authority::{
    config::{CallerConfig, Role},
    keys::MasterKey,
};
use portcullis_contract::{position::sha256, random};
use serde::{Deserialize, Serialize};

/// `dev-credentials.json`: a bearer string for each kind of caller.
#[derive(Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) login: String,
    pub(crate) admin: String,
    pub(crate) gateway: String,
    pub(crate) operator: String,
}

impl Credentials {
    /// Reads the file. Creates it first if there is none.
    pub(crate) fn read_or_create(directory: &Path) -> Result<Self> {
        let file = Self::file(directory);
        if !file.exists() {
            write_secret(&file, &serde_json::to_string_pretty(&Self::generate())?)?;
        }
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is not a file that `dev` wrote; delete it to create a new one",
                file.display()
            )
        })
    }

    /// Path of the file in a data directory.
    pub(crate) fn file(directory: &Path) -> PathBuf {
        directory.join("dev-credentials.json")
    }

    fn generate() -> Self {
        Self {
            login: generate_bearer(),
            admin: generate_bearer(),
            gateway: generate_bearer(),
            operator: generate_bearer(),
        }
    }

    /// The callers to configure the authority with.
    pub(crate) fn callers(&self) -> Vec<CallerConfig> {
        vec![
            caller("login", &self.login, &[Role::Login]),
            caller("admin", &self.admin, &[Role::Admin, Role::Support]),
            caller("gateway", &self.gateway, &[Role::Gateway]),
            caller("operator", &self.operator, &[Role::Operator]),
        ]
    }
}

/// A bearer string that nobody guesses.
pub(crate) fn generate_bearer() -> String {
    // This alphabet has no dot, by which the authority tells an access token from a bearer string.
    URL_SAFE_NO_PAD.encode(random::<32>())
}

/// Returns the digest of a bearer string, in hexadecimal digits.
pub(crate) fn digest(bearer: &str) -> String {
    sha256(bearer.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn caller(name: &str, bearer: &str, roles: &[Role]) -> CallerConfig {
    CallerConfig {
        name: format!("dev-{name}"),
        bearer_sha256: Some(digest(bearer)),
        san: None,
        roles: roles.to_vec(),
        // Over all tenants: the demonstration's people are of two, and gates are admitted for all
        // tenants only.
        tenant: None,
        bearers: Vec::new(),
    }
}

/// Creates the data directory, accessible to its owner only.
pub(crate) fn create_directory(directory: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        // The mode holds for a new directory only. An existing one keeps its own.
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("creating {}", directory.display()))
}

/// Creates the file of the master key if there is none, and returns its path.
pub(crate) fn create_master_key(directory: &Path) -> Result<PathBuf> {
    let file = directory.join("master.key");
    if !file.exists() {
        write_secret(&file, &MasterKey::generate().to_base64())?;
    }
    Ok(file)
}

/// Writes a file that only its owner can read. The rename makes it appear complete or not at all: half a master key
/// after a crash would lock the database for good.
pub(crate) fn write_secret(file: &Path, text: &str) -> Result<()> {
    // Beside the file, because a rename within one directory is whole or not at all.
    let part = file.with_extension("part");
    write_synced(&part, text)
        .and_then(|()| fs::rename(&part, file))
        .with_context(|| format!("writing {}", file.display()))
}

/// Writes a file as [`write_secret`] does, with the owner and the rights of the file that it replaces: a service that
/// could read the old one by its group can then read the new one. A file that is new gets this mode.
pub(crate) fn replace_file(file: &Path, text: &str, mode: u32) -> Result<()> {
    let part = file.with_extension("part");
    write_synced(&part, text)
        .and_then(|()| keep_rights(file, &part, mode))
        .and_then(|()| fs::rename(&part, file))
        .with_context(|| format!("writing {}", file.display()))
}

fn keep_rights(replaced: &Path, new: &Path, mode: u32) -> io::Result<()> {
    let before = match fs::metadata(replaced) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fs::set_permissions(new, Permissions::from_mode(mode));
        }
        Err(error) => return Err(error),
    };
    // The owner first. With the wider rights first, the group of the wrong owner could read the
    // file for a moment.
    chown(new, Some(before.uid()), Some(before.gid()))?;
    fs::set_permissions(new, before.permissions())
}

fn write_synced(file: &Path, text: &str) -> io::Result<()> {
    let mut opened = OpenOptions::new()
        .write(true)
        .create(true)
        // A part that a crash has left behind is written anew.
        .truncate(true)
        // From its first byte: with the rights of the umask others could open the file before a
        // chmod.
        .mode(0o600)
        .open(file)?;
    opened.write_all(text.as_bytes())?;
    // Before the rename, or a power failure could leave the name with an empty file.
    opened.sync_all()
}
