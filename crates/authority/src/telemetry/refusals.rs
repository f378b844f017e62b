//! Refusals: calls that met a bound, and credentials that are not good.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

/// The counts of refused calls and credentials.
pub(crate) struct Refusals {
    calls: Counter<u64>,
    credentials: Counter<u64>,
}

impl Refusals {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            calls: meter
                .u64_counter("portcullis.refused")
                .with_unit("{call}")
                .with_description("Calls refused because a bound was reached, by bound.")
                .build(),
            credentials: meter
                .u64_counter("portcullis.credentials.refused")
                .with_unit("{call}")
                .with_description("Calls whose credential was refused.")
                .build(),
        }
    }

    /// Counts a call that was refused because the bound of this name was reached.
    pub(crate) fn count_call(&self, bound: &'static str) {
        self.calls
            .add(1, &[KeyValue::new("portcullis.bound", bound)]);
    }

    /// Counts a call of a class that was refused at the edge.
    pub(crate) fn count_shed_call(&self, class: &'static str, bound: &'static str) {
        let attributes = [
            KeyValue::new("portcullis.class", class),
            KeyValue::new("portcullis.bound", bound),
        ];
        self.calls.add(1, &attributes);
    }

    /// Counts a refused credential.
    pub(crate) fn count_credential(&self, reason: &'static str) {
        self.credentials
            .add(1, &[KeyValue::new("portcullis.reason", reason)]);
    }
}
