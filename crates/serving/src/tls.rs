//! TLS of a listener, from the files that the configuration names.

use std::{fs, path::Path, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        Error, ServerConfig as TlsConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::{config::ConfigError, connections::Protocol};

/// Reads a certificate and its key, which are settings of `section`. None: the listener has no TLS.
///
/// # Errors
/// When only one is set, one cannot be read, or the two do not belong together.
pub fn read_tls(
    section: &str,
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<Option<TlsConfig>, ConfigError> {
    let certificate_setting = format!("{section}.tls_certificate_file");
    let key_setting = format!("{section}.tls_key_file");
    let (certificate, key) = match (certificate, key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        // With one file alone it would start without TLS, although the operator meant to have it.
        _ => {
            let problem = "must be set with tls_certificate_file, and the reverse";
            return Err(ConfigError::new(key_setting, problem));
        }
    };
    let chain = read_certificates(
        &certificate_setting,
        &read_file(&certificate_setting, certificate)?,
    )?;
    let private = read_private_key(&key_setting, &read_file(&key_setting, key)?)?;
    let tls = tls_config(chain, private).map_err(|error| {
        let problem = format!("must belong to {certificate_setting}: {error}");
        ConfigError::new(key_setting, problem)
    })?;
    Ok(Some(tls))
}

/// Returns an acceptor of TLS connections, for a listener of a protocol.
#[must_use]
pub fn acceptor(mut tls: TlsConfig, protocol: Protocol) -> TlsAcceptor {
    // A client that offers something else is refused in the handshake, with a clear error.
    tls.alpn_protocols = protocol.names().iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(tls))
}

/// Parses the certificates of a file.
///
/// # Errors
/// When there is none.
pub fn read_certificates(
    setting: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => {
            let problem = "must be a certificate chain in PEM form";
            Err(ConfigError::new(setting, problem))
        }
    }
}

/// Parses the private key of a file.
///
/// # Errors
/// When there is none.
pub fn read_private_key(setting: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, ConfigError> {
    // The error of the parser may quote a line of the file, and must not reach a log.
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| ConfigError::new(setting, "must be a private key in PEM form"))
}

/// Reads a file that a setting names.
///
/// # Errors
/// When it cannot be read.
pub fn read_file(setting: &str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(file).map_err(|error| {
        let problem = format!("must be a readable file: {error}");
        ConfigError::new(setting, problem)
    })
}

fn tls_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsConfig, Error> {
    // Named here, because the process has no default provider unless some crate installs one.
    let provider = Arc::new(aws_lc_rs::default_provider());
    // `with_single_cert` also compares the public keys of the two.
    TlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
}
