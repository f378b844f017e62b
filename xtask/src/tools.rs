//! The programs that chores call and the toolchain does not bring. One already on the machine is used as it is; else
//! a pinned version is installed, so that every machine reports the same findings.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};

use crate::{
    install::{self, Need},
    shell::{self, command},
};

const BUF_VERSION: &str = "1.75.0";
const CARGO_DENY_VERSION: &str = "0.20.2";
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// Builds the C parts of dependencies: cryptography and SQLite.
pub(crate) const C_COMPILER: Need = Need {
    what: "a C compiler (cc)",
    // Without its recommendations, gcc comes without the C library's headers.
    packages: &["gcc", "libc6-dev"],
    met: || shell::on_path("cc"),
};

/// Builds the fuzzing engine.
pub(crate) const CXX_COMPILER: Need = Need {
    what: "a C++ compiler (c++)",
    packages: &["g++"],
    met: || shell::on_path("c++"),
};

/// Tests start servers of their own; none that is already running is used.
pub(crate) const POSTGRES_SERVER: Need = Need {
    what: "the PostgreSQL server's programs (initdb)",
    packages: &["postgresql"],
    met: || shell::on_path("initdb") || debian_has("initdb"),
};

/// Tests connect through it, and are refused.
pub(crate) const PGBOUNCER: Need = Need {
    what: "PgBouncer",
    packages: &["pgbouncer"],
    // Debian keeps it away from the `PATH` of users.
    met: || shell::on_path("pgbouncer") || Path::new("/usr/sbin/pgbouncer").exists(),
};

/// A peer of the bench. Debian has it in the server's package.
pub(crate) const PGBENCH: Need = Need {
    what: "PostgreSQL's pgbench",
    packages: &["postgresql"],
    met: || shell::on_path("pgbench") || debian_has("pgbench"),
};

/// A peer of the bench.
pub(crate) const REDIS_SERVER: Need = Need {
    what: "redis-server",
    packages: &["redis-server"],
    met: || shell::on_path("redis-server"),
};

const NPM: Need = Need {
    what: "npm, which installs buf",
    packages: &["nodejs", "npm"],
    met: || shell::on_path("node") && shell::on_path("npm"),
};

/// Debian keeps the server's programs of each major version away from `PATH`.
fn debian_has(program: &str) -> bool {
    fs::read_dir("/usr/lib/postgresql").is_ok_and(|versions| {
        versions
            .flatten()
            .any(|version| version.path().join("bin").join(program).is_file())
    })
}

/// `buf` with these arguments, ready to run.
pub(crate) fn buf(args: &[&str]) -> Result<Command> {
    if shell::on_path("buf") {
        return Ok(command("buf", args));
    }
    // The version is part of the path: moving the pin installs anew.
    let home = format!("target/tools/buf-{BUF_VERSION}");
    let program = format!("{home}/node_modules/.bin/buf");
    if !Path::new(&program).exists() {
        install_buf(&home)?;
        ensure!(Path::new(&program).exists(), "npm left no {program}");
    }
    Ok(command(program, args))
}

/// The binary is an optional dependency of the package, one for each platform. No script has to run to put it in
/// place, so none may.
fn install_buf(home: &str) -> Result<()> {
    install::ensure(&[NPM])?;
    let package = format!("@bufbuild/buf@{BUF_VERSION}");
    let quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
    let mut npm = command("npm", ["install", "--prefix", home, "--no-save"]);
    npm.args(["--ignore-scripts", "--include=optional"]);
    npm.args(quiet).arg(package);
    shell::run(npm)
}

/// `cargo deny` with these arguments, ready to run.
pub(crate) fn cargo_deny(args: &[&str]) -> Result<Command> {
    if shell::answer(command("cargo", ["deny", "--version"])).is_none() {
        let package = format!("cargo-deny@{CARGO_DENY_VERSION}");
        shell::run(command("cargo", ["install", "--locked", &package]))?;
    }
    let mut deny = command("cargo", ["deny", "--locked"]);
    deny.args(args);
    Ok(deny)
}

/// `cargo fuzz` with these arguments, ready to run. The sanitizer needs a nightly compiler, whichever one there is: the
/// toolchain of this workspace is pinned to a stable one, and installing another is for the person to decide.
pub(crate) fn cargo_fuzz(args: &[&str]) -> Result<Command> {
    let compiler = shell::answer(command("cargo", ["+nightly", "--version"]));
    ensure!(
        compiler.is_some(),
        "fuzzing needs a nightly toolchain: rustup toolchain install nightly --profile minimal"
    );
    if shell::answer(command("cargo", ["+nightly", "fuzz", "--version"])).is_none() {
        let package = format!("cargo-fuzz@{CARGO_FUZZ_VERSION}");
        shell::run(command("cargo", ["install", "--locked", &package]))?;
    }
    let mut fuzz = command("cargo", ["+nightly", "fuzz"]);
    fuzz.args(args);
    Ok(fuzz)
}
