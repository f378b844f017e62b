//! TLS of the gRPC port, from the files that the configuration names.

use std::{fs, path::Path, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig as TlsConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::config::{ConfigError, ServerConfig};

const CERTIFICATE_FILE: &str = "server.tls_certificate_file";
const KEY_FILE: &str = "server.tls_key_file";

/// Reads the certificate and its key. None: the gRPC port has no TLS.
///
/// # Errors
/// When one cannot be read, or the two do not belong together.
pub(crate) fn read_tls(config: &ServerConfig) -> Result<Option<TlsAcceptor>, ConfigError> {
    let (Some(certificate), Some(key)) = (&config.tls_certificate_file, &config.tls_key_file)
    else {
        return Ok(None);
    };
    let chain = read_chain(certificate)?;
    let key = read_key(key)?;
    let tls = tls_config(chain, key).map_err(|error| unusable_key(&error.to_string()))?;
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = read_file(CERTIFICATE_FILE, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => {
            let problem = "has no certificate chain in PEM form";
            Err(ConfigError::new(CERTIFICATE_FILE, problem))
        }
    }
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let pem = read_file(KEY_FILE, file)?;
    PrivateKeyDer::from_pem_slice(&pem)
        // The error of the parser may quote a line of the file, and must not reach a log.
        .map_err(|_| unusable_key("it has no private key in PEM form"))
}

fn tls_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsConfig, tokio_rustls::rustls::Error> {
    // Named here, because the process has no default provider unless some crate installs one.
    let provider = Arc::new(aws_lc_rs::default_provider());
    // `with_single_cert` also compares the public keys of the two.
    let mut tls = TlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // gRPC is HTTP/2 only. A client that offers something else is refused in the handshake, with a clear error.
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Ok(tls)
}

fn unusable_key(cause: &str) -> ConfigError {
    let problem = format!("cannot be used with server.tls_certificate_file: {cause}");
    ConfigError::new(KEY_FILE, problem)
}

fn read_file(key: &str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(file).map_err(|error| ConfigError::new(key, error.to_string()))
}
