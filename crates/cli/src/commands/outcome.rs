//! The outcome of a command that ends something.

use portcullis_contract::v1;
use serde::Serialize;

use crate::{
    failure::Result,
    output::{Record, document::Document, text::visible, times},
};

/// The outcome of a command, with the gates that enforce it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// The change, in words.
    pub(crate) action: String,
    /// Number of sessions that ended, if the authority counted them.
    pub(crate) sessions_ended: Option<u32>,
    /// Whether there may have been more.
    pub(crate) sessions_ended_capped: bool,
    /// The revision of the log that enforces it. 0: nothing had to change.
    pub(crate) revision: u64,
    /// Number of connected gates when it was durable.
    pub(crate) gates: u32,
    /// Number of them that had confirmed it by then.
    pub(crate) confirmed: u32,
    /// Number of gates in best-effort mode, for which no bound holds.
    pub(crate) unbounded: u32,
    /// Time until it was durable, in milliseconds.
    pub(crate) durable_ms: Option<f64>,
    /// True if no strict gate accepts the ended credentials any more. Unset unless the command waited.
    pub(crate) enforced: Option<bool>,
    /// Number of strict gates that had not confirmed it, and can no longer accept by their last proof.
    pub(crate) lapsed: Option<u32>,
    /// Time from the question about the gates to the last answer, in milliseconds.
    pub(crate) enforced_ms: Option<f64>,
}

impl Outcome {
    /// An outcome with the authority's knowledge about its enforcement.
    pub(crate) fn new(action: impl Into<String>, enforcement: Option<&v1::Enforcement>) -> Self {
        let mut outcome = Self {
            action: action.into(),
            ..Self::default()
        };
        if let Some(enforcement) = enforcement {
            outcome.revision = enforcement.revision;
            outcome.gates = enforcement.validators;
            // The gates that were so fast. Most confirm a moment later, and only `--wait` waits for
            // them.
            outcome.confirmed = enforcement.confirmed;
            outcome.unbounded = enforcement.unbounded;
            outcome.durable_ms = enforcement.elapsed.as_ref().map(times::as_milliseconds);
        }
        outcome
    }

    /// Adds its enforcement at the gates.
    pub(crate) fn add_receipt(&mut self, receipt: &v1::Enforcement) {
        self.gates = receipt.validators;
        self.confirmed = receipt.confirmed;
        self.unbounded = receipt.unbounded;
        self.enforced = Some(receipt.complete);
        self.lapsed = Some(receipt.lapsed);
        self.enforced_ms = receipt.elapsed.as_ref().map(times::as_milliseconds);
    }

    /// Adds the number of ended sessions.
    pub(crate) fn ended(mut self, sessions: u32, capped: bool) -> Self {
        self.sessions_ended = Some(sessions);
        self.sessions_ended_capped = capped;
        self
    }
}

impl Record for Outcome {
    const COLUMNS: &'static [&'static str] = &["done", "sessions", "revision", "gates"];

    fn cells(&self) -> Vec<String> {
        let sessions = match (self.sessions_ended, self.sessions_ended_capped) {
            (None, _) => "-".to_owned(),
            (Some(sessions), false) => sessions.to_string(),
            (Some(sessions), true) => format!("{sessions} or more"),
        };
        let revision = match self.revision {
            0 => "-".to_owned(),
            revision => revision.to_string(),
        };
        vec![
            visible(&self.action).into_owned(),
            sessions,
            revision,
            format!("{} of {} confirmed", self.confirmed, self.gates),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let labels = ["done", "sessions ended", "revision", "gates"];
        let mut lines: Vec<_> = labels.into_iter().zip(self.cells()).collect();
        if let Some(milliseconds) = self.durable_ms {
            lines.push(("durable after", format!("{milliseconds:.1} ms")));
        }
        // A time that ended without all gates is no time of enforcement.
        if let (Some(true), Some(milliseconds)) = (self.enforced, self.enforced_ms) {
            lines.push(("enforced after", format!("{milliseconds:.1} ms more")));
        }
        lines
    }

    fn name(&self) -> String {
        // The revision, because the next command may wait for it: `gates watch --revision`.
        self.revision.to_string()
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}
