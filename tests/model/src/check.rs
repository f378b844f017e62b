//! Running a model: all of it, or until a property falls.

use std::{collections::BTreeSet, fmt::Debug, hash::Hash};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::Property;

/// The most steps that the checker may take in a model. A model that outgrows it makes `cargo xtask test` slow.
pub const STATES_MAX: usize = 6_000_000;

/// Walks every state of a model with all of its rules, and returns how many there are.
///
/// # Panics
/// When a property falls, when something that has to be reachable is not, or when there are too many states.
pub fn exhaust<M>(name: &str, model: M) -> usize
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let checked = model
        .checker()
        .threads(2)
        .target_state_count(STATES_MAX)
        .spawn_bfs()
        .join();
    let states = checked.unique_state_count();
    println!(
        "{name}: {states} states, at most {} steps deep",
        checked.max_depth()
    );
    assert!(
        checked.state_count() < STATES_MAX,
        "{name} is not exhaustive within {STATES_MAX} steps"
    );
    checked.assert_properties();
    states
}

/// Looks for a schedule that breaks `property`, and returns its steps.
///
/// # Panics
/// When there is none.
pub fn counterexample<M>(model: M, property: Property) -> Vec<M::Action>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let name = property.name();
    let checked = model
        .checker()
        .finish_when(HasDiscoveries::AllOf(BTreeSet::from([name])))
        .spawn_bfs()
        .join();
    let found = checked.discovery(name).map(Path::into_actions);
    let steps = found.unwrap_or_else(|| panic!("no schedule breaks {name}"));
    println!("{name} falls in {} steps: {steps:?}", steps.len());
    steps
}
