//! The gauge of the certificates' ends.

use std::{sync::Arc, time::SystemTime};

use opentelemetry::{KeyValue, metrics::Meter};

use super::Tls;

/// Observes how long the certificates in use are valid, whenever a reader asks. It does not keep them alive.
pub(crate) fn observe_certificates(meter: &Meter, tls: &Arc<Tls>) {
    let source = Arc::downgrade(tls);
    meter
        .f64_observable_gauge("portcullis.tls.certificate.remaining")
        .with_unit("s")
        .with_description(
            "Until the first certificate of the file in use ends; negative: since then.",
        )
        .with_callback(move |observer| {
            let Some(tls) = source.upgrade() else {
                return;
            };
            for (file, end) in tls.certificate_ends() {
                let file = KeyValue::new("portcullis.file", file);
                observer.observe(seconds_until(end), &[file]);
            }
        })
        .build();
}

/// Seconds from now until a time in seconds since 1970.
fn seconds_until(end: i64) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    end as f64 - now.unwrap_or_default().as_secs_f64()
}
