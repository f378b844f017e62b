//! Caddy, started from `deploy/Caddyfile`.

use std::process::Command;

use super::{Behind, Gateway, Launch, Program, Running, Sample, loopback, open_directory};

/// The line that the Caddyfile tells a person with an old Caddy to delete.
const NEEDS_2_7: &str = "\t\t\tstream_timeout 5m\n";

/// Starts Caddy before an application, and waits until it listens.
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
    let file = home.join("Caddyfile");
    let running = Running::start(|| {
        let http = loopback();
        let mut sample = change(Sample::deployed("Caddyfile"))
            .set("http://:8080", &format!("http://:{}", http.port()))
            .application(behind)
            .set("unix//run/portcullis/forward-auth.sock", &upstream(behind));
        if is_before_2_7(program) {
            sample = sample.set(NEEDS_2_7, "");
        }
        sample.write(&file);
        let mut command = Command::new(&program.path);
        command.args(["run", "--adapter", "caddyfile", "--config"]);
        command.arg(&file);
        // Caddy keeps files in the home of its user.
        for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(variable, home);
        }
        Launch {
            command,
            address: http,
        }
    })
    .await;
    let http2 = running.address;
    Gateway::new(running, http2, directory)
}

fn upstream(behind: &Behind) -> String {
    // An absolute path: two slashes.
    behind.sidecar.replace("unix:/", "unix//")
}

fn is_before_2_7(program: &Program) -> bool {
    let output = Command::new(&program.path)
        .arg("version")
        .output()
        .expect("its version");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.trim().trim_start_matches('v').split('.');
    let mut next = || -> u32 {
        let number = numbers.next().and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("no version: {text}"))
    };
    (next(), next()) < (2, 7)
}
