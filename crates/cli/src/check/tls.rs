//! The dates of certificates.

use std::{fs, path::Path};

use portcullis_authority::config::Config;
use x509_parser::pem::Pem;

use super::finding::Finding;
use crate::output::times;

/// A certificate that ends within this many days needs a successor now.
const RENEW_DAYS: i64 = 30;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Checks the certificate of the gRPC server, and those that sign clients'.
pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    match &config.server.tls_certificate_file {
        Some(file) => findings.push(examine("certificate", file)),
        // What crosses no network can be read by nobody on it.
        None if config.server.grpc_listen.ip().is_loopback() => {
            findings.push(Finding::good(
                "certificate",
                "none, and the port is for this machine only",
            ));
        }
        None => {
            let finding = Finding::warning(
                "certificate",
                "none: credentials cross the network in clear",
            );
            findings.push(finding.hint("set server.tls_certificate_file and tls_key_file"));
        }
    }
    if let Some(file) = &config.server.tls_client_ca_file {
        findings.push(examine("certificates of clients", file));
    }
}

/// Looks at the certificate of a file that ends first.
fn examine(check: &'static str, file: &Path) -> Finding {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) => return Finding::failed(check, format!("{}: {error}", file.display())),
    };
    let mut ends = Vec::new();
    // A file may have a whole chain and also the key. The chain breaks when the first of its
    // certificates ends.
    for pem in Pem::iter_from_buffer(&text).flatten() {
        if let Ok(certificate) = pem.parse_x509() {
            let validity = certificate.validity();
            ends.push((
                validity.not_after.timestamp(),
                validity.not_before.timestamp(),
            ));
        }
    }
    match ends.into_iter().min() {
        Some((not_after, not_before)) => judge(check, not_before, not_after, times::now().seconds),
        None => Finding::failed(check, format!("{}: has no certificate", file.display())),
    }
}

fn judge(check: &'static str, not_before: i64, not_after: i64, now: i64) -> Finding {
    let days = (not_after - now) / DAY_SECONDS;
    if now < not_before {
        let finding = Finding::failed(check, "begins in the future");
        return finding.hint("is the clock of this machine right?");
    }
    if now >= not_after {
        let finding = Finding::failed(check, format!("ended {} days ago", -days));
        return finding.hint("replace it by a rename: a running authority takes it within 5 s");
    }
    if days < RENEW_DAYS {
        let finding = Finding::warning(check, format!("ends in {days} days"));
        return finding
            .hint("renew it: `portcullis init --renew-certificate`, or your own authority");
    }
    Finding::good(check, format!("ends in {days} days"))
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn a_certificate_is_judged_by_its_dates() {
        let now = 1_000 * DAY_SECONDS;
        for (begin, end, verdict) in [
            (900, 1_397, Verdict::Good),
            (900, 1_020, Verdict::Warning),
            (900, 990, Verdict::Failed),
            (1_001, 1_397, Verdict::Failed),
        ] {
            let finding = judge("certificate", begin * DAY_SECONDS, end * DAY_SECONDS, now);
            assert_eq!(finding.verdict, verdict, "{begin} {end}");
        }
    }
}
