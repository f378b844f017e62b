//! Gauges of readiness.

use std::sync::Arc;

use opentelemetry::{KeyValue, metrics::Meter};

use super::readiness::{Condition, Pulse, Readiness};

/// The gauges of the pulses' ages.
const AGES: [(&str, &str, Pulse); 3] = [
    (
        "portcullis.beat.age",
        "Since the last beat of this authority.",
        Pulse::Beat,
    ),
    (
        "portcullis.write.age",
        "Since the store last took a write of this authority's check.",
        Pulse::Writes,
    ),
    (
        "portcullis.feed.age",
        "Since this authority's view was last at the head.",
        Pulse::Feed,
    ),
];

/// Observes readiness whenever a reader asks. It does not keep readiness alive.
pub(crate) fn observe(meter: &Meter, readiness: &Arc<Readiness>) {
    observe_conditions(meter, readiness);
    observe_ages(meter, readiness);
}

fn observe_conditions(meter: &Meter, readiness: &Arc<Readiness>) {
    // Weak, because the callback lives as long as the meter, and must not keep a stopped authority alive.
    let source = Arc::downgrade(readiness);
    meter
        .u64_observable_gauge("portcullis.unready")
        .with_unit("{condition}")
        .with_description("1 for each condition that makes this authority not ready, else 0.")
        .with_callback(move |observer| {
            let Some(readiness) = source.upgrade() else {
                return;
            };
            let problems = readiness.problems();
            let problems = problems.borrow();
            for condition in Condition::ALL {
                let is_raised = u64::from(problems.contains_key(&condition));
                let attribute = KeyValue::new("portcullis.condition", condition.name());
                observer.observe(is_raised, &[attribute]);
            }
        })
        .build();
}

fn observe_ages(meter: &Meter, readiness: &Arc<Readiness>) {
    for (name, description, pulse) in AGES {
        let source = Arc::downgrade(readiness);
        meter
            .f64_observable_gauge(name)
            .with_unit("s")
            .with_description(description)
            .with_callback(move |observer| {
                if let Some(readiness) = source.upgrade() {
                    observer.observe(readiness.age(pulse).as_secs_f64(), &[]);
                }
            })
            .build();
    }
}
