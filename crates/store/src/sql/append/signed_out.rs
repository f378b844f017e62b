//! The numbers that a sign-out answers: how many active sessions it ends, and which of its users are unknown.
//!
//! They are read in the transaction of the batch, after the rows of the users are locked and before the head advances. The
//! cutoffs of the batch itself are not inserted yet. A sign-in that commits after the count is ended and not counted.

use portcullis_contract::id::{TenantId, UserId};

use super::{
    super::listing::preview::count_ending,
    batch::{Applied, Batch},
};
use crate::StoreError;
use portcullis_domain::{Entry, Mutation, Selection};

impl Batch<'_> {
    /// Counts the sessions that the sign-outs of the batch end, where their callers are told. Two sign-outs of one batch
    /// that cover the same session both count it.
    pub(super) async fn count_sessions(&mut self) -> Result<(), StoreError> {
        for (index, entry) in self.pending() {
            let Some((tenant, selection)) = counted(entry) else {
                continue;
            };
            let ending = count_ending(self.db, tenant, &selection).await?;
            self.signed_out.insert(index, ending);
        }
        Ok(())
    }

    /// Completes the numbers once every entry has its result.
    pub(super) async fn complete_signed_out(&mut self) -> Result<(), StoreError> {
        let entries = self.entries;
        for (index, entry) in entries.iter().enumerate() {
            let was_applied = matches!(self.results[index], Some(Ok(_)));
            if !entry.counts_sessions || !was_applied {
                self.signed_out.remove(&index);
                continue;
            }
            let unknown = match &entry.mutation {
                Mutation::SignOutUsers { tenant, users, .. } => {
                    self.unknown(index, tenant, users).await?
                }
                Mutation::EraseUser { tenant, user } => {
                    self.unknown(index, tenant, std::slice::from_ref(user))
                        .await?
                }
                _ => Vec::new(),
            };
            // A sign-out that a cutoff covers already ends none, and has not been counted.
            self.signed_out.entry(index).or_default().unknown = unknown;
        }
        Ok(())
    }

    /// The users who have never signed in.
    async fn unknown(
        &mut self,
        index: usize,
        tenant: &TenantId,
        users: &[UserId],
    ) -> Result<Vec<UserId>, StoreError> {
        // The users of an entry that an earlier batch applied were not looked up yet.
        if matches!(self.results[index], Some(Ok(Applied::Before(_)))) {
            let wanted: Vec<_> = users.iter().map(|user| (tenant, user)).collect();
            self.find_users(&wanted).await?;
        }
        let mut unknown = Vec::new();
        for user in users {
            let key = (tenant.clone(), user.clone());
            // A row alone does not make a user known: a sign-out inserts one for every name, so
            // that it binds a first sign-in that is under way.
            let is_known = self
                .users
                .get(&key)
                .is_some_and(|(serial, _)| !self.strangers.contains(serial));
            if !is_known {
                unknown.push(user.clone());
            }
        }
        Ok(unknown)
    }
}

/// The sessions that an entry counts.
fn counted(entry: &Entry) -> Option<(&TenantId, Selection)> {
    if !entry.counts_sessions {
        return None;
    }
    match &entry.mutation {
        Mutation::SignOutUsers {
            tenant,
            users,
            keep,
            ..
        } => Some((tenant, Selection::Users(users.clone(), *keep))),
        Mutation::EraseUser { tenant, user } => {
            Some((tenant, Selection::Users(vec![user.clone()], None)))
        }
        Mutation::SignOutTenant { tenant } | Mutation::DeleteTenant { tenant } => {
            Some((tenant, Selection::Tenant))
        }
        _ => None,
    }
}
