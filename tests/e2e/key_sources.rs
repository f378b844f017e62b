//! Master keys in a token of PKCS#11 and in Vault: an installation is resealed to them and back, and each mistake is named.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use portcullis_authority::config::{
    Config, MasterKeySource, Pkcs11Config, SecretSource, VaultConfig,
};
use portcullis_contract::v1::{self, session_service_client::SessionServiceClient};
use portcullis_tests::{
    authority::{LOGIN, OPERATOR, TENANT, config, sign_in, write_private},
    openbao::OpenBao,
    process::binary,
    serve::Serve,
    softhsm::{MODULE, PIN, SoftHsm},
    wait::within,
};
use tempfile::TempDir;
use tokio::process::Command;

fn file(path: &Path) -> MasterKeySource {
    MasterKeySource {
        file: Some(path.to_owned()),
        ..MasterKeySource::default()
    }
}

fn secret(path: &Path) -> SecretSource {
    SecretSource {
        file: Some(path.to_owned()),
        ..SecretSource::default()
    }
}

fn in_token(hsm: &SoftHsm, token: &str, key: &str) -> Pkcs11Config {
    Pkcs11Config {
        module: MODULE.into(),
        token: token.to_owned(),
        key: key.to_owned(),
        pin: secret(&hsm.pin_file()),
    }
}

fn of_pkcs11(config: Pkcs11Config) -> MasterKeySource {
    MasterKeySource {
        pkcs11: Some(config),
        ..MasterKeySource::default()
    }
}

fn in_vault(bao: &OpenBao, version: u32) -> VaultConfig {
    VaultConfig {
        address: bao.address.clone(),
        ca_file: Some(bao.ca_file()),
        namespace: None,
        mount: "transit".to_owned(),
        key: "portcullis".to_owned(),
        version,
        token: secret(&bao.token_file()),
    }
}

fn of_vault(config: VaultConfig) -> MasterKeySource {
    MasterKeySource {
        vault: Some(config),
        ..MasterKeySource::default()
    }
}

/// Lets an authority seal by one key and open with others too.
fn configure(config: &mut Config, current: &MasterKeySource, others: &[&MasterKeySource]) {
    let keys = &mut config.keys;
    keys.master_key_file = current.file.clone().unwrap_or_default();
    keys.master_key_pkcs11.clone_from(&current.pkcs11);
    keys.master_key_vault.clone_from(&current.vault);
    keys.other_master_keys = others.iter().map(|other| (*other).clone()).collect();
}

/// One installation, whose authority is restarted with other keys.
struct Installation {
    directory: TempDir,
    variables: Vec<(&'static str, String)>,
    serve: Serve,
}

impl Installation {
    async fn start(variables: Vec<(&'static str, String)>, current: &MasterKeySource) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let serve = serve(directory.path(), &variables, current, &[]).await;
        Self {
            directory,
            variables,
            serve,
        }
    }

    async fn restart(&mut self, current: &MasterKeySource, others: &[&MasterKeySource]) {
        assert!(self.serve.terminate().await.success());
        self.serve = serve(self.directory.path(), &self.variables, current, others).await;
    }

    /// Replaces the master key as docs/operating/keys.md says, and returns what `keys reseal` wrote.
    async fn replace(&mut self, old: &MasterKeySource, new: &MasterKeySource) -> String {
        self.restart(old, &[new]).await;
        self.restart(new, &[old]).await;
        let resealed = self.command(&["keys", "reseal", "--reason", "moved"]).await;
        assert!(resealed.status.success(), "{resealed:?}");
        self.restart(new, &[]).await;
        String::from_utf8(resealed.stderr).expect("UTF-8")
    }

    /// Runs a command as an operator.
    async fn command(&self, arguments: &[&str]) -> Output {
        let contexts = self.directory.path().join("contexts.toml");
        let bearer = self.directory.path().join("bearer");
        if !bearer.exists() {
            write_private(&bearer, OPERATOR);
        }
        let text = format!(
            "current = \"operator\"\n[contexts.operator]\naddress = \"{}\"\ncredential = {{ file = {bearer:?} }}\n",
            self.serve.endpoint()
        );
        let _none = fs::remove_file(&contexts);
        write_private(&contexts, &text);
        let ran = Command::new(binary())
            .args(arguments)
            .env("PORTCULLIS_CONTEXTS_FILE", contexts)
            .env_remove("PORTCULLIS_CONTEXT")
            .env_remove("PORTCULLIS_TENANT")
            .kill_on_drop(true)
            .output();
        within("a command", ran).await.expect("it starts")
    }

    async fn sign_in(&self) -> v1::CreateSessionResponse {
        let mut client = SessionServiceClient::new(self.serve.transport(LOGIN));
        let created = client.create_session(sign_in("ada")).await;
        created.expect("a sign-in").into_inner()
    }

    /// Refreshes a session, whose token needs a secret that the master key sealed. Returns the next token.
    async fn refresh(&self, refresh_token: String) -> String {
        let request = v1::RefreshSessionRequest {
            tenant_id: TENANT.into(),
            refresh_token,
            ..Default::default()
        };
        let mut client = SessionServiceClient::new(self.serve.transport(LOGIN));
        let refreshed = client.refresh_session(request).await;
        refreshed.expect("a good token").into_inner().refresh_token
    }
}

async fn serve(
    directory: &Path,
    variables: &[(&'static str, String)],
    current: &MasterKeySource,
    others: &[&MasterKeySource],
) -> Serve {
    let mut named = Vec::new();
    for (name, value) in variables {
        named.push((*name, value.as_str()));
    }
    Serve::start_with_variables(&named, |config| {
        config.store.url = format!("sqlite:{}", directory.join("data").display());
        configure(config, current, others);
    })
    .await
}

/// A key in a file of a directory.
fn key_file(directory: &Path) -> MasterKeySource {
    let path = directory.join("file.key");
    portcullis_tests::authority::write_master_key(&path);
    file(&path)
}

/// The id of the master key that `keys reseal` names.
fn sealed_by(said: &str) -> String {
    let (_, rest) = said.split_once("master key ").expect(said);
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_moves_into_a_token_and_back() {
    let hsm = SoftHsm::new();
    hsm.make_token("portcullis");
    hsm.make_key("portcullis", "master-2026");
    hsm.make_key("portcullis", "master-2027");
    let in_file = key_file(hsm.file("tokens").parent().expect("a directory"));
    let first = of_pkcs11(in_token(&hsm, "portcullis", "master-2026"));
    let second = of_pkcs11(in_token(&hsm, "portcullis", "master-2027"));

    let mut installation = Installation::start(vec![hsm.variable()], &in_file).await;
    let session = installation.sign_in().await;
    let mut token = session.refresh_token;
    let mut seals = Vec::new();
    for (old, new) in [
        (&in_file, &first),
        // Another key of the same token.
        (&first, &second),
        (&second, &in_file),
    ] {
        let said = installation.replace(old, new).await;
        seals.push(sealed_by(&said));
        token = installation.refresh(token).await;
        installation.sign_in().await;
        let log = installation.serve.log();
        assert!(!log.contains(PIN), "the log has the PIN");
    }
    seals.sort();
    seals.dedup();
    assert_eq!(seals.len(), 3, "three keys: {seals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_moves_into_vault_and_back() {
    let bao = OpenBao::start().await;
    let in_file = key_file(bao.ca_file().parent().expect("a directory"));
    let first = of_vault(in_vault(&bao, 1));
    let second = of_vault(in_vault(&bao, 2));

    let mut installation = Installation::start(Vec::new(), &in_file).await;
    let mut token = installation.sign_in().await.refresh_token;
    let mut seals = Vec::new();
    seals.push(sealed_by(&installation.replace(&in_file, &first).await));
    token = installation.refresh(token).await;

    // Vault's own rotation changes nothing until the configuration names the new version.
    bao.run(&["write", "-force", "transit/keys/portcullis/rotate"])
        .await;
    installation.restart(&first, &[]).await;
    token = installation.refresh(token).await;
    for (old, new) in [(&first, &second), (&second, &in_file)] {
        seals.push(sealed_by(&installation.replace(old, new).await));
        token = installation.refresh(token).await;
        let log = installation.serve.log();
        assert!(!log.contains(&bao.token), "the log has the token");
    }
    seals.sort();
    seals.dedup();
    assert_eq!(seals.len(), 3, "three keys: {seals:?}");
}

/// What `serve --check-config` says about a configuration that it refuses.
async fn refused(variables: &[(&'static str, String)], current: &MasterKeySource) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(directory.path());
    configure(&mut config, current, &[]);
    let path: PathBuf = directory.path().join("portcullis.toml");
    fs::write(&path, toml::to_string(&config).expect("TOML")).expect("written");
    let ran = Command::new(binary())
        .args(["serve", "--check-config", "--config"])
        .arg(&path)
        .envs(variables.iter().cloned())
        .kill_on_drop(true)
        .output();
    let ran = within("a check", ran).await.expect("it starts");
    assert!(!ran.status.success(), "{ran:?}");
    let stderr = String::from_utf8(ran.stderr).expect("UTF-8");
    let stdout = String::from_utf8(ran.stdout).expect("UTF-8");
    format!("{stdout}{stderr}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mistake_about_a_token_is_named() {
    let hsm = SoftHsm::new();
    hsm.make_token("portcullis");
    hsm.make_key("portcullis", "good");
    hsm.make_key("portcullis", "twice");
    hsm.make_key("portcullis", "twice");
    hsm.make_extractable_key("portcullis", "loose");
    let wrong = hsm.file("wrong");
    write_private(&wrong, "00-00-00");
    let text_file = hsm.file("no-library");
    fs::write(&text_file, "text").expect("written");

    let good = in_token(&hsm, "portcullis", "good");
    let with = |change: &dyn Fn(&mut Pkcs11Config)| {
        let mut changed = good.clone();
        change(&mut changed);
        of_pkcs11(changed)
    };
    let variables = [hsm.variable()];
    for (source, setting, words) in [
        (
            with(&|token| token.module = hsm.file("nowhere.so")),
            "module",
            "cannot be loaded",
        ),
        (
            with(&|token| token.module.clone_from(&text_file)),
            "module",
            "cannot be loaded",
        ),
        (
            with(&|token| token.token = "other".to_owned()),
            "token",
            "no token with this label",
        ),
        (
            with(&|token| token.pin = secret(&wrong)),
            "pin",
            "refuses this PIN",
        ),
        (
            with(&|token| token.pin = secret(&hsm.file("nowhere"))),
            "pin",
            "No such file",
        ),
        (
            with(&|token| token.key = "other".to_owned()),
            "key",
            "no secret key with this label",
        ),
        (
            with(&|token| token.key = "twice".to_owned()),
            "key",
            "2 secret keys",
        ),
        (
            with(&|token| token.key = "loose".to_owned()),
            "key",
            "not extractable",
        ),
    ] {
        let said = refused(&variables, &source).await;
        let setting = format!("keys.master_key_pkcs11.{setting}: ");
        assert!(said.contains(&setting), "{setting}: {said}");
        assert!(said.contains(words), "{words}: {said}");
        for pin in [PIN, "00-00-00"] {
            assert!(!said.contains(pin), "it says the PIN: {said}");
        }
    }

    hsm.unplug();
    let said = refused(&variables, &of_pkcs11(good)).await;
    assert!(said.contains("no token with this label"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mistake_about_vault_is_named() {
    let bao = OpenBao::start().await;
    let wrong = bao.file("wrong");
    write_private(&wrong, "s.not-a-token-of-this-server");
    let other_ca = bao.file("other-ca.pem");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    fs::write(&other_ca, made.expect("a certificate").cert.pem()).expect("written");

    let good = in_vault(&bao, 1);
    let with = |change: &dyn Fn(&mut VaultConfig)| {
        let mut changed = good.clone();
        change(&mut changed);
        of_vault(changed)
    };
    for (source, setting, words) in [
        (
            with(&|vault| vault.token = secret(&wrong)),
            "token",
            "refuses this token",
        ),
        // The token may use one key.
        (
            with(&|vault| vault.key = "other".to_owned()),
            "token",
            "transit/hmac/other/sha2-256",
        ),
        (
            with(&|vault| vault.version = 2),
            "key",
            "no such key, version",
        ),
        (
            with(&|vault| vault.ca_file = Some(other_ca.clone())),
            "address",
            "certificate",
        ),
        (
            with(&|vault| vault.address = "https://127.0.0.1:1".to_owned()),
            "address",
            "no connection",
        ),
    ] {
        let said = refused(&[], &source).await;
        let setting = format!("keys.master_key_vault.{setting}: ");
        assert!(said.contains(&setting), "{setting}: {said}");
        assert!(said.contains(words), "{words}: {said}");
        for token in [bao.token.as_str(), "s.not-a-token"] {
            assert!(!said.contains(token), "it says the token: {said}");
        }
    }

    bao.run(&["operator", "seal"]).await;
    let said = refused(&[], &of_vault(good)).await;
    assert!(said.contains("sealed"), "{said}");
}
