//! An event as JSON: the message `AuditEvent` of the contract, by its descriptors, as the command line prints it.

use std::sync::LazyLock;

use portcullis_contract::DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

use super::delivery::DeliveryError;
use crate::{api::grpc::audit_event, domain::AuditEvent};

static DESCRIPTOR: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the generated descriptors are whole");
    let message = pool.get_message_by_name("portcullis.v1.AuditEvent");
    message.expect("the contract has audit events")
});

/// As `-o json` of the command line.
const OPTIONS: SerializeOptions = SerializeOptions::new()
    .stringify_64_bit_integers(false)
    .use_proto_field_name(true)
    .skip_default_fields(false);

/// An event as a JSON object on one line.
pub(super) fn of_event(event: &AuditEvent) -> Result<String, DeliveryError> {
    to_json(event).map_err(|problem| DeliveryError::Failed(format!("not JSON: {problem}")))
}

fn to_json(event: &AuditEvent) -> Result<String, String> {
    let bytes = audit_event(event.clone()).encode_to_vec();
    let message = DynamicMessage::decode(DESCRIPTOR.clone(), bytes.as_slice());
    let message = message.map_err(|error| error.to_string())?;
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    let written = message.serialize_with_options(&mut serializer, &OPTIONS);
    written.map_err(|error| error.to_string())?;
    String::from_utf8(json).map_err(|error| error.to_string())
}

/// JSON whose characters are all printable ASCII.
pub(super) fn to_ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            ascii.push(character);
            continue;
        }
        // JSON has such characters in strings only, where they may be escaped.
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            ascii.push_str(&format!("\\u{unit:04x}"));
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_json_says_the_same() {
        let text = "Zoë \u{7f}\u{9b}\u{202e}\u{1f600}\n\"]\\";
        let json = serde_json::to_string(text).expect("JSON");
        let ascii = to_ascii(&json);
        assert!(ascii.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(serde_json::from_str::<String>(&ascii).expect("JSON"), text);
    }
}
