//! `RefreshSession`.

use portcullis_contract::v1;

use crate::{
    api::grpc::{
        incoming::Incoming,
        parse::{FieldWarning, Fields},
        render,
    },
    app::{
        AppError,
        refresh::{RefreshRequest, Refreshed},
    },
};

pub(super) fn parse(
    incoming: &Incoming<v1::RefreshSessionRequest>,
) -> Result<(RefreshRequest, Vec<FieldWarning>), AppError> {
    let message = &incoming.message;
    let tenant_id = incoming.tenant(&message.tenant_id)?;
    let mut fields = Fields::default();
    let audiences = fields.audiences(&message.audiences);
    let client = fields.client(message.client.as_ref());
    let warnings = fields.take_warnings();
    let request = RefreshRequest {
        tenant_id,
        // Not checked here: the use case has one answer for every text that is not a valid token.
        refresh_token: message.refresh_token.clone(),
        audiences,
        client,
    };
    fields.finish((request, warnings))
}

pub(super) fn render(
    refreshed: Refreshed,
    warnings: Vec<FieldWarning>,
) -> v1::RefreshSessionResponse {
    let tokens = refreshed.tokens;
    v1::RefreshSessionResponse {
        session: Some(render::session::session(&refreshed.session)),
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        access_token_expire_time: Some(render::timestamp(tokens.access_token_expires)),
        warnings: render::warnings(warnings),
    }
}
