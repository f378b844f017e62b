//! The configured services and their credentials, as they are now: the configuration may be replaced while calls and
//! streams go on.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use arc_swap::{ArcSwap, Guard};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use opentelemetry::metrics::Meter;
use portcullis_contract::id::TenantId;
use tokio_util::sync::CancellationToken;

use crate::{
    app::ServiceCaller,
    config::{BearerDigest, CallerConfig, ConfigError, San},
};

/// The configured services, which a new configuration replaces while calls read them.
pub struct Callers {
    table: ArcSwap<CallerTable>,
    /// One replacement at a time: each compares with the table that it replaces.
    replacing: Mutex<()>,
    /// Whether the newest configuration could not be used.
    is_stale: AtomicBool,
}

/// The effect of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The number of credentials that count no more, or not as before. Their streams have ended.
    pub ended: usize,
    /// The number of credentials that count from now on.
    pub added: usize,
}

/// A credential of a service.
pub(crate) struct Credential {
    pub(crate) service: Arc<ServiceCaller>,
    /// It does not count from then on.
    not_after: Option<SystemTime>,
    /// Cancelled when it counts no more. Streams that it opened end then.
    pub(crate) ended: CancellationToken,
}

/// The credentials at one time.
pub(crate) struct CallerTable {
    bearers: HashMap<[u8; 32], Arc<Credential>>,
    certified: HashMap<San, Arc<Credential>>,
}

impl Callers {
    /// # Errors
    /// When a caller is malformed.
    pub(crate) fn new(callers: &[CallerConfig]) -> Result<Self, ConfigError> {
        Ok(Self {
            table: ArcSwap::from_pointee(CallerTable::new(callers, None)?),
            replacing: Mutex::default(),
            is_stale: AtomicBool::new(false),
        })
    }

    /// The credentials as they are now.
    pub(crate) fn table(&self) -> Guard<Arc<CallerTable>> {
        self.table.load()
    }

    /// Replaces all callers by those of a configuration that was checked. Streams of callers that stay as they are go on.
    ///
    /// # Errors
    /// When a caller is malformed. The callers before stay.
    pub fn replace(&self, callers: &[CallerConfig]) -> Result<Replacement, ConfigError> {
        let _one = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let old = self.table.load_full();
        let new = Arc::new(CallerTable::new(callers, Some(&old))?);
        // Stored first: a call that finds the old table finds a credential that is cancelled right after.
        self.table.store(Arc::clone(&new));
        self.is_stale.store(false, Ordering::Relaxed);
        Ok(Replacement {
            ended: old.end_all_but(&new),
            added: new.count_beyond(&old),
        })
    }

    /// Records that the newest configuration cannot be used, and that the callers are those before.
    pub fn record_unusable(&self) {
        self.is_stale.store(true, Ordering::Relaxed);
    }

    /// Ends the streams of credentials whose time is over.
    pub(crate) fn end_expired(&self, now: SystemTime) {
        for credential in self.table.load().bearers.values() {
            if credential.has_ended(now) {
                credential.ended.cancel();
            }
        }
    }

    /// Observes whether the callers are those of the newest configuration.
    pub(crate) fn observe(self: &Arc<Self>, meter: &Meter) {
        // Weak, because the callback lives as long as the meter.
        let source = Arc::downgrade(self);
        meter
            .u64_observable_gauge("portcullis.callers.stale")
            .with_unit("{file}")
            .with_description(
                "1 while the configuration file cannot be used and the callers are those before, else 0.",
            )
            .with_callback(move |observer| {
                if let Some(callers) = source.upgrade() {
                    observer.observe(u64::from(callers.is_stale.load(Ordering::Relaxed)), &[]);
                }
            })
            .build();
    }
}

impl Credential {
    /// Whether it counts no more.
    pub(crate) fn has_ended(&self, now: SystemTime) -> bool {
        self.ended.is_cancelled() || self.not_after.is_some_and(|end| end <= now)
    }

    /// This credential in a new table: streams that it opened go on if it gives the same rights.
    fn renewed(
        before: Option<&Arc<Self>>,
        service: &Arc<ServiceCaller>,
        not_after: Option<SystemTime>,
    ) -> Arc<Self> {
        let ended = match before {
            // A cancelled token cannot be revived. A credential whose time was over and that got a
            // new end needs a fresh one.
            Some(before) if before.service == *service && !before.ended.is_cancelled() => {
                before.ended.clone()
            }
            _ => CancellationToken::new(),
        };
        Arc::new(Self {
            service: Arc::clone(service),
            not_after,
            ended,
        })
    }
}

impl CallerTable {
    fn new(callers: &[CallerConfig], before: Option<&Self>) -> Result<Self, ConfigError> {
        let mut table = Self {
            bearers: HashMap::new(),
            certified: HashMap::new(),
        };
        for caller in callers {
            let service = Arc::new(service(caller)?);
            if let Some(san) = caller.san() {
                let old = before.and_then(|before| before.certified.get(&san));
                // A certificate has an end of its own, and the connection that shows it ends then
                // (`net/listen`).
                let credential = Credential::renewed(old, &service, None);
                table.certified.insert(san, credential);
            }
            for BearerDigest { digest, not_after } in caller.bearer_digests() {
                let old = before.and_then(|before| before.bearers.get(&digest));
                let credential = Credential::renewed(old, &service, not_after);
                table.bearers.insert(digest, credential);
            }
        }
        Ok(table)
    }

    /// The credential with the digest of a bearer string. Compares with every digest, also after one has matched, so that the
    /// time does not tell which.
    pub(crate) fn by_digest(&self, digest: &[u8; 32]) -> Option<&Arc<Credential>> {
        let mut found = None;
        for (configured, credential) in &self.bearers {
            if verify_slices_are_equal(configured, digest).is_ok() {
                found = Some(credential);
            }
        }
        found
    }

    pub(crate) fn by_certificate(&self, name: &San) -> Option<&Arc<Credential>> {
        // A name in a verified certificate is no secret, so a look-up that takes less time for some
        // tells nothing.
        self.certified.get(name)
    }

    /// Ends every credential that is not in the new table, or not as before. Returns their number.
    fn end_all_but(&self, new: &Self) -> usize {
        let mut ended = 0;
        for (digest, credential) in &self.bearers {
            ended += usize::from(end_unless_kept(credential, new.bearers.get(digest)));
        }
        for (san, credential) in &self.certified {
            ended += usize::from(end_unless_kept(credential, new.certified.get(san)));
        }
        ended
    }

    fn count_beyond(&self, old: &Self) -> usize {
        let bearers = self
            .bearers
            .keys()
            .filter(|digest| !old.bearers.contains_key(*digest));
        let certified = self
            .certified
            .keys()
            .filter(|san| !old.certified.contains_key(*san));
        bearers.count() + certified.count()
    }
}

fn end_unless_kept(old: &Credential, new: Option<&Arc<Credential>>) -> bool {
    // The name is part of the comparison, because the audit trail tells callers apart by it.
    let is_kept = new.is_some_and(|new| new.service == old.service);
    if !is_kept {
        old.ended.cancel();
    }
    !is_kept
}

fn service(config: &CallerConfig) -> Result<ServiceCaller, ConfigError> {
    let tenant = config.tenant.as_deref().map(TenantId::parse).transpose();
    let tenant = tenant.map_err(|_| ConfigError::new("callers.tenant", "is malformed"))?;
    Ok(ServiceCaller {
        name: config.name.as_str().into(),
        roles: config.roles.clone(),
        tenant,
    })
}
