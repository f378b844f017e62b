//! The configuration, the files that it names, and the digests of callers.

use std::path::Path;

use portcullis_authority::config::{CallerConfig, Config};

use super::finding::Finding;
use crate::{configuration::Source, credentials::digest};

/// Bearer strings that people try first. A caller with one of them has no secret.
const GUESSED_FIRST: [&str; 16] = [
    "admin",
    "bearer",
    "change-me",
    "changeme",
    "default",
    "login",
    "operator",
    "gateway",
    "password",
    "portcullis",
    "secret",
    "support",
    "test",
    "token",
    "hunter2",
    "123456",
];

/// Reads the configuration. A mistake in it is the finding.
pub(super) fn read(file: &Path, findings: &mut Vec<Finding>) -> Option<Config> {
    match Source::of_file(file.to_owned()).read() {
        Ok(config) => Some(config),
        Err(error) => {
            // A finding and not the end of the command: what can be reached over the network is
            // checked all the same.
            let finding = Finding::failed("configuration", format!("{error:#}"));
            findings.push(finding.hint("docs/reference/configuration.md has every key"));
            None
        }
    }
}

/// Checks the settings and the files that they name.
pub(super) async fn check(config: &Config, findings: &mut Vec<Finding>) {
    match portcullis_authority::check(config).await {
        Ok(remarks) => {
            findings.push(Finding::good(
                "configuration",
                "can be meant; its files can be read",
            ));
            // The durability has a line of its own.
            let others = remarks
                .into_iter()
                .filter(|remark| !remark.starts_with("durability: "));
            for remark in others {
                findings.push(Finding::warning("configuration", remark));
            }
        }
        Err(error) => findings.push(Finding::failed("configuration", error.to_string())),
    }
    check_callers(&config.callers, findings);
}

/// Placeholders are refused by the configuration. This finds the strings that a hurried person chooses.
fn check_callers(callers: &[CallerConfig], findings: &mut Vec<Finding>) {
    let weak: Vec<&str> = callers
        .iter()
        .filter(|caller| is_guessed(caller))
        .map(|caller| caller.name.as_str())
        .collect();
    if weak.is_empty() {
        let detail = format!("{} callers, none with a default credential", callers.len());
        findings.push(Finding::good("callers", detail));
    } else {
        let detail = format!("anybody can guess the credential of {}", weak.join(", "));
        let finding = Finding::failed("callers", detail);
        findings.push(
            finding.hint("make one: openssl rand -hex 32, and put its digest into bearer_sha256"),
        );
    }
}

fn is_guessed(caller: &CallerConfig) -> bool {
    let mut known = Vec::new();
    known.extend(caller.bearer_sha256.as_deref());
    // A caller may have several strings at once while one takes the place of another.
    known.extend(caller.bearers.iter().map(|bearer| bearer.sha256.as_str()));
    // The sample of a shell script often ends in a line feed.
    let guesses = GUESSED_FIRST.iter().map(|guess| (*guess).to_owned());
    // People also take the name of the caller, which no fixed list can have.
    let names = [caller.name.clone(), format!("{}-bearer", caller.name)];
    guesses.chain(names).any(|guess| {
        let guessed = [digest(&guess), digest(&format!("{guess}\n"))];
        known.iter().any(|known| {
            guessed
                .iter()
                // The file may have its hexadecimal digits in either case.
                .any(|guessed| known.eq_ignore_ascii_case(guessed))
        })
    })
}

#[cfg(test)]
mod tests {
    use portcullis_authority::config::Role;

    use super::*;

    #[test]
    fn credentials_that_people_try_first_are_found() {
        let caller = |bearer: &str| CallerConfig {
            name: "console".into(),
            bearer_sha256: Some(digest(bearer)),
            san: None,
            roles: vec![Role::Admin],
            tenant: None,
            bearers: Vec::new(),
        };
        for weak in ["secret", "changeme\n", "console", "console-bearer"] {
            assert!(is_guessed(&caller(weak)), "{weak}");
        }
        assert!(!is_guessed(&caller("pJ3f0r9wXb2K")));
    }
}
