//! URLs of databases: settings that cannot work are refused before anything connects.

use tokio_postgres::{Config, config::TargetSessionAttrs};

use crate::StoreError;

/// The values of `sslmode` that demand encryption.
const ENCRYPTED: [&str; 3] = ["require", "verify-ca", "verify-full"];

/// Checks a URL without connecting. The reason never repeats the URL, which may hold a password.
///
/// # Errors
/// The reason why the URL cannot be used.
pub fn check_url(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

/// Parses the URL of a setting. The error names the setting.
pub(super) fn parse_setting(setting: &str, url: &str) -> Result<Config, StoreError> {
    parse(url).map_err(|problem| StoreError::Unusable(format!("{setting}: {problem}")))
}

fn parse(url: &str) -> Result<Config, String> {
    // Checked here, because the driver rejects other modes as malformed and `require` only when it connects.
    if let Some(mode) = parameter(url, "sslmode")
        && ENCRYPTED.contains(&mode)
    {
        return Err(format!(
            "sslmode={mode} asks for TLS, and connections to PostgreSQL are not encrypted yet: \
             use a Unix socket or a private network, and remove sslmode"
        ));
    }
    // The text of the driver's error is dropped: it may repeat a part of the URL.
    let config = url.parse::<Config>().map_err(|_| {
        "is malformed: it must be postgres://user:password@host:port/database?name=value".to_owned()
    })?;
    if config.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
        return Err(
            "target_session_attrs=read-only cannot be used: every connection has to write"
                .to_owned(),
        );
    }
    Ok(config)
}

/// The value of a parameter of the URL. The last of several counts.
fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    let mut last = None;
    for pair in query.split('&') {
        if let Some((key, value)) = pair.split_once('=')
            && key == name
        {
            last = Some(value);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_that_cannot_be_had_is_refused_with_a_sentence() {
        for mode in ENCRYPTED {
            for url in [
                format!("postgres://u:secret@h/d?sslmode={mode}"),
                format!("postgresql://u:secret@h1,h2/d?connect_timeout=3&sslmode={mode}"),
            ] {
                let problem = check_url(&url).expect_err("refused");
                assert!(
                    problem.contains(mode) && problem.contains("TLS"),
                    "{problem}"
                );
                assert!(!problem.contains("secret"));
            }
        }
        for url in [
            "postgres://u@h/d",
            "postgres://u@h/d?sslmode=disable",
            "postgres://u@h/d?sslmode=prefer",
            "postgres://u@h1:1,h2:2/d?target_session_attrs=read-write",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_malformed_url_and_one_that_only_reads_are_refused_without_their_password() {
        for url in [
            "postgres://u:secret@h:port/d",
            "postgres://u:secret@h/d?nonsense=1",
            "postgres://u:secret@h/d?target_session_attrs=read-only",
        ] {
            let problem = check_url(url).expect_err("refused");
            assert!(!problem.contains("secret"), "{problem}");
        }
    }
}
