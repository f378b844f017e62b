//! `CreateSession`.

use portcullis_contract::{position::sha256, v1};
use prost::Message;

use crate::{
    api::grpc::{
        incoming::Incoming,
        parse::{FieldWarning, Fields},
        render,
    },
    app::{
        App, AppError,
        sign_in::{SignInRequest, SignedIn},
    },
    domain::{OTHER_SESSIONS_MAX, SignInFacts},
};

/// Reads the request, with warnings about its decoration. Every problem is reported, whichever field it is in.
pub(super) fn parse(
    app: &App,
    incoming: &Incoming<v1::CreateSessionRequest>,
) -> Result<(SignInRequest, Vec<FieldWarning>), AppError> {
    let message = &incoming.message;
    let tenant_id = incoming.tenant(&message.tenant_id)?;
    let mut fields = Fields::default();
    let person = message.user.clone().unwrap_or_default();
    let user_id = fields.user("user.id", &person.id);
    // Without audiences the token is for the installation's default ones, which count towards its length.
    let mut audiences = fields.audiences(&message.audiences);
    if audiences.is_empty() {
        audiences.clone_from(&app.config.tokens.default_audiences);
    }
    let facts = SignInFacts {
        amr: fields.amr(&message.amr),
        audiences,
        client_id: fields.client_id(&message.client_id),
        identity_provider: fields.provider_session(message.identity_provider.as_ref()),
    };
    let acr = fields.text::<256>("acr", &message.acr);
    fields.token_text(&facts.audiences, &facts.amr, &acr);
    let request = request_id(&mut fields, message);
    let replaces = fields.optional_session("replaces_session_id", &message.replaces_session_id);
    let profile = fields.profile(&person);
    let roles = person.roles.as_ref();
    let roles = roles.and_then(|stated| fields.user_roles("user.roles", &stated.roles));
    let client = fields.client(message.client.as_ref());
    let (client_hints, app_words) = fields.device(message.client.as_ref());
    let auth_time = fields.past("auth_time", message.auth_time.as_ref());

    let warnings = fields.take_warnings();
    // An empty id was reported as a problem, so that the second check never fails.
    let user_id = fields.finish(user_id)?;
    let user_id = user_id.ok_or_else(|| AppError::invalid("user.id", "required"))?;
    let request = SignInRequest {
        tenant_id,
        user_id,
        profile,
        roles,
        client,
        client_hints,
        app_words,
        remember_me: message.remember_me,
        facts,
        acr,
        auth_time,
        request,
        replaces,
        trace_parent: incoming.trace_parent.clone(),
        received: incoming.received,
    };
    Ok((request, warnings))
}

/// The id of the request and the digest of its arguments, so that a repetition with other arguments is noticed.
fn request_id(
    fields: &mut Fields,
    message: &v1::CreateSessionRequest,
) -> Option<(String, [u8; 32])> {
    let id = fields.text::<128>("request_id", &message.request_id);
    if id.is_empty() {
        return None;
    }
    // The digest is over the whole message: any other argument makes it another request.
    Some((id, sha256(&message.encode_to_vec())))
}

pub(super) fn render(
    signed_in: SignedIn,
    warnings: Vec<FieldWarning>,
) -> v1::CreateSessionResponse {
    let tokens = signed_in.tokens;
    v1::CreateSessionResponse {
        session: Some(render::session::session(&signed_in.session)),
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        access_token_expire_time: Some(render::timestamp(tokens.access_token_expires)),
        warnings: render::warnings(warnings),
        other_sessions: signed_in.other_sessions.min(OTHER_SESSIONS_MAX),
        other_sessions_capped: signed_in.other_sessions > OTHER_SESSIONS_MAX,
    }
}
