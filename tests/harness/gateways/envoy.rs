//! Envoy with the module, started from `deploy/envoy.yaml`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Launch, Program, Running, program::deployed};
use crate::{
    authority::{AUDIENCE, GATEWAY, ISSUER, write_private},
    ports::free_address,
    process::built,
    serve,
};

/// The configuration of the HTTP connection manager in an Envoy configuration.
pub const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The configuration of the module within [`MANAGER`].
const MODULE: &str = "/http_filters/0/typed_config/filter_config/value";

/// The module, which `cargo xtask test` builds.
#[must_use]
pub fn module() -> PathBuf {
    built("libportcullis_envoy.so")
}

/// The configuration of an Envoy.
#[derive(Clone, Debug)]
pub struct EnvoyConfig {
    /// The whole configuration.
    pub value: Value,
}

impl EnvoyConfig {
    /// The file that we ship, before `upstream`, with a gate of the test's own authority at `endpoint`.
    ///
    /// # Panics
    /// When the file is not what it was.
    #[must_use]
    pub fn deployed(endpoint: &str, upstream: SocketAddr) -> Self {
        let text = deployed("envoy.yaml");
        let mut config = Self {
            value: serde_saphyr::from_str(&text).expect("YAML"),
        };
        config.set(
            "/static_resources/listeners/0/address/socket_address/address",
            json!("127.0.0.1"),
        );
        let server =
            "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint";
        config.set(
            &format!("{server}/address/socket_address/port_value"),
            json!(upstream.port()),
        );
        let authority = config.at("/authority");
        authority["endpoints"] = json!([endpoint]);
        authority["issuer"] = json!(ISSUER);
        authority["audience"] = json!(AUDIENCE);
        config
    }

    /// The value at a JSON pointer within the configuration of the module.
    ///
    /// # Panics
    /// When there is none.
    pub fn at(&mut self, pointer: &str) -> &mut Value {
        let pointer = format!("{MANAGER}{MODULE}{pointer}");
        self.value.pointer_mut(&pointer).expect("a value")
    }

    /// The configuration of the HTTP connection manager.
    ///
    /// # Panics
    /// When there is none.
    pub fn manager(&mut self) -> &mut Value {
        self.value.pointer_mut(MANAGER).expect("a manager")
    }

    /// Replaces a value that is there.
    ///
    /// # Panics
    /// When it is not there.
    pub fn set(&mut self, pointer: &str, value: Value) {
        let place = self.value.pointer_mut(pointer);
        *place.unwrap_or_else(|| panic!("no {pointer}")) = value;
    }
}

/// How an Envoy is started.
#[derive(Clone, Debug)]
pub struct EnvoyOptions {
    /// Its worker threads.
    pub workers: u32,
    /// More arguments.
    pub arguments: Vec<String>,
    /// Whether Envoy reads the listeners from a file that [`Envoy::replace`] replaces.
    pub dynamic_listeners: bool,
}

impl Default for EnvoyOptions {
    fn default() -> Self {
        Self {
            workers: 2,
            arguments: vec!["--use-dynamic-base-id".into()],
            dynamic_listeners: false,
        }
    }
}

/// A running Envoy. It ends with its owner.
pub struct Envoy {
    /// The process, and the address of the gate.
    pub running: Running,
    /// The address of the administration.
    pub admin: SocketAddr,
    /// The configuration with its ports.
    pub config: EnvoyConfig,
    directory: TempDir,
}

impl Envoy {
    /// Starts it and waits until it listens.
    pub async fn start(program: &Program, config: &EnvoyConfig) -> Self {
        Self::start_with(program, config, &EnvoyOptions::default()).await
    }

    /// Starts it with options of the test's own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(
        program: &Program,
        config: &EnvoyConfig,
        options: &EnvoyOptions,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut config = config.clone();
        let mut admin = free_address();
        let running = Running::start(|| {
            let gate = free_address();
            admin = free_address();
            config.set(
                "/static_resources/listeners/0/address/socket_address/port_value",
                json!(gate.port()),
            );
            config.set(
                "/admin/address/socket_address/port_value",
                json!(admin.port()),
            );
            Launch {
                command: command(program, &config, options, directory.path()),
                address: gate,
            }
        })
        .await;
        Self {
            running,
            admin,
            config,
            directory,
        }
    }

    /// The address of the gate.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Starts another one that takes over from this one, with the same configuration and addresses.
    pub async fn restart(&self, program: &Program, options: &EnvoyOptions) -> Running {
        let config = self.config.clone();
        let address = self.running.address;
        Running::start(|| Launch {
            command: command(program, &config, options, self.directory.path()),
            address,
        })
        .await
    }

    /// Replaces the listeners. Envoy notices it, and takes the new ones or keeps the old ones.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn replace(&self, config: &EnvoyConfig) {
        write_listeners(config, self.directory.path());
    }

    /// The number of one of its stats.
    ///
    /// # Panics
    /// When there is none.
    pub async fn stat(&self, name: &str) -> u64 {
        let stats = serve::answer(self.admin, "/stats").await;
        for line in stats.lines() {
            if let Some((key, number)) = line.split_once(": ")
                && key.ends_with(name)
            {
                return number.trim().parse().expect("a number");
            }
        }
        panic!("no {name} in {stats}");
    }
}

/// The command that starts an Envoy with the module, its files in `directory`.
///
/// # Panics
/// When a file cannot be written.
#[must_use]
pub fn command(
    program: &Program,
    config: &EnvoyConfig,
    options: &EnvoyOptions,
    directory: &Path,
) -> Command {
    let mut config = config.clone();
    let bearer = directory.join("gateway.bearer");
    write_private(&bearer, GATEWAY);
    let authority = config.at("/authority");
    if authority.get("bearer_file").is_some() {
        authority["bearer_file"] = json!(bearer);
    }
    if options.dynamic_listeners {
        let file = write_listeners(&config, directory);
        config.value["static_resources"]["listeners"] = json!([]);
        config.value["node"] = json!({ "id": "test", "cluster": "test" });
        config.value["dynamic_resources"] =
            json!({ "lds_config": { "path_config_source": { "path": file } } });
    }
    let file = directory.join("envoy.json");
    fs::write(&file, config.value.to_string()).expect("written");

    let mut command = Command::new(&program.path);
    command
        .arg("--config-path")
        .arg(file)
        .args(["--concurrency", &options.workers.to_string()])
        .args([
            "--log-level",
            "warn",
            "--component-log-level",
            "dynamic_modules:info",
        ])
        .args(&options.arguments)
        .env(
            "ENVOY_DYNAMIC_MODULES_SEARCH_PATH",
            module().parent().expect("a directory"),
        );
    command
}

/// Writes the listeners into a file of their own. It appears whole: Envoy looks when it is renamed.
fn write_listeners(config: &EnvoyConfig, directory: &Path) -> PathBuf {
    let mut config = config.clone();
    let authority = config.at("/authority");
    if authority.get("bearer_file").is_some() {
        authority["bearer_file"] = json!(directory.join("gateway.bearer"));
    }
    let mut listeners = config.value["static_resources"]["listeners"].take();
    for listener in listeners.as_array_mut().expect("listeners") {
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    }
    let file = directory.join("listeners.json");
    let part = directory.join("listeners.part");
    let text = json!({ "resources": listeners }).to_string();
    fs::write(&part, text).expect("written");
    fs::rename(&part, &file).expect("renamed");
    file
}
