//! What a change did: the sentence and the receipt that the page after it shows.
//!
//! It travels in the address of that page, sealed: nobody can make a link that claims a sign-out that was none.

use portcullis_contract::v1::Enforcement;
use serde::{Deserialize, Serialize};

use crate::words::Words;

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// The id of the sentence. It may have the number `count`.
    #[serde(rename = "w")]
    word: String,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
}

impl Done {
    /// A change, told by the word with this id.
    pub(crate) fn new(word: &str) -> Self {
        Self {
            word: word.to_owned(),
            count: None,
            receipt: None,
        }
    }

    /// Sets the number in the sentence.
    pub(crate) fn count(mut self, count: impl Into<u64>) -> Self {
        self.count = Some(count.into());
        self
    }

    /// Adds the receipt of what the change ended, if it ended anything.
    pub(crate) fn enforcement(mut self, enforcement: Option<&Enforcement>) -> Self {
        self.receipt = enforcement.map(Receipt::of);
        self
    }

    /// The sentence.
    pub(crate) fn sentence(&self, words: &Words) -> String {
        match self.count {
            Some(count) => words.with(&self.word, [("count", count)]),
            None => words.text(&self.word),
        }
    }

    /// The receipt.
    pub(crate) fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }
}

/// How far the gates had got when a change was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    /// The revision of the log. The page follows it live.
    #[serde(rename = "v")]
    pub(crate) revision: u64,
    /// Gates that were connected.
    #[serde(rename = "g")]
    pub(crate) gates: u32,
    /// Gates that had dropped it.
    #[serde(rename = "d")]
    pub(crate) dropped: u32,
    /// From the call to its answer.
    #[serde(rename = "m")]
    pub(crate) milliseconds: u64,
}

impl Receipt {
    fn of(enforcement: &Enforcement) -> Self {
        let elapsed = enforcement.elapsed.unwrap_or_default();
        let seconds = u64::try_from(elapsed.seconds).unwrap_or_default();
        let milliseconds = u64::try_from(elapsed.nanos / 1_000_000).unwrap_or_default();
        Self {
            revision: enforcement.revision,
            gates: enforcement.validators,
            dropped: enforcement.confirmed,
            milliseconds: seconds.saturating_mul(1_000).saturating_add(milliseconds),
        }
    }

    /// The sentence about it.
    pub(crate) fn sentence(&self, words: &Words) -> String {
        use crate::words::Value;
        words.with(
            "frame-receipt",
            [
                ("dropped", Value::from(self.dropped)),
                ("gates", Value::from(self.gates)),
                ("milliseconds", Value::from(self.milliseconds)),
            ],
        )
    }
}
