//! Single sessions, and which of a user's sessions stay.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use portcullis_contract::{
    delta::Scope,
    id::{Serial, SessionId, TenantId, UserId},
    position::Revision,
};

use super::{
    super::{audit::Target, connection::ValueRows, sessions},
    Batch, Found, SessionKey,
};
use crate::{
    domain::{Cause, End, Entry, EntryError, Mutation},
    store::{StoreError, event_bytes},
};

impl<'a> Batch<'a> {
    /// The sessions that stay, before anything is changed: a sign-out that names a wrong one leaves no trace.
    pub(super) async fn find_kept(&mut self) -> Result<(), StoreError> {
        let kept = |entry: &'a Entry| match &entry.mutation {
            Mutation::SignOutUsers { tenant, keep: Some(id), users, .. } => Some((tenant, id.to_bytes(), users)),
            _ => None,
        };
        let wanted = self.pending().filter_map(|(_, entry)| kept(entry)).map(|(tenant, id, _)| (tenant, id)).collect();
        let found = self.find_sessions(wanted).await?;
        for (index, entry) in self.pending() {
            let Some((tenant, id, users)) = kept(entry) else { continue };
            match found.get(&(tenant.clone(), id)) {
                Some(session) if users.iter().any(|user| user.as_str() == session.user) => {
                    self.kept.insert(index, session.serial);
                }
                _ => self.results[index] = Some(Err(EntryError::SessionNotFound)),
            }
        }
        Ok(())
    }

    /// Single sessions, and the cutoffs of users.
    pub(super) async fn revoke_sessions(&mut self) -> Result<(), StoreError> {
        let single = |entry: &'a Entry| match &entry.mutation {
            Mutation::RevokeSessions { tenant, sessions, .. } => Some((tenant, sessions)),
            _ => None,
        };
        let wanted = self.pending().filter_map(|(_, entry)| single(entry));
        let wanted = wanted.flat_map(|(tenant, ids)| ids.iter().map(move |id| (tenant, id.to_bytes()))).collect();
        let found = self.find_sessions(wanted).await?;
        let mut ending: BTreeMap<SessionKey, usize> = BTreeMap::new();
        let mut revoking = Vec::new();
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::RevokeSessions { tenant, sessions, owner, .. } => {
                    let get = |id: &SessionId| found.get(&(tenant.clone(), id.to_bytes()));
                    let owned = |session: &Found| owner.as_ref().is_none_or(|owner| owner.as_str() == session.user);
                    if !sessions.iter().all(|id| get(id).is_some_and(owned)) {
                        self.results[index] = Some(Err(EntryError::SessionNotFound));
                        continue;
                    }
                    for id in sessions.iter().filter(|id| get(id).is_some_and(|session| !session.over)) {
                        ending.entry((tenant.clone(), id.to_bytes())).or_insert(index);
                    }
                    revoking.push(index);
                }
                Mutation::SignOutUsers { tenant, users, cause, disable, .. } => {
                    let exempt = self.kept.get(&index).copied();
                    self.cut_users(index, tenant, users, exempt, *disable, *cause);
                }
                _ => {}
            }
        }
        let ended = self.end_sessions(&ending, &found).await?;
        self.record_revocations(&revoking, &ended);
        Ok(())
    }

    fn cut_users(
        &mut self,
        index: usize,
        tenant: &TenantId,
        users: &[UserId],
        exempt: Option<Serial>,
        disable: bool,
        cause: Cause,
    ) {
        for user in users {
            let (serial, _) = self.users[&(tenant.clone(), user.clone())];
            let scope = Scope::User(serial);
            self.cut(index, scope, exempt);
            if disable {
                self.cut_api_keys(index, scope);
            }
        }
        let targets: Vec<_> = users.iter().map(Target::user).collect();
        let changed = u32::try_from(users.len()).unwrap_or(u32::MAX);
        self.applied_to(index, tenant.as_str(), &targets, Some(cause), changed);
    }

    async fn find_sessions(
        &mut self,
        wanted: BTreeSet<(&TenantId, [u8; 16])>,
    ) -> Result<HashMap<SessionKey, Found>, StoreError> {
        let wanted: Vec<_> = wanted.into_iter().collect();
        let mut found = HashMap::new();
        for keys in wanted.chunks(1_024) {
            let mut keys = ValueRows::new(keys.iter().map(|(tenant, id)| [tenant.as_str().into(), id[..].into()]));
            let now = keys.push(self.now.0);
            let sql = format!(
                "SELECT s.{columns}, \
                     CASE WHEN s.end_event IS NOT NULL OR s.expires_us <= {now} OR {cut} IS NOT NULL THEN 1 ELSE 0 END \
                 FROM sessions s WHERE (s.tenant_id, s.session_id) IN (VALUES {keys})",
                columns = sessions::COLUMNS.join(", s."),
                cut = sessions::CUT_EVENT,
                keys = keys.text,
            );
            for row in self.connection.query(&sql, &keys.params).await? {
                let key = (sessions::tenant_id(row.text(0)?)?, row.array(1)?);
                // PostgreSQL's CASE gives 32 bits, which the engine widens.
                let over = row.int(sessions::COLUMNS.len())? != 0;
                found.insert(key, Found { serial: Serial(row.unsigned(2)?), user: row.text(3)?, over, row });
            }
        }
        Ok(found)
    }

    /// Ends the rows, unless someone else just did; returns those it ended, by entry.
    async fn end_sessions(
        &mut self,
        ending: &BTreeMap<SessionKey, usize>,
        found: &HashMap<SessionKey, Found>,
    ) -> Result<Vec<(usize, Target, Serial)>, StoreError> {
        let keys: Vec<_> = ending.iter().collect();
        let mut ended = Vec::new();
        for keys in keys.chunks(1_024) {
            let rows = ValueRows::new(keys.iter().map(|((tenant, id), index)| {
                [tenant.as_str().into(), id[..].into(), event_bytes(self.entries[**index].event_id).into()]
            }));
            let sql = format!(
                "UPDATE sessions SET end_event = v.column3 FROM (VALUES {}) AS v \
                 WHERE sessions.tenant_id = v.column1 AND sessions.session_id = v.column2 AND end_event IS NULL \
                 RETURNING tenant_id, session_id",
                rows.text
            );
            for row in self.connection.query(&sql, &rows.params).await? {
                let id = row.array(1)?;
                let key = (sessions::tenant_id(row.text(0)?)?, id);
                let index = ending[&key];
                let Found { serial, user, row, .. } = &found[&key];
                if self.entries[index].mutation.targets() == 1 {
                    let end = Some(self.end_of(index));
                    self.ended.insert(index, (sessions::read(row, end)?, self.now));
                }
                let target = Target { id: SessionId::from_bytes(id).to_string(), user: user.clone() };
                ended.push((index, target, *serial));
            }
        }
        Ok(ended)
    }

    /// What an entry ends a session with, but for the revision, which is not known yet.
    fn end_of(&self, index: usize) -> End {
        let Entry { actor, reason, user_message, mutation, .. } = &self.entries[index];
        let cause = match mutation {
            Mutation::RevokeSessions { cause, .. } => *cause,
            _ => Cause::Administrator,
        };
        End {
            at: self.now,
            cause,
            actor: actor.name.clone(),
            reason: reason.clone(),
            user_message: user_message.clone(),
            revision: Revision(0),
        }
    }

    fn record_revocations(&mut self, revoking: &[usize], ended: &[(usize, Target, Serial)]) {
        for &index in revoking {
            let Mutation::RevokeSessions { tenant, cause, .. } = &self.entries[index].mutation else { continue };
            let own = ended.iter().filter(|(of, _, _)| *of == index);
            let targets: Vec<_> = own.map(|(_, target, _)| target.clone()).collect();
            if targets.is_empty() {
                self.unchanged(index);
            } else {
                let changed = u32::try_from(targets.len()).unwrap_or(u32::MAX);
                self.applied_to(index, tenant.as_str(), &targets, Some(*cause), changed);
            }
        }
        self.revoked.extend(ended.iter().map(|(_, _, serial)| *serial));
    }
}
