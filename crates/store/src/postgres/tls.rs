//! TLS of the connections to PostgreSQL, with the meaning that libpq gives to `sslmode`.

mod files;
mod mode;
mod trust;

use std::{
    error::Error,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, client::Resumption,
};

use self::{files::Contents, trust::Trust};
pub(super) use self::{files::Files, mode::Mode};
use crate::sql::DbError;

/// The protocol's name in a handshake. PostgreSQL 17 requires it for a direct handshake.
const ALPN: &[u8] = b"postgresql";

/// The TLS of one URL. Its files may be replaced while connections are made.
pub(super) struct Tls {
    mode: Mode,
    files: Files,
    current: Mutex<Current>,
}

/// The files as they were read last.
#[derive(Default)]
struct Current {
    /// Stands for the files, whether they could be used or not.
    seen: Option<[u8; 32]>,
    /// Made from the last files that could be used.
    connector: Option<MakeRustlsConnect>,
}

impl Tls {
    pub(super) fn new(mode: Mode, files: Files) -> Self {
        Self {
            mode,
            files,
            current: Mutex::default(),
        }
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    #[cfg(test)]
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// Returns the maker of handshakes. Reads the files, so that replaced ones count from the next connection.
    ///
    /// # Errors
    /// When the files cannot be used and none before them could.
    pub(super) async fn connector(&self) -> Result<MakeRustlsConnect, DbError> {
        let read = match self.mode {
            // Files that nobody looks at must not stop a connection.
            Mode::Disable => Ok(Contents::default()),
            _ => self.files.read().await,
        };
        let seen = Contents::digest(&read);
        // Held for the rest, which does not await: two connections that meet new files must not
        // report them twice.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.seen == Some(seen)
            && let Some(connector) = &current.connector
        {
            return Ok(connector.clone());
        }
        let config = read.and_then(|contents| client_config(self.mode, contents));
        current.replace(seen, config)
    }
}

impl Current {
    /// Takes over files that were not seen before. If they cannot be used, those before still are.
    fn replace(
        &mut self,
        seen: [u8; 32],
        config: Result<ClientConfig, String>,
    ) -> Result<MakeRustlsConnect, DbError> {
        let is_first = self.seen.replace(seen).is_none();
        match (config, &self.connector) {
            (Ok(config), _) => {
                if !is_first {
                    tracing::info!("the TLS files of the database were replaced");
                }
                let connector = MakeRustlsConnect::new(config);
                self.connector = Some(connector.clone());
                Ok(connector)
            }
            // Once for each state of the files, because `connector` returns early for a state that was seen.
            (Err(problem), Some(before)) => {
                tracing::error!(
                    problem,
                    "the new TLS files of the database are not used; those before still are"
                );
                Ok(before.clone())
            }
            (Err(problem), None) => Err(DbError::Tls(problem)),
        }
    }
}

fn client_config(mode: Mode, contents: Contents) -> Result<ClientConfig, String> {
    // Named here, because the process has no default provider unless some crate installs one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = Trust::new(mode, contents.roots, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust));
    let mut config = match contents.client {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("sslkey must belong to sslcert: {error}"))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would not look at the server's certificate again, also after its end.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Whether another attempt without TLS may succeed where `prefer` allows one, as libpq makes it: the handshake failed, or
/// the server accepts this user and host only without TLS.
pub(super) fn may_work_without(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
        || describe_failure(error).is_some()
}

/// What went wrong with TLS in an error of connecting, and what to do. None: it was something else.
///
/// The texts hold names of certificates and of hosts, and no credential.
pub(super) fn describe_failure(error: &tokio_postgres::Error) -> Option<String> {
    if let Some(cause) = find_rustls(error) {
        return Some(describe_rustls(cause));
    }
    // The driver has no accessor for the kind of its errors. The tests hold these two texts.
    match error.to_string().as_str() {
        "error performing TLS handshake" => Some(describe_handshake(error)),
        "authentication error" => describe_authentication(error),
        _ => None,
    }
}

/// The failures before the handshake.
fn describe_handshake(error: &tokio_postgres::Error) -> String {
    let cause = cause_of(error);
    match cause.as_str() {
        "server does not support TLS" => {
            "the server has no TLS: set ssl = on in postgresql.conf, with ssl_cert_file and \
             ssl_key_file, or a weaker sslmode in the URL"
                .to_owned()
        }
        _ => format!("the handshake failed: {cause}"),
    }
}

fn describe_authentication(error: &tokio_postgres::Error) -> Option<String> {
    let cause = cause_of(error);
    cause.contains("channel binding").then(|| {
        "the server did not bind the password to the TLS connection, as channel_binding=require demands: \
         set password_encryption = scram-sha-256 and the password again, scram-sha-256 in pg_hba.conf, \
         and a certificate signed with RSA or ECDSA and SHA-256 to SHA-512"
            .to_owned()
    })
}

fn cause_of(error: &tokio_postgres::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

fn describe_rustls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => {
            let remedy = remedy_of(problem);
            format!("the server's certificate is refused ({problem}): {remedy}")
        }
        rustls::Error::AlertReceived(alert) => {
            let remedy = remedy_of_alert(*alert);
            format!("the server ended the handshake ({alert:?}): {remedy}")
        }
        other => format!(
            "the handshake failed ({other}): the server must offer TLS 1.2 or 1.3 with a certificate of RSA or ECDSA"
        ),
    }
}

fn remedy_of(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "name the host in the URL as the certificate does (with hostaddr for its address), or issue one for this name"
        }
        CertificateError::UnknownIssuer => {
            "name the certificate that signs the server's in sslrootcert"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew it, or set the clock of this machine"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "set the clock of this machine"
        }
        CertificateError::Other(_) => {
            "give the server a certificate of its own, signed by the one in sslrootcert: one of a certificate authority \
             (CA:TRUE) cannot be a server's"
        }
        _ => "give the server a certificate (X.509 version 3) that sslrootcert signs",
    }
}

fn remedy_of_alert(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired
        | AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError => {
            "name a client certificate of the server's ssl_ca_file in sslcert, and its key in sslkey"
        }
        _ => "its log says why",
    }
}

/// The error of rustls in a chain, which wraps it in errors of I/O.
fn find_rustls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>() {
            // The source of such an error is that of the wrapped one, which would be left out.
            Some(wrapper) => wrapper
                .get_ref()
                .map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}
