//! Sign-outs that end nothing, because a cutoff covers all that they would end.
//!
//! **When.** A sign-out is answered by an earlier cutoff c if c covers everything that the sign-out would, c is the head
//! of the log, and no session of the scope has been opened since. Then no entry was applied since c.
//!
//! **Why that is safe.** A session carries the head that its sign-in read. There is no revision after c, so that head is
//! c or earlier. A session with an earlier one is covered by c. A sign-in that read c began after c was committed, and so
//! it need not be covered by a sign-out that is answered with c. If another authority moves the head while this batch
//! runs, a sign-in may read the new one: it began after this batch had read the head, and so after the sign-out. Once the
//! head has moved on, a sign-in under way may have read a revision after c, which c does not cover. Then the cutoff is
//! written again, and the rates of callers bound how often.

use std::collections::HashSet;

use portcullis_contract::{
    delta::Scope,
    id::{Serial, TenantId, UserId},
    position::Revision,
};

use super::{
    super::{
        columns::{ONLY, columns},
        connection::Statement,
        value::Value,
        values::{ROWS_MAX, ValueRows},
    },
    batch::{Applied, Batch, scope_columns},
};
use crate::StoreError;
use portcullis_domain::{Entry, Mutation, Outcome};

/// The most users of a sign-out that is checked. A sign-out of more is written without a check.
const USERS_CHECKED_MAX: usize = 16;

/// The most sessions of a scope that are checked, so that the cost stays constant. Where there are more, the cutoff is
/// written.
const SESSIONS_CHECKED_MAX: usize = 100;

columns! {
    /// A scope with the session that it may exempt.
    ScopeColumns { scope, scope_serial, exempt_serial }
}

columns! {
    /// A scope that is cut off at the head.
    CutAtHeadColumns { scope, scope_serial, revision }
}

impl<'a> Batch<'a> {
    /// Answers the sign-outs that end nothing, as far as the serials of their scopes are known by now.
    pub(super) async fn answer_covered(&mut self) -> Result<(), StoreError> {
        for (index, entry) in self.pending() {
            let scopes = self.covered_scopes(index, entry);
            let Some(revision) = self.cut_at_head(&scopes).await? else {
                continue;
            };
            if !self.may_have_opened(index, entry, revision).await? {
                let outcome = Outcome {
                    revision,
                    changed: 0,
                };
                self.results[index] = Some(Ok(Applied::Before(outcome)));
            }
        }
        Ok(())
    }

    /// The scopes that an entry cuts off, if it does nothing else.
    fn covered_scopes(&self, index: usize, entry: &'a Entry) -> Vec<(Scope, Option<Serial>)> {
        match &entry.mutation {
            Mutation::SignOutUsers {
                tenant,
                users,
                disable,
                ..
            } => self.covered_users(index, tenant, users, *disable),
            Mutation::SignOutTenant { tenant } => match self.tenants.get(tenant) {
                Some(serial) => vec![(Scope::Tenant(*serial), None)],
                None => Vec::new(),
            },
            Mutation::SignOutEveryone => vec![(Scope::Everyone, None)],
            _ => Vec::new(),
        }
    }

    fn covered_users(
        &self,
        index: usize,
        tenant: &TenantId,
        users: &[UserId],
        disable: bool,
    ) -> Vec<(Scope, Option<Serial>)> {
        if users.len() > USERS_CHECKED_MAX {
            return Vec::new();
        }
        let exempt = self.kept.get(&index).copied();
        let mut scopes = Vec::with_capacity(users.len());
        for user in users {
            // The first look, before users are locked, knows no serial yet. The second one in
            // `change_users` does.
            let Some((serial, _)) = self.users.get(&(tenant.clone(), user.clone())) else {
                return Vec::new();
            };
            // Disabling an active user changes more than sessions. A disabled user gets no API keys, so there is nothing
            // new of theirs to cut off either.
            if disable && !self.disabled.contains(serial) {
                return Vec::new();
            }
            scopes.push((Scope::User(*serial), exempt));
        }
        scopes
    }

    /// The head, if it is a cutoff of each of these scopes that exempts no other session.
    async fn cut_at_head(
        &mut self,
        scopes: &[(Scope, Option<Serial>)],
    ) -> Result<Option<Revision>, StoreError> {
        // Mostly a sign-out ends something, and the first scope tells.
        let Some(first) = scopes.first() else {
            return Ok(None);
        };
        let head = self.are_cut_at_head(std::slice::from_ref(first)).await?;
        if head.is_none() || scopes.len() == 1 {
            return Ok(head);
        }
        Ok(self.are_cut_at_head(scopes).await?.and(head))
    }

    async fn are_cut_at_head(
        &mut self,
        scopes: &[(Scope, Option<Serial>)],
    ) -> Result<Option<Revision>, StoreError> {
        let columns = CutAtHeadColumns::AT;
        // Several cutoffs may be of one scope, and the padding repeats the last one. The set counts
        // each scope once.
        let mut cut = HashSet::new();
        let mut head = None;
        for chunk in scopes.chunks(ROWS_MAX) {
            let statement = find_cut_at_head(chunk);
            for row in self.db.run(&statement).await? {
                let serial = row.unsigned(columns.scope_serial)?;
                cut.insert((row.int(columns.scope)?, serial));
                head = Some(row.revision(columns.revision)?);
            }
        }
        let all_are_cut = scopes
            .iter()
            .all(|(scope, _)| cut.contains(&scope_columns(scope)));
        Ok(head.filter(|_| all_are_cut))
    }

    /// Returns true if a session of the entry's scope has been opened at the cutoff, which does not cover it.
    async fn may_have_opened(
        &mut self,
        index: usize,
        entry: &Entry,
        cutoff: Revision,
    ) -> Result<bool, StoreError> {
        // Where there are many sessions only some are checked, and the answer is yes.
        match &entry.mutation {
            Mutation::SignOutUsers { tenant, users, .. } => {
                let exempt = self.kept.get(&index).map_or(0, |serial| serial.0);
                let of = "s.tenant_id = $1 AND s.user_id = $2 AND s.serial > 0 AND s.serial <> $3";
                for user in users {
                    let values: [Value; 3] = [tenant.into(), user.into(), exempt.into()];
                    if self.has_opened(of, &values, cutoff).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mutation::SignOutTenant { tenant } => {
                let values = [tenant.into()];
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
        // No order: any order would need an index of its own, and it does not matter which sessions
        // are checked.
        let sql = format!(
            "SELECT s.opened_revision FROM sessions s WHERE {of} LIMIT {}",
            SESSIONS_CHECKED_MAX + 1
        );
        let rows = self.db.query(&sql, values).await?;
        if rows.len() > SESSIONS_CHECKED_MAX {
            return Ok(true);
        }
        for row in &rows {
            if row.revision(ONLY)? >= cutoff {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn find_cut_at_head(scopes: &[(Scope, Option<Serial>)]) -> Statement {
    let rows = ValueRows::new(scopes.iter().map(scope_values));
    let columns = CutAtHeadColumns {
        scope: "c.scope",
        scope_serial: "c.scope_serial",
        revision: "h.revision",
    };
    // A cutoff that exempts another session leaves that one alive, so it does not stand for
    // this sign-out.
    let sql = format!(
        "{with_v} SELECT {columns} FROM log_head h, v, cutoffs c \
         WHERE c.scope = v.scope AND c.scope_serial = v.scope_serial AND c.revision = h.revision \
         AND c.exempt_serial IN (0, v.exempt_serial)",
        with_v = rows.with_v(),
        columns = columns.select(),
    );
    Statement::new(sql, rows.into_params())
}

fn scope_values((scope, exempt): &(Scope, Option<Serial>)) -> ScopeColumns<Value> {
    let (scope, serial) = scope_columns(scope);
    ScopeColumns {
        scope: scope.into(),
        scope_serial: serial.into(),
        exempt_serial: exempt.map_or(0, |serial| serial.0).into(),
    }
}
