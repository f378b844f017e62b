//! Certificates of a certificate authority of the test's own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use portcullis_authority::config::Config;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
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

/// Makes an authority speak TLS with a certificate for `host`.
pub(crate) fn speak_tls(config: &mut Config, issuer: &Issuer, host: &str) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([host.to_owned()]).expect("a host");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let directory = config.keys.master_key_file.parent().expect("a directory");
    config.server.tls_certificate_file = Some(write(directory, "server.pem", &certificate.pem()));
    config.server.tls_key_file = Some(write(directory, "server.key", &key.serialize_pem()));
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, text).expect("a file");
    file
}
