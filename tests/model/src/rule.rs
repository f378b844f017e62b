//! The rules of the promise, and the property that each one protects.

/// A property of the promise, as the checker names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Property {
    /// I1: an acknowledged revocation is never lost.
    Durable,
    /// I2: no strict gate accepts a token later than `max_staleness` after the acknowledgement of its revocation.
    Bounded,
    /// I3: the entries that a gate has applied are an exact prefix of the log.
    Complete,
    /// I4: what was refused once is never accepted again.
    NoResurrection,
}

impl Property {
    /// The name that the checker reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Durable => "I1 durable",
            Self::Bounded => "I2 bounded",
            Self::Complete => "I3 complete",
            Self::NoResurrection => "I4 no resurrection",
        }
    }
}

/// A rule of the protocol that can be switched off. The README says where the code keeps each one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A revision is given out under the lock of the head, which lasts until the commit.
    CommitOrderIsRevisionOrder,

    /// A revocation is acknowledged when the standby has it.
    AcknowledgeWhenDurable,
    /// A beat is a durable write, so a primary without its standby answers no probe.
    BeatIsADurableWrite,
    /// The beat that answers a probe begins after the probe arrived.
    BeatBeginsAfterTheProbe,
    /// A gate takes only beats that answer a probe of its own.
    OnlyAnswersProve,
    /// A proof counts from the time at which the probe was sent.
    FreshAsOfSending,
    /// A proof counts once the view has reached the head that the beat names.
    FreshOnceApplied,
    /// The chain of the view is compared with that of the beat.
    ChainIsCompared,
    /// A check reads the clock last.
    ClockIsReadLast,
    /// A check loads the view and its proof together.
    ViewAndProofTogether,
    /// A view takes the next batch only.
    OnlyTheNextBatch,
    /// A stream ends when the history of its authority changes.
    StreamFollowsOneHistory,
    /// A snapshot older than the view is refused.
    NeverBack,
    /// A snapshot takes the view's place at once.
    SnapshotAtOnce,
    /// A view whose history is gone is enforced beside the new one.
    HistoriesAreUnited,
    /// A sign-in reads the head of the log before everything else.
    HeadIsReadFirst,

    /// A turn waits until tokens from before the last one have expired.
    TurnWaits,
    /// A turn drops the generation before the current one, not the current one.
    TwoGenerations,
    /// A turn needs time that was counted, beside the database's clock.
    TimeIsCounted,
    /// A turn is dated by the latest time that the database's clock has shown.
    LatestTimeIsKept,
    /// A turn raises the floor of the clock to the end of the tokens that it forgets.
    TurnRaisesTheFloor,
    /// No beat proves a gate fresh while the clock is below its floor.
    NothingProvesBelowTheFloor,
    /// The floor is lowered together with a sign-out of everyone.
    SetBackSignsOut,
    /// A shorter life that takes force raises the floor to the end of the tokens of the longer one.
    ShorterLifeRaisesTheFloor,
    /// A shorter life of tokens takes force when tokens of the longer life have expired.
    ShorterLifeWaits,
    /// A refresh decides by the rows, which forget nothing.
    RefreshReadsRows,
    /// A gate remembers a lost history for two turns of the present one.
    TwoTurnsAfterAFork,
}

impl Rule {
    /// The property that falls without the rule.
    #[must_use]
    pub const fn protects(self) -> Property {
        match self {
            Self::AcknowledgeWhenDurable => Property::Durable,
            Self::CommitOrderIsRevisionOrder
            | Self::OnlyTheNextBatch
            | Self::StreamFollowsOneHistory
            | Self::NeverBack => Property::Complete,
            Self::BeatIsADurableWrite
            | Self::BeatBeginsAfterTheProbe
            | Self::OnlyAnswersProve
            | Self::FreshAsOfSending
            | Self::FreshOnceApplied
            | Self::ChainIsCompared
            | Self::ClockIsReadLast
            | Self::ViewAndProofTogether
            | Self::HeadIsReadFirst => Property::Bounded,
            Self::SnapshotAtOnce
            | Self::HistoriesAreUnited
            | Self::TurnWaits
            | Self::TwoGenerations
            | Self::TimeIsCounted
            | Self::LatestTimeIsKept
            | Self::TurnRaisesTheFloor
            | Self::NothingProvesBelowTheFloor
            | Self::SetBackSignsOut
            | Self::ShorterLifeRaisesTheFloor
            | Self::ShorterLifeWaits
            | Self::RefreshReadsRows
            | Self::TwoTurnsAfterAFork => Property::NoResurrection,
        }
    }
}
