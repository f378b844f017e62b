//! The Helm chart and the manifests that are made of it.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::DIRECTORY;
use crate::{
    install,
    shell::{self, command},
    tools,
};

/// Python packages with their versions: Helm itself, and the schemas of Kubernetes.
const PYTHON_PACKAGES: [&str; 2] = ["helm-python-sdk==0.2.2", "kubernetes-validate==1.37.0"];
const CHART: &str = "deploy/helm/portcullis";
/// The chart with its default values, for those without Helm.
const MANIFESTS: &str = "deploy/kubernetes";

/// Lints the chart, validates what it renders, and holds the manifests against it.
pub(super) fn check(write: bool) -> Result<()> {
    install::ensure(&[tools::PYTHON, tools::KUBECTL])?;
    let directory = Path::new(DIRECTORY).join("charts");
    super::fresh(&directory)?;
    let mut check = python()?;
    check.args(["packaging/charts.py", CHART, MANIFESTS]);
    check.arg(&directory).args(write.then_some("--write"));
    shell::run(check)
}

/// Returns the interpreter of an environment with the packages.
fn python() -> Result<Command> {
    let versions = PYTHON_PACKAGES.join("+");
    // The versions are part of the path, so that a new pin makes a new environment.
    let home = format!("target/tools/charts-{versions}");
    let program = format!("{home}/bin/python");
    if Path::new(&program).exists() {
        return Ok(command(program, [] as [&str; 0]));
    }
    shell::run(command("python3", ["-m", "venv", &home]))?;
    let mut install = command(&program, ["-m", "pip", "install", "--quiet"]);
    install.args(PYTHON_PACKAGES);
    shell::run(install)?;
    Ok(command(program, [] as [&str; 0]))
}
