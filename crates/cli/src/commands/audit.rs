//! `portcullis audit`: read, follow, verify and export the audit trail.

mod archive;
mod dead_letters;

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use portcullis_contract::v1;
use prost_types::Timestamp;
use serde::Serialize;

use super::{
    completion,
    sessions::{Limit, PAGE_SIZE_MAX},
};
use crate::{
    context::{InTenant, Session as Connected},
    failure::{Exit, Failure, Result},
    output::{
        Record,
        document::Document,
        json_line, note, progress,
        text::{cell, visible},
        times,
        words::word,
    },
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
    Follow(FollowOptions),
    /// Compute the chain of the trail again, and name the first place that does not match. For operators. With files, that
    /// of archived months, without an authority.
    Verify(VerifyOptions),
    /// Write all events of a time to a file or to standard output.
    Export(ExportOptions),
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

#[derive(Args)]
struct FollowOptions {
    #[command(flatten)]
    selection: Selection,
}

#[derive(Args)]
struct VerifyOptions {
    /// Begin after this revision.
    #[arg(
        long,
        value_name = "REVISION",
        default_value_t = 0,
        conflicts_with = "files"
    )]
    after: u64,
    /// Files of the archive: each by itself, and that each continues the one before it.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ExportForm {
    /// One JSON object a line, with every field.
    #[default]
    JsonLines,
    /// A table for spreadsheets. Cells that a spreadsheet would run as a formula begin with an apostrophe.
    Csv,
}

#[derive(Args)]
struct ExportOptions {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    period: Period,
    /// The form of the file.
    #[arg(long, value_enum, default_value_t)]
    format: ExportForm,
    /// Write to this new file, that only its owner may read.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
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
        Command::Follow(follow) => {
            let request = follow.selection.request(tenant)?;
            follow_events(&connected, request).await
        }
        Command::Verify(verify) => verify_trail(&connected, verify).await,
        Command::Export(export) => export_events(&connected, tenant, export).await,
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

/// The pause before `follow` calls again.
const FOLLOW_PAUSE: Duration = Duration::from_secs(1);

/// Prints events as they happen. A stream ends after a while, and the next one goes on where it stopped.
async fn follow_events(connected: &Connected, selected: v1::ListAuditEventsRequest) -> Result<()> {
    // Without a token and a revision the stream begins with the next event.
    let mut request = v1::WatchAuditEventsRequest {
        tenant_id: selected.tenant_id.clone(),
        ..Default::default()
    };
    loop {
        match follow_once(connected, &selected, &mut request).await {
            Ok(()) => {}
            // An authority that restarts, or fails over. Another one may answer.
            Err(failure) if failure.exit == Exit::Unavailable => note(&failure.render()),
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}

async fn follow_once(
    connected: &Connected,
    selected: &v1::ListAuditEventsRequest,
    request: &mut v1::WatchAuditEventsRequest,
) -> Result<()> {
    let mut client = connected.authority.audit();
    let answers = client.watch_audit_events(request.clone()).await?;
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await? {
        // From the first answer on nothing is missed.
        if request.resume_token.is_empty() {
            note("following the audit trail; Ctrl-C ends it");
        }
        for event in &answer.events {
            // The call knows only the tenant, so the rest is chosen here.
            if is_selected(event, selected) {
                connected.printer.line(event)?;
            }
        }
        // After the events were printed: if it fails in between, the next stream brings them again,
        // and none is missing.
        request.resume_token = answer.resume_token;
    }
    Ok(())
}

/// Whether an event is of the actor, the user and the action that were asked for, where they were.
fn is_selected(event: &v1::AuditEvent, selected: &v1::ListAuditEventsRequest) -> bool {
    let is = |asked: &str, found: &str| asked.is_empty() || asked == found;
    is(&selected.actor, &event.actor)
        && is(&selected.user_id, &event.user_id)
        && is(&selected.action, &event.action)
}

/// The result of a verification.
#[derive(Default, Serialize)]
struct Verification {
    /// Number of revisions that match.
    verified: u64,
    head_revision: u64,
    /// Whether everything matches.
    sound: bool,
    /// The first revision that does not match.
    fault_revision: Option<u64>,
    fault_event: Option<String>,
    problem: Option<String>,
    /// The rows of which a part was erased with a user.
    erased: Vec<Erased>,
    /// Where the trail begins. None: at the first revision of the log.
    begin: Option<Begin>,
    /// Rows that were removed from the verified revisions because of their age.
    removed_rows: u64,
}

/// The beginning of a trail whose oldest events are gone.
#[derive(Serialize)]
struct Begin {
    /// The last revision that is gone.
    revision: u64,
    /// The chain there, with which the archive of the month before ends.
    chain: String,
    revisions: u64,
    events: u64,
}

impl Begin {
    fn of(begin: &v1::AuditTrailBegin) -> Self {
        Self {
            revision: begin.revision,
            chain: hex::encode(&begin.chain),
            revisions: begin.revisions,
            events: begin.events,
        }
    }
}

/// The rows that one erasure has erased.
#[derive(Serialize)]
struct Erased {
    /// The event that began it.
    erasure: String,
    rows: u64,
    first_revision: u64,
    last_revision: u64,
}

impl Verification {
    /// Adds the result of one call.
    fn add(&mut self, answer: &v1::VerifyAuditTrailResponse) {
        self.verified += answer.verified;
        self.head_revision = answer.head_revision;
        self.add_erased(&answer.erased);
        self.removed_rows += answer.removed;
        // Replaced and not added: the trail may begin later after each call, because rows are
        // removed meanwhile.
        self.begin = answer.begin.as_ref().map(Begin::of);
    }

    fn add_fault(&mut self, fault: v1::AuditFault) {
        self.fault_revision = Some(fault.revision);
        self.fault_event = Some(fault.event_id).filter(|id| !id.is_empty());
        self.problem = Some(fault.problem);
    }

    fn add_erased(&mut self, found: &[v1::ErasedAuditRows]) {
        for rows in found {
            // An erasure goes on over the revisions of several calls.
            let known = self
                .erased
                .iter_mut()
                .find(|known| known.erasure == rows.erasure_id);
            if let Some(known) = known {
                known.rows += rows.rows;
                known.last_revision = rows.last_revision;
                continue;
            }
            self.erased.push(Erased {
                erasure: rows.erasure_id.clone(),
                rows: rows.rows,
                first_revision: rows.first_revision,
                last_revision: rows.last_revision,
            });
        }
    }

    fn begin_line(&self) -> Option<(&'static str, String)> {
        let begin = self.begin.as_ref()?;
        let line = format!(
            "behind revision {}, chain {}; {} revisions and {} events before it are gone",
            begin.revision, begin.chain, begin.revisions, begin.events
        );
        Some(("begins", line))
    }

    fn erased_rows(&self) -> u64 {
        self.erased.iter().map(|erased| erased.rows).sum()
    }
}

impl Record for Verification {
    const COLUMNS: &'static [&'static str] = &["verified", "head", "erased rows", "trail"];

    fn cells(&self) -> Vec<String> {
        let trail = match &self.problem {
            None => "sound".to_owned(),
            Some(problem) => format!(
                "revision {}: {}",
                self.fault_revision.unwrap_or_default(),
                visible(problem)
            ),
        };
        vec![
            self.verified.to_string(),
            self.head_revision.to_string(),
            self.erased_rows().to_string(),
            trail,
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let labels = Self::COLUMNS.iter().copied();
        let mut lines: Vec<_> = labels.zip(self.cells()).collect();
        lines.extend(self.begin_line());
        if self.removed_rows > 0 {
            let line = format!(
                "{} rows of later revisions, by their age",
                self.removed_rows
            );
            lines.push(("removed", line));
        }
        for erased in &self.erased {
            lines.push((
                "erased",
                format!(
                    "{} rows in revisions {} to {} by {}",
                    erased.rows,
                    erased.first_revision,
                    erased.last_revision,
                    visible(&erased.erasure)
                ),
            ));
        }
        lines
    }

    fn name(&self) -> String {
        self.verified.to_string()
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}

async fn verify_trail(connected: &Connected, options: &VerifyOptions) -> Result<()> {
    let mut found = Verification::default();
    let mut after_revision = options.after;
    let bar = progress::bar(0, "revisions verified");
    loop {
        let answer = verify_after(connected, after_revision).await?;
        found.add(&answer);
        // The head moves while the trail is verified, so the end of the bar moves too.
        bar.set_length(answer.head_revision.saturating_sub(options.after));
        bar.set_position(found.verified);
        let is_last = is_last(&answer, after_revision);
        after_revision = answer.through_revision;
        if let Some(fault) = answer.fault {
            bar.finish_and_clear();
            found.add_fault(fault);
            return Err(print_fault(connected, &found)?);
        }
        if is_last {
            bar.finish_and_clear();
            found.sound = true;
            return connected.printer.one(&found);
        }
    }
}

async fn verify_after(
    connected: &Connected,
    after_revision: u64,
) -> Result<v1::VerifyAuditTrailResponse> {
    let request = v1::VerifyAuditTrailRequest {
        after_revision,
        // As many as the authority verifies in one call.
        revisions_max: 0,
    };
    let mut client = connected.authority.audit();
    let answer = client.verify_audit_trail(request).await?;
    Ok(answer.into_inner())
}

/// Whether a verification that asked for what comes after a revision has come to its end.
fn is_last(answer: &v1::VerifyAuditTrailResponse, after_revision: u64) -> bool {
    // A call that goes nowhere would be repeated for ever.
    answer.through_revision >= answer.head_revision || answer.through_revision <= after_revision
}

/// Prints a verification that found a fault, and returns the failure of the command.
fn print_fault(connected: &Connected, found: &Verification) -> Result<Failure> {
    // Printed although the command fails: a script reads the revision of the fault from standard
    // output.
    connected.printer.one(found)?;
    let failure = Failure::new(Exit::Failed, "the audit trail does not match its chain");
    Ok(failure
        .hint("keep the database as it is: docs/operating/audit.md says what each fault means"))
}

async fn export_events(
    connected: &Connected,
    tenant: Option<&str>,
    options: &ExportOptions,
) -> Result<()> {
    let mut request = options.selection.request(tenant)?;
    request.after = options.period.since;
    // Events that are recorded meanwhile would come before the first page.
    request.before = Some(options.period.until.unwrap_or_else(times::now));
    // The largest page, because every event is wanted and a page is a call.
    request.page_size = i32::try_from(PAGE_SIZE_MAX).unwrap_or(i32::MAX);

    // Asked before the file is made, so that a refused export leaves none.
    let mut page = list_page(connected, &request).await?;
    let mut writer = Exporter::new(options)?;
    let spinner = progress::spinner("events exported:");
    let mut exported = 0;
    loop {
        for event in &page.events {
            writer.write(event)?;
            exported += 1;
        }
        spinner.set_position(exported);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        page = list_page(connected, &request).await?;
    }
    // A buffer that is dropped loses the error of its last write.
    writer.finish()?;
    spinner.finish_and_clear();
    note(&format!("{exported} events exported"));
    Ok(())
}

async fn list_page(
    connected: &Connected,
    request: &v1::ListAuditEventsRequest,
) -> Result<v1::ListAuditEventsResponse> {
    let mut client = connected.authority.audit();
    let page = client.list_audit_events(request.clone()).await?;
    Ok(page.into_inner())
}

/// Columns of the CSV form.
const CSV_COLUMNS: [&str; 15] = [
    "time",
    "tenant_id",
    "action",
    "target",
    "user_id",
    "actor",
    "via",
    "actor_ip",
    "reason",
    "user_message",
    "revision",
    "cause",
    "id",
    "ordinal",
    "details",
];

/// Writes events one after another, so that a long trail needs no memory.
enum Exporter {
    JsonLines(Box<dyn Write>),
    Csv(Box<csv::Writer<Box<dyn Write>>>),
}

impl Exporter {
    fn new(options: &ExportOptions) -> Result<Self> {
        let output: Box<dyn Write> = match &options.file {
            None => Box::new(io::stdout()),
            Some(file) => Box::new(create_private(file)?),
        };
        let output: Box<dyn Write> = Box::new(BufWriter::new(output));
        match options.format {
            ExportForm::JsonLines => Ok(Self::JsonLines(output)),
            ExportForm::Csv => Self::begin_csv(output),
        }
    }

    /// Writes the head of the table.
    fn begin_csv(output: Box<dyn Write>) -> Result<Self> {
        let mut writer = csv::Writer::from_writer(output);
        writer
            .write_record(CSV_COLUMNS)
            .map_err(|error| failed_write(&error))?;
        Ok(Self::Csv(Box::new(writer)))
    }

    fn write(&mut self, event: &v1::AuditEvent) -> Result<()> {
        match self {
            Self::JsonLines(output) => {
                output.write_all(json_line(&event.document()?)?.as_bytes())?;
                Ok(())
            }
            Self::Csv(writer) => {
                let record = csv_record(event);
                writer
                    .write_record(&record)
                    .map_err(|error| failed_write(&error))
            }
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::JsonLines(mut output) => output.flush()?,
            Self::Csv(mut writer) => writer.flush()?,
        }
        Ok(())
    }
}

fn create_private(file: &Path) -> Result<File> {
    // The trail has names and addresses of people.
    let opened = OpenOptions::new()
        .write(true)
        // Nothing is overwritten: the file may be an earlier export.
        .create_new(true)
        .mode(0o600)
        .open(file);
    opened.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

fn failed_write(error: &csv::Error) -> Failure {
    Failure::failed(error.to_string())
}

fn csv_record(event: &v1::AuditEvent) -> Vec<String> {
    let time = event.time.map(|time| time.to_string()).unwrap_or_default();
    let mut details: Vec<String> = event
        .details
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    // The details are a map without an order. Two exports of one event must be equal.
    details.sort();
    let cells = [
        time,
        event.tenant_id.clone(),
        event.action.clone(),
        event.target.clone(),
        event.user_id.clone(),
        event.actor.clone(),
        event.via.clone(),
        event.actor_ip.clone(),
        event.reason.clone(),
        event.user_message.clone(),
        event.revision.to_string(),
        word::<v1::SessionEndCause>(event.cause),
        event.id.clone(),
        event.ordinal.to_string(),
        details.join("; "),
    ];
    cells
        .into_iter()
        .map(|text| harmless_for_spreadsheets(&text))
        .collect()
}

/// A spreadsheet runs a cell that begins with one of these as a formula, and names and reasons are written by others.
fn harmless_for_spreadsheets(text: &str) -> String {
    // This also writes out tabs and line breaks, which some spreadsheets skip before a formula.
    let text = visible(text);
    if text.starts_with(['=', '+', '-', '@']) && text != "-" {
        format!("'{text}")
    } else {
        text.into_owned()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_runs_no_cell() {
        for (text, kept) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"),
            ("@sum", "'@sum"),
            ("\t=1", "\\t=1"),
            ("stolen", "stolen"),
            ("-", "-"),
        ] {
            assert_eq!(harmless_for_spreadsheets(text), kept);
        }
    }
}
