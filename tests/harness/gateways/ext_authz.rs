//! Envoy that asks a sidecar, from `deploy/envoy-ext-authz.yaml`.

use std::{net::SocketAddr, path::Path};

use super::{Launch, Program, Running, free_port, program::deployed};

/// Starts Envoy before `upstream`, with a sidecar at `socket`, and waits until it listens.
///
/// # Panics
/// When it does not start, or the file lacks one of the three values.
pub async fn start(program: &Program, socket: &Path, upstream: SocketAddr) -> Running {
    Running::start(|| {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = std::process::Command::new(&program.path);
        command
            .arg("--config-yaml")
            .arg(config(address, socket, upstream))
            .args(["--concurrency", "1", "--use-dynamic-base-id"])
            .args(["--log-level", "warn"]);
        Launch { command, address }
    })
    .await
}

/// The shipped file with the values of a test.
fn config(address: SocketAddr, socket: &Path, upstream: SocketAddr) -> String {
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
