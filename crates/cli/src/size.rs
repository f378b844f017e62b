//! `portcullis size`: estimates the room that an installation takes, from its people's use of a day.
//!
//! The figures of one row were measured: `tests/e2e/sizing.rs` does each thing some thousand times on a real PostgreSQL,
//! and compares.

use clap::Args;
use serde::Serialize;

use crate::{
    context::Shown,
    failure::{Failure, Result},
    output::{Record, document::Document},
};

/// Bytes of one thing, with its indexes where it is a row. Measured on PostgreSQL 15 with names, an email, a device and a
/// place of usual length.
mod bytes {
    /// A user, with the devices, places and networks that are remembered for later comparisons.
    pub(super) const USER: u64 = 1_700;
    /// A session. Half of its page stays free, so that a refresh or a report of use moves no row.
    pub(super) const SESSION: u64 = 2_300;
    /// An event of the audit trail.
    pub(super) const AUDIT_EVENT: u64 = 800;
    /// A batch of the log, of one sign-out.
    pub(super) const LOG_BATCH: u64 = 200;

    /// Write-ahead log of a sign-in, with its event of the trail.
    pub(super) const WAL_SIGN_IN: u64 = 6_200;
    /// Write-ahead log of a refresh, with its event of the trail.
    pub(super) const WAL_REFRESH: u64 = 1_800;
    /// Write-ahead log of a sign-out, with its event of the trail.
    pub(super) const WAL_SIGN_OUT: u64 = 2_200;

    /// A revocation in the memory of a gate and of an authority (bench row `view_bytes`, rounded up).
    pub(super) const REVOCATION: u64 = 3;
    /// A token in the cache of a gate (bench rows `sidecar_rss` and `module_rss`).
    pub(super) const CACHED_TOKEN: u64 = 1_600;
    /// The stream of a gate in the memory of its authority (bench row `stream_rss`, the largest run).
    pub(super) const STREAM: u64 = 65 * 1_024;
}

/// Options of `size`.
#[derive(Args)]
pub(crate) struct Options {
    /// Users of all tenants.
    #[arg(long, value_name = "NUMBER")]
    users: u64,
    /// Sign-ins of a day. By default one for each user.
    #[arg(long, value_name = "NUMBER")]
    sign_ins: Option<u64>,
    /// Refreshes of a day. By default twenty for each user.
    #[arg(long, value_name = "NUMBER")]
    refreshes: Option<u64>,
    /// Sign-outs of a day, by people, administrators and policies. By default one for each sign-in.
    #[arg(long, value_name = "NUMBER")]
    sign_outs: Option<u64>,
    /// Days for which a session is kept: its life, and `sessions.retention` after its end.
    #[arg(long, value_name = "DAYS", default_value_t = 37)]
    keep_sessions: u64,
    /// Days for which the audit trail is kept.
    #[arg(long, value_name = "DAYS", default_value_t = 400)]
    keep_audit: u64,
    /// Gates that are connected to one authority.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    gates: u64,
    /// Tokens in the cache of one gate.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    cached_tokens: u64,
    #[command(flatten)]
    shown: Shown,
}

/// Where bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Database,
    /// Of one day. Full page images come on top: one for each page that is changed first after a checkpoint.
    WalOfADay,
    MemoryOfAGate,
    MemoryOfAnAuthority,
}

/// One kind of thing, and the bytes of all of them.
#[derive(Debug, Serialize)]
struct Size {
    place: Place,
    what: &'static str,
    /// None in a sum.
    count: Option<u64>,
    /// None in a sum.
    bytes_each: Option<u64>,
    bytes: u64,
}

/// Runs `size`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let sizes = sizes(options).ok_or_else(|| {
        Failure::usage("these numbers are too large").hint("no table has more than 2^64 bytes")
    })?;
    options.shown.printer().list(&sizes)
}

/// Every kind of thing. None if a number does not fit.
fn sizes(options: &Options) -> Option<Vec<Size>> {
    let users = options.users;
    let sign_ins = options.sign_ins.unwrap_or(users);
    let refreshes = match options.refreshes {
        Some(refreshes) => refreshes,
        None => users.checked_mul(20)?,
    };
    let sign_outs = options.sign_outs.unwrap_or(sign_ins);

    let sessions = sign_ins.checked_mul(options.keep_sessions)?;
    // A batch stays for as long as the events in it, because the chain of the trail runs over both.
    let batches = sign_outs.checked_mul(options.keep_audit)?;
    let events = sign_ins.checked_add(refreshes)?.checked_add(sign_outs)?;
    let events = events.checked_mul(options.keep_audit)?;

    // The rows of a place stand together: `with_sums` ends a sum where the place changes.
    let rows = [
        (Place::Database, "users", users, bytes::USER),
        (Place::Database, "sessions", sessions, bytes::SESSION),
        (Place::Database, "audit events", events, bytes::AUDIT_EVENT),
        (Place::Database, "log batches", batches, bytes::LOG_BATCH),
        (Place::WalOfADay, "sign-ins", sign_ins, bytes::WAL_SIGN_IN),
        (Place::WalOfADay, "refreshes", refreshes, bytes::WAL_REFRESH),
        (
            Place::WalOfADay,
            "sign-outs",
            sign_outs,
            bytes::WAL_SIGN_OUT,
        ),
        (
            Place::MemoryOfAGate,
            "cached tokens",
            options.cached_tokens,
            bytes::CACHED_TOKEN,
        ),
        (
            Place::MemoryOfAGate,
            "revocations of a day",
            sign_outs,
            bytes::REVOCATION,
        ),
        (
            Place::MemoryOfAnAuthority,
            "streams",
            options.gates,
            bytes::STREAM,
        ),
        (
            Place::MemoryOfAnAuthority,
            "revocations of a day",
            sign_outs,
            bytes::REVOCATION,
        ),
    ];
    let sizes: Option<Vec<_>> = rows.into_iter().map(Size::of).collect();
    with_sums(sizes?)
}

/// The sizes with the sum of each place behind those of the place.
fn with_sums(sizes: Vec<Size>) -> Option<Vec<Size>> {
    let mut all = Vec::with_capacity(sizes.len() + 4);
    let mut sizes = sizes.into_iter().peekable();
    let mut sum: u64 = 0;
    while let Some(size) = sizes.next() {
        let place = size.place;
        sum = sum.checked_add(size.bytes)?;
        all.push(size);
        if sizes.peek().is_none_or(|next| next.place != place) {
            all.push(Size {
                place,
                what: "in all",
                count: None,
                bytes_each: None,
                bytes: sum,
            });
            sum = 0;
        }
    }
    Some(all)
}

impl Size {
    fn of((place, what, count, bytes_each): (Place, &'static str, u64, u64)) -> Option<Self> {
        Some(Self {
            place,
            what,
            count: Some(count),
            bytes_each: Some(bytes_each),
            bytes: count.checked_mul(bytes_each)?,
        })
    }
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::WalOfADay => "WAL of a day",
            Self::MemoryOfAGate => "memory of a gate",
            Self::MemoryOfAnAuthority => "memory of an authority",
        }
    }
}

impl Record for Size {
    const COLUMNS: &'static [&'static str] = &["place", "what", "count", "bytes each", "size"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.place.word().to_owned(),
            self.what.to_owned(),
            number(self.count),
            number(self.bytes_each),
            readable(self.bytes),
        ]
    }

    fn name(&self) -> String {
        self.what.to_owned()
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// Bytes in their largest unit, with one digit behind the point.
fn readable(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    // Ten times the largest number of bytes does not fit into 64 bits.
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = 0;
    while tenths >= 10_000 && unit < UNITS.len() - 1 {
        tenths /= 1_000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_their_largest_unit() {
        for (bytes, shown) in [
            (0, "0.0 B"),
            (999, "999.0 B"),
            (1_000, "1.0 kB"),
            (1_550_000, "1.5 MB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(readable(bytes), shown);
        }
    }
}
