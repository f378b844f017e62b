//! The export of events: a page of the list at a time, so that memory holds one page however long the file is.

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures::stream;
use http::{
    HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use jiff::Timestamp;
use portcullis_contract::v1;
use serde_json::{Map, Value, json};
use tonic::Status;

use crate::{authority::Authority, person::Person, problem::Problem};

/// The events of a page.
const PAGE_EVENTS: i32 = 200;
/// The most events of a file.
pub(super) const EVENTS_MAX: usize = 100_000;
/// The longest name of a team in the name of a file, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The columns of a file, in its order.
const COLUMNS: [&str; 15] = [
    "time",
    "id",
    "ordinal",
    "actor",
    "via",
    "action",
    "user_id",
    "target",
    "actor_ip",
    "reason",
    "user_message",
    "cause",
    "revision",
    "details",
    "tenant_id",
];

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    JsonLines,
    Csv,
}

impl Format {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "jsonl" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
        }
    }

    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::JsonLines => "application/jsonl; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        })
    }

    fn head(self) -> String {
        match self {
            Self::JsonLines => String::new(),
            Self::Csv => csv_line(COLUMNS),
        }
    }

    fn line(self, event: &v1::AuditEvent) -> String {
        let fields = fields(event);
        match self {
            Self::JsonLines => {
                let object: Map<_, _> =
                    COLUMNS.map(str::to_owned).into_iter().zip(fields).collect();
                format!("{}\n", Value::Object(object))
            }
            Self::Csv => csv_line(fields.map(cell_text)),
        }
    }
}

/// An export that has begun: its first page is there, so a refusal can still be a page.
struct Export {
    authority: Authority,
    format: Format,
    request: v1::ListAuditEventsRequest,
    /// The page that is written next. None: all is written.
    next: Option<v1::ListAuditEventsResponse>,
    is_begun: bool,
    written: usize,
}

/// The file with all events that a request matches.
pub(super) async fn export(
    person: &Person,
    format: Format,
    request: v1::ListAuditEventsRequest,
) -> Result<Response, Problem> {
    let request = v1::ListAuditEventsRequest {
        page_size: PAGE_EVENTS,
        ..request
    };
    // The name and the first page come before the head of the answer. After it the browser would
    // only see a file that breaks off.
    let disposition = disposition(person, format)?;
    let first = read_page(&person.authority, &request).await?;
    let export = Export {
        authority: person.authority.clone(),
        format,
        request,
        next: Some(first),
        is_begun: false,
        written: 0,
    };
    // The browser pulls the pages: a slow download asks the authority for the next one only when it
    // has taken this one.
    let mut response = Response::new(Body::from_stream(stream::try_unfold(export, write_page)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, format.media_type());
    headers.insert(CONTENT_DISPOSITION, disposition);
    Ok(response)
}

fn disposition(person: &Person, format: Format) -> Result<HeaderValue, Problem> {
    let name = file_name(&person.tenant, &Timestamp::now().to_string(), format);
    let disposition = format!("attachment; filename=\"{name}\"");
    HeaderValue::from_str(&disposition).map_err(|_| Problem::internal())
}

async fn read_page(
    authority: &Authority,
    request: &v1::ListAuditEventsRequest,
) -> Result<v1::ListAuditEventsResponse, Status> {
    let answer = authority.audit().list_audit_events(request.clone()).await?;
    Ok(answer.into_inner())
}

/// Writes the next page of events. An error ends the file without its end, so that the browser reports a failed download
/// and nobody takes a part for the whole.
async fn write_page(mut export: Export) -> Result<Option<(Bytes, Export)>, Status> {
    let Some(page) = export.next.take() else {
        return Ok(None);
    };
    let mut text = String::new();
    if !export.is_begun {
        export.is_begun = true;
        text += &export.format.head();
    }
    for event in page.events.iter().take(EVENTS_MAX - export.written) {
        export.written += 1;
        text += &export.format.line(event);
    }
    if !page.next_page_token.is_empty() && export.written < EVENTS_MAX {
        export.request.page_token = page.next_page_token;
        export.next = Some(read_page(&export.authority, &export.request).await?);
    }
    Ok(Some((Bytes::from(text), export)))
}

/// The values of an event, in the order of [`COLUMNS`].
fn fields(event: &v1::AuditEvent) -> [Value; COLUMNS.len()] {
    let cause = match event.cause() {
        v1::SessionEndCause::Unspecified => "",
        cause => {
            let name = cause.as_str_name();
            name.strip_prefix("SESSION_END_CAUSE_").unwrap_or(name)
        }
    };
    let details: Map<_, _> = event
        .details
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    [
        json!(event.time.map(machine_time)),
        json!(event.id),
        json!(event.ordinal),
        json!(event.actor),
        json!(event.via),
        json!(event.action),
        json!(event.user_id),
        json!(event.target),
        json!(event.actor_ip),
        json!(event.reason),
        json!(event.user_message),
        json!(cause),
        json!(event.revision),
        Value::Object(details),
        json!(event.tenant_id),
    ]
}

/// RFC 3339, in UTC.
fn machine_time(time: prost_types::Timestamp) -> String {
    let time = Timestamp::new(time.seconds, time.nanos);
    time.map_or_else(|_| String::new(), |time| time.to_string())
}

fn cell_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        Value::Object(members) if members.is_empty() => String::new(),
        value => value.to_string(),
    }
}

/// A line by RFC 4180. Every cell is quoted, so that no line break or separator of a reason makes a cell of its own.
fn csv_line<const N: usize>(cells: [impl AsRef<str>; N]) -> String {
    let cells = cells.map(|cell| {
        let text = harmless(cell.as_ref()).replace('"', "\"\"");
        format!("\"{text}\"")
    });
    cells.join(",") + "\r\n"
}

/// A cell that no spreadsheet takes for a formula: a reason of somebody else must not compute in the administrator's
/// sheet. Spaces before the sign do not hide it.
fn harmless(text: &str) -> String {
    let first = text.trim_start().chars().next();
    let begins_formula = matches!(
        first,
        // Spreadsheets of East Asian languages take the wide forms of the signs for the plain ones.
        Some('=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}')
    );
    if begins_formula || text.starts_with(['\t', '\r', '\n']) {
        return format!("'{text}");
    }
    text.to_owned()
}

/// The name of a file: the team, as far as its id has plain letters, and the time.
fn file_name(tenant: &str, time: &str, format: Format) -> String {
    let mut team = plain(tenant);
    // All letters are ASCII by now, so no cut goes through one.
    team.truncate(NAME_BYTES_MAX);
    let second = time.split('.').next().unwrap_or(time);
    let extension = format.extension();
    if team.is_empty() {
        return format!("audit-{}.{extension}", plain(second));
    }
    format!("audit-{team}-{}.{extension}", plain(second))
}

/// A text without the letters that have a meaning in a path or a header.
fn plain(text: &str) -> String {
    let letters = text.chars();
    letters
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str) -> v1::AuditEvent {
        v1::AuditEvent {
            id: "evt_1".into(),
            ordinal: 2,
            time: Some(prost_types::Timestamp {
                seconds: 1_795_687_200,
                nanos: 0,
            }),
            tenant_id: "acme".into(),
            action: "user.disable".into(),
            actor: "user:ada".into(),
            reason: reason.into(),
            revision: 7,
            details: [("rule".to_owned(), "=x".to_owned())].into(),
            cause: v1::SessionEndCause::UserDisabled.into(),
            ..v1::AuditEvent::default()
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for hostile in [
            "=cmd|' /C calc'!A0",
            "+1+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "  =1",
            "\u{ff1d}1",
        ] {
            let line = Format::Csv.line(&event(hostile));
            assert!(line.contains(&format!("\"'{hostile}\"")), "{line:?}");
        }
        let plain = Format::Csv.line(&event("a = b, \"quoted\"\nand more"));
        assert!(
            plain.contains("\"a = b, \"\"quoted\"\"\nand more\""),
            "{plain}"
        );
        assert!(plain.ends_with("\r\n"));
    }

    #[test]
    fn a_line_of_json_says_all_of_an_event() {
        let line = Format::JsonLines.line(&event("=1"));
        assert_eq!(line.lines().count(), 1);
        let read: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["time"], "2026-11-26T10:00:00Z");
        assert_eq!(read["reason"], "=1");
        assert_eq!(read["details"]["rule"], "=x");
        assert_eq!(read["cause"], "USER_DISABLED");
        assert_eq!(
            (&read["revision"], &read["ordinal"]),
            (&json!(7), &json!(2))
        );
        assert_eq!(read.as_object().expect("an object").len(), COLUMNS.len());
    }

    #[test]
    fn the_name_of_a_file_is_plain() {
        let time = "2026-11-26T10:00:00.123Z";
        let name = file_name("acme", time, Format::Csv);
        assert_eq!(name, "audit-acme-2026-11-26T100000.csv");
        let hostile = file_name("..\"/é\r\nx", time, Format::JsonLines);
        assert_eq!(hostile, "audit-x-2026-11-26T100000.jsonl");
        assert_eq!(
            file_name("é", time, Format::Csv),
            "audit-2026-11-26T100000.csv"
        );
    }
}
