//! Renders domain types as messages of the wire.

mod enforcement;
pub(crate) mod session;

use std::time::Duration;

use portcullis_contract::{id::UserId, v1};
use prost_types::Timestamp;

pub(crate) use self::enforcement::{enforcement, validator_status};
use crate::{
    app::{Caller, preview::ChangePreview},
    domain::{
        AuditEvent, AuditFault, Cause, FindingCode, Micros, Profile, SessionState, User,
        UserSummary, listing::USER_SESSIONS_COUNTED_MAX,
    },
};

pub(crate) fn timestamp(time: Micros) -> Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    Timestamp {
        seconds: time.0.div_euclid(1_000_000),
        nanos,
    }
}

pub(crate) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

pub(crate) fn finding_code(code: FindingCode) -> v1::FindingCode {
    match code {
        FindingCode::NewDevice => v1::FindingCode::NewDevice,
        FindingCode::NewCountry => v1::FindingCode::NewCountry,
        FindingCode::NewCity => v1::FindingCode::NewCity,
        FindingCode::NewNetwork => v1::FindingCode::NewNetwork,
        FindingCode::ImpossibleTravel => v1::FindingCode::ImpossibleTravel,
        FindingCode::OldSession => v1::FindingCode::OldSession,
        FindingCode::CountryChanged => v1::FindingCode::CountryChanged,
        FindingCode::RefreshTokenReused => v1::FindingCode::RefreshTokenReused,
        FindingCode::RefreshTokenShared => v1::FindingCode::RefreshTokenShared,
    }
}

pub(crate) fn profile(id: &UserId, profile: &Profile) -> v1::SessionUser {
    v1::SessionUser {
        id: id.to_string(),
        user_name: profile.user_name.clone(),
        given_name: profile.given_name.clone(),
        family_name: profile.family_name.clone(),
        email: profile.email.clone(),
    }
}

pub(crate) fn finding_code_from_wire(code: v1::FindingCode) -> Option<FindingCode> {
    FindingCode::ALL
        .into_iter()
        .find(|known| finding_code(*known) == code)
}

pub(crate) fn cause(cause: Cause) -> v1::SessionEndCause {
    match cause {
        Cause::User => v1::SessionEndCause::User,
        Cause::AnotherDevice => v1::SessionEndCause::AnotherDevice,
        Cause::Administrator => v1::SessionEndCause::Administrator,
        Cause::UserDisabled => v1::SessionEndCause::UserDisabled,
        Cause::RefreshTokenReused => v1::SessionEndCause::RefreshTokenReused,
        Cause::Replaced => v1::SessionEndCause::Replaced,
        Cause::Recovery => v1::SessionEndCause::Recovery,
        Cause::Policy => v1::SessionEndCause::Policy,
        Cause::Idle => v1::SessionEndCause::Idle,
        Cause::PasswordChanged => v1::SessionEndCause::PasswordChanged,
        Cause::SecondFactorChanged => v1::SessionEndCause::SecondFactorChanged,
        Cause::SessionLimit => v1::SessionEndCause::SessionLimit,
    }
}

/// The state of a filter; `Err` for a number that is none.
pub(crate) fn state_from_wire(state: i32) -> Result<Option<SessionState>, ()> {
    match v1::SessionState::try_from(state).map_err(drop)? {
        v1::SessionState::Unspecified => Ok(None),
        v1::SessionState::Active => Ok(Some(SessionState::Active)),
        v1::SessionState::Expired => Ok(Some(SessionState::Expired)),
        v1::SessionState::SignedOut => Ok(Some(SessionState::SignedOut)),
        v1::SessionState::Revoked => Ok(Some(SessionState::Revoked)),
    }
}

pub(crate) fn user(user: &User) -> v1::User {
    v1::User {
        id: user.user_id.to_string(),
        tenant_id: user.tenant_id.to_string(),
        user_name: user.profile.user_name.clone(),
        given_name: user.profile.given_name.clone(),
        family_name: user.profile.family_name.clone(),
        email: user.profile.email.clone(),
        create_time: Some(timestamp(user.created)),
        disable_time: user.disabled.map(timestamp),
    }
}

/// An event as `caller` may see it. Of what others did a user learns what was done, the details, which are about the
/// user, and what they are to be told; of what they or the authority did, also who and from where.
pub(crate) fn audit_event(event: &AuditEvent, caller: &Caller) -> v1::AuditEvent {
    let own = caller.own_user();
    let shown = own.is_none_or(|own| event.actor.is_user(own) || event.actor.is_authority());
    let if_shown = |text: &str| {
        if shown {
            text.to_owned()
        } else {
            String::new()
        }
    };
    let internal = |text: &str| {
        if own.is_none() {
            text.to_owned()
        } else {
            String::new()
        }
    };
    v1::AuditEvent {
        id: event.position.event.to_string(),
        ordinal: event.position.ordinal,
        time: Some(timestamp(event.position.at)),
        tenant_id: event.tenant_id.clone(),
        action: event.action.clone(),
        target: event.target.clone(),
        user_id: event.user_id.clone(),
        actor: if_shown(&event.actor.name),
        via: internal(&event.actor.via),
        actor_ip: if_shown(&event.actor.ip),
        reason: internal(&event.reason),
        user_message: event.user_message.clone(),
        revision: event.revision.0,
        details: event.details.clone().into_iter().collect(),
    }
}

pub(crate) fn audit_fault(fault: &AuditFault) -> v1::AuditFault {
    v1::AuditFault {
        revision: fault.revision.0,
        event_id: fault
            .row
            .map(|(event, _)| event.to_string())
            .unwrap_or_default(),
        ordinal: fault.row.map_or(0, |(_, ordinal)| ordinal),
        problem: fault.problem.to_owned(),
    }
}

/// The sessions that a change would end.
pub(crate) fn preview(preview: &ChangePreview) -> v1::Preview {
    v1::Preview {
        sessions: preview.sessions,
        capped: preview.is_capped,
        sample: preview.sample.iter().map(session::session).collect(),
    }
}

pub(crate) fn user_summary(summary: &UserSummary) -> v1::UserSummary {
    v1::UserSummary {
        user: Some(user(&summary.user)),
        sessions: summary.sessions.min(USER_SESSIONS_COUNTED_MAX),
        sessions_capped: summary.sessions > USER_SESSIONS_COUNTED_MAX,
        sign_in_time: summary.signed_in.map(timestamp),
        last_active_time: summary.last_active.map(timestamp),
    }
}
