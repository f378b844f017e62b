//! Calls to the authority with a bearer string.

use anyhow::Result;

/// A request that carries the credential.
pub(super) fn authorized<T>(message: T, bearer: &str) -> Result<tonic::Request<T>> {
    let mut request = tonic::Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {bearer}").parse()?);
    Ok(request)
}
