//! `portcullis tenants`: lists the tenants, and changes one as a whole.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use portcullis_contract::v1;

use super::{
    completion,
    ending::{Consent, Ending, Outcome, counted, explain_preview},
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
        // The tenant is an argument of these two and never the context's: a setting that was
        // forgotten must not sign out a tenant.
        Command::SignOut(sign_out) => sign_tenant_out(&connected, sign_out).await,
        Command::Delete(delete) => delete_tenant(&connected, delete).await,
    }
}

async fn find(connected: &Connected, options: &ListOptions) -> Result<Vec<v1::Tenant>> {
    let mut client = connected.authority.tenants();
    options
        .limit
        .collect(async |page_size, page_token| {
            let request = v1::ListTenantsRequest {
                page_size,
                page_token,
            };
            let page = client.list_tenants(request).await?.into_inner();
            Ok((page.tenants, page.next_page_token))
        })
        .await
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
    let ending = &options.ending;
    let mut request = options.request();
    let preview = async { Ok(sign_out(connected, &request).await?.preview) };
    let agreed = ending.consent.agree(connected.printer, preview, |preview| {
        ask_to_sign_out(options, preview)
    });
    if !agreed.await? {
        return Ok(());
    }
    request.validate_only = false;
    // The confirmation above is what the contract means by it.
    request.force = true;
    let answer = sign_out(connected, &request).await?;
    let action = format!("everybody of {} signed out", options.tenant);
    let outcome = Outcome::new(action, answer.enforcement.as_ref());
    let outcome = outcome.ended(answer.sessions_ended, answer.sessions_ended_capped);
    print_outcome(connected, &ending.waiting, outcome).await
}

impl SignOutOptions {
    fn request(&self) -> v1::SignOutTenantRequest {
        v1::SignOutTenantRequest {
            tenant_id: self.tenant.clone(),
            reason: self.ending.reason(),
            user_message: self.ending.message(),
            validate_only: true,
            ..Default::default()
        }
    }
}

fn ask_to_sign_out(options: &SignOutOptions, preview: &v1::Preview) -> Result<()> {
    let tenant = &options.tenant;
    explain_preview(preview);
    let question = format!(
        "This ends {} of everybody in {tenant}. Type the tenant's name to go on:",
        counted(preview)
    );
    options.ending.consent.confirm_by_typing(&question, tenant)
}

async fn sign_out(
    connected: &Connected,
    request: &v1::SignOutTenantRequest,
) -> Result<v1::SignOutTenantResponse> {
    let mut client = connected.authority.tenants();
    let answer = client.sign_out_tenant(request.clone()).await?;
    Ok(answer.into_inner())
}

async fn delete_tenant(connected: &Connected, options: &DeleteOptions) -> Result<()> {
    let consent = &options.consent;
    let mut request = v1::DeleteTenantRequest {
        tenant_id: options.tenant.clone(),
        reason: options.reason.clone().unwrap_or_default(),
        validate_only: true,
        ..Default::default()
    };
    let preview = async { Ok(delete(connected, &request).await?.preview) };
    let agreed = consent.agree(connected.printer, preview, |preview| {
        ask_to_delete(options, preview)
    });
    if !agreed.await? {
        return Ok(());
    }
    request.validate_only = false;
    // The confirmation above is what the contract means by it.
    request.force = true;
    let outcome = delete_to_the_end(connected, &request).await?;
    print_outcome(connected, &options.waiting, outcome).await
}

fn ask_to_delete(options: &DeleteOptions, preview: &v1::Preview) -> Result<()> {
    let tenant = &options.tenant;
    let question = format!(
        "This ends {} and deletes everything of {tenant}, for good. Type the tenant's name to go on:",
        counted(preview)
    );
    options.consent.confirm_by_typing(&question, tenant)
}

/// Deletes a tenant, and waits until all of it is removed.
async fn delete_to_the_end(
    connected: &Connected,
    request: &v1::DeleteTenantRequest,
) -> Result<Outcome> {
    // The first answer has what ended and how it is enforced. The calls after it only go on
    // removing rows.
    let first = delete(connected, request).await?;
    let erasure = erase::follow(first.erasure, async || {
        Ok(delete(connected, request).await?.erasure)
    })
    .await?;
    let action = erase::removed(&format!("{} deleted", request.tenant_id), &erasure);
    let outcome = Outcome::new(action, first.enforcement.as_ref());
    Ok(outcome.ended(first.sessions_ended, first.sessions_ended_capped))
}

async fn delete(
    connected: &Connected,
    request: &v1::DeleteTenantRequest,
) -> Result<v1::DeleteTenantResponse> {
    let mut client = connected.authority.tenants();
    let answer = client.delete_tenant(request.clone()).await?;
    Ok(answer.into_inner())
}
