//! Transactions: committed when their work succeeds, rolled back when it fails.

/// Runs `work` in a transaction, and commits.
///
/// With `then last`, `work` also returns the last statements of the transaction. They go to the engine together with the
/// COMMIT, in one round trip; nobody reads their rows.
macro_rules! transaction {
    ($db:expr, $work:expr) => {
        transaction!($db, $work, |done| (done, []))
    };
    ($db:expr, $work:expr, then last) => {
        transaction!($db, $work, |(done, last)| (done, last))
    };
    ($db:expr, $work:expr, |$worked:pat_param| $done:expr) => {{
        $db.begin().await?;
        match $work.await {
            Ok($worked) => {
                let (done, last) = $done;
                let last: Vec<$crate::sql::connection::Statement> = Vec::from_iter(last);
                $db.finish(&last).await?;
                Ok(done)
            }
            Err(error) => {
                // The caller needs this error. A rollback that fails as well drops the connection.
                let _ = $db.rollback().await;
                Err(error)
            }
        }
    }};
}
pub(crate) use transaction;
