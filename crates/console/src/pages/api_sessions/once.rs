//! Forms that may be sent once, because their result is shown once.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

/// The most sent forms that are remembered. The oldest is forgotten first.
const FORMS_MAX: usize = 10_000;
/// The longest number of a form, in bytes.
const NUMBER_BYTES_MAX: usize = 64;

/// The forms that were sent to this console.
#[derive(Default)]
pub(super) struct SentForms(Mutex<Sent>);

#[derive(Default)]
struct Sent {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl SentForms {
    /// Notes that a form of a session was sent. Returns false if it was sent before, or has no number of ours.
    pub(super) fn take(&self, session_id: &str, number: &str) -> bool {
        if number.is_empty() || number.len() > NUMBER_BYTES_MAX {
            return false;
        }
        // With the session, so that nobody can use up the number of another person's form.
        let form = name(session_id, number);
        // A panic here leaves at most a form that counts as sent. That is the safe side: no second
        // key.
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !sent.known.insert(form.clone()) {
            return false;
        }
        sent.order.push_back(form);
        // A form that is forgotten here could be sent again. By then ten thousand newer ones were sent.
        if sent.order.len() > FORMS_MAX
            && let Some(oldest) = sent.order.pop_front()
        {
            sent.known.remove(&oldest);
        }
        true
    }

    /// Forgets a form that made nothing, so that it can be sent again with other values.
    pub(super) fn give_back(&self, session_id: &str, number: &str) {
        let form = name(session_id, number);
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.known.remove(&form) {
            sent.order.retain(|other| *other != form);
        }
    }
}

fn name(session_id: &str, number: &str) -> String {
    format!("{session_id}/{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_once_in_each_session() {
        let forms = SentForms::default();
        assert!(forms.take("ses_1", "a"));
        assert!(!forms.take("ses_1", "a"));
        assert!(forms.take("ses_2", "a"));
        forms.give_back("ses_1", "a");
        assert!(forms.take("ses_1", "a"));
        assert!(!forms.take("ses_1", ""));
        assert!(!forms.take("ses_1", &"x".repeat(NUMBER_BYTES_MAX + 1)));
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_is_forgotten() {
        let forms = SentForms::default();
        for number in 0..=FORMS_MAX {
            assert!(forms.take("ses_1", &number.to_string()));
        }
        let sent = forms.0.lock().expect("no panic");
        assert_eq!((sent.known.len(), sent.order.len()), (FORMS_MAX, FORMS_MAX));
        drop(sent);
        assert!(forms.take("ses_1", "0"), "forgotten");
        assert!(!forms.take("ses_1", "2"), "remembered");
    }
}
