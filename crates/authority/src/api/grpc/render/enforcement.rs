//! Enforcement and validators as the wire has them.

use std::time::Duration;

use portcullis_contract::{
    position::Revision,
    v1::{self, ListValidatorsResponse},
};

use crate::{
    app::validators::Validators,
    feed::{Enforcement, Replica, ValidatorMode, ValidatorStatus, streams_by_gate},
    telemetry::EnforcementDelays,
};

/// The most streams of an answer.
const LISTED_MAX: usize = 10_000;

/// The enforcement of a change.
pub(crate) fn enforcement(enforcement: &Enforcement) -> v1::Enforcement {
    v1::Enforcement {
        revision: enforcement.revision.0,
        validators: enforcement.validators,
        confirmed: enforcement.confirmed,
        lapsed: enforcement.lapsed,
        unbounded: enforcement.unbounded,
        pending: enforcement.pending,
        complete: enforcement.complete,
        partial: enforcement.partial,
        elapsed: enforcement.elapsed.try_into().ok(),
    }
}

/// The validators of all authorities. They lag behind the last revision that changes something for a gate: what comes after
/// it waits for their next probe.
pub(crate) fn validators(
    listed: &Validators,
    head: Revision,
    last_change: Revision,
) -> ListValidatorsResponse {
    let all: Vec<_> = listed
        .replicas
        .iter()
        .flat_map(|replica| &replica.statuses)
        .collect();
    let streams = streams_by_gate(&all);
    let mut validators = Vec::new();
    let mut replicas = Vec::new();
    for replica in &listed.replicas {
        replicas.push(authority(replica));
        for status in &replica.statuses {
            let gate = (&*status.gate.caller, &*status.gate.name);
            validators.push(v1::ValidatorStatus {
                replica: replica.name.clone(),
                lag: last_change.0.saturating_sub(status.applied.0),
                streams: streams.get(&gate).copied().unwrap_or_default(),
                ..validator(status)
            });
        }
    }
    let omitted = validators.len().saturating_sub(LISTED_MAX);
    validators.truncate(LISTED_MAX);
    ListValidatorsResponse {
        validators,
        head_revision: head.0,
        replicas,
        partial: listed.is_partial,
        omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
        delays: Some(delays(&listed.delays)),
    }
}

fn delays(delays: &EnforcementDelays) -> v1::EnforcementDelays {
    let mut buckets = Vec::new();
    for (bound, count) in delays.buckets() {
        buckets.push(v1::EnforcementDelayBucket {
            upper_bound: bound.try_into().ok(),
            count,
        });
    }
    v1::EnforcementDelays {
        count: delays.count(),
        missed: delays.missed,
        p50: wire(delays.quantile(0.5)),
        p90: wire(delays.quantile(0.9)),
        p99: wire(delays.quantile(0.99)),
        max: wire(delays.max),
        buckets,
    }
}

fn wire(length: Duration) -> Option<prost_types::Duration> {
    length.try_into().ok()
}

fn authority(replica: &Replica) -> v1::AuthorityReplica {
    v1::AuthorityReplica {
        name: replica.name.clone(),
        answering: replica.is_answering,
        beat_age: replica.beat_age.try_into().ok(),
        streams: u32::try_from(replica.statuses.len()).unwrap_or(u32::MAX),
    }
}

fn validator(status: &ValidatorStatus) -> v1::ValidatorStatus {
    v1::ValidatorStatus {
        name: status.gate.name.clone(),
        mode: validator_mode(status.gate.mode).into(),
        max_staleness: wire(status.gate.max_staleness),
        caller: status.gate.caller.clone(),
        address: status.gate.address.clone(),
        version: status.gate.version.clone(),
        applied_revision: status.applied.0,
        connect_time: Some(status.connected_at.into()),
        probe_age: status.probe_age.and_then(wire),
        freshness: status.freshness.and_then(wire),
        clock_skew: status.skew_micros.map(signed),
        lapsed: status.lapsed,
        log_version: status.gate.log_version,
        ..Default::default()
    }
}

/// A duration that may be negative.
fn signed(micros: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: micros / 1_000_000,
        // Less than a second, so that it fits.
        nanos: i32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default(),
    }
}

fn validator_mode(mode: ValidatorMode) -> v1::ValidatorMode {
    match mode {
        ValidatorMode::Strict => v1::ValidatorMode::Strict,
        ValidatorMode::BestEffort => v1::ValidatorMode::BestEffort,
    }
}
