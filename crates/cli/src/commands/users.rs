//! `portcullis users`: find users, sign them out, disable and enable them, set their roles, export
//! and erase them.

pub(super) mod erase;
mod export;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use portcullis_contract::v1;
use prost_types::Timestamp;

use super::{
    completion,
    ending::{Consent, Ending, Outcome, counted},
    receipt::print_outcome,
    sessions::Limit,
};
use crate::{
    context::{InTenant, Session as Connected},
    failure::{Failure, Result},
    output::{
        Record,
        document::Document,
        note,
        text::cell,
        times,
        words::{self, word},
    },
};

/// Options of `users`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    tenant: InTenant,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List users with active sessions, newest sign-in first.
    List(ListOptions),
    /// Show one user.
    Show(OneUser),
    /// End every session of users.
    SignOut(SignOutOptions),
    /// Sign a user out, end their API keys, and refuse their sign-ins.
    Disable(DisableOptions),
    /// Let a disabled user sign in again.
    Enable(EnableOptions),
    /// Show or replace the roles of a user in the tenant.
    Roles(RolesOptions),
    /// Write everything that is held about a user, as JSON lines.
    Export(export::Options),
    /// Erase a user: end their sessions and API keys, and remove whatever names them. Nobody can undo it.
    Erase(erase::Options),
}

#[derive(Args)]
struct OneUser {
    /// The user's id.
    #[arg(value_name = "USER", add = ArgValueCompleter::new(completion::users))]
    user: String,
}

#[derive(Args)]
struct ListOptions {
    /// Only users with these parts in their sign-in name.
    #[arg(long, value_name = "PARTS")]
    user_name: Option<String>,
    /// Only users with these parts in their given or family name.
    #[arg(long, value_name = "PARTS")]
    person: Option<String>,
    /// Only last signed in at or after: 2h (ago), 2026-11-26, or a time.
    #[arg(long, value_name = "TIME", value_parser = times::parse_moment)]
    since: Option<Timestamp>,
    /// Only last signed in before.
    #[arg(long, value_name = "TIME", value_parser = times::parse_moment)]
    until: Option<Timestamp>,
    /// Only users who are active now from at least this many addresses.
    #[arg(long, value_name = "N")]
    addresses_min: Option<u32>,
    /// Users without active sessions too, for example disabled ones.
    #[arg(long)]
    signed_out: bool,
    /// The order.
    #[arg(long, value_parser = words::parser::<v1::UserOrder>())]
    order: Option<v1::UserOrder>,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Args)]
struct SignOutOptions {
    /// The users' ids, at most 1,000.
    #[arg(value_name = "USER", required = true, add = ArgValueCompleter::new(completion::users))]
    users: Vec<String>,
    /// Disable them too, so that no sign-in slips in between.
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    ending: Ending,
}

#[derive(Args)]
struct DisableOptions {
    #[command(flatten)]
    user: OneUser,
    #[command(flatten)]
    ending: Ending,
}

#[derive(Args)]
struct EnableOptions {
    #[command(flatten)]
    user: OneUser,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Only show the user.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct RolesOptions {
    #[command(flatten)]
    user: OneUser,
    /// Replace the roles by these.
    #[arg(long, value_delimiter = ',', value_name = "ROLE", value_parser = words::parser::<v1::UserRole>())]
    set: Vec<v1::UserRole>,
    /// Take all roles away.
    #[arg(long, conflicts_with = "set")]
    clear: bool,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// Runs `users`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let (connected, tenant) = options.tenant.connect().await?;
    match &options.command {
        Command::List(list) => {
            let users = find(&connected, tenant, list).await?;
            connected.printer.list(&users)
        }
        Command::Show(show) => {
            let user = get(&connected, tenant, &show.user).await?;
            connected.printer.one(&user)
        }
        Command::SignOut(sign_out) => sign_users_out(&connected, tenant, sign_out).await,
        Command::Disable(disable) => disable_user(&connected, tenant, disable).await,
        Command::Enable(enable) => {
            let user = enable_user(&connected, tenant, enable).await?;
            connected.printer.one(&user)
        }
        Command::Export(export) => export::run(&connected, tenant, export).await,
        Command::Erase(erase) => erase::run(&connected, tenant, erase).await,
        Command::Roles(roles) => {
            let user = show_or_set_roles(&connected, tenant, roles).await?;
            connected.printer.one(&user)
        }
    }
}

async fn find(
    connected: &Connected,
    tenant: String,
    options: &ListOptions,
) -> Result<Vec<v1::UserSummary>> {
    let request = options.request(tenant);
    let mut client = connected.authority.users();
    options
        .limit
        .collect(async |page_size, page_token| {
            let request = v1::ListUsersRequest {
                page_size,
                page_token,
                ..request.clone()
            };
            let page = client.list_users(request).await?.into_inner();
            Ok((page.users, page.next_page_token))
        })
        .await
}

impl ListOptions {
    fn request(&self, tenant: String) -> v1::ListUsersRequest {
        let filter = v1::UserFilter {
            user_name: self.user_name.clone().unwrap_or_default(),
            person_name: self.person.clone().unwrap_or_default(),
            signed_in_after: self.since,
            signed_in_before: self.until,
            active_addresses_min: self.addresses_min.unwrap_or_default(),
        };
        v1::ListUsersRequest {
            tenant_id: tenant,
            filter: Some(filter),
            order: self.order.unwrap_or_default().into(),
            show_signed_out: self.signed_out,
            ..Default::default()
        }
    }
}

async fn get(connected: &Connected, tenant: String, user: &str) -> Result<v1::User> {
    let request = v1::GetUserRequest {
        tenant_id: tenant,
        user_id: user.to_owned(),
    };
    let answer = connected.authority.users().get_user(request).await?;
    whole(answer.into_inner().user)
}

fn whole(user: Option<v1::User>) -> Result<v1::User> {
    user.ok_or_else(|| Failure::failed("the authority answered without a user"))
}

async fn sign_users_out(
    connected: &Connected,
    tenant: String,
    options: &SignOutOptions,
) -> Result<()> {
    let consent = &options.ending.consent;
    let mut request = options.request(tenant);
    let preview = async { Ok(force_sign_out(connected, &request).await?.preview) };
    let agreed = consent.agree(connected.printer, preview, |preview| {
        consent.ask_about(preview, &sign_out_question(options, preview))
    });
    if !agreed.await? {
        return Ok(());
    }
    request.validate_only = false;
    let answer = force_sign_out(connected, &request).await?;
    note_unknown(&answer.unknown_user_ids);
    let outcome = Outcome::new(signed_out(options), answer.enforcement.as_ref());
    let outcome = outcome.ended(answer.sessions_ended, answer.sessions_ended_capped);
    print_outcome(connected, &options.ending.waiting, outcome).await
}

impl SignOutOptions {
    fn request(&self, tenant: String) -> v1::ForceSignOutRequest {
        v1::ForceSignOutRequest {
            tenant_id: tenant,
            user_ids: self.users.clone(),
            reason: self.ending.reason(),
            user_message: self.ending.message(),
            disable: self.disable,
            validate_only: true,
            ..Default::default()
        }
    }
}

async fn force_sign_out(
    connected: &Connected,
    request: &v1::ForceSignOutRequest,
) -> Result<v1::ForceSignOutResponse> {
    let mut client = connected.authority.users();
    let answer = client.force_sign_out(request.clone()).await?;
    Ok(answer.into_inner())
}

/// Names the users who have never signed in.
fn note_unknown(users: &[String]) {
    // The change was made for them all the same. Most likely the id is wrong.
    for unknown in users {
        note(&format!(
            "{} has never signed in: is the id right?",
            cell(unknown)
        ));
    }
}

/// The change of a sign-out, in words.
fn signed_out(options: &SignOutOptions) -> String {
    let users = options.users.join(", ");
    if options.disable {
        format!("{users} signed out and disabled")
    } else {
        format!("{users} signed out")
    }
}

fn sign_out_question(options: &SignOutOptions, preview: &v1::Preview) -> String {
    let users = match options.users.as_slice() {
        [user] => user.clone(),
        users => format!("{} users", users.len()),
    };
    let disable = if options.disable {
        ", and disable them"
    } else {
        ""
    };
    format!("Sign {users} out of {}{disable}?", counted(preview))
}

async fn disable_user(
    connected: &Connected,
    tenant: String,
    options: &DisableOptions,
) -> Result<()> {
    let (ending, user) = (&options.ending, &options.user.user);
    let mut request = options.request(tenant);
    let preview = async { Ok(disable(connected, &request).await?.preview) };
    let agreed = ending.consent.agree(connected.printer, preview, |preview| {
        let question = format!("Disable {user}, and end {}?", counted(preview));
        ending.consent.ask_about(preview, &question)
    });
    if !agreed.await? {
        return Ok(());
    }
    request.validate_only = false;
    let answer = disable(connected, &request).await?;
    let outcome = Outcome::new(format!("{user} disabled"), answer.enforcement.as_ref());
    print_outcome(connected, &ending.waiting, outcome).await
}

impl DisableOptions {
    fn request(&self, tenant: String) -> v1::DisableUserRequest {
        v1::DisableUserRequest {
            tenant_id: tenant,
            user_id: self.user.user.clone(),
            reason: self.ending.reason(),
            user_message: self.ending.message(),
            validate_only: true,
            ..Default::default()
        }
    }
}

async fn disable(
    connected: &Connected,
    request: &v1::DisableUserRequest,
) -> Result<v1::DisableUserResponse> {
    let mut client = connected.authority.users();
    let answer = client.disable_user(request.clone()).await?;
    Ok(answer.into_inner())
}

async fn enable_user(
    connected: &Connected,
    tenant: String,
    options: &EnableOptions,
) -> Result<v1::User> {
    let request = v1::EnableUserRequest {
        tenant_id: tenant,
        user_id: options.user.user.clone(),
        reason: options.reason.clone().unwrap_or_default(),
        // Nothing to confirm: enabling ends nothing, and can be taken back.
        validate_only: options.dry_run,
        ..Default::default()
    };
    let answer = connected.authority.users().enable_user(request).await?;
    whole(answer.into_inner().user)
}

async fn show_or_set_roles(
    connected: &Connected,
    tenant: String,
    options: &RolesOptions,
) -> Result<v1::User> {
    let user = &options.user.user;
    let current = get(connected, tenant.clone(), user).await?;
    if options.set.is_empty() && !options.clear {
        return Ok(current);
    }
    let roles: Vec<i32> = options.set.iter().map(|role| (*role).into()).collect();
    let change = format!(
        "from {} to {}",
        role_words(&current.roles),
        role_words(&roles)
    );
    if options.consent.dry_run {
        let user = cell(user);
        note(&format!(
            "dry run: the roles of {user} would change {change}"
        ));
        return Ok(current);
    }
    set_roles(connected, tenant, options, roles, &change).await
}

/// Replaces the roles of a user, when a person agrees to the change that these words describe.
async fn set_roles(
    connected: &Connected,
    tenant: String,
    options: &RolesOptions,
    roles: Vec<i32>,
    change: &str,
) -> Result<v1::User> {
    let user = &options.user.user;
    let reason = options.reason.clone();
    // Asked for here and not by clap, because a look needs no reason.
    let reason = reason.ok_or_else(|| Failure::usage("a change of roles needs --reason"))?;
    options
        .consent
        .confirm(&format!("Change the roles of {user} {change}?"))?;
    let request = v1::SetUserRolesRequest {
        tenant_id: tenant,
        user_id: user.clone(),
        roles,
        reason,
        ..Default::default()
    };
    let answer = connected.authority.users().set_user_roles(request).await?;
    whole(answer.into_inner().user)
}

fn role_words(roles: &[i32]) -> String {
    let words = roles.iter().map(|role| word::<v1::UserRole>(*role));
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

fn person(user: &v1::User) -> String {
    let name = format!("{} {}", user.given_name, user.family_name);
    cell(name.trim())
}

impl Record for v1::UserSummary {
    const COLUMNS: &'static [&'static str] = &[
        "user",
        "sign-in name",
        "name",
        "sessions",
        "signed in",
        "active",
        "state",
    ];

    fn cells(&self) -> Vec<String> {
        let user = self.user.clone().unwrap_or_default();
        let more = if self.sessions_capped { "+" } else { "" };
        let state = if user.disable_time.is_some() {
            "disabled"
        } else {
            "-"
        };
        vec![
            cell(&user.id),
            cell(&user.user_name),
            person(&user),
            format!("{}{more}", self.sessions),
            times::stamp(self.sign_in_time.as_ref()),
            times::ago(self.last_active_time.as_ref(), &times::now()),
            state.to_owned(),
        ]
    }

    fn name(&self) -> String {
        self.user
            .as_ref()
            .map(|user| user.id.clone())
            .unwrap_or_default()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("UserSummary", self)
    }
}

impl Record for v1::User {
    const COLUMNS: &'static [&'static str] = &[
        "user",
        "sign-in name",
        "name",
        "email",
        "roles",
        "first seen",
        "disabled",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            cell(&self.id),
            cell(&self.user_name),
            person(self),
            cell(&self.email),
            role_words(&self.roles),
            times::stamp(self.create_time.as_ref()),
            times::stamp(self.disable_time.as_ref()),
        ]
    }

    fn name(&self) -> String {
        self.id.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("User", self)
    }
}
