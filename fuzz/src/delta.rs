//! Deltas: every byte has a meaning, and no delta makes a view forget before its time.

use portcullis_contract::{
    delta::{self, Change, TRACE_PARENTS_MAX},
    id::{Serial, UserSerial},
    key::{Algorithm, CredentialKind},
    v1,
    view::{Frame, Subject, View},
};
use prost::{Message, bytes::Bytes};

use crate::{
    Seed,
    world::{LOG, VIEW, key_id, revoke, subject},
};

/// Throws bytes at the decoder and the view.
pub fn check(data: &[u8]) -> bool {
    let bytes = Bytes::copy_from_slice(data);
    assert!(delta::trace_parents(&bytes).len() <= TRACE_PARENTS_MAX);
    let at = VIEW.position();
    let frame = Frame {
        revision: at.revision.next(),
        delta: bytes.clone(),
        audit_digest: [0; 32],
    };
    let (decoded, applied) = (delta::decode(&bytes), VIEW.apply(&frame));
    let (Ok(changes), Ok(next)) = (&decoded, &applied) else {
        assert!(decoded.is_err() && applied.is_err());
        return false;
    };

    let parents = v1::Delta::decode(bytes.clone())
        .expect("it was decoded before")
        .trace_parents;
    assert_eq!(
        delta::encode(changes, parents),
        bytes,
        "a byte without a meaning"
    );
    assert!(next.position().revision.follows(at.revision) && next.position().chain != at.chain);
    remembers(changes, next);
    assert_eq!(
        View::decode(next.encode())
            .expect("our own encoding")
            .encode(),
        next.encode()
    );
    true
}

/// What was in force is, unless the log has turned: the current generation is dropped by the second turn, and what no
/// turn drops stays.
fn remembers(changes: &[Change], next: &View) {
    let turns = changes
        .iter()
        .filter(|change| matches!(change, Change::Turn))
        .count();
    assert_eq!(next.turns(), VIEW.turns() + turns as u64);
    if turns < 2 {
        assert!(next.is_revoked(CredentialKind::Session, &subject(20, 6)));
        let of_the_user = Subject {
            user: UserSerial(5),
            ..subject(1, 0)
        };
        assert!(next.is_cut(CredentialKind::Session, &of_the_user));
    }
    let forgets = |serial: Serial| {
        changes
            .iter()
            .any(|change| matches!(change, Change::Forget(serials) if serials.contains(&serial)))
    };
    assert!(forgets(Serial(30)) || next.is_revoked(CredentialKind::ApiKey, &subject(30, 0)));
    assert!(next.distrusts(&key_id("stolen")) && next.trusted_key("stolen").is_none());
    for (index, change) in changes.iter().enumerate() {
        let dropped = changes[index..]
            .iter()
            .filter(|change| matches!(change, Change::Turn))
            .count()
            >= 2;
        match change {
            Change::Revoke {
                credential,
                serials,
            } if !dropped || *credential == CredentialKind::ApiKey => {
                let revoked = |serial: &Serial| {
                    forgets(*serial) && *credential == CredentialKind::ApiKey
                        || next.is_revoked(*credential, &subject(serial.0, u64::MAX))
                };
                assert!(serials.iter().all(revoked));
            }
            Change::Distrust(id) => {
                assert!(next.distrusts(id) && next.trusted_key(id.as_str()).is_none());
            }
            _ => {}
        }
    }
}

/// The batches of the log, and some that are none.
pub fn seeds() -> Vec<Seed> {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    let encode = |changes: &[Change]| delta::encode(changes, Vec::new()).to_vec();
    let mut seeds: Vec<_> = LOG
        .iter()
        .enumerate()
        .map(|(index, changes)| Seed::good(format!("batch-{index}"), encode(changes)))
        .collect();
    let whole: Vec<u8> = LOG.iter().flat_map(|changes| encode(changes)).collect();
    let traced = delta::encode(&[revoke(&[1])], vec![trace; TRACE_PARENTS_MAX]).to_vec();
    seeds.extend([
        Seed::good("whole", whole),
        Seed::good("empty", []),
        Seed::good("traced", traced),
        Seed::good(
            "two-turns",
            encode(&[revoke(&[5]), Change::Turn, Change::Turn]),
        ),
        // An entry whose only field has the number 15, and a key of an algorithm with the number 4.
        Seed::bad("unknown-kind", [0x0a, 0x02, 0x7a, 0x00]),
        Seed::bad("unknown-algorithm", unknown_algorithm()),
    ]);
    seeds
}

fn unknown_algorithm() -> Vec<u8> {
    let Some(key) = VIEW.trusted_key(Algorithm::Ed25519.jose_name()) else {
        unreachable!("the log trusts it")
    };
    let key = v1::TrustedKey {
        algorithm: 4,
        ..v1::TrustedKey::from(&**key)
    };
    let kind = Some(v1::log_entry::Kind::TrustKey(key));
    v1::Delta {
        entries: vec![v1::LogEntry { kind }],
        trace_parents: Vec::new(),
    }
    .encode_to_vec()
}
