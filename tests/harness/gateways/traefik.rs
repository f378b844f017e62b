//! Traefik, started from `deploy/traefik.yaml` and `deploy/traefik-dynamic.yaml`.

use std::process::Command;

use super::{Behind, Gateway, Https, Launch, Program, Running, Sample, open_directory};
use crate::ports::free_address;

/// Starts Traefik before an application with a listener for HTTPS too, and waits until it listens. The sidecar must listen
/// on TCP.
///
/// # Panics
/// When it does not start.
pub async fn start_https(program: &Program, behind: &Behind, https: &Https) -> Gateway {
    start_at(program, behind, Some(https), |sample| sample).await
}

/// Starts Traefik before an application with changes of the file, and waits until it listens.
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
    let file = home.join("traefik.yaml");
    let mut dynamic = Sample::deployed("traefik-dynamic.yaml")
        .application(behind)
        .set("127.0.0.1:7501", &behind.sidecar);
    if let Some(https) = https {
        dynamic = certificate(dynamic, https);
    }
    dynamic.write(&home.join("traefik-dynamic.yaml"));
    let running = Running::start(|| {
        let http = free_address();
        let mut sample = change(Sample::deployed("traefik.yaml")).listen(http);
        if let Some(https) = https {
            sample = listen_https(sample, https);
        }
        sample
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

/// Takes the entry point for HTTPS out of its comment.
fn listen_https(sample: Sample, https: &Https) -> Sample {
    let shipped = sample.block("  # secure:");
    let ours = shipped
        .replace("  # ", "  ")
        .replace("127.0.0.1:8443", &https.address.to_string());
    sample.set(&shipped, &ours)
}

/// Takes the certificate out of its comment.
fn certificate(sample: Sample, https: &Https) -> Sample {
    let shipped = sample.block("# tls:");
    let ours = shipped
        .replace("# ", "")
        .replace(
            "/etc/portcullis/tls.crt",
            &https.certificate.display().to_string(),
        )
        .replace("/etc/portcullis/tls.key", &https.key.display().to_string());
    sample.set(&shipped, &ours)
}
