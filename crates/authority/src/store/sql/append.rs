//! The group commit: a batch of entries in one transaction and one revision.
//!
//! Locks are taken in one order, whatever the batch: the installation's row, tenants and users, sessions, then the
//! head, then rows that only appenders write. Nobody who holds the head waits for anybody.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use portcullis_contract::{
    delta::{self, Change, Scope},
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{CredentialKind, KeyId, VerificationKey},
    position::{Digest, Position, Revision, sha256},
    view::Frame,
};

use super::{
    Connection, Dialect,
    audit::{self, AuditRow},
    connection::ValueRows,
    install, log, sessions,
};
use crate::{
    domain::{Cause, Entry, EntryError, Micros, Mutation, NewKey, Outcome, current_key, time::span},
    store::{Appended, Revoked, StoreError, event_bytes},
};

pub(super) async fn append(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    entries: &[Entry],
) -> Result<Appended, StoreError> {
    connection.begin().await?;
    let mut batch = Batch::new(connection, dialect, entries);
    match batch.run().await {
        Ok(appended) => {
            // A batch that changed nothing still commits: `vouch` made it write when it speaks for an earlier one.
            batch.connection.commit().await?;
            Ok(appended)
        }
        Err(error) => {
            // The failure is the news; a rollback that fails too drops the connection.
            let _ = batch.connection.rollback().await;
            Err(error)
        }
    }
}

struct Batch<'a> {
    connection: &'a mut dyn Connection,
    dialect: &'a Dialect,
    entries: &'a [Entry],
    /// What each entry comes to; the revision is filled in once there is one.
    results: Vec<Option<Result<Done, EntryError>>>,
    now: Micros,
    audit: Vec<AuditRow>,
    changes: Vec<Change>,
    cutoffs: Vec<(Scope, Option<Serial>, Vec<u8>)>,
    revoked: Vec<Serial>,
    committed: Option<(Frame, Position)>,
    users: HashMap<(TenantId, UserId), (UserSerial, TenantSerial)>,
    tenants: HashMap<TenantId, TenantSerial>,
    /// The sessions that sign-outs keep, by entry.
    kept: HashMap<usize, Serial>,
}

#[derive(Clone, Copy)]
enum Done {
    /// By an earlier batch.
    Before(Outcome),
    /// By this one.
    Now(u32),
}

/// A session as an entry meets it.
struct Found {
    serial: Serial,
    user: String,
    over: bool,
}

type SessionKey = (TenantId, [u8; 16]);

impl<'a> Batch<'a> {
    fn new(connection: &'a mut dyn Connection, dialect: &'a Dialect, entries: &'a [Entry]) -> Self {
        Self {
            connection,
            dialect,
            entries,
            results: vec![None; entries.len()],
            now: Micros::default(),
            audit: Vec::new(),
            changes: Vec::new(),
            cutoffs: Vec::new(),
            revoked: Vec::new(),
            committed: None,
            users: HashMap::new(),
            tenants: HashMap::new(),
            kept: HashMap::new(),
        }
    }

    async fn run(&mut self) -> Result<Appended, StoreError> {
        self.recall().await?;
        self.find_kept().await?;
        self.change_installation().await?;
        self.change_users().await?;
        self.revoke_sessions().await?;
        let revision = if self.audit.is_empty() { self.stand_still().await? } else { self.advance().await? };
        let outcome = |result: &Option<Result<Done, EntryError>>| match result {
            Some(Ok(Done::Before(outcome))) => Ok(*outcome),
            Some(Ok(Done::Now(changed))) => Ok(Outcome { revision, changed: *changed }),
            Some(Err(error)) => Err(*error),
            None => Err(EntryError::Refused),
        };
        let cuts = self.cutoffs.iter().map(|(scope, exempt, _)| (*scope, *exempt)).collect();
        Ok(Appended {
            outcomes: self.results.iter().map(outcome).collect(),
            revoked: Revoked { serials: std::mem::take(&mut self.revoked), cuts },
            committed: self.committed.take(),
        })
    }

    /// Takes the time, and answers entries that an earlier batch applied: their COMMIT happened and its answer was lost.
    async fn recall(&mut self) -> Result<(), StoreError> {
        let ids = ValueRows::new(self.entries.iter().map(|entry| [event_bytes(entry.event_id).into()]));
        let sql = format!(
            "SELECT {now}, e.event_id, e.revision, e.changed FROM installation i LEFT JOIN audit_events e \
             ON e.ordinal = 0 AND e.event_id IN (VALUES {ids})",
            now = self.dialect.now,
            ids = ids.text
        );
        let mut rows = self.connection.query(&sql, &ids.params).await?;
        let stamp = rows.first().ok_or_else(|| StoreError::Internal("no installation".into()))?.int(0)?;
        self.now = Micros(stamp);
        rows.retain(|row| row.optional_blob(1).is_ok_and(|event| event.is_some()));
        for row in &rows {
            let event: [u8; 16] = row.array(1)?;
            let changed = u32::try_from(row.int(3)?).unwrap_or(u32::MAX);
            let outcome = Outcome { revision: Revision(row.unsigned(2)?), changed };
            for (index, entry) in self.entries.iter().enumerate() {
                if entry.event_id.to_bytes() == event {
                    self.results[index] = Some(Ok(Done::Before(outcome)));
                }
            }
        }
        if rows.is_empty() { Ok(()) } else { self.vouch().await }
    }

    /// What is visible may not be durable yet; a write makes this commit wait until it is.
    async fn vouch(&mut self) -> Result<(), StoreError> {
        self.connection.query("UPDATE installation SET keys_version = keys_version", &[]).await?;
        Ok(())
    }

    fn pending(&self) -> impl Iterator<Item = (usize, &'a Entry)> + use<'a> {
        let open: Vec<_> = self.results.iter().map(Option::is_none).collect();
        self.entries.iter().enumerate().filter(move |(index, _)| open[*index])
    }

    /// Records that an entry is applied, with its audit rows.
    fn applied(&mut self, index: usize, tenant: &str, targets: &[String], cause: Option<Cause>, changed: u32) {
        let entry = &self.entries[index];
        self.audit.extend(AuditRow::of(entry, self.now, tenant, targets, cause, changed));
        self.results[index] = Some(Ok(Done::Now(changed)));
    }

    fn unchanged(&mut self, index: usize) {
        self.results[index] = Some(Ok(Done::Now(0)));
    }

    fn cut(&mut self, index: usize, scope: Scope, exempt: Option<Serial>) {
        self.cutoffs.push((scope, exempt, event_bytes(self.entries[index].event_id)));
        self.changes.push(Change::Cut { credential: CredentialKind::Session, scope, exempt });
    }

    /// Keys, turns and cutoffs of everyone.
    async fn change_installation(&mut self) -> Result<(), StoreError> {
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::SignOutEveryone => {
                    self.cut(index, Scope::Everyone, None);
                    self.applied(index, "", &[], Some(Cause::Administrator), 1);
                }
                Mutation::TrustKey(key) => self.trust_key(index, key).await?,
                Mutation::DistrustKey(id) => self.distrust_key(index, id).await?,
                Mutation::Turn { period } => self.turn(index, span(*period)).await?,
                Mutation::Repeat { serials, cuts } => {
                    self.revoked.extend(serials);
                    cuts.iter().for_each(|(scope, exempt)| self.cut(index, *scope, *exempt));
                    self.applied(index, "", &[], Some(Cause::Administrator), 0);
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn trust_key(&mut self, index: usize, key: &NewKey) -> Result<(), StoreError> {
        let trusted = VerificationKey::new(key.id.clone(), key.algorithm, &key.public, CredentialKind::Session);
        let Ok(trusted) = trusted else {
            self.results[index] = Some(Err(EntryError::Refused));
            return Ok(());
        };
        let sql = "INSERT INTO signing_keys VALUES ($1, $2, $3, $4, $5, $6, NULL)";
        let values = [
            key.id.as_str().into(),
            install::algorithm_code(key.algorithm).into(),
            key.public[..].into(),
            key.sealed[..].into(),
            self.now.0.into(),
            self.now.after(key.activation_delay).0.into(),
        ];
        self.connection.query(sql, &values).await?;
        self.changes.push(Change::Trust(trusted));
        self.applied(index, "", &[key.id.to_string()], None, 1);
        Ok(())
    }

    async fn distrust_key(&mut self, index: usize, id: &KeyId) -> Result<(), StoreError> {
        // The row's lock orders retirements, so that two of them cannot each leave the other's key as the last.
        self.connection.query("UPDATE installation SET keys_version = keys_version + 1", &[]).await?;
        let (keys, now) = install::keys(self.connection, self.dialect).await?;
        let Some(key) = keys.iter().find(|key| key.id == *id) else {
            self.results[index] = Some(Err(EntryError::KeyNotFound));
            return Ok(());
        };
        if key.retired.is_some() {
            self.unchanged(index);
            return Ok(());
        }
        if current_key(&keys, now).is_some_and(|current| current.id == *id) {
            self.results[index] = Some(Err(EntryError::KeyInUse));
            return Ok(());
        }
        let sql = "UPDATE signing_keys SET retired_us = $2 WHERE key_id = $1";
        self.connection.query(sql, &[id.as_str().into(), self.now.0.into()]).await?;
        self.changes.push(Change::Distrust(id.clone()));
        self.applied(index, "", &[id.to_string()], None, 1);
        Ok(())
    }

    async fn turn(&mut self, index: usize, period: i64) -> Result<(), StoreError> {
        let sql = "UPDATE installation SET last_turn_us = $1 WHERE last_turn_us <= $1 - $2 RETURNING id";
        let due = !self.connection.query(sql, &[self.now.0.into(), period.into()]).await?.is_empty();
        if due {
            self.changes.push(Change::Turn);
            self.applied(index, "", &[], None, 1);
        } else {
            self.unchanged(index);
        }
        Ok(())
    }

    /// The sessions that stay, before anything is changed: a sign-out that names a wrong one leaves no trace.
    async fn find_kept(&mut self) -> Result<(), StoreError> {
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

    /// Tenants and users, in key order; the rows of those who are cut off are made when they are missing.
    async fn change_users(&mut self) -> Result<(), StoreError> {
        let (mut tenants, mut users) = (BTreeSet::new(), BTreeSet::new());
        for (_, entry) in self.pending() {
            match &entry.mutation {
                Mutation::SignOutTenant { tenant } => {
                    tenants.insert(tenant);
                }
                Mutation::SignOutUsers { tenant, users: ids, .. } => {
                    tenants.insert(tenant);
                    users.extend(ids.iter().map(|id| (tenant, id)));
                }
                _ => {}
            }
        }
        for tenant in tenants {
            let serial = sessions::ensure_tenant(self.connection, self.dialect, tenant).await?;
            self.tenants.insert(tenant.clone(), serial);
        }
        self.find_users(&users).await?;
        let missing: Vec<_> =
            users.iter().filter(|(t, u)| !self.users.contains_key(&((*t).clone(), (*u).clone()))).collect();
        for (tenant, user) in &missing {
            sessions::ensure_user(self.connection, self.dialect, tenant, user).await?;
        }
        if !missing.is_empty() {
            self.find_users(&users).await?;
        }
        self.cut_tenants();
        self.admit_users().await
    }

    async fn find_users(&mut self, users: &BTreeSet<(&TenantId, &UserId)>) -> Result<(), StoreError> {
        let users: Vec<_> = users.iter().collect();
        for users in users.chunks(1_024) {
            let keys =
                ValueRows::new(users.iter().map(|(tenant, user)| [tenant.as_str().into(), user.as_str().into()]));
            let sql = format!(
                "SELECT tenant_id, user_id, user_serial, tenant_serial FROM users \
                 WHERE (tenant_id, user_id) IN (VALUES {})",
                keys.text
            );
            for row in self.connection.query(&sql, &keys.params).await? {
                let key = (sessions::tenant_id(row.text(0)?)?, sessions::user_id(row.text(1)?)?);
                self.users.insert(key, (UserSerial(row.unsigned(2)?), TenantSerial(row.unsigned(3)?)));
            }
        }
        Ok(())
    }

    fn cut_tenants(&mut self) {
        for (index, entry) in self.pending() {
            if let Mutation::SignOutTenant { tenant } = &entry.mutation {
                self.cut(index, Scope::Tenant(self.tenants[tenant]), None);
                self.applied(index, tenant.as_str(), &[], Some(Cause::Administrator), 1);
            }
        }
    }

    /// Who may sign in, user by user in key order. Who is both enabled and disabled stays out.
    async fn admit_users(&mut self) -> Result<(), StoreError> {
        let mut changes: BTreeMap<(&TenantId, &UserId), (Vec<usize>, bool)> = BTreeMap::new();
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::EnableUser { tenant, user } => changes.entry((tenant, user)).or_default().0.push(index),
                Mutation::SignOutUsers { tenant, users, disable: true, .. } => {
                    users.iter().for_each(|user| changes.entry((tenant, user)).or_default().1 = true);
                }
                _ => {}
            }
        }
        let disable = "UPDATE users SET disabled_us = $3 WHERE tenant_id = $1 AND user_id = $2 AND disabled_us IS NULL";
        for ((tenant, user), (enabling, disabling)) in changes {
            for index in enabling {
                self.enable_user(index, tenant, user).await?;
            }
            if disabling {
                let values = [tenant.as_str().into(), user.as_str().into(), self.now.0.into()];
                self.connection.query(disable, &values).await?;
            }
        }
        Ok(())
    }

    async fn enable_user(&mut self, index: usize, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
        let key = [tenant.as_str().into(), user.as_str().into()];
        let enable = "UPDATE users SET disabled_us = NULL \
             WHERE tenant_id = $1 AND user_id = $2 AND disabled_us IS NOT NULL RETURNING user_serial";
        if !self.connection.query(enable, &key).await?.is_empty() {
            self.applied(index, tenant.as_str(), &[user.to_string()], None, 1);
            return Ok(());
        }
        let known = "SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2";
        if self.connection.query(known, &key).await?.is_empty() {
            self.results[index] = Some(Err(EntryError::UserNotFound));
        } else {
            self.unchanged(index);
        }
        Ok(())
    }

    /// Single sessions, and the cutoffs of users.
    async fn revoke_sessions(&mut self) -> Result<(), StoreError> {
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
        let ended = self.end_sessions(&ending).await?;
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
                self.changes.push(Change::Cut { credential: CredentialKind::ApiKey, scope, exempt: None });
            }
        }
        let targets: Vec<_> = users.iter().map(ToString::to_string).collect();
        let changed = u32::try_from(users.len()).unwrap_or(u32::MAX);
        self.applied(index, tenant.as_str(), &targets, Some(cause), changed);
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
                "SELECT s.tenant_id, s.session_id, s.serial, s.user_id, \
                     CASE WHEN s.end_event IS NOT NULL OR s.expires_us <= {now} OR {cut} IS NOT NULL THEN 1 ELSE 0 END \
                 FROM sessions s WHERE (s.tenant_id, s.session_id) IN (VALUES {keys})",
                cut = sessions::CUT_EVENT,
                keys = keys.text,
            );
            for row in self.connection.query(&sql, &keys.params).await? {
                let key = (sessions::tenant_id(row.text(0)?)?, row.array(1)?);
                // PostgreSQL's CASE gives 32 bits, which the engine widens.
                let over = row.int(4)? != 0;
                found.insert(key, Found { serial: Serial(row.unsigned(2)?), user: row.text(3)?, over });
            }
        }
        Ok(found)
    }

    /// Ends the rows, unless someone else just did; returns the serials of those it ended, by entry.
    async fn end_sessions(
        &mut self,
        ending: &BTreeMap<SessionKey, usize>,
    ) -> Result<Vec<(usize, SessionId, Serial)>, StoreError> {
        let keys: Vec<_> = ending.iter().collect();
        let mut ended = Vec::new();
        for keys in keys.chunks(1_024) {
            let rows = ValueRows::new(keys.iter().map(|((tenant, id), index)| {
                [tenant.as_str().into(), id[..].into(), event_bytes(self.entries[**index].event_id).into()]
            }));
            let sql = format!(
                "UPDATE sessions SET end_event = v.column3 FROM (VALUES {}) AS v \
                 WHERE sessions.tenant_id = v.column1 AND sessions.session_id = v.column2 AND end_event IS NULL \
                 RETURNING tenant_id, session_id, serial",
                rows.text
            );
            for row in self.connection.query(&sql, &rows.params).await? {
                let id = row.array(1)?;
                let index = ending[&(sessions::tenant_id(row.text(0)?)?, id)];
                ended.push((index, SessionId::from_bytes(id), Serial(row.unsigned(2)?)));
            }
        }
        Ok(ended)
    }

    fn record_revocations(&mut self, revoking: &[usize], ended: &[(usize, SessionId, Serial)]) {
        for &index in revoking {
            let Mutation::RevokeSessions { tenant, cause, .. } = &self.entries[index].mutation else { continue };
            let own = ended.iter().filter(|(of, _, _)| *of == index);
            let targets: Vec<_> = own.map(|(_, id, _)| id.to_string()).collect();
            if targets.is_empty() {
                self.unchanged(index);
            } else {
                let changed = u32::try_from(targets.len()).unwrap_or(u32::MAX);
                self.applied(index, tenant.as_str(), &targets, Some(*cause), changed);
            }
        }
        self.revoked.extend(ended.iter().map(|(_, _, serial)| *serial));
    }

    /// The head as it is: it enforces all that was so already. No lock is held that `vouch` could be behind.
    async fn stand_still(&mut self) -> Result<Revision, StoreError> {
        if self.results.iter().any(|result| matches!(result, Some(Ok(Done::Now(_))))) {
            self.vouch().await?;
        }
        Ok(super::log::head(self.connection).await?.revision)
    }

    /// Takes the next revision and writes all that hangs on it. From here on nothing waits.
    async fn advance(&mut self) -> Result<Revision, StoreError> {
        if !self.revoked.is_empty() {
            let serials = self.revoked.clone();
            self.changes.push(Change::Revoke { credential: CredentialKind::Session, serials });
        }
        let parents = self.pending_trace_parents();
        let delta = delta::encode(&self.changes, parents);
        let audit_digest = audit::digest(&mut self.audit);
        let head = insert_batch(self.connection, self.dialect, self.now, &delta, &audit_digest).await?;
        let revision = head.revision;
        self.insert_cutoffs(revision).await?;
        audit::insert(self.connection, &self.audit, revision.0).await?;
        self.committed = Some((Frame { revision, delta, audit_digest }, head));
        Ok(revision)
    }

    fn pending_trace_parents(&self) -> Vec<String> {
        let applied = self.entries.iter().zip(&self.results);
        let now = applied.filter(|(_, result)| matches!(result, Some(Ok(Done::Now(_)))));
        now.filter_map(|(entry, _)| entry.trace_parent.clone()).take(delta::TRACE_PARENTS_MAX).collect()
    }

    async fn insert_cutoffs(&mut self, revision: Revision) -> Result<(), StoreError> {
        for cutoffs in self.cutoffs.chunks(1_024) {
            let rows = ValueRows::new(cutoffs.iter().map(|(scope, exempt, event)| {
                let (kind, serial) = scope.to_wire();
                let exempt = exempt.map_or(0, |serial| serial.0);
                [i64::from(kind as i32).into(), serial.into(), revision.0.into(), exempt.into(), event.clone().into()]
            }));
            let sql = format!("INSERT INTO cutoffs VALUES {} ON CONFLICT DO NOTHING", rows.text);
            self.connection.query(&sql, &rows.params).await?;
        }
        Ok(())
    }
}

/// Advances the head and writes the batch's row; the new head.
pub(super) async fn insert_batch(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    stamp: Micros,
    delta: &[u8],
    audit_digest: &Digest,
) -> Result<Position, StoreError> {
    let link = [sha256(delta), *audit_digest].concat();
    let advance = format!(
        "UPDATE log_head SET revision = revision + 1, chain = {} RETURNING incarnation, revision, chain",
        dialect.next_chain
    );
    let head = log::position(&connection.query(&advance, &[link.into()]).await?)?;
    let chain = &head.chain.0[..];
    let values = [head.revision.0.into(), delta.into(), audit_digest[..].into(), chain.into(), stamp.0.into()];
    connection.query("INSERT INTO log_batches VALUES ($1, $2, $3, $4, $5)", &values).await?;
    Ok(head)
}
