//! Cursors: positions of the log as validators send them.

use portcullis_contract::{
    position::{Chain, Incarnation, Position, Revision},
    v1,
};
use prost::Message;

use crate::{Seed, world::VIEW};

/// Throws bytes at the parser.
pub fn check(data: &[u8]) -> bool {
    let Ok(cursor) = v1::Cursor::decode(data) else {
        return false;
    };
    let Ok(position) = Position::try_from(&cursor) else {
        assert!(cursor.incarnation.len() != 16 || cursor.chain.len() != 32);
        return false;
    };
    assert_eq!(v1::Cursor::from(position), cursor, "something got lost");
    assert!(position.revision.next() >= position.revision);
    assert!(!position.revision.follows(position.revision));
    assert_eq!(
        position.revision.next().follows(position.revision),
        position.revision.0 < u64::MAX
    );
    true
}

/// Good cursors at both ends, and some of wrong lengths.
pub fn seeds() -> Vec<Seed> {
    let cursor = |position: Position| v1::Cursor::from(position);
    let last = Position {
        incarnation: Incarnation([0xff; 16]),
        revision: Revision(u64::MAX),
        chain: Chain([0xff; 32]),
    };
    let good = cursor(VIEW.position());
    let short = v1::Cursor {
        incarnation: good.incarnation.slice(1..),
        ..good.clone()
    };
    let no_chain = v1::Cursor {
        chain: Default::default(),
        ..good.clone()
    };
    vec![
        Seed::good("good", good.encode_to_vec()),
        Seed::good("last", cursor(last).encode_to_vec()),
        Seed::good(
            "first",
            cursor(Position {
                revision: Revision(0),
                ..last
            })
            .encode_to_vec(),
        ),
        Seed::bad("short", short.encode_to_vec()),
        Seed::bad("no-chain", no_chain.encode_to_vec()),
    ]
}
