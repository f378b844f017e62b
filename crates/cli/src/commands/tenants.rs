//! `portcullis tenants`: lists the tenants, and changes one as a whole.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use portcullis_contract::v1;

use super::{
    completion,
    ending::{Consent, Ending, Outcome, counted, explain_preview, print_preview},
    receipt::{Waiting, print_outcome},
    sessions::Limit,
    users::erase,
};
use crate::{
    context::{Remote, Session as Connected},
    failure::Result,
    output::{Record, document::Document, text::cell},
};

/// Options of `tenants`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the tenants, those that were seen first at the top.
    List(ListOptions),
    /// End every session of everybody in a tenant.
    SignOut(SignOutOptions),
    /// Delete a tenant with everything in it. Nobody can undo it. For operators.
    Delete(DeleteOptions),
}

#[derive(Args)]
struct ListOptions {
    #[command(flatten)]
    limit: Limit,
}

#[derive(Args)]
struct SignOutOptions {
    /// The tenant. Never taken from the context: everybody in it is signed out.
    #[arg(value_name = "TENANT", add = ArgValueCompleter::new(completion::tenants))]
    tenant: String,
    #[command(flatten)]
    ending: Ending,
}

#[derive(Args)]
struct DeleteOptions {
    /// The tenant. Never taken from the context: everything of it is deleted.
    #[arg(value_name = "TENANT", add = ArgValueCompleter::new(completion::tenants))]
    tenant: String,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    waiting: Waiting,
}

/// Runs `tenants`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let connected = options.remote.connect().await?;
    match &options.command {
        Command::List(list) => connected.printer.list(&find(&connected, list).await?),
        Command::SignOut(sign_out) => sign_tenant_out(&connected, sign_out).await,
        Command::Delete(delete) => delete_tenant(&connected, delete).await,
    }
}

async fn find(connected: &Connected, options: &ListOptions) -> Result<Vec<v1::Tenant>> {
    let mut client = connected.authority.tenants();
    let mut request = v1::ListTenantsRequest::default();
    let mut tenants = Vec::new();
    loop {
        request.page_size = options.limit.page_size(tenants.len());
        let page = client.list_tenants(request.clone()).await?.into_inner();
        tenants.extend(page.tenants);
        if options
            .limit
            .is_reached(tenants.len(), &page.next_page_token)
        {
            return Ok(tenants);
        }
        request.page_token = page.next_page_token;
    }
}

impl Record for v1::Tenant {
    const COLUMNS: &'static [&'static str] = &["tenant"];

    fn cells(&self) -> Vec<String> {
        vec![cell(&self.id)]
    }

    fn name(&self) -> String {
        self.id.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("Tenant", self)
    }
}

async fn sign_tenant_out(connected: &Connected, options: &SignOutOptions) -> Result<()> {
    let (ending, tenant) = (&options.ending, &options.tenant);
    let mut client = connected.authority.tenants();
    let mut request = v1::SignOutTenantRequest {
        tenant_id: tenant.clone(),
        reason: ending.reason(),
        user_message: ending.message(),
        validate_only: true,
        ..Default::default()
    };
    if ending.consent.dry_run {
        let answer = client.sign_out_tenant(request).await?.into_inner();
        return print_preview(connected.printer, answer.preview);
    }
    if !ending.consent.yes {
        let answer = client.sign_out_tenant(request.clone()).await?;
        let preview = answer.into_inner().preview.unwrap_or_default();
        explain_preview(&preview);
        let question = format!(
            "This ends {} of everybody in {tenant}. Type the tenant's name to go on:",
            counted(&preview)
        );
        ending.consent.confirm_by_typing(&question, tenant)?;
    }
    request.validate_only = false;
    // The confirmation above is what the contract means by it.
    request.force = true;
    let answer = client.sign_out_tenant(request).await?.into_inner();
    let outcome = Outcome::new(
        format!("everybody of {tenant} signed out"),
        answer.enforcement.as_ref(),
    );
    let outcome = outcome.ended(answer.sessions_ended, answer.sessions_ended_capped);
    print_outcome(connected, &ending.waiting, outcome).await
}

async fn delete_tenant(connected: &Connected, options: &DeleteOptions) -> Result<()> {
    let tenant = &options.tenant;
    let mut client = connected.authority.tenants();
    let mut request = v1::DeleteTenantRequest {
        tenant_id: tenant.clone(),
        reason: options.reason.clone().unwrap_or_default(),
        validate_only: true,
        ..Default::default()
    };
    if options.consent.dry_run {
        let answer = client.delete_tenant(request).await?.into_inner();
        return print_preview(connected.printer, answer.preview);
    }
    if !options.consent.yes {
        let answer = client.delete_tenant(request.clone()).await?;
        let preview = answer.into_inner().preview.unwrap_or_default();
        let question = format!(
            "This ends {} and deletes everything of {tenant}, for good. Type the tenant's name to go on:",
            counted(&preview)
        );
        options.consent.confirm_by_typing(&question, tenant)?;
    }

    request.validate_only = false;
    // The confirmation above is what the contract means by it.
    request.force = true;
    let first = client.delete_tenant(request.clone()).await?.into_inner();
    let erasure = erase::follow(first.erasure, async || {
        let mut client = connected.authority.tenants();
        let answer = client.delete_tenant(request.clone()).await?;
        Ok(answer.into_inner().erasure)
    })
    .await?;
    let action = erase::removed(&format!("{tenant} deleted"), &erasure);
    let outcome = Outcome::new(action, first.enforcement.as_ref());
    let outcome = outcome.ended(first.sessions_ended, first.sessions_ended_capped);
    print_outcome(connected, &options.waiting, outcome).await
}
