//! Many changes in one source file, each behind a switch.
//!
//! `a < b` becomes `(if crate::mutant(7) { a > b } else { a < b })`. So one build has every change, and a variable of the
//! environment says which one a test process runs with.

use std::{collections::BTreeMap, ops::Range};

use anyhow::{Context, Result};
use serde::Deserialize;
use syn::{Arm, BinOp, Expr, ExprBinary, ExprUnary, spanned::Spanned, visit, visit::Visit};

/// Names the change that a process runs with.
pub(super) const VARIABLE: &str = "PORTCULLIS_MUTANT";

/// At the begin of a crate that has switches: a change may leave something unused, or never true.
pub(super) const ALLOW: &str = "#![allow(warnings, arithmetic_overflow, unconditional_panic)]\n";

/// At the end of the crate.
pub(super) const SWITCH: &str = "
pub(crate) fn mutant(number: usize) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var(\"PORTCULLIS_MUTANT\").ok()?.parse().ok());
    *CHOSEN == Some(number)
}
";

/// A change, as `cargo mutants --list --json` describes it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Change {
    /// With the file, the line and the column.
    pub(super) name: String,
    pub(super) file: String,
    genre: Genre,
    replacement: String,
    span: Lines,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Genre {
    BinaryOperator,
    UnaryOperator,
    FnValue,
    MatchArm,
    MatchArmGuard,
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Deserialize)]
struct Lines {
    start: Place,
    end: Place,
}

/// A line and a column, both counted from one.
#[derive(Clone, Debug, Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

/// A source file with switches.
pub(super) struct Switched {
    pub(super) text: String,
    /// The numbers of the changes that no switch can make.
    pub(super) skipped: Vec<usize>,
}

/// Puts changes of one file, with their numbers, behind switches.
pub(super) fn switch(source: &str, changes: &[(usize, &Change)]) -> Result<Switched> {
    let file = syn::parse_file(source).context("the file is no Rust")?;
    let mut places = Places::default();
    places.visit_file(&file);

    let mut nodes: BTreeMap<NodeKey, Node> = BTreeMap::new();
    let mut skipped = Vec::new();
    for (number, change) in changes {
        match places.node(source, change) {
            Some((key, node)) => {
                let node = nodes.entry(key).or_insert(node);
                node.changes.push((*number, change.replacement.clone()));
            }
            None => skipped.push(*number),
        }
    }
    let nodes: Vec<_> = nodes.into_values().collect();
    let text = render(source, &nodes, 0, 0..source.len());
    Ok(Switched { text, skipped })
}

/// Code that has switches. The order is that of the text, the outer before the inner.
struct Node {
    range: Range<usize>,
    kind: Kind,
    /// The numbers and the texts that stand in place of the code.
    changes: Vec<(usize, String)>,
}

/// The start of a node, the end turned round, and its rank among those with one range.
type NodeKey = (usize, usize, u8);

#[derive(Clone)]
enum Kind {
    /// An empty range at the begin of a body, which returns something else.
    Return,
    Guard,
    Binary {
        left: Range<usize>,
        operator: Range<usize>,
        right: Range<usize>,
    },
    Unary {
        operand: Range<usize>,
    },
    /// The empty range after the pattern of an arm without a guard.
    Pattern,
    /// The guard of an arm that is taken out.
    PatternGuard,
}

impl Kind {
    fn rank(&self) -> u8 {
        match self {
            Self::Return => 0,
            Self::PatternGuard => 1,
            Self::Guard => 2,
            Self::Pattern | Self::Binary { .. } | Self::Unary { .. } => 3,
        }
    }
}

/// Where a file has code that can be changed, by the first byte of what the change names.
#[derive(Default)]
struct Places {
    binary: BTreeMap<usize, (Range<usize>, Kind)>,
    unary: BTreeMap<usize, (Range<usize>, Kind)>,
    arms: BTreeMap<usize, (Range<usize>, Kind)>,
}

impl Places {
    fn node(&self, source: &str, change: &Change) -> Option<(NodeKey, Node)> {
        let start = offset(source, &change.span.start)?;
        let (range, kind) = match change.genre {
            Genre::FnValue => (start..start, Kind::Return),
            Genre::MatchArmGuard => (start..offset(source, &change.span.end)?, Kind::Guard),
            Genre::BinaryOperator => self.binary.get(&start)?.clone(),
            Genre::UnaryOperator => self.unary.get(&start)?.clone(),
            Genre::MatchArm => self.arms.get(&start)?.clone(),
            Genre::Other => return None,
        };
        let key = (range.start, usize::MAX - range.end, kind.rank());
        // A return stands before the expression that begins at the same place, and is the shorter one.
        let key = match range.is_empty() {
            true => (key.0, 0, key.2),
            false => key,
        };
        let changes = Vec::new();
        Some((
            key,
            Node {
                range,
                kind,
                changes,
            },
        ))
    }
}

impl<'ast> Visit<'ast> for Places {
    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let operator = binary.op.span().byte_range();
        // A pattern that binds cannot stand in parentheses.
        let binds =
            matches!(binary.op, BinOp::And(_)) && (has_let(&binary.left) || has_let(&binary.right));
        if !binds {
            let kind = Kind::Binary {
                left: binary.left.span().byte_range(),
                operator: operator.clone(),
                right: binary.right.span().byte_range(),
            };
            self.binary
                .insert(operator.start, (binary.span().byte_range(), kind));
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        let range = unary.span().byte_range();
        let operand = unary.expr.span().byte_range();
        self.unary
            .insert(range.start, (range, Kind::Unary { operand }));
        visit::visit_expr_unary(self, unary);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let (start, end) = (
            arm.span().byte_range().start,
            arm.pat.span().byte_range().end,
        );
        let place = match &arm.guard {
            Some((_, guard)) => (guard.span().byte_range(), Kind::PatternGuard),
            None => (end..end, Kind::Pattern),
        };
        self.arms.insert(start, place);
        visit::visit_arm(self, arm);
    }
}

fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// The byte of a line and a column.
fn offset(source: &str, place: &Place) -> Option<usize> {
    let before: usize = source
        .split_inclusive('\n')
        .take(place.line - 1)
        .map(str::len)
        .sum();
    let line = source[before..].split_inclusive('\n').next()?;
    let column = line
        .chars()
        .take(place.column - 1)
        .map(char::len_utf8)
        .sum::<usize>();
    Some(before + column)
}

/// The text of a range, with the switches of the nodes from `first` on that are within it.
fn render(source: &str, nodes: &[Node], first: usize, range: Range<usize>) -> String {
    let mut text = String::new();
    let mut at = range.start;
    for (index, node) in nodes.iter().enumerate().skip(first) {
        // Nodes before are within a node that is rendered already.
        if node.range.start < at || node.range.end > range.end {
            continue;
        }
        text.push_str(&source[at..node.range.start]);
        let inner = |range: &Range<usize>| render(source, nodes, index + 1, range.clone());
        text.push_str(&node.render(source, inner));
        at = node.range.end;
    }
    text.push_str(&source[at..range.end]);
    text
}

impl Node {
    fn render(&self, source: &str, inner: impl Fn(&Range<usize>) -> String) -> String {
        let mut text = String::new();
        match &self.kind {
            Kind::Return => {
                for (number, value) in &self.changes {
                    text += &format!("if crate::mutant({number}) {{ return {value}; }} ");
                }
            }
            Kind::Guard => text = self.choose(str::to_owned, &inner(&self.range)),
            Kind::Binary {
                left,
                operator,
                right,
            } => {
                let (left, right) = (inner(left), inner(right));
                let operation = |operator: &str| format!("{left} {operator} {right}");
                text = self.choose(operation, &operation(&source[operator.clone()]));
            }
            Kind::Unary { operand } => {
                let (whole, operand) = (inner(&self.range), inner(operand));
                text = self.choose(|operator| format!("{operator}{operand}"), &whole);
            }
            Kind::Pattern => {
                for (number, _) in &self.changes {
                    text += &format!(" if !crate::mutant({number})");
                }
            }
            Kind::PatternGuard => text = self.choose(|_| "false".to_owned(), &inner(&self.range)),
        }
        text
    }

    /// One expression for each change, and the one of the source otherwise.
    fn choose(&self, change: impl Fn(&str) -> String, otherwise: &str) -> String {
        let mut text = "(".to_owned();
        for (number, replacement) in &self.changes {
            let changed = change(replacement);
            text += &format!("if crate::mutant({number}) {{ {changed} }} else ");
        }
        text + &format!("{{ {otherwise} }})")
    }
}

/// The numbers of the changes that an error of the compiler at a range of a switched file is about.
pub(super) fn blamed(text: &str, range: Range<usize>) -> Vec<usize> {
    let within = numbers(&text[range.clone()]);
    match within.is_empty() {
        true => numbers(&text[..range.start]).pop().into_iter().collect(),
        false => within,
    }
}

fn numbers(text: &str) -> Vec<usize> {
    let calls = text.split("crate::mutant(").skip(1);
    calls
        .filter_map(|call| call.split(')').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of the first `code` in a source of one line.
    fn change(source: &str, genre: Genre, code: &str, replacement: &str) -> Change {
        let at = source.find(code).expect("the code") + 1;
        let place = |column| Place { line: 1, column };
        Change {
            name: format!("a.rs:1:{at}: {replacement}"),
            file: "a.rs".into(),
            genre,
            replacement: replacement.into(),
            span: Lines {
                start: place(at),
                end: place(at + code.len()),
            },
        }
    }

    fn switched(source: &str, changes: &[(Genre, &str, &str)]) -> String {
        let changes: Vec<_> = changes
            .iter()
            .map(|(genre, code, replacement)| change(source, *genre, code, replacement))
            .collect();
        let numbered: Vec<_> = changes.iter().enumerate().collect();
        let switched = switch(source, &numbered).expect("it is Rust");
        assert_eq!(switched.skipped, [0; 0]);
        syn::parse_file(&switched.text).expect("it is Rust still");
        switched.text
    }

    #[test]
    fn operators_are_chosen_where_they_stand_also_within_one_another() {
        let source = "fn f() { if a + 1 < !b { g() } }";
        let changes = [
            (Genre::BinaryOperator, "<", ">"),
            (Genre::BinaryOperator, "<", "=="),
            (Genre::BinaryOperator, "+", "-"),
            (Genre::UnaryOperator, "!b", ""),
        ];
        let sum = "(if crate::mutant(2) { a - 1 } else { a + 1 })";
        let not = "(if crate::mutant(3) { b } else { !b })";
        assert_eq!(
            switched(source, &changes),
            format!(
                "fn f() {{ if (if crate::mutant(0) {{ {sum} > {not} }} else if crate::mutant(1) {{ {sum} == {not} }} \
                 else {{ {sum} < {not} }}) {{ g() }} }}"
            )
        );
    }

    #[test]
    fn a_body_returns_each_value_before_all_else() {
        let source = "fn f() -> bool { a && b }";
        let changes = [
            (Genre::BinaryOperator, "&&", "||"),
            (Genre::FnValue, "a && b", "true"),
            (Genre::FnValue, "a && b", "false"),
        ];
        assert_eq!(
            switched(source, &changes),
            "fn f() -> bool { if crate::mutant(1) { return true; } if crate::mutant(2) { return false; } \
             (if crate::mutant(0) { a || b } else { a && b }) }"
        );
    }

    #[test]
    fn an_arm_is_taken_out_by_its_guard() {
        let source = "fn f() { match a { 1 => g(), 2 if a < b => h(), _ => {} } }";
        let changes = [
            (Genre::MatchArm, "1 => g()", ""),
            (Genre::MatchArm, "2 if a < b => h()", ""),
            (Genre::MatchArmGuard, "a < b", "true"),
            (Genre::BinaryOperator, "<", ">"),
        ];
        let less = "(if crate::mutant(3) { a > b } else { a < b })";
        assert_eq!(
            switched(source, &changes),
            format!(
                "fn f() {{ match a {{ 1 if !crate::mutant(0) => g(), 2 if (if crate::mutant(1) {{ false }} else \
                 {{ (if crate::mutant(2) {{ true }} else {{ {less} }}) }}) => h(), _ => {{}} }} }}"
            )
        );
    }

    #[test]
    fn a_pattern_that_binds_has_no_switch() {
        let source = "fn f() { if let Some(a) = b && c { g() } }";
        let change = change(source, Genre::BinaryOperator, "&&", "||");
        let switched = switch(source, &[(4, &change)]).expect("it is Rust");
        assert_eq!((switched.skipped, &*switched.text), (vec![4], source));
    }

    #[test]
    fn an_error_is_blamed_on_what_it_is_within() {
        let text = "(if crate::mutant(7) { a } else if crate::mutant(8) { b } else { c })";
        let at = |code: &str| {
            let start = text.find(code).expect("the code");
            start..start + code.len()
        };
        assert_eq!(blamed(text, at("a }")), [7]);
        assert_eq!(blamed(text, at("b }")), [8]);
        assert_eq!(blamed(text, 0..text.len()), [7, 8]);
        assert_eq!(blamed("fn f() {}", 0..2), [0; 0]);
    }

    #[test]
    fn columns_count_characters_and_lines_begin_with_one() {
        let source = "ä\nöü<";
        let place = |line, column| offset(source, &Place { line, column });
        assert_eq!((place(1, 2), place(2, 3)), (Some(2), Some(7)));
        assert_eq!(VARIABLE, "PORTCULLIS_MUTANT");
        assert!(SWITCH.contains(VARIABLE));
    }
}
