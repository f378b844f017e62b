//! `portcullis audit`: read, follow, verify and export the audit trail.

mod archive;
mod dead_letters;
mod export;
mod follow;
mod verify;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use portcullis_contract::v1;
use prost_types::Timestamp;

use super::{completion, sessions::Limit};
use crate::{
    context::{InTenant, Session as Connected},
    failure::{Failure, Result},
    output::{Record, document::Document, text::cell, times},
};

/// Options of `audit`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    tenant: InTenant,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List events, newest first.
    List(ListOptions),
    /// Print events as they happen, until it is interrupted.
    Follow(follow::Options),
    /// Compute the chain of the trail again, and name the first place that does not match. For operators. With files, that
    /// of archived months, without an authority.
    Verify(verify::Options),
    /// Write all events of a time to a file or to standard output.
    Export(export::Options),
    /// The events that exports of the configuration have given up: list them, try them once more, drop them. For operators.
    DeadLetters(dead_letters::Options),
}

/// Which events are meant.
#[derive(Args)]
struct Selection {
    /// The events of no tenant: the sign-out of everyone, signing keys. For operators.
    #[arg(long, conflicts_with = "tenant")]
    installation: bool,
    /// Only by this actor: user:ID, service:NAME or authority.
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only about this user.
    #[arg(long, value_name = "USER", add = ArgValueCompleter::new(completion::users))]
    user: Option<String>,
    /// Only this action, such as session.revoke.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
}

impl Selection {
    fn request(&self, tenant: Option<&str>) -> Result<v1::ListAuditEventsRequest> {
        let tenant_id = match (self.installation, tenant) {
            // In calls of operators the empty tenant stands for events of no tenant.
            (true, _) => String::new(),
            (false, Some(tenant)) => tenant.to_owned(),
            (false, None) => {
                let failure = Failure::usage("no tenant is named");
                return Err(failure.hint("add --tenant, or --installation for events of no tenant"));
            }
        };
        Ok(v1::ListAuditEventsRequest {
            tenant_id,
            actor: self.actor.clone().unwrap_or_default(),
            user_id: self.user.clone().unwrap_or_default(),
            action: self.action.clone().unwrap_or_default(),
            ..Default::default()
        })
    }
}

#[derive(Args)]
struct Period {
    /// Only at or after: 2h (ago), 2026-11-26, or a time.
    #[arg(long, value_name = "TIME", value_parser = times::parse_moment)]
    since: Option<Timestamp>,
    /// Only before.
    #[arg(long, value_name = "TIME", value_parser = times::parse_moment)]
    until: Option<Timestamp>,
}

#[derive(Args)]
struct ListOptions {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    limit: Limit,
}

/// Runs `audit`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    if let Command::Verify(verify) = &options.command
        && !verify.files.is_empty()
    {
        // Before a connection is made: an archive is verified where no authority runs any more.
        return archive::verify_files(&options.tenant.remote.printer(), &verify.files);
    }
    let (connected, tenant) = options.tenant.connect_anywhere().await?;
    let tenant = tenant.as_deref();
    match &options.command {
        Command::List(list) => {
            let events = find(&connected, tenant, list).await?;
            connected.printer.list(&events)
        }
        Command::Follow(options) => follow::run(&connected, tenant, options).await,
        Command::Verify(options) => verify::run(&connected, options).await,
        Command::Export(options) => export::run(&connected, tenant, options).await,
        Command::DeadLetters(letters) => dead_letters::run(&connected, letters).await,
    }
}

async fn find(
    connected: &Connected,
    tenant: Option<&str>,
    options: &ListOptions,
) -> Result<Vec<v1::AuditEvent>> {
    let mut request = options.selection.request(tenant)?;
    request.after = options.period.since;
    request.before = options.period.until;
    options
        .limit
        .collect(async |page_size, page_token| {
            let request = v1::ListAuditEventsRequest {
                page_size,
                page_token,
                ..request.clone()
            };
            let page = list_page(connected, &request).await?;
            Ok((page.events, page.next_page_token))
        })
        .await
}

async fn list_page(
    connected: &Connected,
    request: &v1::ListAuditEventsRequest,
) -> Result<v1::ListAuditEventsResponse> {
    let mut client = connected.authority.audit();
    let page = client.list_audit_events(request.clone()).await?;
    Ok(page.into_inner())
}

impl Record for v1::AuditEvent {
    const COLUMNS: &'static [&'static str] = &[
        "time", "action", "target", "user", "actor", "address", "reason", "revision",
    ];

    fn cells(&self) -> Vec<String> {
        let actor = match self.via.as_str() {
            "" => cell(&self.actor),
            via => cell(&format!("{} via {via}", self.actor)),
        };
        vec![
            times::stamp(self.time.as_ref()),
            cell(&self.action),
            cell(&self.target),
            cell(&self.user_id),
            actor,
            cell(&self.actor_ip),
            cell(&self.reason),
            self.revision.to_string(),
        ]
    }

    fn name(&self) -> String {
        self.id.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("AuditEvent", self)
    }
}
