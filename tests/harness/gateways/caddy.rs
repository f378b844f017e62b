//! Caddy, started from `deploy/Caddyfile`.

use std::process::Command;

use super::{Behind, Gateway, Https, Launch, Program, Running, Sample, open_directory};
use crate::ports::free_address;

/// The line that the Caddyfile tells a person with an old Caddy to delete.
const NEEDS_2_7: &str = "\t\t\tstream_timeout 5m\n";

/// Starts Caddy before an application with a listener for HTTPS too, and waits until it listens.
///
/// # Panics
/// When it does not start.
pub async fn start_https(program: &Program, behind: &Behind, https: &Https) -> Gateway {
    start_at(program, behind, Some(https), |sample| sample).await
}

/// Starts Caddy before an application with changes of the file, and waits until it listens.
///
/// # Panics
/// When it does not start.
pub async fn start_with(
    program: &Program,
    behind: &Behind,
    change: impl Fn(Sample) -> Sample,
) -> Gateway {
    start_at(program, behind, None, change).await
}

async fn start_at(
    program: &Program,
    behind: &Behind,
    https: Option<&Https>,
    change: impl Fn(Sample) -> Sample,
) -> Gateway {
    let directory = open_directory();
    let home = directory.path();
    let file = home.join("Caddyfile");
    let running = Running::start(|| {
        let http = free_address();
        let mut sample = change(Sample::deployed("Caddyfile"));
        if let Some(https) = https {
            sample = listen_https(sample, https);
        }
        sample = sample
            .set("http://:8080", &format!("http://:{}", http.port()))
            .application(behind)
            .set(
                "unix//run/portcullis-sidecar/forward-auth.sock",
                &upstream(behind),
            );
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

/// Takes the site for HTTPS out of its comment.
fn listen_https(sample: Sample, https: &Https) -> Sample {
    let shipped = sample.block("# https://:8443");
    let ours = shipped
        .replace("# ", "")
        .replace(":8443", &format!(":{}", https.address.port()))
        .replace(
            "/etc/portcullis/tls.crt",
            &https.certificate.display().to_string(),
        )
        .replace("/etc/portcullis/tls.key", &https.key.display().to_string());
    sample.set(&shipped, &ours)
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
