//! Log lines about a gate that cannot follow its authority: one for each change of the cause.

use tonic::transport::Uri;

use super::end::StreamEnd;
use crate::cause::describe;

/// The most causes of one endpoint that are logged until it is followed.
const CAUSES_MAX: usize = 8;

/// The causes that the log already has, so that a gate that tries twice a second does not repeat itself.
///
/// Each stream has its own, because both may be with different addresses of one name.
pub(crate) struct Outage(Vec<Endpoint>);

/// The state of one endpoint as the log has it.
#[derive(Clone, Default)]
struct Endpoint {
    /// The causes that were logged, in the form in which causes are compared. The addresses of one name may fail in
    /// different ways, one after the other.
    logged: Vec<String>,
    /// Whether the last line says that the gate is connected.
    connected: bool,
}

impl Outage {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self(vec![Endpoint::default(); endpoints])
    }

    /// Records the end of a stream to the endpoint of this number. `unused_files` says why the gate's newest TLS files
    /// are not used: often that is the true cause, and its own line may be days old.
    pub(crate) fn record_end(
        &mut self,
        number: usize,
        endpoint: &Uri,
        end: &StreamEnd,
        unused_files: Option<&str>,
    ) {
        let address = address(endpoint);
        let ended = &mut self.0[number];
        // An authority that restarts on purpose is not an outage, nor is a new certificate.
        if let StreamEnd::Drain | StreamEnd::Renewal = end {
            tracing::info!(endpoint = address, reason = %end, "watch ended");
            return;
        }

        ended.connected = false;
        let cause = describe(end);
        let compared = compared(end, &cause);
        // The peer's words are part of a cause. Without a bound on their number it could fill the
        // log and this list.
        if ended.logged.contains(&compared) || ended.logged.len() == CAUSES_MAX {
            tracing::debug!(
                endpoint = address,
                cause,
                "still cannot follow the authority"
            );
            return;
        }
        ended.logged.push(compared);
        tracing::warn!(
            endpoint = address,
            cause,
            unused_files,
            "cannot follow the authority"
        );
    }

    /// Records that a stream to the endpoint of this number proved the view fresh.
    pub(crate) fn record_proof(&mut self, number: usize, endpoint: &Uri) {
        let known = &mut self.0[number];
        if known.connected {
            return;
        }
        known.connected = true;
        // Once connected, the same cause is news again.
        known.logged.clear();
        tracing::info!(endpoint = address(endpoint), "follows the authority");
    }
}

/// Returns the form in which causes are compared.
fn compared(end: &StreamEnd, cause: &str) -> String {
    match end {
        // The side that is faster decides how a connection breaks: all ways are one cause.
        StreamEnd::Unanswered { .. } => String::from("unanswered"),
        _ => without_numbers(cause),
    }
}

/// Returns scheme, host and port: a URL may also carry a password.
fn address(endpoint: &Uri) -> String {
    let scheme = endpoint.scheme_str().unwrap_or("http");
    let host = endpoint.host().unwrap_or_default();
    match endpoint.port_u16() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// Removes digits. Causes that differ in times and counts alone are one cause: an expired certificate names its age each
/// time.
fn without_numbers(cause: &str) -> String {
    cause
        .chars()
        .filter(|character| !character.is_ascii_digit())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_password() {
        let uri = Uri::from_static("https://user:secret@authority.test:7400/path");
        assert_eq!(address(&uri), "https://authority.test:7400");
    }

    #[test]
    fn causes_that_differ_in_numbers_are_one() {
        let expired = |seconds: u32| without_numbers(&format!("expired {seconds} s ago"));
        assert_eq!(expired(1), expired(23));
    }
}
