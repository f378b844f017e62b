//! Sessions as a caller may see them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use portcullis_contract::{
    id::{TenantId, UserId},
    v1,
};

use super::{
    caller::Caller,
    convert::{self, timestamp},
    core::Core,
    status::ServiceError,
};
use crate::{
    client_info::places::Places,
    domain::{
        Micros, Policy, Profile, Session, SessionState,
        device::{Device, DeviceKind},
        findings::{Finding, Level, SessionSight},
        place::Place,
    },
};

/// Who was active within this is active now.
const ACTIVE_NOW: Duration = Duration::from_secs(5 * 60);

/// What decides how sessions of one tenant are shown to one caller.
pub(super) struct Shown<'a> {
    caller: &'a Caller,
    policy: Arc<Policy>,
    places: &'a Places,
    profiles: HashMap<UserId, Profile>,
}

impl Core {
    /// How `sessions` of a tenant are shown.
    pub(super) async fn shown<'a>(
        &'a self,
        caller: &'a Caller,
        tenant: &TenantId,
        sessions: &[Session],
    ) -> Result<Shown<'a>, ServiceError> {
        let users: BTreeSet<_> = sessions
            .iter()
            .map(|session| session.user_id.clone())
            .collect();
        let users = self.store.users(tenant, &Vec::from_iter(users)).await?;
        let profiles = users
            .into_iter()
            .map(|user| (user.user_id, user.profile))
            .collect();
        Ok(Shown {
            caller,
            policy: self.policies.of(tenant).await?,
            places: &self.places,
            profiles,
        })
    }
}

impl Shown<'_> {
    /// A session at `now`: the administrator's words are not for the user.
    pub(super) fn session(&self, session: &Session, now: Micros) -> v1::Session {
        let (sight, activity) = (&session.sight, &session.activity);
        let ip = session.last_ip().parse().ok();
        let place = match activity.ip.is_empty() {
            true => sight.place.clone(),
            false => ip.map(|ip| self.places.lookup(ip)).unwrap_or_default(),
        };
        let active = session.state(now) == SessionState::Active;
        let idle = now.since(activity.last);
        let status = match idle <= ACTIVE_NOW {
            _ if !active => v1::ActivityStatus::Unspecified,
            true => v1::ActivityStatus::ActiveNow,
            false => v1::ActivityStatus::Idle,
        };
        let idle_timeout = self
            .policy
            .effective(&session.user_id)
            .idle_timeout
            .filter(|_| active);
        let idle_expires =
            idle_timeout.map(|timeout| activity.last.after(timeout).min(session.expires));
        let findings = self.findings(session, &place, ip, now);
        v1::Session {
            device: Some(device(&sight.device)),
            place: Some(to_wire(&place)),
            last_active_time: Some(timestamp(activity.last)),
            activity: status.into(),
            idle: active.then(|| convert::duration(idle)),
            idle_expire_time: idle_expires.map(timestamp),
            device_sign_ins: sight.device_sign_ins,
            actions: activity.requests,
            last_page: if self.policy.keep_last_page {
                activity.page.clone()
            } else {
                String::new()
            },
            last_ip: activity.ip.clone(),
            findings: findings.iter().map(finding).collect(),
            user: self.user(&session.user_id),
            replaces_session_id: session
                .replaces
                .map(|id| id.to_string())
                .unwrap_or_default(),
            ..convert::session(session, now, self.caller)
        }
    }

    fn user(&self, id: &UserId) -> Option<v1::SessionUser> {
        let mut user = convert::profile(id, self.profiles.get(id)?);
        if !self.caller.sees_email() {
            user.email.clear();
        }
        Some(user)
    }

    /// What was found at sign-in, and what is found now.
    fn findings(
        &self,
        session: &Session,
        place: &Place,
        ip: Option<std::net::IpAddr>,
        now: Micros,
    ) -> Vec<Finding> {
        let sight = SessionSight {
            created: session.created,
            active: session.state(now) == SessionState::Active,
            ended_by: session.end.as_ref().map(|end| end.cause),
            opened_in: session.sight.place.clone(),
            used_in: place.clone(),
            used_from: ip,
            refresh_token_shared: session.shared_generation.is_some(),
        };
        let disabled = &self.policy.findings_disabled;
        let at_sign_in = session
            .sight
            .findings
            .iter()
            .filter(|finding| !disabled.contains(&finding.code));
        at_sign_in
            .cloned()
            .chain(sight.findings(now, disabled))
            .collect()
    }
}

fn device(device: &Device) -> v1::Device {
    v1::Device {
        r#type: match device.kind {
            DeviceKind::Unknown => v1::DeviceType::Unspecified,
            DeviceKind::Phone => v1::DeviceType::Phone,
            DeviceKind::Tablet => v1::DeviceType::Tablet,
            DeviceKind::Desktop => v1::DeviceType::Desktop,
            DeviceKind::Program => v1::DeviceType::Program,
        }
        .into(),
        model: device.model.clone(),
        os: device.os.clone(),
        os_version: device.os_version.clone(),
        browser: device.browser.clone(),
        browser_version: device.browser_version.clone(),
        app_name: device.app_name.clone(),
        app_version: device.app_version.clone(),
    }
}

fn to_wire(place: &Place) -> v1::Place {
    v1::Place {
        city: place.city.clone(),
        country_code: place.country.clone(),
        country: place.country_name.clone(),
        network_operator: place.network_operator.clone(),
    }
}

fn finding(finding: &Finding) -> v1::Finding {
    let advice = finding.code.advice().iter();
    v1::Finding {
        code: convert::finding_code(finding.code).into(),
        level: match finding.code.level() {
            Level::Low => v1::FindingLevel::Low,
            Level::Medium => v1::FindingLevel::Medium,
            Level::High => v1::FindingLevel::High,
        }
        .into(),
        facts: finding.facts.iter().cloned().collect(),
        advice: advice
            .map(|advice| convert::advice(*advice).into())
            .collect(),
    }
}
