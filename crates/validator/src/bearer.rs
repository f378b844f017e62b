//! The credential of a gate: given once, or in a file that may be replaced while it runs.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use portcullis_contract::position::sha256;
use portcullis_validator_core::BuildError;
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};

/// The largest file of a credential, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 10;

/// The credential of every call, in its newest form.
pub(crate) struct Bearer {
    /// None: it was given once.
    file: Option<PathBuf>,
    current: Mutex<Current>,
}

struct Current {
    /// None: the certificate names the caller.
    authorization: Option<MetadataValue<Ascii>>,
    /// Stands for the file as it was read last, whether it could be used or not.
    seen: [u8; 32],
}

impl Bearer {
    pub(crate) fn given(bearer: &str) -> Result<Self, BuildError> {
        let authorization = match bearer {
            "" => None,
            bearer => Some(parse(bearer)?),
        };
        Ok(Self::new(None, authorization, bearer))
    }

    pub(crate) fn of_file(file: PathBuf) -> Result<Self, BuildError> {
        let bearer = read(&file)?;
        let authorization = parse(&bearer)?;
        Ok(Self::new(Some(file), Some(authorization), &bearer))
    }

    fn new(
        file: Option<PathBuf>,
        authorization: Option<MetadataValue<Ascii>>,
        bearer: &str,
    ) -> Self {
        let current = Current {
            authorization,
            // A digest, so that the credential is not kept a second time to compare it.
            seen: sha256(bearer.as_bytes()),
        };
        Self {
            file,
            current: Mutex::new(current),
        }
    }

    /// Adds the newest credential to a call. Reads the file.
    pub(crate) fn authorize<T>(&self, request: &mut Request<T>) {
        if let Some(authorization) = self.newest() {
            request
                .metadata_mut()
                .insert("authorization", authorization);
        }
    }

    /// The newest credential that can be used.
    fn newest(&self) -> Option<MetadataValue<Ascii>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            current.update(read(file));
        }
        current.authorization.clone()
    }
}

impl Current {
    /// Takes the file as it was read, if it has changed and can be used.
    fn update(&mut self, read: Result<String, BuildError>) {
        let seen = match &read {
            Ok(bearer) => sha256(bearer.as_bytes()),
            Err(error) => sha256(error.problem.as_bytes()),
        };
        if seen == self.seen {
            return;
        }
        // Remembered before the text is judged: an unusable file is then logged once, not at each
        // call.
        self.seen = seen;
        match read.and_then(|bearer| parse(&bearer)) {
            Ok(authorization) => {
                tracing::info!("the bearer file was replaced");
                self.authorization = Some(authorization);
            }
            Err(error) => {
                tracing::error!(%error, "the new bearer file is not used; the bearer before still is");
            }
        }
    }
}

fn parse(bearer: &str) -> Result<MetadataValue<Ascii>, BuildError> {
    let Ok(mut authorization) = format!("Bearer {bearer}").parse::<MetadataValue<Ascii>>() else {
        return Err(BuildError {
            setting: "bearer",
            problem: "must be visible ASCII".into(),
        });
    };
    // Debug output of a request then leaves the credential out.
    authorization.set_sensitive(true);
    Ok(authorization)
}

fn read(file: &Path) -> Result<String, BuildError> {
    let mut text = String::new();
    File::open(file)
        .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| unusable(file, &error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let problem = format!("must be at most {FILE_BYTES_MAX} bytes");
        return Err(unusable(file, &problem));
    }
    // Editors end a file with a newline, which is not part of the credential.
    let bearer = text.trim_end_matches(['\r', '\n']);
    if bearer.is_empty() {
        return Err(unusable(file, "must not be empty"));
    }
    Ok(bearer.to_owned())
}

fn unusable(file: &Path, problem: &str) -> BuildError {
    BuildError {
        setting: "bearer_file",
        problem: format!("{}: {problem}", file.display()),
    }
}
