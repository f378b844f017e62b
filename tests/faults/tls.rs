//! Certificates of a certificate authority of the test's own.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use portcullis_authority::config::Config;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};

/// A certificate authority.
pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Makes a certificate authority.
pub(crate) fn certificate_authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

/// A certificate and its key, in PEM form.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) key: String,
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The end of a certificate that no test outlives.
pub(crate) fn far() -> SystemTime {
    SystemTime::now() + HOUR
}

/// Makes the certificate of a server for `host`.
pub(crate) fn server_certificate(issuer: &Issuer, host: &str) -> Certificate {
    let mut params = CertificateParams::new([host.to_owned()]).expect("a host");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(issuer, &params)
}

/// Makes the certificate of a client for a user of PostgreSQL, who is its common name.
pub(crate) fn user_certificate(issuer: &Issuer, user: &str) -> Certificate {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(issuer, &params)
}

/// Makes the certificate of a client with these names, which ends at `expires`. A name with `://` is a URI.
pub(crate) fn client_certificate(
    issuer: &Issuer,
    names: &[&str],
    expires: SystemTime,
) -> Certificate {
    let mut params = CertificateParams::default();
    for name in names {
        let text = (*name).try_into().expect("ASCII");
        params.subject_alt_names.push(if name.contains("://") {
            SanType::URI(text)
        } else {
            SanType::DnsName(text)
        });
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = (SystemTime::now() - HOUR).into();
    params.not_after = expires.into();
    sign(issuer, &params)
}

fn sign(issuer: &Issuer, params: &CertificateParams) -> Certificate {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    Certificate {
        pem: certificate.pem(),
        key: key.serialize_pem(),
    }
}

/// Makes an authority speak TLS with a certificate for `host`.
pub(crate) fn speak_tls(config: &mut Config, issuer: &Issuer, host: &str) {
    let certificate = server_certificate(issuer, host);
    let directory = config.keys.master_key_file.parent().expect("a directory");
    config.server.tls_certificate_file = Some(write(directory, "server.pem", &certificate.pem));
    config.server.tls_key_file = Some(write(directory, "server.key", &certificate.key));
}

/// Makes an authority that speaks TLS verify the certificates of clients.
pub(crate) fn verify_clients(config: &mut Config, issuer: &Issuer) {
    let directory = config.keys.master_key_file.parent().expect("a directory");
    config.server.tls_client_ca_file = Some(write(directory, "clients.pem", &issuer.pem()));
}

/// Replaces a file as a whole.
pub(crate) fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    let new = directory.join(format!("{name}.new"));
    fs::write(&new, text).expect("a file");
    fs::rename(new, &file).expect("replaced");
    file
}
