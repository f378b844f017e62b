//! A bounded resource that several holders share. When it is full, the holders that filled it are refused.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The units of one resource: permits, connections, bytes.
///
/// A holder is refused if it would hold more than `each_max`, or more than is free. So one greedy holder gets at most a
/// half, two get a third each, and a holder that has nothing is refused only when nothing is free.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    max: usize,
    each_max: usize,
    held: Mutex<Held<K>>,
}

/// The held units. Only holders that hold some have an entry.
#[derive(Debug)]
struct Held<K> {
    all: usize,
    each: HashMap<K, usize>,
}

/// The bound that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Nothing is free.
    All,
    /// The holder has its share.
    Each,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    pub(crate) fn new(max: usize, each_max: usize) -> Arc<Self> {
        let held = Held {
            all: 0,
            each: HashMap::new(),
        };
        Arc::new(Self {
            max,
            each_max,
            held: Mutex::new(held),
        })
    }

    /// Takes `amount` for `holder`, until the share is dropped.
    pub(crate) fn take(self: &Arc<Self>, holder: K, amount: usize) -> Result<Share<K>, Full> {
        self.add(&holder, amount)?;
        Ok(Share {
            shares: Arc::clone(self),
            holder,
            amount,
        })
    }

    fn add(&self, holder: &K, amount: usize) -> Result<(), Full> {
        let mut held = self.lock();
        // It cannot underflow: under this lock `all` grows only by what is free.
        let free = self.max - held.all;
        if amount > free {
            return Err(Full::All);
        }

        // Compared with the units that are free before this take, so a holder has about as much as it leaves to others.
        let mine = held.each.get(holder).copied().unwrap_or_default() + amount;
        if mine > self.each_max || mine > free {
            return Err(Full::Each);
        }

        held.all += amount;
        held.each.insert(holder.clone(), mine);
        Ok(())
    }

    fn remove(&self, holder: &K, amount: usize) {
        let mut held = self.lock();
        held.all -= amount;
        if let Some(mine) = held.each.get_mut(holder) {
            *mine -= amount;
            // Without this the map would keep every address that ever connected.
            if *mine == 0 {
                held.each.remove(holder);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Units of one holder, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Clone + Eq + Hash> {
    shares: Arc<Shares<K>>,
    holder: K,
    amount: usize,
}

impl<K: Clone + Eq + Hash> Share<K> {
    /// Takes more for the same holder.
    pub(crate) fn grow(&mut self, amount: usize) -> Result<(), Full> {
        // A refusal leaves the share as it was, and `drop` gives back only the amount that was added.
        self.shares.add(&self.holder, amount)?;
        self.amount += amount;
        Ok(())
    }
}

impl<K: Clone + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        self.shares.remove(&self.holder, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(
        shares: &Arc<Shares<&'static str>>,
        holder: &'static str,
    ) -> Vec<Share<&'static str>> {
        std::iter::from_fn(|| shares.take(holder, 1).ok()).collect()
    }

    #[test]
    fn greedy_holders_leave_room_for_others() {
        let shares = Shares::new(100, usize::MAX);
        let first = take_all(&shares, "first");
        assert_eq!(first.len(), 50);
        let second = take_all(&shares, "second");
        assert_eq!(second.len(), 25);
        assert_eq!(shares.take("first", 1).err(), Some(Full::Each));
        assert!(shares.take("quiet", 1).is_ok());
    }

    #[test]
    fn a_holder_alone_gets_the_only_unit() {
        let shares = Shares::new(1, usize::MAX);
        let only = shares.take("first", 1).expect("free");
        assert_eq!(shares.take("second", 1).err(), Some(Full::All));
        drop(only);
        assert!(shares.take("second", 1).is_ok());
    }

    #[test]
    fn a_share_grows_within_its_bound_and_returns_everything() {
        let shares = Shares::new(100, 20);
        let mut share = shares.take("first", 10).expect("free");
        assert_eq!(share.grow(10), Ok(()));
        assert_eq!(share.grow(1), Err(Full::Each));
        drop(share);
        let held = shares.lock();
        assert_eq!((held.all, held.each.len()), (0, 0));
    }
}
