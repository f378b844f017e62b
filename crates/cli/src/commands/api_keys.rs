//! `portcullis api-keys`: credentials of programs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use portcullis_contract::v1;
use prost_types::Timestamp;

use super::{
    completion,
    ending::{Consent, Outcome},
    receipt::{Waiting, print_outcome},
    sessions::Limit,
};
use crate::{
    context::{InTenant, Session as Connected},
    credentials::write_secret,
    failure::{Failure, Result},
    output::{
        Record,
        document::Document,
        note,
        text::{cell, visible},
        times,
        words::word,
    },
};

/// Options of `api-keys`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    tenant: InTenant,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List keys, newest first.
    List(ListOptions),
    /// Show one key, with its requests by hour.
    Show(ShowOptions),
    /// Make a key. Its secret is shown once.
    Create(CreateOptions),
    /// End a key at every gate.
    Revoke(RevokeOptions),
}

#[derive(Args)]
struct ListOptions {
    /// Only keys of this owner.
    #[arg(long, value_name = "USER", add = ArgValueCompleter::new(completion::users))]
    owner: Option<String>,
    /// Keys that have expired or ended too.
    #[arg(long)]
    ended: bool,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Args)]
struct ShowOptions {
    /// The key.
    #[arg(value_name = "KEY")]
    id: String,
}

#[derive(Args)]
struct CreateOptions {
    /// The owning user. Disabling them ends the key.
    #[arg(long, value_name = "USER", add = ArgValueCompleter::new(completion::users))]
    owner: String,
    /// A name for people.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// Scopes, separated by commas.
    #[arg(long, value_name = "SCOPE,…", value_delimiter = ',')]
    scopes: Vec<String>,
    /// Audiences, separated by commas. The installation's default if left out.
    #[arg(long, value_name = "AUDIENCE,…", value_delimiter = ',')]
    audiences: Vec<String>,
    /// End the key this long from now, for example 90d. It does not expire if left out.
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    expires_in: Option<times::WireDuration>,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Write the secret to this new file, that only its owner may read, and do not print it.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Args)]
struct RevokeOptions {
    /// The key.
    #[arg(value_name = "KEY")]
    id: String,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    waiting: Waiting,
}

/// Runs `api-keys`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let (connected, tenant) = options.tenant.connect().await?;
    match &options.command {
        Command::List(list) => {
            let keys = find(&connected, tenant, list).await?;
            connected.printer.list(&keys)
        }
        Command::Show(show) => {
            let answer = get(&connected, tenant, &show.id).await?;
            connected.printer.one(&answer)
        }
        Command::Create(create) => create_key(&connected, tenant, create).await,
        Command::Revoke(revoke) => revoke_key(&connected, tenant, revoke).await,
    }
}

async fn find(
    connected: &Connected,
    tenant: String,
    options: &ListOptions,
) -> Result<Vec<v1::ApiKey>> {
    let request = options.request(tenant);
    let mut client = connected.authority.api_keys();
    options
        .limit
        .collect(async |page_size, page_token| {
            let request = v1::ListApiKeysRequest {
                page_size,
                page_token,
                ..request.clone()
            };
            let page = client.list_api_keys(request).await?.into_inner();
            Ok((page.api_keys, page.next_page_token))
        })
        .await
}

impl ListOptions {
    fn request(&self, tenant: String) -> v1::ListApiKeysRequest {
        v1::ListApiKeysRequest {
            tenant_id: tenant,
            owner_user_id: self.owner.clone().unwrap_or_default(),
            show_ended: self.ended,
            ..Default::default()
        }
    }
}

async fn get(connected: &Connected, tenant: String, id: &str) -> Result<v1::GetApiKeyResponse> {
    let request = v1::GetApiKeyRequest {
        tenant_id: tenant,
        api_key_id: id.to_owned(),
    };
    let answer = connected.authority.api_keys().get_api_key(request).await?;
    Ok(answer.into_inner())
}

async fn create_key(connected: &Connected, tenant: String, options: &CreateOptions) -> Result<()> {
    // Before the call: the secret is told once, and must have a place.
    if let Some(file) = &options.secret_file
        && file.exists()
    {
        return Err(Failure::usage(format!(
            "{}: exists already",
            file.display()
        )));
    }
    let mut client = connected.authority.api_keys();
    let answer = client.create_api_key(options.request(tenant)).await?;
    let mut created = answer.into_inner();
    match &options.secret_file {
        Some(file) => keep_secret(&mut created, file)?,
        None => note("the secret is shown this once: keep it now"),
    }
    connected.printer.one(&created)
}

impl CreateOptions {
    fn request(&self, tenant: String) -> v1::CreateApiKeyRequest {
        let expire_time = self.expires_in.as_ref().map(|length| Timestamp {
            // In whole seconds, as the contract asks.
            seconds: times::now().seconds + length.seconds,
            nanos: 0,
        });
        v1::CreateApiKeyRequest {
            tenant_id: tenant,
            owner_user_id: self.owner.clone(),
            name: self.name.clone(),
            scopes: self.scopes.clone(),
            audiences: self.audiences.clone(),
            expire_time,
            reason: self.reason.clone(),
            acting_user: None,
        }
    }
}

/// Moves the secret of a new key into a file.
fn keep_secret(created: &mut v1::CreateApiKeyResponse, file: &Path) -> Result<()> {
    write_secret(file, &created.secret).map_err(|error| {
        // The secret is not printed instead: the person chose the file to keep it off the
        // terminal.
        let failure = Failure::failed(format!("{error:#}"));
        failure.hint(format!(
            "the key is of no use: portcullis api-keys revoke {}",
            created.name()
        ))
    })?;
    // The file is the secret's only place: what is printed below often ends up in a log.
    created.secret.clear();
    note(&format!("the secret is in {}", file.display()));
    Ok(())
}

async fn revoke_key(connected: &Connected, tenant: String, options: &RevokeOptions) -> Result<()> {
    // The call has no preview, so the key itself is shown. With `--yes` nobody looks at it.
    if options.consent.dry_run {
        let answer = get(connected, tenant, &options.id).await?;
        note("dry run: would end this key");
        return connected.printer.one(&answer);
    }
    if !options.consent.yes {
        let answer = get(connected, tenant.clone(), &options.id).await?;
        let question = revocation_question(&answer.api_key.unwrap_or_default());
        options.consent.confirm(&question)?;
    }
    let request = v1::RevokeApiKeyRequest {
        tenant_id: tenant,
        api_key_id: options.id.clone(),
        reason: options.reason.clone().unwrap_or_default(),
        ..Default::default()
    };
    let mut client = connected.authority.api_keys();
    let answer = client.revoke_api_key(request).await?;
    let enforcement = answer.into_inner().enforcement;
    let outcome = Outcome::new(format!("{} ended", options.id), enforcement.as_ref());
    print_outcome(connected, &options.waiting, outcome).await
}

fn revocation_question(key: &v1::ApiKey) -> String {
    format!(
        "End {} of {}, used {} times in 24 hours?",
        key.name, key.owner_user_id, key.requests_24h
    )
}

impl Record for v1::ApiKey {
    const COLUMNS: &'static [&'static str] = &[
        "key",
        "name",
        "owner",
        "state",
        "scopes",
        "made",
        "expires",
        "last used",
        "24 h",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            visible(&self.id).into_owned(),
            cell(&self.name),
            cell(&self.owner_user_id),
            word::<v1::ApiKeyState>(self.state),
            cell(&self.scopes.join(" ")),
            times::stamp(self.create_time.as_ref()),
            times::stamp(self.expire_time.as_ref()),
            times::ago(self.last_used_time.as_ref(), &times::now()),
            self.requests_24h.to_string(),
        ]
    }

    fn name(&self) -> String {
        self.id.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("ApiKey", self)
    }
}

/// A key's columns, for the records that carry one.
fn key_lines(key: Option<&v1::ApiKey>) -> Vec<(&'static str, String)> {
    key.map(Record::details).unwrap_or_default()
}

impl Record for v1::GetApiKeyResponse {
    const COLUMNS: &'static [&'static str] = v1::ApiKey::COLUMNS;

    fn cells(&self) -> Vec<String> {
        self.api_key.clone().unwrap_or_default().cells()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines = key_lines(self.api_key.as_ref());
        for hour in &self.hours {
            let start = times::stamp(hour.start_time.as_ref());
            lines.push(("requests", format!("{start}  {}", hour.requests)));
        }
        lines
    }

    fn name(&self) -> String {
        self.api_key.as_ref().map(Record::name).unwrap_or_default()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("GetApiKeyResponse", self)
    }
}

impl Record for v1::CreateApiKeyResponse {
    const COLUMNS: &'static [&'static str] = v1::ApiKey::COLUMNS;

    fn cells(&self) -> Vec<String> {
        self.api_key.clone().unwrap_or_default().cells()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines = key_lines(self.api_key.as_ref());
        if !self.secret.is_empty() {
            lines.push(("secret", visible(&self.secret).into_owned()));
        }
        lines
    }

    fn name(&self) -> String {
        self.api_key.as_ref().map(Record::name).unwrap_or_default()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("CreateApiKeyResponse", self)
    }
}
