//! `portcullis dev --envoy`: a real Envoy with the module, before the demo upstream.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use portcullis_authority::config::ConfigError;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::credentials::write_secret;

/// The configuration that we ship. Only addresses, the credential's file and the issuer are replaced.
const CONFIGURATION: &str = include_str!("../../../../deploy/envoy.yaml");

/// The file that Envoy loads.
const MODULE: &str = "libportcullis_envoy.so";

/// The longest wait for Envoy to listen.
const START_TIMEOUT: Duration = Duration::from_secs(20);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Options of the Envoy of `dev`.
#[derive(Args)]
pub(crate) struct EnvoyOptions {
    /// Also start this Envoy (1.38 to 1.40) with the module, sign out once through it, and print the time.
    #[arg(long, value_name = "BINARY")]
    envoy: Option<PathBuf>,
    /// The module, libportcullis_envoy.so. If unset, the file beside this program.
    #[arg(long, value_name = "FILE", requires = "envoy")]
    envoy_module: Option<PathBuf>,
    /// Address of Envoy.
    #[arg(long, default_value = "127.0.0.1:7492", value_name = "ADDRESS")]
    pub(crate) envoy_listen: SocketAddr,
}

/// The other parts of `dev`, as Envoy needs them.
pub(crate) struct Parts<'a> {
    pub(crate) authority: SocketAddr,
    pub(crate) upstream: SocketAddr,
    pub(crate) issuer: &'a str,
    /// The credential of the role `gateway`.
    pub(crate) bearer: &'a str,
    /// The directory of the files.
    pub(crate) directory: &'a Path,
}

/// The files of an Envoy that can be started.
pub(crate) struct Programs {
    envoy: PathBuf,
    /// The directory of the module.
    modules: PathBuf,
}

/// A running Envoy. It ends when this is dropped.
pub(crate) struct Envoy {
    process: Child,
    /// Its address.
    pub(crate) address: SocketAddr,
}

impl EnvoyOptions {
    /// Finds the files before anything is started. `None` when no Envoy is asked for.
    pub(crate) fn programs(&self) -> Result<Option<Programs>> {
        let Some(envoy) = &self.envoy else {
            return Ok(None);
        };
        if !envoy.is_file() {
            let problem = format!(
                "{} is not a file: name the binary of Envoy 1.38 to 1.40",
                envoy.display()
            );
            return Err(ConfigError::new("--envoy", problem).into());
        }
        let module = self.find_module()?;
        let modules = module.parent().context("the module has no directory")?;
        Ok(Some(Programs {
            envoy: envoy.clone(),
            modules: modules.to_owned(),
        }))
    }

    fn find_module(&self) -> Result<PathBuf> {
        let module = match &self.envoy_module {
            Some(module) => module.clone(),
            // Where the build puts it.
            None => env::current_exe()?.with_file_name(MODULE),
        };
        // Envoy derives the file's name from the module's name in the configuration, so a renamed
        // file is not found.
        let is_module = module.file_name().is_some_and(|name| name == MODULE);
        if !is_module || !module.is_file() {
            let problem = format!(
                "{} is not the file {MODULE}: build it with `cargo build --manifest-path envoy/Cargo.toml \
                 --target-dir target`, or name it",
                module.display()
            );
            return Err(ConfigError::new("--envoy-module", problem).into());
        }
        Ok(fs::canonicalize(&module)?)
    }
}

impl Programs {
    /// Starts Envoy with the configuration that we ship, and waits until it listens.
    pub(crate) async fn start(&self, listen: SocketAddr, parts: &Parts<'_>) -> Result<Envoy> {
        let address = with_port(listen)?;
        let file = write_files(address, parts)?;
        let log = parts.directory.join("envoy.log");
        let process = self.spawn(&file, &log)?;
        let mut envoy = Envoy { process, address };
        envoy.wait_until_it_listens(&log).await?;
        Ok(envoy)
    }

    fn spawn(&self, configuration: &Path, log: &Path) -> Result<Child> {
        let output = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        Command::new(&self.envoy)
            .arg("--config-path")
            .arg(configuration)
            // Otherwise it shares memory with another Envoy of this machine, and refuses to start.
            .args(["--use-dynamic-base-id", "--log-level", "warning"])
            .args(["--component-log-level", "dynamic_modules:info"])
            .env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", &self.modules)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.envoy.display()))
    }
}

impl Envoy {
    async fn wait_until_it_listens(&mut self, log: &Path) -> Result<()> {
        let give_up = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(self.address).await.is_err() {
            // Asked in each round, because an Envoy that refuses its configuration never listens.
            if let Some(status) = self.process.try_wait()? {
                let written = fs::read_to_string(log).unwrap_or_default();
                bail!("Envoy ended with {status}: {}", last_lines(&written));
            }
            ensure!(
                Instant::now() < give_up,
                "Envoy does not listen on {}: see {}",
                self.address,
                log.display()
            );
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }
}

/// Returns an address with a port that is free, if any port will do.
fn with_port(mut address: SocketAddr) -> Result<SocketAddr> {
    if address.port() == 0 {
        // Envoy would choose a port itself, and tell nobody but its admin page. Another program may
        // take this one in between, which `dev` can live with.
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        address.set_port(probe.local_addr()?.port());
    }
    Ok(address)
}

/// Writes the credential and the configuration, and returns the file of the configuration.
fn write_files(address: SocketAddr, parts: &Parts<'_>) -> Result<PathBuf> {
    let bearer = parts.directory.join("envoy.bearer");
    write_secret(&bearer, parts.bearer)?;
    // The configuration has an absolute path in this place, whatever `--data-dir` is.
    let bearer = fs::canonicalize(&bearer)?;
    let file = parts.directory.join("envoy.yaml");
    let text = configuration(address, &bearer, parts)?;
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// Returns the configuration that we ship with the addresses of this machine.
fn configuration(address: SocketAddr, bearer: &Path, parts: &Parts<'_>) -> Result<String> {
    let replacements = [
        (
            "address: 0.0.0.0, port_value: 8080",
            format!("address: {}, port_value: {}", address.ip(), address.port()),
        ),
        // Any port: nobody asks this one.
        ("port_value: 9901", "port_value: 0".to_owned()),
        (
            "http://127.0.0.1:7400",
            format!("http://{}", parts.authority),
        ),
        (
            "/etc/portcullis/gateway.bearer",
            serde_json::to_string(&bearer.display().to_string())?,
        ),
        (
            "issuer: http://127.0.0.1:7480",
            format!("issuer: {}", parts.issuer),
        ),
        (
            "port_value: 7491",
            format!("port_value: {}", parts.upstream.port()),
        ),
    ];
    let mut text = CONFIGURATION.to_owned();
    for (shipped, own) in replacements {
        ensure!(
            // A replacement that no longer fits would leave an address of the sample in place.
            text.matches(shipped).count() == 1,
            "deploy/envoy.yaml does not have `{shipped}` once"
        );
        text = text.replace(shipped, &own);
    }
    Ok(text)
}

fn last_lines(text: &str) -> String {
    const LINES: usize = 5;
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_we_ship_has_everything_that_dev_replaces() {
        let parts = Parts {
            authority: ([127, 0, 0, 1], 1).into(),
            upstream: ([127, 0, 0, 1], 2).into(),
            issuer: "http://issuer.test",
            bearer: "",
            directory: Path::new("/tmp"),
        };
        let bearer = Path::new("/tmp/a bearer");
        let text = configuration(([127, 0, 0, 1], 3).into(), bearer, &parts).expect("all there");
        for own in [
            "http://127.0.0.1:1",
            "\"/tmp/a bearer\"",
            "issuer: http://issuer.test",
        ] {
            assert!(text.contains(own), "{own}");
        }
        assert!(
            !text.contains("0.0.0.0"),
            "dev listens on loopback addresses only"
        );
    }
}
