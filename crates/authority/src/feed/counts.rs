//! Counting validators by their lines: each stream of a validator, to any authority, says something about it.

use std::time::Instant;

use portcullis_contract::position::sha256;

use super::gate::Gate;

/// A validator: the gate that it is of, by credential and name, and the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ValidatorId {
    // First, so that the validators of one gate are neighbours in the order.
    pub(crate) gate: u64,
    pub(crate) instance: u64,
}

impl ValidatorId {
    /// The id of the validator at the other end of a stream.
    pub(super) fn of(gate: &Gate) -> Self {
        // With the length in front, no two pairs give the same bytes.
        let mut bytes = (gate.caller.len() as u64).to_be_bytes().to_vec();
        bytes.extend(gate.caller.as_bytes());
        bytes.extend(gate.name.as_bytes());
        let gate_hash = sha256(&bytes);

        // A validator can name an instance only of its own gate: the hash covers both.
        let mut instance = gate_hash.to_vec();
        match gate.instance {
            Some(id) => instance.extend(id),
            // Nothing says which streams are of one validator.
            None => instance.extend(portcullis_contract::random::<16>()),
        }
        Self {
            gate: first_u64(&gate_hash),
            instance: first_u64(&sha256(&instance)),
        }
    }
}

fn first_u64(hash: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}

/// One stream's statement about its validator and one revision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) validator: ValidatorId,
    pub(crate) strict: bool,
    /// Whether the validator has applied the revision.
    pub(crate) confirmed: bool,
    /// Until then the proofs of this stream let the validator accept without the revision.
    pub(crate) accepts_until: Option<Instant>,
}

/// The state of a validator or a gate. A later one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Confirmed,
    Lapsed,
    Unbounded,
    Pending,
}

/// The numbers of a receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) validators: u32,
    pub(crate) confirmed: u32,
    pub(crate) lapsed: u32,
    pub(crate) unbounded: u32,
    pub(crate) pending: u32,
    /// The next time at which a pending validator can lapse.
    pub(crate) next_lapse: Option<Instant>,
}

impl Counts {
    /// Counts the gates of these lines at `now`.
    pub(crate) fn of(mut lines: Vec<Line>, now: Instant) -> Self {
        let mut counts = Self::default();
        lines.sort_unstable_by_key(|line| line.validator);
        for gate in lines.chunk_by(|one, next| one.validator.gate == next.validator.gate) {
            counts.add_gate(gate, now);
        }
        counts
    }

    /// Counts the validators of one gate as one, in the worst of their states.
    fn add_gate(&mut self, lines: &[Line], now: Instant) {
        let mut worst = State::Confirmed;
        let mut is_strict = true;
        for validator in lines.chunk_by(|one, next| one.validator == next.validator) {
            worst = worst.max(self.judge(validator, now));
            is_strict &= validator.iter().all(|line| line.strict);
        }

        self.validators += 1;
        // In addition to its state: a best-effort gate that has confirmed this revision has no
        // bound for the next one.
        self.unbounded += u32::from(!is_strict);
        match worst {
            State::Confirmed => self.confirmed += 1,
            State::Lapsed => self.lapsed += 1,
            State::Pending => self.pending += 1,
            State::Unbounded => {}
        }
    }

    /// The state of one validator. Its streams feed one view, so a confirmation by one of them counts for all.
    fn judge(&mut self, lines: &[Line], now: Instant) -> State {
        // Before the mode is looked at: a validator that has applied the revision refuses in either
        // mode.
        if lines.iter().any(|line| line.confirmed) {
            return State::Confirmed;
        }
        if lines.iter().any(|line| !line.strict) {
            return State::Unbounded;
        }
        // The newest proof counts, whichever stream brought it.
        let accepts_until = lines.iter().filter_map(|line| line.accepts_until).max();
        match accepts_until {
            // At the very moment the validator may still accept: it refuses when more time has passed.
            Some(until) if until >= now => {
                self.next_lapse = Some(self.next_lapse.map_or(until, |next| next.min(until)));
                State::Pending
            }
            _ => State::Lapsed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(gate: u64, instance: u64) -> Line {
        Line {
            validator: ValidatorId { gate, instance },
            strict: true,
            confirmed: false,
            accepts_until: None,
        }
    }

    #[test]
    fn a_validator_has_confirmed_what_one_of_its_streams_has() {
        let now = Instant::now();
        let until = Some(now + Duration::from_secs(5));
        let lines = vec![
            Line {
                accepts_until: until,
                ..line(1, 1)
            },
            line(2, 1),
            Line {
                confirmed: true,
                ..line(1, 1)
            },
        ];
        let counts = Counts::of(lines, now);
        assert_eq!((counts.validators, counts.confirmed), (2, 1));
        assert_eq!((counts.lapsed, counts.pending), (1, 0));
    }

    #[test]
    fn a_gate_is_in_the_worst_state_of_its_validators() {
        let now = Instant::now();
        let until = now + Duration::from_secs(5);
        let pending = Line {
            accepts_until: Some(until),
            ..line(1, 2)
        };
        let confirmed = Line {
            confirmed: true,
            ..line(1, 1)
        };
        let counts = Counts::of(vec![confirmed, pending, line(1, 3)], now);
        assert_eq!((counts.validators, counts.pending), (1, 1));
        assert_eq!(counts.next_lapse, Some(until));

        let counts = Counts::of(vec![confirmed, pending], until + Duration::from_nanos(1));
        assert_eq!((counts.validators, counts.lapsed), (1, 1));
        assert_eq!(counts.next_lapse, None);
    }

    #[test]
    fn the_newest_proof_of_all_streams_counts() {
        let now = Instant::now();
        let later = now + Duration::from_secs(2);
        let lines = vec![
            Line {
                accepts_until: Some(now),
                ..line(1, 1)
            },
            Line {
                accepts_until: Some(later),
                ..line(1, 1)
            },
        ];
        let counts = Counts::of(lines, now + Duration::from_secs(1));
        assert_eq!(counts.next_lapse, Some(later));
    }

    #[test]
    fn best_effort_is_unbounded_and_never_awaited() {
        let now = Instant::now();
        let best_effort = Line {
            strict: false,
            accepts_until: Some(now + Duration::from_secs(5)),
            ..line(1, 1)
        };
        let counts = Counts::of(vec![best_effort], now);
        assert_eq!((counts.validators, counts.unbounded), (1, 1));
        assert_eq!((counts.pending, counts.confirmed, counts.lapsed), (0, 0, 0));

        let confirmed = Line {
            confirmed: true,
            ..best_effort
        };
        let counts = Counts::of(vec![confirmed], now);
        assert_eq!((counts.unbounded, counts.confirmed), (1, 1));
    }
}
