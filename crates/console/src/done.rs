//! The outcome of a change: the sentence and the receipt that the page after it shows.
//!
//! It travels in the address of that page, sealed: nobody can make a link that claims a sign-out that was none.

use portcullis_contract::v1::Enforcement;
use serde::{Deserialize, Serialize};

use crate::{receipts, words::Words};

/// The outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// The id of the sentence.
    // Names of one letter, because the value travels in an address.
    #[serde(rename = "w")]
    word: String,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
}

impl Done {
    /// A change, told by the word with this id.
    pub(crate) fn new(word: &str) -> Self {
        Self {
            word: word.to_owned(),
            receipt: None,
        }
    }

    /// Adds the receipt of the change, if it ended anything.
    pub(crate) fn enforcement(mut self, enforcement: Option<&Enforcement>) -> Self {
        self.receipt = enforcement.map(Receipt::of);
        self
    }

    /// The sentence.
    pub(crate) fn sentence(&self, words: &Words) -> String {
        words.text(&self.word)
    }

    /// The receipt.
    pub(crate) fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }
}

/// How far the gates had got when a change was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    /// The revision of the log. The page follows it live, unless it is complete.
    #[serde(rename = "v")]
    revision: u64,
    /// Gates that were connected.
    #[serde(rename = "g")]
    gates: u32,
    /// Gates that had dropped it, or could accept nothing any more.
    #[serde(rename = "d")]
    dropped: u32,
    /// From the call to its answer.
    #[serde(rename = "m")]
    milliseconds: u64,
    /// No gate accepted it any more.
    #[serde(rename = "e", default)]
    is_complete: bool,
    /// When it was ordered, in milliseconds since 1970.
    #[serde(rename = "t")]
    since: u64,
}

impl Receipt {
    fn of(enforcement: &Enforcement) -> Self {
        let elapsed = enforcement.elapsed.unwrap_or_default();
        let seconds = u64::try_from(elapsed.seconds).unwrap_or_default();
        let milliseconds = u64::try_from(elapsed.nanos / 1_000_000).unwrap_or_default();
        let milliseconds = seconds.saturating_mul(1_000).saturating_add(milliseconds);
        Self {
            revision: enforcement.revision,
            gates: enforcement.validators,
            dropped: enforcement.confirmed.saturating_add(enforcement.lapsed),
            milliseconds,
            is_complete: enforcement.complete,
            // By the console's own clock, and not the authority's. If another console follows the
            // receipt, the difference of their clocks changes a duration in a sentence, and nothing
            // else.
            since: receipts::now_milliseconds().saturating_sub(milliseconds),
        }
    }

    /// Where the page follows it. None: there is nothing left to follow.
    pub(crate) fn live(&self) -> Option<String> {
        if self.is_complete {
            return None;
        }
        Some(format!(
            "{}{}?since={}",
            receipts::PATH,
            self.revision,
            self.since
        ))
    }

    /// The sentence about it.
    pub(crate) fn sentence(&self, words: &Words) -> String {
        // The receipt keeps the sum of both kinds of dropped gates, and the sentence needs no more:
        // all of them count as confirmed.
        let known = Enforcement {
            validators: self.gates,
            confirmed: self.dropped,
            complete: self.is_complete,
            ..Enforcement::default()
        };
        receipts::sentence(*words, &known, self.milliseconds)
    }
}
