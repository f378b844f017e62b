//! HAProxy, started from `deploy/haproxy.cfg` with `deploy/haproxy-auth.lua`.

use std::process::Command;

use super::{Behind, Gateway, Launch, Program, Running, Sample, open_directory, program::root};
use crate::ports::free_address;

/// Starts HAProxy before an application, and waits until it listens.
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
    let file = directory.path().join("haproxy.cfg");
    let script = root().join("deploy/haproxy-auth.lua");
    let mut http2 = free_address();
    let running = Running::start(|| {
        let http = free_address();
        http2 = free_address();
        change(Sample::deployed("haproxy.cfg"))
            .listen(http)
            .application(behind)
            .set("127.0.0.1:8082", &http2.to_string())
            .set(
                "/etc/portcullis/haproxy-auth.lua",
                &script.display().to_string(),
            )
            .set(
                "unix@/run/portcullis-sidecar/forward-auth.sock",
                &address(behind),
            )
            .write(&file);
        let mut command = Command::new(&program.path);
        // In the foreground, one process.
        command.arg("-db").arg("-f").arg(&file);
        Launch {
            command,
            address: http,
        }
    })
    .await;
    Gateway::new(running, http2, directory)
}

fn address(behind: &Behind) -> String {
    match behind.sidecar.strip_prefix("unix:") {
        Some(path) => format!("unix@{path}"),
        None => format!("ipv4@{}", behind.sidecar),
    }
}
