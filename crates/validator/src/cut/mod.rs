//! Cutting a stream when the identity behind it ends: wrappers of bodies and of sockets, and a bound for any work.

mod body;
mod socket;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use portcullis_gate::{Allow, Subject};
use portcullis_validator_core::{Ended, Rejection};
use thiserror::Error;

pub use self::{
    body::CutBody,
    socket::{CLOSE_CODE, CutSocket, CutSocketError},
};

/// The error by which a stream ends when its identity has ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the session ended: {}", .0.reason())]
pub struct SessionEnded(
    /// The reason for which a request with the same token would be refused now.
    pub Rejection,
);

/// The holder of an admitted credential, as the [layer](crate::ValidatorLayer) puts it into a request's extensions.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The person or the program.
    pub subject: Subject,
    /// Whether the rule is strict, and so are the streams that it admits.
    strict: bool,
}

impl Admission {
    pub(crate) fn new(allow: &Allow) -> Self {
        Self {
            subject: allow.subject.clone(),
            strict: allow.strict,
        }
    }

    /// Waits for the end of the credential, for a stream that outlives its request. `None` for a public route.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.subject.ended(self.strict)
    }
}

/// Runs `work` until the identity of its request ends, and drops it then.
///
/// For work that is neither a body nor a socket of messages, such as an upgraded connection that is passed through:
///
/// ```no_run
/// use portcullis_validator::{Admission, run_until_ended};
/// use tokio::{io::copy_bidirectional, net::TcpStream};
///
/// # async fn pass(mut client: TcpStream, mut upstream: TcpStream, admission: Admission) {
/// let copying = copy_bidirectional(&mut client, &mut upstream);
/// if let Err(ended) = run_until_ended(&admission, copying).await {
///     println!("{ended}");
/// }
/// # }
/// ```
///
/// # Errors
/// When the identity ended first. On a public route there is no identity, and nothing ends.
pub async fn run_until_ended<T>(
    admission: &Admission,
    work: impl Future<Output = T>,
) -> Result<T, SessionEnded> {
    let mut end = End::new(admission);
    let mut work = pin!(work);
    poll_fn(|context| {
        // Before the work: one that never waits would not be cut otherwise.
        if let Poll::Ready(ended) = end.poll(context) {
            return Poll::Ready(Err(ended));
        }
        work.as_mut().poll(context).map(Ok)
    })
    .await
}

/// The end of an identity, as one direction of a stream waits for it.
struct End {
    /// `None` for a public route.
    ended: Option<Ended>,
}

impl End {
    fn new(admission: &Admission) -> Self {
        Self {
            ended: admission.ended(),
        }
    }

    /// Returns why the identity has ended, if it has. Takes no place among the futures that wait.
    fn check(&self) -> Result<(), SessionEnded> {
        match self.ended.as_ref().and_then(Ended::rejection) {
            Some(rejection) => Err(SessionEnded(rejection)),
            None => Ok(()),
        }
    }

    /// Resolves when the identity ends.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<SessionEnded> {
        match &mut self.ended {
            Some(ended) => Pin::new(ended).poll(context).map(SessionEnded),
            None => Poll::Pending,
        }
    }
}
