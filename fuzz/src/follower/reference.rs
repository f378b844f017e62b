//! A follower that is slow and obvious. It keeps whole logs and compares them batch by batch: no view, no chain, no
//! generation.

/// The histories of the past that a gate enforces. With more it may accept nothing.
const PAST_MAX: usize = 8;
/// The turns after which a revocation is forgotten.
const TURNS_TO_FORGET: usize = 2;

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// No other batch has it.
    pub number: u8,
    pub kind: Kind,
}

/// The change of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The signing key is trusted. Every log begins so.
    Trust,
    Revoke(u64),
    /// The sessions of a user, but one.
    SignOut(u64, u64),
    SignOutEveryone,
    Turn,
}

/// A log up to some revision: a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub incarnation: u8,
    pub batches: Vec<Batch>,
}

impl Log {
    pub fn revision(&self) -> usize {
        self.batches.len()
    }

    /// The log up to an earlier revision.
    pub fn up_to(&self, revision: usize) -> Self {
        let mut log = self.clone();
        log.batches.truncate(revision);
        log
    }

    fn turns(&self) -> usize {
        let turns = self.batches.iter().filter(|batch| batch.kind == Kind::Turn);
        turns.count()
    }

    /// Whether it ends a session that was opened before everything.
    fn ends(&self, serial: u64, user: u64) -> bool {
        self.batches.iter().enumerate().any(|(index, batch)| {
            let is_about_it = match batch.kind {
                Kind::Revoke(revoked) => revoked == serial,
                Kind::SignOut(of, exempt) => of == user && exempt != serial,
                Kind::SignOutEveryone => true,
                Kind::Trust | Kind::Turn => false,
            };
            let later = Self {
                incarnation: self.incarnation,
                batches: self.batches[index..].to_vec(),
            };
            is_about_it && later.turns() < TURNS_TO_FORGET
        })
    }
}

/// Why a message ends its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It comes at the wrong time. What the line proved stays proved.
    Untimely,
    /// The stream cannot be trusted.
    Broken,
}

use Refusal::{Broken, Untimely};

/// A part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    First,
    Rest,
}

/// A stream.
struct Stream {
    cursor: Option<Log>,
    /// What it has brought.
    at: Option<Log>,
    incarnation: Option<u8>,
    is_fork: bool,
    has_snapshot: bool,
    probes: Vec<(u64, u64)>,
    beats: Vec<(Log, u64)>,
    /// The histories that had been replaced when it began.
    replaced: usize,
    failed: Option<Refusal>,
}

/// The follower.
#[derive(Default)]
pub struct Reference {
    view: Option<Log>,
    past: Vec<Log>,
    /// A history that was too many.
    has_lost: bool,
    turns_at_fork: usize,
    /// Every log that was in force since the last snapshot.
    applied: Vec<Log>,
    streams: [Option<Stream>; 2],
    /// When the probe was sent that proved each line fresh.
    proofs: [Option<u64>; 2],
    replaced: usize,
    /// A snapshot of which the first part is there.
    half: Option<Log>,
    loading: Option<usize>,
}

impl Reference {
    pub fn position(&self) -> Option<&Log> {
        self.view.as_ref()
    }

    /// The position that the hello of a line named.
    pub fn cursor(&self, line: usize) -> Option<&Log> {
        self.streams[line].as_ref()?.cursor.as_ref()
    }

    pub fn fresh_as_of(&self) -> Option<u64> {
        self.proofs.into_iter().flatten().max()
    }

    /// Whether a token is admitted, in strict mode.
    pub fn admits(&self, serial: u64, user: u64, now: u64, max_staleness: u64) -> bool {
        let is_fresh = self
            .fresh_as_of()
            .is_some_and(|proof| now - proof <= max_staleness);
        let mut enforced = self.view.iter().chain(&self.past);
        let is_ended = enforced.any(|log| log.ends(serial, user));
        self.view.is_some() && !self.has_lost && is_fresh && !is_ended
    }

    pub fn begin(&mut self, line: usize) {
        self.end(line);
        self.streams[line] = Some(Stream {
            cursor: self.view.clone(),
            at: None,
            incarnation: None,
            is_fork: false,
            has_snapshot: false,
            probes: Vec::new(),
            beats: Vec::new(),
            replaced: self.replaced,
            failed: None,
        });
    }

    pub fn end(&mut self, line: usize) {
        self.streams[line] = None;
        if self.loading == Some(line) {
            self.loading = None;
        }
    }

    /// Whether a probe is sent.
    pub fn probe(&mut self, line: usize, nonce: u64, now: u64) -> Result<bool, Refusal> {
        if self.streams[line].is_none() {
            return Ok(false);
        }
        let checked = self.stream(line).map(drop);
        self.settle_result(line, checked)?;
        let stream = self.stream(line)?;
        let can_probe = !stream.is_fork && !stream.has_snapshot && stream.at.is_some();
        if can_probe {
            stream.probes.push((nonce, now));
        }
        Ok(can_probe)
    }

    pub fn welcome(&mut self, line: usize, incarnation: u8, is_fork: bool) -> Result<(), Refusal> {
        let result = self.try_welcome(line, incarnation, is_fork);
        self.finish(line, result)
    }

    pub fn chunk(&mut self, line: usize, snapshot: &Log, part: Part) -> Result<(), Refusal> {
        let result = self.try_chunk(line, snapshot, part);
        self.finish(line, result)
    }

    /// A batch, as the last one of `log`.
    pub fn delta(&mut self, line: usize, log: &Log) -> Result<(), Refusal> {
        let result = self.try_delta(line, log);
        self.finish(line, result)
    }

    pub fn beat(&mut self, line: usize, nonce: u64, head: &Log) -> Result<(), Refusal> {
        let result = self.try_beat(line, nonce, head);
        self.finish(line, result)
    }

    /// A message with a wrong checksum.
    pub fn damaged(&mut self, line: usize) -> Result<(), Refusal> {
        let result = self.stream(line).and(Err(Broken));
        self.finish(line, result)
    }

    fn finish(&mut self, line: usize, result: Result<(), Refusal>) -> Result<(), Refusal> {
        let result = result.and_then(|()| self.stream(line).map(drop));
        self.settle_result(line, result)
    }

    fn settle_result(&mut self, line: usize, result: Result<(), Refusal>) -> Result<(), Refusal> {
        if result == Err(Broken) {
            self.proofs[line] = None;
        }
        result
    }

    fn stream(&mut self, line: usize) -> Result<&mut Stream, Refusal> {
        let replaced = self.replaced;
        match &mut self.streams[line] {
            None => Err(Broken),
            Some(stream) => match stream.failed {
                Some(refusal) => Err(refusal),
                None if stream.replaced != replaced => Err(Untimely),
                None => Ok(stream),
            },
        }
    }

    /// Whether the stream of the other line continues the history in force.
    fn other_follows(&mut self, line: usize) -> bool {
        let other = self.stream(1 - line);
        other.is_ok_and(|stream| stream.at.is_some())
    }

    fn try_welcome(&mut self, line: usize, incarnation: u8, is_fork: bool) -> Result<(), Refusal> {
        let stream = self.stream(line)?;
        let answers_hello = match &stream.cursor {
            Some(cursor) => is_fork || cursor.incarnation == incarnation,
            None => !is_fork,
        };
        if stream.incarnation.is_some() || !answers_hello {
            return Err(Broken);
        }
        stream.incarnation = Some(incarnation);
        stream.is_fork = is_fork;
        if !is_fork {
            stream.at = stream.cursor.clone();
        } else if self.other_follows(line) {
            return Err(Untimely);
        }
        Ok(())
    }

    fn try_chunk(&mut self, line: usize, snapshot: &Log, part: Part) -> Result<(), Refusal> {
        let stream = self.stream(line)?;
        stream.has_snapshot = true;
        if stream.incarnation.is_none() {
            return Err(Broken);
        }
        if self.loading == Some(1 - line) {
            return Err(Untimely);
        }
        self.loading = Some(line);
        let half = self.half.take();
        match part {
            Part::First => {
                self.half = Some(snapshot.clone());
                return Ok(());
            }
            Part::Rest if half.as_ref() != Some(snapshot) => return Err(Broken),
            Part::Rest | Part::Whole => {}
        }
        self.loading = None;
        self.adopt(line, snapshot)
    }

    fn adopt(&mut self, line: usize, snapshot: &Log) -> Result<(), Refusal> {
        let stream = self.stream(line)?;
        if stream.incarnation != Some(snapshot.incarnation) {
            return Err(Broken);
        }
        let is_fork = stream.is_fork;
        let at = stream.at.clone();
        if let Some(old) = self.view.clone() {
            if is_fork {
                if self.other_follows(line) {
                    return Err(Untimely);
                }
                self.remember(old, snapshot.turns());
            } else {
                let is_other = old.incarnation != snapshot.incarnation
                    || snapshot.revision() < old.revision()
                    || snapshot.revision() == old.revision() && *snapshot != old;
                if is_other {
                    return Err(Broken);
                }
                if at != Some(old) {
                    return Err(Untimely);
                }
            }
        }
        let replaced = self.replaced;
        if let Some(stream) = &mut self.streams[line] {
            stream.is_fork = false;
            stream.has_snapshot = false;
            stream.replaced = replaced;
            stream.at = Some(snapshot.clone());
        }
        self.applied.clear();
        self.set_view(snapshot.clone());
        Ok(())
    }

    fn remember(&mut self, old: Log, turns: usize) {
        self.turns_at_fork = turns;
        match self.past.len() < PAST_MAX {
            true => self.past.push(old),
            false => self.has_lost = true,
        }
        self.proofs = [None; 2];
        self.replaced += 1;
    }

    fn try_delta(&mut self, line: usize, log: &Log) -> Result<(), Refusal> {
        let stream = self.stream(line)?;
        if stream.incarnation.is_none() || stream.is_fork {
            return Err(Broken);
        }
        let before = stream.at.clone().ok_or(Broken)?;
        if log.revision() != before.revision() + 1 {
            return Err(Broken);
        }
        let mut at = before.clone();
        at.batches.extend(log.batches.last().cloned());

        let here = self.view.clone().ok_or(Broken)?;
        let is_next = before == here;
        let is_repeated = before.revision() < here.revision();
        if is_repeated && self.contradicts(&at) || !is_repeated && !is_next {
            return Err(Broken);
        }
        if self.loading != Some(1 - line) {
            self.half = None;
            self.loading = None;
        }
        let stream = self.stream(line)?;
        stream.at = Some(at.clone());
        stream.has_snapshot = false;
        if is_next {
            self.set_view(at);
        }
        Ok(())
    }

    /// Whether another log was in force at the same revision.
    fn contradicts(&self, at: &Log) -> bool {
        let mut same = self
            .applied
            .iter()
            .filter(|log| log.revision() == at.revision());
        same.any(|log| log.batches != at.batches)
    }

    fn set_view(&mut self, view: Log) {
        if view.turns().saturating_sub(self.turns_at_fork) >= TURNS_TO_FORGET {
            self.past.clear();
            self.has_lost = false;
        }
        self.applied.push(view.clone());
        self.view = Some(view);
        self.settle_beats();
    }

    fn try_beat(&mut self, line: usize, nonce: u64, head: &Log) -> Result<(), Refusal> {
        let stream = self.stream(line)?;
        let probe = stream.probes.iter().position(|(sent, _)| *sent == nonce);
        let (_, sent) = stream.probes.remove(probe.ok_or(Broken)?);
        stream.beats.push((head.clone(), sent));
        self.settle_beats();
        Ok(())
    }

    fn settle_beats(&mut self) {
        let Some(here) = self.view.clone() else {
            return;
        };
        for line in 0..2 {
            let Ok(stream) = self.stream(line) else {
                continue;
            };
            let beats = std::mem::take(&mut stream.beats);
            for (head, sent) in beats {
                if head.incarnation != here.incarnation {
                    self.fail(line);
                    break;
                }
                if head.revision() > here.revision() {
                    if let Some(stream) = &mut self.streams[line] {
                        stream.beats.push((head, sent));
                    }
                    continue;
                }
                if self.contradicts(&head) {
                    self.fail(line);
                    break;
                }
                let is_known = self.applied.contains(&head);
                if is_known {
                    self.proofs[line] = self.proofs[line].max(Some(sent));
                }
            }
        }
    }

    fn fail(&mut self, line: usize) {
        self.proofs[line] = None;
        if let Some(stream) = &mut self.streams[line] {
            stream.failed = Some(Broken);
        }
    }
}
