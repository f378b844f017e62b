//! The house's rules, read from its files: which crate may know which, and who may name what.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

/// The `portcullis-*` crates that a crate names outside of its dev-dependencies.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).expect(manifest);
    let (_, rest) = text.split_once("\n[dependencies]").expect("dependencies");
    let section = rest.split("\n[").next().expect("a section");
    let names = section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next());
    names
        .filter(|name| name.starts_with("portcullis-"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn dependencies_run_one_way() {
    let allowed = BTreeMap::from([
        ("crates/contract", vec![]),
        ("crates/domain", vec!["portcullis-contract"]),
        (
            "crates/store",
            vec!["portcullis-contract", "portcullis-domain"],
        ),
        (
            "crates/authority",
            vec![
                "portcullis-contract",
                "portcullis-domain",
                "portcullis-serving",
                "portcullis-store",
            ],
        ),
        ("crates/serving", vec![]),
        ("crates/validator-core", vec!["portcullis-contract"]),
        (
            "crates/validator",
            vec![
                "portcullis-contract",
                "portcullis-gate",
                "portcullis-validator-core",
            ],
        ),
        (
            "crates/gate",
            vec!["portcullis-contract", "portcullis-validator-core"],
        ),
        (
            "crates/sidecar",
            vec![
                "portcullis-gate",
                "portcullis-serving",
                "portcullis-validator",
            ],
        ),
        (
            "crates/console",
            vec![
                "portcullis-contract",
                "portcullis-serving",
                "portcullis-validator",
            ],
        ),
        ("examples/gateway", vec!["portcullis-validator"]),
        ("examples/upstream", vec![]),
        (
            "crates/cli",
            vec![
                "portcullis-authority",
                "portcullis-console",
                "portcullis-contract",
                "portcullis-example-gateway",
                "portcullis-example-upstream",
                "portcullis-serving",
                "portcullis-validator",
            ],
        ),
    ]);
    for (krate, allowed) in allowed {
        assert_eq!(
            dependencies(&format!("{krate}/Cargo.toml")),
            allowed,
            "{krate} has a new dependency edge"
        );
    }
}

/// Every package that a package is built from, by the lock file.
fn built_from(package: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let lock: toml::Table = text.parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    let (mut found, mut open) = (BTreeSet::new(), vec![package.to_owned()]);
    while let Some(name) = open.pop() {
        if !found.insert(name.clone()) {
            continue;
        }
        for package in packages {
            if package["name"].as_str() != Some(&name) {
                continue;
            }
            let needed = package.get("dependencies").and_then(|list| list.as_array());
            for dependency in needed.into_iter().flatten() {
                // `name`, or `name version` where there are several.
                let words = dependency.as_str().expect("a name").split(' ').next();
                open.push(words.expect("a name").to_owned());
            }
        }
    }
    found
}

#[test]
fn the_sidecar_has_no_database_and_no_authority() {
    let sidecar = built_from("portcullis-sidecar");
    assert!(sidecar.contains("portcullis-gate") && sidecar.contains("envoy-types"));
    let forbidden = [
        "portcullis-authority",
        "portcullis-domain",
        "portcullis-store",
        "rusqlite",
        "libsqlite3-sys",
        "tokio-postgres",
        "postgres-protocol",
        "refinery",
    ];
    for name in forbidden {
        assert!(!sidecar.contains(name), "the sidecar is built from {name}");
    }
    // The list is right: the authority's binary has all of them.
    let authority = built_from("portcullis-cli");
    for name in forbidden {
        assert!(authority.contains(name), "nothing is built from {name}");
    }
}

/// Source files below a directory, with their text up to their tests.
fn sources(directory: &str) -> Vec<(String, String)> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(directory)]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("text");
                let name = path
                    .strip_prefix(root())
                    .expect("in the workspace")
                    .display()
                    .to_string();
                found.push((
                    name,
                    text.split("#[cfg(test)]")
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                ));
            }
        }
    }
    assert!(!found.is_empty(), "nothing in {directory}");
    found
}

/// Fails when a file outside of `home` has one of `words`.
fn only_in(directory: &str, home: &[&str], words: &[&str]) {
    for (name, text) in sources(directory) {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let code = code.collect::<Vec<_>>().join("\n");
        if let Some(word) = words.iter().find(|word| code.contains(*word)) {
            assert!(
                home.iter().any(|home| name.starts_with(home)),
                "{name} names {word}"
            );
        }
    }
}

#[test]
fn each_thing_is_named_where_it_belongs() {
    let authority = "crates/authority/src";
    only_in(
        authority,
        &[&format!("{authority}/api/grpc")],
        &["tonic::Status", "Result<Response<"],
    );
    // And only one file there makes one.
    let map = format!("{authority}/api/grpc/status.rs");
    only_in(
        authority,
        &[&map],
        &[
            "with_error_details",
            " Status::new(",
            "Status::internal",
            "Code::Internal,",
        ],
    );
}

/// Walls inside a crate are not kept by the compiler.
#[test]
fn use_cases_and_the_parts_below_them_name_no_wire_type() {
    for room in [
        "app",
        "feed",
        "log",
        "jobs",
        "keys",
        "client_info",
        "health",
    ] {
        let directory = format!("crates/authority/src/{room}");
        only_in(&directory, &[], &["tonic::", "tonic_", "v1::", "::v1"]);
    }
}

#[test]
fn the_domain_and_the_contract_do_no_io_and_read_no_clock() {
    let banned = [
        "std::fs",
        "std::net",
        "tokio",
        "SystemTime",
        "Instant::now",
        "std::env",
        "async fn",
    ];
    only_in("crates/domain/src", &[], &banned);
    only_in(
        "crates/contract/src",
        // Mistakes on purpose are chosen by a variable of the environment. No release has them.
        &[
            "crates/contract/src/generated",
            "crates/contract/src/seeded.rs",
        ],
        &banned,
    );
}

#[test]
fn the_validator_opens_no_database_and_checks_without_awaiting() {
    only_in(
        "crates/validator/src",
        &[],
        &["rusqlite", "tokio_postgres", "std::fs"],
    );
    // Its manifest keeps runtimes out; this keeps it from waiting by other means.
    only_in(
        "crates/validator-core/src",
        &[],
        &["async fn", ".await", "block_on", "std::fs", "thread::sleep"],
    );
    let (_, text) = sources("crates/validator-core/src")
        .into_iter()
        .find(|(name, _)| name.ends_with("src/engine.rs"))
        .expect("there");
    let (_, check) = text
        .split_once("    fn decide<C: TokenClaims>(")
        .expect("the hot path");
    let check = check.split("\n    }\n").next().expect("its body");
    for word in [".await", "lock()", "block_on"] {
        assert!(!check.contains(word), "the hot path has {word}");
    }
}
