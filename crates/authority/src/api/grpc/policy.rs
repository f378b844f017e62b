//! Policies in and out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use portcullis_contract::{id::UserId, v1};

use super::{parse::Fields, render};
use crate::domain::{
    Policy,
    policy::{AtLimit, Limits, Preset, UserOverride},
};

/// A policy as its readers see it.
pub(super) fn to_wire(policy: &Policy, version: u64) -> v1::Policy {
    let limits = &policy.limits;
    v1::Policy {
        idle_timeout: limits.idle_timeout.map(render::duration),
        session_lifetime_max: Some(render::duration(limits.session_lifetime_max)),
        remember_me_allowed: limits.remember_me_allowed,
        remember_me_lifetime: Some(render::duration(limits.remember_me_lifetime)),
        session_lifetime: Some(render::duration(limits.session_lifetime)),
        access_token_lifetime: limits.access_token_lifetime.map(render::duration),
        sessions_max: limits.sessions_max.unwrap_or_default(),
        at_limit: match limits.at_limit {
            AtLimit::Refuse => v1::SessionLimitAction::Refuse.into(),
            AtLimit::EndOldest => v1::SessionLimitAction::EndOldest.into(),
        },
        users_see_sessions: policy.users_see_sessions,
        keep_last_page: policy.keep_last_page,
        end_on_shared_refresh_token: policy.end_on_shared_refresh_token,
        required_acr: limits.required_acr.clone(),
        reauthenticate_within: limits.reauthenticate_within.map(render::duration),
        findings_disabled: policy
            .findings_disabled
            .iter()
            .map(|code| render::finding_code(*code).into())
            .collect(),
        users: policy
            .user_overrides
            .iter()
            .map(|(user, own)| (user.to_string(), user_to_wire(own)))
            .collect(),
        etag: version.to_string(),
        source: policy.source.clone(),
    }
}

fn user_to_wire(own: &UserOverride) -> v1::UserPolicy {
    v1::UserPolicy {
        idle_timeout: own.idle_timeout.map(render::duration),
        session_lifetime_max: own.session_lifetime_max.map(render::duration),
        remember_me_forbidden: own.forbid_remember_me,
        remember_me_lifetime: own.remember_me_lifetime.map(render::duration),
        session_lifetime: own.session_lifetime.map(render::duration),
        access_token_lifetime: own.access_token_lifetime.map(render::duration),
        sessions_max: own.sessions_max.unwrap_or_default(),
        required_acr: own.required_acr.clone(),
        reauthenticate_within: own.reauthenticate_within.map(render::duration),
    }
}

/// The policy that a request asks for. `token_lifetime_max` is the installation's.
pub(super) fn from_wire(
    fields: &mut Fields,
    message: &v1::Policy,
    preset: &str,
    token_lifetime_max: Duration,
) -> Policy {
    let mut policy = Policy {
        limits: limits(fields, message),
        users_see_sessions: message.users_see_sessions,
        keep_last_page: message.keep_last_page,
        end_on_shared_refresh_token: message.end_on_shared_refresh_token,
        findings_disabled: findings(fields, &message.findings_disabled),
        source: String::new(),
        user_overrides: overrides(fields, &message.users),
    };
    match (preset, Preset::named(preset)) {
        ("", _) => {}
        (_, Some(preset)) => {
            policy.limits = preset.apply(policy.limits);
            preset.source.clone_into(&mut policy.source);
        }
        (_, None) => fields.wrong("preset", "is not a preset"),
    }
    if policy
        .limits
        .access_token_lifetime
        .is_some_and(|lifetime| lifetime > token_lifetime_max)
    {
        fields.wrong(
            "policy.access_token_lifetime",
            "must be at most the installation's",
        );
    }
    for (field, problem) in policy.validate().err().unwrap_or_default() {
        fields.wrong(
            &format!("policy.{}", field.replacen("user_overrides", "users", 1)),
            problem,
        );
    }
    policy
}

fn limits(fields: &mut Fields, message: &v1::Policy) -> Limits {
    let mut required = |field: &str, duration: Option<&prost_types::Duration>| match duration {
        Some(_) => fields.duration(field, duration).unwrap_or(Duration::ZERO),
        None => {
            fields.wrong(field, "is required");
            Duration::ZERO
        }
    };
    Limits {
        session_lifetime_max: required(
            "policy.session_lifetime_max",
            message.session_lifetime_max.as_ref(),
        ),
        session_lifetime: required("policy.session_lifetime", message.session_lifetime.as_ref()),
        remember_me_lifetime: required(
            "policy.remember_me_lifetime",
            message.remember_me_lifetime.as_ref(),
        ),
        remember_me_allowed: message.remember_me_allowed,
        idle_timeout: fields.duration("policy.idle_timeout", message.idle_timeout.as_ref()),
        access_token_lifetime: fields.duration(
            "policy.access_token_lifetime",
            message.access_token_lifetime.as_ref(),
        ),
        sessions_max: (message.sessions_max > 0).then_some(message.sessions_max),
        at_limit: match v1::SessionLimitAction::try_from(message.at_limit) {
            Ok(v1::SessionLimitAction::Refuse) => AtLimit::Refuse,
            Ok(_) => AtLimit::EndOldest,
            Err(_) => {
                fields.wrong("policy.at_limit", "is not an action");
                AtLimit::default()
            }
        },
        required_acr: message.required_acr.clone(),
        reauthenticate_within: fields.duration(
            "policy.reauthenticate_within",
            message.reauthenticate_within.as_ref(),
        ),
    }
}

fn findings(fields: &mut Fields, codes: &[i32]) -> BTreeSet<crate::domain::FindingCode> {
    let mut read = |code: &i32| {
        let known = v1::FindingCode::try_from(*code)
            .ok()
            .and_then(render::finding_code_from_wire);
        if known.is_none() {
            fields.wrong("policy.findings_disabled", "has a code that is none");
        }
        known
    };
    codes.iter().take(64).filter_map(&mut read).collect()
}

fn overrides(
    fields: &mut Fields,
    users: &std::collections::HashMap<String, v1::UserPolicy>,
) -> BTreeMap<UserId, UserOverride> {
    let mut read = BTreeMap::new();
    for (user, own) in users {
        let Some(user) = fields.user("policy.users", user) else {
            continue;
        };
        let own = user_override(fields, &user, own);
        read.insert(user, own);
    }
    read
}

fn user_override(fields: &mut Fields, user: &UserId, own: &v1::UserPolicy) -> UserOverride {
    let mut duration = |field: &str, duration: &Option<prost_types::Duration>| {
        fields.duration(&format!("policy.users[{user}].{field}"), duration.as_ref())
    };
    UserOverride {
        idle_timeout: duration("idle_timeout", &own.idle_timeout),
        session_lifetime_max: duration("session_lifetime_max", &own.session_lifetime_max),
        session_lifetime: duration("session_lifetime", &own.session_lifetime),
        forbid_remember_me: own.remember_me_forbidden,
        remember_me_lifetime: duration("remember_me_lifetime", &own.remember_me_lifetime),
        access_token_lifetime: duration("access_token_lifetime", &own.access_token_lifetime),
        sessions_max: (own.sessions_max > 0).then_some(own.sessions_max),
        required_acr: own.required_acr.clone(),
        reauthenticate_within: duration("reauthenticate_within", &own.reauthenticate_within),
    }
}
