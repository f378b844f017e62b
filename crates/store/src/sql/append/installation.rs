//! Entries that concern the whole installation: signing keys, turns, the sign-out of everyone.

use std::time::Duration;

use portcullis_contract::{
    delta::{Change, Scope},
    id::Serial,
    key::{KeyId, VerificationKey},
};

use super::{
    super::{audit::dead_letters, secrets, signing_keys, turns, value::Value},
    batch::{Applied, Batch, count_of},
};
use crate::StoreError;
use portcullis_domain::{
    Cause, DeadLetterAnswer, DeadLetterId, EntryError, Mutation, NewKey, NewSecret, Resealed,
    SecretId, current_key, current_secret, is_set_back, time::span,
};

impl Batch<'_> {
    pub(super) async fn change_installation(&mut self) -> Result<(), StoreError> {
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::SignOutEveryone => {
                    self.cut(index, Scope::Everyone, None);
                    self.applied(index, "", &[], Some(Cause::Administrator), 1);
                }
                Mutation::TrustKey(key) => self.trust_key(index, key).await?,
                Mutation::DistrustKey(id) => self.distrust_key(index, id).await?,
                Mutation::ReplaceKey { id, successor } => {
                    self.replace_key(index, id, successor).await?;
                }
                Mutation::AddSecret(secret) => self.add_secret(index, secret).await?,
                Mutation::RetireSecret(id) => self.retire_secret(index, *id).await?,
                Mutation::Reseal(values) => self.reseal(index, values).await?,
                Mutation::AnswerDeadLetters {
                    export,
                    letters,
                    answer,
                } => {
                    self.answer_dead_letters(index, export, letters, *answer)
                        .await?;
                }
                Mutation::Turn { life, margin } => self.turn(index, *life, *margin).await?,
                Mutation::ClockSetBack { forget_margin } => {
                    self.answer_set_back(index, span(*forget_margin)).await?;
                }
                Mutation::ForgetApiKeys(margin) => {
                    self.forget_api_keys(index, span(*margin)).await?;
                }
                Mutation::Record => self.take_outbox(index).await?,
                Mutation::Repeat { serials, cuts } => {
                    // Without a look at the rows, which ended in the batch that is repeated. Only
                    // gates need the revocations again, because that batch may lie in a generation
                    // that they forget too early (I4).
                    self.revoked.extend(serials);
                    for (scope, exempt) in cuts {
                        self.cut(index, *scope, *exempt);
                    }
                    self.applied(index, "", &[], Some(Cause::Administrator), 0);
                }
                Mutation::Canary => self.revoke_canary(index),
                _ => {}
            }
        }
        Ok(())
    }

    /// Locks the row of the installation, which is the first one in the order of locks.
    pub(super) async fn lock_installation(&mut self) -> Result<(), StoreError> {
        let lock = "UPDATE installation SET keys_version = keys_version";
        self.db.query(lock, &[]).await?;
        Ok(())
    }

    /// Revokes the session that nobody has. There is no row, and no event: the trail is about the acts of people and
    /// services.
    fn revoke_canary(&mut self, index: usize) {
        self.revoked.push(Serial(0));
        // Without an event a repeated append does it again, which changes nothing at a gate.
        self.results[index] = Some(Ok(Applied::Now(1)));
    }

    async fn trust_key(&mut self, index: usize, key: &NewKey) -> Result<(), StoreError> {
        if self.add_trusted(index, key).await? {
            self.applied(index, "", &[key.id.to_string()], None, 1);
        }
        Ok(())
    }

    /// Adds a trusted key. Refuses the entry and returns false if its public key cannot be used.
    async fn add_trusted(&mut self, index: usize, key: &NewKey) -> Result<bool, StoreError> {
        let Some(trust) = self.insert_key(key).await? else {
            self.refuse(index, EntryError::Refused);
            return Ok(false);
        };
        self.changes.push(trust);
        Ok(true)
    }

    /// Inserts a new key. Returns none for a public key that cannot be used.
    async fn insert_key(&mut self, key: &NewKey) -> Result<Option<Change>, StoreError> {
        let trusted =
            VerificationKey::new(key.id.clone(), key.algorithm, &key.public, key.credential);
        // Checked here, because a gate that cannot read a key would refuse the whole delta.
        let Ok(trusted) = trusted else {
            return Ok(None);
        };
        let sql = "INSERT INTO signing_keys (key_id, algorithm, public_key, sealed, created_us, signs_from_us, credential) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values: [Value; 7] = [
            key.id.as_str().into(),
            signing_keys::algorithm_code(key.algorithm).into(),
            key.public[..].into(),
            key.sealed[..].into(),
            self.now.into(),
            self.now.after(key.activation_delay).into(),
            signing_keys::credential_code(key.credential).into(),
        ];
        self.db.query(sql, &values).await?;
        Ok(Some(Change::Trust(trusted)))
    }

    async fn distrust_key(&mut self, index: usize, id: &KeyId) -> Result<(), StoreError> {
        match self.lock_key(index, id).await? {
            None => {}
            Some(LockedKey::Signs) => self.refuse(index, EntryError::KeyInUse),
            Some(LockedKey::Idle) => {
                self.end_key(id).await?;
                self.applied(index, "", &[id.to_string()], None, 1);
            }
        }
        Ok(())
    }

    /// Distrusts a key, also the one that signs: the successor takes its place.
    async fn replace_key(
        &mut self,
        index: usize,
        id: &KeyId,
        successor: &NewKey,
    ) -> Result<(), StoreError> {
        let Some(key) = self.lock_key(index, id).await? else {
            return Ok(());
        };
        let mut touched = vec![id.to_string()];
        // The successor comes in the same batch. Between two batches no key would sign, and each
        // sign-in would fail.
        if key == LockedKey::Signs {
            if !self.add_trusted(index, successor).await? {
                return Ok(());
            }
            touched.push(successor.id.to_string());
        }
        self.end_key(id).await?;
        self.applied_each(index, &touched);
        Ok(())
    }

    /// Locks the keys, and finds the one to end. Returns none, and answers the entry, when there is nothing to end.
    async fn lock_key(
        &mut self,
        index: usize,
        id: &KeyId,
    ) -> Result<Option<LockedKey>, StoreError> {
        // Before the keys are read: whether a key signs depends on the other keys, which must not
        // change until the commit.
        signing_keys::lock(self.db).await?;
        let (keys, now) = signing_keys::all(self.db).await?;
        let Some(key) = keys.iter().find(|key| key.id == *id) else {
            self.refuse(index, EntryError::KeyNotFound);
            return Ok(None);
        };
        if key.retired.is_some() {
            self.unchanged(index);
            return Ok(None);
        }
        let current = current_key(&keys, key.credential, now);
        if current.is_some_and(|current| current.id == *id) {
            Ok(Some(LockedKey::Signs))
        } else {
            Ok(Some(LockedKey::Idle))
        }
    }

    async fn end_key(&mut self, id: &KeyId) -> Result<(), StoreError> {
        let sql = "UPDATE signing_keys SET retired_us = $2 WHERE key_id = $1";
        let values: [Value; 2] = [id.as_str().into(), self.now.into()];
        self.db.query(sql, &values).await?;
        self.changes.push(Change::Distrust(id.clone()));
        Ok(())
    }

    async fn add_secret(&mut self, index: usize, secret: &NewSecret) -> Result<(), StoreError> {
        signing_keys::lock(self.db).await?;
        if !secrets::insert(self.db, secret, self.now).await? {
            self.refuse(index, EntryError::SecretExists);
            return Ok(());
        }
        // Nothing for gates: they meet no token of a secret.
        self.applied(index, "", &[secret.id.to_string()], None, 1);
        Ok(())
    }

    async fn retire_secret(&mut self, index: usize, id: SecretId) -> Result<(), StoreError> {
        if self.lock_secret(index, id).await? {
            secrets::retire(self.db, id, self.now).await?;
            self.applied(index, "", &[id.to_string()], None, 1);
        }
        Ok(())
    }

    /// Locks the secrets. Returns false, and answers the entry, when the secret cannot be retired.
    async fn lock_secret(&mut self, index: usize, id: SecretId) -> Result<bool, StoreError> {
        // Without the lock, two retirements could each leave the other's secret as the last one.
        signing_keys::lock(self.db).await?;
        let (secrets, now) = secrets::all(self.db).await?;
        let Some(secret) = secrets.iter().find(|secret| secret.id == id) else {
            self.refuse(index, EntryError::SecretNotFound);
            return Ok(false);
        };
        if secret.retired.is_some() {
            self.unchanged(index);
            return Ok(false);
        }
        let current = current_secret(&secrets, id.kind, now);
        if current.is_some_and(|current| current.id == id) {
            self.refuse(index, EntryError::SecretInUse);
            return Ok(false);
        }
        Ok(true)
    }

    /// Puts resealed values into their places. One that changed since it was read stays, and is found again.
    async fn reseal(&mut self, index: usize, values: &[Resealed]) -> Result<(), StoreError> {
        signing_keys::lock(self.db).await?;
        let mut resealed = Vec::new();
        for value in values {
            if secrets::reseal(self.db, value).await? {
                resealed.push(value.place.to_string());
            }
        }
        self.applied_each(index, &resealed);
        Ok(())
    }

    /// Records what an entry of the installation changed: each target, or nothing.
    fn applied_each(&mut self, index: usize, targets: &[String]) {
        if targets.is_empty() {
            self.unchanged(index);
        } else {
            self.applied(index, "", targets, None, count_of(targets.len()));
        }
    }

    /// Answers those dead letters that are still there. Each is a row of the trail.
    async fn answer_dead_letters(
        &mut self,
        index: usize,
        export: &str,
        letters: &[DeadLetterId],
        answer: DeadLetterAnswer,
    ) -> Result<(), StoreError> {
        let mut answered = Vec::new();
        for letter in letters {
            if dead_letters::answer(self.db, export, *letter, answer).await? {
                answered.push(letter.target(export));
            }
        }
        self.applied_each(index, &answered);
        Ok(())
    }

    /// Turns, if the time since the last turn is long enough.
    async fn turn(
        &mut self,
        index: usize,
        life: Duration,
        margin: Duration,
    ) -> Result<(), StoreError> {
        // The lock on the row of the installation orders turns: of several at once one happens.
        let since = turns::lock_since_turn(self.db, self.now).await?;
        if !since.is_due(life + margin, self.now) {
            self.unchanged(index);
            return Ok(());
        }

        let turned = since.turning_at(self.now);
        let clock_floor = since.floor_after_turn(life);
        turns::turn(self.db, turned, clock_floor).await?;
        self.changes.push(Change::Turn);
        self.applied(index, "", &[], None, 1);
        Ok(())
    }

    /// Repeats the revocations that gates have forgotten, if the clock is below its floor.
    async fn answer_set_back(
        &mut self,
        index: usize,
        forget_margin_us: i64,
    ) -> Result<(), StoreError> {
        // The lock on the row of the installation orders these entries: of several at once one finds the clock too low.
        let floor = turns::lock_clock_floor(self.db).await?;
        if !is_set_back(self.now, floor) {
            self.unchanged(index);
            return Ok(());
        }

        let keys = self.revoke_forgotten_api_keys(forget_margin_us).await?;
        if keys == Mutation::FORGOTTEN_MAX {
            // There may be more. Gates prove nothing until the last entry lowers the floor.
            self.applied(index, "", &[], None, keys);
            return Ok(());
        }

        // One cutoff covers every session that was opened so far, also between the step of the clock and now.
        self.cut(index, Scope::Everyone, None);
        turns::lower_clock_floor(self.db).await?;
        self.applied(index, "", &[], Some(Cause::Recovery), keys + 1);
        Ok(())
    }
}

/// A trusted key that is to be ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LockedKey {
    /// It signs the tokens of its kind of credential.
    Signs,
    /// Another key does.
    Idle,
}
