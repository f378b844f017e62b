//! HTTP/2 and gRPC: one stream of a connection is cut, and the others go on.

use http::Request;
use portcullis_tests::{authority::transport, upstream::EVENTS, wait::within};
use serde_json::json;
use tokio::net::TcpStream;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::setting::Setting;

pub async fn one_stream_of_a_connection_is_cut_and_the_others_go_on() {
    let setting = Setting::new().await;
    let envoy = setting.envoy(&setting.config()).await;
    let (ada, bob) = (
        setting.authority.sign_in("ada").await,
        setting.authority.sign_in("bob").await,
    );
    let socket = TcpStream::connect(envoy.address()).await.expect("connects");
    let (mut client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut bodies = Vec::new();
    for session in [&ada, &bob] {
        let request = Request::get(format!("http://app.test{EVENTS}"))
            .header("authorization", format!("Bearer {}", session.access_token))
            .body(())
            .expect("a request");
        let (response, _) = client.send_request(request, true).expect("sent");
        let response = within("an answer", response).await.expect("an answer");
        assert_eq!(response.status(), 200);
        bodies.push(response.into_body());
    }

    setting.revoke(&ada).await;
    let error = within("the stream to be reset", async {
        loop {
            match bodies[0].data().await.expect("no end without a reset") {
                Ok(bytes) => drop(bodies[0].flow_control().release_capacity(bytes.len())),
                Err(error) => return error,
            }
        }
    })
    .await;
    assert!(error.is_reset() && error.is_remote(), "{error}");
    for _ in 0..3 {
        let data = within("another event", bodies[1].data()).await;
        let bytes = data.expect("it goes on").expect("it goes on");
        drop(bodies[1].flow_control().release_capacity(bytes.len()));
    }
}

pub async fn a_grpc_stream_is_cut() {
    let setting = Setting::new().await;
    let mut config = setting.config();
    config.value["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    let envoy = setting.envoy(&config).await;
    let ada = setting.authority.sign_in("ada").await;
    let endpoint = format!("http://{}", envoy.address());
    let mut health = HealthClient::new(transport(&endpoint, &ada.access_token));
    let watching = health.watch(HealthCheckRequest::default());
    let mut statuses = watching.await.expect("admitted").into_inner();
    let first = within("the first status", statuses.message()).await;
    assert!(first.expect("a status").is_some());

    setting.revoke(&ada).await;
    let end = within("the stream to end", statuses.message()).await;
    assert!(end.is_err(), "an end with a good status is no cut: {end:?}");
    let again = health.watch(HealthCheckRequest::default()).await;
    let refused = again.expect_err("the session has ended");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused:?}");
}
