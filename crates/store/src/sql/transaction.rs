//! Transactions: committed when their work succeeds, rolled back when it fails.

/// Runs `work` in a transaction, and commits.
///
/// With `then last`, `work` also returns the last statements of the transaction. They go to the engine together with the
/// COMMIT, in one round trip; nobody reads their rows.
macro_rules! transaction {
    ($connection:expr, $work:expr) => {
        transaction!($connection, $work, |done| (done, []))
    };
    ($connection:expr, $work:expr, then last) => {
        transaction!($connection, $work, |(done, last)| (done, last))
    };
    ($connection:expr, $work:expr, |$worked:pat_param| $done:expr) => {{
        $connection.begin().await?;
        match $work.await {
            Ok($worked) => {
                let (done, last) = $done;
                let last: Vec<$crate::sql::connection::Statement> = Vec::from_iter(last);
                $connection.finish(&last).await?;
                Ok(done)
            }
            Err(error) => {
                // The caller needs this error. A rollback that fails as well drops the connection.
                let _ = $connection.rollback().await;
                Err(error)
            }
        }
    }};
}
pub(crate) use transaction;
