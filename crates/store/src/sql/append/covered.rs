//! Sign-outs that end nothing: the cutoff that covers them is there.
//!
//! **When.** A sign-out is answered by an earlier cutoff c when c covers all that the sign-out would, c is the head of the log,
//! and no session of the scope has been opened since. Then no entry was applied since c.
//!
//! **Why that is safe.** A session that is open, or that a sign-in under way opens, has the head that its transaction read.
//! It read c or an earlier revision, for there is none after c. Whoever read an earlier one is dead by c. Whoever read c began
//! after c was committed, and so is not older than the sign-out that is answered with c. If another authority moves the head
//! while this batch runs, a sign-in may read the new one: it began after this batch had read the head, and comes after the
//! sign-out too. Once the head has moved on, a sign-in under way may have read a revision after c, which c does not cover:
//! then the cutoff is written again, and the rates of callers bound how often.

use std::collections::HashSet;

use portcullis_contract::{delta::Scope, id::Serial, position::Revision};

use super::{
    super::{
        Value,
        connection::{ROWS_MAX, ValueRows},
    },
    Batch, Done,
};
use crate::{
    domain::{Entry, Mutation, Outcome},
    store::StoreError,
};

/// The most users of a sign-out that may end nothing. More are cut without a look.
const USERS_LOOKED_AT_MAX: usize = 16;

/// The most sessions of a scope that are looked at, so that the cost stays constant. Where there are more, the cutoff is
/// written.
const SESSIONS_LOOKED_AT_MAX: usize = 100;

impl<'a> Batch<'a> {
    /// Answers sign-outs that end nothing, of those scopes whose serials are known by now.
    pub(super) async fn answer_covered(&mut self) -> Result<(), StoreError> {
        for (index, entry) in self.pending() {
            let scopes = self.covered_scopes(index, entry);
            // Most sign-outs end something: the first tells.
            let Some(first) = scopes.first() else {
                continue;
            };
            let Some(revision) = self.cut_at_head(std::slice::from_ref(first)).await? else {
                continue;
            };
            let all = scopes.len() == 1 || self.cut_at_head(&scopes).await?.is_some();
            if all && !self.may_have_opened(index, entry, revision).await? {
                let outcome = Outcome {
                    revision,
                    changed: 0,
                };
                self.results[index] = Some(Ok(Done::Before(outcome)));
            }
        }
        Ok(())
    }

    /// Whether a session of an entry's scope has been opened at a cutoff, which does not cover it, or may have been: where
    /// there are many sessions only the first are looked at.
    async fn may_have_opened(
        &mut self,
        index: usize,
        entry: &Entry,
        cutoff: Revision,
    ) -> Result<bool, StoreError> {
        let exempt = self.kept.get(&index).map_or(0, |serial| serial.0);
        match &entry.mutation {
            Mutation::SignOutUsers { tenant, users, .. } => {
                for user in users {
                    let key = [tenant.as_str().into(), user.as_str().into()];
                    let of =
                        "s.tenant_id = $1 AND s.user_id = $2 AND s.serial > 0 AND s.serial <> $3";
                    let values = [&key[..], &[exempt.into()]].concat();
                    if self.has_opened(of, &values, cutoff).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mutation::SignOutTenant { tenant } => {
                let values = [tenant.as_str().into()];
                self.has_opened("s.tenant_id = $1", &values, cutoff).await
            }
            _ => self.has_opened("TRUE", &[], cutoff).await,
        }
    }

    async fn has_opened(
        &mut self,
        of: &str,
        values: &[Value],
        cutoff: Revision,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT s.opened_revision FROM sessions s WHERE {of} LIMIT {}",
            SESSIONS_LOOKED_AT_MAX + 1
        );
        let rows = self.connection.query(&sql, values).await?;
        if rows.len() > SESSIONS_LOOKED_AT_MAX {
            return Ok(true);
        }
        for row in &rows {
            if row.unsigned(0)? >= cutoff.0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What an entry cuts, if it does nothing else.
    fn covered_scopes(&self, index: usize, entry: &'a Entry) -> Vec<(Scope, Option<Serial>)> {
        match &entry.mutation {
            Mutation::SignOutUsers {
                tenant,
                users,
                disable,
                ..
            } => {
                let exempt = self.kept.get(&index).copied();
                let known: Vec<_> = users
                    .iter()
                    .filter_map(|user| self.users.get(&(tenant.clone(), user.clone())))
                    .map(|(serial, _)| *serial)
                    .collect();
                // Who is disabled gets no API keys: there is nothing new of theirs either.
                let disables = *disable && known.iter().any(|user| !self.disabled.contains(user));
                let many = users.len() > USERS_LOOKED_AT_MAX;
                if disables || many || known.len() < users.len() {
                    return Vec::new();
                }
                known
                    .into_iter()
                    .map(|serial| (Scope::User(serial), exempt))
                    .collect()
            }
            Mutation::SignOutTenant { tenant } => {
                let serial = self.tenants.get(tenant);
                serial
                    .map(|serial| (Scope::Tenant(*serial), None))
                    .into_iter()
                    .collect()
            }
            Mutation::SignOutEveryone => vec![(Scope::Everyone, None)],
            _ => Vec::new(),
        }
    }

    /// The head, if it is a cutoff of each of these scopes that exempts no other session.
    async fn cut_at_head(
        &mut self,
        scopes: &[(Scope, Option<Serial>)],
    ) -> Result<Option<Revision>, StoreError> {
        let (mut cut, mut head) = (HashSet::new(), None);
        for chunk in scopes.chunks(ROWS_MAX) {
            let rows = ValueRows::new(chunk.iter().map(|(scope, exempt)| {
                let (kind, serial) = scope.to_wire();
                [
                    i64::from(kind as i32).into(),
                    serial.into(),
                    exempt.map_or(0, |serial| serial.0).into(),
                ]
            }));
            let sql = format!(
                "SELECT c.scope, c.scope_serial, h.revision FROM log_head h, (VALUES {}) AS v, cutoffs c \
                 WHERE c.scope = v.column1 AND c.scope_serial = v.column2 AND c.revision = h.revision \
                 AND c.exempt_serial IN (0, v.column3)",
                rows.text
            );
            for row in self.connection.query(&sql, &rows.params).await? {
                cut.insert((row.int(0)?, row.unsigned(1)?));
                head = Some(Revision(row.unsigned(2)?));
            }
        }
        let is_cut = |scope: &Scope| {
            let (kind, serial) = scope.to_wire();
            cut.contains(&(i64::from(kind as i32), serial))
        };
        let all = scopes.iter().all(|(scope, _)| is_cut(scope));
        Ok(head.filter(|_| all))
    }
}
