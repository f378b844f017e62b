//! The steps of a shutdown.

use tokio_util::sync::CancellationToken;

/// The steps of a shutdown, in their order.
#[derive(Default)]
pub(super) struct Shutdown {
    /// Health says "not serving", and streams are told to move to another authority.
    pub(super) drain: CancellationToken,
    /// No call is accepted any more.
    pub(super) close: CancellationToken,
    /// Background jobs end.
    pub(super) stop: CancellationToken,
}
