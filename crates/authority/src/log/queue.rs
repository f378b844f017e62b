//! A queue before the log: fair between tenants, revocations first, and bounded for each tenant and caller.
//!
//! It is a pure data structure, which reads no clock and waits for nothing.
//!
//! **Between sources** (tenants, the operator, the authority itself) it is a start-time fair queue. Each source has a
//! virtual time, which an entry advances by its weight. The source with the least virtual time is served next. A source
//! that was idle joins at the virtual time of the entry served last. So it is served soon, but gets no credit for the
//! time in which it had no entries. A source that becomes empty keeps its virtual time while others wait. Without that it
//! would be new, and first, with each entry.
//!
//! **Within a source** revocations go before other changes. Every [`OLDEST_EVERY`]th entry is the oldest of any kind, so
//! that none starves.
//!
//! **Bounds.** An entry of a tenant or caller that has filled its bound is refused. When the whole queue is full, the
//! source with the most entries loses its newest one.

use std::collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry};

use portcullis_contract::id::TenantId;

use crate::domain::{self, Cause, Mutation};

/// The most targets of a small entry.
const SMALL_TARGETS_MAX: usize = 16;

/// One in this many entries of a source is its oldest.
const OLDEST_EVERY: u32 = 8;

/// The weight of an entry apart from its targets: its share of the transaction.
// Without it a tenant could send many entries of one target each for the price of one large entry.
const ENTRY_WEIGHT: u64 = 4;

/// The most sources without entries whose virtual time is kept.
const RESTING_MAX: usize = 4_096;

/// The source of an entry, whose share of the log it uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Source {
    /// The authority's own work: turns, audit events, sessions that are idle.
    Authority,
    /// The operator's changes of the whole installation.
    Installation,
    /// A tenant's changes.
    Tenant(TenantId),
}

/// The facts about an entry by which the queue orders and bounds it.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) source: Source,
    /// The caller whose quota the entry uses.
    pub(super) caller: String,
    /// The number of sessions or users that the entry names, at least 1.
    pub(super) targets: usize,
    /// True if the entry ends anything.
    pub(super) revokes: bool,
}

impl Ticket {
    /// Makes the ticket of an entry.
    pub(super) fn of(entry: &domain::Entry) -> Self {
        Self {
            source: source_of(entry),
            caller: caller_of(entry),
            targets: entry.mutation.targets().max(1),
            revokes: entry.mutation.revokes(),
        }
    }

    fn weight(&self) -> u64 {
        ENTRY_WEIGHT + self.targets as u64
    }

    /// Returns true if the entry is one of the large ones, which have a queue and an appender of their own.
    pub(super) fn is_large(&self) -> bool {
        self.targets > SMALL_TARGETS_MAX
    }

    fn class(&self) -> usize {
        // Somebody waits for a revocation, and an attacker uses the session meanwhile.
        usize::from(!self.revokes)
    }
}

/// The source of an entry. Sessions that the sweep ends count for the authority: a tenant whose idle sessions are many
/// must not wait behind them with its own sign-outs.
fn source_of(entry: &domain::Entry) -> Source {
    let by_authority = entry.actor.is_authority();
    let is_swept = matches!(
        entry.mutation,
        Mutation::RevokeSessions {
            cause: Cause::Idle | Cause::Policy,
            ..
        }
    );
    match entry.mutation.tenant() {
        Some(tenant) if !(by_authority && is_swept) => Source::Tenant(tenant.clone()),
        _ if by_authority => Source::Authority,
        _ => Source::Installation,
    }
}

/// The caller whose quota an entry uses: the service through which a user acts, or else the actor.
fn caller_of(entry: &domain::Entry) -> String {
    let actor = &entry.actor;
    if !actor.via.is_empty() {
        return actor.via.clone();
    }
    // User ids are unique only within a tenant.
    if actor.name.starts_with("user:") || actor.is_authority() {
        let tenant = entry.mutation.tenant().map_or("", TenantId::as_str);
        return format!("{} {tenant}", actor.name);
    }
    actor.name.clone()
}

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Entries of all sources.
    pub(super) entries_max: usize,
    /// Entries of one source.
    pub(super) source_entries_max: usize,
    /// Targets of all entries of one caller. The only entry of a caller always fits.
    pub(super) caller_targets_max: usize,
}

/// The bound that refused an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The whole queue is full, and no other source has more entries in it.
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
    /// The virtual times of sources without entries.
    resting: HashMap<Source, u64>,
    /// The targets of each caller's entries.
    callers: HashMap<String, usize>,
    /// The virtual time of the entry that was served last.
    now: u64,
    len: usize,
    /// The number of entries so far. It orders entries by age.
    arrivals: u64,
}

/// The virtual time of a source, the arrival with which it joined (which decides between equal times), and the source.
type Turn = (u64, u64, Source);

/// The entries of one source.
struct Waiting<T> {
    time: u64,
    joined: u64,
    served: u32,
    /// The entries of each class, oldest first.
    classes: [VecDeque<Item<T>>; 2],
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
        if self.served % OLDEST_EVERY == OLDEST_EVERY - 1 {
            return self.oldest_class();
        }
        self.classes.iter().position(|class| !class.is_empty())
    }

    /// The class of the oldest entry.
    fn oldest_class(&self) -> Option<usize> {
        let mut oldest: Option<(u64, usize)> = None;
        for (class, entries) in self.classes.iter().enumerate() {
            let Some(first) = entries.front() else {
                continue;
            };
            if oldest.is_none_or(|(arrival, _)| first.arrival < arrival) {
                oldest = Some((first.arrival, class));
            }
        }
        oldest.map(|(_, class)| class)
    }

    fn next(&self) -> Option<&Item<T>> {
        self.classes[self.next_class()?].front()
    }

    fn pop(&mut self) -> Option<Item<T>> {
        let class = self.next_class()?;
        self.served = self.served.wrapping_add(1);
        self.classes[class].pop_front()
    }

    /// Removes the newest entry.
    fn pop_newest(&mut self) -> Option<Item<T>> {
        // Overload sheds the newest work: older entries have waited longer and are served sooner.
        let newest = self
            .classes
            .iter_mut()
            .max_by_key(|class| class.back().map(|item| item.arrival))?;
        newest.pop_back()
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
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry. If the queue is full, returns the entry that loses its place to it.
    ///
    /// # Errors
    /// The bound that the entry's tenant or caller has filled.
    pub(super) fn push(&mut self, ticket: Ticket, value: T) -> Result<Option<T>, Full> {
        // The source's own bound comes first: a tenant that floods the log is refused long before others notice.
        let of_source = self.sources.get(&ticket.source).map_or(0, Waiting::len);
        if of_source >= self.bounds.source_entries_max {
            return Err(Full::Source);
        }
        let of_caller = self.callers.get(&ticket.caller).copied().unwrap_or(0);
        // The only entry of a caller fits however large it is, or a large sign-out could never be made.
        if of_caller > 0 && of_caller + ticket.targets > self.bounds.caller_targets_max {
            return Err(Full::Caller);
        }
        let mut evicted = None;
        if self.len >= self.bounds.entries_max {
            evicted = Some(self.evict(of_source)?);
        }
        self.insert(ticket, value);
        Ok(evicted)
    }

    fn insert(&mut self, ticket: Ticket, value: T) {
        self.arrivals += 1;
        self.len += 1;
        *self.callers.entry(ticket.caller.clone()).or_insert(0) += ticket.targets;

        let waiting = match self.sources.entry(ticket.source.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                // A source that rests ahead of others stays ahead: it has had its share already.
                let rested = self.resting.remove(&ticket.source).unwrap_or(0);
                let waiting = Waiting::new(self.now.max(rested), self.arrivals);
                self.turns.insert(waiting.turn(&ticket.source));
                new.insert(waiting)
            }
        };
        let class = ticket.class();
        waiting.classes[class].push_back(Item {
            arrival: self.arrivals,
            value,
            ticket,
        });
    }

    /// Removes the newest entry of the source with the most, if that is not the one that asks.
    fn evict(&mut self, of_source: usize) -> Result<T, Full> {
        // Equal lengths are decided by the source, and not by the order of a hash map, so a test
        // can repeat a run.
        let longest = self
            .sources
            .iter()
            .max_by_key(|(source, waiting)| (waiting.len(), *source));
        let (source, waiting) = longest.ok_or(Full::Queue)?;
        // With one entry less it must still have as many as the other will have, or two sources would evict in turns.
        if waiting.len() <= of_source + 1 {
            return Err(Full::Queue);
        }
        let source = source.clone();
        let waiting = self.sources.get_mut(&source).ok_or(Full::Queue)?;
        let item = waiting.pop_newest().ok_or(Full::Queue)?;
        self.forget(&item);
        Ok(item.value)
    }

    /// Takes the next batch: entries of at most `targets_max` targets together, in turns between the sources. An entry
    /// with more targets is a batch of its own. Entries that are not `wanted` any more are dropped.
    pub(super) fn take(
        &mut self,
        entries_max: usize,
        targets_max: usize,
        wanted: impl Fn(&T) -> bool,
    ) -> Vec<T> {
        let mut batch = Vec::new();
        let mut targets = 0;
        while batch.len() < entries_max {
            let Some((source, size)) = self.next_wanted(&wanted) else {
                break;
            };
            // It is the first of the next batch.
            if !batch.is_empty() && targets + size > targets_max {
                break;
            }
            targets += size;
            batch.extend(self.serve(&source));
        }
        batch
    }

    /// The source whose turn it is, and the targets of its next entry.
    fn next_wanted(&mut self, wanted: impl Fn(&T) -> bool) -> Option<(Source, usize)> {
        loop {
            let (_, _, source) = self.turns.first()?.clone();
            let next = self.sources.get(&source)?.next()?;
            if wanted(&next.value) {
                return Some((source, next.ticket.targets));
            }
            self.drop_next(&source);
        }
    }

    /// Removes the next entry of a source, and charges the source for it.
    fn serve(&mut self, source: &Source) -> Option<T> {
        let waiting = self.sources.get_mut(source)?;
        let item = waiting.pop()?;
        self.now = waiting.time;
        // `turns` is ordered by time, so the source has to leave it before its time changes.
        self.turns.remove(&waiting.turn(source));
        waiting.time += item.ticket.weight();
        self.turns.insert(waiting.turn(source));
        self.forget(&item);
        Some(item.value)
    }

    /// Removes the next entry of a source without a charge.
    fn drop_next(&mut self, source: &Source) {
        let Some(waiting) = self.sources.get_mut(source) else {
            return;
        };
        // Nothing is appended for it, so the source does not pay.
        if let Some(item) = waiting.pop() {
            self.forget(&item);
        }
    }

    /// Gives back the share of the bounds that an entry took, and forgets its source if that was its last.
    fn forget(&mut self, item: &Item<T>) {
        self.len -= 1;
        if let Some(targets) = self.callers.get_mut(&item.ticket.caller) {
            *targets -= item.ticket.targets;
            // Without this the map would keep every user that ever changed something.
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

    /// Keeps the virtual time of a source without entries while other sources wait.
    fn rest(&mut self, source: &Source, time: u64) {
        if self.len == 0 {
            // Nobody waits, so nobody is owed a turn: all sources begin anew.
            self.now = self.now.max(time);
            self.resting.clear();
            return;
        }
        if self.resting.len() >= RESTING_MAX {
            // A source that is not ahead would join at `now` anyway.
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
