//! How messages become bytes on a gRPC connection: as Protocol Buffers, in buffers that begin small.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// The first size of a buffer, in bytes. Each call has one for either direction, and a stream of a gate keeps both for
/// as long as it lives. Most of its messages are smaller; for a larger one a buffer grows.
const BUFFER_BYTES: usize = 512;
/// A buffer with this many bytes is handed to the connection before the next message is encoded. Without it the buffers
/// of streams grow to the 32 KiB of tonic when a snapshot is sent.
const YIELD_BYTES: usize = 1024;

/// The codec of all services of the contract.
#[derive(Clone, Copy, Debug)]
pub struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}
