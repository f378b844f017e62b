//! The future of an answer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::grpc;
use crate::cut::{Admission, CutBody};

pin_project! {
    /// The future of [`ValidatorService`](crate::ValidatorService).
    pub struct ValidatorFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, B> {
        Admitted {
            #[pin]
            response: F,
            admission: Admission,
        },
        // `None` once it was taken.
        Refused { response: Option<Response<CutBody<B>>> },
    }
}

impl<F, B> ValidatorFuture<F, B> {
    pub(super) fn admitted(response: F, admission: Admission) -> Self {
        Self {
            state: State::Admitted {
                response,
                admission,
            },
        }
    }

    pub(super) fn refused(response: Response<CutBody<B>>) -> Self {
        Self {
            state: State::Refused {
                response: Some(response),
            },
        }
    }
}

impl<F, B, E> Future for ValidatorFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<CutBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Admitted {
                response,
                admission,
            } => {
                let response = ready!(response.poll(context))?;
                let is_grpc = grpc::is_grpc(response.headers());
                Poll::Ready(Ok(
                    response.map(|body| CutBody::new(body, admission, is_grpc))
                ))
            }
            StateProjection::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // As of every future: it must not be polled after its end.
                None => Poll::Pending,
            },
        }
    }
}
