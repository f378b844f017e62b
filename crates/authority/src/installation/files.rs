//! The files that a configuration names: the master key, the certificate with its key, the databases of places.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig as TlsConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use zeroize::Zeroizing;

use crate::{
    client_info::places::Places,
    config::{ConfigError, PlacesConfig, ServerConfig},
    keys::MasterKey,
};

/// Permissions that a master key's file must not give: anything to others, and more than reading to its group.
const MODE_FORBIDDEN: u32 = 0o037;

/// Reads the master key's file.
///
/// # Errors
/// When it cannot be read, does not hold a key, or is readable by others.
pub fn read_master_key(file: &Path) -> Result<MasterKey, ConfigError> {
    let invalid = |problem: String| ConfigError::new("keys.master_key_file", problem);
    let text = fs::read_to_string(file).map_err(|error| invalid(error.to_string()))?;
    let text = Zeroizing::new(text);
    let metadata = fs::metadata(file).map_err(|error| invalid(error.to_string()))?;

    let mode = metadata.permissions().mode() & 0o777;
    if mode & MODE_FORBIDDEN != 0 {
        let problem = format!("has mode {mode:04o}, and 0640 is the most: run chmod 600");
        return Err(invalid(problem));
    }
    let key = MasterKey::from_base64(&text)
        .ok_or_else(|| invalid("must hold 32 bytes in base64".into()))?;
    if key.is_constant() {
        let problem = "holds one byte 32 times: make a key with `openssl rand -base64 32`";
        return Err(invalid(problem.into()));
    }
    Ok(key)
}

/// Opens the databases of places.
///
/// # Errors
/// When one of them cannot be read or is damaged.
pub(crate) fn open_places(config: &PlacesConfig) -> Result<Places, ConfigError> {
    let city = config.city_database_file.as_deref();
    let network = config.network_database_file.as_deref();
    // Each alone first, so that the error names its key.
    for (key, file) in [
        ("places.city_database_file", city),
        ("places.network_database_file", network),
    ] {
        Places::open(file, None).map_err(|error| ConfigError::new(key, error.to_string()))?;
    }
    Places::open(city, network).map_err(|error| ConfigError::new("places", error.to_string()))
}

/// Reads the certificate and its key. None: the gRPC server has no TLS.
///
/// # Errors
/// When one cannot be read, or the two do not belong together.
pub(crate) fn tls(config: &ServerConfig) -> Result<Option<TlsAcceptor>, ConfigError> {
    let (Some(certificate), Some(key)) = (&config.tls_certificate_file, &config.tls_key_file)
    else {
        return Ok(None);
    };
    let chain = read("server.tls_certificate_file", certificate)?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        let problem = "has no certificate chain in PEM form";
        return Err(ConfigError::new("server.tls_certificate_file", problem));
    }
    let unusable = |cause: String| {
        let problem = format!("cannot be used with server.tls_certificate_file: {cause}");
        ConfigError::new("server.tls_key_file", problem)
    };
    let key = PrivateKeyDer::from_pem_slice(&read("server.tls_key_file", key)?)
        .map_err(|_| unusable("it has no private key in PEM form".into()))?;

    // The loader compares the public keys.
    let mut tls = TlsConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(error.to_string()))?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

fn read(key: &str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(file).map_err(|error| ConfigError::new(key, error.to_string()))
}
