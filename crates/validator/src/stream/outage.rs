//! Log lines about a gate that cannot follow its authority: one for each change of the cause.

use std::error::Error;

use tonic::transport::Uri;

use super::End;

/// The longest cause that is logged, in bytes. The peer's words are part of it.
const CAUSE_BYTES_MAX: usize = 512;

/// Remembers which causes the log has, so that a gate that tries twice a second does not repeat itself.
pub(super) struct Outage {
    /// The cause that was logged last for each endpoint, as it is compared.
    logged: Vec<Option<String>>,
    /// Whether the gate is connected, as far as the log says.
    connected: bool,
}

impl Outage {
    pub(super) fn new(endpoints: usize) -> Self {
        Self {
            logged: vec![None; endpoints],
            connected: false,
        }
    }

    /// Records why the stream to the endpoint of this number ended, or did not begin.
    pub(super) fn record_end(&mut self, number: usize, endpoint: &Uri, end: &End) {
        let address = address(endpoint);
        if let End::Drain = end {
            tracing::info!(endpoint = address, reason = %end, "watch ended");
            return;
        }
        self.connected = false;
        let cause = describe(end);
        let compared = match end {
            // How a connection breaks depends on which side is faster: all ways are one cause.
            End::Unanswered { .. } => String::from("unanswered"),
            _ => without_numbers(&cause),
        };
        if self.logged[number].as_ref() == Some(&compared) {
            tracing::debug!(
                endpoint = address,
                cause,
                "still cannot follow the authority"
            );
            return;
        }
        self.logged[number] = Some(compared);
        tracing::warn!(endpoint = address, cause, "cannot follow the authority");
    }

    /// Records that a stream proved the view fresh.
    pub(super) fn record_proof(&mut self, endpoint: &Uri) {
        if self.connected {
            return;
        }
        self.connected = true;
        self.logged.fill(None);
        tracing::info!(endpoint = address(endpoint), "follows the authority");
    }
}

/// Scheme, host and port: a URL may also carry a password.
fn address(endpoint: &Uri) -> String {
    let scheme = endpoint.scheme_str().unwrap_or("http");
    let host = endpoint.host().unwrap_or_default();
    match endpoint.port_u16() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// An error with the errors that caused it, on one line and within [`CAUSE_BYTES_MAX`].
pub(super) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their source.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    one_line(&text)
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(CAUSE_BYTES_MAX));
    for character in text.chars() {
        if line.len() + character.len_utf8() > CAUSE_BYTES_MAX {
            break;
        }
        line.push(if character.is_control() {
            ' '
        } else {
            character
        });
    }
    line
}

/// Two causes that differ in times and counts alone are one cause: an expired certificate says for how long each time.
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
    fn a_cause_is_one_bounded_line() {
        let line = one_line(&format!("a\r\nforged line {}", "é".repeat(1_000)));
        assert!(line.starts_with("a  forged line é"), "{line}");
        assert!(line.len() <= CAUSE_BYTES_MAX);
    }

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
