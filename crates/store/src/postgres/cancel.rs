//! Cancellation of statements that nobody waits for any more.

use std::time::Duration;

use tokio::{runtime::Handle, time::timeout};

use super::pool::Loan;

/// The time that a cancelled statement may take to end.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Cancels the running statement of a connection, then closes the connection.
///
/// The connection keeps its place in the pool until the server's process is free. Otherwise the process of a cancelled call
/// would work on while another one takes its place, and processes would outnumber the pool.
pub(super) fn cancel(loan: Loan) {
    // Outside a runtime, as at the end of the process, no task can cancel. Closing the connection has to do.
    let Ok(runtime) = Handle::try_current() else {
        drop(Loan::take(loan));
        return;
    };
    runtime.spawn(async move {
        let cancelled = timeout(CANCEL_TIMEOUT, cancel_statement(&loan)).await;
        if !matches!(cancelled, Ok(Ok(()))) {
            tracing::debug!("a statement was not cancelled");
        }
        // Never used again: the cancellation may still be on its way and would hit the next statement.
        drop(Loan::take(loan));
    });
}

async fn cancel_statement(loan: &Loan) -> Result<(), tokio_postgres::Error> {
    let client = &loan.session.client;
    let connector = loan.session.connector.clone();
    client.cancel_token().cancel_query(connector).await?;
    // The answer to an empty query comes after the statement before it has ended.
    client.batch_execute("").await
}
