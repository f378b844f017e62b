//! A message of RFC 5424.

use super::super::json::to_ascii;
use crate::{api::grpc::timestamp, domain::AuditEvent};

/// Facility 13, "log audit", and severity 5, "notice".
const PRIORITY: u8 = 13 * 8 + 5;
/// Names the structured data. A name of one's own has the number of a private enterprise; 32473 is the one that RFC 5612
/// reserves for documents, and belongs to nobody.
const STRUCTURED_DATA_ID: &str = "portcullis@32473";
const HOST_BYTES_MAX: usize = 255;
const MESSAGE_ID_BYTES_MAX: usize = 32;

/// The parts of the header that are the same in all messages.
pub(super) struct Header {
    host: String,
    process: u32,
}

impl Header {
    pub(super) fn new(host: &str, process: u32) -> Self {
        Self {
            host: printable(host, HOST_BYTES_MAX),
            process,
        }
    }

    /// The message of an event, of which `json` is the whole.
    pub(super) fn message(&self, event: &AuditEvent, json: &str) -> String {
        let time = timestamp(event.position.at);
        let kind = printable(&event.action, MESSAGE_ID_BYTES_MAX);
        let data = structured_data(event);
        let Self { host, process } = self;
        // Text beyond ASCII would need a byte order mark before it, which readers of JSON do not expect.
        let text = to_ascii(json);
        format!("<{PRIORITY}>1 {time} {host} portcullis {process} {kind} {data} {text}")
    }
}

fn structured_data(event: &AuditEvent) -> String {
    let ordinal = event.position.ordinal.to_string();
    let revision = event.revision.0.to_string();
    let id = event.position.event.to_string();
    let mut data = format!("[{STRUCTURED_DATA_ID}");
    for (name, value) in [
        ("id", &id),
        ("ordinal", &ordinal),
        ("revision", &revision),
        ("tenant", &event.tenant_id),
        ("user", &event.user_id),
        ("actor", &event.actor.name),
    ] {
        data.push_str(&format!(" {name}=\"{}\"", escape(value)));
    }
    data.push(']');
    data
}

/// A value of structured data. It is UTF-8 in which three characters are escaped. Others that could disturb a reader of
/// lines are left out here: the JSON has them.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '"' | '\\' | ']' => escaped.extend(['\\', character]),
            hostile if hostile.is_control() => escaped.push('?'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A field of the header: printable ASCII without spaces. Nothing is a dash.
fn printable(text: &str, bytes_max: usize) -> String {
    let printable = text.chars().filter(char::is_ascii_graphic);
    let field: String = printable.take(bytes_max).collect();
    match field.is_empty() {
        true => "-".to_owned(),
        false => field,
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{id::EventId, position::Revision};

    use super::*;
    use crate::domain::{Actor, AuditPosition, Details, Micros};

    fn event(tenant: &str, user: &str) -> AuditEvent {
        AuditEvent {
            is_actor_erased: false,
            is_subject_erased: false,
            position: AuditPosition {
                at: Micros(1_700_000_000_123_456),
                event: EventId::from_bytes([1; 16]),
                ordinal: 2,
            },
            tenant_id: tenant.into(),
            action: "session.revoke".into(),
            target: String::new(),
            user_id: user.into(),
            actor: Actor {
                name: "service:ops".into(),
                via: String::new(),
                ip: String::new(),
            },
            reason: String::new(),
            user_message: String::new(),
            cause: None,
            revision: Revision(7),
            details: Details::new(),
        }
    }

    #[test]
    fn a_message_has_the_fields_of_the_standard() {
        let id = EventId::from_bytes([1; 16]);
        let message = Header::new("host.example", 42).message(&event("acme", "ada"), "{}");
        assert_eq!(
            message,
            format!(
                "<109>1 2023-11-14T22:13:20.123456Z host.example portcullis 42 session.revoke [portcullis@32473 \
                 id=\"{id}\" ordinal=\"2\" revision=\"7\" tenant=\"acme\" user=\"ada\" actor=\"service:ops\"] {{}}"
            )
        );
    }

    #[test]
    fn hostile_text_ends_no_value_and_no_message() {
        let hostile = "a\"] x[b=\"\\\n<1>1";
        let message = Header::new("", 1).message(&event(hostile, "Zoë"), "\"\u{e9}\u{7f}\"");
        assert!(message.contains(" - portcullis 1 "), "{message}");
        assert!(
            message.contains(r#"tenant="a\"\] x[b=\"\\?<1>1" user="Zoë""#),
            "{message}"
        );
        assert!(message.ends_with(r#"] "\u00e9\u007f""#), "{message}");
        assert!(!message.contains('\n'));
        assert_eq!(printable("a b\u{7f}c", 2), "ab");
    }
}
