//! The algebra of the view.

mod hostile;

use proptest::prelude::*;
use prost::bytes::Bytes;

use super::*;
use crate::{
    delta::{DeltaError, Scope},
    id::{Serial, TenantSerial, UserSerial},
    key::{Algorithm, PrivateKey},
    v1,
};

/// The meaning that [`CutoffState`] compresses: every cutoff, one by one.
fn covered_by_any(cutoffs: &[(u64, u64)], opened: u64, serial: u64) -> bool {
    cutoffs
        .iter()
        .any(|&(revision, exempt)| revision > opened && exempt != serial)
}

fn state(&(revision, exempt): &(u64, u64)) -> CutoffState {
    CutoffState::new(Revision(revision), (exempt != 0).then_some(Serial(exempt)))
}

fn merged(cutoffs: &[(u64, u64)]) -> CutoffState {
    cutoffs
        .iter()
        .map(state)
        .fold(CutoffState::default(), CutoffState::merge)
}

fn cutoffs() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((1_u64..8, 0_u64..4), 0..8)
}

fn view() -> View {
    View::empty(Incarnation([7; 16]))
}

fn frame(revision: u64, changes: &[Change]) -> Frame {
    Frame {
        revision: Revision(revision),
        delta: delta::encode(changes, Vec::new()),
        audit_digest: [0; 32],
    }
}

fn applied(deltas: &[Vec<Change>]) -> View {
    deltas
        .iter()
        .zip(1..)
        .fold(view(), |view, (changes, revision)| {
            view.apply(&frame(revision, changes))
                .expect("a dense log applies")
        })
}

fn revoke(serials: &[u64]) -> Change {
    Change::Revoke {
        credential: CredentialKind::Session,
        serials: serials.iter().copied().map(Serial).collect(),
    }
}

fn cut(scope: Scope, exempt: Option<u64>) -> Change {
    Change::Cut {
        credential: CredentialKind::Session,
        scope,
        exempt: exempt.map(Serial),
    }
}

fn subject(serial: u64, opened: u64) -> Subject {
    Subject {
        serial: Serial(serial),
        user: UserSerial(5),
        tenant: TenantSerial(3),
        opened: Revision(opened),
    }
}

const SESSION: CredentialKind = CredentialKind::Session;

proptest! {
    #[test]
    fn a_merged_cutoff_means_what_all_of_them_mean(cutoffs in cutoffs(), opened in 0_u64..9, serial in 1_u64..5) {
        let covers = merged(&cutoffs).covers(Revision(opened), Serial(serial));
        prop_assert_eq!(covers, covered_by_any(&cutoffs, opened, serial));
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(a in cutoffs(), b in cutoffs(), c in cutoffs()) {
        let (a, b, c) = (merged(&a), merged(&b), merged(&c));
        prop_assert_eq!(a.merge(b), b.merge(a));
        prop_assert_eq!(a.merge(b).merge(c), a.merge(b.merge(c)));
        prop_assert_eq!(a.merge(b).merge(b), a.merge(b));
    }

    #[test]
    fn a_set_holds_what_was_added_and_survives_its_encoding(
        batches in prop::collection::vec(prop::collection::vec(1_u64..1 << 40, 0..40), 0..10),
        probe in 1_u64..1 << 40,
    ) {
        let mut set = SerialSet::default();
        for batch in &batches {
            set.extend(&batch.iter().copied().map(Serial).collect::<Vec<_>>());
        }
        let decoded = SerialSet::decode(&set.encode()).expect("our own encoding");
        let all: std::collections::BTreeSet<_> = batches.concat().into_iter().collect();
        prop_assert_eq!(decoded.len(), all.len() as u64);
        prop_assert!(all.iter().all(|&serial| decoded.contains(Serial(serial)) && set.contains(Serial(serial))));
        prop_assert_eq!(decoded.contains(Serial(probe)), all.contains(&probe));
    }
}

#[test]
fn a_view_survives_its_encoding() {
    let view = applied(&[
        vec![revoke(&[10, 11, 1 << 40])],
        vec![
            cut(Scope::User(UserSerial(5)), Some(12)),
            cut(Scope::Tenant(TenantSerial(9)), None),
        ],
        vec![Change::Turn],
        vec![revoke(&[20])],
        vec![Change::Revoke {
            credential: CredentialKind::ApiKey,
            serials: vec![Serial(30)],
        }],
    ]);
    let decoded = View::decode(view.encode()).expect("our own encoding");
    assert_eq!(decoded.position(), view.position());
    assert_eq!(decoded.encode(), view.encode());
    assert!(decoded.is_revoked(SESSION, &subject(1 << 40, 0)));
    assert!(decoded.is_cut(SESSION, &subject(1, 1)));
    assert!(!decoded.is_cut(SESSION, &subject(12, 1)));
    assert!(decoded.is_revoked(CredentialKind::ApiKey, &subject(30, 0)));
    assert!(!decoded.is_revoked(SESSION, &subject(30, 0)));
}

#[test]
fn a_revoked_api_key_leaves_the_view_when_it_is_forgotten() {
    let kind = CredentialKind::ApiKey;
    let revoked = Change::Revoke {
        credential: kind,
        serials: vec![Serial(30), Serial(1 << 40)],
    };
    let view = applied(&[
        vec![revoked],
        vec![Change::Forget(vec![Serial(30), Serial(31)])],
    ]);
    assert!(!view.is_revoked(kind, &subject(30, 0)));
    assert!(view.is_revoked(kind, &subject(1 << 40, 0)));
    assert_eq!((view.entries(), view.revoked_count()), (1, 1));
    let next = frame(3, &[Change::Forget(vec![Serial(1 << 40)])]);
    let view = view.apply(&next).expect("applies");
    assert_eq!((view.entries(), view.bytes()), (0, 0));
    assert_eq!(
        View::decode(view.encode()).expect("ours").encode(),
        view.encode()
    );
}

#[test]
fn two_turns_forget_and_one_does_not() {
    let revoked = vec![revoke(&[1])];
    let signed_out = vec![cut(Scope::User(UserSerial(5)), None)];
    let once = applied(&[revoked, signed_out, vec![Change::Turn]]);
    assert!(once.is_revoked(SESSION, &subject(1, 0)) && once.is_cut(SESSION, &subject(9, 0)));
    let twice = once.apply(&frame(4, &[Change::Turn])).expect("applies");
    assert!(!twice.is_revoked(SESSION, &subject(1, 0)) && !twice.is_cut(SESSION, &subject(9, 0)));
    assert_eq!(twice.turns(), 2);
}

#[test]
fn a_session_opened_at_the_cutoff_lives_and_one_before_it_is_dead() {
    let view = applied(&[vec![], vec![cut(Scope::Tenant(TenantSerial(3)), None)]]);
    assert!(view.is_cut(SESSION, &subject(1, 1)));
    assert!(!view.is_cut(SESSION, &subject(1, 2)));
}

#[test]
fn two_users_of_one_batch_who_keep_different_sessions_keep_none() {
    let user = Scope::User(UserSerial(5));
    let view = applied(&[vec![cut(user, Some(1)), cut(user, Some(2))]]);
    assert!(view.is_cut(SESSION, &subject(1, 0)));
    assert!(view.is_cut(SESSION, &subject(2, 0)));
}

#[test]
fn a_gap_a_repetition_and_an_unknown_kind_change_nothing() {
    let view = applied(&[vec![revoke(&[1])]]);
    assert!(matches!(
        view.apply(&frame(3, &[])),
        Err(ApplyError::Gap { .. })
    ));
    assert!(matches!(
        view.apply(&frame(1, &[])),
        Err(ApplyError::Gap { .. })
    ));
    // An entry whose only field has the number 15.
    let unknown = Frame {
        delta: Bytes::from_static(&[0x0a, 0x02, 0x7a, 0x00]),
        ..frame(2, &[])
    };
    assert_eq!(
        view.apply(&unknown).err(),
        Some(ApplyError::Delta(DeltaError::UnknownKind))
    );
}

#[test]
fn the_chain_depends_on_every_part() {
    let base = view().apply(&frame(1, &[revoke(&[1])])).expect("applies");
    let other_delta = view().apply(&frame(1, &[revoke(&[2])])).expect("applies");
    let other_audit = view()
        .apply(&Frame {
            audit_digest: [1; 32],
            ..frame(1, &[revoke(&[1])])
        })
        .expect("applies");
    assert_ne!(base.position().chain, other_delta.position().chain);
    assert_ne!(base.position().chain, other_audit.position().chain);
}

fn trusted(id: &str) -> Change {
    let key = PrivateKey::generate(Algorithm::Ed25519);
    let id = KeyId::parse(id).expect("an id");
    let key = VerificationKey::new(id, key.algorithm(), key.public_bytes(), SESSION);
    Change::Trust(key.expect("a good key"))
}

#[test]
fn a_key_is_known_by_its_content_and_trusted_until_it_is_distrusted() {
    let view = applied(&[vec![trusted("k1"), trusted("k2")]]);
    let decoded = View::decode(view.encode()).expect("ours");
    let other = applied(&[vec![trusted("k1")]]);
    assert_eq!(view.trusted_keys().len(), 2);
    for key in view.trusted_keys() {
        // A key of another view lies elsewhere in memory.
        assert!(view.trusts(key) && decoded.trusts(key));
        // Another key of the same name is another key.
        assert!(!other.trusts(key));
    }
    let first = view.trusted_key("k1").expect("trusted");
    assert!(view.trusted_key("k3").is_none());

    let distrust = Change::Distrust(KeyId::parse("k1").expect("an id"));
    let next = view.apply(&frame(2, &[distrust])).expect("applies");
    assert!(next.distrusts(&first.id) && !next.trusts(first));
    assert_eq!(next.trusted_keys().len(), 1);
}

#[test]
fn entries_of_all_generations_are_counted() {
    let user = |number| cut(Scope::User(UserSerial(number)), None);
    let api_keys = |serials: &[u64]| Change::Revoke {
        credential: CredentialKind::ApiKey,
        serials: serials.iter().map(|serial| Serial(*serial)).collect(),
    };
    let view = applied(&[
        vec![revoke(&[1, 2, 3]), user(1), api_keys(&[4, 5])],
        vec![Change::Turn],
        vec![revoke(&[6, 7, 8, 9, 10]), user(2), user(3)],
    ]);
    assert_eq!(view.revoked_count(), 3 + 2 + 5);
    assert_eq!(view.entries(), 10 + 3);
}

#[test]
fn a_view_is_as_large_as_its_generations_together() {
    let user = |kind, number| Change::Cut {
        credential: kind,
        scope: Scope::User(UserSerial(number)),
        exempt: None,
    };
    let previous = vec![user(SESSION, 1)];
    let permanent = vec![
        user(CredentialKind::ApiKey, 1),
        user(CredentialKind::ApiKey, 2),
    ];
    let current = (1..5).map(|number| user(SESSION, number)).collect();
    let view = applied(&[previous, vec![Change::Turn], permanent, current]);
    assert_eq!(view.entries(), 1 + 2 + 4);
    let one = applied(&[vec![user(SESSION, 1)]]).bytes();
    assert!(one > 0);
    assert_eq!(view.bytes(), 7 * one);
}

#[test]
fn serials_and_cutoffs_both_take_room() {
    let serials = || vec![revoke(&[1, 2, 1 << 30])];
    let cutoffs = || {
        vec![
            cut(Scope::User(UserSerial(5)), None),
            cut(Scope::Tenant(TenantSerial(3)), None),
        ]
    };
    let revoked = applied(&[serials()]).bytes();
    let in_one_block = applied(&[vec![revoke(&[1, 2])]]).bytes();
    assert!(in_one_block > 0);
    assert!(revoked > in_one_block);
    let both = applied(&[serials(), cutoffs()]);
    assert_eq!(both.bytes(), revoked + applied(&[cutoffs()]).bytes());
    assert_eq!(both.entries(), 3 + 2);
}

#[test]
fn what_no_turn_forgets_is_united() {
    let kind = CredentialKind::ApiKey;
    let revoked = |serials: &[u64]| Change::Revoke {
        credential: kind,
        serials: serials.iter().copied().map(Serial).collect(),
    };
    let cut = |scope| Change::Cut {
        credential: kind,
        scope,
        exempt: None,
    };
    let one = applied(&[vec![revoked(&[1, 2]), cut(Scope::User(UserSerial(5)))]]);
    let other = applied(&[vec![
        revoked(&[2, 3, 1 << 40]),
        cut(Scope::Tenant(TenantSerial(9))),
    ]]);
    let united = one.with_permanent_of(&other);
    for serial in [1, 2, 3, 1 << 40] {
        assert!(united.is_revoked(kind, &subject(serial, 9)), "{serial}");
    }
    assert_eq!(united.revoked_count(), 4);
    let of_tenant = Subject {
        user: UserSerial(6),
        tenant: TenantSerial(9),
        ..subject(7, 0)
    };
    assert!(united.is_cut(kind, &subject(7, 0)), "by the first");
    assert!(united.is_cut(kind, &of_tenant), "by the other");
    assert!(!one.is_cut(kind, &of_tenant));

    // Each kind of cutoff is worth keeping.
    for scope in [
        Scope::User(UserSerial(5)),
        Scope::Tenant(TenantSerial(9)),
        Scope::Everyone,
    ] {
        assert!(applied(&[vec![cut(scope)]]).has_permanent(), "{scope:?}");
    }
}

#[test]
fn the_greatest_serial_survives_its_encoding() {
    let mut set = SerialSet::default();
    set.extend(&[Serial(u64::MAX), Serial(1)]);
    let decoded = SerialSet::decode(&set.encode()).expect("our own encoding");
    assert!(decoded.contains(Serial(u64::MAX)));
    assert_eq!(decoded.len(), 2);
}

#[test]
fn a_rebased_view_revokes_the_same_at_another_position() {
    let view = applied(&[vec![revoke(&[1])]]);
    let position = Position {
        incarnation: Incarnation([8; 16]),
        revision: Revision(5),
        ..view.position()
    };
    let rebased = view.rebased(position);
    assert_eq!(rebased.position(), position);
    assert!(rebased.is_revoked(SESSION, &subject(1, 0)));
}

#[test]
fn keys_that_are_revoked_or_distrusted_stay_through_all_turns() {
    assert!(!view().has_permanent());
    assert!(!applied(&[vec![revoke(&[1])]]).has_permanent());
    let revoked = Change::Revoke {
        credential: CredentialKind::ApiKey,
        serials: vec![Serial(1)],
    };
    assert!(applied(&[vec![revoked]]).has_permanent());
    let distrust = Change::Distrust(KeyId::parse("k1").expect("an id"));
    assert!(applied(&[vec![trusted("k1")], vec![distrust]]).has_permanent());
}
