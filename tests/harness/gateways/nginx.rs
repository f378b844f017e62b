//! NGINX, started from `deploy/nginx.conf`.

use std::{path::Path, process::Command};

use super::{Behind, Gateway, Launch, Program, Running, Sample, open_directory};
use crate::ports::free_address;

/// Starts NGINX before an application, and waits until it listens.
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
    let file = home.join("nginx.conf");
    let mut http2 = free_address();
    let running = Running::start(|| {
        let http = free_address();
        http2 = free_address();
        with_room(change(Sample::deployed("nginx.conf")), home)
            .listen(http)
            .application(behind)
            .set("127.0.0.1:8082", &http2.to_string())
            .set(
                "unix:/run/portcullis-sidecar/forward-auth.sock",
                &behind.sidecar,
            )
            .write(&file);
        Launch {
            command: command(program, home, &file),
            address: http,
        }
    })
    .await;
    Gateway::new(running, http2, directory)
}

/// Puts the files that NGINX writes into a directory of the test: only root may write where a service does.
fn with_room(sample: Sample, home: &Path) -> Sample {
    let mut http = "http {\n".to_owned();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let directory = home.join(kind);
        http.push_str(&format!("    {kind}_temp_path {};\n", directory.display()));
    }
    let pid = home.join("pid");
    sample
        .set("http {\n", &http)
        .set("/run/nginx-portcullis.pid", &pid.display().to_string())
}

fn command(program: &Program, home: &Path, file: &Path) -> Command {
    let mut command = Command::new(&program.path);
    command.arg("-p").arg(home).arg("-c").arg(file);
    // The log of the time before the file was read.
    command.args(["-e", "stderr", "-g", "daemon off;"]);
    command
}
