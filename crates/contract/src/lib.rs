//! The contract between the authority, its validators, and everybody who speaks with either.
//!
//! The crate has the messages of package `portcullis.v1`, the ids and texts that are parsed once and typed from then on,
//! the claims of tokens, the chain of the log, and the view of the revocations in force. There is no I/O in it, no clock
//! and no async runtime: every function computes its result from its arguments.
//!
//! # The model
//!
//! Revocations are a **log**. Each batch of the log has a [`Revision`](position::Revision), dense and starting at 1, and
//! a **delta**: the changes of the batch, as bytes ([`delta`]). A [`Chain`](position::Chain) hashes all batches up to a
//! revision, so that two parties who name the same [`Position`](position::Position) have applied the same bytes.
//!
//! A [`View`](view::View) is the sum of all deltas up to a revision: a set of revoked serials, the cutoffs of users,
//! tenants and everyone, and the keys that are trusted. The authority and every validator build it by the same code from
//! the same bytes, so they cannot disagree. A view is immutable, and the next one shares nearly all of its memory.
//!
//! A **token** is a signed JWT ([`token`]). Beside the usual claims it carries the serials of its credential, its user
//! and its tenant, and the head of the log that the sign-in read ([`Subject`](view::Subject)). It is refused when its key
//! is not trusted, when its serial is in the set, or when a cutoff that covers it is greater than that head. No clock
//! takes part in a revocation; `exp` alone goes by time ([`verdict`]).
//!
//! # How to start
//!
//! ```
//! use portcullis_contract::{
//!     delta::{self, Change, Scope},
//!     id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
//!     key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
//!     position::{Incarnation, Revision},
//!     rejection::Rejection,
//!     token::{Claims, Expected, Signer, verify},
//!     verdict::verdict,
//!     view::{Frame, Subject, View},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The first batch of the log trusts a key.
//! let private = PrivateKey::generate(Algorithm::Ed25519);
//! let id = KeyId::parse("2026-11")?;
//! let public = VerificationKey::new(
//!     id.clone(),
//!     private.algorithm(),
//!     private.public_bytes(),
//!     CredentialKind::Session,
//! )?;
//! let frame = |revision, changes: &[Change]| Frame {
//!     revision: Revision(revision),
//!     delta: delta::encode(changes, Vec::new()),
//!     audit_digest: [0; 32],
//! };
//! let view = View::empty(Incarnation([1; 16])).apply(&frame(1, &[Change::Trust(public)]))?;
//!
//! // A sign-in that read revision 1 gets a token.
//! let claims = Claims {
//!     tenant_id: TenantId::parse("acme")?,
//!     user_id: UserId::parse("ada")?,
//!     session_id: SessionId::generate(),
//!     subject: Subject {
//!         serial: Serial(7),
//!         user: UserSerial(2),
//!         tenant: TenantSerial(1),
//!         opened: Revision(1),
//!     },
//!     token_id: "t1".into(),
//!     audiences: vec!["gateway".into()],
//!     issued_at: 1_000,
//!     expires_at: 1_300,
//!     auth_time: 1_000,
//!     amr: vec!["pwd".into()],
//!     acr: String::new(),
//!     client_id: "web".into(),
//! };
//! let token = Signer::new(id, private).sign("https://issuer", &claims)?;
//!
//! // A reader verifies it once, and asks for a verdict at each use.
//! let expected = Expected {
//!     issuer: "https://issuer".into(),
//!     audience: Some("gateway".into()),
//! };
//! let identity = verify(&token, &view, &expected)?;
//! assert_eq!(verdict(&identity, &view, 1_010), Ok(()));
//!
//! // The user signs out everywhere: one entry, whatever the number of sessions.
//! let sign_out = Change::Cut {
//!     credential: CredentialKind::Session,
//!     scope: Scope::User(UserSerial(2)),
//!     exempt: None,
//! };
//! let view = view.apply(&frame(2, &[sign_out]))?;
//! assert_eq!(verdict(&identity, &view, 1_010), Err(Rejection::SignedOut));
//! # Ok(())
//! # }
//! ```
//!
//! # The modules
//!
//! - [`v1`]: the generated messages. With the feature `grpc` also the clients and servers.
//! - [`id`], [`text`]: ids and bounded texts. A value of these types was checked; nothing checks it again.
//! - [`position`]: revisions, incarnations, chains.
//! - [`key`]: one key has one algorithm and one kind of credential. Unusable public keys are refused before use.
//! - [`token`]: access tokens and API keys, written and read strictly.
//! - [`delta`], [`view`]: the log's changes and their sum. A snapshot is an encoded view.
//! - [`verdict`], [`rejection`]: the decision about a verified token, and its reasons.
//! - [`watch`]: the checksums of the messages between an authority and a validator.
//! - [`retry`]: pauses between attempts, with full jitter.
//! - [`trace`]: the trace context that travels with a batch.
//!
//! # Errors
//!
//! Bytes are decoded wholly or not at all. A part that this version does not know is an error
//! ([`DeltaError::UnknownKind`](delta::DeltaError::UnknownKind),
//! [`SnapshotError::Unknown`](view::SnapshotError::Unknown)), because skipping it could forget a revocation. No error
//! repeats the text that it is about: it could be a token or personal data.
//!
//! # Cost
//!
//! A verdict looks up a few hash maps and bitmaps, takes well under a microsecond, and allocates nothing.
//! [`token::verify`] checks a signature and takes about a hundred times as long, so readers keep its result. Applying a
//! delta copies the blocks that it changes, whatever the size of the view. A revoked serial takes about two bytes.
//!
//! # Features
//!
//! `grpc` adds the generated clients and servers with their codec, and with them `tonic`. It is off by default: code that only decides
//! about tokens does not need a transport.

#[cfg(feature = "grpc")]
pub mod codec;
pub mod delta;
pub mod id;
pub mod key;
pub mod position;
pub mod rejection;
pub mod retry;
pub mod sealed;
pub mod seeded;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod text;
pub mod token;
pub mod trace;
pub mod verdict;
pub mod view;
pub mod watch;

/// The generated messages of package `portcullis.v1`, and its services with the feature `grpc`.
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod v1 {
    include!("generated/portcullis.v1.rs");
}

/// The encoded `FileDescriptorSet` of `proto/`, for reflection and for tests that walk every rpc.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor.bin");

/// Returns random bytes from the system's generator.
///
/// # Panics
/// When the system has no randomness.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    #[cfg(feature = "simulation")]
    if let Some(bytes) = simulation::random() {
        return bytes;
    }
    let mut bytes = [0; N];
    // No fallback: a weaker generator would give secrets and ids that somebody could guess.
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}
