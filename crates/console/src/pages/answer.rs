//! Answers that the rooms of administrators share: with a status, or with the authority's refusal.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portcullis_contract::v1;
use tonic::Status;
use tonic_types::StatusExt;

use crate::{page::Page, problem::Problem};

/// One of several values of a field.
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) label: String,
    pub(super) is_chosen: bool,
}

/// A page with a status of its own.
pub(super) fn respond(status: StatusCode, template: &impl Template) -> Result<Response, Problem> {
    let mut response = Page::render(template)?.into_response();
    *response.status_mut() = status;
    Ok(response)
}

/// Whether the authority refused a call for this reason.
pub(super) fn is_reason(status: &Status, reason: v1::ErrorReason) -> bool {
    let Some(info) = status.get_details_error_info() else {
        return false;
    };
    // The reason travels without the prefix that it has in the contract's enumeration.
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_") == Some(&*info.reason)
}

/// The fields that the authority refused.
pub(super) fn refused_fields(status: &Status) -> Vec<String> {
    // An outdated etag and a foreign page token name their field too, and are no mistake of it.
    if !is_reason(status, v1::ErrorReason::InvalidField) {
        return Vec::new();
    }
    let Some(request) = status.get_details_bad_request() else {
        return Vec::new();
    };
    let violations = request.field_violations.into_iter();
    violations.map(|violation| violation.field).collect()
}
