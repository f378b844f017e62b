//! Traefik, started from `deploy/traefik.yaml` and `deploy/traefik-dynamic.yaml`.

use std::process::Command;

use super::{Behind, Gateway, Launch, Program, Running, Sample, loopback, open_directory};

/// Starts Traefik before an application, and waits until it listens. The sidecar must listen on TCP.
///
/// # Panics
/// When it does not start.
pub async fn start(program: &Program, behind: &Behind) -> Gateway {
    start_with(program, behind, |sample| sample).await
}

/// Starts it with further changes of the file.
///
/// # Panics
/// When it does not start.
pub async fn start_with(
    program: &Program,
    behind: &Behind,
    change: impl Fn(Sample) -> Sample,
) -> Gateway {
    let directory = open_directory();
    let home = directory.path();
    let file = home.join("traefik.yaml");
    Sample::deployed("traefik-dynamic.yaml")
        .application(behind)
        .set("127.0.0.1:7501", &behind.sidecar)
        .write(&home.join("traefik-dynamic.yaml"));
    let running = Running::start(|| {
        let http = loopback();
        change(Sample::deployed("traefik.yaml"))
            .listen(http)
            .set("/etc/portcullis", &home.display().to_string())
            .write(&file);
        let mut command = Command::new(&program.path);
        command.arg(format!("--configfile={}", file.display()));
        Launch {
            command,
            address: http,
        }
    })
    .await;
    let http2 = running.address;
    Gateway::new(running, http2, directory)
}
