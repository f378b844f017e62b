//! Secrets that every authority of an installation shares. They are numbered, so that a new one can stand beside those
//! before it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::{HeadCodes, MasterKeys, PageTokens, RefreshKey, RefreshKeys, Unsealable, random};
use crate::{
    domain::{Micros, NewSecret, SecretId, SecretKind, SecretRecord, current_secret},
    store::{Store, StoreError},
};

/// The longest pause between two looks for a secret that a token names and that is unknown here.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The shared secrets, opened, as they were when they were last read.
pub struct Secrets {
    store: Arc<dyn Store>,
    master: Arc<MasterKeys>,
    opened: ArcSwap<Opened>,
    /// The last look for an unknown secret. Locked during one, so that many tokens share it.
    looked: Mutex<Option<Look>>,
    /// The time for which a look answers for all unknown numbers.
    look_pause: Duration,
    /// Proves that a validator was told of a head.
    pub heads: Arc<HeadCodes>,
}

struct Opened {
    refresh: Arc<RefreshKeys>,
    pages: Arc<PageTokens>,
}

struct Look {
    began: Instant,
    failed: bool,
}

/// Why the secrets could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// None of this authority's master keys sealed one, or it is damaged.
    #[error("{id}: {problem}")]
    Unsealable {
        /// The secret.
        id: SecretId,
        /// The problem.
        problem: Unsealable,
    },
    /// Every secret of a kind is retired, which no authority does.
    #[error("no {} secret is left", kind.name())]
    Missing {
        /// The kind.
        kind: SecretKind,
    },
}

impl Secrets {
    /// Opens the installation's secrets. The first authority makes them. `activation_delay` is that of a new one.
    ///
    /// # Errors
    /// When the store fails or the master keys are not the installation's.
    pub async fn load(
        store: Arc<dyn Store>,
        master: Arc<MasterKeys>,
        activation_delay: Duration,
    ) -> Result<Self, SecretsError> {
        for kind in SecretKind::ALL {
            let first = SecretId { kind, number: 1 };
            // The store keeps the first one, so authorities that start together agree on it.
            let fresh = new_secret(&master, first, Duration::ZERO);
            store.keep_secret(&fresh).await?;
        }
        let opened = read(&*store, &master).await?;
        Ok(Self {
            opened: ArcSwap::from_pointee(opened),
            looked: Mutex::default(),
            // A secret that is made after a look began makes no token before its delay has passed. So no genuine token
            // can name it within this pause.
            look_pause: LOOK_PAUSE_MAX.min(activation_delay / 2),
            // Derived and not stored, so a code still proves its head after the store was restored from a backup.
            heads: Arc::new(master.head_codes()),
            store,
            master,
        })
    }

    /// The master keys.
    #[must_use]
    pub fn master(&self) -> &Arc<MasterKeys> {
        &self.master
    }

    /// Makes a secret, sealed.
    #[must_use]
    pub fn generate(&self, id: SecretId, activation_delay: Duration) -> NewSecret {
        new_secret(&self.master, id, activation_delay)
    }

    /// The keys of refresh tokens.
    #[must_use]
    pub fn refresh(&self) -> Arc<RefreshKeys> {
        Arc::clone(&self.opened.load().refresh)
    }

    /// The keys by which a refresh token is judged. A key that another authority made since the last read is read first.
    ///
    /// Forged tokens cost at most one read in `look_pause`, however many come.
    ///
    /// # Errors
    /// When the store does not answer, and the token may be genuine.
    pub async fn refresh_for(&self, token: &str) -> Result<Arc<RefreshKeys>, SecretsError> {
        let keys = self.refresh();
        if keys.lacks_key_of(token) {
            self.look_for_secrets().await?;
            return Ok(self.refresh());
        }
        Ok(keys)
    }

    /// Binds page tokens and resume tokens.
    #[must_use]
    pub fn pages(&self) -> Arc<PageTokens> {
        Arc::clone(&self.opened.load().pages)
    }

    /// Reads the secrets again.
    ///
    /// # Errors
    /// When the store fails or a secret does not open. Those that were read before stay in use.
    pub async fn reload(&self) -> Result<(), SecretsError> {
        let opened = read(&*self.store, &self.master).await?;
        self.opened.store(Arc::new(opened));
        Ok(())
    }

    /// Reads the secrets again, unless that was done a moment ago.
    async fn look_for_secrets(&self) -> Result<(), SecretsError> {
        let mut looked = self.looked.lock().await;
        if let Some(look) = &*looked
            && look.began.elapsed() < self.look_pause
        {
            if look.failed {
                // Not "invalid": a client would give its session up.
                let problem = "the secrets could not be read a moment ago".to_owned();
                return Err(StoreError::Unavailable(problem).into());
            }
            return Ok(());
        }
        // Measured from the beginning: a secret that is made during the read may be missing in it.
        let began = Instant::now();
        let outcome = self.reload().await;
        *looked = Some(Look {
            began,
            failed: outcome.is_err(),
        });
        outcome
    }
}

fn new_secret(master: &MasterKeys, id: SecretId, activation_delay: Duration) -> NewSecret {
    NewSecret {
        id,
        // Sealed for its own name: one secret cannot take the place of another.
        sealed: master.seal(&id.to_string(), &random::<32>()),
        activation_delay,
    }
}

async fn read(store: &dyn Store, master: &MasterKeys) -> Result<Opened, SecretsError> {
    let (records, now) = store.secrets().await?;
    let refresh = open_refresh(&records, master)?;
    let pages = open_pages(&records, master, now)?;
    Ok(Opened {
        refresh: Arc::new(refresh),
        pages: Arc::new(pages),
    })
}

/// Opens the secrets of refresh tokens that are not retired.
fn open_refresh(
    records: &[SecretRecord],
    master: &MasterKeys,
) -> Result<RefreshKeys, SecretsError> {
    let mut keys = Vec::new();
    for record in usable(records, SecretKind::Refresh) {
        let secret = open(record, master)?;
        keys.push(RefreshKey::new(record.id.number, &secret));
    }
    Ok(RefreshKeys::new(records, keys))
}

/// Opens the secrets of page tokens. The one that makes them is chosen when the secrets are read, which is often enough:
/// every authority reads a new one long before.
fn open_pages(
    records: &[SecretRecord],
    master: &MasterKeys,
    now: Micros,
) -> Result<PageTokens, SecretsError> {
    let kind = SecretKind::Pages;
    let current = current_secret(records, kind, now).ok_or(SecretsError::Missing { kind })?;
    let mut pages = PageTokens::new(&open(current, master)?);
    for record in usable(records, kind) {
        if record.id != current.id {
            pages = pages.and_reads(&open(record, master)?);
        }
    }
    Ok(pages)
}

fn usable(records: &[SecretRecord], kind: SecretKind) -> impl Iterator<Item = &SecretRecord> {
    records
        .iter()
        .filter(move |record| record.id.kind == kind && record.retired.is_none())
}

fn open(
    record: &SecretRecord,
    master: &MasterKeys,
) -> Result<zeroize::Zeroizing<Vec<u8>>, SecretsError> {
    let id = record.id;
    master
        .open(&id.to_string(), &record.sealed)
        .map_err(|problem| SecretsError::Unsealable { id, problem })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use portcullis_contract::id::SessionId;

    use super::*;
    use crate::{
        domain::{Entry, Mutation, TokenSubject},
        keys::MasterKey,
        store::sqlite::Sqlite,
    };

    const SALT: [u8; 16] = [1; 16];

    async fn open_store(directory: &Path) -> Arc<dyn Store> {
        Arc::new(Sqlite::open(directory).await.expect("opens"))
    }

    fn token(number: u8) -> String {
        let subject = TokenSubject {
            session_id: SessionId::generate(),
            generation: 0,
        };
        RefreshKey::new(number, b"a forger's own secret").derive(subject, &SALT)
    }

    async fn last_look(secrets: &Secrets) -> Option<Instant> {
        secrets.looked.lock().await.as_ref().map(|look| look.began)
    }

    #[tokio::test]
    async fn forged_numbers_cost_one_look_a_pause_and_a_new_secret_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open_store(directory.path()).await;
        let master = Arc::new(MasterKeys::from(MasterKey::generate()));
        let delay = Duration::from_secs(60);
        let secrets = Secrets::load(Arc::clone(&store), Arc::clone(&master), delay)
            .await
            .expect("loads");

        // A known number costs none.
        secrets.refresh_for(&token(1)).await.expect("keys");
        assert_eq!(last_look(&secrets).await, None);

        let began = Instant::now();
        let mut looks = Vec::new();
        for round in 0..2_000 {
            let forged = token(2 + (round % 250) as u8);
            let keys = secrets.refresh_for(&forged).await.expect("keys");
            assert!(keys.read(&forged).is_err());
            looks.push(last_look(&secrets).await);
        }
        looks.dedup();
        let pauses = began.elapsed().as_millis() / secrets.look_pause.as_millis();
        assert!(looks.len() as u128 <= pauses + 1, "{} looks", looks.len());

        // Another authority adds one. Its first token comes after its delay, which is longer than the pause.
        let id = SecretId {
            kind: SecretKind::Refresh,
            number: 2,
        };
        let secret = secrets.generate(id, delay);
        let entry = Entry::internal(Mutation::AddSecret(secret));
        store.append(&[entry]).await.expect("appended");
        tokio::time::sleep(secrets.look_pause).await;
        let keys = secrets.refresh_for(&token(2)).await.expect("keys");
        assert!(!keys.lacks_key_of(&token(2)), "it was read");
    }

    #[tokio::test]
    async fn a_secret_of_another_master_key_is_an_error_that_names_both_keys() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open_store(directory.path()).await;
        let old = MasterKey::generate();
        let new = MasterKey::generate();
        let (old_id, new_id) = (old.id(), new.id());
        let load = |keys: MasterKeys| {
            Secrets::load(Arc::clone(&store), Arc::new(keys), Duration::from_secs(60))
        };
        load(old.into()).await.map(drop).expect("loads");
        let Err(refused) = load(new.into()).await else {
            panic!("loaded by another key");
        };
        let text = refused.to_string();
        for word in ["refresh-1", &old_id.to_string(), &new_id.to_string()] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
