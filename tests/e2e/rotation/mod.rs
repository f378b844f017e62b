//! The master key and the secrets of tokens are replaced.

mod load;
mod master_key;
mod secrets;

use std::{path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_authority::{
    config::{Config, MasterKeySource},
    keys::{MasterKey, MasterKeyId},
};
use portcullis_contract::v1::{self, session_service_client::SessionServiceClient};
use portcullis_tests::{
    authority::{
        AUDIENCE, GATEWAY, ISSUER, LOGIN, OPERATOR, TENANT, TestAuthority, ready, sign_in,
        transport, write_private,
    },
    postgres,
    wait::eventually,
};
use portcullis_validator::Validator;
use tonic::Status;

use crate::command_line::CommandLine;

/// The time between the creation of a secret or a key and its first use.
const DELAY: Duration = Duration::from_secs(1);

/// Short delays, and a log that is trimmed to its checkpoints, so that every start needs one.
fn quick(config: &mut Config) {
    config.watch.staleness_max = DELAY;
    config.keys.activation_delay = DELAY;
    config.log.checkpoint_interval = Duration::from_millis(200);
    config.log.checkpoint_batches_min = 1;
    config.log.resume_window = Duration::ZERO;
}

/// A key in a file of its own.
struct KeyFile {
    file: PathBuf,
    id: MasterKeyId,
}

impl KeyFile {
    fn new(line: &CommandLine, name: &str) -> Self {
        let key = MasterKey::generate();
        let file = line.file(name);
        write_private(&file, &key.to_base64());
        Self { file, id: key.id() }
    }

    /// The key of an authority that was started already.
    fn of(config: &Config) -> Self {
        let file = config.keys.master_key_file.clone();
        let text = std::fs::read_to_string(&file).expect("a key file");
        let key = MasterKey::from_base64(&text).expect("a key");
        Self { file, id: key.id() }
    }
}

/// Lets an authority seal by one key and open with others too.
fn configure(config: &mut Config, current: &KeyFile, others: &[&KeyFile]) {
    config.keys.master_key_file.clone_from(&current.file);
    config.keys.other_master_keys.clear();
    for other in others {
        config.keys.other_master_keys.push(MasterKeySource {
            file: Some(other.file.clone()),
            ..MasterKeySource::default()
        });
    }
}

async fn restart(authority: &mut TestAuthority, current: &KeyFile, others: &[&KeyFile]) {
    configure(&mut authority.config, current, others);
    authority.stop().await;
    authority.start().await;
}

/// Two authorities over one database, and a command line at the first.
struct Pair {
    line: CommandLine,
    other: TestAuthority,
}

impl Pair {
    async fn start() -> Self {
        let url = postgres::fresh_url().await;
        let line = CommandLine::start_with(|config| {
            config.store.url = url;
            quick(config);
        })
        .await;
        let other = line.authority.replica().await;
        Self { line, other }
    }

    fn endpoints(&self) -> [String; 2] {
        [self.line.authority.endpoint(), self.other.endpoint()]
    }

    /// A gate that watches both.
    async fn gate(&self) -> Validator {
        let [one, other] = self.endpoints();
        let builder = Validator::builder(one)
            .endpoint(other)
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .max_staleness(DELAY);
        ready(builder).await
    }

    /// Restarts one authority after the other with these keys.
    async fn restart(&mut self, current: &KeyFile, others: &[&KeyFile]) {
        restart(&mut self.line.authority, current, others).await;
        restart(&mut self.other, current, others).await;
    }

    /// Makes a signing key at each authority, so that each opens what the other sealed.
    async fn rotate_signing_keys(&self) {
        for authority in [&self.line.authority, &self.other] {
            rotate_signing_key(authority).await;
        }
    }
}

async fn rotate_signing_key(authority: &TestAuthority) {
    let request = v1::RotateSigningKeyRequest {
        reason: "rotation".into(),
        ..Default::default()
    };
    let rotated = authority.keys(OPERATOR).rotate_signing_key(request).await;
    rotated.expect("rotated");
}

async fn listed(authority: &TestAuthority) -> v1::ListSecretsResponse {
    let request = v1::ListSecretsRequest {};
    let listed = authority.keys(OPERATOR).list_secrets(request).await;
    listed.expect("listed").into_inner()
}

async fn rotate(authority: &TestAuthority, kind: v1::SecretKind) -> v1::Secret {
    let request = v1::RotateSecretRequest {
        kind: kind.into(),
        reason: "yearly".into(),
    };
    let rotated = authority.keys(OPERATOR).rotate_secret(request).await;
    let rotated = rotated.expect("rotated").into_inner();
    rotated.secret.expect("a secret")
}

/// Waits until a secret makes tokens.
async fn making(authority: &TestAuthority, kind: v1::SecretKind, number: u32) {
    eventually("the new secret to make tokens", async || {
        let secrets = listed(authority).await.secrets;
        let making = secrets.iter().any(|secret| {
            secret.kind() == kind
                && secret.number == number
                && secret.state() == v1::SecretState::Making
        });
        making.then_some(())
    })
    .await;
}

/// The number of the secret that made a refresh token.
fn number_of(refresh_token: &str) -> u8 {
    let text = refresh_token.strip_prefix("prt_").expect("a refresh token");
    URL_SAFE_NO_PAD.decode(text).expect("base64")[0]
}

async fn refresh_at(endpoint: &str, token: &str) -> Result<v1::RefreshSessionResponse, Status> {
    let request = v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token: token.into(),
        ..Default::default()
    };
    let mut client = SessionServiceClient::new(transport(endpoint, LOGIN));
    let refreshed = client.refresh_session(request).await?;
    Ok(refreshed.into_inner())
}

async fn sign_in_at(endpoint: &str, user: &str) -> Result<v1::CreateSessionResponse, Status> {
    let mut client = SessionServiceClient::new(transport(endpoint, LOGIN));
    Ok(client.create_session(sign_in(user)).await?.into_inner())
}
