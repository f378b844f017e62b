//! Master keys that the transit engine of Vault or OpenBao derives from a key of its own, which never leaves it.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, Request, StatusCode, Uri, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::time::timeout;
use zeroize::{Zeroize, Zeroizing};

use super::{MasterKey, master_key::DERIVED_FROM, secret_source::read_text};
use crate::{
    config::{ConfigError, VaultConfig},
    net::HttpClient,
};

/// The longest time from the connection to the last byte.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest answer, in bytes. One has some hundred.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Why Vault gave no master key. What it wrote is in none, because it may repeat what it was asked.
#[derive(Debug, thiserror::Error)]
enum VaultError {
    /// There is no answer.
    #[error("{0}")]
    Network(String),
    /// The token is not good, or may not use the key.
    #[error("Vault refuses this token: it must be valid, and may update {0}")]
    Forbidden(String),
    /// There is no such engine, key or version.
    #[error("Vault has no such key, version or transit engine (it answered {0})")]
    NoKey(u16),
    /// It is sealed, or a standby.
    #[error("Vault is sealed or a standby (it answered {0})")]
    Unavailable(u16),
    /// Another status.
    #[error("Vault answered {0}")]
    Status(u16),
    /// The answer is no code by this version of the key.
    #[error("Vault's answer is no code of 32 bytes by this version of the key")]
    NoCode,
}

impl VaultError {
    /// The setting that it is about.
    fn field(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "token",
            Self::NoKey(_) | Self::NoCode => "key",
            Self::Network(_) | Self::Unavailable(_) | Self::Status(_) => "address",
        }
    }
}

/// The part of the answer that is used.
#[derive(Deserialize)]
struct Answer {
    data: AnswerData,
}

#[derive(Deserialize)]
struct AnswerData {
    /// `vault:v1:` and the code in base64.
    hmac: String,
}

/// Asks Vault for the master key. `setting` is the name of the table.
pub(super) async fn derive_master_key(
    config: &VaultConfig,
    setting: &str,
) -> Result<MasterKey, ConfigError> {
    let invalid =
        |field: &str, problem: String| ConfigError::new(format!("{setting}.{field}"), problem);
    let token = read_text(&config.token).await;
    let token = token.map_err(|problem| invalid("token", problem))?;
    let url: Uri = config
        .address
        .parse()
        .map_err(|_| invalid("address", "must be a URL".to_owned()))?;
    let ca_setting = format!("{setting}.ca_file");
    let client = HttpClient::open(&url, &ca_setting, config.ca_file.as_deref())?;
    let asked = timeout(ANSWER_TIME_MAX, ask(&client, config, &token)).await;
    let Ok(asked) = asked else {
        let seconds = ANSWER_TIME_MAX.as_secs();
        return Err(invalid("address", format!("no answer within {seconds} s")));
    };
    asked.map_err(|error| invalid(error.field(), error.to_string()))
}

async fn ask(
    client: &HttpClient,
    config: &VaultConfig,
    token: &str,
) -> Result<MasterKey, VaultError> {
    let path = format!("{}/hmac/{}/sha2-256", config.mount, config.key);
    let request = question(client, config, token, &path)?;
    let mut connection = client.connect().await.map_err(VaultError::Network)?;
    let answer = connection
        .send(request, ANSWER_BYTES_MAX)
        .await
        .map_err(VaultError::Network)?;
    check_status(answer.status, path)?;
    let body = answer.body.map_err(VaultError::Network)?;
    read_answer(&body, config.version).ok_or(VaultError::NoCode)
}

fn question(
    client: &HttpClient,
    config: &VaultConfig,
    token: &str,
    path: &str,
) -> Result<Request<Full<Bytes>>, VaultError> {
    let question = serde_json::json!({
        "input": STANDARD.encode(DERIVED_FROM),
        "key_version": config.version,
    });
    let mut request = client
        .request(Method::POST, &format!("/v1/{path}"))
        .header(CONTENT_TYPE, "application/json")
        .header("x-vault-token", token)
        // An agent of Vault may demand it (`require_request_header`), because a forged request of a
        // browser cannot have it.
        .header("x-vault-request", "true");
    if let Some(namespace) = &config.namespace {
        request = request.header("x-vault-namespace", namespace);
    }
    request
        .body(Full::new(Bytes::from(question.to_string())))
        .map_err(|error| VaultError::Network(error.to_string()))
}

fn check_status(status: StatusCode, path: String) -> Result<(), VaultError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::FORBIDDEN => Err(VaultError::Forbidden(path)),
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Err(VaultError::NoKey(status.as_u16())),
        // A redirect is the answer of a standby. The token is sent to no other server.
        StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::TEMPORARY_REDIRECT => Err(VaultError::Unavailable(status.as_u16())),
        status => Err(VaultError::Status(status.as_u16())),
    }
}

/// The master key in an answer. A code by another version of the key is none: it would be another master key.
fn read_answer(body: &[u8], version: u32) -> Option<MasterKey> {
    let mut answer: Answer = serde_json::from_slice(body).ok()?;
    let code = answer
        .data
        .hmac
        .strip_prefix(&format!("vault:v{version}:"))
        .and_then(|code| STANDARD.decode(code).ok())
        .map(Zeroizing::new);
    answer.data.hmac.zeroize();
    MasterKey::from_derived(&code?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_code_of_32_bytes_by_the_version_that_was_asked_for_is_a_key() {
        let answer = |hmac: &str| format!(r#"{{"data": {{"hmac": "{hmac}"}}}}"#);
        let code = STANDARD.encode([7; 32]);
        let key = read_answer(answer(&format!("vault:v2:{code}")).as_bytes(), 2);
        let expected = MasterKey::from_base64(&code).expect("a key");
        assert_eq!(key.expect("a key").id(), expected.id());
        let short = STANDARD.encode([7; 31]);
        for bad in [
            answer(&format!("vault:v1:{code}")),
            answer(&format!("vault:v2:{short}")),
            answer("vault:v2:?"),
            answer(&code),
            "{}".to_owned(),
            String::new(),
        ] {
            assert!(read_answer(bad.as_bytes(), 2).is_none(), "{bad}");
        }
    }
}
