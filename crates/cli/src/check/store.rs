//! The database: the failures that an acknowledgement survives.

use portcullis_authority::{config::Config, store_durability};

use super::finding::Finding;

const STANDBY_HINT: &str = "a failover can lose acknowledged sign-outs: set synchronous_standby_names (docs/operating/postgresql.md)";

/// Checks the durability, and whether a standby waits.
pub(super) async fn check(config: &Config, findings: &mut Vec<Finding>) {
    // No look at the database: the authority may hold its lock, and the answer is the same for all
    // of SQLite.
    if config.store.url.starts_with("sqlite:") {
        let detail = "SQLite on this machine's disk; every commit is synced";
        findings.push(Finding::good("durability", detail));
        let finding = Finding::warning("standby", "SQLite has none");
        findings.push(finding.hint("the machine is the limit: PostgreSQL has standbys"));
        return;
    }
    match store_durability(&config.store).await {
        Ok(words) => judge(&words, findings),
        Err(error) => {
            let finding = Finding::failed(
                "durability",
                format!("the database cannot be examined: {error}"),
            );
            findings.push(finding.hint("is it running, and is store.url right?"));
        }
    }
}

/// Judges the words in which the store describes the server's settings.
fn judge(words: &str, findings: &mut Vec<Finding>) {
    // These words say nothing about standbys, so nothing is said about them here either.
    if words.starts_with("none: ") {
        let finding = Finding::failed("durability", words);
        findings.push(finding.hint("set fsync = on"));
        return;
    }
    if words.contains("full_page_writes=off") {
        let finding = Finding::warning("durability", words);
        findings.push(
            finding.hint("set full_page_writes = on, unless the file system writes pages whole"),
        );
    } else {
        findings.push(Finding::good("durability", words));
    }
    if words.starts_with("a synchronous standby") {
        findings.push(Finding::good(
            "standby",
            "a synchronous standby is configured",
        ));
    } else {
        let finding = Finding::warning("standby", "no synchronous standby");
        findings.push(finding.hint(STANDBY_HINT));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn the_settings_of_the_server_are_judged() {
        for (words, durability, standby) in [
            (
                "none: PostgreSQL runs with fsync=off",
                Verdict::Failed,
                None,
            ),
            (
                "one server's disk: fsync=on, no synchronous standby, synchronous_commit=on",
                Verdict::Good,
                Some(Verdict::Warning),
            ),
            (
                "a synchronous standby: fsync=on, synchronous_commit=on",
                Verdict::Good,
                Some(Verdict::Good),
            ),
            (
                "a synchronous standby: fsync=on, full_page_writes=off: a crash",
                Verdict::Warning,
                Some(Verdict::Good),
            ),
        ] {
            let mut findings = Vec::new();
            judge(words, &mut findings);
            assert_eq!(findings[0].verdict, durability, "{words}");
            assert_eq!(
                findings.get(1).map(|found| found.verdict),
                standby,
                "{words}"
            );
        }
    }
}
