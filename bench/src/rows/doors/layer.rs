//! The tower layer in an axum service, called in this process: no socket hides what it takes.

use std::{sync::Arc, time::Instant};

use anyhow::{Result, ensure};
use axum::{Router, body::Body, routing::get};
use futures::FutureExt;
use http::{Request, StatusCode, header::AUTHORIZATION};
use portcullis_validator::{Rules, ValidatorLayer};
use tower::Service;

use crate::{
    effort::Effort,
    load::HOST,
    measure::{median, percentile},
    replay::Replay,
    report::{Bar, Report},
    rows::validate,
};

/// Sessions that send requests.
const SESSIONS: u64 = 10_000;
/// Requests that are made before they are timed, as a server has parsed them just before.
const BATCH: usize = 64;
const BATCHES: usize = 2_000;

/// Nanoseconds that the layer may add to the median.
const ADDED_MAX: f64 = 1_000.0;

pub(crate) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let (view, signer) = validate::view_with_revocations()?;
    let log = Replay::start(view)?;
    let gate = log.gate().await?;
    let mut tokens = Vec::new();
    for index in 0..SESSIONS {
        let token = validate::token(&signer, index)?;
        gate.check(&token)?;
        tokens.push(token);
    }
    let tokens = Arc::new(tokens);
    let layer = ValidatorLayer::new(gate, &Rules::default())?;

    let batches = effort.count(BATCHES);
    let measured = tokio::task::spawn_blocking(move || {
        let plain = Router::new().route("/", get(answer));
        let guarded = plain.clone().layer(layer);
        measure(plain, guarded, &tokens, batches)
    });
    let (plain, guarded) = measured.await??;
    report.compare_within(
        "layer_overhead",
        guarded - plain,
        "ns",
        ("axum without the layer, p50 (ns)", plain),
        Bar::ValueAtMost(ADDED_MAX),
    );
    Ok(())
}

async fn answer() -> &'static str {
    "ok"
}

/// The medians of a call without the layer and with it, measured in turns.
fn measure(
    mut plain: Router,
    mut guarded: Router,
    tokens: &[String],
    batches: usize,
) -> Result<(f64, f64)> {
    let mut drawn = tokens.iter().cycle();
    let mut without = Vec::with_capacity(batches);
    let mut with = Vec::with_capacity(batches);
    for _ in 0..batches {
        let batch: Vec<_> = drawn.by_ref().take(BATCH).collect();
        without.push(percentile(&times(&mut plain, &batch)?, 0.5));
        with.push(percentile(&times(&mut guarded, &batch)?, 0.5));
    }
    Ok((median(without), median(with)))
}

/// Nanoseconds of each request.
fn times(service: &mut Router, tokens: &[&String]) -> Result<Vec<f64>> {
    let mut requests = Vec::with_capacity(tokens.len());
    for token in tokens {
        let request = Request::get("/")
            .header("host", HOST)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())?;
        requests.push(request);
    }
    let mut times = Vec::with_capacity(requests.len());
    for request in requests {
        let begun = Instant::now();
        let answered = Service::<Request<Body>>::call(service, request).now_or_never();
        times.push(begun.elapsed().as_nanos() as f64);
        let admitted = answered.is_some_and(|Ok(response)| response.status() == StatusCode::OK);
        ensure!(admitted, "a live session is refused");
    }
    Ok(times)
}
