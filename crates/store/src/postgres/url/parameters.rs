//! The parameters of a URL that the driver does not know.

use percent_encoding::percent_decode_str;

/// The parameters of TLS, as libpq names them. The last of several with one name counts.
#[derive(Default)]
pub(super) struct TlsParameters {
    /// `sslmode`.
    pub(super) mode: Option<String>,
    /// `sslrootcert`.
    pub(super) root: Option<String>,
    /// `sslcert`.
    pub(super) certificate: Option<String>,
    /// `sslkey`.
    pub(super) key: Option<String>,
}

/// Parameters of libpq that change whom the client trusts. Ignoring one would be worse than refusing it.
const UNSUPPORTED: [&str; 6] = [
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "sslcertmode",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
];

/// Takes the parameters of TLS out of a URL.
///
/// # Errors
/// When one has no value, is not UTF-8, or is known and not supported.
pub(super) fn take(url: &str) -> Result<(String, TlsParameters), String> {
    let mut found = TlsParameters::default();
    let Some(at) = query_start(url) else {
        return Ok((url.to_owned(), found));
    };
    let (base, query) = url.split_at(at);
    let mut others = Vec::new();
    for pair in query[1..].split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if UNSUPPORTED.contains(&name) {
            return Err(format!("{name} is not supported: remove it"));
        }
        match found.slot(name) {
            Some(slot) => *slot = Some(decode(name, value)?),
            None => others.push(pair),
        }
    }
    let others = others.join("&");
    if others.is_empty() {
        return Ok((base.to_owned(), found));
    }
    Ok((format!("{base}?{others}"), found))
}

/// Where the query begins. As the driver reads it, all before the first `@` is the user and the password, which may
/// contain a question mark.
fn query_start(url: &str) -> Option<usize> {
    let after_user = url.find('@').unwrap_or(0);
    url[after_user..].find('?').map(|at| after_user + at)
}

fn decode(name: &str, value: &str) -> Result<String, String> {
    match percent_decode_str(value).decode_utf8() {
        Ok(text) if !text.is_empty() => Ok(text.into_owned()),
        _ => Err(format!("{name} must have a value")),
    }
}

impl TlsParameters {
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "sslmode" => Some(&mut self.mode),
            "sslrootcert" => Some(&mut self.root),
            "sslcert" => Some(&mut self.certificate),
            "sslkey" => Some(&mut self.key),
            _ => None,
        }
    }
}
