//! One context: an authority, and the credential for calls to it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::credential::{self, Source};
use crate::failure::{Failure, Result};

/// An authority, and the credential for calls to it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// `https://host:port`, or `http://` with a loopback address.
    pub(crate) address: String,
    /// PEM file with the certificates that may sign the authority's. Required with `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The tenant of commands that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// Allows `http` to other machines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) insecure: bool,
    /// PEM file with this caller's certificate, for an authority that knows callers by theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_certificate_file: Option<PathBuf>,
    /// PEM file with its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_key_file: Option<PathBuf>,
    /// Where the bearer string is kept. Unset: the certificate is the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<Source>,
}

impl Context {
    /// The bearer string. None if the certificate is the credential.
    pub(crate) async fn bearer(&self, name: &str) -> Result<Option<String>> {
        match &self.credential {
            Some(source) => Ok(Some(source.read(name).await?)),
            None => Ok(None),
        }
    }

    /// The certificates that may sign the authority's.
    pub(crate) fn ca_certificate(&self) -> Result<Option<Vec<u8>>> {
        self.ca_file.as_deref().map(read).transpose()
    }

    /// This caller's certificate and its key.
    pub(crate) fn client_certificate(&self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        match (&self.client_certificate_file, &self.client_key_file) {
            (Some(certificate), Some(key)) => {
                // Only the key is a secret: the certificate is shown to every server.
                credential::check_private(key)?;
                Ok(Some((read(certificate)?, read(key)?)))
            }
            (None, None) => Ok(None),
            _ => Err(Failure::usage(
                "client_certificate_file needs client_key_file, and the reverse",
            )),
        }
    }
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}
