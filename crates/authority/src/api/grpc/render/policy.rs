//! Policies as messages of the wire.

use portcullis_contract::v1;

use super::{duration, finding_code};
use crate::{
    app::policy::VersionedPolicy,
    domain::policy::{AtLimit, Preset, UserOverride},
};

pub(crate) fn policy(versioned: &VersionedPolicy) -> v1::Policy {
    let policy = &versioned.policy;
    let limits = &policy.limits;
    v1::Policy {
        idle_timeout: limits.idle_timeout.map(duration),
        session_lifetime_max: Some(duration(limits.session_lifetime_max)),
        remember_me_allowed: limits.remember_me_allowed,
        remember_me_lifetime: Some(duration(limits.remember_me_lifetime)),
        session_lifetime: Some(duration(limits.session_lifetime)),
        access_token_lifetime: limits.access_token_lifetime.map(duration),
        sessions_max: limits.sessions_max.unwrap_or_default(),
        at_limit: session_limit_action(limits.at_limit).into(),
        users_see_sessions: policy.users_see_sessions,
        keep_last_page: policy.keep_last_page,
        end_on_shared_refresh_token: policy.end_on_shared_refresh_token,
        required_acr: limits.required_acr.clone(),
        reauthenticate_within: limits.reauthenticate_within.map(duration),
        findings_disabled: policy
            .findings_disabled
            .iter()
            .map(|code| finding_code(*code).into())
            .collect(),
        users: policy
            .user_overrides
            .iter()
            .map(|(user, own)| (user.to_string(), user_policy(own)))
            .collect(),
        etag: versioned.version.to_string(),
        source: policy.source.clone(),
    }
}

pub(crate) fn preset(preset: &Preset) -> v1::PolicyPreset {
    v1::PolicyPreset {
        name: preset.name.to_owned(),
        source: preset.source.to_owned(),
        session_lifetime_max: Some(duration(preset.session_lifetime_max)),
        idle_timeout: preset.idle_timeout.map(duration),
        two_factors: preset.two_factors,
    }
}

fn session_limit_action(at_limit: AtLimit) -> v1::SessionLimitAction {
    match at_limit {
        AtLimit::Refuse => v1::SessionLimitAction::Refuse,
        AtLimit::EndOldest => v1::SessionLimitAction::EndOldest,
    }
}

fn user_policy(own: &UserOverride) -> v1::UserPolicy {
    v1::UserPolicy {
        idle_timeout: own.idle_timeout.map(duration),
        session_lifetime_max: own.session_lifetime_max.map(duration),
        remember_me_forbidden: own.forbid_remember_me,
        remember_me_lifetime: own.remember_me_lifetime.map(duration),
        session_lifetime: own.session_lifetime.map(duration),
        access_token_lifetime: own.access_token_lifetime.map(duration),
        sessions_max: own.sessions_max.unwrap_or_default(),
        required_acr: own.required_acr.clone(),
        reauthenticate_within: own.reauthenticate_within.map(duration),
    }
}
