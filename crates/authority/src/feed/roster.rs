//! The row that an authority writes for the others: its validators with their applied revisions, and their status for
//! operators.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_contract::position::Revision;
use prost::Message;

use super::{
    counts::ValidatorId,
    gate::{Gate, ValidatorMode, ValidatorStatus},
};

/// The most statuses that are written. Rosters are as long as they are, because receipts need all of them.
const STATUSES_MAX: usize = 10_000;

/// One validator that may accept by an authority's proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RosterEntry {
    pub(super) validator: ValidatorId,
    pub(super) strict: bool,
    pub(super) max_staleness: Duration,
    pub(super) applied: Revision,
}

#[derive(Clone, PartialEq, Message)]
struct RosterMessage {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<EntryMessage>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct EntryMessage {
    #[prost(fixed64, tag = "1")]
    gate: u64,
    #[prost(fixed64, tag = "2")]
    instance: u64,
    #[prost(bool, tag = "3")]
    best_effort: bool,
    #[prost(uint64, tag = "4")]
    staleness_micros: u64,
    #[prost(uint64, tag = "5")]
    applied: u64,
}

/// Encodes a roster.
pub(super) fn encode_roster(roster: &[RosterEntry]) -> Vec<u8> {
    let mut message = RosterMessage::default();
    for entry in roster {
        message.entries.push(EntryMessage {
            gate: entry.validator.gate,
            instance: entry.validator.instance,
            best_effort: !entry.strict,
            staleness_micros: micros(entry.max_staleness),
            applied: entry.applied.0,
        });
    }
    message.encode_to_vec()
}

/// Decodes a roster. None: it is damaged, or of a later version.
pub(super) fn decode_roster(bytes: &[u8]) -> Option<Vec<RosterEntry>> {
    let message = RosterMessage::decode(bytes).ok()?;
    let mut roster = Vec::with_capacity(message.entries.len());
    for entry in message.entries {
        roster.push(RosterEntry {
            validator: ValidatorId {
                gate: entry.gate,
                instance: entry.instance,
            },
            strict: !entry.best_effort,
            max_staleness: Duration::from_micros(entry.staleness_micros),
            applied: Revision(entry.applied),
        });
    }
    Some(roster)
}

#[derive(Clone, PartialEq, Message)]
struct StatusesMessage {
    #[prost(message, repeated, tag = "1")]
    statuses: Vec<SharedStatus>,
}

/// The status of one stream, as it is written.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SharedStatus {
    #[prost(string, tag = "1")]
    caller: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    address: String,
    #[prost(string, tag = "4")]
    version: String,
    #[prost(bool, tag = "5")]
    best_effort: bool,
    #[prost(uint64, tag = "6")]
    staleness_micros: u64,
    #[prost(uint64, tag = "7")]
    applied: u64,
    /// Since 1970.
    #[prost(uint64, tag = "8")]
    connected_micros: u64,
    #[prost(uint64, optional, tag = "9")]
    probe_age_micros: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    freshness_micros: Option<u64>,
    #[prost(sint64, optional, tag = "11")]
    skew_micros: Option<i64>,
    #[prost(bool, tag = "12")]
    lapsed: bool,
    /// 0: the authority does not say it.
    #[prost(uint32, tag = "13")]
    log_version: u32,
}

impl SharedStatus {
    pub(super) fn of(status: &ValidatorStatus) -> Self {
        let since_1970 = status.connected_at.duration_since(UNIX_EPOCH);
        Self {
            caller: status.gate.caller.clone(),
            name: status.gate.name.clone(),
            address: status.gate.address.clone(),
            version: status.gate.version.clone(),
            best_effort: status.gate.mode != ValidatorMode::Strict,
            staleness_micros: micros(status.gate.max_staleness),
            applied: status.applied.0,
            connected_micros: micros(since_1970.unwrap_or_default()),
            probe_age_micros: status.probe_age.map(micros),
            freshness_micros: status.freshness.map(micros),
            skew_micros: status.skew_micros,
            lapsed: status.lapsed,
            log_version: status.gate.log_version,
        }
    }

    /// The status, as old as `age` now.
    fn into_status(self, age: Duration) -> ValidatorStatus {
        let older = |micros| Duration::from_micros(micros) + age;
        ValidatorStatus {
            gate: Gate {
                caller: self.caller,
                name: self.name,
                address: self.address,
                version: self.version,
                log_version: self.log_version.max(1),
                instance: None,
                mode: match self.best_effort {
                    true => ValidatorMode::BestEffort,
                    false => ValidatorMode::Strict,
                },
                max_staleness: Duration::from_micros(self.staleness_micros),
            },
            applied: Revision(self.applied),
            connected_at: connected_at(self.connected_micros),
            probe_age: self.probe_age_micros.map(older),
            freshness: self.freshness_micros.map(older),
            skew_micros: self.skew_micros,
            lapsed: self.lapsed,
        }
    }
}

/// Returns 1970 for a time beyond the range of clocks: its row is damaged.
fn connected_at(micros: u64) -> SystemTime {
    let since_1970 = Duration::from_micros(micros);
    UNIX_EPOCH.checked_add(since_1970).unwrap_or(UNIX_EPOCH)
}

/// Encodes statuses.
pub(super) fn encode_statuses(mut statuses: Vec<SharedStatus>) -> Vec<u8> {
    statuses.truncate(STATUSES_MAX);
    StatusesMessage { statuses }.encode_to_vec()
}

/// Decodes statuses that are as old as `age` now. None: they are damaged.
pub(super) fn decode_statuses(bytes: &[u8], age: Duration) -> Option<Vec<ValidatorStatus>> {
    let message = StatusesMessage::decode(bytes).ok()?;
    let statuses = message.statuses.into_iter();
    Some(statuses.map(|status| status.into_status(age)).collect())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_is_read_as_it_was_written() {
        let entry = |number| RosterEntry {
            validator: ValidatorId {
                gate: number,
                instance: u64::MAX - number,
            },
            strict: number % 2 == 0,
            max_staleness: Duration::from_millis(number),
            applied: Revision(number),
        };
        let roster: Vec<_> = (0..100).map(entry).collect();
        assert_eq!(decode_roster(&encode_roster(&roster)), Some(roster));
        assert_eq!(decode_roster(&[]), Some(Vec::new()));
        assert_eq!(decode_roster(&[0xff]), None);
    }

    #[test]
    fn statuses_are_read_as_old_as_they_are() {
        let status = ValidatorStatus {
            gate: Gate {
                caller: "gateway".into(),
                name: "one".into(),
                address: "127.0.0.1:1".into(),
                version: "1.2.3".into(),
                log_version: 1,
                instance: None,
                mode: ValidatorMode::BestEffort,
                max_staleness: Duration::from_secs(5),
            },
            applied: Revision(7),
            connected_at: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            probe_age: Some(Duration::from_millis(100)),
            freshness: None,
            skew_micros: Some(-3),
            lapsed: true,
        };
        let bytes = encode_statuses(vec![SharedStatus::of(&status)]);
        let read = decode_statuses(&bytes, Duration::from_secs(1)).expect("whole");
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].gate.name, "one");
        assert_eq!(read[0].gate.mode, ValidatorMode::BestEffort);
        assert_eq!(read[0].connected_at, status.connected_at);
        assert_eq!(read[0].probe_age, Some(Duration::from_millis(1_100)));
        assert_eq!(read[0].freshness, None);
        assert_eq!((read[0].skew_micros, read[0].lapsed), (Some(-3), true));
    }
}
