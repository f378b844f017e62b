//! `portcullis keys`: signing keys, for operators. [`secrets`] has the commands for secrets and master keys.

use clap::{Args, Subcommand};
use portcullis_contract::v1;

use super::{
    ending::{Consent, Outcome},
    receipt::{Waiting, print_outcome},
    secrets::{self, ResealOptions, RetireSecretOptions, RotateSecretOptions},
};
use crate::{
    context::{Remote, Session as Connected},
    failure::{Exit, Failure, Result},
    output::{
        Record,
        document::Document,
        note,
        text::{cell, visible},
        times,
        words::{self, word},
    },
};

/// Options of `keys`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List all signing keys, newest first.
    List,
    /// Make a new signing key. It signs after the activation delay.
    Rotate(RotateOptions),
    /// End trust in a signing key that no longer signs.
    Retire(RetireOptions),
    /// End trust in a stolen signing key now, although it signs. A new one takes its place at once.
    Distrust(RetireOptions),
    /// List the secrets of refresh tokens and page tokens.
    Secrets,
    /// Make a new secret. It makes tokens after the activation delay, and those before stay valid.
    RotateSecret(RotateSecretOptions),
    /// Refuse the tokens of a secret that makes none any more, and delete it.
    RetireSecret(RetireSecretOptions),
    /// List the master keys, and how many values each has sealed.
    Master,
    /// Seal every value by the current master key, so that the others can be dropped.
    Reseal(ResealOptions),
}

#[derive(Args)]
struct RotateOptions {
    /// What the new key signs.
    #[arg(long, value_parser = words::parser::<v1::CredentialKind>())]
    credential: Option<v1::CredentialKind>,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Args)]
struct RetireOptions {
    /// The key.
    #[arg(value_name = "KEY")]
    id: String,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Also end the API keys that it signed. They cannot be renewed.
    #[arg(long)]
    end_api_keys: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    waiting: Waiting,
}

/// Runs `keys`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let connected = options.remote.connect().await?;
    match &options.command {
        Command::List => connected.printer.list(&list(&connected).await?),
        Command::Rotate(rotate) => {
            let key = rotate_key(&connected, rotate).await?;
            note(&format!(
                "it signs from {}",
                times::stamp(key.sign_time.as_ref())
            ));
            connected.printer.one(&key)
        }
        Command::Retire(retire) => retire_key(&connected, retire, false).await,
        Command::Distrust(retire) => retire_key(&connected, retire, true).await,
        Command::Secrets => secrets::list_secrets(&connected).await,
        Command::RotateSecret(rotate) => secrets::rotate_secret(&connected, rotate).await,
        Command::RetireSecret(retire) => secrets::retire_secret(&connected, retire).await,
        Command::Master => secrets::list_master_keys(&connected).await,
        Command::Reseal(reseal) => secrets::reseal(&connected, reseal).await,
    }
}

async fn list(connected: &Connected) -> Result<Vec<v1::SigningKey>> {
    let request = v1::ListSigningKeysRequest {};
    let answer = connected
        .authority
        .keys()
        .list_signing_keys(request)
        .await?;
    Ok(answer.into_inner().keys)
}

async fn rotate_key(connected: &Connected, options: &RotateOptions) -> Result<v1::SigningKey> {
    let request = v1::RotateSigningKeyRequest {
        reason: options.reason.clone(),
        credential: options.credential.unwrap_or_default().into(),
    };
    let answer = connected
        .authority
        .keys()
        .rotate_signing_key(request)
        .await?;
    let key = answer.into_inner().key;
    key.ok_or_else(|| Failure::failed("the authority answered without a key"))
}

async fn retire_key(connected: &Connected, options: &RetireOptions, emergency: bool) -> Result<()> {
    // No call returns one key, and none previews its end: the effect is told from the list.
    let key = find_key(connected, &options.id).await?;
    let effect = effect_of_retiring(&key);
    if options.consent.dry_run {
        note(&format!("dry run: {effect}"));
        return connected.printer.one(&key);
    }
    options
        .consent
        .confirm(&format!("End trust in {}? {effect}", key.id))?;
    let answer = call_retire(connected, options, emergency).await?;
    note_effects(&answer);
    let action = format!("trust in {} ended", key.id);
    let outcome = Outcome::new(action, answer.enforcement.as_ref());
    print_outcome(connected, &options.waiting, outcome).await
}

async fn call_retire(
    connected: &Connected,
    options: &RetireOptions,
    emergency: bool,
) -> Result<v1::RetireSigningKeyResponse> {
    let request = v1::RetireSigningKeyRequest {
        key_id: options.id.clone(),
        reason: options.reason.clone().unwrap_or_default(),
        emergency,
        force: options.end_api_keys,
    };
    let mut client = connected.authority.keys();
    match client.retire_signing_key(request).await {
        Ok(answer) => Ok(answer.into_inner()),
        // The authority counts what would end. It refuses without force, so a key with API keys is
        // never ended by surprise.
        Err(status) => Err(explain_force(status.into())),
    }
}

async fn find_key(connected: &Connected, id: &str) -> Result<v1::SigningKey> {
    let keys = list(connected).await?;
    let key = keys.into_iter().find(|key| key.id == id);
    key.ok_or_else(|| Failure::new(Exit::NotFound, "signing key not found"))
}

/// Says what the end of a key means for people and programs.
fn note_effects(answer: &v1::RetireSigningKeyResponse) {
    if answer.sessions_must_refresh {
        note("access tokens of this key are refused now: their users refresh, and stay signed in");
    }
    if answer.api_keys_ended > 0 {
        note(&format!(
            "at most {} API keys ended with it: make new ones",
            answer.api_keys_ended
        ));
    }
    if let Some(successor) = &answer.successor {
        note(&format!("{} signs in its place", visible(&successor.id)));
    }
}

/// The effect on people when a key is retired.
fn effect_of_retiring(key: &v1::SigningKey) -> String {
    let credential = v1::CredentialKind::try_from(key.credential);
    match credential {
        Ok(v1::CredentialKind::ApiKey) => {
            "API keys that it signed end, and need --end-api-keys".to_owned()
        }
        _ => "Access tokens that it signed are refused, and their users refresh".to_owned(),
    }
}

/// Names the option of this command that gives the force which the authority asks for.
fn explain_force(mut failure: Failure) -> Failure {
    if failure.reason == "FORCE_REQUIRED" {
        let keys = failure.api_keys.take().unwrap_or_else(|| "some".to_owned());
        return failure.hint(format!(
            "{keys} API keys would end with it: confirm with --end-api-keys"
        ));
    }
    failure
}

impl Record for v1::SigningKey {
    const COLUMNS: &'static [&'static str] = &[
        "key",
        "signs",
        "algorithm",
        "state",
        "made",
        "signs from",
        "retired",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            visible(&self.id).into_owned(),
            word::<v1::CredentialKind>(self.credential),
            cell(&self.algorithm),
            word::<v1::SigningKeyState>(self.state),
            times::stamp(self.create_time.as_ref()),
            times::stamp(self.sign_time.as_ref()),
            times::stamp(self.retire_time.as_ref()),
        ]
    }

    fn name(&self) -> String {
        self.id.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("SigningKey", self)
    }
}
