//! Receipts: the number of gates that have dropped the sessions which a change ended, in a sentence.
//!
//! A change waits for its enforcement a moment, which is long enough when all gates are well: its page then tells the
//! whole in one sentence. Otherwise the page follows the rest by a [live receipt](crate::live_receipts).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_contract::v1::Enforcement;
use tonic::Request;

use crate::words::{Value, Words};

/// Where live receipts are.
pub(crate) const PATH: &str = "/receipts/";
/// The longest time that a form waits for gates. They take milliseconds, unless one of them is away.
const WAIT: Duration = Duration::from_secs(3);
/// An order that is older is told without its duration: the page was opened again.
const RECENT_MILLISECONDS: u64 = 60_000;

/// A call for a change that waits for its enforcement. The message has `wait` set to `Wait::Enforced`.
pub(crate) fn waiting<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    // The authority answers a little before this deadline, with the receipt as it is then. So the
    // deadline ends the wait, and never the change.
    request.set_timeout(WAIT);
    request
}

/// Milliseconds since 1970, by the clock of this machine.
pub(crate) fn now_milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 counts as 1970, because the time only words an age.
    let milliseconds = now.unwrap_or_default().as_millis();
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

/// A receipt in a sentence. `age` is the time since the order, in milliseconds.
pub(crate) fn sentence(words: Words, receipt: &Enforcement, age: u64) -> String {
    let gates = Value::from(receipt.validators);
    if receipt.complete && age <= RECENT_MILLISECONDS {
        let values = [("gates", gates), ("milliseconds", age.into())];
        return words.with("frame-receipt-complete", values);
    }
    if receipt.complete {
        return words.with("frame-receipt-all", [("gates", gates)]);
    }

    // A strict gate that can accept nothing any more has dropped it too, without a word of its own.
    let dropped = receipt.confirmed.saturating_add(receipt.lapsed);
    let values = [
        ("dropped", dropped.into()),
        ("gates", gates),
        ("milliseconds", age.into()),
    ];
    words.with("frame-receipt", values)
}
