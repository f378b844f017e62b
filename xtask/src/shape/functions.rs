//! Functions: the tokens of each, and the ratio of combinators to control flow.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Attribute, Block, Expr, ExprMethodCall, ImplItemFn, ItemFn, ItemMod, Local, Signature,
    TraitItemFn,
    visit::{self, Visit},
};

use super::{Source, per};

/// Methods that take a function and stand for an `if`, a `match` or a loop.
const COMBINATORS: [&str; 34] = [
    "all",
    "and_then",
    "any",
    "chain",
    "filter",
    "filter_map",
    "find",
    "find_map",
    "flat_map",
    "flatten",
    "fold",
    "for_each",
    "inspect",
    "inspect_err",
    "is_none_or",
    "is_some_and",
    "map",
    "map_err",
    "map_or",
    "map_or_else",
    "map_while",
    "max_by_key",
    "min_by_key",
    "ok_or_else",
    "or_else",
    "partition",
    "position",
    "scan",
    "skip_while",
    "take_while",
    "then",
    "try_fold",
    "try_for_each",
    "unwrap_or_else",
];

/// The functions of some files.
#[derive(Default)]
pub(super) struct Functions {
    /// Tokens of each signature and body, with the name of the function.
    sizes: Vec<(usize, String)>,
    combinators: usize,
    control_flow: usize,
    /// The place and the name of each closure that `let` binds.
    let_closures: Vec<String>,
    file: String,
}

impl Functions {
    pub(super) fn of(sources: &[Source]) -> Self {
        let mut functions = Self::default();
        for source in sources {
            functions.file = source.path.display().to_string();
            functions.visit_file(&source.syntax);
        }
        functions.sizes.sort_unstable();
        functions
    }

    pub(super) fn print(&self) {
        let count = self.sizes.len();
        let size_at = |share: usize| self.sizes[(count - 1) * share / 100].0;
        println!("functions                           {count:>7}");
        println!("tokens of a function, median        {:>7}", size_at(50));
        println!("tokens of a function, p90           {:>7}", size_at(90));
        println!("tokens of a function, most          {:>7}", size_at(100));
        println!(
            "combinators per control flow        {:>7.2}",
            per(self.combinators, self.control_flow, 1.0)
        );
        println!(
            "let closures per 1,000 functions    {:>7.1}",
            per(self.let_closures.len(), count, 1000.0)
        );
    }

    pub(super) fn print_longest(&self, count: usize) {
        println!("the longest functions:");
        for (tokens, name) in self.sizes.iter().rev().take(count) {
            println!("{tokens:>7} {name}");
        }
    }

    pub(super) fn print_let_closures(&self) {
        println!("closures that `let` binds:");
        for name in &self.let_closures {
            println!("  {name}");
        }
    }

    fn add(&mut self, signature: &Signature, block: &Block) {
        let tokens =
            count_tokens(signature.to_token_stream()) + count_tokens(block.to_token_stream());
        let name = &signature.ident;
        self.sizes.push((tokens, format!("{} {name}", self.file)));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_expr(&mut self, expression: &'ast Expr) {
        match expression {
            Expr::If(_) | Expr::Match(_) | Expr::ForLoop(_) | Expr::While(_) | Expr::Loop(_) => {
                self.control_flow += 1;
            }
            _ => {}
        }
        visit::visit_expr(self, expression);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if COMBINATORS.contains(&call.method.to_string().as_str()) {
            self.combinators += 1;
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        if let Some(init) = &local.init
            && matches!(*init.expr, Expr::Closure(_))
        {
            let name = local.pat.to_token_stream();
            self.let_closures.push(format!("{} {name}", self.file));
        }
        visit::visit_local(self, local);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test")
    })
}

/// Counts tokens; a pair of brackets is two.
fn count_tokens(stream: TokenStream) -> usize {
    let mut count = 0;
    for tree in stream {
        count += match tree {
            TokenTree::Group(group) => 2 + count_tokens(group.stream()),
            _ => 1,
        };
    }
    count
}
