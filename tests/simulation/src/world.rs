//! What all hosts of a run share.

use std::sync::{Arc, Mutex};

use portcullis_authority::keys::MasterKeys;
use portcullis_contract::{
    key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
    token::Signer,
};
use tokio::sync::mpsc;

use crate::{
    AUTHORITIES, GATES, bug::Bug, dice::Dice, gate::GateView, history::History, links::Links,
    operations::Operation, store::database::Database,
};

/// The operations that wait for an authority.
pub const OPERATIONS_MAX: usize = 1_024;

/// What all hosts share.
pub struct World {
    pub bug: Option<Bug>,
    pub dice: Dice,
    pub links: Arc<Links>,
    pub history: Arc<History>,
    pub database: Arc<Database>,
    pub master: Arc<MasterKeys>,
    pub signer: Signer,
    /// Hands operations to the present process of each authority.
    pub inboxes: [Mutex<Option<mpsc::Sender<Operation>>>; AUTHORITIES],
    /// The present process of each gate.
    pub gates: [Mutex<Option<GateView>>; GATES],
}

/// The key that signs all tokens, and its public half for the log.
pub fn signing_key() -> (Signer, VerificationKey) {
    let id = KeyId::parse("key").expect("a good id");
    let key = PrivateKey::generate(Algorithm::Ed25519);
    let public = key.public_bytes();
    let verification =
        VerificationKey::new(id.clone(), key.algorithm(), public, CredentialKind::Session);
    (Signer::new(id, key), verification.expect("our own key"))
}

impl World {
    /// Hands an operation to an authority. One that is down loses it.
    pub fn submit(&self, authority: usize, operation: Operation) {
        let inbox = self.inboxes[authority].lock().expect("not poisoned");
        if let Some(inbox) = &*inbox {
            // A full inbox is an authority that is paused: the caller gives up.
            let _ = inbox.try_send(operation);
        }
    }
}
