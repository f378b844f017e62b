//! Exports from the configuration.

use std::{sync::Arc, time::Duration};

use opentelemetry::metrics::Meter;
use portcullis_contract::retry::Backoff;

use super::{
    ExportMetrics, Exporter, RETRY_FIRST, RETRY_MAX, destination::Destination,
    file::FileDestination, syslog::SyslogDestination, trail::Trail, webhook::Webhook,
};
use crate::{
    config::{AuditExportConfig, ConfigError},
    feed::Feed,
    store::Store,
};

/// The pause between two looks at a busy log.
const PAUSE: Duration = Duration::from_millis(200);
/// The same where each delivery is a connection.
const PAUSE_OF_CONNECTIONS: Duration = Duration::from_secs(1);

/// The parts of the authority that exports work with.
pub(crate) struct Parts<'p> {
    pub(crate) store: &'p Arc<dyn Store>,
    pub(crate) feed: &'p Arc<Feed>,
    pub(crate) authority: [u8; 16],
    pub(crate) meter: &'p Meter,
}

/// Opens all exports. None delivers yet.
///
/// # Errors
/// When a file that one needs cannot be used.
pub(crate) fn open(
    configs: &[AuditExportConfig],
    parts: &Parts<'_>,
) -> Result<Vec<Exporter>, ConfigError> {
    if configs.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = configs.iter().map(|config| config.name.clone()).collect();
    let metrics = Arc::new(ExportMetrics::new(parts.meter, &names));
    let mut exporters = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        let destination = open_destination(index, config)?;
        exporters.push(exporter(config, destination, parts, &metrics));
    }
    Ok(exporters)
}

fn exporter(
    config: &AuditExportConfig,
    destination: Destination,
    parts: &Parts<'_>,
    metrics: &Arc<ExportMetrics>,
) -> Exporter {
    let pause = match destination {
        Destination::Syslog(_) => PAUSE_OF_CONNECTIONS,
        Destination::File(_) | Destination::Webhook(_) => PAUSE,
    };
    Exporter {
        name: config.name.as_str().into(),
        start: config.start,
        destination,
        trail: Trail {
            tenants: config.tenants.iter().cloned().collect(),
            pause,
        },
        store: Arc::clone(parts.store),
        feed: Arc::clone(parts.feed),
        authority: parts.authority,
        metrics: Arc::clone(metrics),
        backoff: Backoff::new(RETRY_FIRST, RETRY_MAX),
        looked_for_dead_letters: None,
    }
}

/// Checks the files that exports need.
///
/// # Errors
/// When one cannot be used.
pub(crate) fn check_files(configs: &[AuditExportConfig]) -> Result<(), ConfigError> {
    for (index, config) in configs.iter().enumerate() {
        open_destination(index, config)?;
    }
    Ok(())
}

fn open_destination(index: usize, config: &AuditExportConfig) -> Result<Destination, ConfigError> {
    let section = format!("audit_exports[{index}]");
    if let Some(file) = &config.file {
        FileDestination::check(&format!("{section}.file.path"), file)?;
        return Ok(Destination::File(FileDestination::new(file)));
    }
    if let Some(syslog) = &config.syslog {
        let opened = SyslogDestination::open(&section, syslog)?;
        return Ok(Destination::Syslog(Box::new(opened)));
    }
    if let Some(webhook) = &config.webhook {
        let opened = Webhook::open(&section, webhook)?;
        return Ok(Destination::Webhook(Box::new(opened)));
    }
    let problem = "must have exactly one of file, syslog and webhook";
    Err(ConfigError::new(section, problem))
}
