//! Requests whose every field is marked, made from the descriptors, for rpcs that do not exist yet too.

use std::collections::HashMap;

use portcullis_contract::DESCRIPTOR_SET;
use prost::{
    Message,
    bytes::{Buf, BufMut},
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::{
    DescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// How deep messages are filled.
const DEPTH_MAX: usize = 4;

/// An rpc of the contract.
#[derive(Clone, Debug)]
pub struct Method {
    /// `portcullis.v1.Service`
    pub service: String,
    /// `Method`
    pub name: String,
    /// `/portcullis.v1.Service/Method`
    pub path: String,
    input: String,
}

/// Makes requests.
pub struct Contract {
    messages: HashMap<String, DescriptorProto>,
    /// Every rpc.
    pub methods: Vec<Method>,
}

impl Contract {
    /// Reads the descriptors.
    ///
    /// # Panics
    /// When they are not descriptors.
    #[must_use]
    pub fn read() -> Self {
        let files = FileDescriptorSet::decode(DESCRIPTOR_SET)
            .expect("our own descriptors")
            .file;
        let mut contract = Self {
            messages: HashMap::new(),
            methods: Vec::new(),
        };
        for file in files {
            let package = file.package().to_owned();
            for service in &file.service {
                let of = format!("{package}.{}", service.name());
                contract
                    .methods
                    .extend(service.method.iter().map(|method| Method {
                        service: of.clone(),
                        name: method.name().to_owned(),
                        path: format!("/{of}/{}", method.name()),
                        input: method.input_type().to_owned(),
                    }));
            }
            for message in file.message_type {
                contract
                    .messages
                    .insert(format!(".{package}.{}", message.name()), message);
            }
        }
        contract
    }

    /// A request to the rpc with `mark` in every text and every bytes.
    #[must_use]
    pub fn request(&self, method: &Method, mark: &str) -> Vec<u8> {
        self.filled(&method.input, mark, 0)
    }

    fn filled(&self, message: &str, mark: &str, depth: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(message) = self.messages.get(message).filter(|_| depth < DEPTH_MAX) else {
            return bytes;
        };
        let mut chosen = Vec::new();
        for field in &message.field {
            // Of a oneof the first counts.
            if field
                .oneof_index
                .is_some_and(|index| std::mem::replace(&mut chosen, vec![index]).contains(&index))
            {
                continue;
            }
            let number = u32::try_from(field.number()).expect("a field's number");
            let nested = match field.r#type() {
                Type::String | Type::Bytes => mark.as_bytes().to_vec(),
                Type::Message => self.filled(field.type_name(), mark, depth + 1),
                Type::Float
                | Type::Double
                | Type::Fixed32
                | Type::Fixed64
                | Type::Sfixed32
                | Type::Sfixed64 => {
                    continue;
                }
                _ if field.label() == Label::Repeated => continue,
                _ => {
                    encode_key(number, WireType::Varint, &mut bytes);
                    encode_varint(1, &mut bytes);
                    continue;
                }
            };
            encode_key(number, WireType::LengthDelimited, &mut bytes);
            encode_varint(nested.len() as u64, &mut bytes);
            bytes.extend(nested);
        }
        bytes
    }
}

/// Sends and receives messages as the bytes they are.
#[derive(Clone, Copy, Default)]
pub struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(bytes.to_vec()))
    }
}
