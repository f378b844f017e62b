//! The files that a URL names.

use std::path::{Path, PathBuf};

use portcullis_contract::position::sha256;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Largest file that is read, in bytes. A bundle of all public authorities has about 250,000.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The names of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::postgres) struct Files {
    /// `sslrootcert`.
    pub(in crate::postgres) root: Option<PathBuf>,
    /// `sslcert` and `sslkey`.
    pub(in crate::postgres) client: Option<(PathBuf, PathBuf)>,
}

/// A chain of certificates and the key of the first one.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The contents of the files.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) client: Option<Identity>,
    digest: [u8; 32],
}

impl Files {
    /// Reads every file. The problem names the parameter of the URL, and quotes nothing of a file.
    pub(super) async fn read(&self) -> Result<Contents, String> {
        let mut contents = Contents::default();
        let mut digests = Vec::new();
        if let Some(file) = &self.root {
            let pem = read("sslrootcert", file).await?;
            digests.extend(sha256(&pem));
            contents.roots = certificates("sslrootcert", &pem)?;
        }
        if let Some((certificate, key)) = &self.client {
            let chain_pem = read("sslcert", certificate).await?;
            let key_pem = read("sslkey", key).await?;
            digests.extend(sha256(&chain_pem));
            digests.extend(sha256(&key_pem));
            let chain = certificates("sslcert", &chain_pem)?;
            let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| {
                "sslkey must be a private key in PEM form, without a passphrase".to_owned()
            })?;
            contents.client = Some((chain, key));
        }
        contents.digest = sha256(&digests);
        Ok(contents)
    }
}

impl Contents {
    /// A digest of files that were read, or of the reason why they were not. So no key is kept to compare it.
    pub(super) fn digest(read: &Result<Self, String>) -> [u8; 32] {
        match read {
            Ok(contents) => contents.digest,
            Err(problem) => sha256(problem.as_bytes()),
        }
    }
}

async fn read(parameter: &str, file: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "{parameter} must be a readable file: {}: {error}",
            file.display()
        )
    };
    let metadata = tokio::fs::metadata(file).await.map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(format!(
            "{parameter} must be a file of at most {FILE_BYTES_MAX} bytes: {}",
            file.display()
        ));
    }
    tokio::fs::read(file).await.map_err(unreadable)
}

fn certificates(parameter: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{parameter} must have certificates in PEM form")),
    }
}
