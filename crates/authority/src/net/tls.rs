//! TLS of the ports, from the files that the configuration names. They may be replaced while it serves.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use portcullis_contract::position::sha256;
use portcullis_serving::{
    config::ConfigError,
    tls::{read_certificates, read_file, read_private_key},
};
use tokio::net::TcpStream;
use tokio_rustls::{
    Accept, TlsAcceptor,
    rustls::{
        Error, RootCertStore, ServerConfig as TlsConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer},
        server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};
use x509_parser::parse_x509_certificate;

use crate::config::ServerConfig;

const CERTIFICATE_FILE: &str = "server.tls_certificate_file";
const KEY_FILE: &str = "server.tls_key_file";
const CLIENT_CA_FILE: &str = "server.tls_client_ca_file";

/// TLS by the present content of the files. An open connection keeps its keys and settings.
pub(crate) struct Tls {
    files: Files,
    protocols: Protocols,
    current: ArcSwap<Current>,
    /// Stands for the files as they were read last, whether they could be used or not.
    seen: Mutex<[u8; 32]>,
}

/// The protocols that are offered in a handshake.
#[derive(Clone, Copy)]
enum Protocols {
    Http1,
    Http2,
    /// Some proxies before browsers speak HTTP/1.1 only.
    Http1And2,
}

/// The files, read and found usable.
struct Current {
    config: Arc<TlsConfig>,
    ends: Ends,
}

/// When the first certificate of a file ends, in seconds since 1970, by the key that names the file.
type Ends = Vec<(&'static str, i64)>;

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// The contents of the files.
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the certificate, its key, and the authorities of client certificates. None: the gRPC port has no TLS.
    ///
    /// # Errors
    /// When one cannot be read, or the certificate and the key do not belong together.
    pub(crate) fn open_grpc(config: &ServerConfig) -> Result<Option<Self>, ConfigError> {
        let protocols = match config.web_origins.is_empty() {
            true => Protocols::Http2,
            false => Protocols::Http1And2,
        };
        Self::open(config, config.tls_client_ca_file.clone(), protocols)
    }

    /// Reads the certificate and its key. None: the HTTP port has no TLS.
    ///
    /// # Errors
    /// As [`open_grpc`](Self::open_grpc).
    pub(crate) fn open_http(config: &ServerConfig) -> Result<Option<Self>, ConfigError> {
        if !config.http_tls {
            return Ok(None);
        }
        // No client needs a certificate there: everything on the port is for everybody who reaches it.
        Self::open(config, None, Protocols::Http1)
    }

    fn open(
        config: &ServerConfig,
        client_ca: Option<PathBuf>,
        protocols: Protocols,
    ) -> Result<Option<Self>, ConfigError> {
        let (Some(certificate), Some(key)) = (&config.tls_certificate_file, &config.tls_key_file)
        else {
            return Ok(None);
        };
        let files = Files {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca,
        };
        let contents = files.read()?;
        Ok(Some(Self {
            current: ArcSwap::from_pointee(contents.usable(protocols)?),
            seen: Mutex::new(contents.digest()),
            files,
            protocols,
        }))
    }

    /// Begins the handshake of a connection.
    pub(crate) fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        TlsAcceptor::from(Arc::clone(&self.current.load().config)).accept(stream)
    }

    /// When the first certificate of each file in use ends, in seconds since 1970. The files are named as their keys in
    /// `[server]`.
    pub(crate) fn certificate_ends(&self) -> Ends {
        self.current.load().ends.clone()
    }

    /// Takes the files over if they changed since the last look. None: they did not.
    ///
    /// # Errors
    /// When the new files cannot be used. Handshakes go on with those before. The same error is returned once.
    pub(crate) fn reload_if_changed(&self) -> Option<Result<(), ConfigError>> {
        let read = self.files.read();
        // An error counts as a content too. Otherwise a broken file would be reported at every
        // look.
        let digest = match &read {
            Ok(contents) => contents.digest(),
            Err(error) => sha256(error.to_string().as_bytes()),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == digest {
            return None;
        }
        *seen = digest;
        Some(self.replace(read))
    }

    fn replace(&self, read: Result<Contents, ConfigError>) -> Result<(), ConfigError> {
        // Files are replaced one after the other. A certificate beside the key of another is
        // refused here, and the next look finds the pair.
        let usable = read?.usable(self.protocols)?;
        self.current.store(Arc::new(usable));
        Ok(())
    }
}

impl Files {
    fn read(&self) -> Result<Contents, ConfigError> {
        let client_ca = self.client_ca.as_deref();
        Ok(Contents {
            certificate: read_file(CERTIFICATE_FILE, &self.certificate)?,
            key: read_file(KEY_FILE, &self.key)?,
            client_ca: client_ca
                .map(|file| read_file(CLIENT_CA_FILE, file))
                .transpose()?,
        })
    }
}

impl Contents {
    /// A digest, so that the key is not kept in memory to compare it.
    fn digest(&self) -> [u8; 32] {
        let ca = self.client_ca.as_deref().unwrap_or_default();
        let digests = [sha256(&self.certificate), sha256(&self.key), sha256(ca)];
        sha256(&digests.concat())
    }

    fn usable(&self, protocols: Protocols) -> Result<Current, ConfigError> {
        let config = Arc::new(self.tls_config(protocols)?);
        let mut ends = vec![(
            "tls_certificate_file",
            first_end(CERTIFICATE_FILE, &self.certificate)?,
        )];
        if let Some(client_ca) = &self.client_ca {
            ends.push(("tls_client_ca_file", first_end(CLIENT_CA_FILE, client_ca)?));
        }
        Ok(Current { config, ends })
    }

    fn tls_config(&self, protocols: Protocols) -> Result<TlsConfig, ConfigError> {
        let chain = read_certificates(CERTIFICATE_FILE, &self.certificate)?;
        let key = read_private_key(KEY_FILE, &self.key)?;
        // Named here, because the process has no default provider unless some crate installs one.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client_ca = self.client_ca.as_deref();
        let verifier = client_ca
            .map(|pem| client_verifier(pem, &provider))
            .transpose()?;
        let mut tls = tls_config(provider, verifier, chain, key)
            .map_err(|error| unusable_key(&error.to_string()))?;
        tls.alpn_protocols = protocols.names();
        Ok(tls)
    }
}

impl Protocols {
    /// Native gRPC is HTTP/2 only. A client that offers something else is refused in the handshake, with a clear error.
    fn names(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
            Self::Http1And2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// When the first certificate of a file ends, in seconds since 1970.
fn first_end(key: &str, pem: &[u8]) -> Result<i64, ConfigError> {
    let mut first = i64::MAX;
    for certificate in read_certificates(key, pem)? {
        let (_, certificate) = parse_x509_certificate(&certificate)
            .map_err(|_| ConfigError::new(key, "has a certificate that is not X.509"))?;
        first = first.min(certificate.validity().not_after.timestamp());
    }
    Ok(first)
}

/// Verifies the certificates of clients that have one. Users and services with a bearer have none.
fn client_verifier(
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(CLIENT_CA_FILE, pem)? {
        roots
            .add(certificate)
            .map_err(|error| unusable_ca(&error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable_ca(&error.to_string()))
}

fn tls_config(
    provider: Arc<CryptoProvider>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsConfig, Error> {
    let builder =
        TlsConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let verifies_clients = verifier.is_some();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    // `with_single_cert` also compares the public keys of the two.
    let mut tls = builder.with_single_cert(chain, key)?;
    if verifies_clients {
        // A resumed session would keep a client's certificate without looking at it again, also after its end.
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
    }
    Ok(tls)
}

fn unusable_key(cause: &str) -> ConfigError {
    let problem = format!("cannot be used with server.tls_certificate_file: {cause}");
    ConfigError::new(KEY_FILE, problem)
}

fn unusable_ca(cause: &str) -> ConfigError {
    ConfigError::new(CLIENT_CA_FILE, format!("cannot be used: {cause}"))
}
