//! The files of a `dev` data directory: its master key and the bearer strings of its callers.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
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
    /// Reads the file, or makes it.
    pub(crate) fn keep(directory: &Path) -> Result<Self> {
        let file = Self::file(directory);
        if !file.exists() {
            let bearer = || URL_SAFE_NO_PAD.encode(random::<32>());
            let fresh = Self {
                login: bearer(),
                admin: bearer(),
                gateway: bearer(),
                operator: bearer(),
            };
            write_secret(&file, &serde_json::to_string_pretty(&fresh)?)?;
        }
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `dev` wrote", file.display()))
    }

    /// Where they stand.
    pub(crate) fn file(directory: &Path) -> PathBuf {
        directory.join("dev-credentials.json")
    }

    /// The callers that an authority is configured with.
    pub(crate) fn callers(&self) -> Vec<CallerConfig> {
        let caller = |name: &str, bearer: &str, roles: &[Role]| CallerConfig {
            name: format!("dev-{name}"),
            bearer_sha256: sha256(bearer.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            roles: roles.to_vec(),
            tenant: None,
        };
        vec![
            caller("login", &self.login, &[Role::Login]),
            caller("admin", &self.admin, &[Role::Admin, Role::Support]),
            caller("gateway", &self.gateway, &[Role::Gateway]),
            caller("operator", &self.operator, &[Role::Operator]),
        ]
    }
}

/// Makes the data directory, for its owner only.
pub(crate) fn make_directory(directory: &Path) -> Result<()> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.with_context(|| format!("making {}", directory.display()))
}

/// The master key's file, made when there is none.
pub(crate) fn keep_master_key(directory: &Path) -> Result<PathBuf> {
    let file = directory.join("master.key");
    if !file.exists() {
        write_secret(&file, &MasterKey::generate().to_base64())?;
    }
    Ok(file)
}

/// Writes a file that only its owner can read, and that is whole or not there.
fn write_secret(file: &Path, text: &str) -> Result<()> {
    let part = file.with_extension("part");
    let write = || {
        let mut opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        opened.write_all(text.as_bytes())?;
        opened.sync_all()?;
        fs::rename(&part, file)
    };
    write().with_context(|| format!("writing {}", file.display()))
}
