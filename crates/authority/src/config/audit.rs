//! `[audit]`: how long the audit trail stays, and where it is archived.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use portcullis_contract::id::TenantId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    ConfigError,
    bounds::{DAY, check_range},
};
use crate::store::AuditRules;

/// The most tenants with a time of their own.
const TENANTS_MAX: usize = 10_000;

/// About a hundred years.
const KEEP_MAX: Duration = Duration::from_secs(36_600 * 24 * 60 * 60);

/// `[audit]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Time for which events stay.
    pub retention: Keep,
    /// The times of single tenants, by their ids.
    pub tenants: BTreeMap<String, Keep>,
    /// Directory for the archive. Events stay until they are in it.
    pub archive_directory: Option<PathBuf>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            retention: Keep::For(400 * DAY),
            tenants: BTreeMap::new(),
            archive_directory: None,
        }
    }
}

/// How long something stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// For good.
    Forever,
    /// For a time.
    For(Duration),
}

const FOREVER: &str = "forever";

impl Keep {
    fn time(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(time) => Some(time),
        }
    }

    fn check(self, key: &str) -> Result<(), ConfigError> {
        match self {
            Self::Forever => Ok(()),
            Self::For(time) => check_range(key, &time, &(DAY..=KEEP_MAX)),
        }
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Forever => serializer.serialize_str(FOREVER),
            // Whole days as they are written: a formatter of durations makes years, months and hours of them.
            Self::For(time) if time.as_secs().is_multiple_of(DAY.as_secs()) => {
                serializer.collect_str(&format_args!("{}days", time.as_secs() / DAY.as_secs()))
            }
            Self::For(time) => humantime_serde::serialize(time, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == FOREVER {
            return Ok(Self::Forever);
        }
        let parsed = humantime_serde::re::humantime::parse_duration(&text);
        let time = parsed.map_err(|error| D::Error::custom(format!("{error}, or `{FOREVER}`")))?;
        Ok(Self::For(time))
    }
}

impl AuditConfig {
    /// The rules by which events go.
    #[must_use]
    pub fn rules(&self) -> AuditRules {
        let tenants = self.tenants.iter();
        AuditRules {
            others: self.retention.time(),
            tenants: tenants
                .map(|(tenant, keep)| (tenant.clone(), keep.time()))
                .collect(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.retention.check("audit.retention")?;
        self.check_tenants()?;
        let directory = self.archive_directory.as_ref();
        if directory.is_some_and(|directory| !directory.is_absolute()) {
            let problem = "must be an absolute path";
            return Err(ConfigError::new("audit.archive_directory", problem));
        }
        Ok(())
    }

    fn check_tenants(&self) -> Result<(), ConfigError> {
        if self.tenants.len() > TENANTS_MAX {
            let problem = format!("must be at most {TENANTS_MAX}");
            return Err(ConfigError::new("audit.tenants", problem));
        }
        for (tenant, keep) in &self.tenants {
            let key = format!("audit.tenants.{tenant}");
            if TenantId::parse(tenant.clone()).is_err() {
                return Err(ConfigError::new(key, "is not the id of a tenant"));
            }
            keep.check(&key)?;
        }
        Ok(())
    }
}
