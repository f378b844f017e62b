//! Snapshots: what is decoded holds all that the bytes say, and can be encoded again.

use portcullis_contract::{
    delta::{self, Change},
    id::Serial,
    key::CredentialKind,
    position::Incarnation,
    v1,
    view::{Frame, View},
};
use prost::{Message, bytes::Bytes};
use roaring::RoaringBitmap;

use crate::{
    Seed,
    world::{VIEW, subject},
};

/// Serials of a block that are asked for one by one; counting them all is for the whole.
const SERIALS_ASKED: usize = 16;

/// Throws bytes at the decoder.
pub fn check(data: &[u8]) -> bool {
    let Ok(view) = View::decode(Bytes::copy_from_slice(data)) else {
        return false;
    };
    let snapshot = v1::Snapshot::decode(data).expect("it was decoded before");
    let encoded = view.encode();
    let again = View::decode(encoded.clone()).expect("our own encoding");
    assert_eq!(again.encode(), encoded);
    let written = v1::Snapshot::decode(encoded).expect("our own encoding");
    assert_eq!(
        without_bitmaps(written),
        without_bitmaps(snapshot.clone()),
        "something got lost"
    );
    holds_all_serials(&snapshot, &view);
    goes_on(&view);
    true
}

/// A bitmap has several encodings; all the rest has one.
fn without_bitmaps(mut snapshot: v1::Snapshot) -> v1::Snapshot {
    let generations = [
        &mut snapshot.current,
        &mut snapshot.previous,
        &mut snapshot.permanent,
    ];
    let blocks = generations
        .into_iter()
        .flatten()
        .flat_map(|generation| &mut generation.revoked);
    blocks.for_each(|block| block.roaring.clear());
    snapshot
}

fn holds_all_serials(snapshot: &v1::Snapshot, view: &View) {
    let mut count = 0;
    for (kind, generation) in [
        (CredentialKind::Session, &snapshot.current),
        (CredentialKind::Session, &snapshot.previous),
        (CredentialKind::ApiKey, &snapshot.permanent),
    ] {
        for block in generation.iter().flat_map(|generation| &generation.revoked) {
            let bitmap =
                RoaringBitmap::deserialize_from(&block.roaring[..]).expect("it was decoded before");
            let serials: Vec<_> = bitmap.iter().collect();
            assert!(serials.is_sorted_by(|a, b| a < b) && serials.len() as u64 == bitmap.len());
            count += bitmap.len();
            for low in serials.iter().take(SERIALS_ASKED).chain(serials.last()) {
                let serial = block.index << 20 | u64::from(*low);
                assert!(
                    view.is_revoked(kind, &subject(serial, u64::MAX)),
                    "{serial}"
                );
            }
        }
    }
    assert_eq!(view.revoked_count(), count);
}

/// The next batch applies, unless there can be none.
fn goes_on(view: &View) {
    let at = view.position().revision;
    let frame = Frame {
        revision: at.next(),
        delta: delta::encode(&[Change::Turn], Vec::new()),
        audit_digest: [0; 32],
    };
    match view.apply(&frame) {
        Ok(next) => assert!(next.position().revision.follows(at) && next.turns() >= view.turns()),
        Err(_) => assert_eq!(at.next(), at),
    }
}

/// Views of all sizes.
pub fn seeds() -> Vec<Seed> {
    let many = |step: u64, count: u64| {
        let serials = (1..=count).map(|n| Serial(n * step)).collect();
        let change = Change::Revoke {
            credential: CredentialKind::Session,
            serials,
        };
        let revision = VIEW.position().revision.next();
        let frame = Frame {
            revision,
            delta: delta::encode(&[change], Vec::new()),
            audit_digest: [0; 32],
        };
        VIEW.apply(&frame)
            .expect("the next batch")
            .encode()
            .to_vec()
    };
    let good = VIEW.encode().to_vec();
    vec![
        Seed::good("empty", View::empty(Incarnation([1; 16])).encode().to_vec()),
        Seed::good("spread", many(1 << 18, 40)),
        Seed::good("dense", many(1, 5_000)),
        Seed::bad("unknown-field", [&good[..], &[0xa0, 6, 1]].concat()),
        Seed::bad("truncated", &good[..good.len() / 2]),
        Seed::good("runs", runs()),
        Seed::good("good", good),
    ]
}

/// The other form of a bitmap, which we read and do not write.
fn runs() -> Vec<u8> {
    let mut snapshot = v1::Snapshot::decode(VIEW.encode()).expect("our own encoding");
    let mut bitmap: RoaringBitmap = (3..60_000).chain(70_000..70_100).collect();
    bitmap.optimize();
    let mut roaring = Vec::new();
    bitmap
        .serialize_into(&mut roaring)
        .expect("writing to memory does not fail");
    snapshot.permanent = Some(v1::Generation {
        revoked: vec![v1::SerialBlock {
            index: 2,
            roaring: roaring.into(),
        }],
        cutoffs: Vec::new(),
    });
    snapshot.encode_to_vec()
}
