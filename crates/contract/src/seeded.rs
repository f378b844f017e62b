//! Seeded bugs: the classic mistakes of a system like this one, behind a switch that only tests have.
//!
//! `cargo xtask seeded-bugs` builds with the feature `seeded-bugs`, makes one mistake after the other, and fails unless
//! the tests catch each. Without the feature, [`has`] is a constant `false` and the compiler removes the mistakes. A
//! build with optimisation refuses the feature, so no release can have it.

#[cfg(all(feature = "seeded-bugs", not(debug_assertions)))]
compile_error!("the feature `seeded-bugs` makes mistakes on purpose: it is for tests only");

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Batches are numbered by a sequence, before they commit. A reader that goes by the number passes over a batch
    /// that commits late.
    SequenceAsCursor,
    /// A gate clears its view when a snapshot begins, and fills it chunk by chunk.
    ClearThenFill,
    /// The head that answers a probe is read as any server that still runs can read it, without a durable write.
    HeadFromStandby,
    /// A gate counts as fresh when a beat arrives, not as of the time at which it asked.
    OneWayHeartbeat,
    /// A stream that fell out of the ring goes on at the ring's beginning.
    LaggedReceiver,
    /// A warning of the database during a commit is not looked at.
    CommitNotice,
    /// One turn forgets all revocations of sessions.
    PruneTooEarly,
    /// A refresh token is exchanged although a sign-out covers its session.
    RefreshIgnoresCutoff,
    /// A cursor ahead of the log is taken for one that the log will reach.
    FutureResume,
    /// Entries of the log that this version does not know are skipped.
    UnknownKind,
    /// A session is inserted first, and counted against the limit afterwards.
    LimitAfterInsert,
    /// Use that a gate could not report counts as no use.
    ShedActivity,
    /// A snapshot whose transfer broke off begins again with its first byte.
    SnapshotFromZero,
    /// Two positions with the same revision are taken for the same position.
    EqualHeads,
}

/// Returns whether the mistake is made.
#[cfg(not(feature = "seeded-bugs"))]
#[inline]
#[must_use]
pub const fn has(_: Mistake) -> bool {
    false
}

/// Returns whether the mistake is made.
///
/// # Panics
/// When `PORTCULLIS_SEEDED_BUG` names no mistake: a typing error must not look like a product without one.
#[cfg(feature = "seeded-bugs")]
#[must_use]
pub fn has(mistake: Mistake) -> bool {
    use std::sync::OnceLock;

    static MADE: OnceLock<Option<Mistake>> = OnceLock::new();
    // Read once: every part of a process must make the same mistake.
    let made = MADE.get_or_init(|| match std::env::var("PORTCULLIS_SEEDED_BUG") {
        Ok(name) => Some(Mistake::parse(&name).expect("PORTCULLIS_SEEDED_BUG names a mistake")),
        Err(_) => None,
    });
    *made == Some(mistake)
}

#[cfg(feature = "seeded-bugs")]
impl Mistake {
    /// Every mistake, by the name that `cargo xtask seeded-bugs` gives it.
    const ALL: [(&'static str, Self); 14] = [
        ("sequence-as-cursor", Self::SequenceAsCursor),
        ("clear-then-fill", Self::ClearThenFill),
        ("head-from-standby", Self::HeadFromStandby),
        ("one-way-heartbeat", Self::OneWayHeartbeat),
        ("lagged-receiver", Self::LaggedReceiver),
        ("commit-notice", Self::CommitNotice),
        ("prune-too-early", Self::PruneTooEarly),
        ("refresh-ignores-cutoff", Self::RefreshIgnoresCutoff),
        ("future-resume", Self::FutureResume),
        ("unknown-kind", Self::UnknownKind),
        ("limit-after-insert", Self::LimitAfterInsert),
        ("shed-activity", Self::ShedActivity),
        ("snapshot-from-zero", Self::SnapshotFromZero),
        ("equal-heads", Self::EqualHeads),
    ];

    fn parse(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, mistake)| *mistake)
    }
}
