//! Ways to measure on a noisy machine: medians, and many short runs rather than one long one.

use std::{
    fs,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value that a share of all values does not exceed: 0.99 gives the p99.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds of one call: the median over `batches` batches of `size` calls.
pub(crate) fn nanoseconds(batches: usize, size: usize, mut call: impl FnMut()) -> f64 {
    let batch = |_| {
        let begun = Instant::now();
        (0..size).for_each(|_| call());
        begun.elapsed().as_nanos() as f64 / size as f64
    };
    median((0..batches).map(batch).collect())
}

/// Milliseconds of each of `count` awaited calls; the median.
pub(crate) async fn milliseconds<F: Future<Output = Result<()>>>(
    count: usize,
    mut call: impl FnMut() -> F,
) -> Result<f64> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        call().await?;
        all.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(all))
}

/// Calls finished a second by `callers` tasks that each call again as soon as they have an answer.
pub(crate) async fn rate<C, F>(
    callers: usize,
    warm_up: Duration,
    time: Duration,
    caller: impl Fn(usize) -> C,
) -> Result<f64>
where
    C: FnMut() -> F + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let done = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..callers)
        .map(|index| {
            let (mut call, done) = (caller(index), Arc::clone(&done));
            tokio::spawn(async move {
                loop {
                    call().await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                #[allow(unreachable_code)]
                Ok::<(), anyhow::Error>(())
            })
        })
        .collect();
    tokio::time::sleep(warm_up).await;
    let (before, begun) = (done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(time).await;
    let rate = (done.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
    for task in tasks {
        if task.is_finished() {
            task.await??;
        } else {
            task.abort();
        }
    }
    Ok(rate)
}

/// CPU time that a process has used, in microseconds.
pub(crate) fn cpu_microseconds(process: u32) -> Result<f64> {
    let stat =
        fs::read_to_string(format!("/proc/{process}/stat")).context("reading a process's times")?;
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks: f64 = [11, 12]
        .iter()
        .filter_map(|at| fields.get(*at)?.parse::<f64>().ok())
        .sum();
    // Linux counts in hundredths of a second for user space, whatever the kernel's own tick.
    Ok(ticks * 10_000.0)
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident_kib(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))
        .context("reading a process's memory")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    Ok(line
        .split_whitespace()
        .nth(1)
        .context("no number")?
        .parse()?)
}
