//! Gauges of the feed and of the validators that watch this authority.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::Meter};
use portcullis_contract::position::Revision;

use super::{Feed, Gauges, Validators};

/// The most validators with a series of their own, in the order of their names. The others share one.
const VALIDATOR_SERIES_MAX: usize = 100;
/// The name of the shared series.
const OTHERS: &str = "_others";

/// A gauge of the feed: its name, unit and description, and its value.
type FeedGauge = (&'static str, &'static str, &'static str, fn(&Gauges) -> u64);

const FEED_GAUGES: [FeedGauge; 8] = [
    (
        "portcullis.log.head",
        "{revision}",
        "The log's head, as last read.",
        |feed| feed.head.0,
    ),
    (
        "portcullis.feed.applied",
        "{revision}",
        "The revision of this authority's own view.",
        |feed| feed.applied.0,
    ),
    (
        "portcullis.feed.ring.depth",
        "{batch}",
        "Batches in memory.",
        |feed| feed.ring_frames,
    ),
    (
        "portcullis.feed.ring.size",
        "By",
        "The deltas of the batches in memory.",
        |feed| feed.ring_bytes,
    ),
    (
        "portcullis.feed.snapshot.size",
        "By",
        "The newest snapshot.",
        |feed| feed.snapshot_bytes,
    ),
    (
        "portcullis.feed.forks",
        "{fork}",
        "Times that the store had another history than before.",
        |feed| feed.forks,
    ),
    (
        "portcullis.view.entries",
        "{entry}",
        "Revoked credentials and cutoffs that every gate holds.",
        |feed| feed.view_entries,
    ),
    (
        "portcullis.view.size",
        "By",
        "Those entries, encoded.",
        |feed| feed.view_bytes,
    ),
];

/// Observes the feed and the validators whenever a reader asks. It keeps neither alive.
pub(crate) fn observe(meter: &Meter, feed: &Arc<Feed>, validators: &Arc<Validators>) {
    for (name, unit, description, read) in FEED_GAUGES {
        let feed = Arc::downgrade(feed);
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| {
                if let Some(feed) = feed.upgrade() {
                    observer.observe(read(&feed.gauges()), &[]);
                }
            })
            .build();
    }
    observe_streams(meter, feed, validators);
    observe_probes(meter, validators);
}

fn observe_streams(meter: &Meter, feed: &Arc<Feed>, validators: &Arc<Validators>) {
    let source = Arc::downgrade(validators);
    meter
        .u64_observable_gauge("portcullis.watch.streams")
        .with_unit("{stream}")
        .with_description("Connected validators.")
        .with_callback(move |observer| {
            if let Some(validators) = source.upgrade() {
                observer.observe(validators.streams(), &[]);
            }
        })
        .build();
    observe_parked_streams(meter, feed, validators);
}

fn observe_parked_streams(meter: &Meter, feed: &Arc<Feed>, validators: &Arc<Validators>) {
    let feed = Arc::downgrade(feed);
    let source = Arc::downgrade(validators);
    meter
        .u64_observable_gauge("portcullis.watch.streams.parked")
        .with_unit("{stream}")
        .with_description("Streams whose reader has no room for the newest batch.")
        .with_callback(move |observer| {
            if let (Some(feed), Some(validators)) = (feed.upgrade(), source.upgrade()) {
                let head = feed.view().position().revision;
                observer.observe(validators.parked_streams(head), &[]);
            }
        })
        .build();
}

fn observe_probes(meter: &Meter, validators: &Arc<Validators>) {
    let source = Arc::downgrade(validators);
    meter
        .f64_observable_gauge("portcullis.validator.probe.age")
        .with_unit("s")
        .with_description(
            "Since the last probe of each validator: its view may be older than this, never fresher.",
        )
        .with_callback(move |observer| {
            for (name, series) in series_by_name(&source) {
                let name = KeyValue::new("portcullis.validator.name", name);
                observer.observe(series.probe_age.as_secs_f64(), &[name]);
            }
        })
        .build();
    observe_applied(meter, validators);
}

fn observe_applied(meter: &Meter, validators: &Arc<Validators>) {
    let source = Arc::downgrade(validators);
    meter
        .u64_observable_gauge("portcullis.validator.applied")
        .with_unit("{revision}")
        .with_description("The revision that each validator reported as applied.")
        .with_callback(move |observer| {
            for (name, series) in series_by_name(&source) {
                let name = KeyValue::new("portcullis.validator.name", name);
                observer.observe(series.applied.0, &[name]);
            }
        })
        .build();
}

/// The worst values of the streams that share a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Series {
    applied: Revision,
    probe_age: Duration,
}

impl Series {
    fn worse(self, other: Self) -> Self {
        Self {
            applied: self.applied.min(other.applied),
            probe_age: self.probe_age.max(other.probe_age),
        }
    }
}

fn series_by_name(validators: &Weak<Validators>) -> BTreeMap<String, Series> {
    let Some(validators) = validators.upgrade() else {
        return BTreeMap::new();
    };
    let streams = validators.series().into_iter();
    bounded(streams.map(|(name, applied, probe_age)| (name, Series { applied, probe_age })))
}

/// Merges streams by name. Names beyond the bound share one series, so that gates cannot create any number of them.
fn bounded(streams: impl Iterator<Item = (String, Series)>) -> BTreeMap<String, Series> {
    let mut merged = BTreeMap::new();
    for (name, series) in streams {
        merge(&mut merged, name, series);
    }
    if merged.len() > VALIDATOR_SERIES_MAX
        // One less than the bound, because the shared series takes a place too.
        && let Some(first) = merged.keys().nth(VALIDATOR_SERIES_MAX - 1).cloned()
        && let Some(worst) = merged.split_off(&first).into_values().reduce(Series::worse)
    {
        merge(&mut merged, OTHERS.to_owned(), worst);
    }
    merged
}

fn merge(merged: &mut BTreeMap<String, Series>, name: String, series: Series) {
    merged
        .entry(name)
        .and_modify(|known| *known = known.worse(series))
        .or_insert(series);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(applied: u64, seconds: u64) -> Series {
        Series {
            applied: Revision(applied),
            probe_age: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_name_that_several_streams_have_shows_the_worst() {
        let all = [
            ("a", series(5, 1)),
            ("a", series(3, 2)),
            ("b", series(9, 9)),
        ];
        let merged = bounded(
            all.into_iter()
                .map(|(name, series)| (name.to_owned(), series)),
        );
        assert_eq!(merged["a"], series(3, 2));
        assert_eq!(merged["b"], series(9, 9));
    }

    #[test]
    fn beyond_the_bound_names_share_one_series_and_the_worst_is_kept() {
        for prefix in ["gate", "~", "A"] {
            let all = (0..1000_u64).map(|number| {
                (
                    format!("{prefix}{number:04}"),
                    series(5000 - number, number),
                )
            });
            let merged = bounded(all);
            assert_eq!(merged.len(), VALIDATOR_SERIES_MAX, "{prefix}");
            assert_eq!(merged[OTHERS], series(5000 - 999, 999));
        }
    }

    #[test]
    fn as_many_names_as_the_bound_have_their_own_series() {
        let all = (0..VALIDATOR_SERIES_MAX).map(|number| (format!("{number:04}"), series(1, 1)));
        let merged = bounded(all);
        assert_eq!(merged.len(), VALIDATOR_SERIES_MAX);
        assert!(!merged.contains_key(OTHERS));
    }
}
