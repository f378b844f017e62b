//! The programs that chores call and the toolchain does not contain. One that is already on the machine is used as it
//! is. Otherwise a pinned version is installed, so that every machine reports the same findings.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};

use crate::{
    install::{self, Need},
    shell::{self, command},
};

const BUF_VERSION: &str = "1.75.0";

/// A subcommand of cargo that is a package of its own.
struct Subcommand {
    name: &'static str,
    package: &'static str,
    version: &'static str,
}

const AUDITABLE: Subcommand = Subcommand {
    name: "auditable",
    package: "cargo-auditable",
    version: "0.7.7",
};
const CYCLONEDX: Subcommand = Subcommand {
    name: "cyclonedx",
    package: "cargo-cyclonedx",
    version: "0.5.9",
};
const DENY: Subcommand = Subcommand {
    name: "deny",
    package: "cargo-deny",
    version: "0.20.2",
};
const FUZZ: Subcommand = Subcommand {
    name: "fuzz",
    package: "cargo-fuzz",
    version: "0.13.2",
};
const MACHETE: Subcommand = Subcommand {
    name: "machete",
    package: "cargo-machete",
    version: "0.9.2",
};
const MUTANTS: Subcommand = Subcommand {
    name: "mutants",
    package: "cargo-mutants",
    version: "27.1.0",
};

/// Compiles the C parts of dependencies: cryptography and SQLite.
pub(crate) const C_COMPILER: Need = Need {
    name: "a C compiler (cc)",
    // gcc alone has no headers of the C library: it only recommends their package.
    packages: &["gcc", "libc6-dev"],
    services: &[],
    met: || shell::on_path("cc"),
};

/// Splits a binary and its debug information.
pub(crate) const OBJCOPY: Need = Need {
    name: "objcopy",
    packages: &["binutils"],
    services: &[],
    met: || shell::on_path("objcopy"),
};

/// Compiles the fuzzing engine.
pub(crate) const CXX_COMPILER: Need = Need {
    name: "a C++ compiler (c++)",
    packages: &["g++"],
    services: &[],
    met: || shell::on_path("c++"),
};

/// Tests start servers of their own, and leave one that is already running alone.
pub(crate) const POSTGRES_SERVER: Need = Need {
    name: "the PostgreSQL server's programs (initdb)",
    packages: &["postgresql"],
    services: &["postgresql"],
    met: || shell::on_path("initdb") || debian_has("initdb"),
};

/// Decides which PostgreSQL server is primary.
pub(crate) const PATRONI: Need = Need {
    name: "Patroni",
    packages: &["patroni"],
    services: &["patroni"],
    met: || shell::on_path("patroni"),
};

/// Patroni keeps there who is primary.
pub(crate) const ETCD: Need = Need {
    name: "etcd",
    packages: &["etcd-server"],
    services: &["etcd"],
    met: || shell::on_path("etcd"),
};

/// Cuts machines off.
pub(crate) const NFTABLES: Need = Need {
    name: "nft",
    packages: &["nftables"],
    services: &["nftables"],
    met: || has_server("nft"),
};

/// Makes network namespaces.
pub(crate) const IPROUTE: Need = Need {
    name: "ip",
    packages: &["iproute2"],
    services: &[],
    met: || has_server("ip"),
};

/// A test connects through it and expects a refusal.
pub(crate) const PGBOUNCER: Need = Need {
    name: "PgBouncer",
    packages: &["pgbouncer"],
    services: &["pgbouncer"],
    met: || has_server("pgbouncer"),
};

/// A receiver of the audit trail.
pub(crate) const RSYSLOG: Need = Need {
    name: "rsyslog with TLS",
    packages: &["rsyslog", "rsyslog-gnutls"],
    services: &["rsyslog"],
    met: || has_server("rsyslogd") && has_rsyslog_tls(),
};

/// Tokens of PKCS#11 in files.
pub(crate) const SOFTHSM: Need = Need {
    name: "SoftHSM 2",
    packages: &["softhsm2"],
    services: &[],
    met: || shell::on_path("softhsm2-util"),
};

/// Makes keys in tokens of PKCS#11.
pub(crate) const OPENSC: Need = Need {
    name: "OpenSC's pkcs11-tool",
    packages: &["opensc"],
    services: &[],
    met: || shell::on_path("pkcs11-tool"),
};

/// A peer of the bench. Debian ships it in the server's package.
pub(crate) const PGBENCH: Need = Need {
    name: "PostgreSQL's pgbench",
    packages: &["postgresql"],
    services: &["postgresql"],
    met: || shell::on_path("pgbench") || debian_has("pgbench"),
};

/// A peer of the bench.
pub(crate) const REDIS_SERVER: Need = Need {
    name: "redis-server",
    packages: &["redis-server"],
    services: &["redis-server"],
    met: || shell::on_path("redis-server"),
};

/// A peer of the bench: it decides for NGINX, without its portal.
pub(crate) const LEMONLDAP: Need = Need {
    name: "LemonLDAP::NG's server for NGINX (llng-fastcgi-server)",
    packages: &["lemonldap-ng-fastcgi-server"],
    services: &[
        "lemonldap-ng-fastcgi-server",
        "liblemonldap-ng-handler-perl.timer",
        "liblemonldap-ng-handler-perl",
    ],
    met: || has_server("llng-fastcgi-server"),
};

/// Installs buf, and runs the example in Node.
pub(crate) const NPM: Need = Need {
    name: "Node.js with npm",
    packages: &["nodejs", "npm"],
    services: &[],
    met: || shell::on_path("node") && shell::on_path("npm"),
};

/// Runs the example in Python, in an environment of its own.
pub(crate) const PYTHON: Need = Need {
    name: "Python with venv",
    packages: &["python3", "python3-venv"],
    services: &[],
    // Debian splits `venv`: without its second package it has no pip to put into an environment.
    met: || shell::answer(command("python3", ["-c", "import venv, ensurepip"])).is_some(),
};

/// Checks the alerts and runs their cases; and reads our metrics.
pub(crate) const PROMETHEUS: Need = Need {
    name: "Prometheus with its promtool",
    packages: &["prometheus"],
    services: &["prometheus"],
    met: || shell::on_path("promtool") && shell::on_path("prometheus"),
};

/// Says how much a unit of systemd may do, from its file alone.
pub(crate) const SYSTEMD_ANALYZE: Need = Need {
    name: "systemd-analyze",
    packages: &["systemd"],
    services: &[],
    met: || shell::on_path("systemd-analyze"),
};

/// Builds Debian packages.
pub(crate) const DEBIAN_BUILDER: Need = Need {
    name: "debhelper",
    packages: &["debhelper", "dpkg-dev"],
    services: &[],
    met: || shell::on_path("dh") && shell::on_path("dpkg-buildpackage"),
};

/// Checks Debian packages.
pub(crate) const LINTIAN: Need = Need {
    name: "lintian",
    packages: &["lintian"],
    services: &[],
    met: || shell::on_path("lintian"),
};

/// Makes OCI images without a daemon.
pub(crate) const UMOCI: Need = Need {
    name: "umoci",
    packages: &["umoci"],
    services: &[],
    met: || shell::on_path("umoci"),
};

/// Copies OCI images.
pub(crate) const SKOPEO: Need = Need {
    name: "skopeo",
    packages: &["skopeo"],
    services: &[],
    met: || shell::on_path("skopeo"),
};

/// Puts manifests together.
pub(crate) const KUBECTL: Need = Need {
    name: "kubectl",
    packages: &["kubectl"],
    services: &[],
    met: || shell::on_path("kubectl"),
};

/// A gateway that tests start.
pub(crate) const NGINX: Need = Need {
    name: "NGINX",
    packages: &["nginx"],
    services: &["nginx"],
    met: || has_server("nginx"),
};

/// A gateway that tests start.
pub(crate) const CADDY: Need = Need {
    name: "Caddy",
    packages: &["caddy"],
    services: &["caddy"],
    met: || has_server("caddy"),
};

/// A gateway that tests start.
pub(crate) const HAPROXY: Need = Need {
    name: "HAProxy",
    packages: &["haproxy"],
    services: &["haproxy"],
    met: || has_server("haproxy"),
};

/// The browser that tests drive.
pub(crate) const CHROMIUM: Need = Need {
    name: "Chromium",
    packages: &["chromium"],
    services: &[],
    met: || shell::on_path("chromium"),
};

/// The letters of all languages of the pages. Debian's Chromium only recommends fonts, and pictures of pages would differ
/// from machine to machine.
pub(crate) const FONTS: Need = Need {
    name: "the DejaVu fonts",
    packages: &["fonts-dejavu-core"],
    services: &[],
    met: || Path::new("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").is_file(),
};

/// Returns whether the machine has a server, which Debian installs outside of the `PATH` of users.
fn has_server(program: &str) -> bool {
    shell::on_path(program) || Path::new("/usr/sbin").join(program).is_file()
}

/// Looks for rsyslog's TLS, which is a package of its own, in the directories of libraries of each architecture.
fn has_rsyslog_tls() -> bool {
    fs::read_dir("/usr/lib").is_ok_and(|architectures| {
        architectures
            .flatten()
            .any(|architecture| architecture.path().join("rsyslog/lmnsd_gtls.so").is_file())
    })
}

/// Looks where Debian installs the server's programs of each major version, outside of `PATH`.
fn debian_has(program: &str) -> bool {
    fs::read_dir("/usr/lib/postgresql").is_ok_and(|versions| {
        versions
            .flatten()
            .any(|version| version.path().join("bin").join(program).is_file())
    })
}

/// Returns `buf` with these arguments, ready to run.
pub(crate) fn buf(args: &[&str]) -> Result<Command> {
    if shell::on_path("buf") {
        return Ok(command("buf", args));
    }
    // The version is part of the path, so that a new pin installs the new version.
    let home = format!("target/tools/buf-{BUF_VERSION}");
    let program = format!("{home}/node_modules/.bin/buf");
    if !Path::new(&program).exists() {
        install_buf(&home)?;
        ensure!(Path::new(&program).exists(), "npm left no {program}");
    }
    Ok(command(program, args))
}

/// Installs buf from npm. The binary is an optional dependency of the package, one for each platform. Scripts of
/// packages are forbidden because none is needed.
fn install_buf(home: &str) -> Result<()> {
    install::ensure(&[NPM])?;
    let package = format!("@bufbuild/buf@{BUF_VERSION}");
    let quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
    let mut npm = command("npm", ["install", "--prefix", home, "--no-save"]);
    npm.args(["--ignore-scripts", "--include=optional"]);
    npm.args(quiet).arg(package);
    shell::run(npm)
}

/// Returns `cargo deny` with these arguments, ready to run.
pub(crate) fn cargo_deny(args: &[&str]) -> Result<Command> {
    DENY.ensure_installed(None)?;
    let mut deny = command("cargo", ["deny", "--locked"]);
    deny.args(args);
    Ok(deny)
}

/// Returns `cargo auditable`, which takes the arguments of cargo.
pub(crate) fn cargo_auditable() -> Result<Command> {
    AUDITABLE.ensure_installed(None)?;
    Ok(command("cargo", ["auditable"]))
}

/// Returns `cargo cyclonedx`, ready to run.
pub(crate) fn cargo_cyclonedx() -> Result<Command> {
    CYCLONEDX.ensure_installed(None)?;
    Ok(command("cargo", ["cyclonedx"]))
}

/// Returns `cargo machete`, ready to run.
pub(crate) fn cargo_machete() -> Result<Command> {
    MACHETE.ensure_installed(None)?;
    // Without the option it reads the sources in target/ too.
    let mut machete = command("cargo", ["machete", "--skip-target-dir"]);
    // With the variable, which `cargo xtask` sets, it takes the word `machete` for a path.
    machete.env_remove("CARGO_PKG_NAME");
    Ok(machete)
}

/// Returns `cargo mutants`, ready to run.
pub(crate) fn cargo_mutants() -> Result<Command> {
    MUTANTS.ensure_installed(None)?;
    Ok(command("cargo", ["mutants"]))
}

/// Returns `cargo fuzz` with these arguments, ready to run. The sanitizer needs a nightly compiler, whichever one there
/// is: the toolchain of this workspace is pinned to a stable one, and installing another is for the person to decide.
pub(crate) fn cargo_fuzz(args: &[&str]) -> Result<Command> {
    const NIGHTLY: &str = "+nightly";
    let compiler = shell::answer(command("cargo", [NIGHTLY, "--version"]));
    ensure!(
        compiler.is_some(),
        "fuzzing needs a nightly toolchain: rustup toolchain install nightly --profile minimal"
    );
    FUZZ.ensure_installed(Some(NIGHTLY))?;
    let mut fuzz = command("cargo", [NIGHTLY, "fuzz"]);
    fuzz.args(args);
    Ok(fuzz)
}

impl Subcommand {
    /// Installs the subcommand if there is none yet. `toolchain` (`+nightly`) selects the cargo that is asked.
    fn ensure_installed(&self, toolchain: Option<&str>) -> Result<()> {
        let mut question = command("cargo", toolchain);
        question.args([self.name, "--version"]);
        if shell::answer(question).is_some() {
            return Ok(());
        }
        let package = format!("{}@{}", self.package, self.version);
        let mut install = command("cargo", ["install", "--locked", "--debug", &package]);
        // A full release build of a tool takes minutes of every clean CI run, and the tool then runs for seconds. One
        // level of optimisation pays: without any, cargo-machete alone takes 24 s of a processor for our tree.
        install.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        install.env("CARGO_PROFILE_DEV_DEBUG", "false");
        shell::run(install)
    }
}
