//! `portcullis keys`: the secrets of tokens, and the master keys, for operators.

use clap::Args;
use portcullis_contract::v1;

use super::ending::Consent;
use crate::{
    context::Session as Connected,
    failure::{Failure, Result},
    output::{
        Record,
        document::Document,
        note,
        text::visible,
        times,
        words::{self, word},
    },
};

#[derive(Args)]
pub(crate) struct RotateSecretOptions {
    /// The tokens that the new secret makes.
    #[arg(value_name = "KIND", value_parser = words::parser::<v1::SecretKind>())]
    kind: v1::SecretKind,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Args)]
pub(crate) struct RetireSecretOptions {
    /// The tokens that the secret has made.
    #[arg(value_name = "KIND", value_parser = words::parser::<v1::SecretKind>())]
    kind: v1::SecretKind,
    /// Its number.
    #[arg(value_name = "NUMBER")]
    number: u8,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Also end what depends on it: sessions that were not refreshed since a newer secret makes tokens.
    #[arg(long)]
    end_sessions: bool,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Args)]
pub(crate) struct ResealOptions {
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Values of each step, at most 64.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=64))]
    step: u32,
}

/// Lists the secrets of tokens.
pub(crate) async fn list_secrets(connected: &Connected) -> Result<()> {
    connected.printer.list(&list(connected).await?.secrets)
}

/// Lists the master keys.
pub(crate) async fn list_master_keys(connected: &Connected) -> Result<()> {
    connected.printer.list(&list(connected).await?.master_keys)
}

async fn list(connected: &Connected) -> Result<v1::ListSecretsResponse> {
    let request = v1::ListSecretsRequest {};
    let answer = connected.authority.keys().list_secrets(request).await?;
    Ok(answer.into_inner())
}

/// Adds a secret.
pub(crate) async fn rotate_secret(
    connected: &Connected,
    options: &RotateSecretOptions,
) -> Result<()> {
    let request = v1::RotateSecretRequest {
        kind: options.kind.into(),
        reason: options.reason.clone(),
    };
    let answer = connected.authority.keys().rotate_secret(request).await?;
    let secret = secret_of(answer.into_inner().secret)?;
    note(&format!(
        "it makes tokens from {}",
        times::stamp(secret.use_time.as_ref())
    ));
    connected.printer.one(&secret)
}

/// Ends the use of a secret.
pub(crate) async fn retire_secret(
    connected: &Connected,
    options: &RetireSecretOptions,
) -> Result<()> {
    let effect = effect_of_retiring(options.kind);
    let name = name_of(options.kind.into(), options.number.into());
    if options.consent.dry_run {
        // The call has no preview: the authority does not keep which sessions have a token of the
        // secret.
        note(&format!("dry run: {effect}"));
        return Ok(());
    }
    options
        .consent
        .confirm(&format!("End the use of {name}? {effect}"))?;
    let request = v1::RetireSecretRequest {
        kind: options.kind.into(),
        number: options.number.into(),
        reason: options.reason.clone().unwrap_or_default(),
        force: options.end_sessions,
    };
    let answer = match connected.authority.keys().retire_secret(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Err(explain_force(status.into())),
    };
    connected.printer.one(&secret_of(answer.secret)?)
}

/// The effect on people when a secret is retired.
fn effect_of_retiring(kind: v1::SecretKind) -> &'static str {
    match kind {
        v1::SecretKind::Pages => {
            "Lists begin at their first page, and watchers of the audit trail at a place of their own"
        }
        _ => "Refresh tokens that it made are refused, and their users sign in again",
    }
}

/// Names the option of this command that gives the force which the authority asks for.
fn explain_force(failure: Failure) -> Failure {
    if failure.reason == "FORCE_REQUIRED" {
        return failure.hint(
            "sessions that were opened before a newer secret made tokens may need it: wait until they have expired, or \
             confirm with --end-sessions",
        );
    }
    failure
}

fn secret_of(secret: Option<v1::Secret>) -> Result<v1::Secret> {
    secret.ok_or_else(|| Failure::failed("the authority answered without a secret"))
}

/// Seals every value by the current master key, step by step. Each step is durable, so a run that was killed is repeated.
pub(crate) async fn reseal(connected: &Connected, options: &ResealOptions) -> Result<()> {
    let mut resealed = 0;
    let mut left = u64::MAX;
    loop {
        let answer = reseal_step(connected, options).await?;
        resealed += u64::from(answer.resealed);
        if answer.remaining == 0 {
            let id = visible(&answer.master_key_id).into_owned();
            note(&format!(
                "{resealed} values resealed: master key {id} seals all of them"
            ));
            return list_master_keys(connected).await;
        }
        // A checkpoint that was trimmed since the authority read it is not resealed either, but then less is left.
        if answer.resealed == 0 && answer.remaining >= left {
            return Err(explain_rest(resealed, &answer));
        }
        left = answer.remaining;
        note(&format!(
            "{resealed} values resealed, {} left",
            answer.remaining
        ));
    }
}

async fn reseal_step(
    connected: &Connected,
    options: &ResealOptions,
) -> Result<v1::ResealSecretsResponse> {
    let request = v1::ResealSecretsRequest {
        reason: options.reason.clone(),
        // A step is one entry of the log: a large one would hold up those behind it.
        values_max: options.step,
    };
    let answer = connected.authority.keys().reseal_secrets(request).await?;
    Ok(answer.into_inner())
}

/// Says why the values that are left cannot be resealed.
fn explain_rest(resealed: u64, answer: &v1::ResealSecretsResponse) -> Failure {
    // Only when nothing else is left to do: a damaged value does not hold up the others.
    if !answer.damaged.is_empty() {
        return explain_damage(resealed, &answer.damaged);
    }
    // Another operator may reseal too, or an authority may seal with another key: that one has to be changed first.
    Failure::failed(format!(
        "{} values are left, and none could be resealed: does every authority seal with the same master key?",
        answer.remaining
    ))
}

/// Says which values no master key opens.
fn explain_damage(resealed: u64, damaged: &[String]) -> Failure {
    let places = visible(&damaged.join(", ")).into_owned();
    let failure = Failure::failed(format!(
        "{resealed} values resealed, and {} are left that their master key does not open: {places}",
        damaged.len()
    ));
    failure.hint(
        "somebody changed them in the database: keep the old master key, and restore them from a backup or replace what \
         they are",
    )
}

fn name_of(kind: i32, number: u32) -> String {
    format!("{}-{number}", word::<v1::SecretKind>(kind))
}

impl Record for v1::Secret {
    const COLUMNS: &'static [&'static str] = &["secret", "state", "made", "used from", "retired"];

    fn cells(&self) -> Vec<String> {
        vec![
            name_of(self.kind, self.number),
            word::<v1::SecretState>(self.state),
            times::stamp(self.create_time.as_ref()),
            times::stamp(self.use_time.as_ref()),
            times::stamp(self.retire_time.as_ref()),
        ]
    }

    fn name(&self) -> String {
        name_of(self.kind, self.number)
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("Secret", self)
    }
}

impl Record for v1::MasterKey {
    const COLUMNS: &'static [&'static str] = &["master key", "state", "sealed values"];

    fn cells(&self) -> Vec<String> {
        vec![
            visible(&self.id).into_owned(),
            word::<v1::MasterKeyState>(self.state),
            self.sealed_count.to_string(),
        ]
    }

    fn name(&self) -> String {
        self.id.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("MasterKey", self)
    }
}
