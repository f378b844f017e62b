//! The certificate of a client, as the TLS handshake verified it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{ASN1Time, FromDer},
};

use crate::config::San;

/// The most names of one certificate. One with more has none here: it is not made for one service.
const NAMES_MAX: usize = 32;

/// The names of a verified certificate, and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(crate) names: Vec<San>,
    expires: SystemTime,
}

impl ClientCertificate {
    /// Reads a certificate that the handshake verified.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Self {
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Self {
                names: names(&certificate),
                expires: time(certificate.validity().not_after),
            },
            // The handshake's reader took it. Whatever this one dislikes names nobody, and ends at once.
            Err(_) => Self {
                names: Vec::new(),
                expires: UNIX_EPOCH,
            },
        }
    }

    /// The time until it expires.
    pub(crate) fn expires_in(&self, now: SystemTime) -> Duration {
        self.expires.duration_since(now).unwrap_or_default()
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<San> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for name in &extension.value.general_names {
        let parsed = match name {
            GeneralName::DNSName(dns) => San::dns(dns),
            GeneralName::URI(uri) => San::uri(uri),
            // Addresses and mail addresses do not name a service.
            _ => continue,
        };
        // A wildcard or a malformed name matches no caller.
        names.extend(parsed);
    }
    if names.len() > NAMES_MAX {
        names.clear();
    }
    names
}

fn time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(UNIX_EPOCH)
}
