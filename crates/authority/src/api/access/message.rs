//! The message of a call, read to its end before the call gets its permit.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;

use super::load::MessageShare;
use crate::app::AppError;

/// The problem of a request that is too large, or that the transport could not decode.
pub(in crate::api) const UNDECODABLE: &str = "the message is too large or does not decode";

/// Reads a request of at most `bytes_max` to its end. Its share grows with it.
pub(super) async fn read_message(
    mut body: Body,
    bytes_max: usize,
    share: &mut MessageShare<'_>,
) -> Result<Bytes, AppError> {
    let mut message = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // The caller reset the stream, or went away.
            return Err(AppError::Deadline);
        };
        let Ok(data) = frame.into_data() else {
            // Trailers of a request have no meaning in gRPC.
            continue;
        };
        // Checked for each frame: a sender without a length must not fill the memory first.
        if message.len() + data.len() > bytes_max {
            // The transport's own answer to a message that is too large, so clients handle one case.
            return Err(AppError::invalid("", UNDECODABLE));
        }
        share.grow(data.len())?;
        message.extend_from_slice(&data);
    }
    Ok(message.into())
}
