//! The order of the log: two authorities append, and a reader follows what is committed.

use stateright::Property as Checked;

use crate::{Property, Rule};

/// The most revisions that are given out.
const REVISIONS_MAX: u8 = 4;

/// The model, without one rule or with all.
#[derive(Clone, Debug)]
pub struct Model {
    without: Option<Rule>,
}

impl Model {
    /// The model with all rules.
    #[must_use]
    pub fn whole() -> Self {
        Self { without: None }
    }

    /// The model without a rule.
    #[must_use]
    pub fn without(rule: Rule) -> Self {
        Self {
            without: Some(rule),
        }
    }

    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

/// The head row, the transactions under way, and what a reader of the tail has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The last revision that was given out and not taken back.
    given: u8,
    /// The revision that each authority's transaction has, while it is under way.
    open: [Option<u8>; 2],
    /// The revisions that are committed, in the order of their commits.
    committed: Vec<u8>,
    /// The revisions that the reader has been shown, in order.
    read: Vec<u8>,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// An authority advances the head in its transaction.
    Advance(usize),
    /// Its transaction commits.
    Commit(usize),
    /// Its transaction fails.
    RollBack(usize),
    /// The reader asks for what follows the last revision that it has seen.
    Read,
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for authority in 0..2 {
            match state.open[authority] {
                Some(_) => {
                    actions.extend([Action::Commit(authority), Action::RollBack(authority)]);
                }
                None => actions.push(Action::Advance(authority)),
            }
        }
        actions.push(Action::Read);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Advance(authority) => {
                // The lock on the head's row lasts until the transaction ends.
                let is_locked = state.open.iter().any(Option::is_some);
                if self.keeps(Rule::CommitOrderIsRevisionOrder) && is_locked {
                    return None;
                }
                if state.given == REVISIONS_MAX {
                    return None;
                }
                next.given += 1;
                next.open[authority] = Some(next.given);
            }
            Action::Commit(authority) => next.committed.extend(next.open[authority].take()),
            Action::RollBack(authority) => {
                next.open[authority] = None;
                // The row is as it was. A sequence would have a gap instead.
                if self.keeps(Rule::CommitOrderIsRevisionOrder) {
                    next.given -= 1;
                }
            }
            Action::Read => {
                let seen = state.read.last().copied().unwrap_or(0);
                let mut news = state.committed.clone();
                news.retain(|revision| *revision > seen);
                news.sort_unstable();
                next.read.extend(news);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Checked<Self>> {
        vec![
            Checked::always(Property::Complete.name(), |_, state: &State| {
                let Some(seen) = state.read.last() else {
                    return true;
                };
                let mut owed = state.committed.clone();
                owed.retain(|revision| revision <= seen);
                owed.sort_unstable();
                owed == state.read
            }),
            Checked::sometimes("the reader has read all", |_, state: &State| {
                state.read.len() == usize::from(REVISIONS_MAX)
            }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{counterexample, exhaust};

    #[test]
    fn a_reader_of_the_tail_misses_nothing() {
        exhaust("ordering", Model::whole());
    }

    #[test]
    fn without_a_locked_head_a_reader_skips_a_late_commit() {
        let rule = Rule::CommitOrderIsRevisionOrder;
        counterexample(Model::without(rule), rule.protects());
    }
}
