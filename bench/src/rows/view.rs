//! Memory of a large view, and the time to take one in.

use std::time::Instant;

use anyhow::{Context, Result};
use portcullis_contract::{
    delta::{self, Change},
    id::Serial,
    key::CredentialKind,
    position::{Incarnation, Revision, sha256},
    view::{Frame, View},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{HEAP, measure::median, report::Report};

const REVOCATIONS: usize = 10_000_000;
const SERIALS: u64 = 1_000_000_000;
/// Serials of one delta, as a busy log has them.
const DELTA_SERIALS: usize = 200;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let before = held();
    let view = grown(REVOCATIONS, SERIALS, true)?;
    let revocations = view.revoked_count() as f64;
    report.add("view_bytes", (held() - before) / revocations, "B");
    let bytes = view.encode();
    let digest = sha256(&bytes);
    drop(view);
    let mut times = Vec::new();
    for _ in 0..9 {
        // What a validator does once the last byte has come: check, decode, put in force.
        let begun = Instant::now();
        anyhow::ensure!(sha256(&bytes) == digest, "the digest differs");
        let loaded = std::sync::Arc::new(View::decode(bytes.clone())?);
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(
            loaded.revoked_count() as f64 == revocations,
            "the view forgot something"
        );
    }
    report.add("snapshot_load", median(times), "ms");
    Ok(())
}

/// A view grown by deltas of random serials, half of them in the previous generation when `turned`.
pub(crate) fn grown(revocations: usize, serials: u64, turned: bool) -> Result<View> {
    let mut random = SmallRng::seed_from_u64(7);
    let mut view = View::empty(Incarnation([1; 16]));
    let deltas = revocations / DELTA_SERIALS;
    for index in 0..deltas {
        let serials = (0..DELTA_SERIALS)
            .map(|_| Serial(random.random_range(1..=serials)))
            .collect();
        let mut changes = vec![Change::Revoke {
            credential: CredentialKind::Session,
            serials,
        }];
        if turned && index == deltas / 2 {
            changes.push(Change::Turn);
        }
        let revision = Revision(view.position().revision.0 + 1);
        let frame = Frame {
            revision,
            delta: delta::encode(&changes, Vec::new()),
            audit_digest: [0; 32],
        };
        view = view.apply(&frame).context("a delta does not apply")?;
    }
    Ok(view)
}

fn held() -> f64 {
    HEAP.allocated() as f64
}
