//! Classic mistakes that can be seeded. Each one has to be caught, or the simulation proves nothing.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A commit is acknowledged before the standby has it.
    AcknowledgedBeforeDurable,
    /// A batch that changes nothing is acknowledged by what is visible, which may not be durable yet.
    UnchangedNotAwaited,
    /// A beat reads the head and writes nothing, so that a deposed primary answers.
    BeatWritesNothing,
    /// Readers follow a sequence, and skip a commit that is later than its number.
    SequenceAsCursor,
    /// A sign-in reads the head of the log last.
    HeadReadLast,
    /// A refresh looks at the session's own row and not at cutoffs.
    RefreshIgnoresCutoffs,
    /// A turn goes by the database's clock alone, and raises no floor of that clock.
    TurnsByTheClockAlone,
    /// A gate measures time by its wall clock alone.
    WallClockAlone,
    /// A gate dates a probe later than it sent it.
    ProbeDatedLate,
    /// A check reads the clock first.
    ClockReadFirst,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::AcknowledgedBeforeDurable,
        Self::UnchangedNotAwaited,
        Self::BeatWritesNothing,
        Self::SequenceAsCursor,
        Self::HeadReadLast,
        Self::RefreshIgnoresCutoffs,
        Self::TurnsByTheClockAlone,
        Self::WallClockAlone,
        Self::ProbeDatedLate,
        Self::ClockReadFirst,
    ];

    /// The bug of this name, as the command line has it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| format!("{bug:?}") == name)
    }
}
