//! `RevocationService`.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use portcullis_contract::{
    position::Revision,
    v1::{self, revocation_service_server::RevocationService},
};
use tonic::{Request, Response, Status, Streaming};

use super::{activity, incoming::Incoming, parse::Fields, render, watch};
use crate::{
    app::{
        App, AppError,
        activity::record_activity,
        receipts::{ReceiptWait, wait_for_enforcement, watch_enforcement},
        sign_out::sign_out_everyone,
        validators::list_validators,
    },
    feed::watch::StreamSource,
    net::Peer,
};

/// The receipts of a revision, as they are sent.
type Receipts = Pin<Box<dyn Stream<Item = Result<v1::WatchEnforcementResponse, Status>> + Send>>;

pub(crate) struct Revocations {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl RevocationService for Revocations {
    type WatchStream = watch::Answers;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        // Without the peer a stream could not be told that its connection has become too old.
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return Err(AppError::Internal.into());
        };
        let incoming = Incoming::new(request)?;
        // The drain would ask a new stream to leave at once, so none is opened.
        if self.app.drain.is_cancelled() {
            return Err(AppError::Unavailable.into());
        }
        let source = StreamSource {
            caller: incoming.caller.service_name().to_owned(),
            address: peer.address.to_string(),
            aged: peer.aged,
        };
        let watch = Arc::clone(&self.app.watch);
        let answers = watch::serve(watch, source, incoming.message);
        Ok(watch::response(answers))
    }

    async fn report_activity(
        &self,
        request: Request<v1::ReportActivityRequest>,
    ) -> Result<Response<v1::ReportActivityResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let parsed = activity::parse(&incoming.message)?;
        record_activity(&self.app, &parsed.report).await?;
        Ok(Response::new(v1::ReportActivityResponse {
            refused: parsed.refused.count,
            refusals: parsed.refused.first,
            warnings: parsed.warnings,
        }))
    }

    async fn list_validators(
        &self,
        _: Request<v1::ListValidatorsRequest>,
    ) -> Result<Response<v1::ListValidatorsResponse>, Status> {
        let listed = list_validators(&self.app).await;
        let head = self.app.feed.view().position().revision;
        let last_change = self.app.feed.changes().borrow().revision;
        Ok(Response::new(render::validators(
            &listed,
            head,
            last_change,
        )))
    }

    async fn wait_for_enforcement(
        &self,
        request: Request<v1::WaitForEnforcementRequest>,
    ) -> Result<Response<v1::WaitForEnforcementResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let message = &incoming.message;
        let wait = parse_wait(message.revision, message.timeout.as_ref(), &incoming)?;
        let receipt = wait_for_enforcement(&self.app, &incoming.caller, wait).await?;
        Ok(Response::new(v1::WaitForEnforcementResponse {
            receipt: Some(render::enforcement(&receipt)),
        }))
    }

    type WatchEnforcementStream = Receipts;

    async fn watch_enforcement(
        &self,
        request: Request<v1::WatchEnforcementRequest>,
    ) -> Result<Response<Receipts>, Status> {
        let incoming = Incoming::new(request)?;
        let message = &incoming.message;
        let wait = parse_wait(message.revision, message.timeout.as_ref(), &incoming)?;
        let receipts = watch_enforcement(Arc::clone(&self.app), &incoming.caller, wait).await?;
        let receipts = receipts.map(|receipt| {
            Ok(v1::WatchEnforcementResponse {
                receipt: Some(render::enforcement(&receipt)),
            })
        });
        Ok(Response::new(Box::pin(receipts)))
    }

    async fn sign_out_everyone(
        &self,
        request: Request<v1::SignOutEveryoneRequest>,
    ) -> Result<Response<v1::SignOutEveryoneResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let is_forced = incoming.message.force;
        let (origin, ()) = incoming.installation_change(|_| Ok(Some(())))?;
        let enforcement = sign_out_everyone(&self.app, &origin, is_forced).await?;
        Ok(Response::new(v1::SignOutEveryoneResponse {
            enforcement: Some(render::enforcement(&enforcement)),
        }))
    }
}

/// Reads a wait for a revision. It ends before the call's deadline, also if the request names a later time.
fn parse_wait<T>(
    revision: u64,
    timeout: Option<&prost_types::Duration>,
    incoming: &Incoming<T>,
) -> Result<ReceiptWait, AppError> {
    let mut fields = Fields::default();
    if revision == 0 {
        fields.wrong("revision", "required");
    }
    let timeout = parse_timeout(&mut fields, timeout);
    fields.finish(Some(()))?;
    // A time that overflows is later than every deadline, so it counts as none.
    let until = match timeout.and_then(|timeout| incoming.received.checked_add(timeout)) {
        Some(asked) => asked.min(incoming.answer_by),
        None => incoming.answer_by,
    };
    Ok(ReceiptWait {
        revision: Revision(revision),
        received: incoming.received,
        until,
    })
}

fn parse_timeout(fields: &mut Fields, timeout: Option<&prost_types::Duration>) -> Option<Duration> {
    match Duration::try_from(*timeout?) {
        Ok(timeout) => Some(timeout),
        Err(_) => {
            fields.wrong("timeout", "must not be negative");
            None
        }
    }
}
