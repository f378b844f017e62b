//! The certificates of a gate: given once, or in files that may be replaced while it runs.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use portcullis_contract::position::sha256;
use portcullis_validator_core::BuildError;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use x509_parser::pem::Pem;

use crate::cause::describe;

/// The files of a gate's TLS. They are read again when a connection is made, and before the certificate expires.
///
/// Replace each by renaming a new file over it. Files that cannot be used are reported once in the log, and the ones
/// before stay in use.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    ca_certificate: PathBuf,
    client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Names the certificate (PEM) that signs the authority's.
    #[must_use]
    pub fn new(ca_certificate: impl Into<PathBuf>) -> Self {
        Self {
            ca_certificate: ca_certificate.into(),
            client: None,
        }
    }

    /// Names the gate's own certificate (PEM, with its chain) and its private key.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client = Some((certificate.into(), key.into()));
        self
    }

    fn read(&self) -> Result<Pems, BuildError> {
        let client = match &self.client {
            Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
            None => None,
        };
        Ok(Pems {
            ca_certificate: Some(read(&self.ca_certificate)?),
            client,
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(file).map_err(|error| unusable("tls_files", &format!("{}: {error}", file.display())))
}

/// Certificates and a key, in PEM form.
#[derive(Clone, Default)]
pub(crate) struct Pems {
    pub(crate) ca_certificate: Option<Vec<u8>>,
    /// The gate's own certificate, and its key.
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Pems {
    /// A digest, so that the key is not kept a second time to compare it.
    fn digest(&self) -> [u8; 32] {
        let ca = self.ca_certificate.as_deref().unwrap_or_default();
        let (certificate, key) = match &self.client {
            Some((certificate, key)) => (&certificate[..], &key[..]),
            None => Default::default(),
        };
        sha256(&[sha256(ca), sha256(certificate), sha256(key)].concat())
    }

    /// Checks everything, so that the returned material can make connections.
    fn material(&self) -> Result<Material, BuildError> {
        let mut config = ClientTlsConfig::new();
        if let Some(pem) = &self.ca_certificate {
            // The transport leaves out what it cannot read, and would then trust nobody without a word.
            expiry_of("ca_certificate", pem)?;
            config = config.ca_certificate(Certificate::from_pem(pem));
        }
        let mut expires = None;
        if let Some((certificate, key)) = &self.client {
            expires = Some(expiry_of("client_certificate", certificate)?);
            config = config.identity(Identity::from_pem(certificate, key));
        }
        // The endpoint does not matter: this compares the certificate with its key.
        Endpoint::from_static("https://localhost")
            .tls_config(config.clone())
            .map_err(|error| unusable("client_certificate", &mismatch(&error)))?;
        Ok(Material { config, expires })
    }
}

/// Returns the end of the first certificate, or the error of a setting that has none.
fn expiry_of(setting: &'static str, pem: &[u8]) -> Result<SystemTime, BuildError> {
    first_expiry(pem).ok_or_else(|| unusable(setting, "has no certificate chain in PEM form"))
}

fn mismatch(error: &dyn Error) -> String {
    format!("cannot be used with its key: {}", describe(error))
}

/// The end of the first certificate, which is the owner's.
fn first_expiry(pem: &[u8]) -> Option<SystemTime> {
    let first = Pem::iter_from_buffer(pem).next()?.ok()?;
    let certificate = first.parse_x509().ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

fn unusable(setting: &'static str, problem: &str) -> BuildError {
    BuildError {
        setting,
        problem: problem.to_owned(),
    }
}

/// The settings of connections.
#[derive(Clone)]
pub(crate) struct Material {
    pub(crate) config: ClientTlsConfig,
    /// The end of the gate's own certificate. None: it has none.
    pub(crate) expires: Option<SystemTime>,
}

/// The certificates of a gate, in their newest form.
pub(crate) struct Tls {
    /// None: they were given once.
    files: Option<TlsFiles>,
    current: Mutex<Current>,
}

struct Current {
    material: Material,
    /// Stands for the files as they were read last, whether they could be used or not.
    seen: [u8; 32],
    /// Why the files as they were read last are not used.
    problem: Option<String>,
}

impl Tls {
    pub(crate) fn given(pems: &Pems) -> Result<Self, BuildError> {
        Self::new(None, pems)
    }

    pub(crate) fn of_files(files: TlsFiles) -> Result<Self, BuildError> {
        let pems = files.read()?;
        Self::new(Some(files), &pems)
    }

    fn new(files: Option<TlsFiles>, pems: &Pems) -> Result<Self, BuildError> {
        Ok(Self {
            files,
            current: Mutex::new(Current {
                material: pems.material()?,
                seen: pems.digest(),
                problem: None,
            }),
        })
    }

    /// Whether the gate has a certificate of its own.
    pub(crate) fn has_client_certificate(&self) -> bool {
        self.lock().material.expires.is_some()
    }

    /// Returns the reason for which the files, as they were read last, are not used. None: they are.
    pub(crate) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest certificates that can be used. Reads the files.
    pub(crate) fn newest(&self) -> Material {
        // The lock is held while the files are read, so that of two streams that look at once only
        // one logs a replaced file.
        let mut current = self.lock();
        if let Some(files) = &self.files {
            current.update(files.read());
        }
        current.material.clone()
    }
}

impl Current {
    /// Takes the files as they were read, if they have changed and can be used.
    fn update(&mut self, read: Result<Pems, BuildError>) {
        let seen = match &read {
            Ok(pems) => pems.digest(),
            // An unreadable file counts as contents too. A problem that stays is logged once, and
            // one that goes away is noticed.
            Err(error) => sha256(error.problem.as_bytes()),
        };
        if seen == self.seen {
            return;
        }
        // Remembered before the files are judged: files that cannot be used are then logged once,
        // not at each look.
        self.seen = seen;
        match read.and_then(|pems| pems.material()) {
            Ok(material) => {
                tracing::info!("the TLS files were replaced");
                self.material = material;
                self.problem = None;
            }
            Err(error) => {
                tracing::error!(%error, "the new TLS files are not used; those before still are");
                self.problem = Some(error.to_string());
            }
        }
    }
}
