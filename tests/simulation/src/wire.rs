//! Messages over a simulated connection: a length, and the bytes of the message.

use std::io;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The port of an authority.
pub const PORT: u16 = 7_000;
/// The largest message, in bytes.
const MESSAGE_BYTES_MAX: u32 = 4 << 20;

/// Reads a message. None: the connection was closed.
pub async fn read<M: Message + Default>(half: &mut OwnedReadHalf) -> io::Result<Option<M>> {
    let length = match half.read_u32().await {
        Ok(length) if length <= MESSAGE_BYTES_MAX => length,
        Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; length as usize];
    half.read_exact(&mut bytes).await?;
    let message = M::decode(&bytes[..]);
    message
        .map(Some)
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Writes a message, as one segment.
pub async fn write<M: Message>(half: &mut OwnedWriteHalf, message: &M) -> io::Result<()> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut segment = length.to_be_bytes().to_vec();
    segment.extend(bytes);
    half.write_all(&segment).await
}
