//! Checks of the files in `deploy/` by the tools that read them in production.

use std::path::Path;

use anyhow::Result;

use crate::{
    install,
    shell::{self, command},
    tools,
};

const ALERTS: &str = "deploy/monitoring/portcullis.rules.yaml";
const CASES: &str = "deploy/monitoring/portcullis.rules.test.yaml";
const SCRAPES: &str = "deploy/monitoring/prometheus.yaml";
const UNITS: [&str; 2] = [
    "deploy/systemd/portcullis.service",
    "deploy/systemd/portcullis-sidecar.service",
];
/// The most exposure that `systemd-analyze security` may find, in tenths: 0 is none, 100 is a service without any limit.
const EXPOSURE_MAX: u32 = 20;

/// Reads the alerts as Prometheus does, and runs their cases.
pub(crate) fn check_alerts() -> Result<()> {
    install::ensure(&[tools::PROMETHEUS])?;
    shell::run(command("promtool", ["check", "rules", ALERTS]))?;
    shell::run(command("promtool", ["check", "config", SCRAPES]))?;
    shell::run(command("promtool", ["test", "rules", CASES]))
}

/// Holds each unit to its exposure.
pub(crate) fn check_units() -> Result<()> {
    for unit in UNITS {
        check_exposure(Path::new(unit))?;
    }
    Ok(())
}

/// Fails when a unit may do more than its work needs. The report names each right.
pub(crate) fn check_exposure(unit: &Path) -> Result<()> {
    install::ensure(&[tools::SYSTEMD_ANALYZE])?;
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let mut analyze = command("systemd-analyze", ["security", "--offline=true"]);
    analyze.args(["--no-pager", &threshold]).arg(unit);
    shell::run(analyze)
}
