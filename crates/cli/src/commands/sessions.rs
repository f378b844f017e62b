//! `portcullis sessions`: find, show and end sessions.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use portcullis_contract::v1;
use prost_types::Timestamp;

use super::{
    completion,
    ending::{Ending, Outcome, counted, explain_preview, print_preview},
    receipt::print_outcome,
};
use crate::{
    context::{InTenant, Session as Connected},
    failure::{Failure, Result},
    output::{
        Record,
        document::Document,
        note, progress,
        text::{cell, visible},
        times,
        words::{self, word},
    },
};

/// Options of `sessions`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    tenant: InTenant,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List sessions, newest first.
    List(Box<ListOptions>),
    /// Show one session with everything that is known about it.
    Show(ShowOptions),
    /// End sessions: by their ids, of a user, or all that match.
    End(Box<EndOptions>),
}

/// Which sessions are meant.
#[derive(Args)]
struct Selection {
    /// Only sessions of this user.
    #[arg(long, value_name = "USER", add = ArgValueCompleter::new(completion::users))]
    user: Option<String>,
    /// Only of users with these parts in their sign-in name.
    #[arg(long, value_name = "PARTS")]
    user_name: Option<String>,
    /// Only of users with these parts in their given or family name.
    #[arg(long, value_name = "PARTS")]
    person: Option<String>,
    /// Only of users with these parts in their email address.
    #[arg(long, value_name = "PARTS")]
    email: Option<String>,
    /// Only sign-ins from this address or network, such as 192.0.2.0/24.
    #[arg(long, value_name = "ADDRESS")]
    network: Option<String>,
    /// Only sign-ins from this country, by its two letters.
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
    /// Only sessions on this kind of device.
    #[arg(long, value_parser = words::parser::<v1::DeviceType>())]
    device: Option<v1::DeviceType>,
    /// Only opened at or after: 2h (ago), 2026-11-26, or a time.
    #[arg(long, value_name = "TIME", value_parser = times::parse_moment)]
    since: Option<Timestamp>,
    /// Only opened before.
    #[arg(long, value_name = "TIME", value_parser = times::parse_moment)]
    until: Option<Timestamp>,
    /// Only last active on or after that day.
    #[arg(long, value_name = "TIME", value_parser = times::parse_moment)]
    active_since: Option<Timestamp>,
    /// Only last active before that day.
    #[arg(long, value_name = "TIME", value_parser = times::parse_moment)]
    active_until: Option<Timestamp>,
}

impl Selection {
    fn filter(&self) -> v1::SessionFilter {
        v1::SessionFilter {
            user_name: self.user_name.clone().unwrap_or_default(),
            person_name: self.person.clone().unwrap_or_default(),
            email: self.email.clone().unwrap_or_default(),
            network: self.network.clone().unwrap_or_default(),
            country_code: self.country.clone().unwrap_or_default(),
            device_type: self.device.unwrap_or_default().into(),
            started_after: self.since,
            started_before: self.until,
            last_active_after: self.active_since,
            last_active_before: self.active_until,
            end_cause: v1::SessionEndCause::Unspecified.into(),
        }
    }

    fn is_empty(&self) -> bool {
        self.user.is_none() && self.filter() == v1::SessionFilter::default()
    }
}

/// Most records that one command lists. `audit export` has no such bound.
pub(super) const LISTED_MAX: u32 = 10_000;

/// The most that a page of the authority has.
pub(super) const PAGE_SIZE_MAX: u32 = 200;

/// How many records a list prints.
#[derive(Args)]
pub(super) struct Limit {
    /// Print at most this many.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(LISTED_MAX))
    )]
    limit: u32,
}

impl Limit {
    /// The size of the next page after this many records.
    pub(super) fn page_size(&self, listed: usize) -> i32 {
        let listed = u32::try_from(listed).unwrap_or(u32::MAX);
        let missing = self.limit.saturating_sub(listed).min(PAGE_SIZE_MAX);
        i32::try_from(missing).unwrap_or(i32::MAX)
    }

    /// Whether this many records are enough. Tells the person if the list goes on.
    pub(super) fn is_reached(&self, listed: usize, next_page_token: &str) -> bool {
        if next_page_token.is_empty() {
            return true;
        }
        let reached = self.page_size(listed) == 0;
        if reached {
            note(&format!(
                "there are more than {}: narrow the list, or raise --limit",
                self.limit
            ));
        }
        reached
    }
}

#[derive(Args)]
struct ListOptions {
    #[command(flatten)]
    selection: Selection,
    /// Only sessions in this state.
    #[arg(long, value_parser = words::parser::<v1::SessionState>())]
    state: Option<v1::SessionState>,
    /// Ended sessions too.
    #[arg(long)]
    ended: bool,
    /// Only sessions that ended for this cause.
    #[arg(long, value_parser = words::parser::<v1::SessionEndCause>())]
    cause: Option<v1::SessionEndCause>,
    /// The order. last-active needs --user.
    #[arg(long, value_parser = words::parser::<v1::SessionOrder>())]
    order: Option<v1::SessionOrder>,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Args)]
struct ShowOptions {
    /// The session.
    #[arg(value_name = "SESSION")]
    id: String,
}

#[derive(Args)]
struct EndOptions {
    /// The sessions.
    #[arg(value_name = "SESSION")]
    ids: Vec<String>,
    #[command(flatten)]
    selection: Selection,
    /// End all sessions of --user but this one.
    #[arg(long, value_name = "SESSION", requires = "user")]
    keep: Option<String>,
    #[command(flatten)]
    ending: Ending,
}

/// Runs `sessions`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let (connected, tenant) = options.tenant.connect().await?;
    match &options.command {
        Command::List(list) => {
            let sessions = find(&connected, tenant, list).await?;
            connected.printer.list(&sessions)
        }
        Command::Show(show) => {
            let session = get(&connected, tenant, &show.id).await?;
            connected.printer.one(&session)
        }
        Command::End(end) => {
            let outcome = match Target::of(end)? {
                Target::Ids => end_by_ids(&connected, tenant, end).await?,
                Target::Others { user, keep } => {
                    end_others(&connected, tenant, user, keep, &end.ending).await?
                }
                Target::Matching => end_matching(&connected, tenant, end).await?,
            };
            match outcome {
                Some(outcome) => print_outcome(&connected, &end.ending.waiting, outcome).await,
                None => Ok(()),
            }
        }
    }
}

async fn find(
    connected: &Connected,
    tenant: String,
    options: &ListOptions,
) -> Result<Vec<v1::Session>> {
    let mut client = connected.authority.sessions();
    let mut filter = options.selection.filter();
    filter.end_cause = options.cause.unwrap_or_default().into();
    let mut request = v1::ListSessionsRequest {
        tenant_id: tenant,
        user_id: options.selection.user.clone().unwrap_or_default(),
        state: options.state.unwrap_or_default().into(),
        filter: Some(filter),
        order: options.order.unwrap_or_default().into(),
        show_ended: options.ended,
        ..Default::default()
    };
    let mut sessions = Vec::new();
    loop {
        request.page_size = options.limit.page_size(sessions.len());
        let page = client.list_sessions(request.clone()).await?.into_inner();
        sessions.extend(page.sessions);
        if options
            .limit
            .is_reached(sessions.len(), &page.next_page_token)
        {
            return Ok(sessions);
        }
        request.page_token = page.next_page_token;
    }
}

async fn get(connected: &Connected, tenant: String, id: &str) -> Result<v1::Session> {
    let request = v1::GetSessionRequest {
        tenant_id: tenant,
        session_id: id.to_owned(),
    };
    let answer = connected.authority.sessions().get_session(request).await?;
    let session = answer.into_inner().session;
    session.ok_or_else(|| Failure::failed("the authority answered without a session"))
}

/// The target of `sessions end`.
enum Target<'o> {
    Ids,
    Others { user: &'o str, keep: &'o str },
    Matching,
}

impl<'o> Target<'o> {
    fn of(options: &'o EndOptions) -> Result<Self> {
        let selection = &options.selection;
        if !options.ids.is_empty() {
            if !selection.is_empty() {
                return Err(Failure::usage("name sessions or conditions, not both"));
            }
            return Ok(Self::Ids);
        }
        if let (Some(keep), Some(user)) = (&options.keep, &selection.user) {
            // A sign-out of a user knows no conditions, and dropping them would end more than was asked for.
            if selection.filter() != v1::SessionFilter::default() {
                return Err(Failure::usage("--keep goes with --user alone"));
            }
            return Ok(Self::Others { user, keep });
        }
        // An empty selection would match the whole tenant.
        if selection.is_empty() {
            let failure =
                Failure::usage("which sessions? none is named, and no condition is given");
            return Err(failure.hint("everybody of a tenant: `portcullis tenants sign-out`"));
        }
        Ok(Self::Matching)
    }
}

async fn end_by_ids(
    connected: &Connected,
    tenant: String,
    options: &EndOptions,
) -> Result<Option<Outcome>> {
    let ending = &options.ending;
    let mut client = connected.authority.sessions();
    let mut request = v1::BatchRevokeSessionsRequest {
        tenant_id: tenant,
        session_ids: options.ids.clone(),
        reason: ending.reason(),
        user_message: ending.message(),
        validate_only: true,
        ..Default::default()
    };
    if ending.consent.dry_run {
        let answer = client.batch_revoke_sessions(request).await?;
        print_preview(connected.printer, answer.into_inner().preview)?;
        return Ok(None);
    }
    if !ending.consent.yes {
        let answer = client.batch_revoke_sessions(request.clone()).await?;
        let preview = answer.into_inner().preview.unwrap_or_default();
        explain_preview(&preview);
        ending
            .consent
            .confirm(&format!("End {}?", counted(&preview)))?;
    }
    request.validate_only = false;
    let answer = client.batch_revoke_sessions(request).await?.into_inner();
    let outcome = Outcome::new("sessions ended", answer.enforcement.as_ref());
    Ok(Some(outcome.ended(answer.revoked, false)))
}

async fn end_others(
    connected: &Connected,
    tenant: String,
    user: &str,
    keep: &str,
    ending: &Ending,
) -> Result<Option<Outcome>> {
    let mut client = connected.authority.sessions();
    let mut request = v1::RevokeOtherSessionsRequest {
        tenant_id: tenant,
        user_id: user.to_owned(),
        keep_session_id: keep.to_owned(),
        reason: ending.reason(),
        user_message: ending.message(),
        validate_only: true,
        ..Default::default()
    };
    if ending.consent.dry_run {
        let answer = client.revoke_other_sessions(request).await?;
        print_preview(connected.printer, answer.into_inner().preview)?;
        return Ok(None);
    }
    if !ending.consent.yes {
        let answer = client.revoke_other_sessions(request.clone()).await?;
        let preview = answer.into_inner().preview.unwrap_or_default();
        explain_preview(&preview);
        let question = format!("End {} of {user}, and keep {keep}?", counted(&preview));
        ending.consent.confirm(&question)?;
    }
    request.validate_only = false;
    let answer = client.revoke_other_sessions(request).await?.into_inner();
    let action = format!("all sessions of {user} but one ended");
    Ok(Some(Outcome::new(action, answer.enforcement.as_ref())))
}

async fn end_matching(
    connected: &Connected,
    tenant: String,
    options: &EndOptions,
) -> Result<Option<Outcome>> {
    let ending = &options.ending;
    let mut client = connected.authority.sessions();
    let mut request = v1::RevokeMatchingSessionsRequest {
        tenant_id: tenant,
        user_id: options.selection.user.clone().unwrap_or_default(),
        filter: Some(options.selection.filter()),
        reason: ending.reason(),
        user_message: ending.message(),
        validate_only: true,
        ..Default::default()
    };
    let answer = client.revoke_matching_sessions(request.clone()).await?;
    let preview = answer.into_inner().preview;
    if ending.consent.dry_run {
        print_preview(connected.printer, preview)?;
        return Ok(None);
    }
    let preview = preview.unwrap_or_default();
    if !ending.consent.yes {
        explain_preview(&preview);
        ending
            .consent
            .confirm(&format!("End {}?", counted(&preview)))?;
    }
    request.validate_only = false;
    end_in_steps(connected, request, preview.sessions).await
}

/// Ends the sessions that match, as many as the authority ends at once, until none is left. `expected` is their number.
async fn end_in_steps(
    connected: &Connected,
    request: v1::RevokeMatchingSessionsRequest,
    expected: u32,
) -> Result<Option<Outcome>> {
    let mut client = connected.authority.sessions();
    let bar = progress::bar(u64::from(expected), "ending sessions");
    let mut ended = 0_u32;
    let mut enforcement = None;
    loop {
        let answer = match client.revoke_matching_sessions(request.clone()).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                note(&format!(
                    "{ended} sessions were ended before the failure; repeating the command ends the rest"
                ));
                return Err(status.into());
            }
        };
        ended += answer.revoked;
        bar.set_position(u64::from(ended));
        // Unset if nothing matched any more: the revision before is the last one that counts.
        enforcement = answer.enforcement.or(enforcement);
        if !answer.more {
            bar.finish_and_clear();
            let outcome = Outcome::new("matching sessions ended", enforcement.as_ref());
            return Ok(Some(outcome.ended(ended, false)));
        }
    }
}

fn device(session: &v1::Session) -> String {
    let Some(device) = &session.device else {
        return "-".to_owned();
    };
    let first = if device.app_name.is_empty() {
        &device.browser
    } else {
        &device.app_name
    };
    let second = if device.model.is_empty() {
        &device.os
    } else {
        &device.model
    };
    let words: Vec<&str> = [first, second]
        .into_iter()
        .map(String::as_str)
        .filter(|word| !word.is_empty())
        .collect();
    cell(&words.join(", "))
}

fn place(session: &v1::Session) -> String {
    let Some(place) = &session.place else {
        return "-".to_owned();
    };
    let words: Vec<&str> = [&place.city, &place.country]
        .into_iter()
        .map(String::as_str)
        .filter(|word| !word.is_empty())
        .collect();
    cell(&words.join(", "))
}

fn address(session: &v1::Session) -> &str {
    match (&session.last_ip, &session.client) {
        (last, _) if !last.is_empty() => last,
        (_, Some(client)) => &client.ip,
        (_, None) => "",
    }
}

fn findings(session: &v1::Session) -> String {
    let words = session.findings.iter().map(|finding| {
        let level = word::<v1::FindingLevel>(finding.level);
        format!("{} ({level})", word::<v1::FindingCode>(finding.code))
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        "-".to_owned()
    } else {
        words.join(", ")
    }
}

fn user_details(user: &v1::SessionUser) -> [(&'static str, String); 3] {
    let name = format!("{} {}", user.given_name, user.family_name);
    [
        ("sign-in name", cell(&user.user_name)),
        ("name", cell(name.trim())),
        ("email", cell(&user.email)),
    ]
}

fn end_details(end: &v1::SessionEnd) -> [(&'static str, String); 6] {
    [
        ("ended", times::stamp(end.time.as_ref())),
        ("cause", word::<v1::SessionEndCause>(end.cause)),
        ("by", cell(&end.actor)),
        ("reason", visible(&end.reason).into_owned()),
        ("told the user", visible(&end.user_message).into_owned()),
        ("revision", end.revision.to_string()),
    ]
}

impl Record for v1::Session {
    const COLUMNS: &'static [&'static str] = &[
        "session", "user", "state", "device", "place", "address", "opened", "active",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            visible(&self.id).into_owned(),
            cell(&self.user_id),
            word::<v1::SessionState>(self.state),
            device(self),
            place(self),
            cell(address(self)),
            times::stamp(self.create_time.as_ref()),
            times::ago(self.last_active_time.as_ref(), &times::now()),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> = Self::COLUMNS.iter().copied().zip(self.cells()).collect();
        if let Some(user) = &self.user {
            lines.extend(user_details(user));
        }
        if let Some(client) = &self.client {
            lines.push(("user agent", visible(&client.user_agent).into_owned()));
        }
        lines.push(("signed in by", cell(&self.amr.join(", "))));
        lines.push(("acr", cell(&self.acr)));
        lines.push(("authenticated", times::stamp(self.auth_time.as_ref())));
        lines.push(("refreshed", times::stamp(self.refresh_time.as_ref())));
        lines.push(("expires", times::stamp(self.expire_time.as_ref())));
        lines.push(("idle expiry", times::stamp(self.idle_expire_time.as_ref())));
        lines.push(("requests", self.actions.to_string()));
        lines.push(("last page", cell(&self.last_page)));
        lines.push(("sign-ins of the device", self.device_sign_ins.to_string()));
        lines.push(("findings", findings(self)));
        if let Some(end) = &self.end {
            lines.extend(end_details(end));
        }
        lines
    }

    fn name(&self) -> String {
        self.id.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("Session", self)
    }
}
