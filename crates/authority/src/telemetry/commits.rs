//! Commits of the log: their durations, sizes and spans.

use std::time::Instant;

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};
use opentelemetry_semantic_conventions::{attribute, metric};
use tracing::{Instrument, Span};

use super::{
    histogram::{self, DURATION_BUCKETS},
    trace::commit_span,
};
use crate::{
    domain::Entry,
    store::{Appended, StoreError},
};

/// Entries of a batch.
const BATCH_BUCKETS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// The durations and sizes of commits.
pub(crate) struct Commits {
    /// `db.system.name`
    system: &'static str,
    durations: Histogram<f64>,
    batches: Histogram<u64>,
}

impl Commits {
    pub(super) fn new(meter: &Meter, system: &'static str) -> Self {
        Self {
            system,
            durations: histogram::of_seconds(
                meter,
                metric::DB_CLIENT_OPERATION_DURATION,
                DURATION_BUCKETS,
                "How long a batch's commit takes.",
            ),
            batches: meter
                .u64_histogram("portcullis.log.batch.size")
                .with_unit("{entry}")
                .with_description("The entries of each batch.")
                .with_boundaries(BATCH_BUCKETS.to_vec())
                .build(),
        }
    }

    /// Runs a batch's commit in its span, and records it.
    pub(crate) async fn run(
        &self,
        entries: &[Entry],
        commit: impl Future<Output = Result<Appended, StoreError>>,
    ) -> Result<Appended, StoreError> {
        let span = commit_span(self.system, entries);
        let begun = Instant::now();
        let result = commit.instrument(span.clone()).await;
        record_result(&span, &result);

        let attributes = self.attributes(&result);
        self.durations
            .record(begun.elapsed().as_secs_f64(), &attributes);
        self.batches.record(entries.len() as u64, &[]);
        result
    }

    fn attributes(&self, result: &Result<Appended, StoreError>) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new(attribute::DB_SYSTEM_NAME, self.system),
            KeyValue::new(attribute::DB_OPERATION_NAME, "commit"),
            KeyValue::new(attribute::DB_COLLECTION_NAME, "log"),
        ];
        if let Err(error) = result {
            attributes.push(KeyValue::new(attribute::ERROR_TYPE, error_type(error)));
        }
        attributes
    }
}

fn record_result(span: &Span, result: &Result<Appended, StoreError>) {
    match result {
        Ok(appended) => {
            let outcomes = appended.outcomes.iter().flatten();
            let revision = outcomes.map(|outcome| outcome.revision.0).max();
            span.record("portcullis.revision", revision.unwrap_or_default());
        }
        Err(_) => {
            span.record("otel.status_code", "ERROR");
        }
    }
}

fn error_type(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Tls(_) => "tls",
        StoreError::Conflict(_) => "conflict",
        StoreError::TooSlow(_) => "too_slow",
        StoreError::InUse(_) => "in_use",
        StoreError::Overloaded(_) => "overloaded",
        StoreError::Trimmed => "trimmed",
        StoreError::NotMigrated => "not_migrated",
        StoreError::SchemaTooNew { .. } => "schema_too_new",
        StoreError::ForeignSchema(_) => "foreign_schema",
        StoreError::LogTooNew { .. } => "log_too_new",
        StoreError::LogTooOld { .. } => "log_too_old",
        StoreError::LogNotUnderstood { .. } => "log_not_understood",
        StoreError::LogNotLowered { .. } => "log_not_lowered",
        StoreError::MigrationBlocked { .. } => "migration_blocked",
        StoreError::Unusable(_) => "unusable",
        StoreError::Internal(_) => "internal",
    }
}
