//! A session as a line of a list.

use portcullis_contract::v1::{ActivityStatus, Advice, DeviceType, Session};

use crate::{
    describe::{self, FindingText},
    person::Person,
    times::Moment,
    words::Words,
};

/// A session of a list.
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) device: String,
    pub(crate) icon: &'static str,
    pub(crate) is_current: bool,
    pub(crate) is_active: bool,
    pub(crate) place: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) last_active: Option<Moment>,
    pub(crate) is_suspicious: bool,
    pub(crate) findings: Vec<FindingText>,
    pub(crate) advice: Vec<Step>,
}

/// A step that a finding recommends: words, and a way to do it. Without an address it is words only.
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) location: Option<String>,
    pub(crate) is_grave: bool,
}

impl Item {
    pub(crate) fn of(person: &Person, session: &Session) -> Self {
        let words = person.words;
        let kind = device_type(session);
        Self {
            device: describe::device_name(words, session),
            icon: describe::device_icon(kind),
            is_current: session.id == person.session_id,
            is_active: session.activity() == ActivityStatus::ActiveNow,
            place: describe::place(session),
            address: describe::address(session),
            last_active: Moment::of(session.last_active_time),
            is_suspicious: describe::is_suspicious(session),
            findings: describe::findings(words, session),
            advice: steps(person, session),
            id: session.id.clone(),
        }
    }

    /// The word of the status dot, so that the state is told by more than a colour.
    pub(crate) fn status(&self, words: &Words) -> String {
        words.text(if self.is_active {
            "mine-status-active"
        } else {
            "mine-status-idle"
        })
    }
}

/// The kind of the session's device.
pub(crate) fn device_type(session: &Session) -> DeviceType {
    match &session.device {
        Some(device) => device.r#type(),
        None => DeviceType::Unspecified,
    }
}

/// The steps that the findings recommend.
pub(crate) fn steps(person: &Person, session: &Session) -> Vec<Step> {
    let advice = describe::advice(session).into_iter();
    advice.map(|advice| step(person, session, advice)).collect()
}

fn step(person: &Person, session: &Session, advice: Advice) -> Step {
    let account = person.account_url().map(str::to_owned);
    let (word, location, is_grave) = match advice {
        Advice::EndSession => {
            // The way leads to the question. A link never ends anything by itself.
            let location = format!("/sessions/{}/sign-out", session.id);
            ("mine-advice-end-session", Some(location), true)
        }
        Advice::EndAllSessions => {
            let location = "/sign-out-everywhere".to_owned();
            ("mine-advice-end-all-sessions", Some(location), true)
        }
        Advice::ChangePassword => ("mine-advice-change-password", account, false),
        Advice::EnableSecondFactor => ("mine-advice-second-factor", account, false),
        Advice::CheckRecentChanges => ("mine-advice-recent-changes", account, false),
        Advice::ReviewAuditLog | Advice::Unspecified => {
            let location = person.roles.reads().then(|| "/audit".to_owned());
            ("mine-advice-audit-log", location, false)
        }
    };
    Step {
        text: person.words.text(word),
        location,
        is_grave,
    }
}
