//! Sessions as the wire has them.

use portcullis_contract::v1;

use super::{cause, duration, finding_code, profile, timestamp};
use crate::{
    app::{ActivityStatus, SessionDetail, SessionView},
    domain::{
        ProviderSession, Session, SessionEnd, SessionState,
        device::{Device, DeviceKind},
        findings::{Advice, Finding, Level},
        place::Place,
    },
};

/// A whole session.
pub(crate) fn session(view: &SessionView) -> v1::Session {
    let session = &view.session;
    let client = &session.client;
    v1::Session {
        refresh_time: session.rotated.map(timestamp),
        remember_me: session.remember_me,
        amr: session.facts.amr.clone(),
        acr: session.acr.clone(),
        client_id: session.facts.client_id.clone(),
        identity_provider: session
            .facts
            .identity_provider
            .as_ref()
            .map(provider_session),
        auth_time: Some(timestamp(session.auth_time)),
        client: Some(v1::Client {
            ip: client.ip.clone(),
            user_agent: client.user_agent.clone(),
            device_id: client.device_id.clone(),
            app_name: client.app_name.clone(),
            ..Default::default()
        }),
        current: view.is_current,
        device: Some(device(&session.sight.device)),
        place: Some(place(&view.place)),
        device_sign_ins: session.sight.device_sign_ins,
        findings: view.findings.iter().map(finding).collect(),
        user: view
            .profile
            .as_ref()
            .map(|known| profile(&session.user_id, known)),
        replaces_session_id: session
            .replaces
            .map(|id| id.to_string())
            .unwrap_or_default(),
        // The outline comes first, so that a caller who sees only that gets the same values.
        ..with_activity(outline(session, view.state), view)
    }
}

fn provider_session(named: &ProviderSession) -> v1::ProviderSession {
    v1::ProviderSession {
        issuer: named.issuer.clone(),
        session_id: named.session_id.clone(),
        subject: named.subject.clone(),
    }
}

fn with_activity(outline: v1::Session, view: &SessionView) -> v1::Session {
    let activity = &view.session.activity;
    v1::Session {
        last_active_time: Some(timestamp(activity.last)),
        activity: activity_status(view.activity).into(),
        idle: view.activity.map(|status| duration(status.idle)),
        idle_expire_time: view.idle_expires.map(timestamp),
        actions: activity.requests,
        last_page: activity.page.clone(),
        last_ip: activity.ip.clone(),
        ..outline
    }
}

/// As much of a session as its viewer may see.
pub(crate) fn detail(detail: &SessionDetail) -> v1::Session {
    match detail {
        SessionDetail::Whole(view) => session(view),
        SessionDetail::Outline(session, state) => outline(session, *state),
    }
}

/// The fields of a session that say whether and how it ended.
fn outline(session: &Session, state: SessionState) -> v1::Session {
    v1::Session {
        id: session.id.to_string(),
        tenant_id: session.tenant_id.to_string(),
        user_id: session.user_id.to_string(),
        state: session_state(state).into(),
        create_time: Some(timestamp(session.created)),
        expire_time: Some(timestamp(session.expires)),
        end: session.end.as_ref().map(session_end),
        ..Default::default()
    }
}

fn session_end(end: &SessionEnd) -> v1::SessionEnd {
    v1::SessionEnd {
        time: Some(timestamp(end.at)),
        cause: cause(end.cause).into(),
        user_message: end.user_message.clone(),
        reason: end.reason.clone(),
        actor: end.actor.clone(),
        revision: end.revision.0,
    }
}

fn session_state(state: SessionState) -> v1::SessionState {
    match state {
        SessionState::Active => v1::SessionState::Active,
        SessionState::Expired => v1::SessionState::Expired,
        SessionState::SignedOut => v1::SessionState::SignedOut,
        SessionState::Revoked => v1::SessionState::Revoked,
    }
}

pub(crate) fn activity_status(status: Option<ActivityStatus>) -> v1::ActivityStatus {
    match status {
        None => v1::ActivityStatus::Unspecified,
        Some(status) if status.is_active_now => v1::ActivityStatus::ActiveNow,
        Some(_) => v1::ActivityStatus::Idle,
    }
}

fn device(device: &Device) -> v1::Device {
    v1::Device {
        r#type: device_type(device.kind).into(),
        model: device.model.clone(),
        os: device.os.clone(),
        os_version: device.os_version.clone(),
        browser: device.browser.clone(),
        browser_version: device.browser_version.clone(),
        app_name: device.app_name.clone(),
        app_version: device.app_version.clone(),
    }
}

fn device_type(kind: DeviceKind) -> v1::DeviceType {
    match kind {
        DeviceKind::Unknown => v1::DeviceType::Unspecified,
        DeviceKind::Phone => v1::DeviceType::Phone,
        DeviceKind::Tablet => v1::DeviceType::Tablet,
        DeviceKind::Desktop => v1::DeviceType::Desktop,
        DeviceKind::Program => v1::DeviceType::Program,
        DeviceKind::Tv => v1::DeviceType::Tv,
    }
}

fn place(place: &Place) -> v1::Place {
    v1::Place {
        city: place.city.clone(),
        country_code: place.country.clone(),
        country: place.country_name.clone(),
        network_operator: place.network_operator.clone(),
    }
}

fn finding(finding: &Finding) -> v1::Finding {
    v1::Finding {
        code: finding_code(finding.code).into(),
        level: finding_level(finding.level).into(),
        facts: finding.facts.iter().cloned().collect(),
        advice: finding
            .code
            .advice()
            .iter()
            .map(|each| advice(*each).into())
            .collect(),
    }
}

fn finding_level(level: Level) -> v1::FindingLevel {
    match level {
        Level::Low => v1::FindingLevel::Low,
        Level::Medium => v1::FindingLevel::Medium,
        Level::High => v1::FindingLevel::High,
    }
}

fn advice(advice: Advice) -> v1::Advice {
    match advice {
        Advice::EndSession => v1::Advice::EndSession,
        Advice::EndAllSessions => v1::Advice::EndAllSessions,
        Advice::ChangePassword => v1::Advice::ChangePassword,
        Advice::EnableSecondFactor => v1::Advice::EnableSecondFactor,
        Advice::CheckRecentChanges => v1::Advice::CheckRecentChanges,
        Advice::ReviewAuditLog => v1::Advice::ReviewAuditLog,
    }
}
