//! Bytes of deltas and snapshots, altered in every way: refused, or not taken for what they were.

use prost::Message;

use super::*;
use crate::{
    delta::DELTA_BYTES_MAX,
    key::{Algorithm, PrivateKey},
};

fn key(id: &str, algorithm: Algorithm) -> VerificationKey {
    let private = PrivateKey::generate(algorithm);
    let id = KeyId::parse(id).expect("an id");
    VerificationKey::new(
        id,
        algorithm,
        private.public_bytes(),
        CredentialKind::Session,
    )
    .expect("a good key")
}

/// Every kind of change, and every algorithm.
fn everything() -> Vec<Change> {
    vec![
        revoke(&[1, 2, 1 << 33]),
        Change::Revoke {
            credential: CredentialKind::ApiKey,
            serials: vec![Serial(30)],
        },
        cut(Scope::User(UserSerial(5)), Some(12)),
        cut(Scope::Tenant(TenantSerial(9)), None),
        cut(Scope::Everyone, Some(4)),
        Change::Trust(key("ed", Algorithm::Ed25519)),
        Change::Trust(key("es", Algorithm::Es256)),
        Change::Trust(key("rs", Algorithm::Rs256)),
        Change::Distrust(KeyId::parse("old").expect("an id")),
        Change::Turn,
    ]
}

fn flipped(bytes: &[u8], bit: usize) -> Bytes {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped.into()
}

/// Every truncation of `bytes`, then `bytes` with every bit flipped.
fn altered(bytes: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    let truncated = (0..bytes.len()).map(|length| bytes.slice(..length));
    truncated.chain((0..bytes.len() * 8).map(|bit| flipped(bytes, bit)))
}

/// Some of them are deltas, of other changes. Their chain is another, so a beat finds them out.
#[test]
fn an_altered_delta_is_refused_or_leads_elsewhere() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    let good = Frame {
        delta: delta::encode(&everything(), vec![trace]),
        ..frame(1, &[])
    };
    let position = view().apply(&good).expect("applies").position();
    for delta in altered(&good.delta) {
        let Ok(changes) = delta::decode(&delta) else {
            continue;
        };
        let parents = v1::Delta::decode(delta.clone())
            .expect("it was decoded before")
            .trace_parents;
        assert_eq!(
            delta::encode(&changes, parents),
            delta,
            "every byte has a meaning"
        );
        let next = view()
            .apply(&Frame {
                delta,
                ..good.clone()
            })
            .expect("it was decoded before");
        assert_ne!(next.position(), position);
    }
    for bit in 0..256 {
        let mut audited = good.clone();
        audited.audit_digest[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(
            view().apply(&audited).expect("applies").position(),
            position
        );
    }
}

#[test]
fn what_a_later_version_may_mean_is_unknown() {
    let unknown = |kind: v1::log_entry::Kind| {
        let delta = v1::Delta {
            entries: vec![v1::LogEntry { kind: Some(kind) }],
            trace_parents: vec![],
        };
        assert_eq!(
            delta::decode(&delta.encode_to_vec().into()).err(),
            Some(DeltaError::UnknownKind),
            "{delta:?}"
        );
    };
    use v1::log_entry::Kind;
    let trusted = v1::TrustedKey::from(&key("k", Algorithm::Ed25519));
    for code in [0, 4, 99, -1] {
        unknown(Kind::TrustKey(v1::TrustedKey {
            algorithm: code,
            ..trusted.clone()
        }));
        unknown(Kind::TrustKey(v1::TrustedKey {
            credential: code,
            ..trusted.clone()
        }));
        unknown(Kind::Revoked(v1::RevokedCredentials {
            credential: code,
            serials: vec![1],
        }));
        unknown(Kind::Cutoff(v1::Cutoff {
            credential: 1,
            scope: code,
            ..Default::default()
        }));
        unknown(Kind::Cutoff(v1::Cutoff {
            credential: code,
            scope: 3,
            ..Default::default()
        }));
    }
    unknown(Kind::Cutoff(v1::Cutoff {
        credential: 1,
        scope: 3,
        scope_serial: 7,
        exempt_serial: 0,
    }));
    unknown(Kind::TrustKey(v1::TrustedKey {
        public_key: Bytes::from_static(&[1; 31]),
        ..trusted
    }));
}

#[test]
fn a_delta_beyond_the_bound_is_not_read() {
    let large = Bytes::from(vec![0x0a; DELTA_BYTES_MAX + 1]);
    assert_eq!(delta::decode(&large).err(), Some(DeltaError::TooLarge));
}

/// Integrity is checked around a snapshot, by a digest or a code: one cut off between two keys is a snapshot too, of
/// fewer keys, and a bitmap's offsets are not looked at. Here no bytes make the decoder panic, and what it takes is whole.
#[test]
fn an_altered_snapshot_is_refused_or_can_be_encoded_again() {
    let bytes = applied(&[everything(), vec![revoke(&[7]), cut(Scope::Everyone, None)]]).encode();
    for snapshot in altered(&bytes) {
        let Ok(decoded) = View::decode(snapshot.clone()) else {
            continue;
        };
        let again = View::decode(decoded.encode()).expect("our own encoding");
        assert_eq!(again.encode(), decoded.encode());
        assert_eq!(again.revoked_count(), decoded.revoked_count());
    }
}

fn encoded(change: impl FnOnce(&mut v1::Snapshot)) -> Result<View, SnapshotError> {
    let bytes = applied(&[
        everything(),
        vec![revoke(&[7, 1 << 33]), cut(Scope::User(UserSerial(5)), None)],
    ])
    .encode();
    let mut snapshot = v1::Snapshot::decode(bytes).expect("our own encoding");
    change(&mut snapshot);
    View::decode(snapshot.encode_to_vec().into())
}

/// What no log can give is refused, so that equal views are equal bytes.
#[test]
fn a_snapshot_that_no_log_can_give_is_refused() {
    type Change = fn(&mut v1::Snapshot);
    assert!(encoded(|_| {}).is_ok());
    let cases: [(&str, Change); 15] = [
        ("no generation", |s| s.previous = None),
        ("a short incarnation", |s| {
            s.incarnation = Bytes::from_static(&[1; 15]);
        }),
        ("a long chain", |s| s.chain = Bytes::from_static(&[1; 33])),
        ("blocks in another order", |s| blocks(s).swap(0, 1)),
        ("a block twice", |s| blocks(s)[1].index = blocks(s)[0].index),
        ("a block beyond the last serial", |s| {
            blocks(s)[1].index = 1 << 44;
        }),
        ("an empty block", |s| {
            blocks(s)[0].roaring = Bytes::from_static(&[0x3a, 0x30, 0, 0, 0, 0, 0, 0]);
        }),
        ("bytes after a block", |s| {
            blocks(s)[0].roaring = [&blocks(s)[0].roaring[..], &[0]].concat().into();
        }),
        ("cutoffs in another order", |s| cutoffs(s).reverse()),
        ("a scope twice", |s| cutoffs(s)[1] = cutoffs(s)[0]),
        ("an exemption of nobody", |s| {
            cutoffs(s)[0].exempt_serial = 0;
        }),
        ("a cutoff that exempts all", |s| {
            cutoffs(s)[0].unexempted_revision = 9;
        }),
        ("a cutoff of nothing", |s| {
            (cutoffs(s)[1].revision, cutoffs(s)[1].unexempted_revision) = (0, 0);
        }),
        ("a key twice", |s| {
            s.trusted_keys.push(s.trusted_keys[0].clone());
        }),
        ("a key trusted and not", |s| {
            s.distrusted_key_ids.push(s.trusted_keys[0].id.clone());
        }),
    ];
    for (what, change) in cases {
        assert!(encoded(change).is_err(), "{what}");
    }
}

fn blocks(snapshot: &mut v1::Snapshot) -> &mut Vec<v1::SerialBlock> {
    let blocks = &mut snapshot.current.as_mut().expect("a generation").revoked;
    assert_eq!(blocks.len(), 2);
    blocks
}

fn cutoffs(snapshot: &mut v1::Snapshot) -> &mut Vec<v1::CutoffState> {
    let cutoffs = &mut snapshot.previous.as_mut().expect("a generation").cutoffs;
    assert_eq!(cutoffs.len(), 3);
    cutoffs
}

#[test]
fn nothing_follows_the_last_revision() {
    let last = encoded(|snapshot| (snapshot.revision, snapshot.turns) = (u64::MAX, u64::MAX))
        .expect("a snapshot");
    for revision in [0, 1, u64::MAX] {
        assert!(
            matches!(
                last.apply(&frame(revision, &[])),
                Err(ApplyError::Gap { .. })
            ),
            "{revision}"
        );
    }
    let turning = encoded(|snapshot| snapshot.turns = u64::MAX).expect("a snapshot");
    assert_eq!(
        turning
            .apply(&frame(3, &[Change::Turn]))
            .expect("applies")
            .turns(),
        u64::MAX
    );
}

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let scope = prop_oneof![
        (0_u64..3).prop_map(|serial| Scope::User(UserSerial(serial))),
        (0_u64..3).prop_map(|serial| Scope::Tenant(TenantSerial(serial))),
        Just(Scope::Everyone),
    ];
    let credential = || prop_oneof![Just(CredentialKind::Session), Just(CredentialKind::ApiKey)];
    let serials = prop::collection::vec((0_u64..1 << 22).prop_map(Serial), 0..6);
    let id = || "[a-c]".prop_map(|id| KeyId::parse(id).expect("an id"));
    let change = prop_oneof![
        4 => (credential(), serials).prop_map(|(credential, serials)| Change::Revoke { credential, serials }),
        4 => (credential(), scope, prop::option::of((1_u64..4).prop_map(Serial)))
            .prop_map(|(credential, scope, exempt)| Change::Cut { credential, scope, exempt }),
        1 => id().prop_map(|id| Change::Trust(key(id.as_str(), Algorithm::Ed25519))),
        1 => id().prop_map(Change::Distrust),
        1 => Just(()).prop_map(|()| Change::Turn),
    ];
    prop::collection::vec(prop::collection::vec(change, 0..5), 0..8)
}

proptest! {
    #[test]
    fn a_view_of_any_log_survives_its_encoding(deltas in changes()) {
        let view = applied(&deltas);
        let decoded = View::decode(view.encode());
        prop_assert_eq!(decoded.expect("our own encoding").encode(), view.encode());
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = delta::decode(&bytes.clone().into());
        let _ = View::decode(bytes.into());
    }
}
