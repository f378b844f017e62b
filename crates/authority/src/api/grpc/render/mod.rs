//! Renders domain types as messages of the wire.

pub(crate) mod api_key;
pub(crate) mod audit;
mod enforcement;
pub(crate) mod policy;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod signing_key;
pub(crate) mod user;

use std::time::Duration;

use portcullis_contract::{id::UserId, v1};
use prost_types::Timestamp;

pub(crate) use self::enforcement::{enforcement, validators};
use crate::{
    api::grpc::parse::{FieldWarning, Repair},
    app::{Caller, preview::ChangePreview},
    domain::{Cause, FindingCode, Micros, Profile, SessionState},
};

pub(crate) fn timestamp(time: Micros) -> Timestamp {
    // Euclidean, because the format wants nanos that are not negative for any time.
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
        // Roles belong to the user, and `User` shows them.
        roles: None,
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
        Cause::IdentityProvider => v1::SessionEndCause::IdentityProvider,
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

/// The sessions that a change would end.
pub(crate) fn preview(preview: &ChangePreview) -> v1::Preview {
    v1::Preview {
        sessions: preview.sessions,
        capped: preview.is_capped,
        sample: preview.sample.iter().map(session::session).collect(),
    }
}

/// A preview as its caller may see it: whoever is not of the staff of the tenant sees numbers, and no sessions.
pub(crate) fn preview_for(caller: &Caller, found: &ChangePreview) -> v1::Preview {
    let mut shown = preview(found);
    if !caller.is_staff() {
        shown.sample.clear();
    }
    shown
}

/// The fields that did not count as they were sent.
pub(crate) fn warnings(warnings: Vec<FieldWarning>) -> Vec<v1::FieldWarning> {
    warnings.into_iter().map(warning).collect()
}

pub(crate) fn warning(warning: FieldWarning) -> v1::FieldWarning {
    let repair = match warning.repair {
        Repair::Cut => v1::FieldRepair::Cut,
        Repair::Cleaned => v1::FieldRepair::Cleaned,
        Repair::Ignored => v1::FieldRepair::Ignored,
    };
    v1::FieldWarning {
        field: warning.field,
        repair: repair.into(),
        description: warning.description,
    }
}
