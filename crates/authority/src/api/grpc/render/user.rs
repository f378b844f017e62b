//! Users as messages of the wire.

use portcullis_contract::v1;

use super::{duration, session::activity_status, timestamp};
use crate::{
    app::{ActivityStatus, erasure::BegunErasure},
    domain::{Micros, User, UserRole, UserSummary, listing::USER_SESSIONS_COUNTED_MAX},
};

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
        roles: user
            .roles
            .iter()
            .map(|role| user_role(role).into())
            .collect(),
    }
}

/// An erasure, and how far it is.
pub(crate) fn erasure(begun: &BegunErasure) -> v1::Erasure {
    let state = if begun.is_removed {
        v1::ErasureState::Settling
    } else {
        v1::ErasureState::Removing
    };
    let removed = begun.erasure.removed;
    v1::Erasure {
        id: begun.erasure.id.to_string(),
        state: state.into(),
        sessions: removed.sessions,
        audit_parts: removed.audit_parts,
        other_rows: removed.other_rows,
    }
}

fn user_role(role: UserRole) -> v1::UserRole {
    match role {
        UserRole::Support => v1::UserRole::Support,
        UserRole::Admin => v1::UserRole::Admin,
    }
}

/// A user with the number of their active sessions.
pub(crate) fn user_summary(summary: &UserSummary, now: Micros) -> v1::UserSummary {
    let status = summary
        .last_active
        .map(|last| ActivityStatus::of(last, now));
    v1::UserSummary {
        user: Some(user(&summary.user)),
        // The store counts one more than the maximum, which tells a full count from a capped one.
        sessions: summary.sessions.min(USER_SESSIONS_COUNTED_MAX),
        sessions_capped: summary.sessions > USER_SESSIONS_COUNTED_MAX,
        sign_in_time: summary.signed_in.map(timestamp),
        last_active_time: summary.last_active.map(timestamp),
        status: activity_status(status).into(),
        idle: status.map(|status| duration(status.idle)),
        active_addresses: summary.active_addresses,
    }
}
