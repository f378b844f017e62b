//! Circles: files of one crate that depend on each other.
//!
//! A file depends on another if it names an item of it: `crate::a::B`, `super::c::D`. A name that a module re-exports
//! (`pub use`) counts for the file that defines it. The declaration of a child module is no dependency.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Item, ItemMod, ItemUse, Path, UseTree, VisRestricted, Visibility,
    visit::{self, Visit},
};

use super::Source;

type ModulePath = Vec<String>;

/// Prints the circles of every crate.
pub(super) fn print(sources: &[Source]) {
    let mut by_crate: BTreeMap<String, Vec<&Source>> = BTreeMap::new();
    for source in sources {
        by_crate.entry(crate_of(source)).or_default().push(source);
    }

    let mut circles = Vec::new();
    for (name, sources) in &by_crate {
        for circle in Graph::of(sources).circles() {
            circles.push(format!("{name}: {}", circle.join(", ")));
        }
    }
    println!("circles between files               {:>7}", circles.len());
    for circle in circles {
        println!("  {circle}");
    }
}

fn crate_of(source: &Source) -> String {
    let mut parts = source.path.iter().skip(1);
    parts
        .next()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Path of a file's module from the root of its crate.
fn module_of(source: &Source) -> ModulePath {
    let mut parts: ModulePath = source
        .path
        .with_extension("")
        .iter()
        .skip(3)
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if matches!(
        parts.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        parts.pop();
    }
    parts
}

struct Graph {
    needs: BTreeMap<ModulePath, BTreeSet<ModulePath>>,
}

impl Graph {
    fn of(sources: &[&Source]) -> Self {
        let mut modules = BTreeMap::new();
        for source in sources {
            modules.insert(module_of(source), reexports(source));
        }

        let mut needs = BTreeMap::new();
        for source in sources {
            let module = module_of(source);
            let mut names = Names {
                module: &module,
                paths: Vec::new(),
            };
            names.visit_file(&source.syntax);
            let mut needed: BTreeSet<ModulePath> = BTreeSet::new();
            for path in &names.paths {
                needed.extend(resolve(path, &modules));
            }
            needed.remove(&module);
            needs.insert(module, needed);
        }
        Self { needs }
    }

    /// Returns the sets of files in which each reaches every other.
    fn circles(&self) -> Vec<Vec<String>> {
        let mut seen: BTreeSet<&ModulePath> = BTreeSet::new();
        let mut circles = Vec::new();
        for module in self.needs.keys() {
            if seen.contains(module) {
                continue;
            }
            let forward = self.reached_from(module);
            let circle: Vec<&ModulePath> = forward
                .iter()
                .copied()
                .filter(|other| self.reached_from(other).contains(module))
                .collect();
            if !circle.is_empty() {
                seen.extend(circle.iter().copied());
                circles.push(circle.iter().map(|module| name_of(module)).collect());
            }
        }
        circles
    }

    /// Returns the modules that a module depends on, directly or through others; itself only if it is in a circle.
    fn reached_from<'a>(&'a self, module: &ModulePath) -> BTreeSet<&'a ModulePath> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&ModulePath> = self.needs.get(module).into_iter().flatten().collect();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(self.needs.get(next).into_iter().flatten());
            }
        }
        reached
    }
}

fn name_of(module: &ModulePath) -> String {
    if module.is_empty() {
        "the root".into()
    } else {
        module.join("::")
    }
}

/// Finds the file that a path leads to: the deepest module in the path, or the source of that module's re-export.
fn resolve(
    path: &[String],
    modules: &BTreeMap<ModulePath, BTreeMap<String, ModulePath>>,
) -> Option<ModulePath> {
    let mut path = path.to_vec();
    // A re-export may lead to another one. The bound ends a loop of re-exports; no true chain is as long.
    for _ in 0..8 {
        let depth = (0..=path.len())
            .rev()
            .find(|depth| modules.contains_key(&path[..*depth]))?;
        let module = path[..depth].to_vec();
        let passed = path.get(depth).and_then(|name| modules[&module].get(name));
        let Some(target) = passed else {
            return Some(module);
        };
        let rest = path.split_off(depth + 1);
        path.clone_from(target);
        path.extend(rest);
    }
    None
}

/// Returns the names that a file re-exports, each with its path.
fn reexports(source: &Source) -> BTreeMap<String, ModulePath> {
    let module = module_of(source);
    let mut names = BTreeMap::new();
    for item in &source.syntax.items {
        if let Item::Use(item) = item
            && !matches!(item.vis, Visibility::Inherited)
        {
            for (name, path) in leaves(item) {
                if let Some(path) = absolute(&path, &module) {
                    names.insert(name, path);
                }
            }
        }
    }
    names
}

/// Returns each name that a `use` imports, with its path.
fn leaves(item: &ItemUse) -> Vec<(String, ModulePath)> {
    fn walk(tree: &UseTree, before: &ModulePath, found: &mut Vec<(String, ModulePath)>) {
        match tree {
            UseTree::Path(path) => {
                let mut longer = before.clone();
                longer.push(path.ident.to_string());
                walk(&path.tree, &longer, found);
            }
            UseTree::Name(name) => {
                let mut whole = before.clone();
                whole.push(name.ident.to_string());
                found.push((name.ident.to_string(), whole));
            }
            UseTree::Rename(rename) => {
                let mut whole = before.clone();
                whole.push(rename.ident.to_string());
                found.push((rename.rename.to_string(), whole));
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    walk(tree, before, found);
                }
            }
            UseTree::Glob(_) => found.push(("*".into(), before.clone())),
        }
    }
    let mut found = Vec::new();
    walk(&item.tree, &Vec::new(), &mut found);
    found
}

/// Makes a path start at the crate's root; none if it leads out of the crate or to a child of the module itself.
fn absolute(path: &[String], module: &ModulePath) -> Option<ModulePath> {
    let mut at = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.clone(),
        _ => return None,
    };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => {
                at.pop();
            }
            name => at.push(name.to_owned()),
        }
    }
    Some(at)
}

/// Collects the paths that a file names.
struct Names<'a> {
    module: &'a ModulePath,
    paths: Vec<ModulePath>,
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let is_test = module
            .attrs
            .iter()
            .any(|attribute| attribute.path().is_ident("cfg"));
        if !is_test {
            visit::visit_item_mod(self, module);
        }
    }

    /// `pub(super)` names who may use an item, and needs nothing.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // A re-export alone is no dependency.
        if !matches!(item.vis, Visibility::Inherited) {
            return;
        }
        for (_, path) in leaves(item) {
            self.paths.extend(absolute(&path, self.module));
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let parts: ModulePath = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        self.paths.extend(absolute(&parts, self.module));
        visit::visit_path(self, path);
    }
}
