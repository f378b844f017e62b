//! The metrics as messages of Prometheus. Its text format cannot carry native histograms.

use std::collections::BTreeMap;

use prometheus::proto;
use prost::Message;

use super::native::{self, NativeHistogram};

/// The type that a Prometheus asks for when it reads native histograms.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.google.protobuf; \
                                       proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A histogram that is sent as a native one too.
pub(super) struct Native<'a> {
    /// Its name in the registry.
    pub(super) name: &'a str,
    /// The label that tells its series apart.
    pub(super) label: &'a str,
    pub(super) histogram: &'a NativeHistogram,
}

/// Writes all families, each after its length.
pub(super) fn encode(families: &[proto::MetricFamily], native: &Native<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for family in families {
        let mut message = MetricFamily::from(family);
        if message.name == native.name {
            for metric in &mut message.metric {
                metric.add_native(native);
            }
        }
        let encoded = message.encode_length_delimited_to_vec();
        bytes.extend_from_slice(&encoded);
    }
    bytes
}

/// The metrics of one name. The fields of this and the next messages are those of `io.prometheus.client`.
#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(enumeration = "MetricType", tag = "3")]
    r#type: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Value>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Value>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A gauge or a counter.
#[derive(Clone, Copy, PartialEq, Message)]
struct Value {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
}

/// Buckets without a gap between them.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct BucketSpan {
    /// The index of the first bucket, counted from the end of the span before.
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

impl Metric {
    /// Adds the native buckets, if this metric has some.
    fn add_native(&mut self, native: &Native<'_>) {
        let label = self.label.iter().find(|pair| pair.name == native.label);
        let series = label.and_then(|pair| native.histogram.series(&pair.value));
        if let (Some(series), Some(histogram)) = (series, &mut self.histogram) {
            histogram.add(&series);
        }
    }
}

impl Histogram {
    fn add(&mut self, series: &native::Series) {
        // The registry was read before, and may have counted less. All native buckets together have to be this count.
        self.sample_count = series.count;
        self.sample_sum = series.sum;
        self.schema = native::SCHEMA;
        self.zero_threshold = native::ZERO_THRESHOLD;
        self.zero_count = series.zeros;
        (self.positive_span, self.positive_delta) = spans(&series.buckets);
    }
}

/// Returns runs of buckets, and the count of each bucket as the difference to the one before.
fn spans(buckets: &BTreeMap<i32, u64>) -> (Vec<BucketSpan>, Vec<i64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut deltas = Vec::new();
    let (mut next, mut before) = (0, 0);
    for (&index, &count) in buckets {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(BucketSpan {
                offset: index - next,
                length: 1,
            }),
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        deltas.push(count - before);
        (next, before) = (index + 1, count);
    }
    (spans, deltas)
}

impl From<&proto::MetricFamily> for MetricFamily {
    fn from(family: &proto::MetricFamily) -> Self {
        let kind = match family.get_field_type() {
            proto::MetricType::COUNTER => MetricType::Counter,
            proto::MetricType::HISTOGRAM => MetricType::Histogram,
            // OpenTelemetry has no instrument that becomes a summary, or a value of no type.
            proto::MetricType::GAUGE | proto::MetricType::SUMMARY | proto::MetricType::UNTYPED => {
                MetricType::Gauge
            }
        };
        let metrics = family.get_metric().iter();
        Self {
            name: family.name().to_owned(),
            help: family.help().to_owned(),
            r#type: kind.into(),
            metric: metrics.map(|metric| Metric::of(metric, kind)).collect(),
        }
    }
}

impl Metric {
    fn of(metric: &proto::Metric, kind: MetricType) -> Self {
        let mut message = Self {
            label: metric.get_label().iter().map(LabelPair::from).collect(),
            ..Self::default()
        };
        match kind {
            MetricType::Counter => {
                let value = metric.get_counter().get_value();
                message.counter = Some(Value { value });
            }
            MetricType::Gauge => {
                let value = metric.get_gauge().get_value();
                message.gauge = Some(Value { value });
            }
            MetricType::Histogram => {
                message.histogram = Some(Histogram::from(metric.get_histogram()));
            }
        }
        message
    }
}

impl From<&proto::LabelPair> for LabelPair {
    fn from(pair: &proto::LabelPair) -> Self {
        Self {
            name: pair.name().to_owned(),
            value: pair.value().to_owned(),
        }
    }
}

impl From<&proto::Histogram> for Histogram {
    fn from(histogram: &proto::Histogram) -> Self {
        let buckets = histogram.get_bucket().iter();
        Self {
            sample_count: histogram.get_sample_count(),
            sample_sum: histogram.get_sample_sum(),
            bucket: buckets.map(Bucket::from).collect(),
            ..Self::default()
        }
    }
}

impl From<&proto::Bucket> for Bucket {
    fn from(bucket: &proto::Bucket) -> Self {
        Self {
            cumulative_count: bucket.cumulative_count(),
            upper_bound: bucket.upper_bound(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_buckets_and_their_counts_can_be_read_back() {
        let buckets = BTreeMap::from([(-9, 4), (-8, 1), (-3, 7), (0, 7), (1, 2)]);
        let (spans, deltas) = spans(&buckets);
        let lengths: Vec<_> = spans
            .iter()
            .map(|span| (span.offset, span.length))
            .collect();
        assert_eq!(lengths, [(-9, 2), (4, 1), (2, 2)]);

        let mut read = BTreeMap::new();
        let (mut index, mut count, mut deltas) = (0, 0, deltas.into_iter());
        for span in spans {
            index += span.offset;
            for _ in 0..span.length {
                count += deltas.next().expect("a delta for each bucket");
                read.insert(index, u64::try_from(count).expect("a count"));
                index += 1;
            }
        }
        assert_eq!(read, buckets);
    }
}
