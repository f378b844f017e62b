//! The configuration of a filter: a gate, and its counters.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_gate::Gate;
use portcullis_validator_core::Freshness;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    authority::Authority,
    config::{ConfigError, FilterSettings, compile, refused_rules},
    envoy::{ConfigHost, WakeUp},
    meters::Meters,
};

/// The interval of the gauges in Envoy's stats.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

/// A gate with its counters. Every stream keeps the one that it began with.
pub(crate) struct FilterConfig {
    authority: Arc<Authority>,
    gate: Arc<Gate>,
    meters: Meters,
    /// Taken when Envoy destroys its side.
    gauges: Arc<Mutex<Option<Box<dyn WakeUp>>>>,
}

impl FilterConfig {
    /// Reads the configuration, and connects to the authority.
    pub(crate) fn new(json: &[u8], envoy: &mut impl ConfigHost) -> Result<Self, ConfigError> {
        let settings = FilterSettings::read(json)?;
        // Before the authority is asked for anything.
        let rules = compile(&settings.rules)?;
        let meters = Meters::define(envoy)
            .ok_or_else(|| ConfigError::new("metrics", "Envoy refuses to define them"))?;
        let authority = Authority::open(&settings.authority, settings.start_wait)?;
        let engine = Arc::clone(authority.engine());
        let gate = Gate::with_compiled(engine, rules).map_err(refused_rules)?;
        let gauges = Arc::new(Mutex::new(Some(envoy.waker())));
        authority.runtime().spawn(wake_gauges(Arc::clone(&gauges)));
        Ok(Self {
            gate: Arc::new(gate),
            authority,
            meters,
            gauges,
        })
    }

    /// The authority.
    pub(crate) fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// The gate of the filter's own rules.
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The counters.
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The age of the newest proof of freshness, in milliseconds; the largest number without a proof.
    pub(crate) fn freshness_age_ms(&self) -> u64 {
        match self.authority.engine().freshness() {
            Freshness::Fresh { age } | Freshness::Stale { age } => {
                u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
            }
            Freshness::Unready { .. } => u64::MAX,
        }
    }

    /// Ends what Envoy may not be asked for any more.
    pub(crate) fn close(&self) {
        let gauges = self.gauges.lock();
        let gauges = gauges.unwrap_or_else(PoisonError::into_inner).take();
        drop(gauges);
    }
}

/// Has Envoy's main thread read the gauges now and then, until the configuration is closed.
async fn wake_gauges(gauges: Arc<Mutex<Option<Box<dyn WakeUp>>>>) {
    let mut ticks = interval(GAUGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Under the lock, so that it is never called once Envoy's side is destroyed.
        match &*gauges.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(wake_up) => wake_up.wake_up(),
            None => return,
        }
    }
}
