//! Installs missing programs where that needs no question: on Debian and its derivatives, as root or with a `sudo` that
//! asks for no password. Elsewhere it names the missing programs and stops.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::shell::{self, command};

/// A program that a chore needs on the machine.
pub(crate) struct Need {
    /// Its name in messages.
    pub(crate) name: &'static str,
    /// Debian packages that contain it.
    pub(crate) packages: &'static [&'static str],
    /// Services that Debian would start, now and at every boot.
    pub(crate) services: &'static [&'static str],
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

/// A file that exists only while packages are being installed.
struct DropIn {
    path: &'static str,
    mode: &'static str,
    text: &'static str,
}

const DROP_INS: [DropIn; 2] = [
    // Debian's own switch (invoke-rc.d(8)): 101 forbids to start a service.
    DropIn {
        path: "/usr/sbin/policy-rc.d",
        mode: "755",
        text: "#!/bin/sh\nexit 101\n",
    },
    // PostgreSQL would create a database cluster.
    DropIn {
        path: "/etc/postgresql-common/createcluster.d/portcullis-xtask.conf",
        mode: "644",
        text: "create_main_cluster = off\n",
    },
];

impl DropIn {
    /// Returns whether the machine has such a file already, which then is its owner's decision.
    fn exists(&self) -> bool {
        Path::new(self.path).exists()
    }
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

    /// Installs the packages without starting their services: tests need the programs only, and start servers of their
    /// own on free ports.
    fn install(&self, needs: &[&Need]) -> Result<()> {
        shell::run(self.command(["apt-get", "update"]))?;
        let packages: Vec<_> = needs.iter().flat_map(|need| need.packages).collect();
        let mut install = self.command(["apt-get", "install", "-y", "--no-install-recommends"]);
        install.args(&packages);

        let drop_ins: Vec<_> = DROP_INS.iter().filter(|file| !file.exists()).collect();
        let placed = drop_ins.iter().try_for_each(|file| self.place(file));
        let installed = placed.and_then(|()| shell::run(install));
        for file in &drop_ins {
            shell::run(self.command(["rm", "-f", file.path]))?;
        }
        installed?;

        for service in needs.iter().flat_map(|need| need.services) {
            self.disable(service)?;
        }
        Ok(())
    }

    fn place(&self, file: &DropIn) -> Result<()> {
        let ours = "target/xtask/drop-in";
        fs::create_dir_all("target/xtask").context("creating target/xtask")?;
        fs::write(ours, file.text).with_context(|| format!("writing {ours}"))?;
        shell::run(self.command(["install", "-D", "-m", file.mode, ours, file.path]))
    }

    /// Keeps a service that was just installed from starting at the next boot.
    fn disable(&self, service: &str) -> Result<()> {
        // A timer is named with its ending.
        let unit = match service.contains('.') {
            true => service.to_owned(),
            false => format!("{service}.service"),
        };
        // The helper works without systemd, but wants to be called by a package.
        let caller = "DPKG_MAINTSCRIPT_PACKAGE=portcullis-xtask";
        shell::run(self.command([caller, "deb-systemd-helper", "disable", &unit]))?;
        if Path::new("/etc/init.d").join(service).exists() {
            shell::run(self.command(["update-rc.d", service, "disable"]))?;
        }
        Ok(())
    }

    fn command<const N: usize>(&self, words: [&str; N]) -> Command {
        let mut command = command(self.as_root[0], &self.as_root[1..]);
        command.arg("DEBIAN_FRONTEND=noninteractive").args(words);
        command
    }
}
