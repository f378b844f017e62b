//! Access tokens whose signature was found good lately.

use portcullis_contract::{
    position::sha256,
    rejection::Rejection,
    token::{Expected, Identity, verify},
    view::View,
};
use quick_cache::sync::Cache;

/// The most tokens that are remembered; each takes about a kilobyte.
const KNOWN_TOKENS_MAX: usize = 4_096;

/// Spares the signature check of a token that comes again. A program that repeats one token then costs little, whether
/// its session is alive or has ended.
pub(super) struct KnownTokens {
    expected: Expected,
    known: Cache<[u8; 32], Identity>,
}

impl KnownTokens {
    pub(super) fn new(expected: Expected) -> Self {
        Self {
            expected,
            known: Cache::new(KNOWN_TOKENS_MAX),
        }
    }

    /// Reads an access token: everything about it that does not change with time.
    ///
    /// # Errors
    /// The rejection of [`verify`].
    pub(super) fn verify(&self, token: &str, view: &View) -> Result<Identity, Rejection> {
        // The digest is kept and not the token, so that no usable credential stays in the cache.
        let digest = sha256(token.as_bytes());
        if let Some(identity) = self.known.get(&digest)
            && view.trusts(&identity.key)
        {
            // Expiry and revocation change with time. They are judged for every call, in `authenticate_user`.
            return Ok(identity);
        }

        // A token of a key that is distrusted since then goes through every check again, and is refused for that.
        let identity = verify(token, view, &self.expected)?;
        self.known.insert(digest, identity.clone());
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        delta::{self, Change},
        id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
        key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
        position::{Incarnation, Revision},
        token::{Claims, Signer},
        view::{Frame, Subject},
    };

    use super::*;

    const ISSUER: &str = "https://issuer";

    fn apply(view: &View, revision: u64, change: Change) -> View {
        let frame = Frame {
            revision: Revision(revision),
            delta: delta::encode(&[change], vec![]),
            audit_digest: [0; 32],
        };
        view.apply(&frame).expect("applies")
    }

    fn claims() -> Claims {
        Claims {
            tenant_id: TenantId::parse("acme").expect("an id"),
            user_id: UserId::parse("ada").expect("an id"),
            session_id: SessionId::generate(),
            subject: Subject {
                serial: Serial(1),
                user: UserSerial(2),
                tenant: TenantSerial(3),
                opened: Revision(4),
            },
            token_id: "t".into(),
            audiences: vec!["authority".into()],
            issued_at: 1_000,
            expires_at: 2_000,
            auth_time: 900,
            amr: vec![],
            acr: String::new(),
            client_id: "web".into(),
        }
    }

    #[test]
    fn a_known_token_is_refused_once_its_key_is_distrusted() {
        let key = PrivateKey::generate(Algorithm::Ed25519);
        let id = KeyId::parse("k1").expect("an id");
        let public = VerificationKey::new(
            id.clone(),
            key.algorithm(),
            key.public_bytes(),
            CredentialKind::Session,
        );
        let trusted = Change::Trust(public.expect("a key"));
        let view = apply(&View::empty(Incarnation([1; 16])), 1, trusted);
        let token = Signer::new(id.clone(), key).sign(ISSUER, &claims());
        let token = token.expect("signs");

        let tokens = KnownTokens::new(Expected {
            issuer: ISSUER.into(),
            audience: Some("authority".into()),
        });
        for _ in 0..2 {
            let identity = tokens.verify(&token, &view).expect("genuine");
            assert_eq!(identity.claims.user_id.as_str(), "ada");
        }
        assert_eq!(tokens.known.len(), 1);

        let view = apply(&view, 2, Change::Distrust(id));
        let refused = tokens.verify(&token, &view).expect_err("refused");
        assert_eq!(refused, Rejection::DistrustedKey);
    }

    #[test]
    fn a_forged_token_is_not_remembered() {
        let tokens = KnownTokens::new(Expected {
            issuer: ISSUER.into(),
            audience: None,
        });
        let view = View::empty(Incarnation([1; 16]));
        assert!(tokens.verify("a.b.c", &view).is_err());
        assert_eq!(tokens.known.len(), 0);
    }
}
