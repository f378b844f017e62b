//! Live receipts: the progress of an enforcement, as server-sent events.

use std::{convert::Infallible, time::Duration};

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
use portcullis_contract::v1::{WatchEnforcementRequest, WatchEnforcementResponse};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, Streaming};

use crate::{
    person::Visitor,
    problem::Problem,
    receipts::{now_milliseconds, sentence},
    state::State,
    words::Words,
};

/// The longest time for which a page follows a receipt without asking again.
const FOLLOWED: Duration = Duration::from_secs(60);
/// The time between two comments that keep the connection open.
const KEEPALIVE: Duration = Duration::from_secs(15);

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
    // Before the call: otherwise pages beyond the bound would still open streams at the authority.
    let place = places.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::too_many())?;
    let receipts = watch(&visitor, revision).await?;
    let words = visitor.reader.words;
    let events = events(receipts, words, order.since, place);
    // A console that ends also ends these streams. Each could follow its receipt for longer than
    // the drain may take.
    let closed = visitor.state.close.clone().cancelled_owned();
    let events = events.take_until(closed);
    let keepalive = KeepAlive::new().interval(KEEPALIVE);
    Ok(Sse::new(events).keep_alive(keepalive).into_response())
}

async fn watch(
    visitor: &Visitor,
    revision: u64,
) -> Result<Streaming<WatchEnforcementResponse>, Status> {
    let request = WatchEnforcementRequest {
        revision,
        timeout: prost_types::Duration::try_from(FOLLOWED).ok(),
    };
    let mut authority = visitor.authority.revocation();
    Ok(authority.watch_enforcement(request).await?.into_inner())
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
        // The first `None` ends the stream. Server-sent events have no error of their own: a
        // browser whose stream ends simply asks again.
        .take_while(|event| future::ready(event.is_some()))
        .flat_map(stream::iter)
        .map(Ok)
}
