//! `RevokeOtherSessions` and `RevokeToken`: the subjects of the requests.

use portcullis_contract::{id::SessionId, v1};

use crate::{
    api::grpc::{
        change::SubjectSource,
        incoming::Incoming,
        parse::{Fields, address_or_empty},
    },
    app::{
        AppError, Caller, ChangeOrigin, UserCaller,
        revoke::{OtherSessions, ReportedChange},
        revoke_token::TokenRevocation,
    },
    domain::Cause,
};

/// Whether a person revokes a session in a role. The session of the call is always their own affair.
pub(super) fn is_about_tenant(message: &v1::RevokeSessionRequest, user: &UserCaller) -> bool {
    let own = user.identity.session_id.to_string();
    let id = &message.session_id;
    !message.tenant_id.is_empty() && !id.is_empty() && *id != own
}

/// Whether a person revokes the sessions of somebody else in a role.
pub(super) fn others_are_about_tenant(
    message: &v1::RevokeOtherSessionsRequest,
    user: &UserCaller,
) -> bool {
    let id = &message.user_id;
    !message.tenant_id.is_empty() && !id.is_empty() && id != user.identity.user_id.as_str()
}

/// The user whose other sessions end, and the session that stays.
pub(super) fn parse_others(
    source: SubjectSource<'_, v1::RevokeOtherSessionsRequest>,
) -> Result<Option<OtherSessions>, AppError> {
    let SubjectSource {
        fields,
        message,
        caller,
    } = source;
    // Refusals come before the other fields are read: a caller who may not do this learns nothing about them.
    let cause = reported_cause(fields, message.cause);
    let reported = ReportedChange::check(caller, cause)?;
    let user = fields.own_or_named_user(caller, &message.user_id)?;
    let keep = parse_kept_session(fields, caller, message);
    // A login service may report a change of credentials, but not see sessions.
    let may_preview = caller.own_user().is_some() || caller.is_staff();
    if message.validate_only && !may_preview {
        return Err(AppError::Denied);
    }
    Ok(user.map(|user| OtherSessions {
        user,
        keep,
        reported,
    }))
}

fn reported_cause(fields: &mut Fields, cause: i32) -> Option<Cause> {
    match v1::SessionEndCause::try_from(cause) {
        Ok(v1::SessionEndCause::Unspecified) => None,
        Ok(v1::SessionEndCause::PasswordChanged) => Some(Cause::PasswordChanged),
        Ok(v1::SessionEndCause::SecondFactorChanged) => Some(Cause::SecondFactorChanged),
        _ => {
            fields.wrong(
                "cause",
                "must be PASSWORD_CHANGED or SECOND_FACTOR_CHANGED, or unset",
            );
            None
        }
    }
}

fn parse_kept_session(
    fields: &mut Fields,
    caller: &Caller,
    message: &v1::RevokeOtherSessionsRequest,
) -> Option<SessionId> {
    let field = "keep_session_id";
    let named = &message.keep_session_id;
    if message.include_current {
        if !named.is_empty() {
            fields.wrong(field, "must be empty when include_current is set");
        }
        return None;
    }
    if !named.is_empty() {
        return fields.session(field, named);
    }
    // Without this a forgotten field would sign the user out of the session in hand.
    let own = caller.own_session();
    if own.is_none() {
        fields.wrong(field, "required unless include_current is set");
    }
    own
}

/// The token whose session ends.
pub(super) fn parse_token(
    incoming: Incoming<v1::RevokeTokenRequest>,
) -> Result<(ChangeOrigin, TokenRevocation), AppError> {
    let tenant_id = incoming.tenant(&incoming.message.tenant_id)?;
    // An empty token is a mistake of the caller. Any other text may come from a client that lies, and is no error.
    if incoming.message.token.is_empty() {
        return Err(AppError::invalid("token", "required"));
    }
    let revocation = TokenRevocation {
        tenant_id,
        client_ip: address_or_empty(&incoming.message.client_ip),
        token: incoming.message.token,
    };
    let origin = ChangeOrigin::wordless(incoming.caller, incoming.trace_parent, incoming.received);
    Ok((origin, revocation))
}
