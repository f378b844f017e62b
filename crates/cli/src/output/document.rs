//! Records as data: the messages of the contract by its own descriptors, so that nothing of them is left out.

use std::sync::LazyLock;

use portcullis_contract::DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::Value;
use serde_saphyr::DoubleQuoted;

use super::text::is_hostile;
use crate::failure::{Failure, Result};

/// The contract's own description of its messages.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTOR_SET).expect("the generated descriptors are whole")
});

/// Fields by their names in the contract, numbers as numbers, and fields with their defaults too, so that a script needs no
/// rule for missing fields.
const OPTIONS: SerializeOptions = SerializeOptions::new()
    .stringify_64_bit_integers(false)
    .use_proto_field_name(true)
    .skip_default_fields(false);

/// A record as data.
pub(crate) enum Document {
    /// A message of the contract.
    Message(DynamicMessage),
    /// Something of the command line's own.
    Value(Value),
}

impl Document {
    /// A message of the contract, by the name of its type in `portcullis.v1`.
    pub(crate) fn of_message<M: Message>(name: &str, message: &M) -> Result<Self> {
        // Through its bytes, so that no field needs code here: what the contract gets is in the
        // output at once.
        let bytes = message.encode_to_vec();
        let dynamic = DynamicMessage::decode(descriptor(name)?, bytes.as_slice());
        let dynamic = dynamic.map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self::Message(dynamic))
    }

    /// A value of the command line's own.
    pub(crate) fn of_value(value: &impl Serialize) -> Result<Self> {
        let value = serde_json::to_value(value);
        let value = value.map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self::Value(value))
    }

    /// The value, as JSON has it.
    pub(crate) fn value(&self) -> Result<Value> {
        let value = serde_json::to_value(self);
        value.map_err(|error| Failure::failed(error.to_string()))
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Message(message) => message.serialize_with_options(serializer, &OPTIONS),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

fn descriptor(name: &str) -> Result<MessageDescriptor> {
    let found = POOL.get_message_by_name(&format!("portcullis.v1.{name}"));
    found.ok_or_else(|| Failure::failed(format!("the contract has no message {name}")))
}

/// Reads a message of the contract from JSON or YAML. An unknown field is an error.
pub(crate) fn read_message<M: Message + Default>(name: &str, text: &str) -> Result<M> {
    // JSON is YAML too.
    let value: Value = serde_saphyr::from_str(text)
        .map_err(|error| Failure::usage(format!("neither JSON nor YAML: {error}")))?;
    // Unknown fields are refused, which is the default: a misspelt rule must not be left out in
    // silence.
    let dynamic = DynamicMessage::deserialize(descriptor(name)?, value)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let message = dynamic.transcode_to();
    message.map_err(|error| Failure::failed(error.to_string()))
}

/// A value for YAML whose strings with hostile characters are in double quotes, where they can be escaped.
pub(super) struct Quoted<'v>(pub(super) &'v Value);

impl Serialize for Quoted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            // Only those: plain scalars are easier to read and to edit.
            Value::String(text) if text.chars().any(is_hostile) => {
                DoubleQuoted(text).serialize(serializer)
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Quoted(item))?;
                }
                list.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    let name = Value::String(name.clone());
                    map.serialize_entry(&Quoted(&name), &Quoted(value))?;
                }
                map.end()
            }
            other => other.serialize(serializer),
        }
    }
}
