//! The answers to Envoy.
//!
//! Envoy looks at `CheckResponse.status` alone, and takes a missing or zero code for consent, whatever else the answer
//! has. So every answer is made here, from one of two functions with a code of its own.

use envoy_types::{
    ext_authz::v3::pb::{
        CheckResponse, DeniedHttpResponse, HeaderAppendAction, HeaderValue, HeaderValueOption,
        HttpResponse, HttpStatus, OkHttpResponse,
    },
    pb::google::rpc,
};
use http::{HeaderName, StatusCode, header};
use portcullis_gate::{Deny, HeaderChanges, IDENTITY_HEADERS};
use tonic::Code;

use crate::doors::invalid;

/// Returns the answer to an admitted request.
pub(super) fn allowed(changes: &HeaderChanges) -> CheckResponse {
    let mut headers = Vec::with_capacity(changes.set.len());
    for (name, value) in &changes.set {
        match text(name, value) {
            Some(value) => headers.push(header_option(name, value)),
            // The request must not go on without a header of the gate.
            None => return denied(invalid::failed()),
        }
    }
    // Envoy may be configured to show a part of the headers, so all spellings are removed, seen or not.
    let every_spelling = IDENTITY_HEADERS;
    let removed = changes.remove.iter().chain(&every_spelling);
    // Envoy removes after it has set, so a header that is set must not be in the list to remove.
    let is_set = |name: &HeaderName| changes.set.iter().any(|(set, _)| set == name);
    let response = OkHttpResponse {
        headers,
        headers_to_remove: removed
            .filter(|name| !is_set(name))
            .map(|name| name.as_str().to_owned())
            .collect(),
        ..OkHttpResponse::default()
    };
    CheckResponse {
        status: Some(status(Code::Ok)),
        http_response: Some(HttpResponse::OkResponse(response)),
        ..CheckResponse::default()
    }
}

/// Returns the answer to a refused request.
pub(super) fn denied(deny: Deny) -> CheckResponse {
    let code = match deny.status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::PermissionDenied,
    };
    let response = DeniedHttpResponse {
        status: Some(HttpStatus {
            code: i32::from(deny.status.as_u16()),
        }),
        headers: deny
            .headers
            .iter()
            // A header that is no text is left out: without it the answer still refuses.
            .filter_map(|(name, value)| Some(header_option(name, text(name, value)?)))
            .collect(),
        body: deny.body,
    };
    CheckResponse {
        status: Some(status(code)),
        http_response: Some(HttpResponse::DeniedResponse(response)),
        ..CheckResponse::default()
    }
}

fn status(code: Code) -> rpc::Status {
    rpc::Status {
        code: code.into(),
        ..rpc::Status::default()
    }
}

/// Returns a value as the text that Envoy reads. It does not look at `raw_value` in answers.
///
/// Of the cookies that are left for the upstream, those that are not text are left out. Any other value comes from the
/// gate, and is text.
fn text(name: &HeaderName, value: &http::HeaderValue) -> Option<String> {
    if let Ok(text) = std::str::from_utf8(value.as_bytes()) {
        return Some(text.to_owned());
    }
    if name != header::COOKIE {
        return None;
    }
    let pairs = value.as_bytes().split(|byte| *byte == b';');
    let pairs: Vec<&str> = pairs
        .filter_map(|pair| std::str::from_utf8(pair.trim_ascii()).ok())
        .collect();
    Some(pairs.join("; "))
}

/// A header that takes the place of all values that the client sent.
fn header_option(name: &HeaderName, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.as_str().to_owned(),
            value,
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: HeaderName = HeaderName::from_static("x-portcullis-user");

    #[test]
    fn every_refusal_has_a_code_that_envoy_takes_for_one() {
        for code in 100..1000 {
            let answer = denied(Deny {
                status: StatusCode::from_u16(code).expect("a status"),
                headers: Vec::new(),
                body: String::new(),
                error: "",
                reason: "",
            });
            assert_ne!(answer.status.expect("a status").code, 0, "{code}");
            let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else {
                panic!("{code} is let in");
            };
            assert_eq!(denied.status.expect("a status").code, i32::from(code));
        }
    }

    #[test]
    fn a_header_that_is_set_is_not_removed_afterwards() {
        let changes = HeaderChanges {
            remove: vec![USER, header::AUTHORIZATION],
            set: vec![(USER, http::HeaderValue::from_static("ada"))],
        };
        let answer = allowed(&changes);
        assert_eq!(answer.status.expect("a status").code, 0);
        let Some(HttpResponse::OkResponse(ok)) = answer.http_response else {
            panic!("refused");
        };
        let removed = &ok.headers_to_remove;
        assert!(removed.contains(&"authorization".to_owned()));
        assert!(removed.contains(&"x_portcullis_user".to_owned()));
        assert!(!removed.contains(&"x-portcullis-user".to_owned()));
        let [set] = &ok.headers[..] else {
            panic!("{:?}", ok.headers);
        };
        assert_eq!(
            set.append_action,
            i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd)
        );
    }

    /// Envoy takes a message with a string that is not UTF-8 for an error.
    #[test]
    fn a_cookie_that_is_not_text_is_left_out() {
        for (cookies, expected) in [
            (&b"a=1; city=Z\xfcrich; b=2"[..], Some("a=1; b=2")),
            (b"city=Z\xc3\xbcrich; b=2", Some("city=Z\u{fc}rich; b=2")),
            (b"city=Z\xfcrich", Some("")),
        ] {
            let value = http::HeaderValue::from_bytes(cookies).expect("a header value");
            assert_eq!(text(&header::COOKIE, &value).as_deref(), expected);
            let other = text(&USER, &value);
            assert_eq!(other.is_some(), std::str::from_utf8(cookies).is_ok());
        }
        let changes = HeaderChanges {
            remove: Vec::new(),
            set: vec![(
                USER,
                http::HeaderValue::from_bytes(b"\xff").expect("a value"),
            )],
        };
        assert_ne!(allowed(&changes).status.expect("a status").code, 0);
    }
}
