//! A real OpenBao server over TLS, with a transit engine. Its API is Vault's.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    authority::write_private, gateways::program::openbao, ports::free_address, wait::eventually,
};

const ROOT: &str = "root-of-this-test";

/// What the token of an authority may do: as in docs/operating/keys.md.
const POLICY: &str = r#"path "transit/hmac/portcullis/sha2-256" { capabilities = ["update"] }"#;

/// A running server.
pub struct OpenBao {
    _child: Child,
    directory: TempDir,
    /// `https://` and its address.
    pub address: String,
    /// The token of an authority.
    pub token: String,
}

impl OpenBao {
    /// Starts it, and makes the key `portcullis` and a token that may use it.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listen = free_address();
        let child = Command::new(openbao().path)
            .args(["server", "-dev", "-dev-tls", "-dev-no-store-token"])
            .arg(format!("-dev-tls-cert-dir={}", directory.path().display()))
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address={listen}"))
            .env("HOME", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("OpenBao starts");
        let mut bao = Self {
            _child: child,
            directory,
            address: format!("https://{listen}"),
            token: String::new(),
        };
        eventually("OpenBao to answer", async || {
            let answered = bao.ask(&["token", "lookup"]).await;
            answered.status.success().then_some(())
        })
        .await;

        bao.run(&["secrets", "enable", "transit"]).await;
        bao.run(&["write", "-force", "transit/keys/portcullis"])
            .await;
        let policy = bao.file("policy.hcl");
        write_private(&policy, POLICY);
        bao.run(&[
            "policy",
            "write",
            "portcullis",
            &policy.display().to_string(),
        ])
        .await;
        let made = bao
            .run(&[
                "token",
                "create",
                "-policy=portcullis",
                "-no-default-policy",
                "-orphan",
                "-field=token",
            ])
            .await;
        bao.token = made.trim().to_owned();
        write_private(&bao.token_file(), &bao.token);
        bao
    }

    /// The file with the token.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.file("token")
    }

    /// The authority of its certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.file("vault-ca.pem")
    }

    /// A file of this server.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command of its own tool as root, and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let ran = self.ask(arguments).await;
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
        String::from_utf8(ran.stdout).expect("UTF-8")
    }

    async fn ask(&self, arguments: &[&str]) -> Output {
        let ran = Command::new(openbao().path)
            .args(arguments)
            .env("BAO_ADDR", &self.address)
            .env("BAO_TOKEN", ROOT)
            .env("BAO_CACERT", self.ca_file())
            .env("HOME", self.directory.path())
            .output();
        ran.await.expect("the tool starts")
    }
}
