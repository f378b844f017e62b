//! Tests of the rows that authorities write for each other.

use super::*;
use crate::{
    feed::{
        counts::ValidatorId,
        parts::{AUTHORITY, Parts, STALENESS},
        roster::encode_roster,
    },
    store::AuthorityShare,
};

const OTHER: [u8; 16] = [2; 16];
const THIRD: [u8; 16] = [3; 16];
const MOMENT: Duration = Duration::from_micros(1);

impl Parts {
    /// The row of this authority, as the others read it.
    async fn own_row(&self) -> Option<PeerRow> {
        let rows = self.store.peers(&OTHER).await.expect("read");
        rows.into_iter().find(|row| row.authority == AUTHORITY)
    }

    async fn share(&self, authority: [u8; 16], version: u64, roster: &[RosterEntry]) {
        let share = AuthorityShare {
            name: "other".into(),
            roster_version: version,
            roster: encode_roster(roster),
            wanted: Revision(0),
            log_version: 1,
            gates_log_version: 1,
        };
        self.store.share(&authority, share).await.expect("written");
    }
}

fn row(authority: [u8; 16], beat: Option<u64>) -> PeerRow {
    PeerRow {
        authority,
        name: format!("authority {}", authority[0]),
        version: 0,
        wanted: Revision(0),
        beat,
    }
}

fn entry(instance: u64, applied: u64) -> RosterEntry {
    RosterEntry {
        validator: ValidatorId { gate: 1, instance },
        strict: true,
        max_staleness: STALENESS,
        applied: Revision(applied),
    }
}

fn nothing_written(now: Instant) -> Written {
    Written {
        progress: 0,
        wanted: Revision(0),
        next: now,
        next_statuses: now,
    }
}

#[tokio::test]
async fn an_authority_lives_for_a_time_after_each_new_beat() {
    let test = Parts::new().await;
    let peers = &test.peers;
    let start = Instant::now();
    assert!(!peers.has_live_peer(start), "there is none");

    peers.take_rows(&[row(OTHER, Some(1))], start);
    assert!(peers.has_live_peer(start + ALIVE));
    assert!(!peers.has_live_peer(start + ALIVE + MOMENT));

    let later = start + Duration::from_secs(4);
    peers.take_rows(&[row(OTHER, Some(1))], later);
    assert!(
        !peers.has_live_peer(start + ALIVE + MOMENT),
        "the same beat"
    );
    peers.take_rows(&[row(OTHER, Some(2))], later);
    assert!(peers.has_live_peer(later + ALIVE), "a new one");

    peers.take_rows(&[row(OTHER, None)], later);
    assert!(!peers.has_live_peer(later), "it has ended");
    peers.take_rows(&[row(OTHER, Some(3))], later);
    peers.take_rows(&[], later);
    assert!(!peers.has_live_peer(later), "its row is gone");
}

#[tokio::test]
async fn a_roster_is_read_when_its_version_is_another() {
    let test = Parts::new().await;
    let now = Instant::now();
    test.share(OTHER, 7, &[entry(1, 9)]).await;
    let rows = test.store.peers(&AUTHORITY).await.expect("read");
    assert_eq!(test.peers.take_rows(&rows, now), [OTHER]);
    assert_eq!(test.peers.take_rows(&rows, now), [OTHER], "not read yet");
    test.peers.read_roster(OTHER).await.expect("read");
    assert!(test.peers.take_rows(&rows, now).is_empty());
    assert_eq!(test.peers.lines(Revision(9), now).len(), 1);

    test.share(OTHER, 8, &[]).await;
    let rows = test.store.peers(&AUTHORITY).await.expect("read");
    assert_eq!(test.peers.take_rows(&rows, now), [OTHER]);
    // A row that is gone is no error: the next look drops the authority.
    test.peers
        .read_roster(THIRD)
        .await
        .expect("nothing to read");
}

#[tokio::test]
async fn what_a_dead_authority_proved_counts_until_its_last_lease_has_ended() {
    let test = Parts::new().await;
    let alive = Instant::now();
    test.share(OTHER, 1, &[entry(1, 10), entry(2, 9)]).await;
    let rows = test.store.peers(&AUTHORITY).await.expect("read");
    test.peers.take_rows(&rows, alive);
    test.peers.read_roster(OTHER).await.expect("read");
    let lease = lease_length(STALENESS);

    let lines = test.peers.lines(Revision(10), alive - MOMENT);
    let confirmed: Vec<_> = lines.iter().map(|line| line.confirmed).collect();
    assert_eq!(confirmed, [true, false]);
    let until = lines[1].accepts_until;
    assert_eq!(until, Some(alive - MOMENT + lease), "from the knowledge on");

    let lines = test.peers.lines(Revision(10), alive + lease);
    assert_eq!(lines.len(), 2);
    let until = lines[1].accepts_until;
    assert_eq!(until, Some(alive + lease), "from its last beat on");
    let later = alive + lease + MOMENT;
    assert!(test.peers.lines(Revision(10), later).is_empty());
}

#[tokio::test]
async fn only_callers_of_living_authorities_are_waited_for() {
    let test = Parts::new().await;
    let peers = &test.peers;
    assert_eq!(peers.wanted_by_peers(), Revision(0));
    let mut one = row(OTHER, Some(1));
    one.wanted = Revision(5);
    let mut next = row(THIRD, Some(1));
    next.wanted = Revision(7);
    peers.take_rows(&[one.clone(), next.clone()], Instant::now());
    assert_eq!(peers.wanted_by_peers(), Revision(7));
    let named: Vec<_> = peers.live_peers().into_iter().map(|peer| peer.1).collect();
    assert_eq!(named, ["authority 2", "authority 3"]);

    next.beat = None;
    peers.take_rows(&[one, next], Instant::now());
    assert_eq!(peers.wanted_by_peers(), Revision(5));
    assert_eq!(peers.live_peers().len(), 1);
}

#[tokio::test]
async fn a_look_counts_from_its_beginning_and_only_if_it_succeeds() {
    let test = Parts::new().await;
    let peers = &test.peers;
    assert!(peers.are_unknown(), "nobody has looked");
    let before = Instant::now();
    assert!(!peers.were_seen_after(before));
    // The receipt asked for a look: the loop does not wait for its next one.
    timeout(STALENESS, peers.needed.notified())
        .await
        .expect("woken");

    let mut written = nothing_written(before);
    peers.look(&mut written).await.expect("looked");
    assert!(!peers.are_unknown());
    assert!(peers.were_seen_after(before));
    assert!(!peers.were_seen_after(Instant::now()));
    peers.seen().failed = true;
    assert!(peers.are_unknown());
}

#[tokio::test]
async fn the_row_says_for_what_callers_wait_while_they_do() {
    let test = Parts::new().await;
    let peers = &test.peers;
    let confirmations = &peers.validators.confirmations;
    let mut written = nothing_written(Instant::now());
    peers.take_rows(&[row(OTHER, Some(1))], Instant::now());
    peers.tell(&mut written).await.expect("written");
    assert!(test.own_row().await.is_none(), "there is nothing to say");

    let waiting = confirmations.enter();
    confirmations.want(Revision(7));
    peers.tell(&mut written).await.expect("written");
    let row = test.own_row().await.expect("a row");
    assert_eq!(row.wanted, Revision(7));
    peers.tell(&mut written).await.expect("written");
    let again = test.own_row().await.expect("a row");
    assert_eq!(again.version, row.version, "nothing is new");

    drop(waiting);
    peers.tell(&mut written).await.expect("written");
    let row = test.own_row().await.expect("a row");
    assert_eq!(row.wanted, Revision(0));
}

#[tokio::test]
async fn confirmations_are_written_for_callers_of_others_and_not_too_often() {
    let test = Parts::new().await;
    let peers = &test.peers;
    let mut written = nothing_written(Instant::now());
    let mut other = row(OTHER, Some(1));
    peers.take_rows(std::slice::from_ref(&other), Instant::now());
    peers.validators.confirmations.record_progress();
    peers.tell(&mut written).await.expect("written");
    assert!(test.own_row().await.is_none(), "nobody waits for them");

    other.wanted = Revision(3);
    peers.take_rows(&[other], Instant::now());
    let begun = Instant::now();
    peers.tell(&mut written).await.expect("written");
    assert!(written.next >= begun, "a pause, and not a debt");
    let first = test.own_row().await.expect("a row").version;
    peers.tell(&mut written).await.expect("written");
    let version = test.own_row().await.expect("a row").version;
    assert_eq!(version, first, "nothing more was confirmed");

    // A large roster was just written.
    written.next = Instant::now() + STALENESS;
    peers.validators.confirmations.record_progress();
    peers.tell(&mut written).await.expect("written");
    let version = test.own_row().await.expect("a row").version;
    assert_eq!(version, first, "too early");
    written.next = Instant::now();
    peers.tell(&mut written).await.expect("written");
    assert!(test.own_row().await.expect("a row").version > first);
}

#[tokio::test]
async fn statuses_are_written_every_few_seconds() {
    let test = Parts::new().await;
    let peers = &test.peers;
    test.peers.sharing.share().await.expect("a row");
    peers.take_rows(&[row(OTHER, Some(1))], Instant::now());
    let begun = Instant::now();
    let mut written = nothing_written(begun);
    peers.tell(&mut written).await.expect("written");
    let pause = written.next_statuses.duration_since(begun);
    assert!(pause >= STATUS_INTERVAL && pause < STATUS_INTERVAL + STALENESS);
    let statuses = test.store.peer_statuses(&AUTHORITY).await.expect("read");
    assert!(statuses.is_some());
}

#[test]
fn large_rosters_are_written_less_often() {
    assert_eq!(progress_pause(0), Duration::ZERO);
    let second = usize::try_from(PROGRESS_BYTES_PER_SECOND).expect("small");
    assert_eq!(progress_pause(second), Duration::from_secs(1));
    assert_eq!(progress_pause(second / 4), Duration::from_millis(250));
}

#[tokio::test]
async fn the_row_of_an_authority_goes_when_nobody_can_accept_by_it() {
    let test = Parts::new().await;
    let peers = &test.peers;
    test.share(OTHER, 1, &[]).await;
    let rows = test.store.peers(&AUTHORITY).await.expect("read");
    let kept = lease_length(STALENESS) + DEAD_KEPT;

    peers.take_rows(&rows, Instant::now() - kept + STALENESS);
    peers.remove_dead(&rows).await.expect("looked");
    assert_eq!(test.store.peers(&AUTHORITY).await.expect("read").len(), 1);

    peers.take_rows(&[], Instant::now());
    peers.take_rows(&rows, Instant::now() - kept - MOMENT);
    peers.remove_dead(&rows).await.expect("looked");
    assert!(test.store.peers(&AUTHORITY).await.expect("read").is_empty());
}

#[tokio::test]
async fn living_authorities_are_listed_behind_this_one() {
    let test = Parts::new().await;
    for authority in [OTHER, THIRD] {
        test.share(authority, 1, &[]).await;
    }
    let ended = row(THIRD, None);
    test.peers
        .take_rows(&[row(OTHER, Some(1)), ended], Instant::now());
    let replicas = test.peers.replicas().await.expect("read");
    let listed: Vec<_> = replicas
        .iter()
        .map(|replica| (&*replica.name, replica.is_answering))
        .collect();
    assert_eq!(listed, [("own", true), ("authority 2", false)]);
}
