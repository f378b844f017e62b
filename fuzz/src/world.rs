//! The installation that the bytes are thrown at: always the same, so that a finding can be repeated.

use std::sync::LazyLock;

use portcullis_contract::{
    delta::{self, Change, Scope},
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
    position::{Incarnation, Revision},
    token::Claims,
    view::{Frame, Subject, View},
};

/// The `iss` of its tokens.
pub const ISSUER: &str = "https://issuer.test";
/// The `aud` of its tokens.
pub const AUDIENCE: &str = "gate";

const DOCUMENTS: [(Algorithm, &[u8]); 3] = [
    (Algorithm::Ed25519, include_bytes!("../keys/ed25519.pk8")),
    (Algorithm::Es256, include_bytes!("../keys/es256.pk8")),
    (Algorithm::Rs256, include_bytes!("../keys/rs256.pk8")),
];

/// Its private keys, one of each algorithm. They sign nothing but test tokens.
pub static KEYS: LazyLock<[PrivateKey; 3]> = LazyLock::new(|| {
    DOCUMENTS.map(|(algorithm, pkcs8)| {
        PrivateKey::from_pkcs8(algorithm, pkcs8).expect("our own document")
    })
});

/// Its log, batch by batch: every kind of change.
pub static LOG: LazyLock<Vec<Vec<Change>>> = LazyLock::new(|| {
    let credential = CredentialKind::Session;
    let api_keys = Change::Revoke {
        credential: CredentialKind::ApiKey,
        serials: vec![Serial(30)],
    };
    vec![
        KEYS.iter().map(|key| Change::Trust(public(key))).collect(),
        vec![revoke(&[10, 11, 1 << 33]), api_keys],
        vec![Change::Cut {
            credential,
            scope: Scope::Tenant(TenantSerial(9)),
            exempt: None,
        }],
        vec![Change::Turn],
        vec![Change::Cut {
            credential,
            scope: Scope::User(UserSerial(5)),
            exempt: Some(Serial(12)),
        }],
        vec![Change::Distrust(key_id("stolen")), revoke(&[20])],
    ]
});

/// What that log amounts to.
pub static VIEW: LazyLock<View> = LazyLock::new(|| {
    let empty = View::empty(Incarnation([1; 16]));
    LOG.iter().fold(empty, |view, changes| {
        let delta = delta::encode(changes, Vec::new());
        let revision = view.position().revision.next();
        view.apply(&Frame {
            revision,
            delta,
            audit_digest: [0; 32],
        })
        .expect("the next batch")
    })
});

/// A `kid`.
pub fn key_id(id: &str) -> KeyId {
    KeyId::parse(id).expect("an id")
}

/// The public half, under the algorithm's name.
pub fn public(key: &PrivateKey) -> VerificationKey {
    let (id, algorithm) = (key_id(key.algorithm().jose_name()), key.algorithm());
    VerificationKey::new(id, algorithm, key.public_bytes(), CredentialKind::Session)
        .expect("a good key")
}

/// Ends sessions.
pub fn revoke(serials: &[u64]) -> Change {
    let serials = serials.iter().copied().map(Serial).collect();
    Change::Revoke {
        credential: CredentialKind::Session,
        serials,
    }
}

/// A session that only its serial or its opening can kill.
pub fn subject(serial: u64, opened: u64) -> Subject {
    Subject {
        serial: Serial(serial),
        user: UserSerial(1),
        tenant: TenantSerial(1),
        opened: Revision(opened),
    }
}

/// What its good tokens say.
pub fn claims() -> Claims {
    Claims {
        tenant_id: TenantId::parse("acme").expect("an id"),
        user_id: UserId::parse("ada").expect("an id"),
        session_id: SessionId::from_bytes([7; 16]),
        subject: subject(1, 6),
        token_id: "t".into(),
        audiences: vec![AUDIENCE.into()],
        issued_at: 1_000,
        expires_at: 2_000,
        auth_time: 900,
        amr: vec!["pwd".into()],
        acr: String::new(),
        client_id: "web".into(),
    }
}
