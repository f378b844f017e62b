//! What there is once: signing keys, turns, the cutoff of everyone.

use portcullis_contract::{
    delta::{Change, Scope},
    key::{KeyId, VerificationKey},
};

use super::{super::install, Batch};
use crate::{
    domain::{Cause, EntryError, Mutation, NewKey, current_key, time::span},
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
                Mutation::Turn { period } => self.turn(index, span(*period)).await?,
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
        let trusted =
            VerificationKey::new(key.id.clone(), key.algorithm, &key.public, key.credential);
        let Ok(trusted) = trusted else {
            self.results[index] = Some(Err(EntryError::Refused));
            return Ok(());
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
        self.changes.push(Change::Trust(trusted));
        self.applied(index, "", &[key.id.to_string()], None, 1);
        Ok(())
    }

    async fn distrust_key(&mut self, index: usize, id: &KeyId) -> Result<(), StoreError> {
        // The row's lock orders retirements, so that two of them cannot each leave the other's key as the last.
        self.connection
            .query(
                "UPDATE installation SET keys_version = keys_version + 1",
                &[],
            )
            .await?;
        let (keys, now) = install::keys(self.connection, self.dialect).await?;
        let Some(key) = keys.iter().find(|key| key.id == *id) else {
            self.results[index] = Some(Err(EntryError::KeyNotFound));
            return Ok(());
        };
        if key.retired.is_some() {
            self.unchanged(index);
            return Ok(());
        }
        if current_key(&keys, key.credential, now).is_some_and(|current| current.id == *id) {
            self.results[index] = Some(Err(EntryError::KeyInUse));
            return Ok(());
        }
        let sql = "UPDATE signing_keys SET retired_us = $2 WHERE key_id = $1";
        self.connection
            .query(sql, &[id.as_str().into(), self.now.0.into()])
            .await?;
        self.changes.push(Change::Distrust(id.clone()));
        self.applied(index, "", &[id.to_string()], None, 1);
        Ok(())
    }

    async fn turn(&mut self, index: usize, period: i64) -> Result<(), StoreError> {
        let sql =
            "UPDATE installation SET last_turn_us = $1 WHERE last_turn_us <= $1 - $2 RETURNING id";
        let due = !self
            .connection
            .query(sql, &[self.now.0.into(), period.into()])
            .await?
            .is_empty();
        if due {
            self.changes.push(Change::Turn);
            self.applied(index, "", &[], None, 1);
        } else {
            self.unchanged(index);
        }
        Ok(())
    }
}
