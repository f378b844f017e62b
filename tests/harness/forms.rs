//! Forms posted to the HTTP port of an authority.

use std::{fmt::Write, net::SocketAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{browser::Page, wait::within};

const FORM: &str = "application/x-www-form-urlencoded";

/// The text of a form.
#[must_use]
pub fn form(parameters: &[(&str, &str)]) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The header of the scheme `Basic`.
#[must_use]
pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Posts a form, with an `authorization` header unless it is empty.
pub async fn post(
    address: SocketAddr,
    path: &str,
    authorization: &str,
    parameters: &[(&str, &str)],
) -> Page {
    let mut headers = vec![("content-type", FORM)];
    if !authorization.is_empty() {
        headers.push(("authorization", authorization));
    }
    post_raw(address, path, &headers, &form(parameters)).await
}

/// Posts a body with these headers.
///
/// # Panics
/// When there is no whole answer.
pub async fn post_raw(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Page {
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let _ = write!(request, "content-length: {}\r\n\r\n{body}", body.len());
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("received");
        answer
    };
    Page::parse(&within("an answer", exchange).await)
}

/// The body of an answer as JSON.
///
/// # Panics
/// When it is not JSON.
#[must_use]
pub fn json(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|error| panic!("{error}: {}", page.body))
}
