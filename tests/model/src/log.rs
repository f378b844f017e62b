//! A log of a few entries, and the view that the real code makes of it.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use portcullis_contract::{
    delta::{self, Change, Scope},
    id::{Serial, TenantSerial, UserSerial},
    key::CredentialKind,
    position::{Incarnation, Position, Revision},
    view::{Frame, Subject, View},
};

/// The two sessions of a model. Both are of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// A token from before the log's first entry.
    Old,
    /// The token of a sign-in that happens meanwhile.
    New,
}

/// An entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ends the old session.
    Revoke,
    /// Signs the user out: ends all sessions that were opened before.
    Cut,
    /// Ends the session of somebody else.
    Other,
    /// Drops the previous generation.
    Turn,
}

/// An entry, and what the properties have to know about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it does.
    pub kind: Kind,
    /// Tells writes of two histories apart, as their audit rows do.
    pub origin: u8,
    /// Whether the sign-in had begun when it was written, so that it has to cover the new session too.
    pub binds_sign_in: bool,
}

/// A log, from its first revision on.
pub type Log = Vec<Entry>;

/// The length of a log, which is the revision of its head.
#[must_use]
pub fn head(log: &Log) -> u8 {
    u8::try_from(log.len()).unwrap_or(u8::MAX)
}

/// Returns whether a view that was built from `log` refuses the token, which was opened at the revision `opened`.
#[must_use]
pub fn refuses(log: &[Entry], token: Token, opened: u8) -> bool {
    let view = view_of(log);
    let subject = subject(token, opened);
    view.is_revoked(CredentialKind::Session, &subject)
        || view.is_cut(CredentialKind::Session, &subject)
}

/// Returns the position at the end of `log`, with the chain over all of it.
#[must_use]
pub fn position(log: &[Entry]) -> Position {
    view_of(log).position()
}

/// Returns whether `log` has `position`: its chain tells whether all before it is the same.
#[must_use]
pub fn has(log: &[Entry], at: &[Entry]) -> bool {
    at.len() <= log.len() && position(&log[..at.len()]) == position(at)
}

thread_local! {
    /// The models look at a few hundred logs, millions of times.
    static VIEWS: RefCell<HashMap<Log, Arc<View>>> = RefCell::new(HashMap::new());
}

fn view_of(log: &[Entry]) -> Arc<View> {
    let known = VIEWS.with_borrow(|views| views.get(log).cloned());
    if let Some(view) = known {
        return view;
    }
    let view = Arc::new(build(log));
    VIEWS.with_borrow_mut(|views| views.insert(log.to_vec(), Arc::clone(&view)));
    view
}

fn build(log: &[Entry]) -> View {
    let Some((last, before)) = log.split_last() else {
        return View::empty(Incarnation([1; 16]));
    };
    let view = view_of(before);
    let frame = Frame {
        revision: view.position().revision.next(),
        delta: delta::encode(&[change(last.kind)], Vec::new()),
        audit_digest: [last.origin; 32],
    };
    view.apply(&frame).expect("the next batch")
}

fn change(kind: Kind) -> Change {
    let credential = CredentialKind::Session;
    match kind {
        Kind::Revoke => Change::Revoke {
            credential,
            serials: vec![serial(Token::Old)],
        },
        Kind::Other => Change::Revoke {
            credential,
            serials: vec![Serial(99)],
        },
        Kind::Cut => Change::Cut {
            credential,
            scope: Scope::User(UserSerial(1)),
            exempt: None,
        },
        Kind::Turn => Change::Turn,
    }
}

fn serial(token: Token) -> Serial {
    match token {
        Token::Old => Serial(1),
        Token::New => Serial(2),
    }
}

fn subject(token: Token, opened: u8) -> Subject {
    Subject {
        serial: serial(token),
        user: UserSerial(1),
        tenant: TenantSerial(1),
        opened: Revision(u64::from(opened)),
    }
}
