//! Connections of the ports: open ones, those that were refused, and those that the authority ended.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter, UpDownCounter},
};

/// The counts of connections, by port.
pub(crate) struct Connections {
    open: UpDownCounter<i64>,
    refused: Counter<u64>,
    ended: Counter<u64>,
}

/// A connection that is counted as open until this is dropped.
pub(crate) struct OpenConnection<'a> {
    open: &'a UpDownCounter<i64>,
    port: &'static str,
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.open.add(-1, &[port_attribute(self.port)]);
    }
}

impl Connections {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            open: meter
                .i64_up_down_counter("portcullis.connections")
                .with_unit("{connection}")
                .with_description("Open connections of each port.")
                .build(),
            refused: meter
                .u64_counter("portcullis.connections.refused")
                .with_unit("{connection}")
                .with_description("Connections that were not taken because a bound was reached.")
                .build(),
            ended: meter
                .u64_counter("portcullis.connections.ended")
                .with_unit("{connection}")
                .with_description("Connections that the authority ended.")
                .build(),
        }
    }

    /// Counts a connection as open.
    pub(crate) fn open(&self, port: &'static str) -> OpenConnection<'_> {
        self.open.add(1, &[port_attribute(port)]);
        OpenConnection {
            open: &self.open,
            port,
        }
    }

    /// Counts a connection that was refused.
    pub(crate) fn count_refused(&self, port: &'static str, bound: &'static str) {
        let bound = KeyValue::new("portcullis.bound", bound);
        self.refused.add(1, &[port_attribute(port), bound]);
    }

    /// Counts a connection that the authority ended.
    pub(crate) fn count_ended(&self, port: &'static str, reason: &'static str) {
        let reason = KeyValue::new("portcullis.reason", reason);
        self.ended.add(1, &[port_attribute(port), reason]);
    }
}

fn port_attribute(port: &'static str) -> KeyValue {
    KeyValue::new("portcullis.port", port)
}
