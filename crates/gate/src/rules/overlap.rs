//! Rules that take each other's requests.

use http::Method;

use super::{error::RulesError, ruling::Ruling};

/// Checks that each rule can decide, and that no two rules with the same host and path take turns at some methods.
pub(crate) fn check(rules: &[Ruling]) -> Result<(), RulesError> {
    for (position, later) in rules.iter().enumerate() {
        for earlier in &rules[..position] {
            check_pair(position, earlier, later)?;
        }
    }
    Ok(())
}

fn check_pair(position: usize, earlier: &Ruling, later: &Ruling) -> Result<(), RulesError> {
    if !earlier.host.covers(&later.host) || !earlier.path.covers(&later.path) {
        return Ok(());
    }
    if covers_methods(&earlier.methods, &later.methods) {
        return Err(RulesError::new(
            format!("rules[{position}].path"),
            format!(
                "never decides, because {earlier} matches all of its requests: remove one of the two, or put the \
                 narrower one first"
            ),
        ));
    }
    if let Some(method) = find_contradiction(earlier, later) {
        return Err(RulesError::new(
            format!("rules[{position}].methods"),
            format!("contradicts {earlier}, which decides {method} of the same host and path"),
        ));
    }
    Ok(())
}

/// Finds a method of two rules about the same host and path.
fn find_contradiction<'a>(earlier: &Ruling, later: &'a Ruling) -> Option<&'a Method> {
    // Only of the same place: a narrower rule before a wider one is the usual way to make an
    // exception.
    if !later.host.covers(&earlier.host) || !later.path.covers(&earlier.path) {
        return None;
    }
    // A rule for all other methods of the place is a rule for the rest, not a contradiction.
    if covers_methods(&later.methods, &earlier.methods) {
        return None;
    }
    let mut methods = later.methods.iter();
    methods.find(|method| earlier.methods.contains(method))
}

/// Returns whether the first list has every method of the second one. An empty list has all methods.
fn covers_methods(one: &[Method], other: &[Method]) -> bool {
    if one.is_empty() {
        return true;
    }
    !other.is_empty() && other.iter().all(|method| one.contains(method))
}
