//! What there is once: signing keys, turns, the cutoff of everyone.

use std::time::Duration;

use portcullis_contract::{
    delta::{Change, Scope},
    key::{KeyId, VerificationKey},
};

use super::{
    super::{install, turns},
    Batch,
};
use crate::{
    domain::{Cause, EntryError, Mutation, NewKey, current_key},
    store::StoreError,
};

impl Batch<'_> {
    /// Keys, turns and cutoffs of everyone.
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
                Mutation::Turn { period } => self.turn(index, *period).await?,
                Mutation::ForgetApiKeys(margin) => {
                    self.forget_api_keys(index, crate::domain::time::span(*margin))
                        .await?;
                }
                Mutation::Record => self.record(index).await?,
                Mutation::Repeat { serials, cuts } => {
                    self.revoked.extend(serials);
                    cuts.iter()
                        .for_each(|(scope, exempt)| self.cut(index, *scope, *exempt));
                    self.applied(index, "", &[], Some(Cause::Administrator), 0);
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn trust_key(&mut self, index: usize, key: &NewKey) -> Result<(), StoreError> {
        let Some(trust) = self.insert_key(key).await? else {
            self.results[index] = Some(Err(EntryError::Refused));
            return Ok(());
        };
        self.changes.push(trust);
        self.applied(index, "", &[key.id.to_string()], None, 1);
        Ok(())
    }

    /// Keeps a new key. None when its public key cannot be used.
    async fn insert_key(&mut self, key: &NewKey) -> Result<Option<Change>, StoreError> {
        let trusted =
            VerificationKey::new(key.id.clone(), key.algorithm, &key.public, key.credential);
        let Ok(trusted) = trusted else {
            return Ok(None);
        };
        let sql = "INSERT INTO signing_keys (key_id, algorithm, public_key, sealed, created_us, signs_from_us, credential) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values = [
            key.id.as_str().into(),
            install::algorithm_code(key.algorithm).into(),
            key.public[..].into(),
            key.sealed[..].into(),
            self.now.0.into(),
            self.now.after(key.activation_delay).0.into(),
            install::credential_code(key.credential).into(),
        ];
        self.connection.query(sql, &values).await?;
        Ok(Some(Change::Trust(trusted)))
    }

    async fn distrust_key(&mut self, index: usize, id: &KeyId) -> Result<(), StoreError> {
        let Some(signs) = self.find_key_to_end(index, id).await? else {
            return Ok(());
        };
        if signs {
            self.results[index] = Some(Err(EntryError::KeyInUse));
            return Ok(());
        }
        self.end_key(id).await?;
        self.applied(index, "", &[id.to_string()], None, 1);
        Ok(())
    }

    /// As [`distrust_key`](Self::distrust_key), also for the key that signs: the successor takes its place.
    async fn replace_key(
        &mut self,
        index: usize,
        id: &KeyId,
        successor: &NewKey,
    ) -> Result<(), StoreError> {
        let Some(signs) = self.find_key_to_end(index, id).await? else {
            return Ok(());
        };
        let mut touched = vec![id.to_string()];
        if signs {
            let Some(trust) = self.insert_key(successor).await? else {
                self.results[index] = Some(Err(EntryError::Refused));
                return Ok(());
            };
            self.changes.push(trust);
            touched.push(successor.id.to_string());
        }
        self.end_key(id).await?;
        let changed = u32::try_from(touched.len()).unwrap_or(u32::MAX);
        self.applied(index, "", &touched, None, changed);
        Ok(())
    }

    /// Whether the key signs; none, and the entry is answered, when there is nothing to end.
    async fn find_key_to_end(
        &mut self,
        index: usize,
        id: &KeyId,
    ) -> Result<Option<bool>, StoreError> {
        install::lock_keys(self.connection).await?;
        let (keys, now) = install::keys(self.connection, self.dialect).await?;
        let Some(key) = keys.iter().find(|key| key.id == *id) else {
            self.results[index] = Some(Err(EntryError::KeyNotFound));
            return Ok(None);
        };
        if key.retired.is_some() {
            self.unchanged(index);
            return Ok(None);
        }
        let current = current_key(&keys, key.credential, now);
        Ok(Some(current.is_some_and(|current| current.id == *id)))
    }

    async fn end_key(&mut self, id: &KeyId) -> Result<(), StoreError> {
        let sql = "UPDATE signing_keys SET retired_us = $2 WHERE key_id = $1";
        self.connection
            .query(sql, &[id.as_str().into(), self.now.0.into()])
            .await?;
        self.changes.push(Change::Distrust(id.clone()));
        Ok(())
    }

    /// The row's lock orders turns: of several at once one happens.
    async fn turn(&mut self, index: usize, period: Duration) -> Result<(), StoreError> {
        let since = turns::lock_since_turn(self.connection, self.now).await?;
        if !since.is_due(period, self.now) {
            self.unchanged(index);
            return Ok(());
        }
        turns::turn(self.connection, since.turning_at(self.now)).await?;
        self.changes.push(Change::Turn);
        self.applied(index, "", &[], None, 1);
        Ok(())
    }
}
