//! The certificates of a new authority: one that signs, and the server's, which it has signed.

use std::{fs, net::IpAddr, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use x509_parser::{extensions::GeneralName, pem::Pem};

use crate::{
    credentials::replace_file,
    failure::{Failure, Result},
};

/// How long the signing certificate holds.
const AUTHORITY_DAYS: i64 = 3650;

/// How long the server's certificate holds. Clients of the web accept no longer one.
const SERVER_DAYS: i64 = 397;

/// The modes of keys and certificates. Certificates are copied to gates, whose services have to read the copies.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// A certificate and its key, in PEM form.
struct Pair {
    certificate: String,
    key: String,
}

/// The signing certificate and its key.
pub(super) struct SigningAuthority(Pair);

/// Everything that `init` writes below `tls`.
pub(super) struct Certificates {
    authority: Pair,
    server: Pair,
}

impl Certificates {
    /// Makes both for these hosts.
    pub(super) fn generate(hosts: &[String]) -> Result<Self> {
        SigningAuthority(generate_authority()?).issue(hosts)
    }

    /// Reads the signing certificate that an earlier `init` has made.
    pub(super) fn read_authority(directory: &Path) -> Result<SigningAuthority> {
        Ok(SigningAuthority(Pair {
            certificate: read(&directory.join("ca.pem"))?,
            key: read(&directory.join("ca.key"))?,
        }))
    }

    /// Writes all of them.
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        write(
            &directory.join("ca.pem"),
            &self.authority.certificate,
            PUBLIC,
        )?;
        write(&directory.join("ca.key"), &self.authority.key, PRIVATE)?;
        self.write_server(directory)
    }

    /// Writes those of the server, each by a rename, as a running authority wants it.
    pub(super) fn write_server(&self, directory: &Path) -> Result<()> {
        write(&directory.join("key.pem"), &self.server.key, PRIVATE)?;
        write(
            &directory.join("chain.pem"),
            &self.server.certificate,
            PUBLIC,
        )
    }
}

/// The hosts of the certificate that the server has.
pub(super) fn read_hosts(directory: &Path) -> Result<Vec<String>> {
    let file = directory.join("chain.pem");
    let text = read(&file)?;
    let hosts = hosts_of(text.as_bytes()).filter(|hosts| !hosts.is_empty());
    hosts.ok_or_else(|| {
        let failure = Failure::usage(format!("{}: no certificate with a host", file.display()));
        failure.hint("name each host with --host")
    })
}

fn hosts_of(pem: &[u8]) -> Option<Vec<String>> {
    let first = Pem::iter_from_buffer(pem).next()?.ok()?;
    let certificate = first.parse_x509().ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut hosts = Vec::new();
    for name in &names.value.general_names {
        match name {
            GeneralName::DNSName(name) => hosts.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => hosts.push(ip_of(bytes)?.to_string()),
            _ => {}
        }
    }
    Some(hosts)
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(bytes.into());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(bytes.into())
}

impl SigningAuthority {
    /// Makes a certificate of a server for these hosts.
    pub(super) fn issue(self, hosts: &[String]) -> Result<Certificates> {
        let server = generate_server(&self.0, hosts).map_err(|error| {
            Failure::usage(format!(
                "no certificate can be made for these hosts: {error}"
            ))
        })?;
        Ok(Certificates {
            authority: self.0,
            server,
        })
    }
}

fn generate_authority() -> Result<Pair> {
    let mut params = CertificateParams::default();
    // It may sign servers and no further authority: clients refuse a longer chain.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "Portcullis authority");
    set_dates(&mut params, AUTHORITY_DAYS);
    let made = KeyPair::generate().and_then(|key| {
        let certificate = params.self_signed(&key)?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    });
    made.map_err(|error| Failure::failed(format!("no certificate can be made: {error}")))
}

fn generate_server(authority: &Pair, hosts: &[String]) -> Result<Pair, rcgen::Error> {
    let signing_key = KeyPair::from_pem(&authority.key)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, signing_key)?;
    let mut params = CertificateParams::new(hosts.to_vec())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Portcullis");
    // For servers only: as a client's it could name a caller.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_dates(&mut params, SERVER_DAYS);
    // A new key for each certificate: a key that leaked is of no use beyond the end of its own.
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn set_dates(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    // Clocks of clients may be a little behind.
    params.not_before = now - Duration::HOUR;
    params.not_after = now + Duration::days(days);
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).map_err(|error| {
        let failure = Failure::usage(format!("{}: {error}", file.display()));
        failure.hint("only certificates that `portcullis init` made can be renewed by it")
    })
}

fn write(file: &Path, text: &str, mode: u32) -> Result<()> {
    replace_file(file, text, mode).map_err(|error| Failure::failed(format!("{error:#}")))
}
