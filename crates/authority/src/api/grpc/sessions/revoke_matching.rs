//! `RevokeMatchingSessions`.

use portcullis_contract::v1;

use crate::{
    api::grpc::{change::SubjectSource, parse::Fields, render},
    app::{
        AppError,
        revoke_matching::{REVOKED_MAX, RevokedMatching},
    },
    domain::{SessionFilter, SessionState},
};

/// The sessions to end.
pub(super) struct Matching {
    pub(super) filter: SessionFilter,
    /// The most sessions that end.
    pub(super) sessions_max: u32,
}

pub(super) fn parse(
    source: SubjectSource<'_, v1::RevokeMatchingSessionsRequest>,
) -> Result<Option<Matching>, AppError> {
    let SubjectSource {
        fields,
        message,
        caller,
    } = source;
    let user_id = fields.own_or_any_user(caller, &message.user_id)?;
    let asked = message.filter.clone().unwrap_or_default();
    // A forgotten filter must not end a whole tenant.
    if message.user_id.is_empty() && asked == v1::SessionFilter::default() {
        fields.wrong("filter", "must have a condition unless user_id is set");
    }
    let sessions_max = parse_sessions_max(fields, message.sessions_max);

    // The tenant was read before, so that this cannot report it a second time.
    let Some(tenant) = fields.tenant("tenant_id", &message.tenant_id) else {
        return Ok(None);
    };
    let mut filter = SessionFilter {
        user_id,
        state: Some(SessionState::Active),
        ..SessionFilter::of(tenant)
    };
    fields.session_filter(&asked, &mut filter);
    if filter.end_cause.take().is_some() {
        fields.wrong(
            "filter.end_cause",
            "must be unset: only active sessions end",
        );
    }
    Ok(Some(Matching {
        filter,
        sessions_max,
    }))
}

fn parse_sessions_max(fields: &mut Fields, number: u32) -> u32 {
    if number > REVOKED_MAX {
        fields.wrong("sessions_max", format!("must be at most {REVOKED_MAX}"));
    }
    match number {
        0 => REVOKED_MAX,
        number => number,
    }
}

pub(super) fn render(revoked: &RevokedMatching) -> v1::RevokeMatchingSessionsResponse {
    v1::RevokeMatchingSessionsResponse {
        revoked: revoked.revoked,
        more: revoked.has_more,
        enforcement: revoked.enforcement.as_ref().map(render::enforcement),
        preview: None,
    }
}
