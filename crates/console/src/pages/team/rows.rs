//! Rows of sessions, as the lists and the previews show them.

use portcullis_contract::v1;

use super::{address, desk::Desk};
use crate::{describe, times::Moment};

/// A session in a table.
pub(super) struct SessionRow {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) user: String,
    pub(super) user_address: String,
    pub(super) device: String,
    pub(super) place: String,
    pub(super) network_address: String,
    pub(super) signed_in: Option<Time>,
    pub(super) last_active: Option<Time>,
    pub(super) state: String,
    pub(super) state_class: &'static str,
    pub(super) ended_why: String,
    pub(super) findings: String,
    pub(super) select_label: String,
    pub(super) is_active: bool,
    /// Whether it is the session of the reader.
    pub(super) is_own: bool,
}

/// A time in a table: in words, in full, and for programs.
pub(super) struct Time {
    pub(super) relative: String,
    pub(super) full: String,
    pub(super) machine: String,
}

impl Time {
    pub(super) fn of(desk: &Desk<'_>, time: Option<prost_types::Timestamp>) -> Option<Self> {
        let moment = Moment::of(time)?;
        let times = desk.times();
        Some(Self {
            relative: times.relative(moment),
            full: times.full(moment),
            machine: times.machine(moment),
        })
    }
}

impl SessionRow {
    pub(super) fn of(desk: &Desk<'_>, session: &v1::Session) -> Self {
        let user = user_name(session);
        let device = describe::device_name(*desk.words(), session);
        let signed_in = Time::of(desk, session.create_time);
        let (state, state_class) = state(desk, session);
        Self {
            id: session.id.clone(),
            address: address::session(&session.id),
            user_address: address::user(&session.user_id),
            place: place(desk, session),
            network_address: describe::address(session).unwrap_or_default(),
            last_active: Time::of(desk, session.last_active_time),
            ended_why: ended_why(desk, session),
            findings: findings(desk, session.findings.len()),
            select_label: select_label(desk, &user, &device, signed_in.as_ref()),
            is_active: session.state() == v1::SessionState::Active,
            is_own: session.id == desk.person.session_id,
            user,
            device,
            signed_in,
            state,
            state_class,
        }
    }
}

fn select_label(desk: &Desk<'_>, user: &str, device: &str, signed_in: Option<&Time>) -> String {
    // A screen reader reads the boxes of a table one by one, so each names its row.
    let time = signed_in.map_or("", |time| &time.full);
    let values = [("name", user), ("device", device), ("time", time)];
    desk.words().with("team-select-session", values)
}

/// The sign-in name, or else the user's id.
fn user_name(session: &v1::Session) -> String {
    let named = session.user.as_ref().map(|user| &user.user_name);
    match named {
        Some(name) if !name.is_empty() => name.clone(),
        _ => session.user_id.clone(),
    }
}

fn place(desk: &Desk<'_>, session: &v1::Session) -> String {
    let mut parts = Vec::new();
    parts.extend(describe::place(session));
    parts.extend(describe::network_operator(session));
    if parts.is_empty() {
        return desk.words().text("frame-unknown");
    }
    parts.join(", ")
}

fn state(desk: &Desk<'_>, session: &v1::Session) -> (String, &'static str) {
    let (id, class) = match session.state() {
        v1::SessionState::Active => match session.activity() {
            v1::ActivityStatus::ActiveNow => ("team-state-active-now", "good"),
            _ => ("team-state-idle", ""),
        },
        state => (session_state_id(state), ""),
    };
    (desk.words().text(id), class)
}

/// Why a session ended, with the administrator's reason, which the authority shows to staff only.
fn ended_why(desk: &Desk<'_>, session: &v1::Session) -> String {
    if session.state() == v1::SessionState::Active {
        return String::new();
    }
    let cause = describe::end_text(*desk.words(), session);
    let reason = session.end.as_ref().map(|end| end.reason.as_str());
    let Some(reason) = reason.filter(|reason| !reason.is_empty()) else {
        return cause;
    };
    let values = [("cause", cause.as_str()), ("reason", reason)];
    desk.words().with("team-ended-why", values)
}

fn findings(desk: &Desk<'_>, count: usize) -> String {
    if count == 0 {
        return String::new();
    }
    desk.words().with("team-findings", [("count", count)])
}

/// The word for a state of a session.
pub(super) fn session_state_id(state: v1::SessionState) -> &'static str {
    match state {
        v1::SessionState::Unspecified | v1::SessionState::Active => "team-session-active",
        v1::SessionState::Expired => "team-session-expired",
        v1::SessionState::SignedOut => "team-session-signed-out",
        v1::SessionState::Revoked => "team-session-revoked",
    }
}
