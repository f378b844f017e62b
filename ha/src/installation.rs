//! The machines with their files and programs: three for the database, two for authorities and gates.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    authority::{digest, write_master_key},
    process::built,
};
use tokio::process::Child;

use crate::{
    Options,
    certificates::Issuer,
    cluster,
    machines::{Machine, Program, lay_wire},
    secrets::Secrets,
};

/// The files of this installation.
const FILES: &str = "deploy/ha";
const DATABASES: [(&str, u8); 3] = [("db1", 11), ("db2", 12), ("db3", 13)];
const APPLICATIONS: [(&str, u8); 2] = [("app1", 21), ("app2", 22)];
/// The line of `patroni.yml` that a run without the synchronous mode changes.
const SYNCHRONOUS: &str = "synchronous_mode: true";
/// Tokens outlive the run, so that a gate refuses one at the end because it was revoked, and for nothing else.
const ACCESS_TOKEN_LIFETIME: &str = "6h";

/// The whole of it.
pub(crate) struct Installation {
    pub(crate) databases: Vec<Machine>,
    pub(crate) applications: Vec<Machine>,
    pub(crate) secrets: Secrets,
    /// The certificate that callers trust.
    pub(crate) ca_certificate: String,
    /// Whether Patroni runs its synchronous mode.
    pub(crate) synchronous: bool,
    authorities: Vec<Option<Child>>,
    gates: Vec<Option<Child>>,
}

impl Installation {
    /// Makes the machines and starts everything, the database first.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let root = empty_directory(&options.out)?;
        let patroni = match &options.patroni {
            Some(directory) => directory.canonicalize().context("--patroni")?,
            None => PathBuf::new(),
        };
        let files = Path::new(FILES).canonicalize().context(FILES)?;
        lay_wire(&files.join("hosts")).await?;

        let issuer = Issuer::new()?;
        let mut installation = Self {
            databases: Vec::new(),
            applications: Vec::new(),
            secrets: Secrets::draw(),
            ca_certificate: issuer.pem(),
            synchronous: !options.asynchronous,
            authorities: vec![None, None],
            gates: vec![None, None],
        };
        let hosts = read("hosts")?;
        for (name, host) in DATABASES {
            let address = Ipv4Addr::new(10, 108, 0, host);
            let machine = Machine::make(name, address, &root, &hosts, &patroni).await?;
            installation.write_database(&machine, &issuer).await?;
            installation.databases.push(machine);
        }
        let master_key = draw_master_key(&root)?;
        for (name, host) in APPLICATIONS {
            let address = Ipv4Addr::new(10, 108, 0, host);
            let machine = Machine::make(name, address, &root, &hosts, &patroni).await?;
            installation
                .write_application(&machine, &issuer, &master_key)
                .await?;
            installation.applications.push(machine);
        }

        for index in 0..DATABASES.len() {
            installation.start_database(index)?;
        }
        cluster::become_healthy(&installation).await?;
        println!("ha: three database machines serve");
        for index in 0..APPLICATIONS.len() {
            installation.start_authority(index)?;
            installation.start_gate(index)?;
        }
        Ok(installation)
    }

    async fn write_database(&self, machine: &Machine, issuer: &Issuer) -> Result<()> {
        let name = machine.name;
        let etcd = read(&format!("{name}/etcd"))?;
        machine.write("default/etcd", &etcd, "root", 0o644).await?;

        let mut patroni = read("patroni.yml")?;
        if !self.synchronous {
            ensure!(patroni.contains(SYNCHRONOUS), "patroni.yml has changed");
            patroni = patroni.replace(SYNCHRONOUS, "synchronous_mode: false");
        }
        machine
            .write("patroni/config.yml", &patroni, "postgres", 0o600)
            .await?;
        let script = read("post_bootstrap.sh")?;
        machine
            .write("patroni/post_bootstrap.sh", &script, "postgres", 0o700)
            .await?;

        let mut environment = read(&format!("{name}/patroni_env.conf"))?;
        for (variable, password) in [
            ("PATRONI_SUPERUSER_PASSWORD", &self.secrets.superuser),
            ("PATRONI_REPLICATION_PASSWORD", &self.secrets.replication),
            ("PORTCULLIS_DATABASE_PASSWORD", &self.secrets.database),
        ] {
            environment.push_str(&format!("{variable}=\"{password}\"\n"));
        }
        machine
            .write("patroni_env.conf", &environment, "postgres", 0o600)
            .await?;

        let certificate = issuer.server(&format!("{name}.internal"))?;
        for (file, text) in [
            ("ca.pem", &issuer.pem()),
            ("server.pem", &certificate.pem),
            ("server.key", &certificate.key),
        ] {
            let file = format!("patroni/tls/{file}");
            machine.write(&file, text, "postgres", 0o600).await?;
        }
        Ok(())
    }

    async fn write_application(
        &self,
        machine: &Machine,
        issuer: &Issuer,
        master_key: &str,
    ) -> Result<()> {
        let certificate = issuer.server(&format!("{}.internal", machine.name))?;
        for (file, text) in [
            ("portcullis.toml", &read("portcullis.toml")?),
            ("sidecar.toml", &read("sidecar.toml")?),
            ("environment", &self.environment()),
            ("master.key", &master_key.to_owned()),
            ("gateway.bearer", &self.secrets.gateway),
            ("tls/ca.pem", &issuer.pem()),
            ("tls/chain.pem", &certificate.pem),
            ("tls/server.key", &certificate.key),
        ] {
            let file = format!("portcullis/{file}");
            machine.write(&file, text, "root", 0o600).await?;
        }
        machine
            .make_directory("run/portcullis-sidecar", "root")
            .await
    }

    /// The text of `/etc/portcullis/environment`: what is secret, and what only a rig needs.
    fn environment(&self) -> String {
        let password = &self.secrets.database;
        let url = format!(
            "postgres://portcullis:{password}@db1.internal,db2.internal,db3.internal/portcullis\
             ?sslmode=verify-full&sslrootcert=/etc/portcullis/tls/ca.pem"
        );
        let mut callers = Vec::new();
        for (name, bearer, roles) in [
            ("sign-in", &self.secrets.login, r#"["login"]"#),
            ("gateways", &self.secrets.gateway, r#"["gateway"]"#),
            (
                "back-office",
                &self.secrets.admin,
                r#"["support", "admin"]"#,
            ),
        ] {
            let digest = digest(bearer);
            callers.push(format!(
                r#"{{name = "{name}", bearer_sha256 = "{digest}", roles = {roles}}}"#
            ));
        }
        let callers = callers.join(", ");
        format!(
            "PORTCULLIS_STORE__URL='{url}'\n\
             PORTCULLIS_CALLERS='[{callers}]'\n\
             PORTCULLIS_TOKENS__ACCESS_TOKEN_LIFETIME={ACCESS_TOKEN_LIFETIME}\n"
        )
    }

    /// Starts etcd and Patroni, which starts PostgreSQL.
    pub(crate) fn start_database(&self, index: usize) -> Result<()> {
        let machine = &self.databases[index];
        let etcd = Program {
            user: "etcd",
            environment: "/etc/default/etcd",
            command: &["/usr/bin/etcd"],
        };
        machine.start("etcd", &etcd)?;
        let patroni = patroni(&[
            "/usr/bin/python3",
            "-m",
            "patroni",
            "/etc/patroni/config.yml",
        ]);
        machine.start("patroni", &patroni)?;
        Ok(())
    }

    /// Starts `portcullis serve`.
    pub(crate) fn start_authority(&mut self, index: usize) -> Result<()> {
        let binary = built("portcullis").display().to_string();
        let config = "/etc/portcullis/portcullis.toml";
        let authority = Program {
            user: "root",
            environment: "/etc/portcullis/environment",
            command: &[&binary, "serve", "--config", config],
        };
        let child = self.applications[index].start("authority", &authority)?;
        self.authorities[index] = Some(child);
        Ok(())
    }

    /// `kill -9` of an authority.
    pub(crate) async fn kill_authority(&mut self, index: usize) -> Result<()> {
        let mut authority = self.authorities[index].take().context("it runs")?;
        Ok(authority.kill().await?)
    }

    fn start_gate(&mut self, index: usize) -> Result<()> {
        let binary = built("portcullis-sidecar").display().to_string();
        let config = "/etc/portcullis/sidecar.toml";
        let sidecar = Program {
            user: "root",
            environment: "/etc/portcullis/sidecar.environment",
            command: &[&binary, "--config", config],
        };
        let child = self.applications[index].start("gate", &sidecar)?;
        self.gates[index] = Some(child);
        Ok(())
    }

    /// Ends a gate and starts one that knows nothing yet.
    pub(crate) async fn replace_gate(&mut self, index: usize) -> Result<()> {
        let mut gate = self.gates[index].take().context("it runs")?;
        gate.kill().await?;
        self.start_gate(index)
    }

    /// The socket of a gate, as the outside sees it.
    pub(crate) fn gate_socket(&self, index: usize) -> String {
        let socket = self.applications[index].path("run/portcullis-sidecar/verify.sock");
        format!("unix:{}", socket.display())
    }
}

/// A command of Patroni, with its environment.
pub(crate) fn patroni<'a>(command: &'a [&'a str]) -> Program<'a> {
    Program {
        user: "postgres",
        environment: "/etc/patroni_env.conf",
        command,
    }
}

/// Removes what an earlier run left there.
fn empty_directory(out: &Path) -> Result<PathBuf> {
    fs::create_dir_all(out)?;
    let root = out.canonicalize()?;
    for (name, _) in DATABASES.iter().chain(&APPLICATIONS) {
        let machine = root.join(name);
        if machine.exists() {
            fs::remove_dir_all(&machine)?;
        }
    }
    Ok(root)
}

fn draw_master_key(root: &Path) -> Result<String> {
    let file = root.join("master.key");
    write_master_key(&file);
    let key = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    Ok(key)
}

fn read(file: &str) -> Result<String> {
    let path = Path::new(FILES).join(file);
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}
