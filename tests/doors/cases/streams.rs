//! Streams that outlive their request are cut when their session ends.

use std::time::{Duration, Instant};

use http::{StatusCode, Version};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::ADMIN,
    door::Ability,
    live::{How, Live},
    proxy::Link,
    upstream::{DOWNLOAD, EVENTS},
};

use super::{credentials::resign, ends, rules::new_api_key};
use crate::scene::Scene;

/// The life of a token that expires while its streams are open. They have to be open by then, on a busy machine too.
const SHORT_LIFE: Duration = Duration::from_secs(8);

pub async fn websocket(scene: Scene) {
    for token in ["", "garbage"] {
        expect_websocket_refused(&scene, token).await;
    }
    let ada = scene.sign_in("ada").await;
    let mut socket = Live::websocket("a WebSocket", scene.http(), &ada.token).await;
    for _ in 0..3 {
        socket.expect_open("that was admitted").await;
    }
    scene.revoke(&ada).await;
    scene.refused_soon(&ends::visit(&ada), 401, "revoked").await;
    expect_websocket_refused(&scene, &ada.token).await;
}

async fn expect_websocket_refused(scene: &Scene, token: &str) {
    let opened = Live::try_websocket("a WebSocket", scene.http(), token).await;
    assert_eq!(opened.err(), Some(Some(StatusCode::UNAUTHORIZED)));
}

pub async fn events(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let mut events = open_events(&scene, EVENTS, &ada.token).await;
    // Events arrive one by one: a door that buffers the answer shows none of them.
    for _ in 0..3 {
        events.expect_open("that was admitted").await;
    }
}

async fn open_events(scene: &Scene, path: &str, token: &str) -> Live {
    let name = "an event stream";
    Live::body(name, scene.http(), Version::HTTP_11, path, token).await
}

pub async fn cut_by_revoke(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    let hers = open(&scene, &ada.token).await;
    let mut his = open(&scene, &bob.token).await;
    scene.revoke(&ada).await;
    expect_cut(hers).await;
    expect_open(&mut his, "of another session").await;
}

pub async fn cut_by_sign_out(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    let hers = open(&scene, &ada.token).await;
    let mut his = open(&scene, &bob.token).await;
    ends::force_sign_out(&scene, "ada").await;
    expect_cut(hers).await;
    expect_open(&mut his, "of another user").await;
}

pub async fn cut_by_tenant_sign_out(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    let elsewhere = scene.sign_in_elsewhere("ada").await;
    let mut streams = open(&scene, &ada.token).await;
    streams.extend(open(&scene, &bob.token).await);
    let mut others = open(&scene, &elsewhere.token).await;
    ends::sign_out_tenant(&scene).await;
    expect_cut(streams).await;
    expect_open(&mut others, "of another tenant").await;
}

pub async fn cut_by_disable(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let streams = open(&scene, &ada.token).await;
    ends::disable(&scene, "ada").await;
    expect_cut(streams).await;
}

pub async fn cut_by_key_revocation(scene: Scene) {
    let (key, id) = new_api_key(&scene, &[]).await;
    let path = format!("/programs{EVENTS}");
    let mut events = open_events(&scene, &path, &key).await;
    events.expect_open("of an API key").await;
    let request = v1::RevokeApiKeyRequest {
        tenant_id: scene.tenant.clone(),
        api_key_id: id,
        reason: "a test".into(),
        ..Default::default()
    };
    let mut keys = scene.authority().api_keys(ADMIN);
    keys.revoke_api_key(request).await.expect("revoked");
    expect_cut(vec![events]).await;
}

pub async fn cut_by_expiry(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    let mut his = open(&scene, &bob.token).await;
    let short = resign(&scene, &ada, |claims| {
        claims.expires_at = claims.issued_at + SHORT_LIFE.as_secs();
    })
    .await;
    let hers = open(&scene, &short).await;
    expect_cut(hers).await;
    expect_open(&mut his, "of another session").await;
}

pub async fn cut_by_staleness(scene: Scene) {
    let scene = scene.own(Duration::from_secs(1), None).await;
    let ada = scene.sign_in("ada").await;
    let streams = open(&scene, &ada.token).await;
    scene.proxy().set(Link::BLACK_HOLE);
    expect_cut(streams).await;
}

/// One stream of each kind that the door has.
async fn open(scene: &Scene, token: &str) -> Vec<Live> {
    let abilities = scene.abilities();
    let http = scene.http();
    let mut streams = vec![
        open_events(scene, EVENTS, token).await,
        Live::body("a download", http, Version::HTTP_11, DOWNLOAD, token).await,
    ];
    if abilities.websockets == Ability::Yes {
        streams.push(Live::websocket("a WebSocket", http, token).await);
    }
    if abilities.http2 == Ability::Yes {
        let name = "an event stream of HTTP/2";
        streams.push(Live::body(name, scene.http2(), Version::HTTP_2, EVENTS, token).await);
    }
    // The client in HTTP/3 is one of the shared door.
    if abilities.http3 == Ability::Yes && scene.is_shared() {
        let name = "an event stream of HTTP/3";
        let client = scene.http3().await;
        streams.push(Live::body(name, client, Version::HTTP_11, EVENTS, token).await);
    }
    expect_open(&mut streams, "that was admitted").await;
    // It says nothing after its first message.
    if abilities.grpc == Ability::Yes {
        streams.push(Live::grpc("a gRPC stream", scene.http2(), token).await);
    }
    streams
}

/// Waits until all are cut.
async fn expect_cut(streams: Vec<Live>) {
    for stream in streams {
        let name = stream.name;
        let (how, _) = stream.ended(Instant::now()).await;
        // A content that ends like this is taken for whole. A WebSocket has none.
        assert!(
            how != How::Clean || name == "a WebSocket",
            "{name} ended as if it were whole"
        );
    }
}

async fn expect_open(streams: &mut [Live], whose: &str) {
    for stream in streams
        .iter_mut()
        .filter(|stream| stream.name != "a gRPC stream")
    {
        stream.expect_open(whose).await;
    }
    for stream in streams {
        assert!(stream.is_open(), "{} {whose} was cut", stream.name);
    }
}
