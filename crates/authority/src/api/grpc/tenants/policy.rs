//! `UpdatePolicy`: the policy of the request.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use portcullis_contract::{id::UserId, v1};

use crate::{
    api::grpc::{change::SubjectSource, parse::Fields, render},
    app::AppError,
    domain::{
        FindingCode, Policy,
        policy::{AtLimit, Limits, Preset, UserOverride},
    },
};

/// Findings that a policy may disable, counted with repetitions. There are fewer kinds; more in a request are ignored.
const FINDINGS_MAX: usize = 64;

/// The policy that a request asks for, and the version that it shall replace.
pub(super) struct PolicyUpdate {
    pub(super) policy: Policy,
    etag: String,
}

impl PolicyUpdate {
    /// The version that the caller has read.
    pub(super) fn expected_version(&self) -> Result<u64, AppError> {
        // A malformed etag cannot match any version.
        self.etag.parse().map_err(|_| AppError::EtagMismatch)
    }
}

/// `token_lifetime_max` is the installation's.
pub(super) fn parse_update(
    source: SubjectSource<'_, v1::UpdatePolicyRequest>,
    token_lifetime_max: Duration,
) -> PolicyUpdate {
    let message = source.message.policy.clone().unwrap_or_default();
    let fields = source.fields;
    let mut policy = parse_policy(fields, &message);
    apply_preset(fields, &mut policy, &source.message.preset);
    check_policy(fields, &policy, token_lifetime_max);
    PolicyUpdate {
        policy,
        etag: message.etag,
    }
}

fn parse_policy(fields: &mut Fields, message: &v1::Policy) -> Policy {
    Policy {
        limits: parse_limits(fields, message),
        users_see_sessions: message.users_see_sessions,
        keep_last_page: message.keep_last_page,
        end_on_shared_refresh_token: message.end_on_shared_refresh_token,
        findings_disabled: parse_findings(fields, &message.findings_disabled),
        source: String::new(),
        user_overrides: parse_overrides(fields, &message.users),
    }
}

/// Applies the named preset to the limits of a policy.
fn apply_preset(fields: &mut Fields, policy: &mut Policy, name: &str) {
    if name.is_empty() {
        return;
    }
    match Preset::named(name) {
        Some(preset) => {
            policy.limits = preset.apply(policy.limits.clone());
            // Kept in the policy, so that a reader can tell a preset from limits that somebody chose.
            preset.source.clone_into(&mut policy.source);
        }
        None => fields.wrong("preset", "must be the name of a preset"),
    }
}

fn check_policy(fields: &mut Fields, policy: &Policy, token_lifetime_max: Duration) {
    // The store remembers revocations for the installation's lifetime. A token that lives longer would outlive its own.
    if let Some(lifetime) = policy.limits.access_token_lifetime
        && lifetime > token_lifetime_max
    {
        fields.wrong(
            "policy.access_token_lifetime",
            "must be at most the lifetime that the installation allows",
        );
    }
    if let Err(problems) = policy.validate() {
        for (field, problem) in problems {
            // The wire calls the overrides of users `users`.
            let field = field.replacen("user_overrides", "users", 1);
            fields.wrong(&format!("policy.{field}"), problem);
        }
    }
}

fn parse_limits(fields: &mut Fields, message: &v1::Policy) -> Limits {
    Limits {
        session_lifetime_max: parse_required_duration(
            fields,
            "policy.session_lifetime_max",
            message.session_lifetime_max.as_ref(),
        ),
        session_lifetime: parse_required_duration(
            fields,
            "policy.session_lifetime",
            message.session_lifetime.as_ref(),
        ),
        remember_me_lifetime: parse_required_duration(
            fields,
            "policy.remember_me_lifetime",
            message.remember_me_lifetime.as_ref(),
        ),
        remember_me_allowed: message.remember_me_allowed,
        idle_timeout: fields.duration("policy.idle_timeout", message.idle_timeout.as_ref()),
        access_token_lifetime: fields.duration(
            "policy.access_token_lifetime",
            message.access_token_lifetime.as_ref(),
        ),
        sessions_max: nonzero(message.sessions_max),
        at_limit: parse_session_limit_action(fields, message.at_limit),
        required_acr: message.required_acr.clone(),
        reauthenticate_within: fields.duration(
            "policy.reauthenticate_within",
            message.reauthenticate_within.as_ref(),
        ),
    }
}

/// Returns zero after it reported a problem.
fn parse_required_duration(
    fields: &mut Fields,
    field: &str,
    duration: Option<&prost_types::Duration>,
) -> Duration {
    if duration.is_none() {
        fields.wrong(field, "required");
    }
    fields.duration(field, duration).unwrap_or_default()
}

fn parse_session_limit_action(fields: &mut Fields, action: i32) -> AtLimit {
    match v1::SessionLimitAction::try_from(action) {
        Ok(v1::SessionLimitAction::Refuse) => AtLimit::Refuse,
        Ok(_) => AtLimit::EndOldest,
        Err(_) => {
            fields.wrong("policy.at_limit", "must be a value of SessionLimitAction");
            AtLimit::default()
        }
    }
}

/// The wire has 0 for "no limit".
fn nonzero(limit: u32) -> Option<u32> {
    if limit > 0 { Some(limit) } else { None }
}

fn parse_findings(fields: &mut Fields, codes: &[i32]) -> BTreeSet<FindingCode> {
    let mut disabled = BTreeSet::new();
    for code in codes.iter().take(FINDINGS_MAX) {
        let known = v1::FindingCode::try_from(*code)
            .ok()
            .and_then(render::finding_code_from_wire);
        match known {
            Some(code) => {
                disabled.insert(code);
            }
            None => fields.wrong(
                "policy.findings_disabled",
                "must have known finding codes only",
            ),
        }
    }
    disabled
}

fn parse_overrides(
    fields: &mut Fields,
    users: &HashMap<String, v1::UserPolicy>,
) -> BTreeMap<UserId, UserOverride> {
    let mut overrides = BTreeMap::new();
    for (user, own) in users {
        if let Some(user) = fields.user("policy.users", user) {
            let own = parse_override(fields, &user, own);
            overrides.insert(user, own);
        }
    }
    overrides
}

fn parse_override(fields: &mut Fields, user: &UserId, own: &v1::UserPolicy) -> UserOverride {
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
        sessions_max: nonzero(own.sessions_max),
        required_acr: own.required_acr.clone(),
        reauthenticate_within: duration("reauthenticate_within", &own.reauthenticate_within),
    }
}
