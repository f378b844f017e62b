//! `portcullis serve --check-config`: checks a configuration and the files that it names.

use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;

use crate::{
    audit_archive, audit_export,
    client_info::places::Places,
    config::{CallerConfig, Config, ConfigError, StoreConfig},
    identity_providers::IdentityProviders,
    installation::issuer,
    keys::{MasterKeyIds, MasterKeys, read_master_keys},
    net::Tls,
    server::{NO_CALLERS, StartError},
    store::{StoreError, postgres},
    telemetry::check_files,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A bearer string that ends within this time needs a successor now.
const RENEW: Duration = DAY.saturating_mul(14);

/// Checks a configuration without starting anything or changing the store. Returns remarks for the operator: checks
/// that were not possible, and settings that are allowed but rarely meant.
///
/// # Errors
/// The first problem that would keep an authority from starting.
pub fn check(config: &Config) -> BoxFuture<'_, Result<Vec<String>, StartError>> {
    Box::pin(async move {
        config.check()?;
        let master_keys = read_files(config).await?;

        let mut remarks = remarks_on_callers(&config.callers);
        remarks.extend(remark_on_master_keys(&master_keys));
        remarks.extend(remarks_on_bearers(&config.callers, SystemTime::now()));
        remarks.extend(compare_issuer(config).await?);
        remarks.extend(remarks_on_urls(&config.store));
        remarks.extend(examine_store(&config.store).await?);
        Ok(remarks)
    })
}

fn remarks_on_callers(callers: &[CallerConfig]) -> Vec<String> {
    match callers {
        [] => vec![NO_CALLERS.to_owned()],
        _ => Vec::new(),
    }
}

/// Reads the files that a start reads. A wrong path would otherwise be found by the restart that needs it.
async fn read_files(config: &Config) -> Result<MasterKeys, StartError> {
    let master_keys = read_master_keys(&config.keys).await?;
    Places::open_configured(&config.places)?;
    Tls::open_grpc(&config.server)?;
    Tls::open_http(&config.server)?;
    check_files(&config.telemetry)?;
    audit_export::check_files(&config.audit_exports)?;
    audit_archive::check_directory(&config.audit)?;
    IdentityProviders::open(&config.identity_providers)?;
    Ok(master_keys)
}

/// Compares the issuer with that of the installation. Returns a remark if that was not possible.
async fn compare_issuer(config: &Config) -> Result<Option<String>, ConfigError> {
    match issuer::installed(&config.store).await {
        Ok(Some(installed)) => {
            issuer::compare(&config.tokens.issuer, &installed)?;
            Ok(None)
        }
        Ok(None) => Ok(None),
        // A check may run where the database cannot be reached, such as in a pipeline. The operator is told what it
        // left out.
        Err(error) => Ok(Some(format!("tokens.issuer was not compared: {error}"))),
    }
}

/// Describes the failures that an acknowledgement survives, by the settings of the PostgreSQL server.
///
/// # Errors
/// When the server cannot be examined.
pub fn store_durability(config: &StoreConfig) -> BoxFuture<'_, Result<String, StoreError>> {
    Box::pin(async move { postgres::examine(&config.url, &config.postgres_options()).await })
}

/// A remark while the master key is replaced. It has the ids by which errors and `portcullis keys master` name the keys.
fn remark_on_master_keys(keys: &MasterKeys) -> Option<String> {
    let [current, others @ ..] = &keys.ids().0[..] else {
        return None;
    };
    if others.is_empty() {
        return None;
    }
    let others = MasterKeyIds(others.to_vec());
    Some(format!(
        "keys.other_master_keys: {current} seals, and {others} only open what they sealed"
    ))
}

/// Remarks about bearer strings whose end has come or comes soon.
fn remarks_on_bearers(callers: &[CallerConfig], now: SystemTime) -> Vec<String> {
    let mut remarks = Vec::new();
    for (index, caller) in callers.iter().enumerate() {
        for (number, bearer) in caller.bearers.iter().enumerate() {
            let Some(end) = bearer.not_after else {
                continue;
            };
            let key = format!("callers[{index}].bearers[{number}].not_after");
            remarks.extend(remark_on_end(&key, end, now));
        }
    }
    remarks
}

fn remark_on_end(key: &str, end: SystemTime, now: SystemTime) -> Option<String> {
    match end.duration_since(now) {
        Err(_) | Ok(Duration::ZERO) => Some(format!(
            "{key}: has passed. The bearer does not count: remove it"
        )),
        Ok(left) if left < RENEW => {
            let days = left.as_secs() / DAY.as_secs();
            Some(format!(
                "{key}: comes in {days} days. Put a new bearer beside it"
            ))
        }
        Ok(_) => None,
    }
}

/// Remarks about connections to the database that leave this machine and do not verify its server.
fn remarks_on_urls(config: &StoreConfig) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(remark) = remark_on_url("store.url", &config.url) {
        remarks.push(remark);
    }
    if let Some(url) = &config.owner_url
        && let Some(remark) = remark_on_url("store.owner_url", url)
    {
        remarks.push(remark);
    }
    remarks
}

fn remark_on_url(key: &str, url: &str) -> Option<String> {
    if url.starts_with("sqlite:") {
        return None;
    }
    let remark = postgres::remark_on_url(url)?;
    Some(format!("{key}: {remark}"))
}

/// Returns a remark about the database's settings, or about why they could not be examined. SQLite has none to examine.
async fn examine_store(config: &StoreConfig) -> Result<Option<String>, StartError> {
    if config.url.starts_with("sqlite:") {
        return Ok(None);
    }
    match store_durability(config).await {
        Ok(durability) => Ok(Some(format!("durability: {durability}"))),
        // The database answers, and will answer a start in the same way.
        Err(error @ StoreError::Tls(_)) => Err(error.into()),
        // The database may only be down now. That does not make the configuration wrong.
        Err(error) if error.is_retryable() => {
            Ok(Some(format!("the database was not looked at: {error}")))
        }
        Err(error) => Err(error.into()),
    }
}
