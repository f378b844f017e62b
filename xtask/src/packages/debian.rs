//! The Debian packages, by debhelper: `packaging/debian` beside the programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{DIRECTORY, copy, fresh, service};
use crate::{
    deploy, dist, install,
    shell::{self, command},
    tools,
};

/// What goes beside `packaging/debian`, by the names that its files use.
const FILES: [(&str, &str); 16] = [
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("docs/reference/man", "man"),
    // The pages that an operator reads, among them the runbooks that the alerts name.
    ("docs/concepts.md", "docs/concepts.md"),
    ("docs/gateways", "docs/gateways"),
    ("docs/operating", "docs/operating"),
    ("docs/reference", "docs/reference"),
    ("deploy/monitoring", "monitoring"),
    ("deploy/portcullis.toml", "etc/portcullis.toml"),
    ("deploy/sidecar.toml", "etc/sidecar.toml"),
    ("deploy/Caddyfile", "examples/Caddyfile"),
    (
        "deploy/envoy-ext-authz.yaml",
        "examples/envoy-ext-authz.yaml",
    ),
    ("deploy/haproxy.cfg", "examples/haproxy.cfg"),
    ("deploy/haproxy-auth.lua", "examples/haproxy-auth.lua"),
    ("deploy/nginx.conf", "examples/nginx.conf"),
    ("deploy/traefik.yaml", "examples/traefik.yaml"),
    (
        "deploy/traefik-dynamic.yaml",
        "examples/traefik-dynamic.yaml",
    ),
];
const UNITS: [&str; 2] = ["portcullis", "portcullis-sidecar"];

/// Builds both packages, checks them, and starts the authority from the files in its package.
pub(super) fn make(programs: &Path) -> Result<()> {
    install::ensure(&[tools::DEBIAN_BUILDER, tools::LINTIAN])?;
    let directory = Path::new(DIRECTORY).join("debian");
    let source = directory.join("portcullis");
    fresh(&directory)?;
    stage(programs, &source)?;

    let mut build = command("dpkg-buildpackage", ["--build=binary", "--no-sign"]);
    build.current_dir(&source);
    shell::run(build)?;

    let packages = packages(&directory)?;
    ensure!(packages.len() == UNITS.len(), "packages: {packages:?}");
    let mut lintian = command("lintian", ["--fail-on", "error,warning"]);
    // Root is what CI runs as.
    lintian.arg("--allow-root").args(&packages);
    shell::run(lintian)?;
    start(&directory, &packages)
}

fn stage(programs: &Path, source: &Path) -> Result<()> {
    copy(Path::new("packaging/debian"), &source.join("debian"))?;
    for directory in ["docs", "etc", "examples"] {
        fs::create_dir_all(source.join(directory)).context("creating the directories")?;
    }
    for (from, to) in FILES {
        copy(Path::new(from), &source.join(to))?;
    }
    for unit in UNITS {
        let file = format!("{unit}.service");
        let from = Path::new("deploy/systemd").join(&file);
        copy(&from, &source.join("debian").join(file))?;
    }
    for program in [dist::AUTHORITY, dist::SIDECAR] {
        copy(&programs.join(program), &source.join(program))?;
    }
    Ok(())
}

fn packages(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(directory).context("reading the packages")? {
        let file = entry?.path();
        if file.extension().is_some_and(|ending| ending == "deb") {
            packages.push(file);
        }
    }
    Ok(packages)
}

/// Unpacks the packages into one root, holds the units there to their exposure, and runs what the authority's unit runs.
fn start(directory: &Path, packages: &[PathBuf]) -> Result<()> {
    let root = directory.join("root");
    for package in packages {
        let mut unpack = command("dpkg-deb", ["--extract"]);
        unpack.arg(package).arg(&root);
        shell::run(unpack)?;
    }
    let units = root.join("lib/systemd/system");
    for unit in UNITS {
        deploy::check_exposure(&units.join(format!("{unit}.service")))?;
    }

    let unit = fs::read_to_string(units.join("portcullis.service")).context("reading the unit")?;
    let words: Vec<&str> = setting(&unit, "ExecStart")?.split(' ').collect();
    let (program, arguments) = words.split_first().context("an empty ExecStart")?;
    let program = root.join(program.trim_start_matches('/'));
    let installation = service::Installation::make(&program, &directory.join("installation"))?;

    let mut authority = Command::new(&program);
    // The unit's own arguments, with the configuration of this run.
    authority.args(arguments.iter().map(|word| match *word {
        "/etc/portcullis/portcullis.toml" => installation.configuration(),
        word => word.into(),
    }));
    installation.add_variables(&mut authority);
    service::start_and_stop(authority, installation.http())
}

/// The value of a setting of a unit.
fn setting<'a>(unit: &'a str, name: &str) -> Result<&'a str> {
    let mut lines = unit.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .with_context(|| format!("the unit has no {name}"))
}
