//! HTTP/3. The client is another Envoy, which speaks HTTP/1.1 with the test.

use portcullis_tests::gateways::{
    envoy::{Envoy, EnvoyConfig, MANAGER},
    free_port,
};
use serde_json::{Value, json};

use crate::{
    client::{Live, get},
    setting::{Setting, bearer, newest},
};

#[tokio::test]
async fn a_stream_in_http3_is_cut() {
    let setting = Setting::new().await;
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["app.test".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)
        .expect("names")
        .self_signed(&key)
        .expect("a certificate");
    let port = free_port();
    let gate = setting
        .envoy(&with_http3(
            setting.config(),
            port,
            &certificate.pem(),
            &key.serialize_pem(),
        ))
        .await;
    let client = Envoy::start(
        &newest(),
        &client(setting.config(), port, &certificate.pem()),
    )
    .await;

    assert_eq!(get(client.address(), "/", "").await.status, 401);
    let ada = setting.authority.sign_in("ada").await;
    let token = bearer(&ada.access_token);
    assert_eq!(get(client.address(), "/", &token).await.status, 200);
    let mut events = Live::events(client.address(), &token).await;
    assert!(gate.stat("http.edge.downstream_cx_http3_total").await >= 1);

    setting.revoke(&ada).await;
    events.closed().await;
    assert_eq!(gate.stat("portcullis_cut").await, 1);
    assert_eq!(get(client.address(), "/", &token).await.status, 401);
}

/// Adds a listener for HTTP/3 with the same filters.
fn with_http3(mut config: EnvoyConfig, port: u16, certificate: &str, key: &str) -> EnvoyConfig {
    let listeners = &mut config.value["static_resources"]["listeners"];
    let mut quic = listeners[0].clone();
    quic["name"] = json!("edge-http3");
    quic["address"]["socket_address"] =
        json!({ "protocol": "UDP", "address": "127.0.0.1", "port_value": port });
    quic["udp_listener_config"] = json!({ "quic_options": {} });
    let chain = &mut quic["filter_chains"][0];
    chain["filters"][0]["typed_config"]["codec_type"] = json!("HTTP3");
    chain["filters"][0]["typed_config"]["http3_protocol_options"] = json!({});
    chain["transport_socket"] = json!({
        "name": "envoy.transport_sockets.quic",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
            "downstream_tls_context": { "common_tls_context": { "tls_certificates": [{
                "certificate_chain": { "inline_string": certificate },
                "private_key": { "inline_string": key },
            }] } },
        },
    });
    listeners.as_array_mut().expect("listeners").push(quic);
    // The file of the credential is written for the first listener; this one shares the connection.
    inline_bearer(&mut config);
    config
}

/// Puts the credential into the configurations of all listeners.
fn inline_bearer(config: &mut EnvoyConfig) {
    let pointer = "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/filter_config/value/authority";
    let listeners = config.value["static_resources"]["listeners"].as_array_mut();
    for listener in listeners.expect("listeners") {
        let authority = listener.pointer_mut(pointer).and_then(Value::as_object_mut);
        let authority = authority.expect("a gate");
        authority.remove("bearer_file");
        authority.insert("bearer".into(), json!(portcullis_tests::authority::GATEWAY));
    }
}

/// An Envoy without the gate that forwards in HTTP/3.
fn client(mut config: EnvoyConfig, port: u16, certificate: &str) -> EnvoyConfig {
    // The module stays, with a route of the public's own: the harness knows its place.
    config.at("/rules")["rules"] =
        json!([{ "path": "/{*rest}", "access": "public", "forward_credential": true }]);
    let manager = config.value.pointer_mut(MANAGER).expect("a manager");
    manager["stat_prefix"] = json!("client");
    let cluster = &mut config.value["static_resources"]["clusters"][0];
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        ["port_value"] = json!(port);
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http3_protocol_options": {} },
        },
    });
    cluster["transport_socket"] = json!({
        "name": "envoy.transport_sockets.quic",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicUpstreamTransport",
            "upstream_tls_context": {
                "sni": "app.test",
                "common_tls_context": { "validation_context": {
                    "trusted_ca": { "inline_string": certificate },
                } },
            },
        },
    });
    config
}
