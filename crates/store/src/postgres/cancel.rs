//! Statements that nobody waits for any more are cancelled.

use std::time::Duration;

use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::NoTls;

use super::pool::Loan;

/// How long a cancelled statement may take to end.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Cancels what the connection is doing and closes it. Its place in the pool is free when the backend is: without
/// this a cancelled call leaves its backend at work while another one takes its place, and backends outnumber the pool.
pub(super) fn cancel(loan: Loan) {
    let Ok(runtime) = Handle::try_current() else {
        drop(Loan::take(loan));
        return;
    };
    runtime.spawn(async move {
        let cancelled = timeout(CANCEL_TIMEOUT, cancel_statement(&loan)).await;
        if !matches!(cancelled, Ok(Ok(()))) {
            tracing::debug!("a statement was not cancelled");
        }
        // Not used again: the cancellation may still be on its way.
        drop(Loan::take(loan));
    });
}

async fn cancel_statement(loan: &Loan) -> Result<(), tokio_postgres::Error> {
    let client = &loan.session.client;
    client.cancel_token().cancel_query(NoTls).await?;
    // An empty query is answered once the statement before it has ended.
    client.batch_execute("").await
}
