//! `RefreshSession`.

use portcullis_contract::v1;

use crate::{
    api::grpc::{incoming::Incoming, parse::Fields, render},
    app::{
        AppError,
        refresh::{RefreshRequest, Refreshed},
    },
};

pub(super) fn parse(
    incoming: &Incoming<v1::RefreshSessionRequest>,
) -> Result<RefreshRequest, AppError> {
    let message = &incoming.message;
    let tenant_id = incoming.tenant(&message.tenant_id)?;
    let mut fields = Fields::default();
    let audiences = fields.audiences(&message.audiences);
    let client = fields.client(message.client.as_ref());
    fields.finish(RefreshRequest {
        tenant_id,
        refresh_token: message.refresh_token.clone(),
        audiences,
        client,
    })
}

pub(super) fn render(refreshed: Refreshed) -> v1::RefreshSessionResponse {
    let tokens = refreshed.tokens;
    v1::RefreshSessionResponse {
        session: Some(render::session::session(&refreshed.session)),
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        access_token_expire_time: Some(render::timestamp(tokens.access_token_expires)),
    }
}
