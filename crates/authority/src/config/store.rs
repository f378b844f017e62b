//! `[store]`: the database, and how many connections and how much time it gets.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{HOUR, MILLISECOND, MINUTE, SECOND, check_counts, check_durations},
};
use crate::store::postgres::{PostgresOptions, check_url};

/// `[store]`
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `sqlite:<data directory>` or `postgres://…`.
    pub url: String,
    /// PostgreSQL: the same database as the role that owns the schema. It migrates, and grants the role of `url` the
    /// rights that the service needs.
    pub owner_url: Option<String>,
    /// PostgreSQL: connections for sessions; seven more serve the log.
    pub connections_max: usize,
    /// PostgreSQL: connections for lists, counts, previews and walks. One tenant has at most half of them.
    pub search_connections_max: usize,
    /// Longest time for a list, a count or a preview.
    #[serde(with = "humantime_serde")]
    pub search_timeout: Duration,
    /// PostgreSQL: longest time for a connect, and for the wait for a free connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:./portcullis-data".into(),
            owner_url: None,
            connections_max: 16,
            search_connections_max: 4,
            search_timeout: 5 * SECOND,
            connect_timeout: 3 * SECOND,
        }
    }
}

impl StoreConfig {
    /// Options of the PostgreSQL engine.
    pub(crate) fn postgres_options(&self) -> PostgresOptions {
        PostgresOptions {
            connections_max: self.connections_max,
            search_connections_max: self.search_connections_max,
            search_timeout: self.search_timeout,
            connect_timeout: self.connect_timeout,
            owner_url: self.owner_url.clone(),
        }
    }

    /// Name of the engine in the semantic conventions of OpenTelemetry.
    pub(crate) fn system(&self) -> &'static str {
        if self.url.starts_with("sqlite:") {
            "sqlite"
        } else {
            "postgresql"
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_service_url()?;
        self.check_owner_url()?;
        check_durations(&[
            (
                "store.connect_timeout",
                self.connect_timeout,
                MILLISECOND..=HOUR,
            ),
            (
                "store.search_timeout",
                self.search_timeout,
                100 * MILLISECOND..=MINUTE,
            ),
        ])?;
        check_counts(&[
            ("store.connections_max", self.connections_max, 10_000),
            (
                "store.search_connections_max",
                self.search_connections_max,
                1_000,
            ),
        ])
    }

    fn check_service_url(&self) -> Result<(), ConfigError> {
        if self.url.starts_with("sqlite:") {
            return Ok(());
        }
        check_postgres_url(
            "store.url",
            &self.url,
            "must begin with sqlite: or postgres://",
        )
    }

    fn check_owner_url(&self) -> Result<(), ConfigError> {
        match &self.owner_url {
            Some(url) => check_postgres_url("store.owner_url", url, "must begin with postgres://"),
            None => Ok(()),
        }
    }
}

fn check_postgres_url(key: &str, url: &str, scheme_problem: &str) -> Result<(), ConfigError> {
    // Both `postgres://` and `postgresql://` are common. `check_url` judges the rest.
    if !url.starts_with("postgres") {
        return Err(ConfigError::new(key, scheme_problem));
    }
    // Checked here too, so that the error names the setting, and the command adds its line in the file.
    check_url(url).map_err(|problem| ConfigError::new(key, problem))
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the URLs: they may hold passwords, and this may end up in a log.
        f.debug_struct("StoreConfig")
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}
