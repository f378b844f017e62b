//! The rule that decides about a request.

use std::borrow::Cow;

use http::Method;

use crate::{
    path::{self, PathProblem},
    pattern::PathText,
    reads::UpstreamReads,
    rules::{CompiledRules, Ruling},
};

/// Finds the first rule that matches. `path` is as the client sent it, without the query.
///
/// A path that could be read in two ways is read as the rules say, one after the other: a rule decides only if it is also
/// the first one to match the path that it reads. So no reading leads around an earlier rule.
pub(crate) fn find<'a>(
    rules: &'a CompiledRules,
    host: &str,
    method: &Method,
    path: &str,
) -> Result<&'a Ruling, PathProblem> {
    match path::read(path, &UpstreamReads::default()) {
        Ok(plain) => Ok(first_match(rules, host, method, &plain)),
        Err(problem) => find_by_reading(rules, host, method, path).ok_or(problem),
    }
}

/// Finds the rule that says how its upstream reads a path that could be read in two ways.
fn find_by_reading<'a>(
    rules: &'a CompiledRules,
    host: &str,
    method: &Method,
    path: &str,
) -> Option<&'a Ruling> {
    // The reading of the rule before, because neighbours often share one.
    let mut last: Option<(UpstreamReads, Option<Cow<'_, str>>)> = None;
    for rule in &rules.rules {
        // Such a rule refuses the path: that was the first reading.
        if rule.reads == UpstreamReads::default() {
            continue;
        }
        if last.as_ref().is_none_or(|(reads, _)| *reads != rule.reads) {
            last = Some((rule.reads, path::read(path, &rule.reads).ok()));
        }
        let Some((_, Some(read))) = &last else {
            continue;
        };
        if rule.matches(host, method, &PathText::new(read)) {
            // If an earlier rule takes this reading, it is not known which of the two its upstream
            // follows.
            let first = first_match(rules, host, method, read);
            return (first.index == rule.index).then_some(rule);
        }
    }
    None
}

fn first_match<'a>(
    rules: &'a CompiledRules,
    host: &str,
    method: &Method,
    path: &str,
) -> &'a Ruling {
    let path = PathText::new(path);
    let mut matching = rules.rules.iter();
    matching
        .find(|rule| rule.matches(host, method, &path))
        .unwrap_or(&rules.otherwise)
}
