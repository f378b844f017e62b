//! A native histogram of Prometheus: buckets that grow by a constant factor, of which only those that counted something
//! are kept and sent.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Eight buckets double the value: no quantile is more than 9 % too high.
pub(super) const SCHEMA: i32 = 3;
const BUCKETS_PER_DOUBLING: f64 = 8.0;
/// Values up to this one count as zero. A delay over a network is never as short.
pub(super) const ZERO_THRESHOLD: f64 = 1e-6;
/// The bucket of the longest value that is told apart, 2^13 s. With [`ZERO_THRESHOLD`] it bounds the number of buckets.
const INDEX_MAX: i32 = 13 * 8;

/// The series of one histogram, by the value of their one label.
#[derive(Default)]
pub(super) struct NativeHistogram(Mutex<BTreeMap<&'static str, Series>>);

/// The observations of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// The values up to [`ZERO_THRESHOLD`].
    pub(super) zeros: u64,
    /// The others. Bucket `i` ends at 2^(i/8), and begins where the one before ends.
    pub(super) buckets: BTreeMap<i32, u64>,
}

impl NativeHistogram {
    pub(super) fn record(&self, label: &'static str, value: f64) {
        let mut all = self.lock();
        let series = all.entry(label).or_default();
        series.count += 1;
        series.sum += value;
        match bucket_of(value) {
            None => series.zeros += 1,
            Some(index) => *series.buckets.entry(index).or_default() += 1,
        }
    }

    pub(super) fn series(&self, label: &str) -> Option<Series> {
        self.lock().get(label).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bucket_of(value: f64) -> Option<i32> {
    if value <= ZERO_THRESHOLD {
        return None;
    }
    let index = (value.log2() * BUCKETS_PER_DOUBLING).ceil();
    Some((index as i32).min(INDEX_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_bucket_that_ends_at_or_above_it() {
        for millis in 1..10_000 {
            let value = f64::from(millis) / 1_000.0;
            let index = f64::from(bucket_of(value).expect("above zero"));
            let (begin, end) = (((index - 1.0) / 8.0).exp2(), (index / 8.0).exp2());
            assert!(begin < value && value <= end, "{begin} {value} {end}");
        }
        assert_eq!(bucket_of(1.0), Some(0));
        assert_eq!(bucket_of(0.0), None);
    }

    #[test]
    fn no_value_makes_it_grow_beyond_its_buckets() {
        let histogram = NativeHistogram::default();
        for exponent in -300..300 {
            histogram.record("measured", 10_f64.powi(exponent));
        }
        histogram.record("measured", f64::INFINITY);

        let series = histogram.series("measured").expect("a series");
        assert_eq!(series.count, 601);
        assert_eq!(series.zeros + series.buckets.values().sum::<u64>(), 601);
        assert_eq!(series.buckets.keys().last(), Some(&INDEX_MAX));
        assert!(series.buckets.len() < 270);
        assert_eq!(histogram.series("reported"), None);
    }
}
