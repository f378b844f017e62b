//! Styles, scripts and images. Their addresses have their hash, so that browsers keep them for good. The component for
//! pages of applications has one address for good, and asks for changes.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    extract::{Path, State as Shared},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use portcullis_contract::position::sha256;
use rust_embed::RustEmbed;

use crate::problem::Problem;

/// Digits of a hash in an address.
const HASH_DIGITS: usize = 16;
/// The component for pages of applications.
const COMPONENT: &str = "portcullis-sessions.js";
/// The operator's style sheet, in its address.
const THEME: &str = "theme.css";
// The hash in the address changes with the bytes, so a kept file is never an old version.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Which sites may have a file in their pages.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

#[derive(RustEmbed)]
#[folder = "assets/"]
#[include = "*.css"]
#[include = "*.js"]
#[include = "*.svg"]
struct Files;

struct Asset {
    hash: String,
    kind: &'static str,
    data: Bytes,
}

static ASSETS: LazyLock<HashMap<String, Asset>> = LazyLock::new(read);

fn read() -> HashMap<String, Asset> {
    let mut assets = HashMap::new();
    for name in Files::iter() {
        let (Some(file), Some(kind)) = (Files::get(&name), kind(&name)) else {
            continue;
        };
        let asset = Asset {
            hash: digits(file.metadata.sha256_hash()),
            kind,
            data: Bytes::from(file.data.into_owned()),
        };
        assets.insert(name.into_owned(), asset);
    }
    assets
}

fn digits(hash: [u8; 32]) -> String {
    // 64 bits tell versions apart. Nothing is trusted because of them.
    let mut digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(HASH_DIGITS);
    digits
}

fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit('.').next()? {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// The address of a file.
pub(crate) fn address(name: &str) -> String {
    let hash = ASSETS.get(name).map_or("missing", |asset| &asset.hash);
    format!("/assets/{hash}/{name}")
}

/// The operator's style sheet. It comes after ours, and so sets the custom properties that ours reads.
#[derive(Clone)]
pub(crate) struct Theme(Arc<Asset>);

impl Theme {
    pub(crate) fn new(style_sheet: Vec<u8>) -> Self {
        Self(Arc::new(Asset {
            hash: digits(sha256(&style_sheet)),
            kind: "text/css; charset=utf-8",
            data: Bytes::from(style_sheet),
        }))
    }

    pub(crate) fn address(&self) -> String {
        format!("/assets/{}/{THEME}", self.0.hash)
    }
}

/// The routes of all files, with the operator's style sheet if there is one.
pub(crate) fn routes<S>(theme: Option<Theme>) -> Router<S> {
    Router::new()
        .route("/assets/{hash}/{name}", get(show))
        .route(&format!("/embed/{COMPONENT}"), get(show_component))
        .with_state(theme)
}

/// A file. An address with another hash is of another version, whose bytes are not there any more.
async fn show(
    Shared(theme): Shared<Option<Theme>>,
    Path((hash, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let asset = match &theme {
        // Under its own name only, so the operator's file cannot take the place of one of ours.
        Some(theme) if name == THEME => Some(&*theme.0),
        _ => ASSETS.get(&name),
    };
    let asset = asset.filter(|asset| asset.hash == hash);
    let asset = asset.ok_or(Problem::not_found())?;
    Ok(asset.answer(FOR_GOOD))
}

/// The component. Pages of every origin may have it: it is public, and holds nothing of anybody.
async fn show_component(headers: HeaderMap) -> Result<Response, Problem> {
    let asset = ASSETS.get(COMPONENT).ok_or(Problem::not_found())?;
    let tag = HeaderValue::from_str(&format!("\"{}\"", asset.hash));
    let tag = tag.map_err(|_| Problem::internal())?;
    let mut response = match headers.get(IF_NONE_MATCH) == Some(&tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        // `no-cache` keeps the file and asks each time. Applications name this address for good,
        // and a mended defect must reach their next page.
        false => asset.answer(HeaderValue::from_static("public, no-cache")),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, tag);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    // `secure` would forbid other origins the file. It leaves a header alone that is there already.
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    Ok(response)
}

impl Asset {
    fn answer(&self, kept: HeaderValue) -> Response {
        let mut response = self.data.clone().into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(CACHE_CONTROL, kept);
        response
    }
}
