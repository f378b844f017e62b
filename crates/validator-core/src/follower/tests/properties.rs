//! Properties over whatever order of messages, and over every bit of a message.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;

use super::*;

const SERIALS: u64 = 12;

/// One thing that a gate may meet.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The stream ends and another authority greets, with this history at this length.
    Connect {
        history: u8,
        length: u64,
        fork: bool,
    },
    /// The authority says all of its view.
    Snapshot,
    /// It says so and is cut off in the middle.
    PartOfSnapshot,
    Revoke {
        serial: u64,
    },
    Turn,
    /// A batch that does not follow.
    Gap,
    /// A batch of a kind that is not known.
    Unknown,
    Beat,
    /// A beat of another history.
    ForeignBeat,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1_u8..14, 1_u64..4, any::<bool>())
            .prop_map(|(history, length, fork)| Event::Connect { history, length, fork }),
        4 => Just(Event::Snapshot),
        1 => Just(Event::PartOfSnapshot),
        3 => (0..SERIALS).prop_map(|serial| Event::Revoke { serial }),
        2 => Just(Event::Turn),
        1 => Just(Event::Gap),
        1 => Just(Event::Unknown),
        4 => Just(Event::Beat),
        1 => Just(Event::ForeignBeat),
    ];
    prop::collection::vec(event, 1..60)
}

/// The authority's side, which says whatever an event asks for.
struct Authority {
    view: View,
    broken: bool,
}

impl Authority {
    fn play(&mut self, follower: &mut Follower, event: Event) -> Result<(), ProtocolError> {
        let revision = self.view.position().revision.0 + 1;
        match event {
            Event::Connect {
                history: number,
                length,
                fork,
            } => {
                let views = history(number, 0, length);
                self.view = views[length as usize].clone();
                self.broken = false;
                follower.begin(FIRST);
                // An authority says so when it does not have the cursor, and sometimes when it does.
                let knows = |cursor| views.iter().any(|view| view.position() == cursor);
                let stream = follower.lines.get(FIRST).stream.as_ref();
                let fork = stream
                    .expect("a stream")
                    .cursor
                    .is_some_and(|cursor| fork || !knows(cursor));
                follower.greet(number, fork)
            }
            Event::Snapshot => follower.take_snapshot(&self.view),
            Event::PartOfSnapshot => {
                let chunks = snapshot(&self.view);
                follower.hear(Answer::SnapshotChunk(chunks[0].clone()))
            }
            Event::Revoke { serial } => self.append(follower, &revoke(serial)),
            Event::Turn => self.append(follower, &[Change::Turn]),
            Event::Gap => follower.take_delta(revision + 1, &revoke(0)),
            Event::Unknown => {
                let unknown = v1::DeltaFrame {
                    revision,
                    delta: vec![0x0a, 2, 0x7a, 0].into(),
                    audit_digest: vec![3; 32].into(),
                    ..Default::default()
                };
                follower.hear(Answer::Delta(unknown.sealed(&AnyStream)))
            }
            Event::Beat => self.beat(follower, self.view.position()),
            Event::ForeignBeat => self.beat(follower, history(99, 0, 1)[1].position()),
        }
    }

    fn append(&mut self, follower: &mut Follower, changes: &[Change]) -> Result<(), ProtocolError> {
        let revision = self.view.position().revision.0 + 1;
        self.view = self.view.apply(&frame(revision, changes)).expect("applies");
        follower.take_delta(revision, changes)
    }

    fn beat(&self, follower: &mut Follower, head: Position) -> Result<(), ProtocolError> {
        match follower.probe(FIRST, Mark::at(100, 0)) {
            Ok(Some(probe)) => follower.answer(probe.nonce, head),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn accepts(follower: &Follower) -> bool {
    matches!(
        follower.freshness(&Mark::at(100, 0)),
        Freshness::Fresh { .. }
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// I4 at the gate: a serial that was seen revoked is refused until two turns of one history have passed since the
    /// last time that any history revoked it or took another one's place.
    #[test]
    fn what_was_seen_revoked_is_not_accepted_before_two_turns(events in events()) {
        let mut follower = follower();
        let mut authority = Authority { view: history(1, 0, 1)[1].clone(), broken: true };
        // For each serial that was in force: the turns since it was revoked or the history was last replaced.
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        for event in events {
            if authority.broken && !matches!(event, Event::Connect { .. }) {
                continue;
            }
            let before = follower.position();
            let forks = follower.engine.forks.load(Ordering::Relaxed);
            let result = authority.play(&mut follower, event);
            authority.broken = result.is_err();
            if result.is_err() {
                prop_assert!(!accepts(&follower), "accepts after {result:?} without a new proof");
            }
            if follower.engine.forks.load(Ordering::Relaxed) > forks {
                seen.values_mut().for_each(|turns| *turns = 0);
            } else if follower.position() != before && matches!(event, Event::Turn) {
                seen.values_mut().for_each(|turns| *turns += 1);
                seen.retain(|_, turns| *turns < 2);
            }
            if let (Event::Revoke { serial }, true) = (event, follower.position() != before) {
                seen.insert(serial, 0);
            }
            // A snapshot may hold what was revoked before the turns that it has.
            let turned = match event {
                Event::Snapshot => authority.view.turns(),
                _ => 0,
            };
            for serial in 0..200 {
                if follower.refuses(serial) && turned < 2 {
                    seen.entry(serial).or_insert(turned);
                }
            }
            if accepts(&follower) {
                for serial in seen.keys() {
                    prop_assert!(follower.refuses(*serial), "{serial} is accepted again after {event:?}");
                }
            }
        }
    }
}

/// A message of a stream, and what the gate knows when it comes.
fn script(follower: &mut Follower) -> Vec<Answer> {
    let views = history(1, 0, 3);
    follower.begin(FIRST);
    let welcome = v1::WatchWelcome {
        incarnation: vec![1; 16].into(),
        ..Default::default()
    };
    let mut script = vec![Answer::Welcome(welcome.sealed(&follower.stream_id(FIRST)))];
    let chunks = snapshot(&views[1]);
    script.extend(chunks.into_iter().map(Answer::SnapshotChunk));
    for revision in 2..=3 {
        let frame = frame(revision, &revoke(revision));
        script.push(Answer::Delta((&frame).into()));
    }
    script
}

fn flipped(answer: &Answer, bit: usize) -> Option<Answer> {
    let whole = v1::WatchResponse {
        message: Some(answer.clone()),
    };
    let mut bytes = whole.encode_to_vec();
    *bytes.get_mut(bit / 8)? ^= 1 << (bit % 8);
    // What cannot be decoded ends the stream before it gets here.
    v1::WatchResponse::decode(&bytes[..]).ok()?.message
}

fn bits(answer: &Answer) -> usize {
    let whole = v1::WatchResponse {
        message: Some(answer.clone()),
    };
    whole.encoded_len() * 8
}

/// What checks see: the revision, which of the serials are refused, and whether anything is accepted.
fn verdicts(follower: &Follower) -> (Option<Position>, Vec<bool>, bool) {
    let refused = (0..10).map(|serial| follower.refuses(serial)).collect();
    (follower.position(), refused, accepts(follower))
}

#[test]
fn an_answer_with_any_bit_flipped_ends_the_stream_and_changes_no_verdict() {
    let length = script(&mut follower()).len();
    let mut damaged_count = 0;
    for index in 0..length {
        for bit in 0..bits(&script(&mut follower())[index]) {
            let mut follower = follower();
            let script = script(&mut follower);
            let Some(damaged) = flipped(&script[index], bit) else {
                continue;
            };
            for answer in &script[..index] {
                follower.hear(answer.clone()).expect("as it was sent");
            }
            let before = verdicts(&follower);
            if damaged == script[index]
                || matches!(
                    damaged,
                    Answer::Confirm(_) | Answer::Drain(_) | Answer::Queued(_)
                )
            {
                continue;
            }
            damaged_count += 1;
            let result = follower.hear(damaged.clone());
            assert!(result.is_err(), "{damaged:?} was taken");
            assert_eq!(verdicts(&follower), before, "{damaged:?}");
        }
    }
    assert!(damaged_count > 1_000);
}

#[test]
fn a_beat_with_any_bit_flipped_proves_nothing() {
    let prepared = || {
        let mut follower = follower();
        for answer in script(&mut follower) {
            follower.hear(answer).expect("as it was sent");
        }
        let probe = follower
            .probe(FIRST, Mark::at(100, 0))
            .expect("a stream")
            .expect("a probe");
        let beat = v1::WatchBeat {
            nonce: probe.nonce,
            head: follower.position().map(Into::into),
            database_time: Some((SystemTime::UNIX_EPOCH + Duration::from_micros(5)).into()),
            ..Default::default()
        };
        let beat = Answer::Beat(beat.sealed(&follower.stream_id(FIRST)));
        (follower, beat)
    };
    let (mut follower, beat) = prepared();
    follower.hear(beat.clone()).expect("as it was sent");
    assert!(accepts(&follower));
    for bit in 0..bits(&beat) {
        let (mut follower, beat) = prepared();
        let Some(damaged) = flipped(&beat, bit) else {
            continue;
        };
        if damaged == beat {
            continue;
        }
        let _ = follower.hear(damaged.clone());
        assert!(!accepts(&follower), "{damaged:?} proved something");
    }
}
