//! Several statements in one round trip.
//!
//! The driver sends a statement when its future is first polled. So polling the futures in order, without awaiting any,
//! puts the statements on the wire in that order.

use std::pin::Pin;

use deadpool_postgres::ClientWrapper;
use futures::future::{MaybeDone, maybe_done};
use tokio_postgres::{Error, Row, types::ToSql};

/// A prepared statement with its parameters.
pub(super) type Prepared<'a> = (tokio_postgres::Statement, Vec<&'a (dyn ToSql + Sync)>);

/// The rows of each statement, or the first failure.
type Answers = Result<Vec<Vec<Row>>, Error>;

/// The result of sending statements.
pub(super) enum Sent {
    /// Every statement went out, and the COMMIT if there was one.
    All(Answers),
    /// A statement could not be sent. The ones after it and the COMMIT were not sent either.
    NotAll(Error),
}

/// Sends statements in one round trip, with a BEGIN before and a COMMIT after them if wanted. The server turns the COMMIT
/// into a ROLLBACK when a statement fails.
pub(super) async fn send(
    client: &ClientWrapper,
    begins: bool,
    prepared: &[Prepared<'_>],
    commits: bool,
) -> Sent {
    let mut begun = Box::pin(maybe_done(send_control(client, begins.then_some("BEGIN"))));
    let _ = futures::poll!(begun.as_mut());

    let mut queries = Vec::with_capacity(prepared.len());
    for (statement, params) in prepared {
        let mut query = Box::pin(maybe_done(client.query(statement, params)));
        let _ = futures::poll!(query.as_mut());
        // A query that fails at once was not sent. A COMMIT after it would commit only a part.
        if let Some(error) = take_error(query.as_mut()) {
            return Sent::NotAll(error);
        }
        queries.push(query);
    }

    // Before any answer is read: waiting for one first would cost another round trip.
    let committed = send_control(client, commits.then_some("COMMIT")).await;
    let begun = finish(begun.as_mut()).await;
    let mut answers = Vec::with_capacity(queries.len());
    for mut query in queries {
        answers.push(finish(query.as_mut()).await);
    }
    Sent::All(first_failure(begun, answers, committed))
}

/// The first failure in the order of sending: the later ones only follow from it.
fn first_failure(
    begun: Result<(), Error>,
    answers: Vec<Result<Vec<Row>, Error>>,
    committed: Result<(), Error>,
) -> Answers {
    begun?;
    // The answers go first: a COMMIT of a failed transaction rolls back and reports no error.
    let answers = answers.into_iter().collect::<Answers>()?;
    committed?;
    Ok(answers)
}

fn take_error<F, T>(mut query: Pin<&mut MaybeDone<F>>) -> Option<Error>
where
    F: Future<Output = Result<T, Error>>,
{
    if let Some(Err(_)) = query.as_mut().output_mut() {
        query.take_output()?.err()
    } else {
        None
    }
}

async fn finish<F, T>(mut query: Pin<&mut MaybeDone<F>>) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
    T: Default,
{
    query.as_mut().await;
    query.take_output().unwrap_or_else(|| Ok(T::default()))
}

/// Sends a statement without parameters. None sends nothing.
pub(super) async fn send_control(
    client: &ClientWrapper,
    statement: Option<&str>,
) -> Result<(), Error> {
    match statement {
        Some(statement) => client.batch_execute(statement).await,
        None => Ok(()),
    }
}
