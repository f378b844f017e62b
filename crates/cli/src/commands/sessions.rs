//! `portcullis sessions`: find, show and end sessions.

use std::future::ready;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use portcullis_contract::v1;
use prost_types::Timestamp;

use super::{
    completion,
    ending::{Consent, Ending, Outcome, counted},
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
    /// Asks for one page after the other until there are enough records. `next` takes the size and the token of a page, and
    /// returns its records and the token of the page after it.
    pub(super) async fn collect<T>(
        &self,
        mut next: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String)>,
    ) -> Result<Vec<T>> {
        let mut listed = Vec::new();
        let mut token = String::new();
        loop {
            let (page, next_token) = next(self.page_size(listed.len()), token).await?;
            listed.extend(page);
            if self.is_reached(listed.len(), &next_token) {
                return Ok(listed);
            }
            token = next_token;
        }
    }

    /// The size of the next page after this many records.
    pub(super) fn page_size(&self, listed: usize) -> i32 {
        let listed = u32::try_from(listed).unwrap_or(u32::MAX);
        // No more than will be shown: the authority would read rows that nobody sees.
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
        Command::End(end) => end_sessions(&connected, tenant, end).await,
    }
}

async fn find(
    connected: &Connected,
    tenant: String,
    options: &ListOptions,
) -> Result<Vec<v1::Session>> {
    let request = options.request(tenant);
    let mut client = connected.authority.sessions();
    options
        .limit
        .collect(async |page_size, page_token| {
            let request = v1::ListSessionsRequest {
                page_size,
                page_token,
                ..request.clone()
            };
            let page = client.list_sessions(request).await?.into_inner();
            Ok((page.sessions, page.next_page_token))
        })
        .await
}

impl ListOptions {
    fn request(&self, tenant: String) -> v1::ListSessionsRequest {
        let mut filter = self.selection.filter();
        filter.end_cause = self.cause.unwrap_or_default().into();
        v1::ListSessionsRequest {
            tenant_id: tenant,
            user_id: self.selection.user.clone().unwrap_or_default(),
            state: self.state.unwrap_or_default().into(),
            filter: Some(filter),
            order: self.order.unwrap_or_default().into(),
            show_ended: self.ended,
            ..Default::default()
        }
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

/// Ends the sessions that are meant, and prints the outcome.
async fn end_sessions(connected: &Connected, tenant: String, options: &EndOptions) -> Result<()> {
    let ending = &options.ending;
    // What is meant is decided before any call, so that a contradiction ends nothing.
    let outcome = match Target::of(options)? {
        Target::Ids => end_by_ids(connected, tenant, options).await?,
        Target::Others { user, keep } => end_others(connected, tenant, user, keep, ending).await?,
        Target::Matching => end_matching(connected, tenant, options).await?,
    };
    match outcome {
        Some(outcome) => print_outcome(connected, &ending.waiting, outcome).await,
        None => Ok(()),
    }
}

async fn end_by_ids(
    connected: &Connected,
    tenant: String,
    options: &EndOptions,
) -> Result<Option<Outcome>> {
    let consent = &options.ending.consent;
    let mut request = options.request_by_ids(tenant);
    let preview = async { Ok(revoke_ids(connected, &request).await?.preview) };
    let agreed = consent.agree(connected.printer, preview, |preview| {
        ask_to_end(consent, preview)
    });
    if !agreed.await? {
        return Ok(None);
    }
    request.validate_only = false;
    let answer = revoke_ids(connected, &request).await?;
    let outcome = Outcome::new("sessions ended", answer.enforcement.as_ref());
    Ok(Some(outcome.ended(answer.revoked, false)))
}

impl EndOptions {
    fn request_by_ids(&self, tenant: String) -> v1::BatchRevokeSessionsRequest {
        v1::BatchRevokeSessionsRequest {
            tenant_id: tenant,
            session_ids: self.ids.clone(),
            reason: self.ending.reason(),
            user_message: self.ending.message(),
            // Begins as a preview. The one place that makes it a change is after the confirmation.
            validate_only: true,
            ..Default::default()
        }
    }

    fn request_matching(&self, tenant: String) -> v1::RevokeMatchingSessionsRequest {
        v1::RevokeMatchingSessionsRequest {
            tenant_id: tenant,
            user_id: self.selection.user.clone().unwrap_or_default(),
            filter: Some(self.selection.filter()),
            reason: self.ending.reason(),
            user_message: self.ending.message(),
            validate_only: true,
            ..Default::default()
        }
    }
}

async fn revoke_ids(
    connected: &Connected,
    request: &v1::BatchRevokeSessionsRequest,
) -> Result<v1::BatchRevokeSessionsResponse> {
    let mut client = connected.authority.sessions();
    let answer = client.batch_revoke_sessions(request.clone()).await?;
    Ok(answer.into_inner())
}

async fn end_others(
    connected: &Connected,
    tenant: String,
    user: &str,
    keep: &str,
    ending: &Ending,
) -> Result<Option<Outcome>> {
    let mut request = v1::RevokeOtherSessionsRequest {
        tenant_id: tenant,
        user_id: user.to_owned(),
        keep_session_id: keep.to_owned(),
        reason: ending.reason(),
        user_message: ending.message(),
        validate_only: true,
        ..Default::default()
    };
    let preview = async { Ok(revoke_others(connected, &request).await?.preview) };
    let agreed = ending.consent.agree(connected.printer, preview, |preview| {
        let question = format!("End {} of {user}, and keep {keep}?", counted(preview));
        ending.consent.ask_about(preview, &question)
    });
    if !agreed.await? {
        return Ok(None);
    }
    request.validate_only = false;
    let answer = revoke_others(connected, &request).await?;
    let action = format!("all sessions of {user} but one ended");
    Ok(Some(Outcome::new(action, answer.enforcement.as_ref())))
}

async fn revoke_others(
    connected: &Connected,
    request: &v1::RevokeOtherSessionsRequest,
) -> Result<v1::RevokeOtherSessionsResponse> {
    let mut client = connected.authority.sessions();
    let answer = client.revoke_other_sessions(request.clone()).await?;
    Ok(answer.into_inner())
}

async fn end_matching(
    connected: &Connected,
    tenant: String,
    options: &EndOptions,
) -> Result<Option<Outcome>> {
    let consent = &options.ending.consent;
    let mut request = options.request_matching(tenant);
    // Before the consent, and with `--yes` too: the bar needs the number.
    let preview = preview_matching(connected, &request).await?;
    let expected = preview.sessions;
    let preview = ready(Ok(Some(preview)));
    let agreed = consent.agree(connected.printer, preview, |preview| {
        ask_to_end(consent, preview)
    });
    if !agreed.await? {
        return Ok(None);
    }
    request.validate_only = false;
    end_in_steps(connected, request, expected).await
}

async fn preview_matching(
    connected: &Connected,
    request: &v1::RevokeMatchingSessionsRequest,
) -> Result<v1::Preview> {
    let mut client = connected.authority.sessions();
    let answer = client.revoke_matching_sessions(request.clone()).await?;
    Ok(answer.into_inner().preview.unwrap_or_default())
}

/// The question about sessions that nobody has named by a user.
fn ask_to_end(consent: &Consent, preview: &v1::Preview) -> Result<()> {
    consent.ask_about(preview, &format!("End {}?", counted(preview)))
}

/// Ends the sessions that match, as many as the authority ends at once, until none is left. `expected` is their number.
async fn end_in_steps(
    connected: &Connected,
    request: v1::RevokeMatchingSessionsRequest,
    expected: u32,
) -> Result<Option<Outcome>> {
    let mut client = connected.authority.sessions();
    // The number of the preview. It is counted up to a bound, so the bar may run over it.
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
    // An application's own name says more than the browser inside of it.
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
        // The address of the last use. Until a gate reports one it is that of the sign-in.
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

fn client_detail(client: &v1::Client) -> (&'static str, String) {
    ("user agent", visible(&client.user_agent).into_owned())
}

fn sign_in_details(session: &v1::Session) -> [(&'static str, String); 3] {
    [
        ("signed in by", cell(&session.amr.join(", "))),
        ("acr", cell(&session.acr)),
        ("authenticated", times::stamp(session.auth_time.as_ref())),
    ]
}

fn life_details(session: &v1::Session) -> [(&'static str, String); 3] {
    let idle_expire_time = session.idle_expire_time.as_ref();
    [
        ("refreshed", times::stamp(session.refresh_time.as_ref())),
        ("expires", times::stamp(session.expire_time.as_ref())),
        ("idle expiry", times::stamp(idle_expire_time)),
    ]
}

fn use_details(session: &v1::Session) -> [(&'static str, String); 4] {
    let sign_ins = session.device_sign_ins.to_string();
    [
        ("requests", session.actions.to_string()),
        ("last page", cell(&session.last_page)),
        ("sign-ins of the device", sign_ins),
        ("findings", findings(session)),
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
        lines.extend(self.user.iter().flat_map(user_details));
        lines.extend(self.client.iter().map(client_detail));
        lines.extend(sign_in_details(self));
        lines.extend(life_details(self));
        lines.extend(use_details(self));
        lines.extend(self.end.iter().flat_map(end_details));
        lines
    }

    fn name(&self) -> String {
        self.id.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("Session", self)
    }
}
