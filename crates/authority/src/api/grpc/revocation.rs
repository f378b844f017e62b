//! `RevocationService`.

use std::sync::Arc;

use portcullis_contract::v1::{self, revocation_service_server::RevocationService};
use tonic::{Request, Response, Status, Streaming};

use super::{activity, incoming::Incoming, render, watch};
use crate::{
    app::{App, AppError, activity::record_activity, sign_out::sign_out_everyone},
    feed::watch::StreamSource,
    net::Peer,
};

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
        Ok(Response::new(watch::serve(
            Arc::clone(&self.app.watch),
            source,
            incoming.message,
        )))
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
        Ok(Response::new(v1::ListValidatorsResponse {
            validators: self
                .app
                .validators
                .list()
                .into_iter()
                .map(render::validator_status)
                .collect(),
            head_revision: self.app.feed.view().position().revision.0,
        }))
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
