//! Single sessions, and which of a user's sessions stay.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use portcullis_contract::{
    delta::Scope,
    id::{Serial, SessionId, TenantId, UserId},
    position::Revision,
};

use super::{
    super::{
        Row, Statement,
        audit::Target,
        connection::{ROWS_MAX, ValueRows},
        sessions::{self, IS_CUT},
    },
    Batch, Found, SessionKey,
};
use crate::{
    domain::{Cause, Entry, EntryError, Mutation, SessionEnd},
    store::{StoreError, event_bytes},
};

impl<'a> Batch<'a> {
    /// The sessions that stay, before anything is changed: a sign-out that names a wrong one leaves no trace.
    pub(super) async fn find_kept(&mut self) -> Result<(), StoreError> {
        let kept = |entry: &'a Entry| match &entry.mutation {
            Mutation::SignOutUsers {
                tenant,
                keep: Some(id),
                users,
                ..
            } => Some((tenant, id.to_bytes(), users)),
            _ => None,
        };
        let wanted = self
            .pending()
            .filter_map(|(_, entry)| kept(entry))
            .map(|(tenant, id, _)| (tenant, id))
            .collect();
        let found = self.find_sessions(wanted).await?;
        for (index, entry) in self.pending() {
            let Some((tenant, id, users)) = kept(entry) else {
                continue;
            };
            match found.get(&(tenant.clone(), id)) {
                Some(session) if users.iter().any(|user| user.as_str() == session.user) => {
                    self.kept.insert(index, session.serial);
                }
                _ => self.results[index] = Some(Err(EntryError::SessionNotFound)),
            }
        }
        Ok(())
    }

    /// What looks up and locks the sessions of a batch that does nothing but end single sessions. In any other batch
    /// something else is locked before.
    pub(super) fn find_at_once(&self) -> Option<Statement> {
        let is_one = |entry: &Entry| matches!(entry.mutation, Mutation::RevokeSessions { .. });
        let wanted = self.ending();
        let at_once = self.entries.iter().all(is_one) && (1..=ROWS_MAX).contains(&wanted.len());
        at_once.then(|| self.find_and_lock(&Vec::from_iter(wanted)))
    }

    /// The sessions that entries name to be ended.
    fn ending(&self) -> BTreeSet<(&'a TenantId, [u8; 16])> {
        let single = |entry: &'a Entry| match &entry.mutation {
            Mutation::RevokeSessions {
                tenant, sessions, ..
            } => Some((tenant, sessions)),
            _ => None,
        };
        let named = self.pending().filter_map(|(_, entry)| single(entry));
        named
            .flat_map(|(tenant, ids)| ids.iter().map(move |id| (tenant, id.to_bytes())))
            .collect()
    }

    /// Single sessions, and the cutoffs of users.
    pub(super) async fn revoke_sessions(&mut self) -> Result<(), StoreError> {
        let found = match self.found.take() {
            Some(found) => found,
            None => self.lock_sessions(self.ending()).await?,
        };
        let mut ending: BTreeMap<SessionKey, usize> = BTreeMap::new();
        let mut revoking = Vec::new();
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::RevokeSessions {
                    tenant,
                    sessions,
                    owner,
                    ..
                } => {
                    let get = |id: &SessionId| found.get(&(tenant.clone(), id.to_bytes()));
                    let owned = |session: &Found| {
                        owner
                            .as_ref()
                            .is_none_or(|owner| owner.as_str() == session.user)
                    };
                    if !sessions.iter().all(|id| get(id).is_some_and(owned)) {
                        self.results[index] = Some(Err(EntryError::SessionNotFound));
                        continue;
                    }
                    for id in sessions
                        .iter()
                        .filter(|id| get(id).is_some_and(|session| !session.over))
                    {
                        ending
                            .entry((tenant.clone(), id.to_bytes()))
                            .or_insert(index);
                    }
                    revoking.push(index);
                }
                Mutation::SignOutUsers {
                    tenant,
                    users,
                    cause,
                    disable,
                    ..
                } => {
                    let exempt = self.kept.get(&index).copied();
                    self.cut_users(index, tenant, users, exempt, *disable, *cause);
                }
                _ => {}
            }
        }
        let ended = self.end_sessions(&ending, &found)?;
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
            if disable && self.key_owners.contains(&serial) {
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
        self.read_sessions(wanted, Self::find).await
    }

    async fn lock_sessions(
        &mut self,
        wanted: BTreeSet<(&TenantId, [u8; 16])>,
    ) -> Result<HashMap<SessionKey, Found>, StoreError> {
        self.read_sessions(wanted, Self::find_and_lock).await
    }

    async fn read_sessions(
        &mut self,
        wanted: BTreeSet<(&TenantId, [u8; 16])>,
        statement: impl Fn(&Self, &[(&TenantId, [u8; 16])]) -> Statement,
    ) -> Result<HashMap<SessionKey, Found>, StoreError> {
        let mut found = HashMap::new();
        for keys in Vec::from_iter(wanted).chunks(ROWS_MAX) {
            let Statement { sql, params } = statement(self, keys);
            found.extend(read_found(self.connection.query(&sql, &params).await?)?);
        }
        Ok(found)
    }

    fn find(&self, keys: &[(&TenantId, [u8; 16])]) -> Statement {
        let keys = ValueRows::new(
            keys.iter()
                .map(|(tenant, id)| [(*tenant).as_str().into(), id[..].into()]),
        );
        let of = format!(
            "FROM sessions s WHERE (s.tenant_id, s.session_id) IN (VALUES {})",
            keys.text
        );
        Statement {
            sql: format!("{} {of}", self.select_found()),
            params: keys.params,
        }
    }

    /// In the order of `keys`, which is that of all who lock several sessions.
    fn find_and_lock(&self, keys: &[(&TenantId, [u8; 16])]) -> Statement {
        let numbered = (0_i64..).zip(keys);
        let keys = ValueRows::new(numbered.map(|(number, (tenant, id))| {
            [(*tenant).as_str().into(), id[..].into(), number.into()]
        }));
        let of = format!(
            "FROM (VALUES {}) AS v JOIN sessions s ON s.tenant_id = v.column1 AND s.session_id = v.column2 \
             ORDER BY v.column3 {}",
            keys.text, self.dialect.lock_rows
        );
        Statement {
            sql: format!("{} {of}", self.select_found()),
            params: keys.params,
        }
    }

    fn select_found(&self) -> String {
        format!(
            "SELECT s.{columns}, \
                 CASE WHEN s.end_event IS NOT NULL OR s.expires_us <= {now} OR {IS_CUT} THEN 1 ELSE 0 END",
            columns = sessions::COLUMNS.join(", s."),
            now = self.dialect.now,
        )
    }

    /// Ends the rows, which are locked; those it ends, by entry.
    fn end_sessions(
        &mut self,
        ending: &BTreeMap<SessionKey, usize>,
        found: &HashMap<SessionKey, Found>,
    ) -> Result<Vec<(usize, Target, Serial)>, StoreError> {
        let mut ended = Vec::with_capacity(ending.len());
        for (key, &index) in ending {
            let Found {
                serial, user, row, ..
            } = &found[key];
            if self.entries[index].mutation.targets() == 1 {
                let end = Some(self.end_of(index));
                self.ended
                    .insert(index, (sessions::read(row, end)?, self.now));
            }
            let target = Target {
                id: SessionId::from_bytes(key.1).to_string(),
                user: user.clone(),
            };
            ended.push((index, target, *serial));
        }
        for keys in Vec::from_iter(ending).chunks(ROWS_MAX) {
            let rows = ValueRows::new(keys.iter().map(|((tenant, id), index)| {
                [
                    tenant.as_str().into(),
                    id[..].into(),
                    event_bytes(self.entries[**index].event_id).into(),
                ]
            }));
            let sql = format!(
                "UPDATE sessions SET end_event = v.column3 FROM (VALUES {}) AS v \
                 WHERE sessions.tenant_id = v.column1 AND sessions.session_id = v.column2 AND end_event IS NULL",
                rows.text
            );
            self.last.push(Statement {
                sql,
                params: rows.params,
            });
        }
        Ok(ended)
    }

    /// What an entry ends a session with, but for the revision, which is not known yet.
    fn end_of(&self, index: usize) -> SessionEnd {
        let Entry {
            actor,
            reason,
            user_message,
            mutation,
            ..
        } = &self.entries[index];
        let cause = match mutation {
            Mutation::RevokeSessions { cause, .. } => *cause,
            _ => Cause::Administrator,
        };
        SessionEnd {
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
            let Mutation::RevokeSessions { tenant, cause, .. } = &self.entries[index].mutation
            else {
                continue;
            };
            let own = ended.iter().filter(|(of, _, _)| *of == index);
            let targets: Vec<_> = own.map(|(_, target, _)| target.clone()).collect();
            if targets.is_empty() {
                self.unchanged(index);
            } else {
                let changed = u32::try_from(targets.len()).unwrap_or(u32::MAX);
                self.applied_to(index, tenant.as_str(), &targets, Some(*cause), changed);
            }
        }
        self.revoked
            .extend(ended.iter().map(|(_, _, serial)| *serial));
    }
}

/// Sessions as [`Batch::find`] and [`Batch::find_and_lock`] give them.
pub(super) fn read_found(rows: Vec<Row>) -> Result<HashMap<SessionKey, Found>, StoreError> {
    let read = |row: Row| {
        let key = (sessions::tenant_id(row.text(0)?)?, row.array(1)?);
        // PostgreSQL's CASE gives 32 bits, which the engine widens.
        let over = row.int(sessions::COLUMNS.len())? != 0;
        Ok((
            key,
            Found {
                serial: Serial(row.unsigned(2)?),
                user: row.text(3)?,
                over,
                row,
            },
        ))
    };
    rows.into_iter().map(read).collect()
}
