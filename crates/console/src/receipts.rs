//! Live receipts: the number of gates that have applied a revision, as server-sent events.
//!
//! A change waits for its enforcement a moment, which is long enough when all gates are well: its page then tells the
//! whole in one sentence. Otherwise the page follows the rest here.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{Path, Query},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::{Stream, StreamExt, future, stream};
use portcullis_contract::v1::{Enforcement, WatchEnforcementRequest, WatchEnforcementResponse};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Status, Streaming};

use crate::{
    person::Visitor,
    problem::Problem,
    state::State,
    words::{Value, Words},
};

/// Where live receipts are.
pub(crate) const PATH: &str = "/receipts/";
/// The longest time that a form waits for gates. They take milliseconds, unless one of them is away.
const WAIT: Duration = Duration::from_secs(3);
/// The longest time for which a page follows a receipt without asking again.
const FOLLOWED: Duration = Duration::from_secs(60);
/// The time between two comments that keep the connection open.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// An order that is older is told without its duration: the page was opened again.
const RECENT_MILLISECONDS: u64 = 60_000;

/// A call for a change that waits for its enforcement. The message has `wait` set to `Wait::Enforced`.
pub(crate) fn waiting<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(WAIT);
    request
}

/// Milliseconds since 1970, by the clock of this machine.
pub(crate) fn now_milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let milliseconds = now.unwrap_or_default().as_millis();
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

pub(crate) fn routes() -> Router<State> {
    Router::new().route("/receipts/{revision}", get(follow))
}

#[derive(Deserialize)]
struct Order {
    /// When the change was ordered, in milliseconds since 1970.
    #[serde(default)]
    since: u64,
}

/// Follows a receipt until every gate has dropped, also for a person whose own session it ended.
async fn follow(
    visitor: Visitor,
    Path(revision): Path<u64>,
    Query(order): Query<Order>,
) -> Result<Response, Problem> {
    let places = &visitor.state.receipts;
    let place = places.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::too_many())?;
    let request = WatchEnforcementRequest {
        revision,
        timeout: prost_types::Duration::try_from(FOLLOWED).ok(),
    };
    let mut authority = visitor.authority.revocation();
    let receipts = authority.watch_enforcement(request).await?.into_inner();
    let words = visitor.reader.words;
    let events = events(receipts, words, order.since, place);
    let closed = visitor.state.close.clone().cancelled_owned();
    let events = events.take_until(closed);
    let keepalive = KeepAlive::new().interval(KEEPALIVE);
    Ok(Sse::new(events).keep_alive(keepalive).into_response())
}

/// A sentence for each receipt. The last one is of another kind, after which the page asks no more.
fn events(
    receipts: Streaming<WatchEnforcementResponse>,
    words: Words,
    since: u64,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let event = move |received: Result<WatchEnforcementResponse, Status>| {
        // The place is held for as long as the page follows.
        let _ = &place;
        // The stream has ended early. The browser asks again by itself.
        let receipt = received.ok().and_then(|message| message.receipt)?;
        let age = now_milliseconds().saturating_sub(since);
        let text = sentence(words, &receipt, age);
        let kind = if receipt.complete {
            "complete"
        } else {
            "receipt"
        };
        Some(Event::default().event(kind).data(text))
    };
    receipts
        .map(event)
        .take_while(|event| future::ready(event.is_some()))
        .flat_map(stream::iter)
        .map(Ok)
}

/// A receipt in a sentence. `age` is the time since the order, in milliseconds.
pub(crate) fn sentence(words: Words, receipt: &Enforcement, age: u64) -> String {
    let word = match (receipt.complete, age <= RECENT_MILLISECONDS) {
        (true, true) => "frame-receipt-complete",
        (true, false) => "frame-receipt-all",
        (false, _) => "frame-receipt",
    };
    let gates = Value::from(receipt.validators);
    // A strict gate that can accept nothing any more has dropped it too, without a word of its own.
    let dropped = receipt.confirmed.saturating_add(receipt.lapsed);
    match word {
        "frame-receipt-all" => words.with(word, [("gates", gates)]),
        "frame-receipt-complete" => {
            words.with(word, [("gates", gates), ("milliseconds", age.into())])
        }
        _ => words.with(
            word,
            [
                ("dropped", dropped.into()),
                ("gates", gates),
                ("milliseconds", age.into()),
            ],
        ),
    }
}
