//! The queue before the log: fair between tenants, small entries first, bounded for each tenant and caller.
//!
//! A pure data structure: it reads no clock and waits for nothing.
//!
//! **Between sources** (tenants, the operator, the authority itself) the queue is a start-time fair queue. Each source has
//! a virtual time, which an entry advances by its weight. The source with the least virtual time is next. A source that was
//! idle joins at the time of the entry served last: it is served soon, and gets no credit for the time in which it asked
//! for nothing. A source that empties keeps its time while others wait, or it would be new, and first, with each entry.
//!
//! **Within a source** small revocations go first, then large ones, then other changes. Every [`OLDEST_EVERY`]th entry is the
//! oldest, whatever it is, so that nothing starves.
//!
//! **Bounds.** A tenant and a caller that fill their bounds are refused. When the whole queue is full, the source that
//! has the most entries loses its newest one.

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry},
    ops::Bound,
};

use portcullis_contract::id::TenantId;

use crate::domain::{self, Cause, Mutation};

/// An entry with at most this many targets is small.
const SMALL_TARGETS_MAX: usize = 16;

/// Every so many entries of a source, the oldest is next.
const OLDEST_EVERY: u32 = 8;

/// The weight of an entry beside that of its targets: its share of a transaction.
const ENTRY_WEIGHT: u64 = 4;

/// The most sources without entries whose time is kept.
const RESTING_MAX: usize = 4_096;

/// Whose share of the log an entry uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Source {
    /// The authority's own work: turns, audit events, sessions that are idle.
    Authority,
    /// The operator's changes of the whole installation.
    Installation,
    /// A tenant's changes.
    Tenant(TenantId),
}

/// What the queue knows of an entry.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) source: Source,
    /// The caller whose quota the entry uses.
    pub(super) caller: String,
    /// The number of sessions or users that the entry names, at least 1.
    pub(super) targets: usize,
    /// Whether the entry ends anything.
    pub(super) revokes: bool,
}

impl Ticket {
    /// The ticket of an entry.
    pub(super) fn of(entry: &domain::Entry) -> Self {
        let tenant = entry.mutation.tenant();
        let swept = matches!(
            entry.mutation,
            Mutation::RevokeSessions {
                cause: Cause::Idle | Cause::Policy,
                ..
            }
        );
        let by_authority = entry.actor.is_authority();
        let source = match tenant {
            Some(tenant) if !(by_authority && swept) => Source::Tenant(tenant.clone()),
            _ if by_authority => Source::Authority,
            _ => Source::Installation,
        };
        // User ids are unique within a tenant only.
        let caller = if entry.actor.via.is_empty() {
            let tenant = tenant.map_or("", |tenant| tenant.as_str());
            if entry.actor.name.starts_with("user:") || by_authority {
                format!("{} {tenant}", entry.actor.name)
            } else {
                entry.actor.name.clone()
            }
        } else {
            entry.actor.via.clone()
        };
        Self {
            source,
            caller,
            targets: entry.mutation.targets().max(1),
            revokes: entry.mutation.revokes(),
        }
    }

    fn weight(&self) -> u64 {
        ENTRY_WEIGHT + self.targets as u64
    }

    fn class(&self) -> usize {
        match (self.revokes, self.targets <= SMALL_TARGETS_MAX) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }
}

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Entries in all.
    pub(super) entries_max: usize,
    /// Entries of one source.
    pub(super) source_entries_max: usize,
    /// Targets of all entries of one caller. An entry that is the caller's only one always fits.
    pub(super) caller_targets_max: usize,
}

/// The bound that refused an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The whole queue is full, and the source has the most entries in it.
    Queue,
    /// The tenant has as many entries in the queue as it may have.
    Source,
    /// The caller has as many targets in the queue as it may have.
    Caller,
}

impl Full {
    /// The bound's name, for metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Queue => "log_queue",
            Self::Source => "log_tenant",
            Self::Caller => "log_caller",
        }
    }
}

/// Entries that wait for a batch.
pub(super) struct FairQueue<T> {
    bounds: Bounds,
    sources: HashMap<Source, Waiting<T>>,
    /// The sources that wait, by virtual time.
    turns: BTreeSet<Turn>,
    /// The times of sources without entries that are ahead of others.
    resting: HashMap<Source, u64>,
    /// The targets of each caller that wait.
    callers: HashMap<String, usize>,
    /// The virtual time of the entry that was served last.
    now: u64,
    len: usize,
    /// The number of entries so far, which orders them by age.
    arrivals: u64,
    /// Whether the last batch passed over an entry that is too large to share a batch.
    passed_over: bool,
}

/// The virtual time of a source, the arrival with which it joined, and the source.
type Turn = (u64, u64, Source);

/// The entries of one source.
struct Waiting<T> {
    time: u64,
    joined: u64,
    served: u32,
    /// By class, each oldest first.
    classes: [VecDeque<Item<T>>; 3],
}

struct Item<T> {
    ticket: Ticket,
    arrival: u64,
    value: T,
}

impl<T> Waiting<T> {
    fn new(time: u64, joined: u64) -> Self {
        Self {
            time,
            joined,
            served: 0,
            classes: std::array::from_fn(|_| VecDeque::new()),
        }
    }

    fn len(&self) -> usize {
        self.classes.iter().map(VecDeque::len).sum()
    }

    fn turn(&self, source: &Source) -> Turn {
        (self.time, self.joined, source.clone())
    }

    /// The class of the next entry.
    fn next_class(&self) -> Option<usize> {
        let waiting = (0..self.classes.len()).filter(|class| !self.classes[*class].is_empty());
        if self.served % OLDEST_EVERY == OLDEST_EVERY - 1 {
            return waiting.min_by_key(|class| self.classes[*class][0].arrival);
        }
        waiting.min()
    }

    fn next(&self) -> Option<&Item<T>> {
        self.classes[self.next_class()?].front()
    }

    fn pop(&mut self) -> Option<Item<T>> {
        let class = self.next_class()?;
        self.served = self.served.wrapping_add(1);
        self.classes[class].pop_front()
    }

    /// Takes out the newest entry.
    fn pop_newest(&mut self) -> Option<Item<T>> {
        let newest = |class: &usize| self.classes[*class].back().map(|item| item.arrival);
        let class = (0..self.classes.len()).max_by_key(newest)?;
        self.classes[class].pop_back()
    }
}

impl<T> FairQueue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            sources: HashMap::new(),
            turns: BTreeSet::new(),
            resting: HashMap::new(),
            callers: HashMap::new(),
            now: 0,
            len: 0,
            arrivals: 0,
            passed_over: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry. Returns the entry that loses its place to it, if the queue is full.
    ///
    /// # Errors
    /// The bound that the entry's tenant or caller has filled.
    pub(super) fn push(&mut self, ticket: Ticket, value: T) -> Result<Option<T>, Full> {
        let of_source = self.sources.get(&ticket.source).map_or(0, Waiting::len);
        if of_source >= self.bounds.source_entries_max {
            return Err(Full::Source);
        }
        let of_caller = self.callers.get(&ticket.caller).copied().unwrap_or(0);
        if of_caller > 0 && of_caller + ticket.targets > self.bounds.caller_targets_max {
            return Err(Full::Caller);
        }
        let mut evicted = None;
        if self.len >= self.bounds.entries_max {
            evicted = Some(self.evict(of_source)?);
        }

        self.arrivals += 1;
        self.len += 1;
        *self.callers.entry(ticket.caller.clone()).or_insert(0) += ticket.targets;
        let waiting = match self.sources.entry(ticket.source.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let rested = self.resting.remove(&ticket.source).unwrap_or(0);
                let waiting = Waiting::new(self.now.max(rested), self.arrivals);
                self.turns.insert(waiting.turn(&ticket.source));
                new.insert(waiting)
            }
        };
        let item = Item {
            arrival: self.arrivals,
            value,
            ticket,
        };
        waiting.classes[item.ticket.class()].push_back(item);
        Ok(evicted)
    }

    /// Takes the newest entry from the source that has the most, if that is not the one that asks.
    fn evict(&mut self, of_source: usize) -> Result<T, Full> {
        let longest = self
            .sources
            .iter()
            .max_by_key(|(source, waiting)| (waiting.len(), *source));
        let (source, waiting) = longest.ok_or(Full::Queue)?;
        if waiting.len() <= of_source + 1 {
            return Err(Full::Queue);
        }
        let source = source.clone();
        let waiting = self.sources.get_mut(&source).ok_or(Full::Queue)?;
        let item = waiting.pop_newest().ok_or(Full::Queue)?;
        self.forget(&item);
        Ok(item.value)
    }

    /// The next batch: entries of `targets_max` targets at most, in turns between the sources. An entry with more
    /// targets is a batch of its own: what is small does not wait for it within one batch. Entries that are not
    /// `wanted` any more are dropped.
    pub(super) fn take(
        &mut self,
        entries_max: usize,
        targets_max: usize,
        wanted: impl Fn(&T) -> bool,
    ) -> Vec<T> {
        let mut batch = Vec::new();
        let mut targets = 0;
        // Up to here no source's next entry fits any more. What is served moves on, and so stays behind it.
        let mut after = Bound::Unbounded;
        let mut passed_over = false;
        while batch.len() < entries_max && targets < targets_max {
            let next = self.turns.range((after.clone(), Bound::Unbounded)).next();
            let Some(turn) = next.cloned() else {
                break;
            };
            let source = turn.2.clone();
            let Some(next) = self.sources.get(&source).and_then(Waiting::next) else {
                break;
            };
            let (is_wanted, size) = (wanted(&next.value), next.ticket.targets);
            if !is_wanted {
                self.drop_next(&source);
                continue;
            }
            if size > targets_max && batch.is_empty() && self.passed_over {
                batch.extend(self.serve(&source));
                break;
            }
            if targets + size > targets_max {
                passed_over |= size > targets_max;
                after = Bound::Excluded(turn);
                continue;
            }
            targets += size;
            batch.extend(self.serve(&source));
        }
        // Nothing but large entries.
        if batch.is_empty()
            && let Some((_, _, source)) = self.turns.first().cloned()
        {
            batch.extend(self.serve(&source));
            passed_over = false;
        }
        self.passed_over = passed_over;
        batch
    }

    /// Takes out the next entry of a source, and charges the source for it.
    fn serve(&mut self, source: &Source) -> Option<T> {
        let waiting = self.sources.get_mut(source)?;
        let item = waiting.pop()?;
        self.now = self.now.max(waiting.time);
        self.turns.remove(&waiting.turn(source));
        waiting.time += item.ticket.weight();
        self.turns.insert(waiting.turn(source));
        self.forget(&item);
        Some(item.value)
    }

    /// Takes out the next entry of a source without a charge.
    fn drop_next(&mut self, source: &Source) {
        let Some(waiting) = self.sources.get_mut(source) else {
            return;
        };
        if let Some(item) = waiting.pop() {
            self.forget(&item);
        }
    }

    /// Gives back what an entry took of the bounds, and forgets its source when that has no other.
    fn forget(&mut self, item: &Item<T>) {
        self.len -= 1;
        if let Some(targets) = self.callers.get_mut(&item.ticket.caller) {
            *targets -= item.ticket.targets;
            if *targets == 0 {
                self.callers.remove(&item.ticket.caller);
            }
        }
        let source = &item.ticket.source;
        let Some(waiting) = self.sources.get(source) else {
            return;
        };
        if waiting.len() == 0 {
            let time = waiting.time;
            self.turns.remove(&waiting.turn(source));
            self.sources.remove(source);
            self.rest(source, time);
        }
    }

    /// Keeps the time of a source that has no entries, as long as there is anybody for whom it matters.
    fn rest(&mut self, source: &Source, time: u64) {
        if self.len == 0 {
            self.now = self.now.max(time);
            self.resting.clear();
            return;
        }
        if self.resting.len() >= RESTING_MAX {
            let now = self.now;
            self.resting.retain(|_, time| *time > now);
        }
        if self.resting.len() < RESTING_MAX {
            self.resting.insert(source.clone(), time);
        }
    }
}

#[cfg(test)]
mod tests;
