//! Debian's Prometheus, which reads native histograms.

use std::{net::SocketAddr, process::Stdio};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{ports::free_address, serve, wait::eventually};

/// A running Prometheus that reads one target.
pub struct Prometheus {
    _child: Child,
    _directory: TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it. It reads the metrics at this address five times a second.
    ///
    /// # Panics
    /// When Prometheus is not there.
    pub async fn reading(target: SocketAddr) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let configuration = directory.path().join("prometheus.yaml");
        let scrapes = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: authority, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        std::fs::write(&configuration, scrapes).expect("written");

        let address = free_address();
        let child = Command::new("prometheus")
            .arg("--enable-feature=native-histograms")
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("no prometheus: run `cargo xtask test`, which installs it");
        eventually("Prometheus to be ready", async || {
            // Nobody listens at first, and then it answers that it starts.
            TcpStream::connect(address).await.ok()?;
            let answer = serve::answer(address, "/-/ready").await;
            answer.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        Self {
            _child: child,
            _directory: directory,
            address,
        }
    }

    /// Asks for the present value of an expression that is one number. None: there is no value yet.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn value(&self, expression: &str) -> Option<f64> {
        let expression = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let path = format!("/api/v1/query?query={expression}");
        let answer: Value =
            serde_json::from_str(&serve::get(self.address, &path).await).expect("JSON");
        let value = answer["data"]["result"][0]["value"][1].as_str()?;
        value.parse().ok()
    }
}
