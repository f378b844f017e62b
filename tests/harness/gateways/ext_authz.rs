//! Envoy that asks a sidecar, from `deploy/envoy-ext-authz.yaml`.

use std::{net::SocketAddr, path::Path};

use serde_json::Value;

use super::{Launch, Program, Running, program::deployed};
use crate::ports::free_address;

/// Starts Envoy before `upstream`, with a sidecar at `socket`, and waits until it listens.
///
/// # Panics
/// When it does not start, or the file lacks one of the three values.
pub async fn start(program: &Program, socket: &Path, upstream: SocketAddr) -> Running {
    start_with(program, socket, upstream, |_| {}).await
}

/// Starts it with a change of the configuration.
///
/// # Panics
/// When it does not start, or the file lacks one of the three values.
pub async fn start_with(
    program: &Program,
    socket: &Path,
    upstream: SocketAddr,
    mut change: impl FnMut(&mut Value),
) -> Running {
    Running::start(|| {
        let address = free_address();
        let text = config_text(address, socket, upstream);
        let mut config: Value = serde_saphyr::from_str(&text).expect("YAML");
        change(&mut config);
        let mut command = std::process::Command::new(&program.path);
        command
            .arg("--config-yaml")
            .arg(config.to_string())
            .args(["--concurrency", "1", "--use-dynamic-base-id"])
            .args(["--log-level", "warn"]);
        Launch { command, address }
    })
    .await
}

/// The shipped file with the values of a test.
fn config_text(address: SocketAddr, socket: &Path, upstream: SocketAddr) -> String {
    let mut text = deployed("envoy-ext-authz.yaml");
    for (shipped, ours) in [
        (
            "{ address: 0.0.0.0, port_value: 8080 }",
            format!("{{ address: 127.0.0.1, port_value: {} }}", address.port()),
        ),
        (
            "{ address: 127.0.0.1, port_value: 7491 }",
            format!("{{ address: 127.0.0.1, port_value: {} }}", upstream.port()),
        ),
        (
            "/run/portcullis-sidecar/ext-authz.sock",
            socket.display().to_string(),
        ),
    ] {
        assert_eq!(text.matches(shipped).count(), 1, "{shipped}");
        text = text.replace(shipped, &ours);
    }
    text
}
