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

use super::Protocol;
use crate::config::{ConfigError, ListenerConfig};

/// Reads the certificate and its key. None: the listener has no TLS.
///
/// # Errors
/// When one cannot be read, or the two do not belong together.
pub(crate) fn read_tls(
    listener: &ListenerConfig,
    section: &str,
) -> Result<Option<TlsConfig>, ConfigError> {
    let (Some(certificate), Some(key)) = (&listener.tls_certificate_file, &listener.tls_key_file)
    else {
        return Ok(None);
    };
    let certificate_key = format!("{section}.tls_certificate_file");
    let chain = read_chain(&certificate_key, certificate)?;
    let key_key = format!("{section}.tls_key_file");
    let key = read_key(&key_key, key)?;
    let tls = tls_config(chain, key).map_err(|error| {
        let problem = format!("must belong to {certificate_key}: {error}");
        ConfigError::new(key_key, problem)
    })?;
    Ok(Some(tls))
}

/// Returns what accepts connections with TLS, for a listener of a protocol.
pub(crate) fn acceptor(mut tls: TlsConfig, protocol: Protocol) -> TlsAcceptor {
    // A client that offers something else is refused in the handshake, with a clear error.
    let alpn: &[u8] = match protocol {
        Protocol::Http1 => b"http/1.1",
        Protocol::Http2 => b"h2",
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    TlsAcceptor::from(Arc::new(tls))
}

fn read_chain(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = read_file(key, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => {
            let problem = "must be a certificate chain in PEM form";
            Err(ConfigError::new(key, problem))
        }
    }
}

fn read_key(key: &str, file: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let pem = read_file(key, file)?;
    // The error of the parser may quote a line of the file, and must not reach a log.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| ConfigError::new(key, "must be a private key in PEM form"))
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

fn read_file(key: &str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(file).map_err(|error| {
        let problem = format!("must be a readable file: {error}");
        ConfigError::new(key, problem)
    })
}
