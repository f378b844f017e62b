//! Histograms of durations, in seconds.

use opentelemetry::metrics::{Histogram, Meter};

/// Seconds, from a lookup in memory or a fast disk to a wait for a distant standby.
pub(super) const DURATION_BUCKETS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Makes a histogram of seconds with these upper bounds.
pub(super) fn of_seconds(
    meter: &Meter,
    name: &'static str,
    buckets: &[f64],
    description: &'static str,
) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(buckets.to_vec())
        .build()
}
