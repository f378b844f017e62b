//! `RevocationService`.

use std::sync::Arc;

use portcullis_contract::v1::{self, revocation_service_server::RevocationService};
use tonic::{Request, Response, Status, Streaming};

use super::{
    activity,
    core::{Call, Core},
    parse::{Fields, check_wait},
    status::ServiceError,
    watch,
};
use crate::{domain::Mutation, net::Peer};

pub(crate) struct Revocations(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl RevocationService for Revocations {
    type WatchStream = watch::Answers;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let address = request.remote_addr();
        let aged = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.aged.clone())
            .unwrap_or_default();
        let call = Call::new(request)?;
        if self.0.drain.is_cancelled() {
            return Err(ServiceError::Unavailable.into());
        }
        let source = watch::Source {
            caller: call.caller.service_name().to_owned(),
            address: address.map_or_else(String::new, |address| address.to_string()),
            aged,
        };
        Ok(Response::new(watch::serve(
            Arc::clone(&self.0),
            source,
            call.message,
        )))
    }

    async fn report_activity(
        &self,
        request: Request<v1::ReportActivityRequest>,
    ) -> Result<Response<v1::ReportActivityResponse>, Status> {
        let call = Call::new(request)?;
        let report = activity::read(&call.message)?;
        Ok(Response::new(activity::record(&self.0, report).await?))
    }

    async fn list_validators(
        &self,
        _: Request<v1::ListValidatorsRequest>,
    ) -> Result<Response<v1::ListValidatorsResponse>, Status> {
        Ok(Response::new(v1::ListValidatorsResponse {
            validators: self.0.validators.list(),
            head_revision: self.0.feed.view().position().revision.0,
        }))
    }

    async fn sign_out_everyone(
        &self,
        request: Request<v1::SignOutEveryoneRequest>,
    ) -> Result<Response<v1::SignOutEveryoneResponse>, Status> {
        let call = Call::new(request)?;
        let message = &call.message;
        check_wait(message.wait())?;
        let mut fields = Fields::default();
        let reason = fields.required_reason(&message.reason);
        let user_message = fields.user_message(&message.user_message);
        let behalf = fields.behalf(message.acting_user.as_ref());
        if !fields.finish(message.force)? {
            return Err(ServiceError::ForceRequired.into());
        }
        let mutation = Some(Mutation::SignOutEveryone);
        let entry = call.entry(Fields::default(), behalf, reason, user_message, mutation)?;
        let (_, enforcement) = self.0.append(entry, call.begun).await?;
        Ok(Response::new(v1::SignOutEveryoneResponse {
            enforcement: Some(enforcement),
        }))
    }
}
