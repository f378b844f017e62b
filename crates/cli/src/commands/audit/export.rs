//! `audit export`: all events of a time, as JSON lines or for spreadsheets.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use portcullis_contract::v1;

use super::{Period, Selection, list_page};
use crate::{
    commands::sessions::PAGE_SIZE_MAX,
    context::Session as Connected,
    failure::{Failure, Result},
    output::{Record, json_line, note, progress, text::visible, times, words::word},
};

/// The form of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One JSON object a line, with every field.
    #[default]
    JsonLines,
    /// A table for spreadsheets. Cells that a spreadsheet would run as a formula begin with an apostrophe.
    Csv,
}

/// Options of `export`.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    period: Period,
    /// The form of the file.
    #[arg(long, value_enum, default_value_t)]
    format: Form,
    /// Write to this new file, that only its owner may read.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Writes all events of a time, a page after the other.
pub(super) async fn run(
    connected: &Connected,
    tenant: Option<&str>,
    options: &Options,
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
    fn new(options: &Options) -> Result<Self> {
        let output: Box<dyn Write> = match &options.file {
            None => Box::new(io::stdout()),
            Some(file) => Box::new(create_private(file)?),
        };
        let output: Box<dyn Write> = Box::new(BufWriter::new(output));
        match options.format {
            Form::JsonLines => Ok(Self::JsonLines(output)),
            Form::Csv => Self::begin_csv(output),
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
