//! URLs of databases: settings that cannot work are refused before anything connects.

mod parameters;

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use tokio_postgres::{
    Config,
    config::{ChannelBinding, Host, SslMode, SslNegotiation, TargetSessionAttrs},
};

use self::parameters::TlsParameters;
use super::tls::{Files, Mode, Tls};
use crate::StoreError;

/// Where a URL leads, and how its connections are encrypted.
#[derive(Clone)]
pub(super) struct Target {
    /// The driver's settings.
    pub(super) config: Config,
    pub(super) tls: Arc<Tls>,
}

/// Checks a URL without connecting. The reason never repeats the URL, which may hold a password.
///
/// # Errors
/// The reason why the URL cannot be used.
pub fn check_url(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

/// A remark about a URL whose connections leave this machine without proof of the server. None: they do not, or the URL
/// cannot be used.
#[must_use]
pub fn remark_on_url(url: &str) -> Option<String> {
    let target = parse(url).ok()?;
    let mode = target.tls.mode();
    if mode == Mode::VerifyFull || stays_on_this_machine(&target.config) {
        return None;
    }
    let danger = match mode {
        Mode::Disable | Mode::Prefer => {
            "passwords, sessions and the log may cross the network in clear"
        }
        Mode::Require => "any machine in between can pretend to be the database",
        _ => "any server with a certificate of the same authority can pretend to be the database",
    };
    Some(format!(
        "leads beyond this machine with sslmode={}: {danger}. Set sslmode=verify-full and sslrootcert",
        mode.name()
    ))
}

fn stays_on_this_machine(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    // An address counts instead of its name.
    if !addresses.is_empty() {
        return addresses.iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(is_this_machine)
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// Parses the URL of a setting. The error names the setting.
pub(super) fn parse_setting(setting: &str, url: &str) -> Result<Target, StoreError> {
    parse(url).map_err(|problem| StoreError::Unusable(format!("{setting}: {problem}")))
}

fn parse(url: &str) -> Result<Target, String> {
    // Taken out first: the driver knows neither the files nor the modes that verify.
    let (url, parameters) = parameters::take(url)?;
    // The text of the driver's error is dropped: it may repeat a part of the URL.
    let mut config = url.parse::<Config>().map_err(|_| {
        "is malformed: it must be postgres://user:password@host:port/database?name=value".to_owned()
    })?;
    if config.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
        return Err(
            "target_session_attrs=read-only cannot be used: every connection has to write"
                .to_owned(),
        );
    }
    let mode = read_mode(&parameters)?;
    let files = read_files(&parameters, mode)?;
    check_driver_settings(&config, mode)?;
    // To the driver there is TLS or there is none. How much of the server is verified is up to
    // `Trust`.
    config.ssl_mode(match mode {
        Mode::Disable => SslMode::Disable,
        Mode::Prefer => SslMode::Prefer,
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
    });
    Ok(Target {
        config,
        tls: Arc::new(Tls::new(mode, files)),
    })
}

fn read_mode(parameters: &TlsParameters) -> Result<Mode, String> {
    let mode = match parameters.mode.as_deref() {
        Some("disable") => Mode::Disable,
        None | Some("prefer") => Mode::Prefer,
        // As in libpq: whoever names an authority means it to be asked.
        Some("require") if parameters.root.is_some() => Mode::VerifyCa,
        Some("require") => Mode::Require,
        Some("verify-ca") => Mode::VerifyCa,
        Some("verify-full") => Mode::VerifyFull,
        Some(_) => {
            let known = "sslmode must be disable, prefer, require, verify-ca or verify-full";
            return Err(known.to_owned());
        }
    };
    Ok(mode)
}

fn read_files(parameters: &TlsParameters, mode: Mode) -> Result<Files, String> {
    let name = mode.name();
    if mode.verifies() && parameters.root.is_none() {
        return Err(format!(
            "sslmode={name} needs sslrootcert: the file with the certificate that signs the server's"
        ));
    }
    // It would protect nothing, although the operator meant it to.
    if !mode.verifies() && parameters.root.is_some() {
        return Err(format!(
            "sslrootcert needs sslmode=verify-full, verify-ca or require: with sslmode={name} nobody is verified"
        ));
    }
    if parameters.certificate.is_some() != parameters.key.is_some() {
        return Err("sslcert and sslkey must be set together".to_owned());
    }
    if mode == Mode::Disable && parameters.certificate.is_some() {
        return Err(
            "sslcert cannot be used with sslmode=disable: no certificate is shown".to_owned(),
        );
    }
    let certificate = parameters.certificate.clone().map(PathBuf::from);
    let key = parameters.key.clone().map(PathBuf::from);
    Ok(Files {
        root: parameters.root.clone().map(PathBuf::from),
        client: certificate.zip(key),
    })
}

/// Checks the driver's own settings of TLS against the mode.
fn check_driver_settings(config: &Config, mode: Mode) -> Result<(), String> {
    if config.get_channel_binding() == ChannelBinding::Require && mode == Mode::Disable {
        return Err(
            "channel_binding=require cannot be used with sslmode=disable: there is no channel"
                .to_owned(),
        );
    }
    let is_weak = matches!(mode, Mode::Disable | Mode::Prefer);
    if config.get_ssl_negotiation() == SslNegotiation::Direct && is_weak {
        return Err("sslnegotiation=direct needs sslmode=require or stronger".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
