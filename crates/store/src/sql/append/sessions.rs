//! Entries that end single sessions, and the sessions that a sign-out keeps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use portcullis_contract::{
    delta::Scope,
    id::{Serial, SessionId, TenantId, UserId, UserSerial},
    position::Revision,
};

use super::{
    super::{
        audit::row::Target,
        columns::columns,
        connection::Statement,
        cutoffs::IS_CUT,
        row::Row,
        sessions::{self, SessionColumns, SessionKeyColumns},
        value::Value,
        values::{ROWS_MAX, ValueRows},
    },
    batch::{Batch, FoundSession, SessionKey, count_of},
};
use crate::StoreError;
use portcullis_domain::{Cause, Entry, EntryError, Mutation, SessionEnd};

columns! {
    /// True for a session that has ended.
    OverColumn after SessionColumns { is_over }
}

columns! {
    /// A session to lock, with its place in the order of locks.
    LockColumns { tenant_id, session_id, number }
}

columns! {
    /// A session to end, with the audit event that ends it.
    EndingColumns { tenant_id, session_id, event_id }
}

/// A key of a session that an entry names.
type NamedSession<'a> = (&'a TenantId, [u8; 16]);

/// The sessions to end, each with the place of its entry in the batch. Sorted, because locks are taken in key order.
type Ending = BTreeMap<SessionKey, usize>;

/// A session that was ended.
struct EndedSession {
    /// The place of its entry in the batch.
    index: usize,
    target: Target,
    serial: Serial,
}

impl EndedSession {
    fn of(index: usize, (_, id): &SessionKey, session: &FoundSession) -> Self {
        Self {
            index,
            target: Target {
                id: SessionId::from_bytes(*id).to_string(),
                user: session.user.clone(),
            },
            serial: session.serial,
        }
    }
}

impl<'a> Batch<'a> {
    /// Finds the sessions that sign-outs keep, before anything is changed: a sign-out that names a wrong session must
    /// leave no trace.
    pub(super) async fn find_kept(&mut self) -> Result<(), StoreError> {
        let mut wanted = BTreeSet::new();
        for (_, entry) in self.pending() {
            if let Some((tenant, id, _)) = kept_by(entry) {
                wanted.insert((tenant, id));
            }
        }
        // Without a lock. The serial and the user of a session never change, and a lock on sessions
        // here would come before those on tenants and users.
        let found = self.find_sessions(wanted).await?;
        for (index, entry) in self.pending() {
            let Some((tenant, id, users)) = kept_by(entry) else {
                continue;
            };
            match found.get(&(tenant.clone(), id)) {
                // A session of somebody else must not be kept. Its serial would be exempted from a
                // cutoff that never covered it, while the caller's own session ends.
                Some(session) if users.iter().any(|user| user.as_str() == session.user) => {
                    self.kept.insert(index, session.serial);
                }
                _ => self.refuse(index, EntryError::SessionNotFound),
            }
        }
        Ok(())
    }

    /// The statement that finds and locks the sessions of a batch that only ends single sessions.
    pub(super) fn find_at_once(&self) -> Option<Statement> {
        // In every other batch something else has to be locked before.
        let only_revocations = self
            .entries
            .iter()
            .all(|entry| matches!(entry.mutation, Mutation::RevokeSessions { .. }));
        let wanted: Vec<_> = self.named_sessions().into_iter().collect();
        // One statement takes at most so many keys. A larger batch locks them later, a chunk at a
        // time.
        if only_revocations && (1..=ROWS_MAX).contains(&wanted.len()) {
            Some(self.find_and_lock(&wanted))
        } else {
            None
        }
    }

    /// The sessions that entries end one by one.
    fn named_sessions(&self) -> BTreeSet<NamedSession<'a>> {
        let mut named = BTreeSet::new();
        for (_, entry) in self.pending() {
            if let Mutation::RevokeSessions {
                tenant, sessions, ..
            } = &entry.mutation
            {
                named.extend(sessions.iter().map(|id| (tenant, id.to_bytes())));
            }
        }
        named
    }

    /// Ends single sessions, and cuts off users.
    pub(super) async fn revoke_sessions(&mut self) -> Result<(), StoreError> {
        let found = match self.found.take() {
            Some(found) => found,
            None => self.lock_sessions(self.named_sessions()).await?,
        };
        let mut ending = Ending::new();
        let mut revoking = Vec::new();
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::RevokeSessions { .. } => {
                    if add_ending(&mut ending, index, entry, &found) {
                        revoking.push(index);
                    } else {
                        self.refuse(index, EntryError::SessionNotFound);
                    }
                }
                Mutation::SignOutUsers { .. } => self.cut_users(index, entry),
                Mutation::EraseUser { tenant, user } => self.cut_erased(index, tenant, user),
                _ => {}
            }
        }
        let ended = self.end_sessions(&ending, &found)?;
        self.record_revocations(&revoking, &ended);
        Ok(())
    }

    fn cut_users(&mut self, index: usize, entry: &Entry) {
        let Mutation::SignOutUsers {
            tenant,
            users,
            cause,
            disable,
            ..
        } = &entry.mutation
        else {
            return;
        };
        let exempt = self.kept.get(&index).copied();
        for user in users {
            self.cut_user(index, (tenant, user), exempt, *disable);
        }
        let targets: Vec<_> = users.iter().map(Target::user).collect();
        let changed = count_of(users.len());
        self.applied_to(index, tenant.as_str(), &targets, Some(*cause), changed);
    }

    /// Cuts off the sessions of a user, and with `ends_keys` the API keys too. Returns the user's serial.
    fn cut_user(
        &mut self,
        index: usize,
        (tenant, user): (&TenantId, &UserId),
        exempt: Option<Serial>,
        ends_keys: bool,
    ) -> UserSerial {
        let (serial, _) = self.users[&(tenant.clone(), user.clone())];
        let scope = Scope::User(serial);
        self.cut(index, scope, exempt);
        if ends_keys && self.key_owners.contains(&serial) {
            self.cut_api_keys(index, scope);
        }
        serial
    }

    /// Cuts off a user whose erasure begins. The row of the event names nobody.
    fn cut_erased(&mut self, index: usize, tenant: &TenantId, user: &UserId) {
        let serial = self.cut_user(index, (tenant, user), None, true);
        let target = format!("user_serial:{}", serial.0);
        self.applied(
            index,
            tenant.as_str(),
            &[target],
            Some(Cause::UserDisabled),
            1,
        );
    }

    async fn find_sessions(
        &mut self,
        wanted: BTreeSet<NamedSession<'_>>,
    ) -> Result<HashMap<SessionKey, FoundSession>, StoreError> {
        let mut found = HashMap::new();
        for keys in Vec::from_iter(wanted).chunks(ROWS_MAX) {
            let statement = self.find(keys);
            let rows = self.db.run(&statement).await?;
            found.extend(read_found(rows)?);
        }
        Ok(found)
    }

    async fn lock_sessions(
        &mut self,
        wanted: BTreeSet<NamedSession<'_>>,
    ) -> Result<HashMap<SessionKey, FoundSession>, StoreError> {
        let mut found = HashMap::new();
        for keys in Vec::from_iter(wanted).chunks(ROWS_MAX) {
            let statement = self.find_and_lock(keys);
            let rows = self.db.run(&statement).await?;
            found.extend(read_found(rows)?);
        }
        Ok(found)
    }

    fn find(&self, keys: &[NamedSession<'_>]) -> Statement {
        let keys = ValueRows::new(keys.iter().map(|(tenant, id)| SessionKeyColumns {
            tenant_id: Value::from(*tenant),
            session_id: id[..].into(),
        }));
        let sql = format!(
            "{} FROM sessions s WHERE (s.tenant_id, s.session_id) IN {}",
            self.select_found(),
            keys.list()
        );
        Statement::new(sql, keys.into_params())
    }

    /// Locks the sessions in the order of `keys`, like every transaction that locks several sessions: none can wait for
    /// another in a circle.
    fn find_and_lock(&self, keys: &[NamedSession<'_>]) -> Statement {
        let keys = ValueRows::new(
            (0_i64..)
                .zip(keys)
                .map(|(number, (tenant, id))| LockColumns {
                    tenant_id: Value::from(*tenant),
                    session_id: id[..].into(),
                    number: number.into(),
                }),
        );
        let sql = format!(
            "{with_v} {select} FROM v JOIN sessions s ON s.tenant_id = v.tenant_id AND s.session_id = v.session_id \
             ORDER BY v.number {lock}",
            with_v = keys.with_v(),
            select = self.select_found(),
            lock = self.db.dialect.lock_rows,
        );
        Statement::new(sql, keys.into_params())
    }

    fn select_found(&self) -> String {
        let is_over = format!(
            "CASE WHEN s.end_event IS NOT NULL OR s.expires_us <= {now} OR {IS_CUT} THEN 1 ELSE 0 END",
            now = self.db.dialect.now,
        );
        let is_over = OverColumn { is_over };
        format!("SELECT {}, {}", SessionColumns::of("s"), is_over.select())
    }

    /// Ends rows, which are locked.
    fn end_sessions(
        &mut self,
        ending: &Ending,
        found: &HashMap<SessionKey, FoundSession>,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let mut ended = Vec::with_capacity(ending.len());
        for (key, &index) in ending {
            let session = &found[key];
            self.keep_shown(index, session)?;
            ended.push(EndedSession::of(index, key, session));
        }
        for sessions in Vec::from_iter(ending).chunks(ROWS_MAX) {
            self.last.push(self.end_statement(sessions));
        }
        Ok(ended)
    }

    /// Keeps the session of an entry that ends only this one, because its caller is shown the session.
    fn keep_shown(&mut self, index: usize, session: &FoundSession) -> Result<(), StoreError> {
        // For other entries the sessions are not read from their rows.
        if self.entries[index].mutation.targets() != 1 {
            return Ok(());
        }
        let end = Some(self.end_of(index));
        let session = sessions::read(&session.row, end)?;
        self.ended.insert(index, (session, self.now));
        Ok(())
    }

    fn end_statement(&self, sessions: &[(&SessionKey, &usize)]) -> Statement {
        let rows = ValueRows::new(sessions.iter().map(|((tenant, id), index)| EndingColumns {
            tenant_id: Value::from(tenant),
            session_id: id[..].into(),
            event_id: self.entries[**index].event_id.into(),
        }));
        // The event of an earlier end stays: the first end is the one that counts.
        let sql = format!(
            "{with_v} UPDATE sessions SET end_event = v.event_id FROM v \
             WHERE sessions.tenant_id = v.tenant_id AND sessions.session_id = v.session_id AND end_event IS NULL",
            with_v = rows.with_v(),
        );
        Statement::new(sql, rows.into_params())
    }

    /// The end that an entry gives a session.
    fn end_of(&self, index: usize) -> SessionEnd {
        // Its revision is not known yet.
        let entry = &self.entries[index];
        let cause = match &entry.mutation {
            Mutation::RevokeSessions { cause, .. } => *cause,
            _ => Cause::Administrator,
        };
        SessionEnd {
            at: self.now,
            cause,
            actor: entry.actor.name.clone(),
            reason: entry.reason.clone(),
            user_message: entry.user_message.clone(),
            revision: Revision(0),
        }
    }

    fn record_revocations(&mut self, revoking: &[usize], ended: &[EndedSession]) {
        for &index in revoking {
            let Mutation::RevokeSessions { tenant, cause, .. } = &self.entries[index].mutation
            else {
                continue;
            };
            let targets = targets_of(ended, index);
            if targets.is_empty() {
                self.unchanged(index);
            } else {
                let changed = count_of(targets.len());
                self.applied_to(index, tenant.as_str(), &targets, Some(*cause), changed);
            }
        }
        self.revoked
            .extend(ended.iter().map(|session| session.serial));
    }
}

/// The sessions that one entry ended, as the targets of its audit rows.
fn targets_of(ended: &[EndedSession], index: usize) -> Vec<Target> {
    let mut targets = Vec::new();
    for session in ended {
        if session.index == index {
            targets.push(session.target.clone());
        }
    }
    targets
}

/// The session that a sign-out of users keeps, with its tenant and these users.
fn kept_by(entry: &Entry) -> Option<(&TenantId, [u8; 16], &Vec<UserId>)> {
    match &entry.mutation {
        Mutation::SignOutUsers {
            tenant,
            keep: Some(id),
            users,
            ..
        } => Some((tenant, id.to_bytes(), users)),
        _ => None,
    }
}

/// Adds the sessions that an entry ends, unless another entry ends them already. Adds none and returns false when one of
/// them does not exist, or is not of the user whose sessions the caller may end.
fn add_ending(
    ending: &mut Ending,
    index: usize,
    entry: &Entry,
    found: &HashMap<SessionKey, FoundSession>,
) -> bool {
    let Mutation::RevokeSessions {
        tenant,
        sessions,
        owner,
        ..
    } = &entry.mutation
    else {
        return false;
    };
    // Collected first: an entry that names one wrong session must end none.
    let mut open = Vec::with_capacity(sessions.len());
    for id in sessions {
        let key = (tenant.clone(), id.to_bytes());
        let Some(session) = found.get(&key) else {
            return false;
        };
        if let Some(owner) = owner
            && owner.as_str() != session.user
        {
            return false;
        }
        if !session.is_over {
            open.push(key);
        }
    }
    for key in open {
        ending.entry(key).or_insert(index);
    }
    true
}

/// Reads sessions as [`Batch::find`] and [`Batch::find_and_lock`] select them.
pub(super) fn read_found(rows: Vec<Row>) -> Result<HashMap<SessionKey, FoundSession>, StoreError> {
    let columns = SessionColumns::AT;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let key = (
            row.tenant_id(columns.tenant_id)?,
            row.array(columns.session_id)?,
        );
        let session = FoundSession {
            serial: row.serial(columns.serial)?,
            user: row.text(columns.user_id)?,
            is_over: row.is_true(OverColumn::AT.is_over)?,
            row,
        };
        found.insert(key, session);
    }
    Ok(found)
}
