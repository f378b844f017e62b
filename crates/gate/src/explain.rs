//! The rule that decides about a request, in words.

use std::fmt;

use http::Method;
use portcullis_contract::id::TenantId;

use crate::{
    host::Host,
    lookup,
    refused::{HeadProblem, Refused},
    request::path_of,
    rules::{Access, CompiledRules, Demands, Ruling},
};

/// The rule that decides about a request, and its demands. Its `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The place of the rule in the list. `None` when no rule matches, or when the request is refused before any.
    pub rule: Option<usize>,
    /// The reason for which the request is refused whatever its credential is.
    pub refused: Option<Refused>,
    text: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The error for a question that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The text is not a method.
    #[error("the method must be one as GET")]
    Method,
    /// The text is not an address.
    #[error("the URL must be https://host/path")]
    Url,
}

impl CompiledRules {
    /// Explains which rule decides about a request with this method to this address, and its demands.
    ///
    /// # Errors
    /// When the method is none, or the address is not `https://host/path`. The path is read as a client would send it.
    pub fn explain(&self, method: &str, url: &str) -> Result<Explanation, ExplainError> {
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| ExplainError::Method)?;
        let (authority, target) = split_url(url)?;
        match self.find_for(&method, authority, target) {
            Ok(rule) => Ok(Explanation {
                rule: rule.index,
                refused: None,
                text: describe(rule),
            }),
            Err(refused) => Ok(Explanation {
                rule: None,
                refused: Some(refused),
                text: format!(
                    "refused ({}): {refused}{}",
                    refused.reason(),
                    advice(&refused)
                ),
            }),
        }
    }

    fn find_for(&self, method: &Method, authority: &str, target: &str) -> Result<&Ruling, Refused> {
        let host = Host::parse(authority)?;
        let path = path_of(target)?;
        Ok(lookup::find(self, host.name, method, path)?)
    }
}

/// Splits `https://host/path`. Nothing is normalized: a client may send any spelling.
fn split_url(url: &str) -> Result<(&str, &str), ExplainError> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or(ExplainError::Url)?;
    // At whatever ends the host for some client, so that the question shows how the gate reads odd
    // spellings.
    match rest.find(['/', '?', '\\', '#']) {
        Some(at) => Ok(rest.split_at(at)),
        None => Ok((rest, "/")),
    }
}

fn advice(refused: &Refused) -> &'static str {
    match refused {
        Refused::Path(_) => {
            ", and no rule for it says how the upstream reads that (`upstream_reads`)"
        }
        Refused::Head(HeadProblem::NoHost) => ": every request must name one",
        _ => "",
    }
}

fn describe(rule: &Ruling) -> String {
    let access = describe_access(rule.demands.access);
    let mut text = if rule.index.is_some() {
        format!("{rule} decides: {access}")
    } else {
        format!("no rule matches: {access}")
    };
    for (name, values) in describe_demands(&rule.demands) {
        if !values.is_empty() {
            add_line(&mut text, name, &values);
        }
    }
    for (is_set, note) in notes(rule) {
        if is_set {
            add_line(&mut text, "also", note);
        }
    }
    text
}

/// The demands beside the kind of credential. One that the rule does not have is empty.
fn describe_demands(demands: &Demands) -> [(&'static str, String); 5] {
    let tenants: Vec<&str> = demands.tenants.iter().map(TenantId::as_str).collect();
    let max_age = match demands.max_age_seconds {
        Some(seconds) => format!("{seconds} s"),
        None => String::new(),
    };
    [
        ("tenants", tenants.join(", ")),
        ("scopes of an API key", demands.scopes.join(" ")),
        ("acr, one of", demands.acr.join(" ")),
        ("amr, all of", demands.amr.join(" ")),
        ("authenticated within", max_age),
    ]
}

fn describe_access(access: Access) -> &'static str {
    match access {
        Access::Public => "anyone may pass",
        Access::Session => "a session is required",
        Access::ApiKey => "an API key is required",
        Access::Either => "a session or an API key is required",
    }
}

/// All that a rule may do beside its demands, and whether it does.
fn notes(rule: &Ruling) -> [(bool, &'static str); 6] {
    [
        (rule.is_strict(), "refuses without a proof of freshness"),
        (rule.background, "is no use of the session"),
        (rule.pass_preflights, "passes preflights"),
        (rule.forward_credential, "forwards the credential"),
        (
            rule.forward_overrides,
            "forwards headers that replace the path or the method",
        ),
        (
            rule.sign_in.is_some(),
            "redirects navigations to the sign-in address",
        ),
    ]
}

fn add_line(text: &mut String, name: &str, values: &str) {
    text.push_str(&format!("\n  {name}: {values}"));
}
