//! The messages of `ext_authz` that the tests need, written from Envoy's protocol and not from the sidecar's library.

use std::collections::BTreeMap;

use http::uri::PathAndQuery;
use prost::Message;
use tonic::{Request, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attributes {
    #[prost(message, optional, tag = "1")]
    pub(super) source: Option<Peer>,
    #[prost(message, optional, tag = "4")]
    pub(super) request: Option<HttpAttributes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Peer {
    #[prost(message, optional, tag = "1")]
    address: Option<Address>,
}

#[derive(Clone, PartialEq, Message)]
struct Address {
    #[prost(message, optional, tag = "1")]
    socket_address: Option<SocketAddress>,
}

#[derive(Clone, PartialEq, Message)]
struct SocketAddress {
    #[prost(string, tag = "2")]
    address: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HttpAttributes {
    #[prost(message, optional, tag = "2")]
    pub(super) http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HttpRequest {
    #[prost(string, tag = "2")]
    pub(super) method: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(super) headers: BTreeMap<String, String>,
    #[prost(message, optional, tag = "13")]
    pub(super) header_map: Option<RawHeaders>,
    #[prost(string, tag = "4")]
    pub(super) path: String,
    #[prost(string, tag = "5")]
    pub(super) host: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RawHeaders {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "vec", tag = "3")]
    raw_value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<RpcStatus>,
    #[prost(message, optional, tag = "2")]
    pub(super) denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    pub(super) ok: Option<Allowed>,
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderOption>,
    #[prost(string, tag = "3")]
    pub(super) body: String,
}

#[derive(Clone, PartialEq, Message)]
struct HttpStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Allowed {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderOption>,
    #[prost(string, repeated, tag = "5")]
    pub(super) headers_to_remove: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderOption {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

/// A `GET` with headers one by one, as `encode_raw_headers` sends them.
pub(super) fn raw(target: &str, headers: &[(&str, &[u8])]) -> CheckRequest {
    let headers = headers.iter().map(|(key, value)| Header {
        key: (*key).to_owned(),
        value: String::new(),
        raw_value: value.to_vec(),
    });
    check(HttpRequest {
        method: "GET".into(),
        path: target.into(),
        host: "shop.example".into(),
        header_map: Some(RawHeaders {
            headers: headers.collect(),
        }),
        ..HttpRequest::default()
    })
}

/// A `GET` with headers by name, as Envoy sends them without that setting.
pub(super) fn merged(target: &str, headers: &[(&str, &str)]) -> CheckRequest {
    let headers = headers
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    check(HttpRequest {
        method: "GET".into(),
        path: target.into(),
        host: "shop.example".into(),
        headers: headers.collect(),
        ..HttpRequest::default()
    })
}

/// A check of a request from 203.0.113.9.
pub(super) fn check(http: HttpRequest) -> CheckRequest {
    let socket_address = SocketAddress {
        address: "203.0.113.9".into(),
    };
    let address = Address {
        socket_address: Some(socket_address),
    };
    CheckRequest {
        attributes: Some(Attributes {
            source: Some(Peer {
                address: Some(address),
            }),
            request: Some(HttpAttributes { http: Some(http) }),
        }),
    }
}

/// Sends a check.
pub(super) async fn send(channel: Channel, check: CheckRequest) -> Result<CheckResponse, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.expect("connected");
    let path = PathAndQuery::from_static(CHECK);
    let codec = ProstCodec::<CheckRequest, CheckResponse>::default();
    let response = client.unary(Request::new(check), path, codec).await?;
    Ok(response.into_inner())
}

impl CheckResponse {
    /// Whether Envoy lets the request go on: it looks at nothing but this, and takes nothing for yes.
    pub(super) fn admits(&self) -> bool {
        self.status.as_ref().is_none_or(|status| status.code == 0)
    }

    /// The status that the client sees, of a refusal.
    pub(super) fn denied_status(&self) -> i32 {
        assert!(!self.admits(), "{self:?}");
        let denied = self.denied.as_ref().expect("a refusal");
        denied.status.as_ref().expect("a status").code
    }

    /// The `reason` of a refusal.
    pub(super) fn reason(&self) -> String {
        let denied = self.denied.as_ref().expect("a refusal");
        let body: serde_json::Value = serde_json::from_str(&denied.body).expect("JSON");
        body["reason"].as_str().expect("a reason").to_owned()
    }
}

impl Allowed {
    /// The value to which a header is set.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let headers = self.headers.iter().filter_map(|set| set.header.as_ref());
        let header = headers.into_iter().find(|header| header.key == name)?;
        Some(header.value.clone())
    }
}
