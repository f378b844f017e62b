//! Installs missing programs where that needs no question: on Debian and its derivatives, as root or with a `sudo` that
//! asks for no password. Elsewhere it names the missing programs and stops.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::shell::{self, command};

/// A program that a chore needs on the machine.
pub(crate) struct Need {
    /// Its name in messages.
    pub(crate) name: &'static str,
    /// Debian packages that contain it.
    pub(crate) packages: &'static [&'static str],
    /// Returns whether the machine has it.
    pub(crate) met: fn() -> bool,
}

/// Installs every program that is missing.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing = unmet(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = format!("missing on this machine: {}", words(&missing));
    println!("{wanted}");
    let apt = Apt::find().with_context(|| wanted.clone())?;
    apt.install(&missing).with_context(|| wanted.clone())?;

    let missing = unmet(needs);
    if !missing.is_empty() {
        bail!("installed, but still not found: {}", words(&missing));
    }
    Ok(())
}

fn unmet(needs: &[Need]) -> Vec<&Need> {
    needs.iter().filter(|need| !(need.met)()).collect()
}

fn words(needs: &[&Need]) -> String {
    let mut words = Vec::with_capacity(needs.len());
    for need in needs {
        let packages = need.packages.join(" ");
        words.push(format!("{} [Debian: {packages}]", need.name));
    }
    words.join(", ")
}

/// Debian's package manager.
struct Apt {
    /// Words in front of a command that run it as root.
    as_root: &'static [&'static str],
}

impl Apt {
    fn find() -> Result<Self> {
        if !shell::on_path("apt-get") {
            bail!(
                "this machine has no apt-get: install what is missing by hand, then run this again"
            );
        }
        if shell::answer(command("id", ["-u"])).as_deref() == Some("0") {
            return Ok(Self { as_root: &["env"] });
        }
        if shell::answer(command("sudo", ["-n", "true"])).is_some() {
            return Ok(Self {
                as_root: &["sudo", "-n", "env"],
            });
        }
        bail!(
            "installing takes root, or a sudo that asks for no password: install what is missing by hand"
        )
    }

    fn install(&self, needs: &[&Need]) -> Result<()> {
        shell::run(self.command(["apt-get", "update"]))?;
        let packages: Vec<_> = needs.iter().flat_map(|need| need.packages).collect();
        let mut install = self.command(["apt-get", "install", "-y", "--no-install-recommends"]);
        install.args(&packages);
        if packages.contains(&&"postgresql") {
            self.without_a_cluster(|| shell::run(install))
        } else {
            shell::run(install)
        }
    }

    /// Installs PostgreSQL without the database cluster that Debian would create and start at every boot: tests need
    /// the programs only. A drop-in file forbids it during the installation.
    fn without_a_cluster(&self, install: impl FnOnce() -> Result<()>) -> Result<()> {
        const DROP_IN: &str = "/etc/postgresql-common/createcluster.d/portcullis-xtask.conf";
        let ours = "target/xtask/no-cluster.conf";
        fs::create_dir_all("target/xtask").context("creating target/xtask")?;
        fs::write(ours, "create_main_cluster = off\n")
            .with_context(|| format!("writing {ours}"))?;

        shell::run(self.command(["install", "-D", "-m", "644", ours, DROP_IN]))?;
        let installed = install();
        let removed = shell::run(self.command(["rm", DROP_IN]));
        installed.and(removed)
    }

    fn command<const N: usize>(&self, words: [&str; N]) -> Command {
        let mut command = command(self.as_root[0], &self.as_root[1..]);
        command.arg("DEBIAN_FRONTEND=noninteractive").args(words);
        command
    }
}
