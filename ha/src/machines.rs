//! Machines: a network namespace each, on one wire, with files of their own.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Runs a program with the machine's own files.
const MACHINE: &str = include_str!("machine.sh");
/// The address of the callers and visitors, outside of the machines.
const OUTSIDE: &str = "10.108.0.254/24";

/// A machine. Its programs end with the rig.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) address: Ipv4Addr,
    directory: PathBuf,
    /// The directory with Patroni's packages. Empty: those of the host.
    patroni: PathBuf,
}

/// A program of a machine, as its unit would start it.
pub(crate) struct Program<'a> {
    pub(crate) user: &'a str,
    /// The file with its environment. It may be missing.
    pub(crate) environment: &'a str,
    pub(crate) command: &'a [&'a str],
}

/// Makes the wire, and gives the outside its address and the machines' names.
pub(crate) async fn lay_wire(hosts: &Path) -> Result<()> {
    let hosts = hosts.to_str().context("a path in UTF-8")?;
    // `ip netns` keeps its namespaces here. Nobody else sees them.
    fs::create_dir_all("/run/netns")?;
    run("mount", &["-t", "tmpfs", "tmpfs", "/run/netns"]).await?;
    run("mount", &["--bind", hosts, "/etc/hosts"]).await?;
    run("ip", &["link", "set", "lo", "up"]).await?;
    run("ip", &["link", "add", "wire", "type", "bridge"]).await?;
    run("ip", &["address", "add", OUTSIDE, "dev", "wire"]).await?;
    run("ip", &["link", "set", "wire", "up"]).await?;
    Ok(())
}

impl Machine {
    /// Makes a machine below `root`, with `hosts` as its only file.
    pub(crate) async fn make(
        name: &'static str,
        address: Ipv4Addr,
        root: &Path,
        hosts: &str,
        patroni: &Path,
    ) -> Result<Self> {
        let machine = Self {
            name,
            address,
            directory: root.join(name),
            patroni: patroni.to_owned(),
        };
        for directory in ["run/host-etc", "run/machine-etc", "run/patroni"] {
            fs::create_dir_all(machine.directory.join(directory))?;
        }
        machine.make_directory("run/postgresql", "postgres").await?;
        machine
            .make_directory("var/lib/postgresql", "postgres")
            .await?;
        machine.make_directory("var/lib/etcd", "etcd").await?;
        machine.write("hosts", hosts, "root", 0o644).await?;

        let plug = format!("v-{name}");
        let address = format!("{address}/24");
        run("ip", &["netns", "add", name]).await?;
        let link = ["link", "add", &plug, "type", "veth"];
        let peer = ["peer", "name", "eth0", "netns", name];
        run("ip", &[&link[..], &peer].concat()).await?;
        run("ip", &["link", "set", &plug, "master", "wire", "up"]).await?;
        let inside = [
            &["address", "add", &address, "dev", "eth0"][..],
            &["link", "set", "eth0", "up"],
            &["link", "set", "lo", "up"],
        ];
        for words in inside {
            run("ip", &[&["-n", name][..], words].concat()).await?;
        }
        Ok(machine)
    }

    /// A file or directory of this machine, as the outside sees it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Makes a directory that belongs to a user.
    pub(crate) async fn make_directory(&self, path: &str, user: &str) -> Result<()> {
        let path = self.path(path);
        fs::create_dir_all(&path)?;
        give_to(&path, user).await
    }

    /// Writes a file below its `/etc`.
    pub(crate) async fn write(&self, path: &str, text: &str, user: &str, mode: u32) -> Result<()> {
        let path = self.path("etc").join(path);
        let parent = path.parent().context("a directory")?;
        fs::create_dir_all(parent)?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        give_to(&path, user).await
    }

    /// Starts a program. What it writes goes to `<name>.log` of the machine.
    pub(crate) fn start(&self, name: &str, program: &Program<'_>) -> Result<Child> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")))?;
        let child = self
            .command(program)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        child.with_context(|| format!("starting {name} on {}", self.name))
    }

    /// Runs a program to its end, and returns what it wrote.
    pub(crate) async fn run(&self, program: &Program<'_>) -> Result<String> {
        let output = self.command(program).output().await?;
        let written = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{:?} on {}: {written}{}",
            program.command,
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(written)
    }

    fn command(&self, program: &Program<'_>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.name, "sh", "-c", MACHINE, "machine"])
            .arg(&self.directory)
            .arg(&self.patroni)
            .args([program.user, program.environment])
            .args(program.command)
            .stdin(Stdio::null());
        command
    }

    /// `kill -9` of all its processes, as a loss of power does it. A filter chooses by the name of the program.
    pub(crate) async fn kill(&self, chosen: impl Fn(&str) -> bool) -> Result<()> {
        let pids = run("ip", &["netns", "pids", self.name]).await?;
        for pid in pids.split_whitespace() {
            // One that has ended meanwhile has no name.
            let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let pid = pid.parse().ok().and_then(Pid::from_raw);
            if let Some(pid) = pid
                && chosen(program.trim())
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        Ok(())
    }

    /// Drops every packet between this machine and these, in both directions. Connections stay open and are silent.
    pub(crate) async fn cut_from(&self, others: &[&Self]) -> Result<()> {
        let mut addresses = Vec::with_capacity(others.len());
        for other in others {
            addresses.push(other.address.to_string());
        }
        self.drop_packets(&addresses.join(", ")).await
    }

    /// Drops every packet between this machine and the wire.
    pub(crate) async fn cut_from_all(&self) -> Result<()> {
        // Its own address stays: what it says to itself does not go over the wire.
        let own = self.address;
        let before = u32::from(own) - 1;
        let network = u32::from(own) & 0xffff_ff00;
        let below = format!("{}-{}", Ipv4Addr::from(network), Ipv4Addr::from(before));
        let after = Ipv4Addr::from(u32::from(own) + 1);
        let above = format!("{after}-{}", Ipv4Addr::from(network | 0xff));
        self.drop_packets(&format!("{below}, {above}")).await
    }

    async fn drop_packets(&self, addresses: &str) -> Result<()> {
        let rules = format!(
            "add table inet cut\n\
             add chain inet cut arriving {{ type filter hook input priority 0; }}\n\
             add chain inet cut leaving {{ type filter hook output priority 0; }}\n\
             add rule inet cut arriving ip saddr {{ {addresses} }} drop\n\
             add rule inet cut leaving ip daddr {{ {addresses} }} drop\n"
        );
        let file = self.path("cut.nft");
        fs::write(&file, rules)?;
        let file = file.to_str().context("a path in UTF-8")?;
        run("ip", &["netns", "exec", self.name, "nft", "-f", file]).await?;
        Ok(())
    }

    /// Ends the cut.
    pub(crate) async fn mend(&self) -> Result<()> {
        let delete = ["nft", "delete", "table", "inet", "cut"];
        run("ip", &[&["netns", "exec", self.name][..], &delete].concat()).await?;
        Ok(())
    }
}

async fn give_to(path: &Path, user: &str) -> Result<()> {
    let id = async |option| -> Result<u32> {
        let text = run("id", &[option, user]).await?;
        Ok(text.trim().parse()?)
    };
    chown(path, Some(id("-u").await?), Some(id("-g").await?))?;
    Ok(())
}

/// Runs a command to its end, and returns what it wrote.
async fn run(program: &str, words: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("`{program}` does not start"))?;
    ensure!(
        output.status.success(),
        "`{program} {}`: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
