//! A device of the demonstration: a session, its tokens, and the last answer of the gateway.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use super::{accounts::Tokens, door::Answer, people::Person};

/// A token is renewed when it has less than this left, in seconds.
const RENEWAL_SECONDS: i64 = 60;

/// A signed-in device.
pub(super) struct Device {
    /// An unguessable name: the browser's cookie has it.
    pub(super) key: String,
    pub(super) person: &'static Person,
    pub(super) address: IpAddr,
    state: Mutex<State>,
}

struct State {
    tokens: Tokens,
    /// Whether a new token was refused: the session has ended.
    is_over: bool,
    view: View,
}

/// A device as the panel shows it.
#[derive(Clone, Serialize)]
pub(super) struct View {
    /// A number that only tells lines apart. It gives no rights.
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) person: String,
    pub(super) town: &'static str,
    /// `waiting`, `admitted`, `refused` or `away`.
    pub(super) state: &'static str,
    /// The gateway's answer, such as `200 OK` or `401 revoked`.
    pub(super) answer: String,
    /// How long the answer took, or after which click it came.
    pub(super) detail: String,
}

impl Device {
    pub(super) fn new(
        (key, number): (String, u64),
        person: &'static Person,
        (name, town, address): (String, &'static str, IpAddr),
        tokens: Tokens,
    ) -> Self {
        let view = View {
            number,
            name,
            person: person.name(),
            town,
            state: "waiting",
            answer: "asking …".into(),
            detail: String::new(),
        };
        let state = State {
            tokens,
            is_over: false,
            view,
        };
        Self {
            key,
            person,
            address,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view(&self) -> View {
        self.state().view.clone()
    }

    pub(super) fn access_token(&self) -> String {
        self.state().tokens.access.clone()
    }

    /// Whether the device can still be used.
    pub(super) fn is_signed_in(&self) -> bool {
        let state = self.state();
        // Either may be known first: the gate refuses at once, and a renewal fails only when the
        // token is used up.
        !state.is_over && state.view.state != "refused"
    }

    /// The refresh token, if the access token is used up or almost.
    pub(super) fn due_renewal(&self) -> Option<String> {
        let state = self.state();
        let left = state.tokens.expires - unix_seconds();
        (!state.is_over && left < RENEWAL_SECONDS).then(|| state.tokens.refresh.clone())
    }

    pub(super) fn renewed(&self, tokens: Tokens) {
        self.state().tokens = tokens;
    }

    /// The session gives no new tokens any more.
    pub(super) fn over(&self) {
        self.state().is_over = true;
    }

    /// Keeps an answer of the gateway. `since_click` is the time since the last click: of interest if the answer is the
    /// first refusal.
    pub(super) fn record(&self, answer: &Answer, since_click: Option<Duration>) {
        let view = &mut self.state().view;
        if answer.status == 200 {
            view.state = "admitted";
            view.answer = "200 OK".into();
            view.detail = format!("in {}", milliseconds(answer.took));
            return;
        }
        let was_refused = view.state == "refused";
        view.answer = format!("{} {}", answer.status, answer.reason);
        // A gate that cannot know says 503, and the device stays signed in.
        view.state = if answer.status == 401 {
            "refused"
        } else {
            "away"
        };
        // The first refusal has the time that counts. Later ones would show the age of the click.
        if !was_refused {
            view.detail = match since_click {
                Some(since) => format!("{} after the click", milliseconds(since)),
                None => String::new(),
            };
        }
    }

    /// The gateway did not answer at all.
    pub(super) fn record_silence(&self) {
        let view = &mut self.state().view;
        view.state = "away";
        view.answer = "no answer".into();
        view.detail = String::new();
    }
}

fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::first_minute::people;

    fn device() -> Device {
        let tokens = Tokens {
            session_id: "ses_1".into(),
            access: "a".into(),
            refresh: "r".into(),
            expires: i64::MAX,
        };
        let person = people::find("n-100").expect("a person");
        let address = person.home.address(1);
        Device::new(
            ("key".into(), 1),
            person,
            ("a phone".into(), "Manchester", address),
            tokens,
        )
    }

    fn answer(status: u16, reason: &str) -> Answer {
        Answer {
            status,
            reason: reason.into(),
            took: Duration::from_micros(400),
        }
    }

    #[test]
    fn the_first_refusal_keeps_its_time_since_the_click() {
        let device = device();
        device.record(&answer(200, ""), Some(Duration::from_secs(4)));
        assert_eq!(device.view().detail, "in 0.4 ms");
        device.record(&answer(401, "revoked"), Some(Duration::from_micros(2_100)));
        device.record(&answer(401, "revoked"), Some(Duration::from_secs(1)));
        let view = device.view();
        assert_eq!((view.state, &*view.answer), ("refused", "401 revoked"));
        assert_eq!(view.detail, "2.1 ms after the click");
        assert!(!device.is_signed_in());
    }

    #[test]
    fn a_gate_that_cannot_know_signs_nobody_out() {
        let device = device();
        device.record(&answer(503, "stale"), None);
        assert_eq!(device.view().state, "away");
        assert!(device.is_signed_in());
    }
}
