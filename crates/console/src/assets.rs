//! Styles, scripts and images. Their addresses have their hash, so that browsers keep them for good.

use std::{collections::HashMap, sync::LazyLock};

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use rust_embed::RustEmbed;

use crate::{problem::Problem, state::State};

/// Digits of a hash in an address.
const HASH_DIGITS: usize = 16;

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
        let hash = file.metadata.sha256_hash();
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let asset = Asset {
            hash: hash[..HASH_DIGITS].to_owned(),
            kind,
            data: Bytes::from(file.data.into_owned()),
        };
        assets.insert(name.into_owned(), asset);
    }
    assets
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

pub(crate) fn routes() -> Router<State> {
    Router::new().route("/assets/{hash}/{name}", get(show))
}

/// A file. An address with another hash is of another version, whose bytes are not there any more.
async fn show(Path((hash, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let asset = ASSETS.get(&name).filter(|asset| asset.hash == hash);
    let asset = asset.ok_or(Problem::not_found())?;
    let mut response = asset.data.clone().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    let for_good = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(CACHE_CONTROL, for_good);
    Ok(response)
}
