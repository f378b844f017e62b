//! What clients ask of an authority, and the record of what they were told.

use std::sync::Arc;

use portcullis_authority::log::Log;
use portcullis_contract::{id::UserSerial, token::Claims};
use portcullis_domain::{Cause, Entry, Micros, Mutation, Outcome};

use crate::{
    gate::{AUDIENCE, ISSUER},
    history::{Revocation, Target, Token},
    store::{
        Connection,
        database::{Found, elapsed},
    },
    users,
    world::World,
};

/// The life of a token, in seconds by the database's clock.
pub const LIFE_SECONDS: u64 = 2;

/// A call of a client. Tokens are named by their number in the history.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    SignIn(UserSerial),
    Refresh(usize),
    Revoke(usize),
    /// Signs a user out, but for the session of a token.
    SignOut(UserSerial, Option<usize>),
    Disable(UserSerial),
    Enable(UserSerial),
    SignOutEveryone,
}

/// An authority that carries out operations.
#[derive(Clone)]
pub struct Performer {
    pub world: Arc<World>,
    pub connection: Arc<Connection>,
    pub log: Log,
}

impl Performer {
    /// Carries out an operation, and records what the client was told.
    pub async fn perform(self, operation: Operation) {
        match operation {
            Operation::SignIn(user) => {
                let found = self
                    .connection
                    .call(
                        move |database, server| async move { database.sign_in(server, user).await },
                    )
                    .await;
                self.issue(found.ok().flatten());
            }
            Operation::Refresh(token) => {
                let id = self.world.history.events().tokens[token].row.id;
                let found = self
                    .connection
                    .call(move |database, server| async move { database.refresh(server, id).await })
                    .await;
                self.issue(found.ok().flatten());
            }
            Operation::Revoke(token) => self.revoke(token).await,
            Operation::SignOut(user, kept) => self.sign_out(user, kept, false).await,
            Operation::Disable(user) => self.sign_out(user, None, true).await,
            Operation::Enable(user) => {
                let mutation = Mutation::EnableUser {
                    tenant: users::tenant(),
                    user: users::id(user),
                };
                // Whether it succeeds is of no interest: nobody is promised a sign-in.
                let _ = self.log.submit(Entry::internal(mutation)).await;
            }
            Operation::SignOutEveryone => {
                let mutation = Mutation::SignOutTenant {
                    tenant: users::tenant(),
                };
                self.end(Target::Everyone, mutation).await;
            }
        }
    }

    async fn revoke(&self, token: usize) {
        let row = self.world.history.events().tokens[token].row.clone();
        let mutation = Mutation::RevokeSessions {
            tenant: users::tenant(),
            sessions: vec![row.id],
            owner: None,
            cause: Cause::Administrator,
        };
        self.end(Target::Session(row.subject.serial), mutation)
            .await;
    }

    async fn sign_out(&self, user: UserSerial, kept: Option<usize>, disable: bool) {
        let kept = kept.map(|token| self.world.history.events().tokens[token].row.clone());
        let kept = kept.filter(|row| row.subject.user == user);
        let mutation = Mutation::SignOutUsers {
            tenant: users::tenant(),
            users: vec![users::id(user)],
            keep: kept.as_ref().map(|row| row.id),
            disable,
            cause: Cause::Administrator,
        };
        let exempt = kept.map(|row| row.subject.serial);
        self.end(Target::User(user, exempt), mutation).await;
    }

    /// Ends sessions by the log, and records when it was asked for and when it was acknowledged.
    async fn end(&self, target: Target, mutation: Mutation) {
        let number = {
            let mut events = self.world.history.events();
            events.revocations.push(Revocation {
                target,
                requested: elapsed(),
                acknowledged: None,
                lost: false,
            });
            events.revocations.len() - 1
        };
        let done = self.log.submit(Entry::internal(mutation)).await;
        if let Ok(Outcome { revision, .. }) = done {
            let mut events = self.world.history.events();
            events.revocations[number].acknowledged = Some((elapsed(), revision));
        }
    }

    /// Hands the client a token of the session.
    fn issue(&self, found: Option<Found>) {
        let Some(Found { row, now }) = found else {
            return;
        };
        let claims = claims(&row, now);
        let signed = self.world.signer.sign(ISSUER, &claims);
        let mut events = self.world.history.events();
        events.tokens.push(Token {
            text: signed.expect("our own key signs"),
            row,
            issued: elapsed(),
        });
    }
}

fn claims(row: &crate::store::rows::Row, now: Micros) -> Claims {
    let now = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
    Claims {
        tenant_id: users::tenant(),
        user_id: users::id(row.subject.user),
        session_id: row.id,
        subject: row.subject,
        token_id: row.id.to_string(),
        audiences: vec![AUDIENCE.to_owned()],
        issued_at: now,
        expires_at: now + LIFE_SECONDS,
        auth_time: now,
        amr: Vec::new(),
        acr: String::new(),
        client_id: String::new(),
    }
}
