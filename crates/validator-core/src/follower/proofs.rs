//! Proofs of freshness: probes that were sent, beats that wait, and the chains that beats are compared with.

use std::collections::VecDeque;

use portcullis_contract::{
    position::{Chain, Position, Revision},
    seeded::{self, Mistake},
};

use super::error::ProtocolError;
use crate::clock::Mark;

/// The most probes that may be under way. Older ones are given up.
const PROBES_MAX: usize = 64;
/// The most beats that wait for their head to be applied. Older ones are given up.
const BEATS_MAX: usize = 64;
/// The most positions that are remembered, for beats that arrive after the deltas that followed them.
const CHAINS_MAX: usize = 4096;

/// The probes and beats of one stream.
#[derive(Default)]
pub(crate) struct Proofs {
    /// The nonce of each probe, and when it was sent.
    probes: VecDeque<(u64, Mark)>,
    /// The head of each beat that is ahead of the view, and when its probe was sent.
    beats: VecDeque<(Position, Mark)>,
}

impl Proofs {
    pub(crate) fn add_probe(&mut self, nonce: u64, sent: Mark) {
        if self.probes.len() == PROBES_MAX {
            self.probes.pop_front();
        }
        self.probes.push_back((nonce, sent));
    }

    /// Takes the probe with this nonce. A probe proves something once only.
    pub(crate) fn take_probe(&mut self, nonce: u64) -> Option<Mark> {
        // Searched from the oldest: answers come in the order of the probes.
        let index = self.probes.iter().position(|(sent, _)| *sent == nonce)?;
        let (_, sent) = self.probes.remove(index)?;
        Some(sent)
    }

    pub(crate) fn add_beat(&mut self, head: Position, sent: Mark) {
        if self.beats.len() == BEATS_MAX {
            self.beats.pop_front();
        }
        self.beats.push_back((head, sent));
    }

    /// Settles the beats whose head the view has reached, and returns the newest proof: `proof` or a newer one.
    ///
    /// # Errors
    /// [`ProtocolError::Fork`] when the authority's log is not the one that was applied.
    pub(crate) fn settle(
        &mut self,
        here: Position,
        chains: &Chains,
        proof: Option<Mark>,
    ) -> Result<Option<Mark>, ProtocolError> {
        let mut newest = proof;
        // Taken out, because an error gives up the stream and all beats of it.
        for (head, sent) in std::mem::take(&mut self.beats) {
            // An authority that was restored from a backup answers with another history. Its beat proves nothing here.
            if head.incarnation != here.incarnation {
                return Err(ProtocolError::Fork);
            }
            // The view may lack revocations that were acknowledged before the probe: the beat has to wait.
            if head.revision > here.revision {
                self.beats.push_back((head, sent));
                continue;
            }
            match chains.at(head.revision) {
                Some(chain) if chain == head.chain || seeded::has(Mistake::EqualHeads) => {
                    newest = Some(newer(newest, sent));
                }
                Some(_) => return Err(ProtocolError::Fork),
                // Older than the remembered positions: it proves nothing, and the next one will.
                None => {}
            }
        }
        Ok(newest)
    }
}

pub(super) fn newer(proof: Option<Mark>, sent: Mark) -> Mark {
    match proof {
        Some(proof) if sent.since(&proof).is_zero() => proof,
        _ => sent,
    }
}

/// The chains of the positions that were applied last.
#[derive(Default)]
pub(crate) struct Chains(VecDeque<(Revision, Chain)>);

impl Chains {
    pub(crate) fn add(&mut self, position: Position) {
        if self.0.len() == CHAINS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((position.revision, position.chain));
    }

    /// Compares a position that was applied before.
    ///
    /// # Errors
    /// [`ProtocolError::Fork`] when another chain was applied at its revision.
    pub(crate) fn compare(&self, position: Position) -> Result<(), ProtocolError> {
        match self.at(position.revision) {
            Some(chain) if chain != position.chain => Err(ProtocolError::Fork),
            // What is not remembered is compared where the stream reaches the view, which always is.
            _ => Ok(()),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Searches from the newest position: beats are nearly always about it.
    fn at(&self, revision: Revision) -> Option<Chain> {
        for (known, chain) in self.0.iter().rev() {
            if *known == revision {
                return Some(*chain);
            }
        }
        None
    }
}
