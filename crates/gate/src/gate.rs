//! The gate: rules and an engine.

use std::sync::Arc;

use portcullis_validator_core::{
    Engine, Rejection, RequestInfo,
    http::{Refusal, find_token},
};

use crate::{
    decision::{Allow, Decision, Deny, Subject},
    identity_headers::identity_headers,
    request::RequestHead,
    rules::Rules,
};

/// The rules of a gate, over the engine that knows the revocations. Share one between all threads.
pub struct Gate {
    engine: Arc<Engine>,
    rules: Rules,
}

impl Gate {
    /// Makes a gate.
    #[must_use]
    pub fn new(engine: Arc<Engine>, rules: Rules) -> Self {
        Self { engine, rules }
    }

    /// Decides about a request. Does no I/O, and never waits.
    #[must_use]
    pub fn decide(&self, head: &RequestHead<'_>) -> Decision {
        match self.admit(head) {
            Ok(subject) => Decision::Allow(Allow {
                headers: identity_headers(&subject),
                subject,
            }),
            Err(rejection) => Decision::Deny(Deny::new(&rejection)),
        }
    }

    fn admit(&self, head: &RequestHead<'_>) -> Result<Subject, Rejection> {
        let token = match find_token(head.headers, self.rules.cookie.as_deref()) {
            Ok(token) => token,
            Err(rejection) => {
                // The engine counts every verdict, also one without a token.
                self.engine.record_refused(&rejection);
                return Err(rejection);
            }
        };
        let info = RequestInfo {
            ip: head.peer,
            page: Some(head.target),
            ..RequestInfo::default()
        };
        let identity = self.engine.check(token, &info)?;
        Ok(Subject::Session(identity))
    }
}

impl Deny {
    fn new(rejection: &Rejection) -> Self {
        let refusal = Refusal::new(rejection);
        Self {
            status: refusal.status(),
            headers: refusal.headers().into(),
            body: refusal.body(),
        }
    }
}
