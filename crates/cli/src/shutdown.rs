//! The end of a running command: a signal, or an authority that cannot go on.

use anyhow::Result;
use portcullis_authority::Authority;
use tokio::signal::unix::{SignalKind, signal};

/// Registers for SIGTERM and SIGINT, and returns a future that completes at the first of them.
///
/// The registration happens in the call and not at the first poll: a supervisor that has read "listening" may send a
/// signal at once, and an unregistered one would kill the process without draining it.
pub(crate) fn listen_for_signals() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Waits for a signal or for the failure of the authority. A failure is an error, so that the process exits with
/// status 1 and a supervisor restarts it.
pub(crate) async fn wait_for_shutdown(
    authority: &Authority,
    signal: impl Future<Output = ()>,
) -> Result<()> {
    // If both are ready, either may win. The process ends in any case, and only its exit status differs.
    tokio::select! {
        () = signal => Ok(()),
        reason = authority.failed() => Err(anyhow::Error::msg(reason)),
    }
}
